//! Many clients, and more tasks than there is room for.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_with_few_tasks_is_not_starved_by_one_with_many() {
    let worker = worker(simulated(), |_| {}).await;
    let (many, few) = (worker.client().await, worker.client().await);
    let flood = tokio::spawn(async move { many.execute(unhurried(), tasks(0..2_000, 10)).await });
    worker.load((1, 1_999)).await;
    let start = Instant::now();
    let mut pending: Vec<_> = (0..10).map(key).collect();
    few.execute(unhurried(), tasks(0..10, 10)).await.unwrap();
    while pending.len() > 1 {
        for (key, _) in few.collect(unhurried(), pending.clone()).await.unwrap() {
            pending.retain(|&other| other != key);
        }
    }
    // Twenty tasks' time and some rounding of timers, where a queue in order would take twenty seconds.
    assert!(start.elapsed() < Duration::from_millis(400), "{:?}", start.elapsed());
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_sheds_for_who_has_less() {
    let worker = worker(simulated(), |config| config.queue = 4).await;
    let (greedy, modest) = (worker.client().await, worker.client().await);
    // One for the slot and four that wait.
    let replies = greedy.execute(unhurried(), tasks(0..6, 1_000)).await.unwrap();
    assert_eq!(words(&replies), ["pending", "pending", "pending", "pending", "pending", "overloaded"]);
    worker.load((1, 4)).await;

    let shed = tokio::spawn(async move { greedy.collect(unhurried(), vec![key(4)]).await });
    worker.load((1, 4)).await;
    let replies = modest.execute(unhurried(), tasks(0..1, 1_000)).await.unwrap();
    let shed = shed.await.unwrap().unwrap();
    assert_eq!((shed[0].0, word(&shed[0].1)), (key(4), "overloaded"));
    assert_eq!(words(&replies), ["ok"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_idle_slots_take_tasks_all_the_same() {
    let worker = worker(simulated(), |config| (config.queue, config.slots) = (0, 2)).await;
    let client = worker.client().await;
    worker.load((0, 0)).await;
    let replies = client.execute(unhurried(), tasks(0..3, 100)).await.unwrap();
    assert_eq!(words(&replies), ["pending", "pending", "overloaded"]);
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_client_that_left_do_not_keep_the_next_one_waiting() {
    let worker = worker(simulated(), |_| {}).await;
    let (gone, next) = (worker.client().await, worker.client().await);
    let executed = tokio::spawn({
        let gone = gone.clone();
        async move { gone.execute(unhurried(), tasks(0..100, 60_000)).await }
    });
    worker.load((1, 99)).await;
    executed.abort();
    gone.cancel(unhurried(), (0..100).map(key).collect()).await.unwrap();
    let start = Instant::now();
    assert_eq!(words(&next.execute(unhurried(), tasks(0..1, 5)).await.unwrap()), ["ok"]);
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_key_is_held_once_and_may_be_used_again_when_it_is_forgotten() {
    let worker = worker(simulated(), |_| {}).await;
    let client = worker.client().await;
    let twice = vec![task(1, "echo", json!(0)), task(1, "echo", json!(0))];
    assert_eq!(words(&client.execute(unhurried(), twice).await.unwrap()), ["ok", "unknown"]);
    assert_eq!(words(&client.execute(unhurried(), tasks(1..2, 0)).await.unwrap()), ["ok"]);
}
