//! A worker's life: it listens, it is known, it works, and it leaves in an order that loses nothing.

#[cfg(test)]
mod tests;

use crate::{
    blobs::Blobs,
    config::Config,
    connection::Host,
    error::Error,
    executor::Executor,
    heartbeat::{Fate, Heartbeat, Heartbeats},
    kernel::Kinds,
    leader::Leader,
    machine,
    pool::Pool,
    session::{Limits, refuse},
    sessions::Sessions,
    stop::Stop,
};
use sgdt_proto::{
    handshake::Service,
    id::{WorkerId, WorkerName},
    name_server::WorkerInfo,
    net::{Listener, Network},
    serve,
    task::Refusal,
};
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a leaving worker waits for clients to fetch what is done. Longer than one that has fallen silent is
/// borne with.
const HAND_OUT: Duration = Duration::from_secs(5);
/// How long it may take until a client has pinged, which it does twice a second.
const HEARSAY: Duration = Duration::from_millis(750);
/// How long it may take to say goodbye to name servers and clients.
const GOODBYE: Duration = Duration::from_secs(3);

/// How many bytes of input may wait for a slot: a quarter of the machine's memory. The rest is for what runs.
fn waiting_bytes() -> usize {
    usize::try_from(machine::memory() / 4).unwrap_or(usize::MAX)
}

fn pool(config: &Config) -> Pool {
    Pool::new(config.queue).with_bytes(waiting_bytes())
}

/// A worker that listens and does not work yet.
pub struct Worker {
    config: Config,
    kinds: Arc<Kinds>,
    network: Arc<dyn Network>,
    executor: Executor,
    pool: Arc<Pool>,
    listener: Box<dyn Listener>,
    local: SocketAddr,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({} on {})", self.config.name, self.local)
    }
}

impl Worker {
    /// Listens, and checks what can be checked beforehand.
    ///
    /// # Errors
    /// The address is not to be had or not to be used, or what the worker says of itself is out of bounds.
    pub async fn bind(config: Config, kinds: Kinds, network: Arc<dyn Network>) -> Result<Self, Error> {
        let cannot = |source| Error::Listen { address: config.listen.clone(), source };
        let listener = network.listen(&config.listen).await.map_err(cannot)?;
        let local = listener.local_addr().map_err(cannot)?;
        if !local.ip().is_loopback() && !config.insecure && !network.is_authenticated() {
            return Err(Error::Insecure { address: local });
        }
        let kinds = Arc::new(kinds.memory_limit(config.task_memory));
        let pool = Arc::new(pool(&config).with_cores(config.slots));
        let worker = Self { config, kinds, network, executor: Executor::Threads, pool, listener, local };
        worker.info().validate().map_err(Error::Invalid)?;
        Ok(worker)
    }

    /// Has it run on something else than threads.
    #[must_use]
    pub fn on(mut self, executor: Executor) -> Self {
        if matches!(executor, Executor::Simulated(_)) {
            // A simulation is repeatable because it has one thread: no core is lent.
            self.pool = Arc::new(pool(&self.config));
        }
        self.executor = executor;
        self
    }

    /// What runs its quick tasks, if [`run`](Self::run) is driven by that. Otherwise slots run all of them.
    pub fn leader(&self) -> Leader {
        Leader::new(self.pool.clone(), self.kinds.clone())
    }

    /// Where it listens, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What people call it.
    pub fn name(&self) -> &WorkerName {
        &self.config.name
    }

    /// Which start of a worker it is.
    pub fn id(&self) -> WorkerId {
        self.config.id
    }

    fn info(&self) -> WorkerInfo {
        WorkerInfo {
            id: self.config.id,
            name: self.config.name.clone(),
            address: self.config.advertise.clone().unwrap_or_else(|| self.local.to_string()),
            slots: self.config.slots,
            tags: self.config.tags.clone(),
            kinds: self.kinds.names(),
        }
    }

    /// Registers and works until it is told to leave, by `stop`, by a client or by a name server, and has left.
    /// When the future is dropped it leaves, too, but waits for nothing.
    ///
    /// # Errors
    /// The system gives no threads, or a name server does not let the worker in. What it had it has finished.
    pub async fn run(self, stop: Stop) -> Result<(), Error> {
        let info = self.info();
        let (pool, blobs) = (self.pool, Blobs::new(self.config.blob_memory));
        let host = Host {
            id: info.id,
            pool: pool.clone(),
            sessions: Arc::new(Sessions::new(pool.clone(), Limits::default(), Arc::new(blobs))),
            drain: CancellationToken::new(),
            closing: CancellationToken::new(),
        };
        let (draining, leaving) = (CancellationToken::new(), CancellationToken::new());
        let end = End { host: host.clone(), leaving: leaving.clone() };
        let system = |what| move |source| Error::System { what, source };

        self.executor
            .start(&pool, &self.kinds, info.slots)
            .map_err(system("start a thread for each slot"))?;
        let heartbeat = Heartbeat {
            network: self.network,
            pool,
            info,
            advertised: self.config.advertise.is_some(),
            listens: self.local,
            draining: draining.clone(),
            leaving,
        };
        let mut heartbeats = heartbeat
            .start(&self.executor, self.config.nameservers)
            .map_err(system("start a thread for the heartbeat"))?;
        let handle = {
            let host = host.clone();
            move |connection| host.clone().serve(connection)
        };
        let serving =
            tokio::spawn(serve::connections(self.listener, Service::Task, host.closing.clone(), handle));

        let outcome = tokio::select! {
            biased;
            () = stop.drain.cancelled() => Ok(()),
            () = host.drain.cancelled() => Ok(()),
            fate = heartbeats.fate() => match fate {
                Fate::Removed { nameserver } => {
                    warn!(nameserver, "this worker was removed by an administrator and leaves");
                    Ok(())
                }
                Fate::Refused { nameserver, source } => Err(Error::Refused { nameserver, source }),
            },
        };
        end.leave(&stop, self.config.drain_timeout, &draining, heartbeats, serving).await;
        outcome
    }
}

/// Ends everything that a worker has started, politely or not.
struct End {
    host: Host,
    leaving: CancellationToken,
}

impl End {
    /// Leaves so that nothing is lost: tasks that wait go elsewhere at once, those that run are finished, their
    /// results are fetched, and only then is the worker gone.
    async fn leave(
        self,
        stop: &Stop,
        patience: Duration,
        draining: &CancellationToken,
        heartbeats: Heartbeats,
        serving: tokio::task::JoinHandle<()>,
    ) {
        let Host { pool, sessions, closing, .. } = &self.host;
        let waiting = pool.drain();
        info!(running = pool.load().running, sent_elsewhere = waiting.len(), "draining");
        refuse(waiting.into_iter().map(|job| (job, Refusal::Draining)).collect());
        draining.cancel();

        if !stop.wait(patience, pool.idle()).await {
            warn!(
                running = pool.load().running,
                "tasks that still run are cancelled; their clients try elsewhere"
            );
            sessions.abandon();
        }
        if !stop.wait(HAND_OUT, sessions.emptied()).await {
            warn!("some results were not fetched");
        }
        // A client that cannot be told by a name server, because there is none any more, hears it with the next
        // ping. One that sent a task instead would find the connection broken, and take that for a death.
        stop.wait(HEARSAY, sessions.warned()).await;
        // Before the connections end, so that clients find it gone and not broken.
        self.leaving.cancel();
        stop.wait(GOODBYE, heartbeats.ended()).await;
        closing.cancel();
        stop.wait(GOODBYE, async { drop(serving.await) }).await;
        info!("left");
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.leaving.cancel();
        self.host.closing.cancel();
        self.host.sessions.end();
        self.host.pool.close();
    }
}
