//! Being known: the worker's registrations, kept alive from where a busy CPU cannot starve them.
//!
//! There is one [`keep`](Heartbeat::keep) for each name server. All that they share is how many hold the worker: one
//! that does not let it in ends it only if there is no other.
//!
//! ```text
//!   dial ──▶ register ──▶ renew, every third of a TTL ──▶ deregister, when the worker leaves
//!    ▲          ▲            │ Unknown: the name server started anew, or the lease ran out
//!    │          └────────────┤
//!    └───────── backoff ◀────┘ no answer
//! ```

#[cfg(test)]
mod tests;

use crate::{executor::Executor, pool::Pool};
use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    backoff::Backoff,
    dial::{DialError, Dialled, context, dial},
    handshake::Service,
    name_server::{
        Lease, NameServerClient, NameServerRequest, NameServerResponse, RegisterError, RenewError,
        WorkerInfo, limits,
    },
    net::Network,
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use tarpc::client::RpcError;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long a name server may take over an answer.
const CALL: Duration = Duration::from_secs(2);
/// What tarpc is told instead: its deadlines look at the wall clock, which simulated time leaves behind.
const NO_DEADLINE: Duration = Duration::from_secs(3600);
/// The first and the longest wait before another try.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long the name may be taken at least, and in leases of its holder: that of a predecessor that crashed has run
/// out by then.
const NAME_TAKEN: (Duration, u32) = (Duration::from_secs(15), 2);
/// Bounds on the time between two renewals, whatever a name server says.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3600));

/// What a worker tells its name servers.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) pool: Arc<Pool>,
    /// Its address is found out anew with each connection, unless one is `advertised`.
    pub(crate) info: WorkerInfo,
    pub(crate) advertised: bool,
    pub(crate) listens: SocketAddr,
    /// The worker takes no more tasks, which is told at once.
    pub(crate) draining: CancellationToken,
    /// The worker is done with all of them.
    pub(crate) leaving: CancellationToken,
}

/// Why a worker cannot stay.
#[derive(Debug)]
pub(crate) enum Fate {
    /// An administrator removed it.
    Removed {
        /// From where.
        nameserver: String,
    },
    /// It is not let in.
    Refused {
        /// By whom.
        nameserver: String,
        /// Why.
        source: RegisterError,
    },
}

/// Why a registration is not to be had or kept just now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Call(#[from] RpcError),
    #[error("no answer within {CALL:?}")]
    Silent,
    #[error(transparent)]
    Refused(#[from] RegisterError),
}

/// How many name servers hold the worker.
#[derive(Default)]
struct Holders(AtomicUsize);

impl Holders {
    fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// A registration for as long as it is kept.
struct Held<'a>(&'a Holders);

impl<'a> Held<'a> {
    fn by_one_more(holders: &'a Holders) -> Self {
        holders.0.fetch_add(1, Ordering::Relaxed);
        Self(holders)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a stay with a name server ended.
enum Stay {
    Left,
    Removed,
}

/// Heartbeats that have been started.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    fates: mpsc::Receiver<Fate>,
    ended: oneshot::Receiver<()>,
}

impl Heartbeats {
    /// Waits until a name server does not want the worker.
    pub(crate) async fn fate(&mut self) -> Fate {
        match self.fates.recv().await {
            Some(fate) => fate,
            None => std::future::pending().await,
        }
    }

    /// Waits until every name server has been left.
    pub(crate) async fn ended(self) {
        // Nothing is ever sent: the sender goes with the last heartbeat.
        drop(self.ended.await);
    }
}

impl Heartbeat {
    /// Registers with all of these name servers and keeps doing so.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub(crate) fn start(self, executor: &Executor, nameservers: Vec<String>) -> io::Result<Heartbeats> {
        let (told, fates) = mpsc::channel(nameservers.len().max(1));
        let (end, ended) = oneshot::channel();
        let all = async move {
            let holders = Holders::default();
            let beats = nameservers.into_iter().zip(0..).map(|(nameserver, n): (_, u64)| {
                let (heartbeat, told, holders) = (&self, &told, &holders);
                async move {
                    let mut rng = SmallRng::seed_from_u64(heartbeat.info.id.0.wrapping_add(n));
                    if let Err(fate) = heartbeat.keep(nameserver, holders, &mut rng).await {
                        drop(told.send(fate).await);
                    }
                }
            });
            join_all(beats).await;
            drop(end);
        };
        match executor {
            Executor::Threads => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let thread = thread::Builder::new().name("sgdt-heartbeat".to_owned());
                thread.spawn(move || runtime.block_on(all))?;
            }
            Executor::Simulated(_) => drop(tokio::spawn(all)),
        }
        Ok(Heartbeats { fates, ended })
    }

    /// Stays registered with one name server until the worker leaves.
    async fn keep(&self, nameserver: String, holders: &Holders, rng: &mut SmallRng) -> Result<(), Fate> {
        let mut outage = Outage::new(BACKOFF.1);
        loop {
            let mut lease = None;
            let stay = self.stay(&nameserver, holders, rng, &mut lease).await;
            if let Some(Lease { ttl_ms }) = lease {
                // No longer than between two renewals, so that a name server that comes back knows all within one.
                outage = Outage::new(Duration::from_millis(ttl_ms) / 3);
            }
            let trouble = match stay {
                Ok(Stay::Left) => return Ok(()),
                Ok(Stay::Removed) | Err(Trouble::Refused(RegisterError::Removed)) => {
                    return Err(Fate::Removed { nameserver });
                }
                Err(Trouble::Refused(source)) if outage.is_final(&source, holders.any()) => {
                    return Err(Fate::Refused { nameserver, source });
                }
                Err(trouble) => trouble,
            };
            outage.tell(&nameserver, trouble.to_string());
            tokio::select! {
                biased;
                () = self.leaving.cancelled() => return Ok(()),
                () = sleep(outage.backoff.next_delay(rng)) => {}
            }
        }
    }

    /// One connection's time with a name server. Sets `granted` once there was a lease.
    async fn stay(
        &self,
        nameserver: &str,
        holders: &Holders,
        rng: &mut SmallRng,
        granted: &mut Option<Lease>,
    ) -> Result<Stay, Trouble> {
        let dialled = dial(&*self.network, nameserver, Service::NameServer, limits::REQUEST);
        let Some(dialled) = self.leaving.run_until_cancelled(dialled).await else { return Ok(Stay::Left) };
        let Dialled::<NameServerRequest, NameServerResponse> { wire, local } = dialled?;
        let client = NameServerClient::new(tarpc::client::Config::default(), wire).spawn();
        let id = self.info.id;
        loop {
            let load = self.pool.load();
            let mut told = load.draining;
            let info = WorkerInfo { address: self.address(local.ip()), ..self.info.clone() };
            let address = info.address.clone();
            let lease = call(client.register(context(NO_DEADLINE), info, load)).await??;
            *granted = Some(lease);
            let _held = Held::by_one_more(holders);
            info!(nameserver, name = %self.info.name, address, "registered");
            let third = (Duration::from_millis(lease.ttl_ms) / 3).clamp(PAUSE.0, PAUSE.1);
            loop {
                tokio::select! {
                    biased;
                    () = self.leaving.cancelled() => {
                        if let Err(error) = call(client.deregister(context(NO_DEADLINE), id)).await {
                            debug!(nameserver, %error, "the lease will have to run out");
                        }
                        return Ok(Stay::Left);
                    }
                    () = self.draining.cancelled(), if !told => {}
                    // Not in step with other workers that started together.
                    () = sleep(third.mul_f64(rng.random_range(0.9..1.1))) => {}
                }
                let load = self.pool.load();
                told = load.draining;
                match call(client.renew(context(NO_DEADLINE), id, load)).await? {
                    Ok(()) => {}
                    Err(RenewError::Unknown) => break,
                    Err(RenewError::Removed) => return Ok(Stay::Removed),
                }
            }
        }
    }

    /// Where clients reach this worker, as far as can be told from our end of a connection.
    fn address(&self, local: IpAddr) -> String {
        if self.advertised {
            self.info.address.clone()
        } else if self.listens.ip().is_unspecified() {
            SocketAddr::new(local, self.listens.port()).to_string()
        } else {
            self.listens.to_string()
        }
    }
}

/// A time without a registration.
struct Outage {
    backoff: Backoff,
    /// The last trouble that was told.
    told: String,
    /// Since when it is for the name that the worker is not let in.
    name_taken: Option<Instant>,
}

impl Outage {
    #[expect(clippy::expect_used, reason = "no less than a constant, and the first no more than the last")]
    fn new(most: Duration) -> Self {
        let most = most.clamp(PAUSE.0, BACKOFF.1);
        let backoff = Backoff::new(BACKOFF.0.min(most), most).expect("a valid backoff");
        Self { backoff, told: String::new(), name_taken: None }
    }

    /// Whether it is of no use to try again. A worker that another name server holds works, whatever this one says.
    fn is_final(&mut self, refusal: &RegisterError, held: bool) -> bool {
        match refusal {
            RegisterError::Removed => true,
            RegisterError::Full { .. } => false,
            _ if held => {
                // Should the other lose it, this one is waited for anew.
                self.name_taken = None;
                false
            }
            RegisterError::Invalid { .. } => true,
            RegisterError::NameTaken { ttl_ms, .. } => {
                let (least, leases) = NAME_TAKEN;
                let patience = Duration::from_millis(*ttl_ms).saturating_mul(leases).max(least);
                self.name_taken.get_or_insert_with(Instant::now).elapsed() >= patience
            }
        }
    }

    /// Warns, but of the same trouble only once.
    fn tell(&mut self, nameserver: &str, trouble: String) {
        if trouble == self.told {
            debug!(nameserver, "still not registered: {trouble}");
        } else {
            warn!(nameserver, "not registered, trying on: {trouble}");
            self.told = trouble;
        }
    }
}

async fn call<T>(answer: impl Future<Output = Result<T, RpcError>>) -> Result<T, Trouble> {
    Ok(timeout(CALL, answer).await.map_err(|_| Trouble::Silent)??)
}
