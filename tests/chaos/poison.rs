//! A task that kills whoever runs it.

use crate::machine_shared;
use harness::{
    cluster::Cluster,
    job::Job,
    results::{Results, TaskResult},
};
use serde_json::json;

/// So many good tasks of that many milliseconds with the deadly one in their middle.
fn poisoned(good: usize, ms: u64) -> Job {
    let mut job = Job::sleeps(good / 2, ms);
    job.add(json!({"id": "poison", "task": "abort"}));
    (0..good - good / 2).for_each(|_| job.add(json!({"task": "sleep", "ms": ms})));
    job
}

/// Requires that the good tasks are done and the other was given up after three deaths, each of them told.
fn assert_contained(results: &Results, job: &Job) {
    results.assert_exactly_once(job.ids());
    let failed: Vec<&TaskResult> = results.all().iter().filter(|result| result.error.is_some()).collect();
    let [TaskResult { id, attempts, error: Some(error), .. }] = &failed[..] else {
        panic!("not one failure: {failed:#?}");
    };
    assert_eq!((id.as_str(), error.code.as_str(), *attempts), ("poison", "gave-up", 3), "{error:?}");
    let met: Vec<&str> = error.message.split("attempt ").skip(1).collect();
    assert_eq!(met.len(), 3, "not what each attempt met: {}", error.message);
    for (number, met) in (1..).zip(&met) {
        let told = met.starts_with(&format!("{number} on w")) && met.contains("connection was lost");
        assert!(told, "not what attempt {number} met: {met:?}");
    }
}

#[test]
fn a_task_that_kills_its_workers_is_given_up_and_its_neighbours_are_not_blamed() {
    let _shared = machine_shared();
    for ms in [10, 200] {
        // Short leases: the list of workers is soon that of the living.
        let mut cluster = Cluster::builder().workers(6).nameserver_args(&["--lease-ttl", "1s"]).start();
        (1..=6).for_each(|number| cluster.worker(&format!("w{number}")).let_end());
        let job = poisoned(120, ms);
        let results = cluster.run(&[], &job).expect(1).results();
        assert_contained(&results, &job);
        let alive = cluster.wait_workers("three workers to be left", |rows| rows.len() == 3);
        // They are not only listed.
        let job = Job::sleeps(30, 10);
        let results = cluster.run(&[], &job).expect(0).results();
        results.assert_exactly_once(job.ids()).assert_first_attempts();
        assert!(results.by_worker().keys().all(|name| alive.iter().any(|row| row.name == *name)));
    }
}
