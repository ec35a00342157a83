//! What of a cluster runs within this process: all of it, or the kernels alone ([`LocalKernels`]).
//!
//! A [`LocalCluster`] is a name server and workers that nobody has to start. They are the real ones, over real sockets
//! on the loopback, each with a thread of its own for its calls, so that they hold up neither one another nor the
//! client. Kernels run on the workers' own threads as ever.

mod kernels;

pub use kernels::{Cancel, DECIMAL_MEMORY, Factored, Form, LocalKernels, Work, within};

use crate::discovery::Discovery;
use rand::{SeedableRng, rngs::SmallRng};
use sgdt_nameserver::Nameserver;
use sgdt_proto::{
    id::{InvalidName, WorkerId},
    net::Tcp,
};
use sgdt_worker::{Stop, Worker, kernel::Kinds};
use std::{io, net::SocketAddr, num::NonZeroU16, sync::Arc, thread, time::Duration};
use tokio::{
    runtime::{self, Runtime},
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::error;

/// How long workers may take to register on their own machine.
const REGISTER: Duration = Duration::from_secs(10);

/// A running cluster. It ends when this is dropped, without waiting for what runs.
#[derive(Debug)]
pub struct LocalCluster {
    name_server: SocketAddr,
    _stop: DropGuard,
}

/// Why there is no local cluster.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The system gives no threads.
    #[error("cannot start a thread for the local cluster: {0}")]
    Thread(#[from] io::Error),
    /// The name server does not start.
    #[error("the local name server does not start: {0}")]
    Nameserver(#[from] sgdt_nameserver::BindError),
    /// A worker does not start, or has to end.
    #[error("a local worker failed: {0}")]
    Worker(#[from] sgdt_worker::Error),
    /// A worker cannot be called so.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A worker is not registered.
    #[error("the local workers did not register within {REGISTER:?}: this machine is too busy")]
    Late,
}

impl LocalCluster {
    /// Starts a name server and so many workers, which are called `w1`, `w2` and so on, share this machine's cores
    /// and memory, and serve the diagnostic kinds, too. Returns when all are registered.
    ///
    /// # Errors
    /// The system does not give what they need.
    pub async fn start(workers: NonZeroU16) -> Result<Self, LocalError> {
        let stop = CancellationToken::new();
        // From here on, whatever goes wrong ends what was started.
        let guard = stop.clone().drop_guard();
        let (failed, mut failures) = unbounded_channel();
        let host = Host { stop, failed };

        let (tell, told) = oneshot::channel();
        host.start("sgdt-nameserver", move |runtime, stop| {
            let config =
                sgdt_nameserver::config::Config { listen: "127.0.0.1:0".into(), ..Default::default() };
            runtime.block_on(async {
                let nameserver = Nameserver::bind(&config, &Tcp, &mut SmallRng::from_os_rng()).await?;
                // If nobody waits for it any more, it is about to be stopped.
                let _ = tell.send(nameserver.local_addr());
                stop.run_until_cancelled(nameserver.run(CancellationToken::new())).await;
                Ok(())
            })
        })?;
        let Ok(name_server) = told.await else {
            return Err(failures.recv().await.unwrap_or(LocalError::Late));
        };

        let kinds = Kinds::builtin().with_diagnostics();
        for number in 1..=workers.get() {
            let (config, kinds) = (config(number, workers, name_server)?, kinds.clone());
            host.start("sgdt-worker", move |runtime, stop| {
                let worker = runtime.block_on(Worker::bind(config, kinds, Arc::new(Tcp)))?;
                let leader = worker.leader();
                let running = async move { stop.run_until_cancelled(worker.run(Stop::new())).await };
                Ok(leader.block_on(runtime, running)?.unwrap_or(Ok(()))?)
            })?;
        }
        let discovery = Discovery::start(&[name_server.to_string()], &(Arc::new(Tcp) as _), 0);
        let mut membership = discovery.membership();
        let registered = membership.wait_for(|known| known.members().len() >= usize::from(workers.get()));
        tokio::select! {
            registered = timeout(REGISTER, registered) => drop(registered.map_err(|_| LocalError::Late)?),
            Some(failure) = failures.recv() => return Err(failure),
        }
        Ok(Self { name_server, _stop: guard })
    }

    /// Where its name server listens.
    pub fn name_server(&self) -> SocketAddr {
        self.name_server
    }
}

/// The configuration of worker `number` of `workers`.
fn config(
    number: u16,
    workers: NonZeroU16,
    name_server: SocketAddr,
) -> Result<sgdt_worker::config::Config, LocalError> {
    let id = WorkerId::random(&mut SmallRng::from_os_rng());
    let name = format!("w{number}").parse()?;
    let mut config = sgdt_worker::config::Config::new(id, name, vec![name_server.to_string()]);
    // What it has by default is the whole machine's: a slot for each core, each with its share of the memory.
    let (cores, memory) = (config.slots, config.task_memory.saturating_mul(config.slots.into()));
    config.slots = (cores / u32::from(workers.get())).max(1);
    config.task_memory = memory / (u64::from(config.slots) * u64::from(workers.get()));
    config.blob_memory /= u64::from(workers.get());
    Ok(config)
}

/// Starts the cluster's threads.
struct Host {
    stop: CancellationToken,
    failed: UnboundedSender<LocalError>,
}

impl Host {
    /// Runs something on a thread and a runtime of its own. It is to end when the cluster does.
    fn start(
        &self,
        name: &str,
        work: impl FnOnce(Runtime, CancellationToken) -> Result<(), LocalError> + Send + 'static,
    ) -> Result<(), LocalError> {
        let (stop, failed) = (self.stop.clone(), self.failed.clone());
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let body = move || {
            if let Err(failure) = work(runtime, stop)
                && let Err(unheard) = failed.send(failure)
            {
                error!("{}", unheard.0);
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Membership;

    #[test]
    fn workers_share_the_machine() {
        let address = "127.0.0.1:7400".parse().unwrap();
        let of = |workers| config(1, NonZeroU16::new(workers).unwrap(), address).unwrap();
        let alone = of(1);
        assert_eq!(of(256).slots, 1);
        assert_eq!(of(2).slots, (alone.slots / 2).max(1));
        assert!(of(2).task_memory <= alone.task_memory && of(256).task_memory < alone.task_memory);
        assert_eq!(alone.name.as_str(), "w1");
    }

    #[tokio::test]
    async fn a_cluster_is_complete_when_it_has_started_and_gone_when_it_is_dropped() {
        let cluster = LocalCluster::start(NonZeroU16::new(3).unwrap()).await.unwrap();
        let discovery = Discovery::start(&[cluster.name_server().to_string()], &(Arc::new(Tcp) as _), 0);
        let mut membership = discovery.membership();
        let known = membership.wait_for(Membership::is_reachable).await.unwrap();
        let names: Vec<_> = known.members().values().map(|member| member.info.name.to_string()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        drop(known);
        drop(cluster);
        timeout(Duration::from_secs(10), membership.wait_for(|known| !known.is_reachable()))
            .await
            .unwrap()
            .unwrap();
    }
}
