//! What holds after every step, whatever happened.

use super::world::World;
use crate::dispatch::worker::Link;
use sgdt_proto::id::{Attempt, AttemptKey, TaskId, WorkerId};
use std::collections::BTreeMap;

impl World {
    /// May this attempt be sent there?
    pub(super) fn check_send(&self, to: WorkerId, key: AttemptKey) {
        let index = self.core.fleet.index(to).unwrap();
        let worker = &self.core.fleet.workers[index];
        assert_eq!(worker.link, Link::Up, "{key:?} is sent to {to}");
        assert!(!worker.draining, "{key:?} is sent to {to}, which drains");
        assert!(!worker.is_ejected(self.now), "{key:?} is sent to {to}, which is ejected");
        assert!(worker.load() <= worker.window(), "{to} has more than its window");
        let task = self.core.tasks.get(&key.task);
        if task.is_some_and(|task| task.deaths() >= self.core.policy.alone_from.max(1)) {
            assert_eq!(worker.sole, Some(key.task), "{key:?} is a suspect and {to} is not kept for it");
        }
        let kept = worker.sole.filter(|sole| *sole != key.task && self.kept.contains(&(to, *sole)));
        assert_eq!(kept, None, "{key:?} is sent to {to}, which is kept for another");
    }

    /// Is everything in its place?
    pub(super) fn check(&self) {
        self.check_tasks();
        self.check_workers();
    }

    /// A task is waiting in its own kind's queue, or live at one or two workers.
    fn check_tasks(&self) {
        let mut waiting: BTreeMap<TaskId, Vec<usize>> = BTreeMap::new();
        for (index, queue) in self.core.queues.iter().enumerate() {
            let parked = queue.parked.iter().map(|parked| &parked.0.1);
            for id in queue.retry.iter().chain(&queue.fresh).chain(&queue.alone).chain(parked) {
                waiting.entry(*id).or_default().push(index);
            }
            let of_it = self.core.tasks.iter().filter(|(_, task)| task.queue == index).count();
            assert_eq!(queue.tasks, of_it, "of {}", queue.kind);
        }
        for (id, task) in self.core.tasks.iter() {
            let places = waiting.get(id).map_or(&[][..], Vec::as_slice);
            let expected: &[usize] = if task.is_live() { &[] } else { &[task.queue] };
            assert_eq!(places, expected, "where {id} waits");
            assert!(
                !self.results.contains_key(&id.0) && !self.cancelled.contains(&id.0),
                "{id} is done with"
            );
        }
        let left = self.submitted as usize - self.results.len() - self.cancelled.len();
        assert_eq!(self.core.tasks.iter().count(), left, "tasks are lost, or kept");
        assert!(self.core.suspects.iter().all(|suspect| self.core.tasks.contains_key(suspect)));
    }

    /// What is in flight at a worker is what is live there. It is within its window, and a worker that is kept for
    /// a task is so for a reason.
    fn check_workers(&self) {
        let mut in_flight = 0;
        for (index, worker) in &self.core.fleet.workers {
            in_flight += worker.in_flight.len();
            for (id, dispatch) in &worker.in_flight {
                let live = self
                    .core
                    .tasks
                    .get(id)
                    .unwrap()
                    .live
                    .iter()
                    .flatten()
                    .find(|live| live.worker == index)
                    .unwrap();
                assert_eq!(live.dispatch, *dispatch);
            }
            if worker.link == Link::Down {
                assert_eq!(worker.load(), 0, "{} is lost", worker.info.name);
            }
            if let Some(sole) = worker.sole {
                let task = self.core.tasks.get(&sole).unwrap();
                assert!(
                    self.core.queues[task.queue].alone.contains(&sole)
                        || worker.in_flight.contains_key(&sole)
                );
                assert!(!worker.in_flight.contains_key(&sole) || worker.load() == 1, "{sole} is not alone");
            }
            // Whatever runs is wanted, unless its reply is under way or it was lost with the connection.
            if let Some(fake) = self.fakes.get(&worker.info.id) {
                let key = |(task, dispatch): (&TaskId, &u32)| AttemptKey {
                    job: self.core.job,
                    task: *task,
                    attempt: Attempt(*dispatch),
                };
                let wanted: Vec<_> = worker.in_flight.iter().map(key).collect();
                assert!(
                    fake.held.iter().all(|held| wanted.contains(held)),
                    "{} runs in vain",
                    worker.info.name
                );
            }
        }
        let live = self.core.tasks.iter().flat_map(|(_, task)| &task.live).flatten().count();
        assert_eq!(in_flight, live);
    }

    /// When a tick is over, no more than half of the live workers are ejected.
    pub(super) fn check_ejections(&self) {
        let live = || self.core.fleet.workers.iter().filter(|(_, worker)| worker.is_live());
        let ejected = live().filter(|(_, worker)| worker.is_ejected(self.now)).count();
        assert!(ejected * 2 <= live().count(), "{ejected} are ejected");
    }
}
