//! Clients of a cluster, and what has become of one.

use super::Cluster;
use crate::{job::Job, log::Journal, process::Process, results::Results};
use std::{
    io::Write as _,
    process::{Command, ExitStatus},
    sync::atomic::Ordering,
    thread,
};

impl Cluster {
    /// Runs a client to its end, without input.
    pub fn client(&self, args: &[&str]) -> Run {
        self.client_with_input(args, "")
    }

    /// Runs a client to its end, with this on its standard input.
    pub fn client_with_input(&self, args: &[&str], input: impl Into<Vec<u8>>) -> Run {
        let mut client = self.client_spawn(args);
        let (mut stdin, input) = (client.take_stdin(), input.into());
        // On a thread: the client may write results before it has read all tasks. It may also end without
        // reading.
        thread::spawn(move || stdin.write_all(&input));
        Run::of(client, &self.journal)
    }

    /// Runs a job to its end; `args` are options of `client run`.
    pub fn run(&self, args: &[&str], job: &Job) -> Run {
        self.client_with_input(&[&["run", "-"], args].concat(), job.lines())
    }

    /// Starts a job, so that things can happen to it; the whole of its input is in a file.
    pub fn run_spawn(&self, args: &[&str], job: &Job) -> Process {
        let name = format!("tasks-{}.jsonl", self.jobs.fetch_add(1, Ordering::Relaxed));
        self.file(&name, job.lines());
        self.client_spawn(&[&["run", &name], args].concat())
    }

    /// Waits until a job that was started has ended.
    pub fn finish(&self, client: Process) -> Run {
        Run::of(client, &self.journal)
    }

    /// Starts a client.
    pub fn client_spawn(&self, args: &[&str]) -> Process {
        let client = Process::spawn(&self.journal, "client", self.client_command(args));
        client.let_end();
        client
    }

    /// Starts a client whose result lines go to an observer.
    pub fn client_observed(&self, args: &[&str], observer: impl FnMut(&str) + Send + 'static) -> Process {
        let client = Process::spawn_observed(&self.journal, "client", self.client_command(args), observer);
        client.let_end();
        client
    }

    /// The command that starts a client of this cluster.
    pub fn client_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.binaries.client);
        command.args(["--nameserver", &self.address.to_string()]);
        self.certify(&mut command, "admin", "root");
        command.args(args);
        command
    }
}

/// A client that has ended.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    journal: Journal,
}

impl Run {
    pub(super) fn of(mut client: Process, journal: &Journal) -> Self {
        let status = client.wait();
        let text = |lines: Vec<String>| lines.into_iter().map(|line| line + "\n").collect();
        let (stdout, stderr) = (text(client.lines()), text(client.error_lines()));
        Self { status, stdout, stderr, journal: journal.clone() }
    }

    /// Its exit code; none when a signal has ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Requires that exit code.
    ///
    /// # Panics
    /// When it was another; the message shows all processes of the test.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "the client ended: {}\n{}", self.status, self.journal.show());
        self
    }

    /// Its result lines.
    ///
    /// # Panics
    /// When a line of standard output is not one.
    pub fn results(&self) -> Results {
        Results::parse(self.stdout.lines())
    }
}
