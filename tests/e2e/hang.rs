//! Hangs: a stopped worker, a way that loses everything, and the opposite of a hang, a worker that is merely
//! busy.
//!
//! Name servers here have leases that outlast the test, so that only the client itself can notice.

use crate::machine_alone;
use harness::{
    cluster::Cluster,
    job::Job,
    process::{Process, Signal},
    proxy::{Direction, Proxy},
    results::Results,
};
use serde_json::json;
use std::{process::Command, time::Duration};
use tokio::time::Instant;

/// What the default settings promise.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

/// For processes to be scheduled and lines to be read.
const SLACK: Duration = Duration::from_secs(2);

const TASK: Duration = Duration::from_millis(100);

fn two_workers() -> Cluster {
    Cluster::builder().workers(2).nameserver_args(&["--lease-ttl", "10m"]).start()
}

/// Makes a worker unreachable in the middle of a job, and requires that its tasks are done elsewhere in time.
fn assert_noticed(cluster: &mut Cluster, job: &Job, hang: impl FnOnce(&mut Cluster)) -> Results {
    let client = cluster.run_spawn(&[], job);
    client.wait_lines(10);
    hang(cluster);
    let begun = Instant::now();
    client.wait_line(|line| line.contains(r#""attempts":2"#));
    let took = begun.elapsed();
    assert!(took < NOTICED_WITHIN + TASK + SLACK, "a task came back from elsewhere after {took:?}");
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    assert!(results.moved().iter().all(|result| result.attempts == 2), "{:#?}", results.moved());
    results
}

fn tasks(count: usize) -> Job {
    Job::sleeps(count, TASK.as_millis() as u64)
}

#[test]
fn a_stopped_worker_is_noticed_within_five_seconds() {
    let _alone = machine_alone();
    let mut cluster = two_workers();
    let results = assert_noticed(&mut cluster, &tasks(200), |cluster| cluster.signal("w1", Signal::STOP));
    assert!(results.moved().iter().all(|result| result.worker.as_deref() == Some("w2")));
}

#[test]
fn a_way_that_loses_everything_is_noticed_within_five_seconds() {
    let _alone = machine_alone();
    for ways in [&Direction::BOTH[..], &[Direction::ToTarget], &[Direction::ToSource]] {
        let mut cluster = Cluster::builder().workers(1).nameserver_args(&["--lease-ttl", "10m"]).start();
        let proxy = Proxy::start();
        let behind = cluster.add_worker_with("behind", &["--advertise", &proxy.address().to_string()]);
        proxy.set_target(behind);
        let rows = cluster.wait_registered();
        assert!(rows.iter().any(|row| row.name == "behind" && row.address == proxy.address()), "{rows:?}");
        let results = assert_noticed(&mut cluster, &tasks(200), |_| proxy.swallow(ways));
        assert!(results.by_worker().contains_key("behind"), "no task went through the proxy");
    }
}

#[test]
fn a_slow_way_is_not_a_hang() {
    let mut cluster = Cluster::builder().workers(1).start();
    let proxy = Proxy::start();
    let behind = cluster.add_worker_with("behind", &["--advertise", &proxy.address().to_string()]);
    proxy.set_target(behind);
    proxy.delay(Duration::from_millis(300));
    cluster.wait_registered();
    let job = tasks(100);
    let results = cluster.run(&[], &job).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert!(results.by_worker().contains_key("behind"));
}

#[test]
fn a_big_payload_on_a_slow_way_is_not_a_hang() {
    let mut cluster = Cluster::builder().start();
    let proxy = Proxy::start();
    let behind = cluster.add_worker_with("behind", &["--advertise", &proxy.address().to_string()]);
    proxy.set_target(behind);
    proxy.throttle(4 << 20);
    cluster.wait_registered();
    // The way there and the way back take eight seconds each, longer than a worker may be silent.
    let mut job = Job::of(1, |_| json!({"task": "echo", "value": "x".repeat(32 << 20)}));
    job.add(json!({"task": "echo", "value": "a small one beside it"}));
    let results = cluster.run(&[], &job).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
}

#[test]
fn a_reset_or_a_cut_message_costs_one_attempt_and_the_worker_stays() {
    let mut cluster = Cluster::builder().start();
    let proxy = Proxy::start();
    let behind = cluster.add_worker_with("behind", &["--advertise", &proxy.address().to_string()]);
    proxy.set_target(behind);
    cluster.wait_registered();
    let faults: [fn(&Proxy); 3] = [
        Proxy::reset,
        |proxy| proxy.cut_after(Direction::ToTarget, 3),
        |proxy| proxy.cut_after(Direction::ToSource, 3),
    ];
    for fault in faults {
        let job = tasks(40);
        let client = cluster.run_spawn(&[], &job);
        client.wait_lines(5);
        fault(&proxy);
        let results = cluster.finish(client).expect(0).results();
        results.assert_exactly_once(job.ids()).assert_all_ok();
        let moved = results.moved();
        assert!(!moved.is_empty() && moved.iter().all(|result| result.attempts == 2), "{moved:#?}");
    }
}

#[test]
fn a_worker_that_is_merely_busy_is_never_given_up() {
    let _alone = machine_alone();
    let cluster = two_workers();
    let cores = std::thread::available_parallelism().unwrap().get();
    let _loops: Vec<Process> = (0..2 * cores)
        .map(|_| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "while :; do :; done"]);
            cluster.spawn("busy loop", command)
        })
        .collect();
    // All slots compute for longer than a hang may last.
    let job = Job::of(16, |_| json!({"task": "spin", "ms": 800}));
    let begun = Instant::now();
    let results = cluster.run(&[], &job).expect(0).results();
    assert!(begun.elapsed() > NOTICED_WITHIN, "over too soon to show anything");
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert_eq!(results.by_worker().len(), 2);
    assert!(cluster.wait_registered().iter().all(|row| row.state == "healthy"));
}
