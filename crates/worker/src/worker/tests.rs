//! A whole worker, spoken to as clients do.

mod drain;
mod loss;
mod sharing;

use crate::{
    config::Config,
    error::Error,
    executor::Executor,
    testing::{error, key, kinds, memory::Memory, simulated, task, tasks, unhurried, word, words, worker},
    worker::Worker,
};
use serde_json::json;
use sgdt_proto::{
    id::WorkerId,
    task::{ErrorCode, Reply},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

#[tokio::test]
async fn a_batch_is_answered_in_order_once_all_of_it_is_done() {
    let worker = worker(Executor::Threads, |config| config.slots = 3).await;
    let client = worker.client().await;
    let batch = (0..500).map(|n| task(n, "echo", json!({ "n": n }))).collect();
    let mut values = Vec::new();
    let mut replies = client.execute(unhurried(), batch).await.unwrap();
    for (n, reply) in replies.iter_mut().enumerate() {
        // A slow machine may take longer than an answer lingers.
        while let Reply::Pending = reply {
            let collected = client.collect(unhurried(), vec![key(n as u64)]).await.unwrap();
            *reply = collected.into_iter().next().unwrap().1;
        }
        let Reply::Done(done) = reply else { panic!("{reply:?}") };
        let output: serde_json::Value = done.result.clone().unwrap().decode().unwrap();
        values.push(output["n"].as_u64().unwrap());
    }
    assert_eq!(values, (0..500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_slow_task_does_not_hold_up_the_answer_for_a_quick_one() {
    let worker = worker(simulated(), |config| config.slots = 2).await;
    let client = worker.client().await;
    let start = Instant::now();
    let batch = vec![task(1, "echo", json!(0)), task(2, "echo", json!(8_000))];
    assert_eq!(words(&client.execute(unhurried(), batch).await.unwrap()), ["ok", "pending"]);
    assert!(start.elapsed() < Duration::from_millis(20), "{:?}", start.elapsed());

    let collected = client.collect(unhurried(), vec![key(2)]).await.unwrap();
    assert_eq!((collected[0].0, word(&collected[0].1)), (key(2), "ok"));
    assert!(start.elapsed() >= Duration::from_secs(8));
    let again = client.collect(unhurried(), vec![key(2)]).await.unwrap();
    assert_eq!(word(&again[0].1), "unknown", "a result is handed out once");
}

#[tokio::test(start_paused = true)]
async fn an_answer_lingers_for_tasks_as_quick_as_the_first_and_not_after_a_slow_one() {
    let worker = worker(simulated(), |config| config.slots = 1).await;
    let client = worker.client().await;
    let quick = client.execute(unhurried(), tasks(0..50, 0)).await.unwrap();
    assert!(quick.iter().all(|reply| word(reply) == "ok"), "{:?}", words(&quick));

    let start = Instant::now();
    let slow = client.execute(unhurried(), tasks(50..53, 20)).await.unwrap();
    assert_eq!(words(&slow), ["ok", "pending", "pending"]);
    assert!(start.elapsed() <= Duration::from_millis(21), "{:?}", start.elapsed());
    let next = client.collect(unhurried(), vec![key(51), key(52)]).await.unwrap();
    assert_eq!(next.iter().map(|(key, _)| key.task.0).collect::<Vec<_>>(), [51]);
}

#[tokio::test]
async fn a_panic_is_an_error_result_and_its_slot_goes_on() {
    let worker = worker(Executor::Threads, |_| {}).await;
    let client = worker.client().await;
    let replies = client.execute(unhurried(), vec![task(1, "panic", json!("no bananas"))]).await.unwrap();
    let (code, message) = error(&replies[0]);
    assert_eq!(code, ErrorCode::Panicked);
    assert!(message.ends_with(": no bananas"), "{message}");
    let replies =
        client.execute(unhurried(), vec![task(2, "echo", json!(1)), task(3, "nap", json!(1))]).await;
    assert_eq!(words(&replies.unwrap()), ["ok", "unsupported-task"]);
}

#[tokio::test]
async fn a_time_out_counts_from_the_kernels_start() {
    let worker = worker(Executor::Threads, |_| {}).await;
    let client = worker.client().await;
    let mut timed = task(1, "hold", json!(0));
    timed.timeout_ms = Some(30);
    let mut waiting = task(2, "hold", json!(0));
    waiting.timeout_ms = Some(30);
    let replies = client.execute(unhurried(), vec![timed, waiting]).await.unwrap();
    assert_eq!(word(&replies[0]), "timeout");
    let Reply::Done(done) = &replies[0] else { panic!() };
    assert!((30_000..10_000_000).contains(&done.run_us), "{}", done.run_us);
    let collected = client.collect(unhurried(), vec![key(2)]).await.unwrap();
    let Reply::Done(done) = &collected[0].1 else { panic!("{collected:?}") };
    assert!(done.run_us >= 30_000, "the wait for the slot is not counted: {}", done.run_us);
}

#[tokio::test]
async fn an_address_that_others_can_reach_takes_consent() {
    let mut config = Config::new(WorkerId(1), "w".parse().unwrap(), Vec::new());
    config.listen = "0.0.0.0:7".to_owned();
    let bound = Worker::bind(config.clone(), kinds().0, Arc::new(Memory::default())).await;
    let refused = bound.unwrap_err();
    assert!(matches!(refused, Error::Insecure { .. }) && refused.is_usage());
    assert!(refused.to_string().contains("--insecure"), "{refused}");
    config.insecure = true;
    assert!(Worker::bind(config, kinds().0, Arc::new(Memory::default())).await.is_ok());
}

#[tokio::test]
async fn what_no_name_server_would_take_is_told_at_the_start() {
    let mut config = Config::new(WorkerId(1), "w".parse().unwrap(), Vec::new());
    config.tags.insert("k".to_owned(), "\u{7}".to_owned());
    let refused = Worker::bind(config, kinds().0, Arc::new(Memory::default())).await.unwrap_err();
    assert!(refused.is_usage() && refused.to_string().contains("tag \"k\""), "{refused}");
}
