//! The cluster's own machinery, with shell scripts in place of the programs.

use super::*;
use crate::job::Job;
use std::{
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Stdio,
};

const NAMESERVER: &str = "echo nameserver listening on 127.0.0.1:9; exec sleep 1000";

/// Takes its name from the command line, as the real one does.
const WORKER: &str = "while [ $1 != --name ]; do shift; done
    echo worker $2 listening on 127.0.0.1:10; echo $@ >&2; read order; eval \"$order\"; exec sleep 1000";

/// Lists w1 and w2 when asked for workers; else gives one result, and tells what it has read.
const CLIENT: &str = r#"case "$*" in
    *workers*) for w in 1 2; do
        row="$row$comma{\"name\":\"w$w\",\"id\":$w,\"address\":\"127.0.0.1:10\",\"slots\":2,\"running\":0,\"queued\":0,"
        row="$row\"state\":\"healthy\",\"tags\":{},\"kinds\":[\"sleep\"],\"age_ms\":1}"; comma=,
        done; echo "{\"workers\":[$row]}" ;;
    *) echo "{\"id\":\"t0\",\"status\":\"ok\",\"attempts\":1}"; echo "$@ read $(wc -l) lines" >&2; exit 1 ;;
esac"#;

/// Writes the scripts by way of a process of their own: a file that this one had open for writing could be
/// inherited by a neighbour's child at the wrong moment, and then not be started.
fn scripts(directory: &TempDir) -> Binaries {
    let write = |name: &str, script: &str| {
        let path = directory.path().join(name);
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", r#"{ echo '#!/bin/sh'; cat; } >"$0" && chmod +x "$0""#])
            .arg(&path)
            .stdin(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        path
    };
    Binaries {
        nameserver: write("nameserver", NAMESERVER),
        worker: write("worker", WORKER),
        client: write("client", CLIENT),
    }
}

fn with_cluster(test: impl FnOnce(&mut Cluster)) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let binaries = scripts(&directory);
    let whole = AssertUnwindSafe(|| {
        let mut cluster = Cluster::builder().workers(2).slots(3).binaries(binaries).start();
        test(&mut cluster);
    });
    catch_unwind(whole).map_err(|panic| *panic.downcast::<String>().unwrap())
}

fn order(cluster: &mut Cluster, worker: &str, order: &str) {
    writeln!(cluster.worker(worker).take_stdin(), "{order}").unwrap();
}

#[test]
fn processes_start_with_their_options_and_a_quiet_end_is_no_fault() {
    let ended = with_cluster(|cluster| {
        assert_eq!(cluster.address(), "127.0.0.1:9".parse().unwrap());
        let said = cluster.worker("w2").wait_error_line(|line| line.contains("w2"));
        assert_eq!(said, "--name w2 --slots 3 --diagnostics");
        let run = cluster.run(&["--ordered"], &Job::sleeps(5, 1)).expect(1);
        run.results().assert_exactly_once(["t0"]);
        assert_eq!(run.stderr, "--nameserver 127.0.0.1:9 run - --ordered read 5 lines\n");
    });
    assert_eq!(ended, Ok(()));
}

#[test]
fn a_worker_that_dies_unasked_fails_the_test() {
    let ended = with_cluster(|cluster| {
        order(cluster, "w1", "exit 0");
        assert!(cluster.worker("w1").log_closed());
    });
    assert!(ended.unwrap_err().starts_with("w1 ended though nobody had asked it to"));
}

#[test]
fn a_worker_that_is_killed_by_the_test_does_not() {
    let ended = with_cluster(|cluster| {
        cluster.kill("w1");
        cluster.signal("w2", Signal::TERM);
        assert!(cluster.worker("w2").log_closed());
        cluster.kill_nameserver();
        cluster.restart_nameserver();
    });
    assert_eq!(ended, Ok(()));
}

#[test]
fn a_worker_that_panics_fails_the_test_even_when_it_lives_on() {
    let panic = |cluster: &mut Cluster| {
        order(cluster, "w2", "echo \"thread 'main' panicked at src/main.rs:1:1:\" >&2");
        cluster.worker("w2").wait_error_line(|line| line.contains("panicked"));
    };
    assert!(with_cluster(panic).unwrap_err().starts_with("w2 panicked: thread 'main'"));
    let allowed = |cluster: &mut Cluster| {
        cluster.allow_panics();
        panic(cluster);
    };
    assert_eq!(with_cluster(allowed), Ok(()));
}

#[test]
fn an_unexpected_exit_code_shows_every_process() {
    let failed = with_cluster(|cluster| drop(cluster.client(&["ping"]).expect(0))).unwrap_err();
    for name in ["nameserver", "w1", "w2", "client"] {
        assert!(failed.contains(&format!("--- {name} Stdout")), "{failed}");
    }
}
