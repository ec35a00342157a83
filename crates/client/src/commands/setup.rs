//! The global options, made into what they mean: which cluster, and how to use it.

use super::CommandError;
use crate::{
    cli::{Global, ProgressMode},
    client::{Client, ClientConfig},
    local::LocalCluster,
    progress::Progress,
    retry::RetryPolicy,
};
use sgdt_proto::{
    identity::Role,
    net::{Network, Tcp},
    tls::{Tls, credentials::CredentialsError},
};
use std::{num::NonZeroU16, sync::Arc, time::Duration};

/// What all commands need to know.
pub(super) struct Setup {
    /// How many workers to start in this process, if the cluster is to be there.
    local: Option<NonZeroU16>,
    /// The name servers, unless there is a local one.
    config: ClientConfig,
    pub(super) task_timeout: Option<Duration>,
    pub(super) progress: ProgressMode,
    network: Arc<dyn Network>,
}

impl TryFrom<Global> for Setup {
    type Error = CredentialsError;

    /// Within a runtime.
    fn try_from(global: Global) -> Result<Self, CredentialsError> {
        let network: Arc<dyn Network> = match &global.tls {
            Some(directory) => {
                let wanted = "a client's role is client, or admin for `remove` and `drain`";
                let tls = Tls::load(directory)?.expect(directory, &[Role::Client, Role::Admin], wanted)?;
                Arc::new(tls.follow())
            }
            None => Arc::new(Tcp),
        };
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
        Ok(Self {
            local: global.local.and_then(NonZeroU16::new),
            config,
            task_timeout: global.task_timeout,
            progress: global.progress,
            network,
        })
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

    /// Finds the cluster, or starts it if it is to be a local one.
    pub(super) async fn cluster(&self) -> Result<Cluster, CommandError> {
        let mut config = self.config.clone();
        let local = match self.local {
            Some(workers) => Some(LocalCluster::start(workers).await?),
            None => None,
        };
        if let Some(local) = &local {
            config.name_servers = vec![local.name_server().to_string()];
        }
        let progress = Progress::new(self.progress);
        Ok(Cluster { config, network: self.network.clone(), progress, _local: local })
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
