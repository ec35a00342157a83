//! Files in and out: `.npy` arrays, texts, and numbers of a million digits, against other ways to the same
//! answers.

use harness::{
    binaries::programs,
    cluster::{Cluster, Run},
    job::Job,
    npy,
    reference::{Matrix, close, is_factorial, word},
    wait::eventually,
};
use serde_json::json;
use std::{fs, io::Write, os::unix::fs::symlink, path::Path, process::Command};

fn encode(matrix: &Matrix) -> Vec<u8> {
    npy::encode("<f8", &[matrix.rows, matrix.columns], matrix.elements.iter().map(|x| x.to_le_bytes()))
}

fn assert_is_product(bytes: &[u8], expected: &Matrix) {
    let (descr, shape, elements) = npy::decode::<8>(bytes);
    assert_eq!((descr.as_str(), shape), ("<f8", vec![expected.rows, expected.columns]));
    let agree =
        elements.iter().zip(&expected.elements).all(|(left, right)| close(f64::from_le_bytes(*left), *right));
    assert!(agree && elements.len() == expected.elements.len());
}

#[test]
fn a_product_of_npy_files_is_the_product() {
    let cluster = Cluster::start(1);
    let (a, b) = (Matrix::random(513, 257, 1), Matrix::random(257, 389, 2));
    cluster.file("a.npy", encode(&a));
    cluster.file("b.npy", encode(&b));
    let expected = a.times(&b);

    cluster.client(&["matmul", "a.npy", "b.npy", "-o", "c.npy"]).expect(0);
    assert_is_product(&fs::read(cluster.path("c.npy")).unwrap(), &expected);

    // The same as a task, with paths that are relative to the task file, wherever the client runs.
    fs::create_dir(cluster.path("deep")).unwrap();
    let (a, b) = (json!({"npy": "../a.npy"}), json!({"npy": "../b.npy"}));
    let task = json!({"id": "m", "task": "matmul", "a": a, "b": b, "output": "d.npy"});
    cluster.file("deep/tasks.jsonl", task.to_string());
    let result = cluster.client(&["run", "deep/tasks.jsonl"]).expect(0).results().get("m").clone();
    assert_eq!(result.output["shape"], json!([513, 389]));
    assert_is_product(&fs::read(cluster.path("deep/d.npy")).unwrap(), &expected);
}

#[test]
fn an_npy_file_is_sorted_either_way() {
    let cluster = Cluster::start(1);
    let mut values: Vec<i64> = (0..300_000).map(|i| word(5, i) as i64).collect();
    cluster.file("in.npy", npy::encode("<i8", &[values.len()], values.iter().map(|x| x.to_le_bytes())));
    values.sort();
    for (flag, reverse) in [(None, false), (Some("--desc"), true)] {
        let args: Vec<&str> = ["sort", "in.npy", "-o", "out.npy"].into_iter().chain(flag).collect();
        cluster.client(&args).expect(0);
        let (descr, shape, sorted) = npy::decode::<8>(&fs::read(cluster.path("out.npy")).unwrap());
        assert_eq!((descr.as_str(), shape), ("<i8", vec![values.len()]));
        let mut sorted: Vec<i64> = sorted.into_iter().map(i64::from_le_bytes).collect();
        if reverse {
            sorted.reverse();
        }
        assert!(sorted == values);
    }
}

#[test]
fn doubles_are_sorted_in_the_total_order_with_nan_last() {
    let cluster = Cluster::start(1);
    let values = [f64::NAN, 1.5, f64::INFINITY, -0.0, 0.0, f64::NEG_INFINITY, -f64::NAN, 5e-324, -1.5];
    cluster.file("in.npy", npy::encode("<f8", &[values.len()], values.iter().map(|x| x.to_le_bytes())));
    cluster.client(&["sort", "in.npy", "-o", "out.npy"]).expect(0);
    let (_, _, sorted) = npy::decode::<8>(&fs::read(cluster.path("out.npy")).unwrap());
    let sorted: Vec<f64> = sorted.into_iter().map(f64::from_le_bytes).collect();
    let numbers = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 5e-324, 1.5, f64::INFINITY];
    assert_eq!(sorted[..7].iter().map(|x| x.to_bits()).collect::<Vec<_>>(), numbers.map(f64::to_bits));
    assert!(sorted[7..].iter().all(|x| x.is_nan()));
}

#[test]
fn a_text_is_sorted_as_the_system_sorts_it() {
    let cluster = Cluster::start(1);
    let line = |i| {
        let word = word(9, i);
        String::from_utf8_lossy(&word.to_le_bytes()[..(word % 9) as usize]).replace(['\n', '\0'], " ")
    };
    for end in ["\n", ""] {
        let text = (0..20_000).map(line).collect::<Vec<_>>().join("\n") + "\nlast" + end;
        cluster.file("in.txt", &text);
        cluster.client(&["sort", "in.txt", "-o", "out.txt"]).expect(0);
        let mut system = Command::new("sort");
        let expected = system.env("LC_ALL", "C").arg(cluster.path("in.txt")).output().unwrap().stdout;
        assert!(fs::read(cluster.path("out.txt")).unwrap() == expected, "the text ended in {end:?}");
    }
}

#[test]
fn a_factorial_of_a_million_digits_is_exact() {
    let cluster = Cluster::start(1);
    cluster.client(&["factorial", "200000", "-o", "f.txt"]).expect(0);
    let text = fs::read_to_string(cluster.path("f.txt")).unwrap();
    let digits = text.trim_end();
    assert_eq!(digits.len(), 973_351);
    assert!(is_factorial(digits, 200_000));

    let run = cluster.client(&["factorial", "5", "20"]).expect(0);
    assert!(run.stdout.contains("120") && run.stdout.contains("2432902008176640000"), "{}", run.stdout);
}

#[test]
fn an_array_of_the_wrong_type_or_shape_is_an_error_that_names_both() {
    let cluster = Cluster::start(1);
    cluster.file("small.npy", npy::encode("<f2", &[2, 2], [[0; 2]; 4]));
    cluster.file("flat.npy", npy::encode("<f8", &[4], [[0; 8]; 4]));
    cluster.file("torn.npy", &npy::encode("<f8", &[2, 2], [[0; 8]; 4])[..100]);
    cluster.file("text.npy", "not an array");
    let inputs =
        [("small.npy", "f2"), ("flat.npy", "(4"), ("torn.npy", "torn.npy"), ("text.npy", "text.npy")];
    let job = Job::of(
        inputs.len(),
        |i| json!({"task": "matmul", "a": {"npy": inputs[i].0}, "b": [[1, 2], [3, 4]]}),
    );
    cluster.file("tasks.jsonl", job.lines());
    let results = cluster.client(&["run", "tasks.jsonl"]).expect(1).results();
    results.assert_exactly_once(job.ids());
    for (id, (_, named)) in job.ids().into_iter().zip(inputs) {
        let error = results.get(id).error.clone().unwrap();
        assert_eq!(error.code, "invalid-input");
        assert!(error.message.contains(named), "{named} is not in: {}", error.message);
    }
}

#[test]
fn no_task_writes_over_the_tasks_or_the_results_of_its_job() {
    let terminal = Cluster::start(0);
    let line = |id: &str, output: &str| {
        format!(r#"{{"id":"{id}","task":"matmul","a":[[2]],"b":[[3]],"output":"{output}"}}"#)
    };
    let tasks = [
        line("tasks", "tasks.jsonl"),
        line("results", "results.jsonl"),
        line("link", "link"),
        line("own", "c.npy"),
    ];
    let tasks = tasks.join("\n");
    fs::write(terminal.path("tasks.jsonl"), &tasks).unwrap();
    symlink(terminal.path("results.jsonl"), terminal.path("link")).unwrap();
    for run in [
        "run tasks.jsonl --output results.jsonl",
        "run - <tasks.jsonl >results.jsonl",
        "run tasks.jsonl --output results.jsonl --resume",
    ] {
        if run.ends_with("--resume") {
            // All but the first line are to be done again.
            let results = fs::read_to_string(terminal.path("results.jsonl")).unwrap();
            fs::write(terminal.path("results.jsonl"), results.split_inclusive('\n').next().unwrap()).unwrap();
        }
        let stderr = in_a_shell(&terminal, &format!(r#""$0" --local 2 {run}"#)).expect(1).stderr;
        assert_eq!(fs::read_to_string(terminal.path("tasks.jsonl")).unwrap(), tasks);
        let results = fs::read_to_string(terminal.path("results.jsonl")).unwrap();
        assert_eq!(results.lines().count(), 4, "{run}: {results}");
        for line in results.lines() {
            assert_eq!(line.contains("name another"), !line.contains(r#""id":"own""#), "{run}: {line}");
        }
        assert!(fs::remove_file(terminal.path("c.npy")).is_ok(), "{run}: {stderr}");
    }
}

#[test]
fn what_one_line_writes_no_other_line_names_also_when_the_job_is_gone_on_with() {
    let terminal = Cluster::start(0);
    let scaled = |id: &str, from: &str, output: &str| {
        format!(r#"{{"id":"{id}","task":"matmul","a":{{"npy":"{from}"}},"b":[[10]],"output":"{output}"}}"#)
    };
    let one = Matrix { rows: 1, columns: 1, elements: vec![1.0] };
    let tasks = [
        scaled("first", "a.npy", "c.npy"),
        scaled("again", "a.npy", "./c.npy"),
        scaled("reader", "c.npy", "d.npy"),
        scaled("over", "b.npy", "a.npy"),
        scaled("own", "b.npy", "b.npy"),
    ];
    terminal.file("tasks.jsonl", tasks.join("\n"));
    let run = |resume: &str| {
        for name in ["a.npy", "b.npy"] {
            terminal.file(name, encode(&one));
        }
        let script = format!(r#""$0" --local 1 run tasks.jsonl -o results.jsonl {resume}"#);
        in_a_shell(&terminal, &script).expect(1);
        let results = fs::read_to_string(terminal.path("results.jsonl")).unwrap();
        let (done, refused): (Vec<_>, Vec<_>) =
            results.lines().partition(|line| line.contains(r#""status":"ok""#));
        assert!(done.len() == 1 && done[0].contains("first"), "{results}");
        assert!(refused.len() == 4 && refused.iter().all(|line| line.contains("invalid-input")), "{results}");
        assert_is_product(
            &fs::read(terminal.path("c.npy")).unwrap(),
            &Matrix { elements: vec![10.0], ..one.clone() },
        );
        for name in ["a.npy", "b.npy"] {
            assert_is_product(&fs::read(terminal.path(name)).unwrap(), &one);
        }
        assert!(!terminal.path("d.npy").exists());
        done[0].to_owned() + "\n"
    };
    let first = run("");
    // As if it had been killed when that one was done.
    terminal.file("results.jsonl", first);
    run("--resume");
}

#[test]
fn a_job_whose_results_are_removed_ends_and_one_whose_results_are_moved_goes_on() {
    let cluster = Cluster::start(1);
    for (what, code) in [("replaced", 1), ("removed", 1), ("cut off", 1), ("moved", 0)] {
        let _ = fs::remove_file(cluster.path("results.jsonl"));
        let mut client = cluster.client_spawn(&["run", "-", "--output", "results.jsonl"]);
        // It runs for as long as there may be more tasks.
        let mut tasks = client.take_stdin();
        tasks.write_all(Job::sleeps(1, 0).lines().as_bytes()).unwrap();
        let is_begun = || fs::read(cluster.path("results.jsonl")).is_ok_and(|results| !results.is_empty());
        eventually("a result", || is_begun().then_some(()));
        let (results, other) = (cluster.path("results.jsonl"), cluster.path("other"));
        match what {
            "replaced" => {
                fs::write(&other, "other").unwrap();
                fs::rename(&other, &results).unwrap();
            }
            "removed" => fs::remove_file(&results).unwrap(),
            "cut off" => fs::write(&results, "").unwrap(),
            _ => fs::rename(&results, &other).unwrap(),
        }
        let second = tasks.write_all(b"{\"id\":\"second\",\"task\":\"echo\",\"value\":1}\n");
        // It may have ended already.
        assert!(second.is_ok() || code == 1);
        let run = if code == 0 {
            drop(tasks);
            cluster.finish(client).expect(0)
        } else {
            // Though there may be more tasks.
            let run = cluster.finish(client).expect(code);
            drop(tasks);
            run
        };
        let said = "cannot write results to results.jsonl: it was replaced, removed or cut off while the job ran: run it again";
        assert_eq!(run.stderr.contains(said), code == 1, "{what}: {}", run.stderr);
        assert!(code == 1 || fs::read_to_string(&other).unwrap().lines().count() == 2);
    }
}

/// Has a shell run this, with the client as `$0`.
fn in_a_shell(terminal: &Cluster, script: &str) -> Run {
    let mut command = terminal.command(Path::new("/bin/sh"));
    command.args(["-c", script]).arg(&programs().client);
    terminal.finish(terminal.spawn("shell", command))
}

#[test]
fn results_do_not_go_to_the_end_of_the_tasks() {
    let terminal = Cluster::start(0);
    // Results would be read as tasks, and their results, too.
    let tasks = Job::sleeps(2, 0).lines();
    for run in ["run tasks >>tasks", "run - <tasks >>tasks", "run tasks 1<>tasks"] {
        fs::write(terminal.path("tasks"), &tasks).unwrap();
        let run = in_a_shell(&terminal, &format!(r#""$0" --local 1 {run}"#)).expect(2);
        assert!(run.stderr.contains("it is the task file"), "{}", run.stderr);
        assert_eq!(fs::read_to_string(terminal.path("tasks")).unwrap(), tasks);
    }
}

#[test]
fn a_file_that_was_handed_down_is_not_replaced() {
    let terminal = Cluster::start(0);
    fs::write(terminal.path("in"), "b\na\n").unwrap();
    fs::write(terminal.path("job"), "{\"id\":\"x\",\"task\":\"factorial\",\"n\":3}\n").unwrap();
    for name in ["-", "/dev/stdout", "/dev/fd/1"] {
        let script = format!(
            r#"(echo one; "$0" factorial 5 --plan local -o {name}; "$0" sort in -o {name} --plan local; "$0" --local 1 run job -o {name}; echo two) >out"#
        );
        in_a_shell(&terminal, &script).expect(0);
        let out = fs::read_to_string(terminal.path("out")).unwrap();
        let result = out.strip_prefix("one\n120\na\nb\n").and_then(|rest| rest.strip_suffix("\ntwo\n"));
        assert!(
            result.is_some_and(|line| line.starts_with("{\"id\":\"x\"") && line.ends_with('}')),
            "{name}: {out}"
        );
    }
}

#[test]
fn a_file_that_has_only_a_number_is_not_replaced() {
    let terminal = Cluster::start(0);
    fs::write(terminal.path("in"), "b\na\n").unwrap();
    for run in ["sort in -o /dev/fd/3 --plan local 3>&1", "--local 1 run in -o /dev/stderr 2>&1"] {
        let script = format!(r#"(echo one; "$0" {run}; echo two) >out"#);
        in_a_shell(&terminal, &script).expect(0);
        let out = fs::read_to_string(terminal.path("out")).unwrap();
        assert!(out.starts_with("one\n") && out.ends_with("\ntwo\n"), "{run}: {out}");
    }
    let run = in_a_shell(&terminal, r#""$0" sort in -o /dev/fd/3 --plan local 3>&1 | cat"#).expect(0);
    assert_eq!(run.stdout, "a\nb\n");
}

#[test]
fn no_results_go_to_a_file_that_another_client_has_its_tasks_or_results_in() {
    let cluster = Cluster::start(1);
    cluster.file("other.jsonl", Job::sleeps(1, 0).lines());
    // One that has been read to its end when its task runs, and one that has not when some are done.
    for count in [1, 100_000] {
        let tasks = Job::sleeps(count, 60_000).lines();
        cluster.file("tasks.jsonl", &tasks);
        let reading = cluster.client_spawn(&["run", "tasks.jsonl", "--output", "results.jsonl"]);
        cluster.wait_workers("a task to run", |rows| rows[0].running > 0);
        let other = |args: &[&str]| cluster.client(args).expect(2).stderr;
        let refused = [
            other(&["run", "other.jsonl", "--output", "tasks.jsonl"]),
            other(&["run", "other.jsonl", "--output", "results.jsonl"]),
        ];
        assert!(refused.iter().all(|stderr| stderr.contains("another client ")), "{count}: {refused:?}");
        assert!(fs::read_to_string(cluster.path("tasks.jsonl")).unwrap() == tasks);
        drop(reading);
        cluster.wait_workers("the task to be given up", |rows| rows[0].running == 0);
    }
}
