//! The name server's service: the registry, a clock, and those who wait for it to change.
//!
//! ```text
//! requests ──▶ Registry (behind a lock that is never held across an await)
//!                 │ changes: logged, and the tender is woken
//!                 ▼
//!              tend() ──▶ watch::Sender<Arc<Snapshot>> ──▶ every pending `watch`
//!                 ▲ wakes by itself when the first lease ends, and to read the clock
//! ```
//!
//! The first change after a quiet time goes out at once. Those that follow are gathered, so that a thousand
//! workers that join together are a few snapshots, and not a thousand for every client.

#[cfg(test)]
mod tests;

use crate::{
    clock::Clock,
    registry::{Change, Registry},
};
use sgdt_proto::{
    id::{Epoch, Revision, WorkerId, WorkerName},
    name_server::{
        Lease, Load, NameServer, RegisterError, RenewError, Snapshot, WATCH_HOLD_MS, WorkerInfo,
        WorkerStatus, WrittenSnapshot,
    },
};
use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tarpc::context::Context;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long further changes are gathered after one has been told: so long, longer for each worker of whom there is
/// to tell, and never longer than that.
const GATHER: (Duration, Duration, Duration) =
    (Duration::from_millis(20), Duration::from_micros(100), Duration::from_millis(250));

/// Answers for a registry. Clones share it.
#[derive(Clone)]
pub struct Directory {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Mutex<(Registry, Clock)>,
    /// When the registry's time began.
    started: Instant,
    /// What watchers have been told last. The registry may be ahead of it by what [`GATHER`] holds back.
    told: watch::Sender<News>,
    /// The registry has changed: there is something to tell, and maybe an earlier lease to end.
    changed: Notify,
    /// Releases those who wait.
    stop: CancellationToken,
}

/// What watchers are told.
struct News {
    snapshot: Arc<Snapshot>,
    written: WrittenSnapshot,
}

impl From<Arc<Snapshot>> for News {
    fn from(snapshot: Arc<Snapshot>) -> Self {
        Self { written: WrittenSnapshot::new(&snapshot), snapshot }
    }
}

/// How long changes are gathered when there are so many workers.
fn gather(workers: usize) -> Duration {
    let (least, each, most) = GATHER;
    u32::try_from(workers)
        .map_or(most, |workers| least.saturating_add(each.saturating_mul(workers)).min(most))
}

impl Directory {
    /// A directory over `registry`, whose time begins now. After `stop` nobody is made to wait.
    pub fn new(mut registry: Registry, stop: CancellationToken) -> Self {
        let told = watch::Sender::new(registry.snapshot(Duration::ZERO).into());
        let clock = Clock::new(registry.ttl());
        let (registry, started, changed) = (Mutex::new((registry, clock)), Instant::now(), Notify::new());
        Self { shared: Arc::new(Shared { registry, started, told, changed, stop }) }
    }

    /// Ends leases when they run out, and tells watchers what has changed. Without it they are told nothing.
    pub async fn tend(&self) -> Infallible {
        loop {
            let (snapshot, wake) = self.with(|registry, now| {
                let due = registry.expire(now);
                (registry.snapshot(now), due.map(|due| due.saturating_sub(now)))
            });
            if self.shared.told.borrow().snapshot.revision != snapshot.revision {
                let workers = snapshot.members.len();
                self.shared.told.send_replace(snapshot.into());
                sleep(gather(workers)).await;
                continue;
            }
            // A change made since the lock was let go has left a permit here, so none is slept through. What
            // this task itself ended has left one as well, which costs a turn.
            let changed = self.shared.changed.notified();
            drop(timeout(wake.unwrap_or(Duration::MAX).min(self.often()), changed).await);
        }
    }

    /// Does something to the registry, and logs and passes on what has changed by it.
    fn with<R>(&self, act: impl FnOnce(&mut Registry, Duration) -> R) -> R {
        let (answer, changes, absent) = {
            // A panic within would have left whole entries, at worst with an index too few.
            let mut held = self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
            let (registry, clock) = &mut *held;
            let (now, absent) = clock.read(self.shared.started.elapsed());
            (act(registry, now), registry.take_changes(), absent)
        };
        if let Some(absent) = absent {
            warn!("stood still for {absent:?}, which is not counted against any lease");
        }
        if !changes.is_empty() {
            self.shared.changed.notify_one();
            changes.iter().for_each(log);
        }
        answer
    }

    /// How often the clock has to be read, whether or not anything happens.
    fn often(&self) -> Duration {
        self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner).1.often()
    }

    /// Whose lease this is, if it is anybody's.
    pub(crate) fn holder(&self, id: WorkerId) -> Option<WorkerName> {
        self.with(|registry, _| registry.name_of(id).cloned())
    }

    /// Waits until watchers are told of a later revision than one that the registry has been at.
    async fn told_after(&self, revision: Revision) -> Option<WrittenSnapshot> {
        let mut told = self.shared.told.subscribe();
        let later = told.wait_for(|told| told.snapshot.revision > revision);
        let held = timeout(Duration::from_millis(WATCH_HOLD_MS), later);
        let later = self.shared.stop.run_until_cancelled(held).await?.ok()?.ok()?;
        Some(later.written.clone())
    }

    /// The membership at this moment.
    fn written(&self) -> WrittenSnapshot {
        let snapshot = self.with(Registry::snapshot);
        let told = self.shared.told.borrow();
        if told.snapshot.revision == snapshot.revision {
            return told.written.clone();
        }
        WrittenSnapshot::new(&snapshot)
    }
}

impl NameServer for Directory {
    async fn register(self, _: Context, info: WorkerInfo, load: Load) -> Result<Lease, RegisterError> {
        let (id, name) = (info.id, info.name.clone());
        let answer = self.with(|registry, now| registry.register(info, load, now));
        if let Err(error) = &answer {
            debug!(%name, %id, %error, "refused a worker");
        }
        answer
    }

    async fn renew(self, _: Context, id: WorkerId, load: Load) -> Result<(), RenewError> {
        self.with(|registry, now| registry.renew(id, load, now))
    }

    async fn deregister(self, _: Context, id: WorkerId) {
        self.with(|registry, now| registry.deregister(id, now));
    }

    async fn watch(self, _: Context, since: Option<(Epoch, Revision)>) -> WrittenSnapshot {
        // Whoever knows nothing, or knows another start of this server, has nothing to wait for; and is told
        // the latest, so that a worker whose registration was answered is seen by a client that comes after.
        let known = since.filter(|&since| self.with(|registry, _| registry.has_reached(since)));
        let told = match known {
            Some((_, revision)) => self.told_after(revision).await,
            None => None,
        };
        told.unwrap_or_else(|| self.written())
    }

    async fn list(self, _: Context) -> Vec<WorkerStatus> {
        self.with(Registry::list)
    }

    async fn lookup(self, _: Context, name: WorkerName) -> Option<WorkerStatus> {
        self.with(|registry, now| registry.lookup(&name, now))
    }

    async fn remove(self, _: Context, name: WorkerName) -> Option<WorkerStatus> {
        self.with(|registry, now| registry.remove(&name, now))
    }
}

/// Names and addresses have been validated, and may be printed as they are.
fn log(change: &Change) {
    match change {
        Change::Joined(worker) => {
            info!(name = %worker.name, id = %worker.id, address = %worker.address, slots = worker.slots, "worker joined");
        }
        Change::Updated { worker, draining } => {
            info!(name = %worker.name, id = %worker.id, address = %worker.address, draining, "worker changed");
        }
        Change::Left(worker) => info!(name = %worker.name, id = %worker.id, "worker left"),
        Change::Expired(worker) => info!(name = %worker.name, id = %worker.id, "worker's lease ended"),
        Change::Removed(worker) => info!(name = %worker.name, id = %worker.id, "worker removed"),
        Change::Settled => info!("every live worker has had time to announce itself"),
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = &self.shared.told.borrow().snapshot;
        write!(f, "Directory({:?}, {:?}, {} workers)", told.epoch, told.revision, told.members.len())
    }
}
