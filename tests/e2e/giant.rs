//! One large task as many pieces: the same answers as from one worker, whatever happens to a worker meanwhile.

use harness::{
    cluster::{Cluster, Run},
    job::Job,
    npy,
    reference::{Matrix, close, is_factorial, word},
};
use serde_json::json;
use std::{fs, path::Path};

/// Where nothing listens: the port is privileged and unassigned.
const NOBODY: &str = "127.0.0.1:1";

fn put_matrix(cluster: &Cluster, name: &str, matrix: &Matrix) {
    let elements = matrix.elements.iter().map(|x| x.to_le_bytes());
    cluster.file(name, npy::encode("<f8", &[matrix.rows, matrix.columns], elements));
}

/// Two factors in files, and their product.
fn factors(cluster: &Cluster) -> Matrix {
    let (a, b) = (Matrix::random(300, 170, 1), Matrix::random(170, 200, 2));
    put_matrix(cluster, "a.npy", &a);
    put_matrix(cluster, "b.npy", &b);
    a.times(&b)
}

fn assert_is_product(path: &Path, expected: &Matrix) {
    let (descr, shape, elements) = npy::decode::<8>(&fs::read(path).unwrap());
    assert_eq!((descr.as_str(), shape), ("<f8", vec![expected.rows, expected.columns]));
    assert_eq!(elements.len(), expected.elements.len());
    let mut pairs = elements.iter().map(|bytes| f64::from_le_bytes(*bytes)).zip(&expected.elements);
    assert!(pairs.all(|(left, right)| close(left, *right)));
}

/// Integers in a file, many of them equal, in order.
fn integers(cluster: &Cluster, count: u64) -> Vec<i64> {
    let value = |i| if i % 3 == 0 { 7 } else { word(5, i) as i64 >> (i % 50) };
    let mut values: Vec<i64> = (0..count).map(value).collect();
    cluster.file("in.npy", npy::encode("<i8", &[values.len()], values.iter().map(|x| x.to_le_bytes())));
    values.sort_unstable();
    values
}

fn read_integers(path: &Path) -> Vec<i64> {
    let (descr, _, values) = npy::decode::<8>(&fs::read(path).unwrap());
    assert_eq!(descr, "<i8");
    values.into_iter().map(i64::from_le_bytes).collect()
}

/// Runs a client that knows no cluster.
fn alone(terminal: &Cluster, args: &[&str]) -> Run {
    let mut command = terminal.command(&harness::binaries::programs().client);
    command.args(["--nameserver", NOBODY, "--wait-workers", "300ms"]).args(args);
    terminal.finish(terminal.spawn("client", command))
}

#[test]
fn a_product_is_the_same_however_it_is_computed() {
    let cluster = Cluster::start(2);
    let expected = factors(&cluster);
    for plan in ["one", "local", "split:1", "split:2", "split:7", "auto"] {
        let run = cluster.client(&["matmul", "a.npy", "b.npy", "-o", "c.npy", "--plan", plan]).expect(0);
        assert_is_product(&cluster.path("c.npy"), &expected);
        let pieces = ["split:2", "split:7"].contains(&plan);
        assert_eq!(run.stderr.contains("done by the workers, in pieces"), pieces, "{plan}: {}", run.stderr);
        fs::remove_file(cluster.path("c.npy")).unwrap();
    }
    // Little memory only means more tiles.
    let args = ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--plan", "split:2", "--memory", "100KiB"];
    cluster.client(&args).expect(0);
    assert_is_product(&cluster.path("c.npy"), &expected);
}

#[test]
fn a_sort_is_the_same_however_it_is_cut() {
    let cluster = Cluster::start(2);
    let mut values = integers(&cluster, 200_000);
    for plan in ["one", "local", "split:2", "split:9"] {
        cluster.client(&["sort", "in.npy", "-o", "out.npy", "--plan", plan]).expect(0);
        assert!(read_integers(&cluster.path("out.npy")) == values, "{plan}");
    }
    values.reverse();
    cluster.client(&["sort", "in.npy", "-o", "out.npy", "--desc", "--plan", "split:5"]).expect(0);
    assert!(read_integers(&cluster.path("out.npy")) == values);

    let text: String = (0..30_000).map(|i| format!("{:x}\n", word(9, i) >> (i % 60))).collect();
    cluster.file("in.txt", text.trim_end());
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    for plan in ["one", "local", "split:6"] {
        cluster.client(&["sort", "in.txt", "-o", "out.txt", "--plan", plan]).expect(0);
        let sorted = fs::read_to_string(cluster.path("out.txt")).unwrap();
        assert!(sorted.lines().eq(lines.iter().copied()) && sorted.len() == text.len(), "{plan}");
    }
}

#[test]
fn a_factorial_is_the_same_however_it_is_split() {
    let cluster = Cluster::start(2);
    let whole = cluster.client(&["factorial", "20000", "--plan", "one"]).expect(0).stdout;
    assert!(is_factorial(whole.trim_end(), 20_000));
    for plan in ["local", "split:1", "split:5", "split:8"] {
        let split = cluster.client(&["factorial", "20000", "0", "5", "--plan", plan]).expect(0).stdout;
        assert!(split == format!("{whole}1\n120\n"), "{plan}");
    }
}

#[test]
fn a_factorial_is_written_in_every_form_by_every_plan() {
    let cluster = Cluster::start(2);
    let factorial = |args: &[&str], plan: &str| {
        let all = [&["factorial"], args, &["--plan", plan, "-o", "out"]].concat();
        cluster.client(&all).expect(0);
        fs::read(cluster.path("out")).unwrap()
    };
    for plan in ["one", "local", "split:3", "auto"] {
        // 20! = 0x21c3677c82b40000 and 25! = 0xcd4a0619fb0907bc00000.
        assert_eq!(factorial(&["0", "20", "--format", "hex"], plan), b"1\n21c3677c82b40000\n", "{plan}");
        assert_eq!(factorial(&["25", "--format", "hex"], plan), b"cd4a0619fb0907bc00000\n", "{plan}");
        let raw = 2_432_902_008_176_640_000u64.to_le_bytes();
        assert_eq!(factorial(&["20", "--format", "raw"], plan), raw, "{plan}");
        assert_eq!(factorial(&["1000000", "5", "--format", "digits"], plan), b"5565709\n3\n", "{plan}");
        let text = String::from_utf8(factorial(&["100000", "3"], plan)).unwrap();
        let text = text.strip_suffix("\n6\n").unwrap();
        assert!(is_factorial(text, 100_000), "{plan}");
    }
    let run = cluster.client(&["factorial", "4", "5", "--format", "raw"]).expect(2);
    assert!(run.stderr.contains("--format raw writes one number, and there are 2"), "{}", run.stderr);
}

#[test]
fn a_factorial_that_is_given_up_leaves_what_was_done_before() {
    let terminal = Cluster::start(0);
    let full = ["factorial", "100000", "--plan", "local", "-o", "/dev/full"];
    let run = alone(&terminal, &full).expect(1);
    assert!(run.stderr.contains("cannot write /dev/full"), "{}", run.stderr);
    // Too large for anybody, after one that is not.
    let run = alone(&terminal, &["factorial", "5", "4294967296", "--plan", "local", "-o", "out"]).expect(1);
    assert!(run.stderr.contains("4294967296"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(terminal.path("out")).unwrap(), "120\n");
}

#[test]
fn an_old_file_of_factorials_stays_until_all_of_the_new_one_is_there() {
    let terminal = Cluster::start(0);
    fs::write(terminal.path("out"), "old\n").unwrap();
    let factorials = |n: &str| alone(&terminal, &["factorial", "5", n, "--plan", "local", "-o", "out"]);
    let run = factorials("4294967296").expect(1);
    assert!(run.stderr.contains("out is as it was"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(terminal.path("out")).unwrap(), "old\n");
    let names = fs::read_dir(terminal.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().ends_with(".part")));
    // What is empty is nothing.
    fs::write(terminal.path("new"), "").unwrap();
    let run = ["factorial", "5", "4294967296", "--plan", "local", "-o", "new"];
    alone(&terminal, &run).expect(1);
    assert_eq!(fs::read_to_string(terminal.path("new")).unwrap(), "120\n");
    factorials("6").expect(0);
    assert_eq!(fs::read_to_string(terminal.path("out")).unwrap(), "120\n720\n");
}

#[test]
fn a_worker_that_is_killed_with_pieces_changes_nothing() {
    // A short lease, because workers tell of their queues when they renew it.
    let mut cluster = Cluster::builder().workers(2).nameserver_args(&["--lease-ttl", "1s"]).start();
    let expected = factors(&cluster);
    // All slots are taken, so that pieces have to wait at both workers.
    let others = cluster.run_spawn(&[], &Job::sleeps(4, 5000));
    cluster.wait_workers("all slots to be taken", |rows| rows.iter().all(|row| row.running == 2));
    let client = cluster.client_spawn(&["matmul", "a.npy", "b.npy", "-o", "c.npy", "--plan", "split:12"]);
    cluster.wait_workers("pieces at w1", |rows| rows.iter().any(|row| row.name == "w1" && row.queued > 0));
    cluster.kill("w1");
    cluster.finish(client).expect(0);
    assert_is_product(&cluster.path("c.npy"), &expected);
    cluster.finish(others).expect(0);
}

#[test]
fn a_plan_is_explained_before_it_is_carried_out() {
    let cluster = Cluster::start(2);
    factors(&cluster);
    let command = ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--explain"];
    for (plan, said) in [
        ("one", "plan: as a whole on one worker, predicted to take "),
        ("split:4", "plan: split into 4 pieces over 4 slots, predicted to take "),
        ("local", "plan: local, "),
        ("auto", "plan: "),
    ] {
        let run = cluster.client(&[&command[..], &["--plan", plan]].concat()).expect(0);
        assert!(run.stderr.starts_with(said), "{plan}: {}", run.stderr);
        assert!(run.stderr.contains("measured: ") && run.stdout.is_empty(), "{plan}: {}", run.stderr);
    }
}

#[test]
fn task_lines_are_split_as_commands_are() {
    let cluster = Cluster::start(2);
    let expected = factors(&cluster);
    let values = integers(&cluster, 50_000);
    let lines = [
        json!({"id": "m", "task": "matmul", "a": {"npy": "a.npy"}, "b": {"npy": "b.npy"}, "output": "c.npy"}),
        json!({"id": "e", "task": "echo", "value": 1}),
        json!({"id": "s", "task": "sort", "npy": "in.npy", "output": "out.npy"}),
        json!({"id": "f", "task": "factorial", "n": 20_000}),
    ];
    let job = Job::of(lines.len(), |i| lines[i].clone());
    let run = cluster.run(&["--plan", "split:5", "--explain", "--verify"], &job).expect(0);
    let results = run.results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    for named in ["task m (line 1)", "task s (line 3)", "task f (line 4)"] {
        let said = format!("plan for {named}: split into 5 pieces over 4 slots, predicted to take ");
        assert!(run.stderr.contains(&said), "{}", run.stderr);
    }
    assert!(!run.stderr.contains("--plan local"), "it would be refused: {}", run.stderr);
    let who = |id| results.get(id).worker.is_some();
    assert_eq!(["m", "e", "s", "f"].map(who), [false, true, false, false]);
    assert_is_product(&cluster.path("c.npy"), &expected);
    assert!(read_integers(&cluster.path("out.npy")) == values);
    assert!(is_factorial(results.get("f").output["value"].as_str().unwrap(), 20_000));

    let refused = cluster.run(&["--plan", "local"], &job).expect(2);
    assert!(refused.stderr.contains("--local N"), "{}", refused.stderr);
}

#[test]
fn a_local_plan_needs_no_cluster_and_any_other_does() {
    let terminal = Cluster::start(0);
    let expected = factors(&terminal);
    let values = integers(&terminal, 1000);
    let product = ["matmul", "a.npy", "b.npy", "-o", "c.npy"];
    alone(&terminal, &[&product[..], &["--plan", "local"]].concat()).expect(0);
    assert_is_product(&terminal.path("c.npy"), &expected);
    alone(&terminal, &["sort", "in.npy", "-o", "out.npy", "--plan", "local", "--explain"]).expect(0);
    assert!(read_integers(&terminal.path("out.npy")) == values);
    assert_eq!(
        alone(&terminal, &["factorial", "20", "--plan", "local"]).expect(0).stdout,
        "2432902008176640000\n"
    );
    for plan in ["auto", "one", "split:2"] {
        alone(&terminal, &[&product[..], &["--plan", plan]].concat()).expect(3);
    }
    // What is empty is nobody's work.
    integers(&terminal, 0);
    terminal.file("in.txt", "");
    for (input, output) in [("in.npy", "out.npy"), ("in.txt", "out.txt")] {
        alone(&terminal, &["sort", input, "-o", output]).expect(0);
        let sorted = fs::read(terminal.path(output)).unwrap();
        assert!(sorted.is_empty() || npy::decode::<8>(&sorted).1 == [0]);
        alone(&terminal, &["sort", input, "-o", output, "--plan", "one"]).expect(3);
    }
}

#[test]
fn a_dash_is_standard_output() {
    let cluster = Cluster::start(1);
    let expected = factors(&cluster);
    let values = integers(&cluster, 1000);
    cluster.file("in.txt", "b\na");
    // Behind what is there already, and not over it.
    let bytes = |args: &[&str]| {
        let mut command = cluster.client_command(args);
        cluster.file("all", "before");
        let all = fs::OpenOptions::new().append(true).open(cluster.path("all")).unwrap();
        assert!(command.stdout(all).status().unwrap().success(), "{args:?}");
        fs::read(cluster.path("all")).unwrap().strip_prefix(b"before").unwrap().to_vec()
    };
    for plan in ["one", "local", "split:3"] {
        cluster.file("c.npy", bytes(&["matmul", "a.npy", "b.npy", "-o", "-", "--plan", plan]));
        assert_is_product(&cluster.path("c.npy"), &expected);
        cluster.file("out.npy", bytes(&["sort", "in.npy", "-o", "-", "--plan", plan]));
        assert!(read_integers(&cluster.path("out.npy")) == values, "{plan}");
        assert_eq!(bytes(&["sort", "in.txt", "-o", "-", "--plan", plan]), b"a\nb\n", "{plan}");
        assert_eq!(bytes(&["factorial", "5", "-o", "-", "--plan", plan]), b"120\n", "{plan}");
    }
    assert_eq!(bytes(&["sort", "in.txt", "-o", "-", "--memory", "1"]), b"a\nb\n");
    assert_eq!(cluster.client_with_input(&["sort", "-", "-o", "-"], "d\nc").expect(0).stdout, "c\nd\n");
    let line = r#"{"task":"sort","npy":"in.npy","output":"-"}"#;
    let run = cluster.client_with_input(&["run"], line).expect(1);
    assert!(run.stdout.contains("a file, not standard output"), "{}", run.stdout);
    assert!(!cluster.path("-").exists());
}

#[test]
fn wrong_answers_are_caught_and_computed_elsewhere() {
    let mut cluster = Cluster::start(1);
    cluster.add_worker_with("liar", &["--wrong-answers", "1"]);
    cluster.wait_registered();
    let random = |seed| json!({"random": [40, 30], "seed": seed});
    let job = Job::of(90, |i| match i % 3 {
        0 => json!({"task": "factorial", "n": 50 + i}),
        1 => json!({"task": "sort", "values": (0..50).map(|k| word(i as u64, k) >> 20).collect::<Vec<_>>()}),
        _ => json!({"task": "matmul", "a": random(i), "b": {"random": [30, 20], "seed": i}}),
    });
    let trusted = cluster.run(&[], &job);
    assert!(trusted.results().by_worker().contains_key("liar"), "without a check it is believed");
    let run = cluster.run(&["--verify"], &job).expect(0);
    let results = run.results();
    results.assert_exactly_once(job.ids());
    assert_eq!(results.by_worker().into_keys().collect::<Vec<_>>(), ["w1"]);
    assert!(results.all().iter().any(|result| result.attempts > 1));
    assert!(run.stderr.contains("a wrong answer worker=liar"), "{}", run.stderr);
    assert!(run.stdout.lines().all(|line| line.contains("\"verified\":true")), "{}", run.stdout);
    let (id, value) = ("t30", harness::reference::factorial(80));
    assert_eq!(results.get(id).output["value"], value);

    let expected = factors(&cluster);
    let args = ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--verify", "--plan", "split:6"];
    cluster.client(&args).expect(0);
    assert_is_product(&cluster.path("c.npy"), &expected);
    let values = integers(&cluster, 50_000);
    cluster.client(&["sort", "in.npy", "-o", "out.npy", "--verify", "--plan", "split:4"]).expect(0);
    assert!(read_integers(&cluster.path("out.npy")) == values);
    for plan in ["one", "split:4"] {
        let text = cluster.client(&["factorial", "5000", "--verify", "--plan", plan]).expect(0).stdout;
        assert!(is_factorial(text.trim_end(), 5000), "{plan}");
    }
}

#[test]
fn what_is_no_task_is_refused_by_every_plan_alike() {
    let cluster = Cluster::start(1);
    factors(&cluster);
    for plan in ["one", "split:3", "local"] {
        let run = cluster.client(&["matmul", "a.npy", "a.npy", "-o", "c.npy", "--plan", plan]).expect(2);
        assert!(run.stderr.contains("a is 300 x 170 and b is 300 x 170"), "{plan}: {}", run.stderr);
        assert!(!cluster.path("c.npy").exists());
        let left = fs::read_dir(cluster.path(".")).unwrap().filter_map(Result::ok);
        assert!(left.map(|file| file.file_name()).all(|name| !name.to_string_lossy().ends_with(".part")));
    }
}

#[test]
fn workers_that_are_busy_for_long_are_not_waited_for_to_plan() {
    for (workers, sleepers) in [(1, 1), (2, 1), (3, 2)] {
        let cluster = Cluster::builder().workers(workers).slots(1).start();
        let busy = cluster.run_spawn(&[], &Job::sleeps(sleepers, 600_000));
        cluster.wait_workers("the tasks to run", |rows| {
            rows.iter().filter(|row| row.running == 1).count() == sleepers
        });
        // Too large to be sent to a worker unmeasured.
        cluster.file("in", (0..2_000_000u64).map(|i| format!("{:x}\n", word(1, i))).collect::<String>());
        let run = cluster.client(&["sort", "in", "-o", "out", "--explain"]).expect(0);
        assert!(run.stderr.contains("plan: local"), "{}", run.stderr);
        assert!(run.stderr.contains(" there and back, as some are busy"), "{}", run.stderr);
        // The link to one that is idle is measured all the same.
        for unknown in [" on a worker, 3 MB/s and ", " 2500.0 ms there"] {
            assert_eq!(run.stderr.contains(unknown), workers == sleepers, "{}", run.stderr);
        }
        drop(busy);
    }
}

#[test]
fn a_small_task_goes_to_a_worker_whatever_is_predicted_and_that_is_said() {
    let cluster = Cluster::start(1);
    cluster.file("in", "b\na\n");
    for (plan, said) in [("auto", true), ("one", false), ("local", false)] {
        let run = cluster.client(&["sort", "in", "-o", "out", "--plan", plan, "--explain"]).expect(0);
        assert_eq!(run.stderr.contains("it is small: "), said, "{}", run.stderr);
    }
}
