//! A cluster of lists.

use super::{
    fake::{Fake, payload},
    ms,
};
use crate::{
    balance::{Balance, Balancer},
    dispatch::{
        TaskResult, TaskSpec,
        core::{Core, Effect},
    },
    retry::{Cause, RetryPolicy},
};
use rand::{SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    id::{JobId, Kind, TaskId, WorkerId},
    name_server::WorkerInfo,
    task::ErrorCode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// What tasks are of unless it matters.
pub(super) const KIND: &str = "work";

pub(super) struct World {
    pub(super) core: Core<u64>,
    pub(super) now: Instant,
    pub(super) fakes: BTreeMap<WorkerId, Fake>,
    joined: u64,
    pub(super) submitted: u64,
    pub(super) cancelled: BTreeSet<u64>,
    pub(super) results: BTreeMap<u64, TaskResult>,
    /// Every dispatch that there was, in order.
    pub(super) sent: Vec<(u64, WorkerId)>,
    /// How many attempts workers were asked to give back, and how many they were told to cancel.
    pub(super) recalls: usize,
    pub(super) cancels: usize,
    /// What each worker was kept free for before the last tasks were placed.
    pub(super) kept: Vec<(WorkerId, TaskId)>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(RetryPolicy::default(), Balance::RoundRobin)
    }

    pub(super) fn with(policy: RetryPolicy, balance: Balance) -> Self {
        let balancer = Balancer::new(balance, SmallRng::seed_from_u64(1));
        Self {
            core: Core::new(JobId(1), policy, PATIENCE, balancer, SmallRng::seed_from_u64(2)),
            now: Instant::now(),
            fakes: BTreeMap::new(),
            joined: 0,
            submitted: 0,
            cancelled: BTreeSet::new(),
            results: BTreeMap::new(),
            sent: Vec::new(),
            recalls: 0,
            cancels: 0,
            kept: Vec::new(),
        }
    }

    /// Has a worker join that is not connected yet.
    pub(super) fn announce(&mut self, slots: u32, kinds: &[&str]) -> WorkerId {
        self.joined += 1;
        let id = WorkerId(self.joined);
        self.announce_as(id, slots, kinds);
        id
    }

    pub(super) fn announce_as(&mut self, id: WorkerId, slots: u32, kinds: &[&str]) {
        let info = WorkerInfo {
            id,
            name: format!("w{id}").parse().unwrap(),
            address: "host:1".to_owned(),
            slots,
            tags: BTreeMap::new(),
            kinds: kinds.iter().map(|kind| kind.parse().unwrap()).collect(),
        };
        self.core.joined(info, false);
        let fake = Fake { slots: slots as usize, ..Fake::default() };
        self.fakes.insert(id, fake);
        self.act();
    }

    /// Has a worker join and connect.
    pub(super) fn join(&mut self, slots: u32) -> WorkerId {
        let id = self.announce(slots, &[KIND]);
        self.up(id);
        id
    }

    /// Has so many workers join.
    pub(super) fn team(&mut self, workers: u64, slots: u32) -> Vec<WorkerId> {
        (0..workers).map(|_| self.join(slots)).collect()
    }

    pub(super) fn up(&mut self, id: WorkerId) {
        self.fake(id).connected = true;
        self.core.up(id);
        self.act();
    }

    pub(super) fn lose(&mut self, id: WorkerId, cause: &Cause) {
        let fake = self.fake(id);
        fake.connected = false;
        fake.held.clear();
        fake.recalls.clear();
        self.core.lost(id, cause, self.now);
        self.act();
    }

    pub(super) fn leave(&mut self, id: WorkerId) {
        self.fakes.remove(&id);
        self.core.left(id, self.now);
        self.act();
    }

    pub(super) fn fake(&mut self, id: WorkerId) -> &mut Fake {
        self.fakes.get_mut(&id).unwrap()
    }

    pub(super) fn submit_as(&mut self, kind: &str, tasks: u64) -> Vec<u64> {
        let ids = self.submitted..self.submitted + tasks;
        self.submitted += tasks;
        let kind: Kind = kind.parse().unwrap();
        for id in ids.clone() {
            let spec = TaskSpec { kind: kind.clone(), payload: payload(), timeout: None, check: None };
            self.core.submit(TaskId(id), spec, id);
        }
        self.act();
        ids.collect()
    }

    pub(super) fn submit(&mut self, tasks: u64) -> Vec<u64> {
        self.submit_as(KIND, tasks)
    }

    pub(super) fn cancel(&mut self, task: u64) {
        if !self.results.contains_key(&task) {
            self.cancelled.insert(task);
        }
        self.core.cancel(TaskId(task));
        self.act();
    }

    /// Lets time pass, as the driver does.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now = (self.now + ms(50)).min(end);
            self.note_kept();
            self.core.tick(self.now);
            self.obey();
            self.check_ejections();
        }
    }

    /// Does what follows from what the core was told.
    pub(super) fn act(&mut self) {
        self.note_kept();
        self.core.place(self.now);
        self.obey();
    }

    fn note_kept(&mut self) {
        let workers = self.core.fleet.workers.iter();
        self.kept = workers.filter_map(|(_, worker)| Some((worker.info.id, worker.sole?))).collect();
    }

    /// Does what the core has decided, and looks whether all is as it should be.
    fn obey(&mut self) {
        for effect in self.core.take_effects() {
            match effect {
                Effect::Send { worker, assignment } => {
                    self.check_send(worker, assignment.key);
                    self.sent.push((assignment.key.task.0, worker));
                    self.fake(worker).held.push(assignment.key);
                }
                Effect::Cancel { worker, key } => {
                    self.cancels += 1;
                    self.fakes.get_mut(&worker).map(|fake| fake.take(&key));
                }
                Effect::Recall { worker, keys } => {
                    self.recalls += keys.len();
                    self.fake(worker).recalls.push(keys);
                }
                Effect::Finish { ticket, result } => {
                    assert!(
                        ticket < self.submitted && !self.cancelled.contains(&ticket),
                        "{ticket}: {result:?}"
                    );
                    assert_eq!(self.results.insert(ticket, result), None, "{ticket} is finished twice");
                }
            }
        }
        self.check();
    }

    pub(super) fn code(&self, task: u64) -> Option<ErrorCode> {
        self.results[&task].output.as_ref().err().map(|error| error.code)
    }

    pub(super) fn message(&self, task: u64) -> String {
        self.results[&task].output.as_ref().map_or_else(|error| error.message.clone(), |_| String::new())
    }
}
