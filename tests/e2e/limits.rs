//! Sizes: a million tasks in constant memory, tasks longer than any default deadline, and requests for the
//! absurd.

use crate::machine_alone;
use harness::{
    cluster::Cluster,
    job::Job,
    results::{Status, result},
};
use serde_json::json;
use std::{
    io::{BufWriter, Write as _},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// Without optimisation a million take minutes, and show nothing more.
const MANY: usize = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };

#[test]
fn a_million_tasks_from_a_pipe_run_in_constant_memory() {
    let _alone = machine_alone();
    let cluster = Cluster::start(2);
    let counts = Arc::new(Mutex::new(vec![0u8; MANY]));
    let mut client = {
        let counts = Arc::clone(&counts);
        cluster.client_observed(&["run", "-"], move |line| {
            let result = result(line);
            assert_eq!((result.status, result.attempts), (Status::Ok, 1), "{line}");
            let index: usize = result.id[1..].parse().unwrap();
            assert_eq!(result.output["value"], index, "{line}");
            counts.lock().unwrap()[index] += 1;
        })
    };
    // The pipe stays open until the memory has been measured, so that the client is there to be measured.
    let mut stdin = BufWriter::new(client.take_stdin());
    let feeder = thread::spawn(move || {
        for index in 0..MANY {
            writeln!(stdin, "{{\"id\":\"e{index}\",\"task\":\"echo\",\"value\":{index}}}").unwrap();
        }
        stdin.flush().unwrap();
        stdin
    });
    client.wait_lines(MANY);
    let peak = client.peak_rss_bytes();
    drop(feeder.join().unwrap());
    client.expect_exit(0);
    assert!(counts.lock().unwrap().iter().all(|count| *count == 1), "not exactly one result a task");
    assert!(peak < 200 << 20, "the client took {} MiB", peak >> 20);
}

#[test]
fn a_task_longer_than_ten_seconds_is_done_at_the_first_attempt() {
    let cluster = Cluster::start(2);
    let job = Job::sleeps(1, 13_000);
    let results = cluster.run(&[], &job).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert!(results.get("t0").run_ms >= Some(13_000.0));
}

#[test]
fn a_panicking_task_is_an_error_at_once_and_the_worker_lives() {
    let mut cluster = Cluster::start(1);
    cluster.allow_panics();
    let mut job = Job::of(5, |_| json!({"task": "panic"}));
    (0..20).for_each(|n| job.add(json!({"task": "factorial", "n": n})));
    let begun = Instant::now();
    let results = cluster.run(&[], &job).expect(1).results();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    results.assert_exactly_once(job.ids());
    for result in results.all() {
        let panicked = result.error.as_ref().is_some_and(|error| error.code == "panicked");
        assert_eq!(panicked, result.task.as_deref() == Some("panic"), "{result:?}");
        assert_eq!(result.attempts, 1, "{result:?}");
    }
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated() {
    let mut cluster = Cluster::start(1);
    let huge = |rows: u64, columns: u64| json!({"random": [rows, columns], "seed": 1});
    let summary = |a, b| json!({"task": "matmul", "a": a, "b": b, "return": "summary"});
    let tasks = [
        json!({"task": "factorial", "n": u64::MAX}),
        json!({"task": "factorial", "n": 1u64 << 40}),
        json!({"task": "sort", "random": u64::MAX, "seed": 1, "return": "summary"}),
        json!({"task": "sort", "random": 1u64 << 61, "seed": 1}),
        summary(huge(4_000_000_000, 4_000_000_000), huge(4_000_000_000, 4_000_000_000)),
        // Products of dimensions that wrap round to nothing in 64 bits, or in bytes.
        summary(huge(1 << 32, 1 << 32), huge(1 << 32, 1 << 32)),
        summary(huge(1 << 31, 1 << 30), huge(1 << 30, 1 << 31)),
        // Small factors of an enormous product.
        summary(huge(u64::MAX, 1), huge(1, u64::MAX)),
    ];
    let mut job = Job::of(tasks.len(), |i| tasks[i].clone());
    (0..20).for_each(|n| job.add(json!({"id": format!("small {n}"), "task": "factorial", "n": n})));
    let results = cluster.run(&[], &job).expect(1).results();
    results.assert_exactly_once(job.ids());
    for result in results.all() {
        let too_large = result.error.as_ref().is_some_and(|error| error.code == "too-large");
        assert_eq!(too_large, !result.id.starts_with("small"), "{result:?}");
    }
    let peak = cluster.worker("w1").peak_rss_bytes();
    assert!(peak < 100 << 20, "the worker took {} MiB", peak >> 20);
}

#[test]
fn a_task_that_runs_over_its_time_is_stopped() {
    let cluster = Cluster::start(1);
    let mut job = Job::of(2, |_| json!({"task": "spin", "ms": 100_000}));
    job.add(json!({"task": "factorial", "n": 5}));
    let results = cluster.run(&["--task-timeout", "500ms"], &job).expect(1).results();
    results.assert_exactly_once(job.ids());
    for id in ["t0", "t1"] {
        assert_eq!(results.get(id).error.as_ref().unwrap().code, "timeout", "{:?}", results.get(id));
    }
    assert_eq!(results.get("t2").output["value"], "120");
}
