//! Short tasks whose results are known: a task lost is missed, and one mixed up with another shows.

use harness::{
    job::Job,
    reference::{factorial, word},
    results::Results,
};
use serde_json::{Value, json};

/// How long the longest sleeps, in milliseconds.
const LONGEST: u64 = 20;

/// What decides the details of a task.
fn detail(index: usize, place: u64) -> u64 {
    word(index as u64, place)
}

/// A task of five to twenty milliseconds, or of none at all, by its number.
pub(crate) fn task(index: usize) -> Value {
    let mut task = match index % 8 {
        0 => json!({"task": "factorial", "n": detail(index, 0) % 200}),
        1 => json!({"task": "sort", "values": numbers(index), "order": "desc"}),
        2 => json!({"task": "matmul", "a": square(index, 0), "b": square(index, 4)}),
        3 => json!({"task": "echo", "value": [index]}),
        _ => json!({"task": "sleep", "ms": 5 + detail(index, 0) % (LONGEST - 4)}),
    };
    task["id"] = id(index).into();
    task
}

/// So many tasks.
pub(crate) fn job(count: usize) -> Job {
    Job::of(count, task)
}

/// A task's name.
pub(crate) fn id(index: usize) -> String {
    format!("t{index}")
}

/// Requires one right result for each of the first so many tasks.
pub(crate) fn assert_right(results: &Results, count: usize) {
    let ids: Vec<String> = (0..count).map(id).collect();
    results.assert_exactly_once(ids.iter().map(String::as_str)).assert_all_ok();
    for result in results.all() {
        let expected = output(result.id[1..].parse().unwrap());
        assert_eq!(result.output, expected, "{} is wrong: {result:?}", result.id);
    }
}

fn output(index: usize) -> Value {
    match index % 8 {
        0 => {
            let value = factorial(detail(index, 0) % 200);
            json!({"digits": value.len(), "value": value})
        }
        1 => {
            let mut values = numbers(index);
            values.sort_by(|left, right| right.cmp(left));
            json!({ "values": values })
        }
        2 => {
            let ([[a, b], [c, d]], [[e, f], [g, h]]) = (square(index, 0), square(index, 4));
            json!({"c": [[a * e + b * g, a * f + b * h], [c * e + d * g, c * f + d * h]]})
        }
        3 => json!({"value": [index]}),
        _ => json!({"ms": 5 + detail(index, 0) % (LONGEST - 4)}),
    }
}

fn numbers(index: usize) -> Vec<i64> {
    (0..detail(index, 0) % 100).map(|place| detail(index, place + 1) as i64).collect()
}

/// A matrix of small whole numbers, whose products are exact.
fn square(index: usize, place: u64) -> [[f64; 2]; 2] {
    let element = |k| (detail(index, place + k) % 1000) as f64;
    [[element(0), element(1)], [element(2), element(3)]]
}

#[test]
fn a_wrong_a_missing_and_a_repeated_result_are_noticed() {
    let line = |index: usize| {
        json!({"id": id(index), "status": "ok", "attempts": 1, "output": output(index)}).to_string()
    };
    let check = |lines: Vec<String>| {
        std::panic::catch_unwind(|| assert_right(&Results::parse(lines.iter().map(String::as_str)), 8))
            .is_ok()
    };
    let lines: Vec<String> = (0..8).map(line).collect();
    assert!(check(lines.clone()));
    assert!(!check(lines[1..].to_vec()));
    assert!(!check([&lines[..], &lines[..1]].concat()));
    // Sleeps are as good as one another.
    for wrong in 0..4 {
        let other =
            lines[wrong + 1].replace(&format!("\"{}\"", id(wrong + 1)), &format!("\"{}\"", id(wrong)));
        let mut lines = lines.clone();
        lines[wrong] = other;
        assert!(!check(lines), "the result of another task passed for that of t{wrong}");
    }
}
