//! A worker that is a list, and what it can do.

use super::{ms, world::World};
use sgdt_proto::{
    id::{AttemptKey, WorkerId},
    payload::{Format, Payload},
    task::{Completed, Refusal, Reply, TaskError},
};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Fake {
    pub(super) slots: usize,
    /// What it has, in the order in which it came. The first `slots` run.
    pub(super) held: Vec<AttemptKey>,
    /// Replies that are not delivered.
    pub(super) transit: Vec<(AttemptKey, Reply)>,
    /// What it was asked to give back, and has not answered.
    pub(super) recalls: Vec<Vec<AttemptKey>>,
    pub(super) connected: bool,
    pub(super) draining: bool,
}

impl Fake {
    /// Takes an attempt away from it, if it has it.
    pub(super) fn take(&mut self, key: &AttemptKey) -> bool {
        let held = self.held.len();
        self.held.retain(|held| held != key);
        self.held.len() < held
    }
}

impl World {
    /// The tasks that a worker has, in the order in which it got them.
    pub(super) fn at(&self, id: WorkerId) -> Vec<u64> {
        self.fakes[&id].held.iter().map(|key| key.task.0).collect()
    }

    /// The attempt at a task that a worker has.
    pub(super) fn key(&self, id: WorkerId, task: u64) -> AttemptKey {
        *self.fakes[&id]
            .held
            .iter()
            .find(|key| key.task.0 == task)
            .unwrap_or_else(|| panic!("{task} at {id}"))
    }

    /// A worker replies, and has the attempt no more.
    pub(super) fn reply(&mut self, id: WorkerId, key: AttemptKey, reply: Reply) {
        self.fake(id).take(&key);
        self.core.reply(id, key, reply, self.now);
        self.act();
    }

    /// A worker has less memory than a task takes.
    pub(super) fn too_large(&mut self, id: WorkerId, task: u64) {
        let key = self.key(id, task);
        let result = Err(TaskError::too_large("5 bytes are more than 4"));
        self.reply(id, key, Reply::Done(Completed { run_us: 0, result }));
    }

    /// A worker finishes a task.
    pub(super) fn finish(&mut self, id: WorkerId, task: u64) {
        let key = self.key(id, task);
        self.reply(id, key, done(ms(1)));
    }

    pub(super) fn refuse(&mut self, id: WorkerId, task: u64, refusal: Refusal) {
        if refusal == Refusal::Draining {
            self.fake(id).draining = true;
        }
        let key = self.key(id, task);
        self.reply(id, key, Reply::Refused(refusal));
    }

    /// A worker answers what it was asked first: it gives back what has not started, at most so much.
    pub(super) fn give_back(&mut self, id: WorkerId, most: usize) {
        let fake = self.fake(id);
        let asked = fake.recalls.remove(0);
        let queued: Vec<_> = fake.held.iter().skip(fake.slots).copied().collect();
        let keys: Vec<_> = asked.into_iter().filter(|key| queued.contains(key)).take(most).collect();
        fake.held.retain(|key| !keys.contains(key));
        self.core.recalled(id, &keys, self.now);
        self.act();
    }
}

/// A reply that says that a task is done, after so long.
pub(super) fn done(run: Duration) -> Reply {
    Reply::Done(Completed { run_us: run.as_micros() as u64, result: Ok(payload()) })
}

/// An input, or an output.
pub(super) fn payload() -> Payload {
    Payload { format: Format::Json, head: b"1".to_vec().into(), buffers: Vec::new() }
}
