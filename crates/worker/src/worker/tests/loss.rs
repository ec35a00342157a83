//! Clients that take tasks back, vanish, or fall silent.

use super::*;

#[tokio::test]
async fn cancelled_tasks_leave_the_queue_and_stop_running() {
    let mut worker = worker(Executor::Threads, |_| {}).await;
    let client = worker.client().await;
    let batch = vec![task(1, "hold", json!(0)), task(2, "hold", json!(0))];
    let executed = tokio::spawn({
        let client = client.clone();
        async move { client.execute(unhurried(), batch).await }
    });
    worker.tells("runs").await;
    client.cancel(unhurried(), vec![key(1), key(2)]).await.unwrap();
    worker.tells("stopped").await;
    assert_eq!(words(&executed.await.unwrap().unwrap()), ["recalled", "recalled"]);
    worker.load((0, 0)).await;
    assert!(worker.tells.try_recv().is_err(), "the second never ran");
}

#[tokio::test(start_paused = true)]
async fn what_has_not_started_can_be_recalled_and_what_runs_cannot() {
    let worker = worker(simulated(), |_| {}).await;
    let client = worker.client().await;
    let executed = tokio::spawn({
        let client = client.clone();
        async move { client.execute(unhurried(), tasks(0..3, 1_000)).await }
    });
    worker.load((1, 2)).await;
    let recalled = client.recall(unhurried(), vec![key(0), key(2), key(9)]).await.unwrap();
    assert_eq!(recalled, [key(2)]);
    assert_eq!(words(&executed.await.unwrap().unwrap()), ["ok", "pending", "recalled"]);
    let collected = client.collect(unhurried(), vec![key(1), key(2)]).await.unwrap();
    assert_eq!(word(&collected[0].1), "unknown");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_overtakes_its_task_stops_it_when_it_comes() {
    let worker = worker(simulated(), |_| {}).await;
    let client = worker.client().await;
    client.cancel(unhurried(), vec![key(5)]).await.unwrap();
    let replies = client.execute(unhurried(), tasks(5..7, 0)).await.unwrap();
    assert_eq!(words(&replies), ["recalled", "ok"]);
}

#[tokio::test]
async fn when_a_client_closes_its_tasks_stop() {
    let mut worker = worker(Executor::Threads, |_| {}).await;
    let client = worker.mute().await;
    let executed = tokio::spawn(async move {
        client.execute(unhurried(), vec![task(1, "hold", json!(0)), task(2, "hold", json!(0))]).await
    });
    worker.tells("runs").await;
    executed.abort();
    worker.tells("stopped").await;
    worker.load((0, 0)).await;
    assert!(worker.tells.try_recv().is_err(), "the second never ran");
}

#[tokio::test(start_paused = true)]
async fn when_a_client_is_killed_it_is_noticed_at_once_and_what_it_had_queued_leaves_the_queue() {
    let worker = worker(simulated(), |_| {}).await;
    let (other, (client, kill)) = (worker.client().await, worker.mortal().await);
    tokio::spawn(async move { other.execute(unhurried(), tasks(0..1, 60_000)).await });
    worker.load((1, 0)).await;
    tokio::spawn(async move { client.execute(unhurried(), tasks(0..5, 60_000)).await });
    worker.load((1, 5)).await;
    kill.abort();
    let taken = worker.load((1, 0)).await;
    assert!(taken < Duration::from_millis(100), "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn when_a_client_falls_silent_its_tasks_stop_within_three_seconds() {
    let worker = worker(simulated(), |_| {}).await;
    let silent = worker.mute().await;
    let executed = tokio::spawn(async move { silent.execute(unhurried(), tasks(0..2, 3_600_000)).await });
    worker.load((1, 1)).await;
    let taken = worker.load((0, 0)).await;
    assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&taken), "{taken:?}");
    assert!(executed.await.unwrap().is_err(), "its connection is closed");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pings_is_never_given_up() {
    let worker = worker(simulated(), |_| {}).await;
    let client = worker.client().await;
    let replies = client.execute(unhurried(), tasks(0..1, 3_000_000)).await.unwrap();
    assert_eq!(words(&replies), ["ok"]);
}
