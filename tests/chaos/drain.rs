//! A worker is asked to leave while it runs long tasks.

use crate::{machine_alone, machine_shared};
use harness::{
    cluster::Cluster,
    job::Job,
    process::{Process, Signal},
};
use std::time::Duration;
use tokio::time::Instant;

/// The two ways to ask.
const ASKS: [fn(&mut Cluster); 2] = [
    |cluster| cluster.signal("w1", Signal::TERM),
    |cluster| drop(cluster.client(&["drain", "w1"]).expect(0)),
];

/// A client whose tasks run in both slots of the only worker, `w1`.
fn with_long_tasks(args: &[&str], job: &Job) -> (Cluster, Process) {
    let mut cluster = Cluster::builder().nameserver_args(&["--lease-ttl", "1s"]).start();
    cluster.add_worker_with("w1", args);
    cluster.wait_registered();
    let client = cluster.run_spawn(&[], job);
    cluster.wait_workers("both slots to be taken", |rows| rows.iter().any(|row| row.running == 2));
    (cluster, client)
}

#[test]
fn long_tasks_are_finished_and_what_waits_goes_elsewhere_uncounted() {
    let _alone = machine_alone();
    for ask in ASKS {
        let job = Job::sleeps(8, 2500);
        let (mut cluster, client) = with_long_tasks(&[], &job);
        cluster.add_worker("w2");
        ask(&mut cluster);
        cluster.worker("w1").expect_exit(0);
        let results = cluster.finish(client).expect(0).results();
        results.assert_exactly_once(job.ids()).assert_first_attempts();
        assert_eq!(results.by_worker().into_iter().collect::<Vec<_>>(), [("w1", 2), ("w2", 6)]);
    }
}

#[test]
fn a_leaving_worker_is_not_kept_by_the_tasks_of_a_client_that_is_gone() {
    let _shared = machine_shared();
    for ask in ASKS {
        // Far beyond the time that a drain may take.
        let (mut cluster, client) = with_long_tasks(&["--drain-timeout", "10m"], &Job::sleeps(4, 3_600_000));
        ask(&mut cluster);
        cluster.wait_workers("w1 to drain", |rows| rows.iter().any(|row| row.state == "draining"));
        drop(client);
        // An hour, if its tasks could not be cancelled any more.
        cluster.worker("w1").expect_exit(0);
    }
}

#[test]
fn a_task_that_outlasts_the_drain_is_done_elsewhere() {
    let _alone = machine_alone();
    for ask in ASKS {
        let job = Job::sleeps(2, 4000);
        let (mut cluster, client) = with_long_tasks(&["--drain-timeout", "300ms"], &job);
        cluster.add_worker("w2");
        let begun = Instant::now();
        ask(&mut cluster);
        cluster.worker("w1").expect_exit(0);
        // A drain that waited for the tasks would end when they do.
        assert!(begun.elapsed() < Duration::from_millis(3500), "{:?}", begun.elapsed());
        let results = cluster.finish(client).expect(0).results();
        results.assert_exactly_once(job.ids()).assert_all_ok();
        assert_eq!(results.by_worker().into_iter().collect::<Vec<_>>(), [("w2", 2)]);
    }
}
