use super::*;
use crate::wait::eventually;
use std::{io::Write as _, panic::catch_unwind};

fn shell(journal: &Journal, script: &str) -> Process {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    Process::spawn(journal, "sh", command)
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<String>().map_or("", String::as_str)
}

fn exists(id: u32) -> bool {
    fs::exists(format!("/proc/{id}")).unwrap()
}

#[test]
fn lines_are_seen_as_they_are_written_and_the_exit_code_is_told() {
    let mut process =
        shell(&Journal::default(), "echo one; read line; echo two $line; echo talk >&2; exit 7");
    assert_eq!(process.wait_line(|line| line.starts_with("one")), "one");
    writeln!(process.take_stdin(), "three").unwrap();
    assert_eq!(process.wait_line(|line| line.starts_with("two")), "two three");
    process.wait_lines(2);
    process.expect_exit(7);
    assert_eq!(process.lines(), ["one", "two three"]);
    assert_eq!(process.error_lines(), ["talk"]);
}

#[test]
fn a_line_that_cannot_come_any_more_fails_with_the_logs_of_all_processes() {
    let journal = Journal::default();
    let other = shell(&journal, "echo from the neighbour; exec sleep 1000");
    other.wait_lines(1);
    let process = shell(&journal, "echo last words >&2");
    let failed = catch_unwind(std::panic::AssertUnwindSafe(|| process.wait_line(|_| true)));
    let failed = failed.unwrap_err();
    assert!(message(&*failed).contains("from the neighbour"), "{}", message(&*failed));
    assert!(message(&*failed).contains("last words"), "{}", message(&*failed));
    assert!(journal.shown());
}

#[test]
fn a_wrong_exit_code_fails_the_test() {
    let mut process = shell(&Journal::default(), "exit 3");
    assert!(catch_unwind(std::panic::AssertUnwindSafe(|| process.expect_exit(0))).is_err());
}

#[test]
fn a_dropped_process_is_gone_even_when_it_was_stopped() {
    let process = shell(&Journal::default(), "echo up; exec sleep 1000");
    process.wait_lines(1);
    process.signal(Signal::STOP);
    let id = process.id();
    assert!(exists(id));
    drop(process);
    assert!(!exists(id));
}

#[test]
fn a_stopped_process_is_silent_until_it_is_continued() {
    let mut process = shell(&Journal::default(), "echo up; while read line; do echo $line; done");
    process.wait_lines(1);
    process.signal(Signal::STOP);
    eventually("the process to be stopped", || {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
        status.contains("T (stopped)").then_some(())
    });
    let mut stdin = process.take_stdin();
    writeln!(stdin, "hello").unwrap();
    assert_eq!(process.lines(), ["up"]);
    process.signal(Signal::CONT);
    process.wait_line(|line| line == "hello");
    assert_eq!(process.ended_unasked(), None);
}

#[test]
fn an_end_is_unasked_unless_a_signal_or_the_test_has_asked() {
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done";
    let mut asked = shell(&Journal::default(), script);
    asked.wait_lines(1);
    asked.signal(Signal::TERM);
    asked.expect_exit(0);
    assert_eq!(asked.ended_unasked(), None);

    let mut unasked = shell(&Journal::default(), "exit 0");
    let status = eventually("the end", || unasked.ended_unasked());
    assert!(status.success());
}

#[test]
fn a_killed_process_says_by_what() {
    let mut process = shell(&Journal::default(), "kill -9 $$");
    process.wait();
    assert_eq!(process.killed_by(), Some(9));
}

#[test]
fn memory_is_measured_now_and_at_its_peak() {
    // The shell holds 32 MiB in a variable, and lets them go.
    let script = "x=$(head -c 33554432 /dev/zero | tr '\\0' x); echo full; read go; x=; echo empty; read go";
    let mut process = shell(&Journal::default(), script);
    process.wait_line(|line| line == "full");
    assert!(process.rss_bytes() > 32 << 20);
    let mut stdin = process.take_stdin();
    writeln!(stdin, "go").unwrap();
    process.wait_line(|line| line == "empty");
    assert!(process.peak_rss_bytes() > 32 << 20);
    assert!(process.peak_rss_bytes() >= process.rss_bytes());
}
