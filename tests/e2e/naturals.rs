//! Sorts of integers without a sign: lists in task lines and in files, by every plan.

use harness::{cluster::Cluster, job::Job, npy, reference::word};
use serde_json::json;
use std::fs;

/// Numbers in a file, about half of them too large for a sign, and some of them equal. In order.
fn numbers(cluster: &Cluster, count: u64) -> Vec<u64> {
    let mut values: Vec<u64> = (0..count).map(|i| word(5, i) >> (i % 3) << (i % 7)).collect();
    cluster.file("in.npy", npy::encode("<u8", &[values.len()], values.iter().map(|x| x.to_le_bytes())));
    values.sort_unstable();
    values
}

fn read(cluster: &Cluster) -> Vec<u64> {
    let (descr, _, values) = npy::decode::<8>(&fs::read(cluster.path("out.npy")).unwrap());
    assert_eq!(descr, "<u8");
    values.into_iter().map(u64::from_le_bytes).collect()
}

#[test]
fn a_file_is_sorted_however_it_is_cut() {
    let cluster = Cluster::start(2);
    let mut values = numbers(&cluster, 200_000);
    for plan in ["one", "local", "split:2", "split:9", "auto"] {
        cluster.client(&["sort", "in.npy", "-o", "out.npy", "--plan", plan, "--verify"]).expect(0);
        assert!(read(&cluster) == values, "{plan}");
    }
    values.reverse();
    cluster.client(&["sort", "in.npy", "-o", "out.npy", "--desc", "--plan", "split:5"]).expect(0);
    assert!(read(&cluster) == values);
}

#[test]
fn a_file_that_does_not_fit_comes_out_in_order() {
    let terminal = Cluster::start(0);
    let mut values = numbers(&terminal, 300_000);
    let args = ["sort", "in.npy", "-o", "out.npy", "--memory", "1MiB", "--plan", "local", "--verify"];
    let run = terminal.client(&args).expect(0);
    assert!(run.stderr.starts_with("done here, through a temporary file, in "), "{}", run.stderr);
    assert!(read(&terminal) == values);
    values.reverse();
    terminal.client(&[&args[..], &["--desc"]].concat()).expect(0);
    assert!(read(&terminal) == values);
}

#[test]
fn a_line_says_of_which_type_its_numbers_are() {
    const HALF: u64 = 1 << 63;
    let cluster = Cluster::start(1);
    let values = numbers(&cluster, 1000);
    let random =
        |dtype: &str| json!({"task": "sort", "random": 1000, "seed": 3, "dtype": dtype, "return": "summary"});
    let lines = [
        json!({"task": "sort", "values": [u64::MAX, 1, HALF, 0]}),
        json!({"task": "sort", "values": [HALF, 7], "order": "desc", "return": "summary"}),
        json!({"task": "sort", "values": [2, 1], "dtype": "f64"}),
        json!({"task": "sort", "npy": "in.npy", "output": "out.npy", "dtype": "u64"}),
        random("u64"),
        random("i64"),
        random("f64"),
    ];
    let job = Job::of(lines.len(), |i| lines[i].clone());
    cluster.file("tasks.jsonl", job.lines());
    let results = cluster.client(&["run", "tasks.jsonl", "--verify"]).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    let output = |i: usize| results.get(job.ids()[i]).output.clone();
    assert_eq!(output(0)["values"], json!([0, 1, HALF, u64::MAX]));
    assert_eq!(output(1), json!({"len": 2, "first": HALF, "last": 7, "sum": HALF + 7}));
    assert_eq!(output(2)["values"], json!([1.0, 2.0]));
    assert!(read(&cluster) == values);
    let words = || (0..1000).map(|i| word(3, i));
    assert_eq!(output(4)["first"].as_u64(), words().min());
    assert_eq!(output(4)["last"].as_u64(), words().max());
    assert_eq!(output(5)["first"].as_i64(), words().map(u64::cast_signed).min());
    let least = words().min().unwrap() >> 11;
    assert_eq!(output(6)["first"].as_f64(), Some(least as f64 / (1u64 << 53) as f64));
}

#[test]
fn numbers_that_are_not_of_one_type_are_named() {
    let cluster = Cluster::start(1);
    numbers(&cluster, 10);
    for (line, said) in [
        (
            json!({"task": "sort", "values": [-1, u64::MAX]}),
            "values[1] is 18446744073709551615: a list with a negative number in it has integers of 64 bits with a sign",
        ),
        (
            json!({"task": "sort", "values": [1, -1], "dtype": "u64"}),
            "values[1] is -1: \"dtype\":\"u64\" takes integers of 64 bits, without a sign",
        ),
        (
            json!({"task": "sort", "npy": "in.npy", "dtype": "i64", "output": "out.npy"}),
            "\"dtype\" is \"i64\", and the file of npy is of dtype u64",
        ),
    ] {
        let job = Job::of(1, |_| line.clone());
        cluster.file("tasks.jsonl", job.lines());
        let results = cluster.client(&["run", "tasks.jsonl"]).expect(1).results();
        let error = results.get(job.ids()[0]).error.clone().unwrap();
        assert_eq!(error.code, "invalid-input");
        assert!(error.message.starts_with(&format!("line 1: {said}")), "{}", error.message);
    }
}

#[test]
fn a_wrong_order_is_caught_and_computed_elsewhere() {
    let mut cluster = Cluster::start(1);
    cluster.add_worker_with("liar", &["--wrong-answers", "1"]);
    cluster.wait_registered();
    let job = Job::of(30, |i| {
        let values: Vec<u64> = (0..50).map(|k| word(i as u64, k) | 1 << 63).collect();
        json!({"task": "sort", "values": values})
    });
    let run = cluster.run(&["--verify"], &job).expect(0);
    run.results().assert_exactly_once(job.ids()).assert_all_ok();
    assert_eq!(run.results().by_worker().into_keys().collect::<Vec<_>>(), ["w1"]);
    assert!(run.stderr.contains("a wrong answer worker=liar"), "{}", run.stderr);
    let values = numbers(&cluster, 50_000);
    cluster.client(&["sort", "in.npy", "-o", "out.npy", "--verify", "--plan", "split:4"]).expect(0);
    assert!(read(&cluster) == values);
}
