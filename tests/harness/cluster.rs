//! A name server, workers and clients on free ports of this machine.
//!
//! ```no_run
//! # use harness::{cluster::Cluster, job::Job};
//! let mut cluster = Cluster::start(3);
//! let job = Job::sleeps(30, 50);
//! let run = cluster.run(&[], &job).expect(0);
//! run.results().assert_exactly_once(job.ids()).assert_first_attempts();
//! ```

mod builder;
mod run;

pub use builder::Builder;
pub use run::Run;

use crate::{
    binaries::Binaries,
    log::{Journal, Stream},
    pki::Pki,
    process::{Process, Signal},
    wait::{STEP, answer_within},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::AtomicUsize,
    thread,
};
use tempfile::TempDir;

/// Running processes that know each other. See the [module](self).
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    journal: Journal,
    directory: TempDir,
    /// Its certificates, if it has any.
    pki: Option<Pki>,
    nameserver_args: Vec<String>,
    worker_args: Vec<String>,
    address: SocketAddr,
    nameserver: Option<Process>,
    workers: BTreeMap<String, Process>,
    panics_allowed: bool,
    /// How many jobs there were: each has a task file of its own.
    jobs: AtomicUsize,
}

/// A worker as `workers --json` shows it.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct WorkerRow {
    /// Its name.
    pub name: String,
    /// This start of it.
    pub id: serde_json::Value,
    /// Where it listens, or says that it does.
    pub address: SocketAddr,
    /// How many tasks it runs at a time.
    pub slots: u32,
    /// How many it runs now.
    pub running: u32,
    /// How many wait in its queue.
    pub queued: u32,
    /// `healthy`, `suspect` or `draining`.
    pub state: String,
    /// Its tags.
    pub tags: serde_json::Value,
    /// What it can do.
    pub kinds: Vec<String>,
    /// How long ago it was last heard of.
    pub age_ms: u64,
}

/// Asks for the workers, without waiting for any.
const LIST: [&str; 4] = ["workers", "--json", "--wait-workers", "1s"];

#[derive(Deserialize)]
struct Listing {
    workers: Vec<WorkerRow>,
}

impl Cluster {
    /// A name server and so many workers `w1`, `w2`, ... of two slots each, all registered.
    pub fn start(workers: usize) -> Self {
        Self::builder().workers(workers).start()
    }

    /// A cluster with other settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Where the name server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A path in the cluster's own directory, which is where its clients run and which is removed with it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file in the cluster's directory.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, contents).expect("the directory can be written to");
        path
    }

    /// The name server.
    pub fn nameserver(&mut self) -> &mut Process {
        self.nameserver.as_mut().expect("the name server has not been killed")
    }

    /// Kills the name server, and reaps it.
    pub fn kill_nameserver(&mut self) {
        self.nameserver().kill();
        self.nameserver = None;
    }

    /// Starts a name server where the first one was; it knows nothing.
    pub fn restart_nameserver(&mut self) {
        self.start_nameserver(self.address);
    }

    /// A worker.
    pub fn worker(&mut self, name: &str) -> &mut Process {
        self.workers.get_mut(name).unwrap_or_else(|| panic!("there is no worker {name}"))
    }

    /// Starts a worker with the cluster's worker options, and waits until it listens.
    pub fn add_worker(&mut self, name: &str) -> SocketAddr {
        self.add_worker_with(name, &[])
    }

    /// Starts a worker with further options, and waits until it listens: at the address that is returned.
    pub fn add_worker_with(&mut self, name: &str, args: &[&str]) -> SocketAddr {
        let program = self.binaries.worker.clone();
        self.add_worker_of(&program, name, args)
    }

    /// Starts a worker of another program, with the command line of the stock one.
    pub fn add_worker_of(&mut self, program: &Path, name: &str, args: &[&str]) -> SocketAddr {
        let mut command = self.command(program);
        command.args(["--nameserver", &self.address.to_string(), "--listen", "127.0.0.1:0", "--name", name]);
        self.certify(&mut command, "worker", name);
        command.args(&self.worker_args).args(args);
        let worker = Process::spawn(&self.journal, name, command);
        let address = listening(&worker, &format!("worker {name} listening on "));
        self.workers.insert(name.to_owned(), worker);
        address
    }

    /// Kills a worker with SIGKILL, and reaps it.
    pub fn kill(&mut self, name: &str) {
        self.worker(name).kill();
        self.workers.remove(name);
    }

    /// Sends a worker a signal.
    pub fn signal(&mut self, name: &str, signal: Signal) {
        self.worker(name).signal(signal);
    }

    /// Waits until the name server lists workers of which `wanted` holds, and returns them.
    ///
    /// # Panics
    /// When it does not within [`STEP`]; the message has the last answer, and what every process has said.
    pub fn wait_workers(&self, what: &str, wanted: impl Fn(&[WorkerRow]) -> bool) -> Vec<WorkerRow> {
        let mut last = String::new();
        let listed = answer_within(STEP, || {
            // Asked many times: what these clients say is kept out of the journal.
            let client = Process::spawn(&Journal::default(), "client", self.client_command(&LIST));
            let run = self.finish(client);
            assert!(!run.stderr.contains("panicked at"), "the client panicked: {}", run.stderr);
            let listing: Option<Listing> = serde_json::from_str(&run.stdout).ok();
            last = format!("{}\n{}{}", run.status, run.stdout, run.stderr);
            listing.map(|listing| listing.workers).filter(|workers| wanted(workers))
        });
        listed.unwrap_or_else(|| {
            panic!(
                "waited {STEP:?} in vain for {what}; `client {}` ended: {last}{}",
                LIST.join(" "),
                self.journal.show()
            )
        })
    }

    /// Waits until every worker that was started, and not killed, is listed.
    pub fn wait_registered(&self) -> Vec<WorkerRow> {
        self.wait_workers("every worker to be registered", |rows| {
            self.workers.keys().all(|name| rows.iter().any(|row| row.name == *name))
        })
    }

    /// Any program as the harness starts it: in the cluster's directory, with no settings from outside.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.directory.path());
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("SGDT_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command
    }

    /// Starts another process of the test, whose log is shown with the cluster's.
    pub fn spawn(&self, name: &str, command: Command) -> Process {
        Process::spawn(&self.journal, name, command)
    }

    /// The cluster's certificates.
    ///
    /// # Panics
    /// When it has none.
    pub fn pki(&self) -> &Pki {
        self.pki.as_ref().expect("the cluster was built with tls()")
    }

    /// Gives a process its certificate, where the cluster has certificates. Options that come later win.
    fn certify(&self, command: &mut Command, role: &str, name: &str) {
        if let Some(pki) = &self.pki {
            command.arg("--tls").arg(pki.issued(role, name));
        }
    }

    /// From now on a worker may report a panic: the test runs kernels that do.
    pub fn allow_panics(&mut self) {
        self.panics_allowed = true;
    }

    fn start_nameserver(&mut self, listen: SocketAddr) {
        let mut command = self.command(&self.binaries.nameserver);
        command.args(["--listen", &listen.to_string()]);
        self.certify(&mut command, "nameserver", "ns");
        command.args(&self.nameserver_args);
        let nameserver = Process::spawn(&self.journal, "nameserver", command);
        self.address = listening(&nameserver, "nameserver listening on ");
        self.nameserver = Some(nameserver);
    }

    /// What went wrong with the processes that no assertion has looked at. Kills them all.
    fn faults(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for process in self.nameserver.iter_mut().chain(self.workers.values_mut()) {
            if let Some(status) = process.ended_unasked() {
                faults.push(format!("{} ended though nobody had asked it to: {status}", process.name()));
            }
            process.kill();
        }
        for log in self.journal.logs().iter().filter(|_| !self.panics_allowed) {
            let panicked =
                log.lines(Stream::Stderr).kept.into_iter().find(|line| line.contains("panicked at"));
            faults.extend(panicked.map(|line| format!("{} panicked: {line}", log.name())));
        }
        faults
    }
}

/// Waits for a daemon's one line on standard output, and returns the address in it.
fn listening(process: &Process, prefix: &str) -> SocketAddr {
    let line = process.wait_line(|line| line.starts_with(prefix));
    let address = &line[prefix.len()..];
    address.parse().unwrap_or_else(|_| panic!("{} says that it listens on {address:?}", process.name()))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !thread::panicking() {
            let faults = self.faults();
            assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), self.journal.show());
        } else if !self.journal.shown() {
            eprintln!("{}", self.journal.show());
        }
    }
}

#[cfg(test)]
mod tests;
