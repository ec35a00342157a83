//! Scenario 2: several workers; one joins and one is drained in the middle of the run.

use harness::{cluster::Cluster, job::Job, process::Signal, results::Results};
use std::time::Duration;
use tokio::time::Instant;

/// The results that a running client has written so far.
fn so_far(lines: &[String]) -> Results {
    Results::parse(lines.iter().map(String::as_str))
}

#[test]
fn a_worker_joins_and_one_is_drained_while_a_job_runs() {
    let mut cluster = Cluster::start(2);
    let job = Job::sleeps(400, 40);
    let client = cluster.run_spawn(&[], &job);

    client.wait_lines(40);
    cluster.add_worker("w3");
    client.wait_line(|line| line.contains(r#""worker":"w3""#));

    cluster.client(&["drain", "w1"]).expect(0);
    cluster.worker("w1").expect_exit(0);
    let at_drain = so_far(&client.lines());
    assert!(at_drain.all().len() < job.len(), "the job was over before the drain: nothing is shown");

    let results = cluster.finish(client).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    let shares = results.by_worker();
    assert!(
        ["w1", "w2", "w3"].iter().all(|name| shares.get(name).is_some_and(|share| *share >= 20)),
        "{shares:?}"
    );
    cluster.wait_workers("w1 to be gone from the list", |rows| rows.iter().all(|row| row.name != "w1"));
}

#[test]
fn a_terminated_worker_finishes_what_it_runs_and_leaves() {
    let mut cluster = Cluster::builder().workers(1).nameserver_args(&["--lease-ttl", "1s"]).start();
    let job = Job::sleeps(10, 1500);
    let client = cluster.run_spawn(&[], &job);
    // Both slots run a task, and more wait behind them.
    cluster.wait_workers("both slots to be taken", |rows| rows.iter().any(|row| row.running == 2));
    cluster.signal("w1", Signal::TERM);
    cluster.add_worker("w2");
    cluster.worker("w1").expect_exit(0);

    let results = cluster.finish(client).expect(0).results();
    // Nothing that ran was thrown away, and what only waited is not counted as tried.
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    let shares = results.by_worker();
    assert!(shares.get("w1") >= Some(&2) && shares.contains_key("w2"), "{shares:?}");
}

#[test]
fn a_second_signal_stops_a_worker_at_once() {
    let mut cluster = Cluster::builder().workers(1).nameserver_args(&["--lease-ttl", "1s"]).start();
    let client = cluster.run_spawn(&["--max-attempts", "1"], &Job::sleeps(2, 100_000));
    cluster.wait_workers("both slots to be taken", |rows| rows.iter().any(|row| row.running == 2));
    cluster.signal("w1", Signal::TERM);
    cluster.wait_workers("w1 to drain", |rows| rows.iter().all(|row| row.state == "draining"));
    let begun = Instant::now();
    cluster.signal("w1", Signal::TERM);
    cluster.worker("w1").wait();
    // A drain would have had thirty seconds.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(client);
}

#[test]
fn every_balancer_spreads_the_tasks() {
    let cluster = Cluster::start(3);
    for balancer in ["round-robin", "least-loaded", "p2c"] {
        let job = Job::sleeps(90, 20);
        let results = cluster.run(&["--balance", balancer], &job).expect(0).results();
        results.assert_exactly_once(job.ids()).assert_first_attempts();
        let shares = results.by_worker();
        assert!(shares.len() == 3 && shares.values().all(|share| *share >= 10), "{balancer}: {shares:?}");
    }
}

#[test]
fn slots_weigh_the_share_of_a_worker() {
    let mut cluster = Cluster::builder().slots(1).start();
    cluster.add_worker("small");
    cluster.add_worker_with("large", &["--slots", "4"]);
    cluster.wait_registered();
    let job = Job::sleeps(100, 30);
    let results = cluster.run(&[], &job).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    let shares = results.by_worker();
    assert!(shares["large"] >= 2 * shares["small"], "{shares:?}");
}

#[test]
fn several_clients_share_the_workers() {
    let cluster = Cluster::start(2);
    let jobs: Vec<Job> = (0..3).map(|_| Job::sleeps(60, 20)).collect();
    let clients: Vec<_> = jobs.iter().map(|job| cluster.run_spawn(&[], job)).collect();
    for (client, job) in clients.into_iter().zip(&jobs) {
        cluster.finish(client).expect(0).results().assert_exactly_once(job.ids()).assert_first_attempts();
    }
}
