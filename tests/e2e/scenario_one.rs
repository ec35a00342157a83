//! Scenario 1: one worker, many tasks.

use harness::{
    cluster::Cluster,
    job::Job,
    reference::{Matrix, close, factorial, word},
};
use serde_json::{Value, json};
use std::fs;

/// So many tasks of all kinds, and what each computes; `close` decides where doubles are rounded.
fn mixed(count: usize) -> (Job, Vec<Value>) {
    let mut outputs = Vec::new();
    let job = Job::of(count, |i| {
        let n = i as u64;
        let (task, output) = match i % 6 {
            0 => {
                let value = factorial(n);
                (json!({"task": "factorial", "n": n}), json!({"digits": value.len(), "value": value}))
            }
            1 => {
                let mut values: Vec<i64> = (0..n).map(|k| word(n, k) as i64).collect();
                let task = json!({"task": "sort", "values": values});
                values.sort();
                (task, json!({ "values": values }))
            }
            2 => {
                let mut values: Vec<String> = (0..n).map(|k| format!("{:x}", word(n, k) >> 48)).collect();
                let task = json!({"task": "sort", "values": values, "order": "desc"});
                values.sort_by(|left, right| right.cmp(left));
                (task, json!({ "values": values }))
            }
            3 => {
                let x = n as f64;
                (
                    json!({"task": "matmul", "a": [[1, 2], [3, x]], "b": [[5, 6], [7, 8]]}),
                    json!({"c": [[19.0, 22.0], [15.0 + 7.0 * x, 18.0 + 8.0 * x]]}),
                )
            }
            4 => {
                let (a, b) = (Matrix::random(33, 17, n), Matrix::random(17, 29, n + 1));
                let product = a.times(&b);
                (
                    json!({"task": "matmul", "a": {"random": [33, 17], "seed": n},
                           "b": {"random": [17, 29], "seed": n + 1}, "return": "summary"}),
                    json!({"shape": [33, 29], "sum": product.sum(), "trace": product.trace()}),
                )
            }
            _ => {
                let values = || (0..1000).map(|k| word(n, k) as i64);
                (
                    json!({"task": "sort", "random": 1000, "seed": n, "return": "summary"}),
                    json!({"len": 1000, "first": values().min(), "last": values().max()}),
                )
            }
        };
        outputs.push(output);
        task
    });
    (job, outputs)
}

/// Whether an output has every field of the expected one, with the same value but for rounding.
fn agrees(output: &Value, expected: &Value) -> bool {
    match (output, expected) {
        (Value::Object(output), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| output.get(name).is_some_and(|output| agrees(output, value)))
        }
        (Value::Array(output), Value::Array(expected)) => {
            output.len() == expected.len()
                && output.iter().zip(expected).all(|(left, right)| agrees(left, right))
        }
        (Value::Number(output), Value::Number(expected)) if expected.is_f64() => {
            close(output.as_f64().unwrap(), expected.as_f64().unwrap())
        }
        _ => output == expected,
    }
}

fn assert_right(job: &Job, outputs: &[Value], results: &harness::results::Results) {
    for (id, expected) in job.ids().into_iter().zip(outputs) {
        let output = &results.get(id).output;
        assert!(agrees(output, expected), "{id}: {output}\nis not {expected}");
    }
}

#[test]
fn one_worker_does_many_tasks_of_every_kind_and_every_result_is_right() {
    let cluster = Cluster::start(1);
    let (job, outputs) = mixed(240);
    let run = cluster.run(&[], &job).expect(0);
    let results = run.results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert_eq!(results.by_worker().into_iter().collect::<Vec<_>>(), [("w1", 240)]);
    assert_right(&job, &outputs, &results);
    assert!(results.all().iter().all(|result| result.run_ms.is_some_and(|ms| ms >= 0.0)));
}

#[test]
fn the_embedded_cluster_needs_nothing_else_started() {
    let cluster = Cluster::start(0);
    let (job, outputs) = mixed(60);
    cluster.file("tasks.jsonl", job.lines());
    let mut command = cluster.command(&harness::binaries::programs().client);
    command.args(["--local", "2", "run", "tasks.jsonl"]);
    let run = cluster.finish(cluster.spawn("client", command)).expect(0);
    let results = run.results();
    results.assert_exactly_once(job.ids()).assert_first_attempts();
    assert_eq!(results.by_worker().len(), 2, "{:?}", results.by_worker());
    assert_right(&job, &outputs, &results);
}

#[test]
fn results_come_as_tasks_finish_unless_order_is_asked_for() {
    let cluster = Cluster::start(1);
    let mut job = Job::new();
    job.add(json!({"task": "sleep", "ms": 1500}));
    (0..10).for_each(|_| job.add(json!({"task": "echo", "value": null})));

    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(1);
    let first = harness::results::result(&client.lines()[0]);
    assert_ne!(first.id, "t0", "a short task waited for a long one");
    cluster.finish(client).expect(0).results().assert_exactly_once(job.ids());

    let run = cluster.run(&["--ordered"], &job).expect(0);
    let results = run.results();
    let order: Vec<&str> = results.all().iter().map(|result| result.id.as_str()).collect();
    assert_eq!(order, job.ids());
}

#[test]
fn echoed_values_come_back_as_they_went() {
    let cluster = Cluster::start(1);
    let values = [
        json!(null),
        json!([true, {"deep": [[], {}]}]),
        json!(0.1),
        json!(1e-300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("\u{0}\n\"\\ é 🦀"),
    ];
    let job = Job::of(values.len(), |i| json!({"task": "echo", "value": values[i]}));
    let results = cluster.run(&[], &job).expect(0).results();
    for (id, value) in job.ids().into_iter().zip(&values) {
        assert_eq!(&results.get(id).output["value"], value);
    }
}

#[test]
fn results_go_to_the_output_file_when_one_is_named() {
    let cluster = Cluster::start(1);
    let job = Job::of(20, |i| json!({"task": "factorial", "n": i}));
    let run = cluster.run(&["--output", "results.jsonl"], &job).expect(0);
    assert_eq!(run.stdout, "");
    let written = fs::read_to_string(cluster.path("results.jsonl")).unwrap();
    harness::results::Results::parse(written.lines()).assert_exactly_once(job.ids()).assert_all_ok();
}
