//! A user's own worker: the example that estimates pi, driven by the stock client with plain JSON.

use harness::{binaries::pi_worker, cluster::Cluster, job::Job};
use serde_json::{Value, json};

/// The one number of an output that could be pi.
fn estimate(output: &Value) -> Option<f64> {
    let numbers = output.as_object()?.values().filter_map(Value::as_f64);
    numbers.into_iter().find(|number| (2.0..4.0).contains(number))
}

fn pi_tasks(count: usize) -> Job {
    Job::of(count, |i| json!({"task": "pi", "samples": 200_000, "seed": i}))
}

#[test]
fn a_kind_of_a_users_own_is_driven_by_the_stock_client() {
    let mut cluster = Cluster::start(0);
    cluster.add_worker_of(pi_worker(), "p1", &[]);
    let rows = cluster.wait_registered();
    assert!(rows[0].kinds.iter().any(|kind| kind == "pi"), "{rows:?}");
    let job = pi_tasks(20);
    let results = cluster.run(&[], &job).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    for result in results.all() {
        assert!(
            estimate(&result.output).is_some_and(|pi| (pi - std::f64::consts::PI).abs() < 0.05),
            "{result:?}"
        );
    }
    // Kernels are pure: the same seed is the same estimate.
    assert_eq!(cluster.run(&[], &job).expect(0).results().get("t3").output, results.get("t3").output);
}

#[test]
fn each_task_goes_to_a_worker_that_serves_its_kind() {
    let mut cluster = Cluster::start(1);
    cluster.add_worker_of(pi_worker(), "p1", &[]);
    cluster.wait_registered();
    let mut job = pi_tasks(20);
    (0..20).for_each(|n| job.add(json!({"task": "factorial", "n": n})));
    job.add(json!({"id": "nobody", "task": "no-such-kind"}));
    let results = cluster.run(&[], &job).expect(1).results();
    results.assert_exactly_once(job.ids());
    for result in results.all().iter().filter(|result| result.task.as_deref() == Some("pi")) {
        assert_eq!(result.worker.as_deref(), Some("p1"), "{result:?}");
    }
    assert_eq!(results.get("t20").output["value"], "1");
    assert_eq!(results.get("nobody").error.as_ref().unwrap().code, "unsupported-task");
}

#[test]
fn a_bad_input_of_a_users_kind_is_its_own_error() {
    let mut cluster = Cluster::start(0);
    cluster.add_worker_of(pi_worker(), "p1", &[]);
    cluster.wait_registered();
    let inputs = [json!({"task": "pi"}), json!({"task": "pi", "samples": "many", "seed": 1})];
    let job = Job::of(inputs.len(), |i| inputs[i].clone());
    let results = cluster.run(&[], &job).expect(1).results();
    for result in results.assert_exactly_once(job.ids()).all() {
        assert_eq!(result.error.as_ref().unwrap().code, "invalid-input", "{result:?}");
    }
}
