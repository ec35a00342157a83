//! The global options, made into what they mean: which cluster, and how to use it.

use super::CommandError;
use crate::{
    cli::{Global, ProgressMode},
    client::{Client, ClientConfig},
    local::LocalCluster,
    progress::Progress,
    retry::RetryPolicy,
};
use rand::{SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    id::WorkerName,
    identity::Role,
    join::{enrol::enrol, token::Token},
    net::{Network, Tcp},
    tls::{Tls, credentials::CredentialsError},
};
use std::{
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;

/// What all commands need to know.
pub(super) struct Setup {
    /// How many workers to start in this process, if the cluster is to be there.
    local: Option<NonZeroU16>,
    /// The name servers, unless there is a local one.
    config: ClientConfig,
    pub(super) task_timeout: Option<Duration>,
    pub(super) progress: ProgressMode,
    tls: Option<PathBuf>,
}

impl From<Global> for Setup {
    fn from(global: Global) -> Self {
        let defaults = ClientConfig::default();
        let config = ClientConfig {
            name_servers: if global.nameserver.is_empty() {
                defaults.name_servers
            } else {
                global.nameserver
            },
            balance: global.balance,
            retry: RetryPolicy { max_attempts: global.max_attempts, ..defaults.retry },
            wait_workers: global.wait_workers,
            seed: None,
        };
        Self {
            local: global.local.and_then(NonZeroU16::new),
            config,
            task_timeout: global.task_timeout,
            progress: global.progress,
            tls: global.tls,
        }
    }
}

/// A cluster that is there: its name servers, and how to use it.
pub(super) struct Cluster {
    pub(super) config: ClientConfig,
    pub(super) network: Arc<dyn Network>,
    progress: Progress,
    /// Ends with this.
    _local: Option<LocalCluster>,
}

impl Setup {
    /// Whether to say on standard error what was done.
    pub(super) fn remarks(&self) -> bool {
        self.progress != ProgressMode::Never
    }

    /// Whether the workers are in this process.
    pub(super) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// The network that is meant.
    fn network(&self) -> Result<Arc<dyn Network>, CredentialsError> {
        let Some(directory) = &self.tls else { return Ok(Arc::new(Tcp)) };
        let wanted = "a client's role is client, or admin for `remove` and `drain`";
        let tls = Tls::load(directory)?.expect(directory, &[Role::Client, Role::Admin], wanted)?;
        Ok(Arc::new(tls.follow()))
    }

    /// Gets what `--tls` takes, by a token.
    pub(super) async fn join(&self, token: &Token, name: Option<&WorkerName>) -> Result<&Path, CommandError> {
        let directory = self.tls.as_deref().ok_or(CommandError::Nowhere)?;
        let (nameservers, rng) = (&self.config.name_servers, &mut SmallRng::from_os_rng());
        let joined = enrol(nameservers, token, Role::Client, name, directory, rng);
        match timeout(self.config.wait_workers, joined).await {
            Ok(joined) => joined?,
            Err(_) => {
                return Err(CommandError::NotJoined(nameservers.join(", "), self.config.wait_workers));
            }
        }
        Ok(directory)
    }

    /// Finds the cluster, or starts it if it is to be a local one.
    pub(super) async fn cluster(&self) -> Result<Cluster, CommandError> {
        let network = self.network()?;
        let mut config = self.config.clone();
        let local = match self.local {
            Some(workers) => Some(LocalCluster::start(workers).await?),
            None => None,
        };
        if let Some(local) = &local {
            config.name_servers = vec![local.name_server().to_string()];
        }
        let progress = Progress::new(self.progress);
        Ok(Cluster { config, network, progress, _local: local })
    }
}

impl Cluster {
    /// Joins it, waiting for a worker.
    pub(super) async fn connect(&self) -> Result<Client, CommandError> {
        let connect = Client::connect(self.config.clone(), self.network.clone());
        Ok(self.waiting("a worker", connect).await?)
    }

    /// Waits for something of the cluster's, and says so when it takes long.
    pub(super) async fn waiting<T>(&self, what: &str, wait: impl Future<Output = T>) -> T {
        let what = format!("waiting for {what} at {}", self.config.name_servers.join(", "));
        tokio::select! {
            biased;
            done = wait => done,
            never = self.progress.waiting(&what) => match never {},
        }
    }
}
