//! A worker that leaves.

use super::*;
use crate::testing::Running;
use sgdt_proto::worker::TaskClient;

/// A worker with one task of ten seconds running and two waiting, whose batch is being answered.
async fn busy(
    change: impl FnOnce(&mut Config),
) -> (Running, TaskClient, tokio::task::JoinHandle<Vec<&'static str>>) {
    let worker = worker(simulated(), change).await;
    let client = worker.client().await;
    let executed = tokio::spawn({
        let client = client.clone();
        async move { words(&client.execute(unhurried(), tasks(0..3, 10_000)).await.unwrap()) }
    });
    worker.load((1, 2)).await;
    (worker, client, executed)
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_elsewhere_at_once_and_what_runs_is_finished_and_fetched() {
    let (worker, client, executed) = busy(|_| {}).await;
    let start = Instant::now();
    client.drain(unhurried()).await.unwrap();
    assert_eq!(executed.await.unwrap(), ["pending", "draining", "draining"]);
    assert!(start.elapsed() < Duration::from_millis(20), "{:?}", start.elapsed());
    let late = client.execute(unhurried(), tasks(7..8, 0)).await.unwrap();
    assert_eq!(words(&late), ["draining"]);
    assert!(client.ping(unhurried()).await.unwrap().load.draining);

    // Not asked for until well after it is done: the worker waits for that, too.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(!worker.ended.is_finished());
    let collected = client.collect(unhurried(), vec![key(0)]).await.unwrap();
    assert_eq!(word(&collected[0].1), "ok");
    worker.ended.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_nobody_else_tells_is_told_before_the_worker_is_gone() {
    let worker = worker(simulated(), |_| {}).await;
    let client = worker.client().await;
    client.ping(unhurried()).await.unwrap();
    worker.stop.drain();
    tokio::time::sleep(Duration::from_millis(499)).await;
    let late = client.execute(unhurried(), tasks(0..1, 0)).await.unwrap();
    assert_eq!(words(&late), ["draining"]);
    let start = Instant::now();
    assert!(client.ping(unhurried()).await.unwrap().load.draining);
    worker.ended.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_millis(100), "it stays for nobody: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_draining_workers_tasks_can_still_be_cancelled() {
    let (worker, client, executed) = busy(|_| {}).await;
    worker.stop.drain();
    executed.await.unwrap();
    let start = Instant::now();
    client.cancel(unhurried(), vec![key(0)]).await.unwrap();
    worker.ended.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_runs_for_too_long_goes_elsewhere() {
    let (worker, client, executed) = busy(|config| config.drain_timeout = Duration::from_secs(2)).await;
    let start = Instant::now();
    worker.stop.drain();
    executed.await.unwrap();
    let collected = client.collect(unhurried(), vec![key(0)]).await.unwrap();
    assert_eq!(word(&collected[0].1), "draining");
    worker.ended.await.unwrap().unwrap();
    assert!((2..4).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn told_twice_it_leaves_at_once_and_tells_its_clients_so() {
    let (worker, client, executed) = busy(|_| {}).await;
    let start = Instant::now();
    worker.stop.drain();
    executed.await.unwrap();
    worker.stop.now();
    let collected = client.collect(unhurried(), vec![key(0)]).await.unwrap();
    assert_eq!(word(&collected[0].1), "draining");
    worker.ended.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn results_that_nobody_fetches_do_not_keep_a_worker_for_ever() {
    let (worker, _client, executed) = busy(|_| {}).await;
    let start = Instant::now();
    worker.stop.drain();
    executed.await.unwrap();
    worker.ended.await.unwrap().unwrap();
    assert!((10..20).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_worker_whose_future_is_dropped_stops_its_kernels() {
    let mut worker = worker(Executor::Threads, |_| {}).await;
    let client = worker.client().await;
    tokio::spawn(async move { client.execute(unhurried(), vec![task(1, "hold", json!(0))]).await });
    worker.tells("runs").await;
    worker.ended.abort();
    worker.tells("stopped").await;
    // The thread that had the kernels lets go of them when it ends.
    while worker.tells.recv().await.is_some() {}
}
