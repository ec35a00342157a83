//! Many tasks on a worker that is often wrong and one that is not, with `--verify`.

use harness::{
    cluster::Cluster,
    job::Job,
    reference::{Matrix, close, factorial, word},
    results::TaskResult,
};
use serde_json::{Value, json};

const TASKS: usize = 10_000;
const SHAPE: [usize; 3] = [9, 7, 5];

/// Task `i`: of one of the three kinds.
fn task(i: usize) -> Value {
    let [m, k, n] = SHAPE;
    match i % 3 {
        0 => json!({"task": "factorial", "n": i % 120}),
        1 => json!({"task": "sort", "values": keys(i)}),
        _ => {
            json!({"task": "matmul", "a": {"random": [m, k], "seed": i}, "b": {"random": [k, n], "seed": i + 1}})
        }
    }
}

fn keys(i: usize) -> Vec<u64> {
    (0..20).map(|k| word(i as u64, k) >> 20).collect()
}

/// Whether this is what task `i` comes to, computed another way.
fn is_right(i: usize, output: &Value) -> bool {
    match i % 3 {
        0 => output["value"] == factorial(i as u64 % 120),
        1 => {
            let mut sorted = keys(i);
            sorted.sort_unstable();
            output["values"] == json!(sorted)
        }
        _ => {
            let [m, k, n] = SHAPE;
            let expected = Matrix::random(m, k, i as u64).times(&Matrix::random(k, n, i as u64 + 1));
            let rows = output["c"].as_array().into_iter().flatten();
            let elements: Vec<f64> =
                rows.flat_map(|row| row.as_array().unwrap()).filter_map(Value::as_f64).collect();
            elements.len() == m * n && elements.iter().zip(&expected.elements).all(|(x, y)| close(*x, *y))
        }
    }
}

fn wrong(results: &[TaskResult]) -> usize {
    let index = |result: &TaskResult| result.id.strip_prefix('t').unwrap().parse().unwrap();
    results.iter().filter(|result| !is_right(index(result), &result.output)).count()
}

#[test]
fn none_of_ten_thousand_verified_results_is_wrong() {
    let mut cluster = Cluster::start(1);
    cluster.add_worker_with("liar", &["--wrong-answers", "0.3"]);
    cluster.wait_registered();
    let job = Job::of(TASKS, task);
    let believed = cluster.run(&[], &job).results();
    assert!(wrong(believed.all()) > 0, "without a check it is believed");
    let run = cluster.run(&["--verify"], &job).expect(0);
    let results = run.results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    assert_eq!(wrong(results.all()), 0);
    let (by_worker, again) = (results.by_worker(), results.all().iter().filter(|r| r.attempts > 1).count());
    assert!(by_worker.contains_key("liar") && again > 0, "{by_worker:?} {again}");
    let caught = run.stderr.matches("a wrong answer worker=liar").count();
    println!(
        "{TASKS} tasks: 0 wrong with --verify, {} without; by worker {by_worker:?}, {caught} answers of liar's rejected, {again} \
         tasks computed again",
        wrong(believed.all())
    );
}
