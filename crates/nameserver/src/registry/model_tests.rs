//! The registry against a naive model: a list that is scanned from end to end, under random operations.
//!
//! Few identities, names and particulars, and steps of time around the TTL, so that operations meet.

use super::*;
use proptest::prelude::*;

const TTL: Duration = Duration::from_millis(3_000);
const WORKERS: usize = 3;
const EPOCH: Epoch = Epoch(7);

#[derive(Clone, Debug)]
enum Op {
    Register { id: u64, name: u8, slots: u32, load: Load },
    Renew { id: u64, load: Load },
    Deregister { id: u64 },
    Remove { name: u8 },
    Lookup { name: u8 },
    List,
    Expire,
}

fn load() -> impl Strategy<Value = Load> {
    (0u32..3, prop::bool::weighted(0.2)).prop_map(|(running, draining)| Load { running, queued: 0, draining })
}

fn op() -> impl Strategy<Value = Op> {
    let (id, name) = (0u64..6, 0u8..4);
    prop_oneof![
        6 => (id.clone(), name.clone(), 0u32..3, load())
            .prop_map(|(id, name, slots, load)| Op::Register { id, name, slots, load }),
        6 => (id.clone(), load()).prop_map(|(id, load)| Op::Renew { id, load }),
        1 => id.prop_map(|id| Op::Deregister { id }),
        1 => name.clone().prop_map(|name| Op::Remove { name }),
        1 => name.prop_map(|name| Op::Lookup { name }),
        1 => Just(Op::List),
        1 => Just(Op::Expire),
    ]
}

/// How far time goes before an operation: often not at all, sometimes to the very end of a lease, and
/// sometimes backwards, which a caller may do and which must not undo anything.
fn step() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0i64), 8 => 0i64..1_200, 1 => Just(3_000i64), 1 => 0i64..7_000, 1 => -500i64..0]
}

fn name(n: u8) -> WorkerName {
    format!("w{n}").parse().unwrap()
}

fn info(id: u64, of: u8, slots: u32) -> WorkerInfo {
    let (tags, kinds) = (BTreeMap::new(), Vec::new());
    WorkerInfo { id: WorkerId(id), name: name(of), address: format!("host-{id}:1"), slots, tags, kinds }
}

#[derive(Clone, PartialEq, Debug)]
struct Entry {
    info: WorkerInfo,
    load: Load,
    renewed: Duration,
}

/// All that the registry promises, with no index, no cache and no record of what ends when.
#[derive(Default)]
struct Model {
    now: Duration,
    entries: Vec<Entry>,
    removed: Vec<WorkerId>,
    settled: bool,
    changes: Vec<Change>,
}

impl Model {
    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        let mut ended: Vec<_> =
            self.entries.iter().filter(|e| self.now >= e.renewed + TTL).cloned().collect();
        self.entries.retain(|entry| !ended.contains(entry));
        ended.sort_by_key(|entry| (entry.renewed, entry.info.id));
        self.changes.extend(ended.into_iter().map(|entry| Change::Expired(Arc::new(entry.info))));
        if !self.settled && self.now >= TTL.max(SLOWEST_RETURN) + TTL / 3 {
            self.settled = true;
            self.changes.push(Change::Settled);
        }
    }

    fn named(&self, name: &WorkerName) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.info.name == *name)
    }

    fn register(&mut self, info: WorkerInfo, load: Load) -> Result<Lease, RegisterError> {
        info.validate()?;
        if self.removed.contains(&info.id) {
            return Err(RegisterError::Removed);
        }
        if let Some(holder) = self.named(&info.name).filter(|holder| holder.info.id != info.id) {
            let (address, ttl_ms) = (holder.info.address.clone(), TTL.as_millis() as u64);
            return Err(RegisterError::NameTaken { name: info.name, address, ttl_ms });
        }
        let entry = Entry { info, load, renewed: self.now };
        let full = self.entries.len() == WORKERS;
        match self.entries.iter_mut().find(|known| known.info.id == entry.info.id) {
            Some(known) => {
                if known.info != entry.info || known.load.draining != load.draining {
                    let worker = Arc::new(entry.info.clone());
                    self.changes.push(Change::Updated { worker, draining: load.draining });
                }
                *known = entry;
            }
            None if full => return Err(RegisterError::Full { workers: WORKERS }),
            None => {
                self.changes.push(Change::Joined(Arc::new(entry.info.clone())));
                self.entries.push(entry);
            }
        }
        Ok(Lease { ttl_ms: TTL.as_millis() as u64 })
    }

    fn renew(&mut self, id: WorkerId, load: Load) -> Result<(), RenewError> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.info.id == id) else {
            return Err(if self.removed.contains(&id) { RenewError::Removed } else { RenewError::Unknown });
        };
        if entry.load.draining != load.draining {
            let worker = Arc::new(entry.info.clone());
            self.changes.push(Change::Updated { worker, draining: load.draining });
        }
        (entry.load, entry.renewed) = (load, self.now);
        Ok(())
    }

    fn take(&mut self, found: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let at = self.entries.iter().position(found)?;
        Some(self.entries.remove(at))
    }

    fn status(&self, entry: &Entry) -> WorkerStatus {
        let age = self.now - entry.renewed;
        let state = match (entry.load.draining, age * 2 > TTL) {
            (true, _) => WorkerState::Draining,
            (false, true) => WorkerState::Suspect,
            (false, false) => WorkerState::Healthy,
        };
        WorkerStatus { info: entry.info.clone(), load: entry.load, state, age_ms: age.as_millis() as u64 }
    }

    fn list(&self) -> Vec<WorkerStatus> {
        let mut all: Vec<_> = self.entries.iter().map(|entry| self.status(entry)).collect();
        all.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        all
    }

    fn members(&self) -> Vec<Member> {
        let member = |status: WorkerStatus| Member { info: status.info, draining: status.load.draining };
        self.list().into_iter().map(member).collect()
    }

    fn wake(&self) -> Option<Duration> {
        let ends = self.entries.iter().map(|entry| entry.renewed + TTL);
        ends.chain((!self.settled).then_some(TTL.max(SLOWEST_RETURN) + TTL / 3)).min()
    }
}

/// Does `op` to both and compares the answers.
fn apply(op: Op, registry: &mut Registry, model: &mut Model, now: Duration) -> Result<(), TestCaseError> {
    model.advance(now);
    match op {
        Op::Register { id, name, slots, load } => {
            let info = info(id, name, slots);
            prop_assert_eq!(registry.register(info.clone(), load, now), model.register(info, load));
        }
        Op::Renew { id, load } => {
            prop_assert_eq!(registry.renew(WorkerId(id), load, now), model.renew(WorkerId(id), load));
        }
        Op::Deregister { id } => {
            registry.deregister(WorkerId(id), now);
            let left = model.take(|entry| entry.info.id == WorkerId(id));
            model.changes.extend(left.map(|entry| Change::Left(Arc::new(entry.info))));
        }
        Op::Remove { name: n } => {
            let removed = model.take(|entry| entry.info.name == name(n));
            prop_assert_eq!(
                registry.remove(&name(n), now),
                removed.as_ref().map(|entry| model.status(entry))
            );
            model.removed.extend(removed.as_ref().map(|entry| entry.info.id));
            model.changes.extend(removed.map(|entry| Change::Removed(Arc::new(entry.info))));
        }
        Op::Lookup { name: n } => {
            let found = model.named(&name(n)).map(|entry| model.status(entry));
            prop_assert_eq!(registry.lookup(&name(n), now), found);
        }
        Op::List => prop_assert_eq!(registry.list(now), model.list()),
        Op::Expire => prop_assert_eq!(registry.expire(now), model.wake()),
    }
    Ok(())
}

/// What must hold between any two operations, seen through `snapshot` and the indices alone.
fn check(
    registry: &mut Registry,
    model: &mut Model,
    before: &Arc<Snapshot>,
) -> Result<Arc<Snapshot>, TestCaseError> {
    let now = model.now;
    let after = registry.snapshot(now);
    let changes = registry.take_changes();
    prop_assert_eq!(&changes, &model.changes, "what happened");
    model.changes.clear();
    prop_assert_eq!(after.revision.0 - before.revision.0, changes.len() as u64, "one step for each change");
    if changes.is_empty() {
        prop_assert!(Arc::ptr_eq(before, &after), "rebuilt for nothing");
    }
    prop_assert_eq!(after.epoch, EPOCH);
    prop_assert_eq!(after.settled, model.settled);
    prop_assert_eq!(&after.members, &model.members());
    prop_assert!(
        after.members.windows(2).all(|pair| pair[0].info.name < pair[1].info.name),
        "names are unique"
    );
    prop_assert_eq!(registry.len(now), model.entries.len());
    prop_assert!(registry.has_reached((EPOCH, after.revision)));
    prop_assert!(!registry.has_reached((EPOCH, Revision(after.revision.0 + 1))));
    // No index outlives what it points to.
    let sizes = (registry.workers.len(), registry.names.len(), registry.ends.len());
    prop_assert_eq!(sizes, (model.entries.len(), model.entries.len(), model.entries.len()));
    let bytes: usize = model.entries.iter().map(|entry| entry.info.encoded_bound()).sum();
    prop_assert_eq!(registry.bytes, bytes);
    Ok(after)
}

proptest! {
    #[test]
    fn the_registry_answers_as_the_model(steps in prop::collection::vec((step(), op()), 1..120)) {
        let mut registry = Registry::new(EPOCH, TTL, WORKERS);
        let mut model = Model::default();
        let mut snapshot = registry.snapshot(Duration::ZERO);
        let mut clock = 0i64;
        for (step, op) in steps {
            clock = (clock + step).max(0);
            apply(op, &mut registry, &mut model, Duration::from_millis(clock as u64))?;
            snapshot = check(&mut registry, &mut model, &snapshot)?;
        }
    }
}
