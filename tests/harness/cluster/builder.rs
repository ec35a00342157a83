//! The settings of a cluster.

use super::Cluster;
use crate::{
    binaries::{Binaries, programs},
    log::Journal,
    pki::Pki,
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::AtomicUsize,
};

/// The settings of a cluster that is to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    binaries: Option<Binaries>,
    workers: usize,
    slots: usize,
    nameserver_args: Vec<String>,
    worker_args: Vec<String>,
    tls: bool,
    issuing: bool,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            binaries: None,
            workers: 0,
            slots: 2,
            nameserver_args: Vec::new(),
            worker_args: Vec::new(),
            tls: false,
            issuing: false,
        }
    }

    /// How many workers there are at the start; none by default.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How many slots each worker has; two by default, whatever the machine has.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// Further options of the name server.
    pub fn nameserver_args(mut self, args: &[&str]) -> Self {
        self.nameserver_args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Further options of every worker.
    pub fn worker_args(mut self, args: &[&str]) -> Self {
        self.worker_args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Has all connections encrypted, each process with a certificate of its own; clients are admins.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Has the name server issue certificates to whoever has a token.
    pub fn issuing(mut self) -> Self {
        self.issuing = true;
        self
    }

    /// Other programs than those of this repository.
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }

    /// Starts it, and waits until all workers are registered.
    ///
    /// # Panics
    /// When it does not come up; the message shows what every process has said.
    pub fn start(self) -> Cluster {
        let mut worker_args = self.worker_args;
        worker_args.splice(0..0, ["--slots".to_owned(), self.slots.to_string(), "--diagnostics".to_owned()]);
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let binaries = self.binaries.unwrap_or_else(|| programs().clone());
        let directory = tempfile::tempdir().expect("there is room for temporary files");
        let pki = self.tls.then(|| Pki::init(&binaries.nameserver, directory.path().join("pki")));
        let mut nameserver_args = self.nameserver_args;
        if let Some(pki) = pki.as_ref().filter(|_| self.issuing) {
            nameserver_args.extend(["--ca".to_owned(), pki.authority().display().to_string()]);
        }
        let mut cluster = Cluster {
            binaries,
            journal: Journal::default(),
            directory,
            pki,
            nameserver_args,
            worker_args,
            address: any_port,
            nameserver: None,
            workers: BTreeMap::new(),
            panics_allowed: false,
            jobs: AtomicUsize::new(0),
        };
        cluster.start_nameserver(any_port);
        for number in 1..=self.workers {
            cluster.add_worker(&format!("w{number}"));
        }
        if self.workers > 0 {
            cluster.wait_registered();
        }
        cluster
    }
}
