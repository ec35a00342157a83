//! What a terminal sees: help, exit codes, errors, the environment, and the commands that look at a cluster.

use harness::{
    binaries::programs,
    cluster::{Cluster, Run},
    job::Job,
    process::Signal,
    results::Results,
};
use serde_json::Value;
use std::{fs, path::Path};

/// The commands of the client.
const COMMANDS: [&str; 10] =
    ["run", "matmul", "sort", "factorial", "workers", "lookup", "ping", "remove", "drain", "bench"];

/// Where nothing listens: the port is privileged and unassigned.
const NOBODY: &str = "127.0.0.1:1";

/// A name server alone, for the directory and the journal that come with it.
fn terminal() -> Cluster {
    Cluster::start(0)
}

fn run(terminal: &Cluster, program: &Path, args: &[&str]) -> Run {
    let mut command = terminal.command(program);
    command.args(args);
    let mut process = terminal.spawn("program", command);
    drop(process.take_stdin());
    terminal.finish(process)
}

/// Requires one line on standard error, which has these words in it.
fn assert_one_line(run: &Run, words: &[&str]) {
    let lines: Vec<&str> = run.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "not one line: {:?}", run.stderr);
    assert!(words.iter().all(|word| lines[0].contains(word)), "{words:?} are not all in: {}", lines[0]);
}

#[test]
fn each_program_and_each_command_has_help() {
    let terminal = terminal();
    let programs = programs();
    for program in [&programs.nameserver, &programs.worker, &programs.client] {
        for args in [["--help"], ["-h"]] {
            let help = run(&terminal, program, &args).expect(0);
            assert!(
                help.stdout.contains("Usage:") && help.stdout.contains("--log-format"),
                "{}",
                help.stdout
            );
        }
        let version = run(&terminal, program, &["--version"]).expect(0);
        assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", version.stdout);
    }
    for command in COMMANDS {
        let help = run(&terminal, &programs.client, &[command, "--help"]).expect(0);
        assert!(help.stdout.contains(&format!("Usage: client {command}")), "{}", help.stdout);
    }
}

#[test]
fn bad_usage_exits_with_2_and_says_what_was_bad() {
    let terminal = terminal();
    let client: &[&[&str]] = &[
        &[],
        &["no-such-command"],
        &["run", "--no-such-option"],
        &["--balance", "sideways", "workers"],
        &["--nameserver", "not an address", "workers"],
        &["--wait-workers", "soon", "workers"],
        &["--max-attempts", "-1", "workers"],
        &["--local", "0", "workers"],
        &["--local", "two", "workers"],
        &["factorial", "ten"],
        &["factorial"],
        &["matmul", "a.npy"],
        &["lookup"],
    ];
    let daemon: &[&[&str]] =
        &[&["--listen", "nowhere"], &["--no-such-option"], &["--lease-ttl", "-1s"], &["--slots", "many"]];
    let programs = programs();
    let all = client.iter().map(|args| (&programs.client, args));
    let all = all.chain(daemon.iter().map(|args| (&programs.nameserver, args)));
    for (program, args) in all.chain(daemon.iter().map(|args| (&programs.worker, args))) {
        let run = run(&terminal, program, args).expect(2);
        assert_eq!(run.stdout, "", "{args:?}");
        let named = run.stderr.contains("Usage") || args.iter().any(|arg| run.stderr.contains(arg));
        assert!(named, "{args:?}: {}", run.stderr);
    }
}

#[test]
fn input_that_cannot_be_read_exits_with_2_and_one_line() {
    let cluster = Cluster::start(1);
    for args in
        [&["run", "no-such-file.jsonl"][..], &["run", "."], &["sort", "no-such-file.txt", "-o", "out"]]
    {
        let run = cluster.client(args).expect(2);
        assert_one_line(&run, &[args[1]]);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn a_failed_task_exits_with_1_and_the_others_are_delivered() {
    let cluster = Cluster::start(1);
    let input = r#"{"id":"good","task":"factorial","n":5}
{"id":"bad","task":"factorial","n":-5}"#;
    let results = cluster.client_with_input(&["run"], input).expect(1).results();
    results.assert_exactly_once(["good", "bad"]);
    assert_eq!(results.get("good").output["value"], "120");
}

#[test]
fn no_name_server_and_no_worker_exit_with_3_and_one_line() {
    let cluster = Cluster::start(0);
    let args = ["--wait-workers", "300ms", "factorial", "5"];
    let nobody =
        run(&cluster, &programs().client, &[&["--nameserver", NOBODY], &args[..]].concat()).expect(3);
    assert_one_line(&nobody, &[NOBODY]);
    let idle = cluster.client(&args).expect(3);
    assert_one_line(&idle, &["worker"]);
    // The results of an earlier job are not lost by it.
    let old = cluster.file("old", "7\n");
    cluster.file("tasks", "{\"task\":\"factorial\",\"n\":5}\n");
    cluster.client(&["--wait-workers", "300ms", "run", "tasks", "--output", "old"]).expect(3);
    assert_eq!(fs::read_to_string(old).unwrap(), "7\n");
}

#[test]
fn an_interrupted_run_writes_what_is_done_and_exits_with_130() {
    let cluster = Cluster::start(1);
    let job = Job::sleeps(1000, 50);
    let client = cluster.run_spawn(&[], &job);
    client.wait_lines(5);
    let before = client.lines();
    client.signal(Signal::INT);
    let run = cluster.finish(client).expect(130);
    let results = run.results();
    assert!(run.stdout.ends_with('\n') && results.all().len() >= before.len());
    assert!(run.stdout.starts_with(&before.join("\n")));
    let ids: Vec<&str> = results.all().iter().map(|result| result.id.as_str()).collect();
    results.assert_exactly_once(ids);
    // Its tasks are gone from the worker too.
    cluster
        .wait_workers("the worker to be idle", |rows| rows.iter().all(|row| row.running + row.queued == 0));
}

#[test]
fn interrupted_factorials_that_are_done_are_written() {
    let cluster = Cluster::builder().workers(1).slots(1).start();
    // In place of what was there, too, which is of another job then.
    cluster.file("old", "7\n");
    for output in [&["--output", "old"][..], &["--output", "new"], &[]] {
        let client =
            cluster.client_spawn(&[&["factorial", "5", "40000000", "--plan", "one"], output].concat());
        // One slot: the second one runs when the first one is done.
        cluster.wait_workers("both to have been sent", |rows| rows[0].running == 1 && rows[0].queued == 0);
        client.signal(Signal::INT);
        let run = cluster.finish(client).expect(130);
        let replaced = run.stderr.contains("old has 1 of 2 factorials, in place of what was there");
        assert_eq!(replaced, output.contains(&"old"), "{}", run.stderr);
        let written =
            output.last().map_or(run.stdout, |name| fs::read_to_string(cluster.path(name)).unwrap());
        assert_eq!(written, "120\n");
        cluster.wait_workers("the worker to be idle", |rows| rows[0].running + rows[0].queued == 0);
    }
}

#[test]
fn every_option_can_come_from_the_environment() {
    let cluster = Cluster::start(1);
    let mut command = cluster.command(&programs().client);
    command.env("SGDT_NAMESERVER", cluster.address().to_string()).args(["workers", "--json"]);
    let run = cluster.finish(cluster.spawn("client", command)).expect(0);
    assert!(run.stdout.contains("\"w1\""), "{}", run.stdout);

    let mut command = cluster.command(&programs().worker);
    for (name, value) in
        [("NAME", "from-env"), ("SLOTS", "7"), ("LISTEN", "127.0.0.1:0"), ("DIAGNOSTICS", "true")]
    {
        command.env(format!("SGDT_{name}"), value);
    }
    command.env("SGDT_NAMESERVER", cluster.address().to_string());
    let worker = cluster.spawn("from-env", command);
    worker.wait_line(|line| line.starts_with("worker from-env listening on 127.0.0.1:"));
    let rows = cluster.wait_workers("from-env", |rows| rows.iter().any(|row| row.name == "from-env"));
    let row = rows.iter().find(|row| row.name == "from-env").unwrap();
    assert_eq!(row.slots, 7);
    assert!(row.kinds.iter().any(|kind| kind == "echo"), "{row:?}");
    worker.signal(Signal::TERM);
    let mut worker = worker;
    worker.expect_exit(0);
}

#[test]
fn options_come_before_or_after_the_command() {
    let cluster = Cluster::start(1);
    let address = cluster.address().to_string();
    let client = &programs().client;
    let before = run(&cluster, client, &["--nameserver", &address, "--balance", "p2c", "factorial", "5"]);
    let after = run(&cluster, client, &["factorial", "5", "--nameserver", &address, "--balance", "p2c"]);
    assert_eq!(before.expect(0).stdout, after.expect(0).stdout);
}

#[test]
fn the_list_of_workers_says_all_that_is_promised() {
    let mut cluster = Cluster::start(0);
    let address = cluster.add_worker_with("w1", &["--tag", "disk=fast", "--tag", "room=2"]);
    let rows = cluster.wait_registered();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.address, row.slots, row.running, row.queued), (address, 2, 0, 0));
    assert_eq!(row.state, "healthy");
    assert!(
        ["matmul", "sort", "factorial", "echo"].iter().all(|kind| row.kinds.iter().any(|has| has == kind))
    );
    let tags = row.tags.to_string();
    assert!(tags.contains("disk") && tags.contains("fast") && tags.contains("room"), "{tags}");
    let table = cluster.client(&["workers"]).expect(0).stdout;
    assert!(table.contains("w1") && table.contains(&address.to_string()), "{table}");
    assert!(serde_json::from_str::<Value>(&table).is_err(), "people are not shown JSON unasked");
}

#[test]
fn a_worker_is_looked_up_pinged_and_removed_by_name() {
    let mut cluster = Cluster::start(0);
    let address = cluster.add_worker("w1").to_string();
    cluster.wait_registered();
    assert!(cluster.client(&["lookup", "w1"]).expect(0).stdout.contains(&address));
    assert!(cluster.client(&["ping", "w1"]).expect(0).stdout.contains("w1"));
    cluster.client(&["ping"]).expect(0);
    for command in ["lookup", "ping", "remove", "drain"] {
        let run = cluster.client(&[command, "no-such-worker"]);
        assert!(matches!(run.code(), Some(1..=3)), "{command}: {:?}", run.status);
        assert_one_line(&run, &["no-such-worker"]);
    }
    cluster.client(&["remove", "w1"]).expect(0);
}

#[test]
fn a_run_says_on_standard_error_what_it_did_and_nothing_else_on_standard_output() {
    let cluster = Cluster::start(1);
    let job = Job::sleeps(12, 1);
    let run = cluster.run(&[], &job).expect(0);
    Results::parse(run.stdout.lines()).assert_exactly_once(job.ids());
    assert!(run.stderr.contains("12") && run.stderr.contains("w1"), "no summary in: {:?}", run.stderr);
    assert!(
        !run.stderr.contains('\u{1b}'),
        "escape sequences, though this is not a terminal: {:?}",
        run.stderr
    );
}

#[test]
fn a_name_that_a_live_worker_holds_is_not_taken_from_it() {
    let mut cluster = Cluster::start(0);
    let address = cluster.add_worker("w1").to_string();
    cluster.wait_registered();
    let mut command = cluster.command(&programs().worker);
    command.args(["--nameserver", &cluster.address().to_string(), "--name", "w1"]);
    let second = cluster.spawn("second w1", command);
    second.wait_error_line(|line| line.contains("w1") && !line.contains("INFO"));
    assert!(cluster.client(&["lookup", "w1"]).expect(0).stdout.contains(&address));
}
