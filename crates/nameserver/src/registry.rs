//! Who is a member: leases, names, and a revision that moves when the members do.
//!
//! Nothing here does I/O, looks at a clock or draws a random number. Time is the `now` of each call, counted
//! from the registry's start, and a call first makes that time true ([`Registry::expire`]): whatever has run
//! out is gone before the call is answered, whether or not anybody woke up to purge it.
//!
//! ```text
//!            register          renew           deregister, remove, TTL without a renewal
//!    absent ─────────▶ member ───────▶ member ──────────────────────────────────────────▶ absent
//!                        │                                                           remove │
//!                        └── info or draining differs: Updated        its id is refused ◀───┘
//! ```
//!
//! Every change is recorded once ([`Change`]) and moves the revision by one; the shell around the registry
//! takes the records ([`Registry::take_changes`]), logs them, and wakes those who watch.

mod removed;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use removed::Removed;
use sgdt_proto::{
    id::{Epoch, Revision, WorkerId, WorkerName},
    name_server::{
        Lease, Load, Member, RegisterError, RenewError, Snapshot, WorkerInfo, WorkerState, WorkerStatus,
        limits,
    },
    net::CONNECT_TIMEOUT,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The most workers, unless said otherwise.
pub const MAX_WORKERS: usize = 65_536;

/// The most bytes of an answer that members may take up, so that a whole snapshot stays a message that
/// clients accept; the rest is for what surrounds them.
const MAX_BYTES: usize = limits::ANSWER as usize - 1024;

/// The longest that a worker may take to come back to a name server that did not answer: it gives up on a
/// connection to a machine that is down, and waits before the next. The registry is not settled before the slowest
/// of them has had its turn.
const SLOWEST_RETURN: Duration = CONNECT_TIMEOUT.saturating_add(Duration::from_secs(2));

/// One thing that happened to the membership.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A worker registered.
    Joined(Arc<WorkerInfo>),
    /// A worker said something else of itself, or began or ceased to drain.
    Updated {
        /// What it says now.
        worker: Arc<WorkerInfo>,
        /// Whether it takes no more tasks.
        draining: bool,
    },
    /// A worker ended its lease.
    Left(Arc<WorkerInfo>),
    /// A worker's lease ran out.
    Expired(Arc<WorkerInfo>),
    /// A worker was evicted.
    Removed(Arc<WorkerInfo>),
    /// Every live worker has had time to announce itself: from now on an absence means something.
    Settled,
}

/// The live workers, found by identity, by name, and by whose lease ends first.
#[derive(Debug)]
pub struct Registry {
    epoch: Epoch,
    ttl: Duration,
    max_workers: usize,
    /// The latest time that a call brought.
    now: Duration,
    /// When the registry will have settled; `None` once it has.
    settles: Option<Duration>,
    revision: Revision,
    workers: BTreeMap<WorkerId, Worker>,
    names: BTreeMap<WorkerName, WorkerId>,
    /// When each lease ends.
    ends: BTreeSet<(Duration, WorkerId)>,
    removed: Removed,
    /// The sum of the workers' [`WorkerInfo::encoded_bound`].
    bytes: usize,
    changes: Vec<Change>,
    /// The membership at the revision that it carries, which may be an earlier one.
    snapshot: Arc<Snapshot>,
}

#[derive(Debug)]
struct Worker {
    info: Arc<WorkerInfo>,
    load: Load,
    renewed: Duration,
}

impl Registry {
    /// An empty registry at time zero, whose leases last `ttl` from their last renewal and which takes at most
    /// `max_workers`.
    pub fn new(epoch: Epoch, ttl: Duration, max_workers: usize) -> Self {
        let snapshot = Snapshot { epoch, revision: Revision(0), settled: false, members: Vec::new() };
        Self {
            epoch,
            ttl,
            max_workers,
            now: Duration::ZERO,
            // A third is one renewal: what a worker may be late with and still be alive.
            settles: Some(ttl.max(SLOWEST_RETURN).saturating_add(ttl / 3)),
            revision: snapshot.revision,
            workers: BTreeMap::new(),
            names: BTreeMap::new(),
            ends: BTreeSet::new(),
            removed: Removed::default(),
            bytes: 0,
            changes: Vec::new(),
            snapshot: Arc::new(snapshot),
        }
    }

    /// Makes a worker a member, or renews the lease of one that is a member already.
    ///
    /// # Errors
    /// The announcement is out of bounds, the worker was removed, another live worker has the name, or there
    /// is no room. Nothing has changed then.
    pub fn register(&mut self, info: WorkerInfo, load: Load, now: Duration) -> Result<Lease, RegisterError> {
        self.expire(now);
        info.validate()?;
        if self.removed.contains(info.id) {
            return Err(RegisterError::Removed);
        }
        let holder = self.names.get(&info.name).and_then(|id| self.workers.get(id));
        if let Some(holder) = holder.filter(|holder| holder.info.id != info.id) {
            let (address, ttl_ms) = (holder.info.address.clone(), self.ttl_ms());
            return Err(RegisterError::NameTaken { name: info.name, address, ttl_ms });
        }
        let known = self.workers.get(&info.id);
        let bytes = self.bytes - known.map_or(0, |known| known.info.encoded_bound()) + info.encoded_bound();
        if bytes > MAX_BYTES || (known.is_none() && self.workers.len() >= self.max_workers) {
            return Err(RegisterError::Full { workers: self.workers.len() });
        }
        let (info, draining) = (Arc::new(info), load.draining);
        let change = match self.take(info.id) {
            None => Some(Change::Joined(info.clone())),
            Some(old) if old.info == info && old.load.draining == draining => None,
            Some(_) => Some(Change::Updated { worker: info.clone(), draining }),
        };
        self.put(Worker { info, load, renewed: self.now });
        change.into_iter().for_each(|change| self.record(change));
        Ok(Lease { ttl_ms: self.ttl_ms() })
    }

    fn ttl_ms(&self) -> u64 {
        u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX)
    }

    /// Prolongs a lease to a TTL from now.
    ///
    /// # Errors
    /// There is no such lease.
    pub fn renew(&mut self, id: WorkerId, load: Load, now: Duration) -> Result<(), RenewError> {
        self.expire(now);
        let Some(worker) = self.workers.get_mut(&id) else {
            return Err(if self.removed.contains(id) { RenewError::Removed } else { RenewError::Unknown });
        };
        self.ends.remove(&(worker.renewed.saturating_add(self.ttl), id));
        self.ends.insert((self.now.saturating_add(self.ttl), id));
        worker.renewed = self.now;
        let flipped = worker.load.draining != load.draining;
        worker.load = load;
        if flipped {
            let change = Change::Updated { worker: worker.info.clone(), draining: load.draining };
            self.record(change);
        }
        Ok(())
    }

    /// Ends a lease, if there is one.
    pub fn deregister(&mut self, id: WorkerId, now: Duration) {
        self.expire(now);
        if let Some(worker) = self.take(id) {
            self.record(Change::Left(worker.info));
        }
    }

    /// Evicts the worker of this name, and refuses this start of it from now on. The name is free at once.
    pub fn remove(&mut self, name: &WorkerName, now: Duration) -> Option<WorkerStatus> {
        self.expire(now);
        let id = *self.names.get(name)?;
        let worker = self.take(id)?;
        self.removed.insert(id);
        let status = self.status(&worker);
        self.record(Change::Removed(worker.info));
        Some(status)
    }

    /// Lets time pass: ends the leases that have run out, and settles. Answers with when to call next, should
    /// nothing else happen until then.
    pub fn expire(&mut self, now: Duration) -> Option<Duration> {
        self.now = self.now.max(now);
        while let Some(&(end, id)) = self.ends.first()
            && end <= self.now
        {
            self.ends.pop_first();
            if let Some(worker) = self.take(id) {
                self.record(Change::Expired(worker.info));
            }
        }
        if self.settles.is_some_and(|settles| settles <= self.now) {
            self.settles = None;
            self.record(Change::Settled);
        }
        let first = self.ends.first().map(|&(end, _)| end);
        first.into_iter().chain(self.settles).min()
    }

    /// All workers, by name.
    pub fn list(&mut self, now: Duration) -> Vec<WorkerStatus> {
        self.expire(now);
        self.by_name().map(|worker| self.status(worker)).collect()
    }

    /// The worker of this name.
    pub fn lookup(&mut self, name: &WorkerName, now: Duration) -> Option<WorkerStatus> {
        self.expire(now);
        let worker = self.workers.get(self.names.get(name)?)?;
        Some(self.status(worker))
    }

    /// The membership. It is built once for each revision that is asked for.
    pub fn snapshot(&mut self, now: Duration) -> Arc<Snapshot> {
        self.expire(now);
        if self.snapshot.revision != self.revision {
            let member = |worker: &Worker| Member {
                info: WorkerInfo::clone(&worker.info),
                draining: worker.load.draining,
            };
            self.snapshot = Arc::new(Snapshot {
                epoch: self.epoch,
                revision: self.revision,
                settled: self.settles.is_none(),
                members: self.by_name().map(member).collect(),
            });
        }
        self.snapshot.clone()
    }

    /// How long leases last.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The name under which a worker is a member.
    pub fn name_of(&self, id: WorkerId) -> Option<&WorkerName> {
        self.workers.get(&id).map(|worker| &worker.info.name)
    }

    /// How many workers there are.
    pub fn len(&mut self, now: Duration) -> usize {
        self.expire(now);
        self.workers.len()
    }

    /// Whether this registry has been at a revision, rather than another start of it or a later time.
    pub fn has_reached(&self, (epoch, revision): (Epoch, Revision)) -> bool {
        epoch == self.epoch && revision <= self.revision
    }

    /// What has changed since this was last asked, in order. The revision has moved by as many.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn by_name(&self) -> impl Iterator<Item = &Worker> {
        self.names.values().filter_map(|id| self.workers.get(id))
    }

    fn status(&self, worker: &Worker) -> WorkerStatus {
        let age = self.now.saturating_sub(worker.renewed);
        let state = if worker.load.draining {
            WorkerState::Draining
        } else if age > self.ttl / 2 {
            // A renewal comes every third of the TTL, so half of one is late beyond any jitter.
            WorkerState::Suspect
        } else {
            WorkerState::Healthy
        };
        WorkerStatus {
            info: WorkerInfo::clone(&worker.info),
            load: worker.load,
            state,
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn put(&mut self, worker: Worker) {
        let id = worker.info.id;
        self.bytes += worker.info.encoded_bound();
        self.names.insert(worker.info.name.clone(), id);
        self.ends.insert((worker.renewed.saturating_add(self.ttl), id));
        self.workers.insert(id, worker);
    }

    fn take(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        self.bytes -= worker.info.encoded_bound();
        self.names.remove(&worker.info.name);
        self.ends.remove(&(worker.renewed.saturating_add(self.ttl), id));
        Some(worker)
    }

    fn record(&mut self, change: Change) {
        self.revision.0 += 1;
        self.changes.push(change);
    }
}
