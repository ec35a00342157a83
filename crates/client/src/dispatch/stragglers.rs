//! The end of a job: work that waits behind other work moves to whoever is idle, and a task that takes far
//! longer than its like gets a second chance elsewhere.

use super::{
    core::{Core, Effect},
    task::{Fit, Task},
    worker::Worker,
};
use crate::{balance::Candidate, retry::Cause};
use sgdt_proto::{
    id::{AttemptKey, Kind, TaskId, WorkerId},
    task::Refusal,
};
use std::{cmp::Reverse, collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// A task is a straggler when it takes this many times what its like take on average,
const SLOWER: u32 = 3;
/// and at least this long.
const LEAST: Duration = Duration::from_secs(1);
/// How many of its like must have finished before that can be told.
const SAMPLES: u32 = 3;
/// One task in this many may get a backup, and one more.
const BACKUP_SHARE: u64 = 20;
/// Less work than this waiting at a worker is not worth moving.
const WORTH_MOVING: Duration = Duration::from_millis(10);
/// How long a worker may take to say whether it has started a late task.
const ANSWER: Duration = Duration::from_millis(250);
/// How often a task is moved. A second time is for when somebody else took the slot that it was moved to.
const MOST_MOVES: u32 = 3;

impl<X> Core<X> {
    /// Looks after what the passing of time alone changes. Call some twenty times a second.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.fleet.tick(now);
        self.give_up_hopeless(now);
        self.place(now);
        // A slot that is idle now is so because no waiting task can use it.
        let idle = self.fleet.workers.iter().map(|(_, worker)| worker.idle_slots(now)).sum();
        if idle > 0 && !self.is_idle() {
            // In this order: a worker is asked one thing at a time, and those that are late have waited longer.
            self.help_stragglers(idle, now);
            self.move_queued(idle, now);
        }
    }

    /// Asks the worker with the longest queue for what others could start at once.
    fn move_queued(&mut self, idle: u32, now: Instant) {
        let wait = |index: usize, worker: &Worker| -> Duration {
            let queued = worker.load().saturating_sub(worker.slots());
            let turns = f64::from(queued) / f64::from(worker.slots());
            let times = |pace: Duration, turns: f64| {
                Duration::try_from_secs_f64(pace.as_secs_f64() * turns).unwrap_or(Duration::MAX)
            };
            let oldest = worker.in_flight.keys().filter_map(|id| self.sent(id, index)).min();
            let oldest = oldest.map_or(Duration::ZERO, |sent| now.duration_since(sent));
            match worker.durations.mean(1) {
                None => times(oldest, turns),
                // The pace so far, or a task that takes longer than that and holds up what waits behind it.
                Some(pace) => times(pace, turns).max(oldest.saturating_sub(times(pace, turns + 1.0))),
            }
        };
        let donors = self.fleet.workers.iter().filter(|(_, w)| w.recalling.is_none() && w.load() > w.slots());
        let waits = donors.map(|(index, worker)| (wait(index, worker), index));
        let Some((_, donor)) = waits.max().filter(|(wait, _)| *wait >= WORTH_MOVING) else { return };
        let worker = &self.fleet.workers[donor];
        let queued = (worker.load() - worker.slots()) as usize;
        // The newest are the last in its queue; the oldest run.
        let mut tasks: Vec<(Instant, TaskId)> =
            worker.in_flight.keys().filter_map(|&id| Some((self.sent(&id, donor)?, id))).collect();
        tasks.sort_unstable_by_key(|&newest| Reverse(newest));
        let can_move = |task: &Task<X>| task.moves < MOST_MOVES && self.starters(task, now).next().is_some();
        let movable = |id: &TaskId| self.tasks.get(id).is_some_and(can_move);
        let movable = tasks.into_iter().take(queued).map(|(_, id)| id).filter(movable).take(idle as usize);
        let keys: Vec<_> = movable.map(|id| self.key(id, worker.in_flight[&id])).collect();
        self.recall(donor, keys, now);
    }

    /// Asks a worker for those of these that it has not started.
    fn recall(&mut self, index: usize, keys: Vec<AttemptKey>, now: Instant) {
        if !keys.is_empty() {
            let worker = &mut self.fleet.workers[index];
            worker.recalling = Some(now);
            self.effects.push(Effect::Recall { worker: worker.info.id, keys });
        }
    }

    /// The workers that would start a second dispatch of this task at once and that it has not failed on.
    fn starters<'a>(&'a self, task: &'a Task<X>, now: Instant) -> impl Iterator<Item = (usize, &'a Worker)> {
        let kind: &Kind = &self.queues[task.queue].kind;
        self.fleet.usable(kind, now).filter(move |&(index, worker)| {
            let holds = task.live.iter().flatten().any(|live| live.worker == index);
            worker.idle_slots(now) > 0 && !holds && task.fit(worker) < Fit::Failed
        })
    }

    fn sent(&self, id: &TaskId, index: usize) -> Option<Instant> {
        let task = self.tasks.get(id)?;
        task.live.iter().flatten().find(|live| live.worker == index).map(|live| live.sent)
    }

    /// A worker gave these attempts back (or none, or could not be asked).
    pub(crate) fn recalled(&mut self, from: WorkerId, keys: &[AttemptKey], now: Instant) {
        let Some(index) = self.fleet.index(from) else { return };
        self.fleet.workers[index].recalling = None;
        for &key in keys {
            if self.live_at(from, key).is_some() {
                self.fail(key.task, index, &Cause::Refused(Refusal::Recalled), now);
            }
        }
    }

    /// Helps tasks that take far longer than their like. The worker is asked for a late one first: where it only
    /// waits, behind other clients' tasks, it comes back and is started elsewhere, at no cost. One that was started,
    /// or whose worker does not say, gets a second attempt on an idle worker, and the first result wins.
    /// (Speculative execution, as in Dean and Ghemawat, "MapReduce", OSDI 2004.)
    fn help_stragglers(&mut self, idle: u32, now: Instant) {
        let mut late: Vec<_> = self
            .fleet
            .workers
            .iter()
            .flat_map(|(index, worker)| worker.in_flight.keys().map(move |&id| (id, index)))
            .filter(|(id, _)| self.tasks.get(id).is_some_and(|task| self.is_late(task, now)))
            .collect();
        late.sort_unstable();
        let mut asked: BTreeMap<usize, Vec<AttemptKey>> = BTreeMap::new();
        let mut helped = 0;
        for (id, holder) in late {
            if helped == idle {
                break;
            }
            let Some(task) = self.tasks.get(&id) else { continue };
            let Some(live) = task.live.iter().flatten().find(|live| live.worker == holder) else { continue };
            let asking = self.fleet.workers[holder].recalling;
            if asking.map_or(live.asked_back, |since| now.duration_since(since) >= ANSWER) {
                helped += u32::from(self.back_up(id, now));
            } else if asking.is_none() && self.starters(task, now).next().is_some() {
                asked.entry(holder).or_default().push(self.key(id, live.dispatch));
                helped += 1;
            }
        }
        for (holder, keys) in asked {
            for key in &keys {
                let task = self.tasks.get_mut(&key.task);
                let lives = task.into_iter().flat_map(|task| task.live.iter_mut().flatten());
                lives.for_each(|live| live.asked_back = true);
            }
            self.recall(holder, keys, now);
        }
    }

    /// Gives a task a second attempt, if that is affordable and an idle worker can have it.
    fn back_up(&mut self, id: TaskId, now: Instant) -> bool {
        if self.backups > self.finished / BACKUP_SHARE {
            return false;
        }
        let Some(task) = self.tasks.get(&id) else { return false };
        if task.attempts >= self.policy.max_attempts {
            return false;
        }
        let starters: Vec<Candidate> =
            self.starters(task, now).map(|(index, worker)| worker.as_candidate(index)).collect();
        let Some(chosen) = self.balancer.pick(&starters) else { return false };
        self.backups += 1;
        if let Some(task) = self.tasks.get_mut(&id) {
            task.backed_up = true;
        }
        self.send(id, starters[chosen].worker, now);
        true
    }

    /// Whether a task takes far longer than its like, and may have help.
    fn is_late(&self, task: &Task<X>, now: Instant) -> bool {
        let (false, 0, [Some(live), None] | [None, Some(live)]) = (task.backed_up, task.deaths(), task.live)
        else {
            return false;
        };
        let queue = &self.queues[task.queue];
        let Some(mean) = queue.durations.mean(SAMPLES) else { return false };
        // What was ahead of it at the worker had its turn first, and the way there and back is nobody's fault.
        let worker = &self.fleet.workers[live.worker];
        let turns = live.ahead / worker.slots() + 1;
        // Where all workers are full of others' tasks, one that is moved on and on would never be started.
        let patience = 1 << task.moves.saturating_sub(MOST_MOVES).min(16);
        let due = mean
            .saturating_mul(SLOWER.saturating_mul(turns))
            .max(LEAST)
            .saturating_mul(patience)
            .saturating_add(worker.round_trip * 2);
        queue.is_empty() && now.duration_since(live.sent) >= due
    }
}
