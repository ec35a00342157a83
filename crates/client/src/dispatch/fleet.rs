//! All workers that the core knows, and which of them can be done without.

use super::worker::{Link, Worker};
use rustc_hash::FxHashMap;
use sgdt_proto::{
    id::{Kind, WorkerId},
    name_server::WorkerInfo,
};
use slab::Slab;
use tokio::time::Instant;

/// All workers that there are.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) workers: Slab<Worker>,
    by_id: FxHashMap<WorkerId, usize>,
}

impl Fleet {
    pub(super) fn index(&self, id: WorkerId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        let index = self.index(id)?;
        self.workers.get_mut(index)
    }

    pub(super) fn insert(&mut self, info: WorkerInfo, draining: bool) {
        let id = info.id;
        let index = self.workers.insert(Worker::new(info, draining));
        self.by_id.insert(id, index);
    }

    pub(super) fn remove(&mut self, id: WorkerId) {
        if let Some(index) = self.by_id.remove(&id) {
            self.workers.remove(index);
        }
    }

    /// The workers that can be sent tasks of this kind, room or not.
    pub(super) fn usable(&self, kind: &Kind, now: Instant) -> impl Iterator<Item = (usize, &Worker)> {
        self.workers.iter().filter(move |(_, worker)| worker.takes(None, now) && worker.serves(kind))
    }

    /// Whether any worker serves the kind, connected or not.
    pub(super) fn serves(&self, kind: &Kind) -> bool {
        self.workers.iter().any(|(_, worker)| worker.serves(kind))
    }

    /// Whether any worker is connected.
    pub(super) fn is_reachable(&self) -> bool {
        self.workers.iter().any(|(_, worker)| worker.link != Link::Down)
    }

    /// Whether any worker that serves the kind is connected.
    pub(super) fn reaches(&self, kind: &Kind) -> bool {
        self.workers.iter().any(|(_, worker)| worker.link != Link::Down && worker.serves(kind))
    }

    /// The kinds that are served, for an error message.
    pub(super) fn kinds(&self) -> Vec<&Kind> {
        let mut kinds: Vec<_> = self.workers.iter().flat_map(|(_, worker)| &worker.info.kinds).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// A worker failed. One that keeps failing is ejected for a while, if the others can do without it.
    pub(super) fn failed(&mut self, index: usize, now: Instant) {
        if self.workers.get_mut(index).is_some_and(|worker| worker.failed(now))
            && self.can_spare(index, now)
            && let Some(worker) = self.workers.get_mut(index)
        {
            worker.eject(now);
        }
    }

    /// Whether, with this worker ejected, at least half of the live ones are not, and each of its kinds is served
    /// by one of those.
    fn can_spare(&self, index: usize, now: Instant) -> bool {
        let others = || self.workers.iter().filter(|&(other, worker)| other != index && worker.is_live());
        let ejected = 1 + others().filter(|(_, worker)| worker.is_ejected(now)).count();
        let staying = || others().filter(|(_, worker)| !worker.is_ejected(now));
        let kinds = &self.workers[index].info.kinds;
        staying().count() >= ejected
            && kinds.iter().all(|kind| staying().any(|(_, worker)| worker.serves(kind)))
    }

    /// Takes back the ejected that cannot be spared any more because others are gone, and tries again those that
    /// were full.
    pub(super) fn tick(&mut self, now: Instant) {
        self.workers.iter_mut().for_each(|(_, worker)| worker.probe(now));
        let ejected: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.is_ejected(now))
            .map(|(index, _)| index)
            .collect();
        for index in ejected {
            if !self.can_spare(index, now) {
                self.workers[index].readmit();
            }
        }
    }
}
