//! Scenario 3: workers are killed and stopped, the name server dies, and nothing is lost.
//!
//! A task that loses its worker has two attempts when there was one fault, and never more than there were
//! faults.

use harness::{cluster::Cluster, job::Job, process::Signal, results::Results};
use std::time::Duration;
use tokio::time::Instant;

const TASKS: usize = 150;

/// Three workers with 150 tasks, of which the first have come back: all slots are taken.
fn in_the_middle() -> (Cluster, Job, harness::process::Process) {
    let cluster = Cluster::builder().workers(3).slots(4).start();
    let job = Job::sleeps(TASKS, 150);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(20);
    (cluster, job, client)
}

/// The same with leases of a second, and nine seconds' work.
fn short_leases() -> (Cluster, Job, harness::process::Process) {
    let cluster = Cluster::builder().workers(3).slots(4).nameserver_args(&["--lease-ttl", "1s"]).start();
    let job = Job::sleeps(540, 200);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(20);
    (cluster, job, client)
}

fn assert_moved_once(results: &Results) {
    let moved = results.moved();
    assert!(!moved.is_empty(), "no task was moved: the fault met an idle worker");
    assert!(moved.iter().all(|result| result.attempts == 2), "{moved:#?}");
}

#[test]
fn a_worker_is_killed_in_the_middle_and_its_tasks_are_done_elsewhere() {
    let (mut cluster, job, client) = in_the_middle();
    cluster.kill("w1");
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    assert_moved_once(&results);
    assert!(results.moved().iter().all(|result| result.worker.as_deref() != Some("w1")));
}

#[test]
fn a_worker_is_stopped_in_the_middle_and_its_late_results_are_dropped() {
    let (mut cluster, job, client) = in_the_middle();
    let begun = Instant::now();
    cluster.signal("w2", Signal::STOP);
    // A task has come back from elsewhere: the client has given w2 up.
    client.wait_line(|line| line.contains(r#""attempts":2"#));
    cluster.signal("w2", Signal::CONT);
    let results = cluster.finish(client).expect(0).results();
    // Five seconds, two for what was left, and as many again for a machine that is busy with other tests.
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
    results.assert_exactly_once(job.ids()).assert_all_ok();
    assert_moved_once(&results);
}

#[test]
fn one_worker_is_killed_and_another_stopped() {
    let (mut cluster, job, client) = in_the_middle();
    cluster.kill("w1");
    cluster.signal("w2", Signal::STOP);
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    // A task of w1 may have gone to w2 before anybody could know: two faults, three attempts.
    let moved = results.moved();
    assert!(!moved.is_empty() && moved.iter().all(|result| result.attempts <= 3), "{moved:#?}");
    assert!(results.by_worker()["w3"] > TASKS / 3, "{:?}", results.by_worker());
}

#[test]
fn the_name_server_dies_and_the_job_goes_on() {
    let (mut cluster, job, client) = in_the_middle();
    cluster.kill_nameserver();
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert_eq!(results.by_worker().len(), 3);
}

#[test]
fn the_name_server_dies_and_then_a_worker_does() {
    let (mut cluster, job, client) = in_the_middle();
    cluster.kill_nameserver();
    cluster.kill("w3");
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    assert_moved_once(&results);
}

#[test]
fn the_name_server_comes_back_empty_and_no_attempt_is_wasted() {
    let (mut cluster, job, client) = short_leases();
    cluster.kill_nameserver();
    cluster.restart_nameserver();
    cluster.wait_registered();
    // From here on its silence about a worker would mean something.
    let settled = |line: &str| line.contains("has had time to announce itself");
    cluster.nameserver().wait_error_line(settled);
    assert!(client.lines().len() < job.len(), "the job was over before");
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert_eq!(results.by_worker().len(), 3);
}

#[test]
fn the_name_server_stands_still_for_longer_than_leases_last_and_no_attempt_is_wasted() {
    let (mut cluster, job, client) = short_leases();
    cluster.nameserver().signal(Signal::STOP);
    // Four seconds' work.
    client.wait_lines(client.lines().len() + 240);
    cluster.nameserver().signal(Signal::CONT);
    cluster.nameserver().wait_error_line(|line| line.contains("stood still for"));
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert!(cluster.wait_registered().iter().all(|row| row.state == "healthy"));
}

#[test]
fn all_workers_go_and_another_comes() {
    let mut cluster = Cluster::start(1);
    let job = Job::sleeps(40, 50);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(5);
    cluster.kill("w1");
    cluster.add_worker("w2");
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    assert_moved_once(&results);
    assert!(results.by_worker().contains_key("w2"));
}

#[test]
fn a_worker_that_starts_before_its_name_server_waits_for_it() {
    let mut cluster = Cluster::start(0);
    cluster.kill_nameserver();
    cluster.add_worker("early");
    cluster.restart_nameserver();
    cluster.wait_registered();
    let job = Job::sleeps(10, 1);
    cluster.run(&[], &job).expect(0).results().assert_exactly_once(job.ids()).assert_first_attempts();
}

#[test]
fn a_killed_worker_may_come_back_under_its_name() {
    let mut cluster = Cluster::builder().workers(2).nameserver_args(&["--lease-ttl", "1s"]).start();
    let job = Job::sleeps(150, 50);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(10);
    cluster.kill("w1");
    cluster.add_worker("w1");
    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    assert_moved_once(&results);
    cluster.wait_registered();
}
