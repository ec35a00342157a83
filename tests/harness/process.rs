//! One process under test: its lines, its signals, its end.
//!
//! Dropping a [`Process`] kills and reaps it, whatever state it is in. The process stays in the group of the
//! test, so that Ctrl-C at a terminal reaches both.

use crate::{
    log::{self, Journal, Log, Observer, Stream},
    wait::{JOB, answer_within},
};
use rustix::process::{Pid, kill_process};
use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use rustix::process::Signal;

/// How far apart the end of a process and the end of its pipes may be.
const PIPES: Duration = Duration::from_secs(5);

/// A child process whose output is collected.
#[derive(Debug)]
pub struct Process {
    child: Child,
    status: Option<ExitStatus>,
    log: Arc<Log>,
    journal: Journal,
    may_end: AtomicBool,
}

impl Process {
    /// Starts a process whose log goes to the journal. Its standard input is a pipe: see
    /// [`take_stdin`](Self::take_stdin).
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(journal: &Journal, name: &str, command: Command) -> Self {
        Self::start(journal, name, command, None)
    }

    /// Starts a process whose standard output goes to an observer, line by line: the log counts the lines,
    /// and keeps the last few.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_observed(
        journal: &Journal,
        name: &str,
        command: Command,
        observer: impl FnMut(&str) + Send + 'static,
    ) -> Self {
        Self::start(journal, name, command, Some(Box::new(observer)))
    }

    fn start(journal: &Journal, name: &str, mut command: Command, observer: Option<Observer>) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let log = journal.open(name);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        log::follow(&log, Stream::Stdout, stdout.expect("stdout is piped"), observer);
        log::follow(&log, Stream::Stderr, stderr.expect("stderr is piped"), None);
        Self { child, status: None, log, journal: journal.clone(), may_end: AtomicBool::new(false) }
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        self.log.name()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, to write to; dropping that is the end of its input.
    ///
    /// # Panics
    /// The second time.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("the input of a process is taken once")
    }

    /// The lines on standard output so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lines(Stream::Stdout).kept
    }

    /// The lines on standard error so far.
    pub fn error_lines(&self) -> Vec<String> {
        self.log.lines(Stream::Stderr).kept
    }

    /// Waits for a line on standard output, and returns the first such.
    ///
    /// # Panics
    /// When there is none within [`STEP`](crate::wait::STEP), or the output ends without it; the message
    /// shows all processes of the test.
    pub fn wait_line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.journal.require(&self.log, Stream::Stdout, "the line waited for", |lines| {
            lines.kept.iter().find(|line| wanted(line)).cloned()
        })
    }

    /// Waits for a line on standard error, and returns the first such.
    ///
    /// # Panics
    /// As [`wait_line`](Self::wait_line).
    pub fn wait_error_line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.journal.require(&self.log, Stream::Stderr, "the line waited for", |lines| {
            lines.kept.iter().find(|line| wanted(line)).cloned()
        })
    }

    /// Waits until there were so many such lines on standard error.
    ///
    /// # Panics
    /// As [`wait_line`](Self::wait_line).
    pub fn wait_error_lines(&self, count: usize, wanted: impl Fn(&str) -> bool) {
        self.journal.require(&self.log, Stream::Stderr, "the lines waited for", |lines| {
            (lines.kept.iter().filter(|line| wanted(line)).count() >= count).then_some(())
        });
    }

    /// Waits until standard output has had that many lines.
    ///
    /// # Panics
    /// As [`wait_line`](Self::wait_line); for a count, [`STEP`](crate::wait::STEP) is how long the next line
    /// may take.
    pub fn wait_lines(&self, count: usize) {
        let mut seen = 0;
        while seen < count {
            let what = format!("line {} of the {count} waited for", seen + 1);
            seen = self
                .journal
                .require(&self.log, Stream::Stdout, &what, |lines| (lines.seen > seen).then_some(lines.seen));
        }
    }

    /// Sends a signal. One that ends a process is also leave to end.
    ///
    /// # Panics
    /// When the process has been reaped, or the signal cannot be sent.
    pub fn signal(&self, signal: Signal) {
        assert!(self.status.is_none(), "{} has ended, and cannot take {signal:?}", self.name());
        if ![Signal::STOP, Signal::CONT].contains(&signal) {
            self.let_end();
        }
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
        kill_process(id, signal)
            .unwrap_or_else(|error| panic!("cannot send {signal:?} to {}: {error}", self.name()));
    }

    /// Kills it, stopped or not, reaps it, and waits for the last of its output.
    pub fn kill(&mut self) {
        self.let_end();
        let _already_dead = self.child.kill();
        self.status = self.child.wait().ok().or(self.status);
        self.log.wait_closed(PIPES);
    }

    /// From now on its end is no fault, though nobody has sent it a signal.
    pub fn let_end(&self) {
        self.may_end.store(true, Ordering::Relaxed);
    }

    /// Whether its output has come to an end, as it does when the process ends.
    pub fn is_over(&self) -> bool {
        self.log.wait_closed(Duration::ZERO)
    }

    /// How it has ended, if it has and nobody had asked it to.
    pub fn ended_unasked(&mut self) -> Option<ExitStatus> {
        if self.may_end.load(Ordering::Relaxed) {
            return None;
        }
        // A process whose streams have ended is dying, and may not be dead yet.
        let patience = if self.log.wait_closed(Duration::ZERO) { PIPES } else { Duration::ZERO };
        self.wait_dead(patience)
    }

    /// Waits for its end and for the last of its output.
    ///
    /// # Panics
    /// When it has not ended within [`JOB`]; the message shows all processes of the test.
    pub fn wait(&mut self) -> ExitStatus {
        self.let_end();
        // The end of the output is the event; the end of the process comes with it or moments later.
        let patience = if self.log.wait_closed(JOB) { PIPES } else { Duration::ZERO };
        let Some(status) = self.wait_dead(patience) else {
            panic!("{} did not end within {JOB:?}\n{}", self.name(), self.journal.show());
        };
        status
    }

    /// Waits for its end, and requires that exit code.
    ///
    /// # Panics
    /// When it ends otherwise or not at all; the message shows all processes of the test.
    pub fn expect_exit(&mut self, code: i32) {
        let status = self.wait();
        assert_eq!(status.code(), Some(code), "{} ended: {status}\n{}", self.name(), self.journal.show());
    }

    /// The signal that has ended it, if one has.
    pub fn killed_by(&self) -> Option<i32> {
        self.status.and_then(|status| status.signal())
    }

    /// Its resident memory now, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    pub fn rss_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory that it has had, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    pub fn peak_rss_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// How many files and sockets it has open.
    ///
    /// # Panics
    /// When it has ended.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.id());
        fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count()
    }

    #[cfg(test)]
    pub(crate) fn log_closed(&self) -> bool {
        self.log.wait_closed(crate::wait::STEP)
    }

    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        1024 * kibibytes.unwrap_or_else(|| panic!("{} has no {field} in {path}: has it ended?", self.name()))
    }

    fn wait_dead(&mut self, patience: Duration) -> Option<ExitStatus> {
        if self.status.is_none() {
            let child = &mut self.child;
            self.status = answer_within(patience, || child.try_wait().expect("a child can be waited for"));
        }
        self.status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
#[path = "process/tests.rs"]
mod tests;
