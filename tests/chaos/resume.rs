//! Runs that are broken off, at any instant and again and again, and gone on with.

use crate::{machine_shared, work};
use harness::{
    cluster::{Cluster, Run},
    job::Job,
    process::{Process, Signal},
    reference::word,
    wait::eventually,
};
use serde_json::{Value, json};
use std::{
    fs::{self, OpenOptions},
    path::Path,
};

/// How often a run is killed.
const RUNS: u64 = 15;

const FILE: &str = "results.jsonl";

/// Tasks of all kinds, some of which fail, with lines among them that are none.
fn tasks() -> String {
    let mut job = work::job(400);
    job.add(json!({"id": "t7", "task": "sleep", "ms": 1}));
    job.add(json!({"id": "bad", "task": "factorial", "n": -1}));
    job.add(json!({"id": "known to nobody", "task": "no-such-kind"}));
    let lines = job.lines();
    let (first, rest) = lines.split_at(lines.find("{\"id\":\"t200\"").unwrap());
    format!("{first}not a task\n\n{{\"task\":\"sleep\",\"ms\":2}}\n{rest}")
}

/// A results file as a set: what does not depend on who did it when.
fn outcomes(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "the last line is torn: {:?}", text.lines().last());
    let outcome = |line: &str| {
        let mut result: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for timely in ["worker", "attempts", "run_ms"] {
            result.as_object_mut().unwrap().remove(timely);
        }
        result.to_string()
    };
    let mut outcomes: Vec<String> = text.lines().map(outcome).collect();
    outcomes.sort_unstable();
    outcomes
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |about| about.len())
}

/// What an undisturbed run leaves, and how long its file is.
fn undisturbed(cluster: &Cluster, code: i32) -> (Vec<String>, u64) {
    cluster.client(&["run", "tasks.jsonl", "--output", "undisturbed.jsonl"]).expect(code);
    let path = cluster.path("undisturbed.jsonl");
    (outcomes(&path), size(&path))
}

fn resume(cluster: &Cluster) -> Process {
    cluster.client_spawn(&["run", "tasks.jsonl", "--output", FILE, "--resume"])
}

#[test]
fn a_run_that_is_killed_again_and_again_leaves_what_an_undisturbed_one_does() {
    let _shared = machine_shared();
    let cluster = Cluster::start(2);
    cluster.file("tasks.jsonl", tasks());
    let (expected, length) = undisturbed(&cluster, 1);
    let path = cluster.path(FILE);
    for seed in 0..3 {
        fs::remove_file(&path).ok();
        let mut killed = 0;
        for run in 0..RUNS {
            let draw = |place: u64, below: u64| word(seed, 3 * run + place) % below;
            // Sometimes before it has done anything, mostly when it has written a little.
            let target = size(&path) + draw(0, length / 10).saturating_sub(length / 50);
            let mut client = resume(&cluster);
            // What is left may be less than that: run times take more digits, or fewer.
            eventually("the results to grow", || {
                (size(&path) >= target.min(length) || client.is_over()).then_some(())
            });
            client.kill();
            killed += usize::from(client.killed_by() == Some(Signal::KILL.as_raw()));
            // And something takes bytes off the end: half of them before there is nothing left to do.
            let most = if size(&path) > length / 3 * 2 { size(&path) / 2 } else { 300 };
            let left = size(&path).saturating_sub(draw(1, 2) * draw(2, most).max(most / 2));
            if let Ok(file) = OpenOptions::new().write(true).open(&path) {
                file.set_len(left).unwrap();
            }
        }
        assert!(killed > RUNS as usize / 2, "seed {seed}: only {killed} runs were killed before their end");
        cluster.finish(resume(&cluster)).expect(1);
        assert!(outcomes(&path) == expected, "seed {seed}, after {killed} kills");
        // There is nothing left to do, and that is soon said.
        let before = fs::read(&path).unwrap();
        cluster.finish(resume(&cluster)).expect(1);
        assert!(fs::read(&path).unwrap() == before);
    }
}

#[test]
fn an_interrupted_run_is_gone_on_with() {
    let _shared = machine_shared();
    let cluster = Cluster::start(2);
    cluster.file("tasks.jsonl", work::job(600).lines());
    let (expected, _) = undisturbed(&cluster, 0);
    let path = cluster.path(FILE);
    for done in 1..=3 {
        let client = resume(&cluster);
        let target = size(&path) + 1;
        eventually("the results to grow", || (size(&path) >= target).then_some(()));
        client.signal(Signal::INT);
        cluster.finish(client).expect(130);
        let so_far = outcomes(&path);
        assert!(so_far.len() < expected.len() && so_far.iter().all(|line| expected.contains(line)), "{done}");
    }
    cluster.finish(resume(&cluster)).expect(0);
    assert!(outcomes(&path) == expected);
}

/// A client started by a shell, which does something about it first. `$0` and what follows is the client.
fn in_shell(cluster: &Cluster, script: &str, args: &[&str]) -> Run {
    let client = cluster.client_command(args);
    let mut shell = cluster.command(Path::new("/bin/sh"));
    shell.args(["-c", script]).arg(client.get_program()).args(client.get_args());
    cluster.finish(cluster.spawn("shell", shell))
}

/// The lines on standard error that say what is wrong.
fn complaints(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter(|line| line.contains("cannot write")).collect()
}

#[test]
fn a_full_disk_is_one_clear_error_and_what_was_written_stays() {
    let _shared = machine_shared();
    let cluster = Cluster::start(2);
    cluster.file("tasks.jsonl", work::job(300).lines());
    let full = cluster.client(&["run", "tasks.jsonl", "--output", "/dev/full"]).expect(1);
    assert_eq!(full.stderr.lines().count(), 1, "not one line: {}", full.stderr);
    assert!(full.stderr.contains("/dev/full") && full.stderr.contains("No space left"), "{}", full.stderr);

    // A disk that becomes full in the middle: files may have 16 KiB, in blocks of 512 bytes.
    let (expected, length) = undisturbed(&cluster, 0);
    assert!(length > 16 << 10, "{length}");
    let limited = "ulimit -f 32; exec \"$0\" \"$@\"";
    let run = in_shell(&cluster, limited, &["run", "tasks.jsonl", "--output", FILE]).expect(1);
    assert_eq!(run.stderr.lines().count(), 1, "not one line: {}", run.stderr);
    assert_eq!(complaints(&run).len(), 1, "{}", run.stderr);
    assert_eq!(size(&cluster.path(FILE)), 16 << 10, "what found room was not kept");
    cluster.finish(resume(&cluster)).expect(0);
    assert!(outcomes(&cluster.path(FILE)) == expected);
}

#[test]
fn a_reader_that_goes_away_is_one_clear_error_and_what_it_read_are_results() {
    let _shared = machine_shared();
    let cluster = Cluster::start(2);
    let job = Job::sleeps(500, 10);
    cluster.file("tasks.jsonl", job.lines());
    let script = "{ \"$0\" \"$@\"; echo \"it ended with $?\" >&2; } | head -n 3";
    let run = in_shell(&cluster, script, &["run", "tasks.jsonl"]).expect(0);
    let results = run.results();
    let ids: Vec<&str> = results.all().iter().map(|result| result.id.as_str()).collect();
    assert_eq!(ids.len(), 3);
    results.assert_exactly_once(ids).assert_all_ok();
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines.len() == 2 && lines[1] == "it ended with 1" && complaints(&run) == [lines[0]], "{lines:?}");
}
