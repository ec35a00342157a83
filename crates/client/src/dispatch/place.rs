//! Placing: which waiting task goes to which worker now.

use super::{
    core::{Core, Effect},
    task::{Fit, Live},
    worker::Worker,
};
use crate::balance::Candidate;
use sgdt_proto::{
    id::{TaskId, WorkerId},
    task::Assignment,
};
use std::cmp::Reverse;
use tokio::time::Instant;

/// How many retries that have no good place are looked at before fresh tasks get their turn.
const LOOK_PAST: usize = 64;

impl<X> Core<X> {
    /// Sends what can be sent.
    pub(crate) fn place(&mut self, now: Instant) {
        let mut candidates = std::mem::take(&mut self.candidates);
        let (first, kinds) = (self.turn, self.queues.len());
        for queue in (first..kinds).chain(0..first) {
            self.unpark(queue, now);
            if self.queues[queue].is_empty() {
                continue;
            }
            self.place_alone(queue, now);
            candidates.clear();
            let usable = self.fleet.usable(&self.queues[queue].kind, now);
            candidates
                .extend(usable.filter(|(_, w)| w.has_room(now)).map(|(index, w)| w.as_candidate(index)));
            self.place_retries(queue, &mut candidates, now);
            self.place_fresh(queue, &mut candidates, now);
        }
        self.candidates = candidates;
    }

    fn place_fresh(&mut self, queue: usize, candidates: &mut Vec<Candidate>, now: Instant) {
        while let Some(&id) = self.queues[queue].fresh.front() {
            if !self.tasks.contains_key(&id) {
                self.queues[queue].fresh.pop_front();
                continue;
            }
            let Some(chosen) = self.balancer.pick(candidates) else { return };
            self.queues[queue].fresh.pop_front();
            self.send(id, candidates[chosen].worker, now);
            self.refresh(candidates, chosen, now);
            // What room there is next is another kind's first, so that a long queue of one starves none.
            self.turn = (queue + 1) % self.queues.len();
        }
    }

    fn unpark(&mut self, queue: usize, now: Instant) {
        while let Some(Reverse((due, id))) = self.queues[queue].parked.peek().copied()
            && due <= now
        {
            self.queues[queue].parked.pop();
            self.resume(id, now);
        }
    }

    /// A worker is there for which those that have not failed on it need not wait.
    pub(super) fn unpark_for(&mut self, id: WorkerId) {
        let Some(worker) = self.fleet.get_mut(id) else { return };
        for queue in self.queues.iter_mut().filter(|queue| worker.serves(&queue.kind)) {
            let parked = std::mem::take(&mut queue.parked).into_sorted_vec();
            for Reverse((due, task)) in parked.into_iter().rev() {
                let Some(parked) = self.tasks.get(&task) else { continue };
                if parked.has_failed_on(id) || parked.deaths() >= self.policy.max_deaths {
                    queue.parked.push(Reverse((due, task)));
                } else if parked.deaths() >= self.policy.alone_from {
                    queue.alone.push_back(task);
                } else {
                    queue.retry.push_back(task);
                }
            }
        }
    }

    /// Retries go to the worker that suits them best. For a better one than has room they wait a little, and
    /// before they go back to one that they have failed on they rest.
    fn place_retries(&mut self, queue: usize, candidates: &mut Vec<Candidate>, now: Instant) {
        let mut waiting = Vec::new();
        while waiting.len() < LOOK_PAST
            && !candidates.is_empty()
            && let Some(id) = self.queues[queue].retry.pop_front()
        {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            let fit = |worker: usize| task.fit(&self.fleet.workers[worker]);
            let best = candidates.iter().map(|candidate| fit(candidate.worker)).min();
            let hoped = self.fleet.usable(&self.queues[queue].kind, now).map(|(worker, _)| fit(worker)).min();
            let suits = |candidate: &&Candidate| Some(fit(candidate.worker)) == best;
            let good: Vec<_> = candidates.iter().filter(suits).copied().collect();
            let patient = task.picky_since.is_none_or(|since| now.duration_since(since) < task.patience());
            if best == Some(Fit::TooSmall) {
                if self.may_fit_elsewhere(id) {
                    waiting.push(id);
                } else {
                    self.give_up_outgrown(id);
                }
                continue;
            }
            if patient && hoped < best {
                task.picky_since.get_or_insert(now);
                waiting.push(id);
                continue;
            }
            if patient && best == Some(Fit::Failed) && !task.rested {
                self.park(id, now);
                continue;
            }
            let Some(chosen) = self.balancer.pick(&good).map(|chosen| good[chosen].worker) else { continue };
            self.send(id, chosen, now);
            if let Ok(at) = candidates.binary_search_by_key(&chosen, |candidate| candidate.worker) {
                self.refresh(candidates, at, now);
            }
        }
        let retry = &mut self.queues[queue].retry;
        waiting.into_iter().rev().for_each(|id| retry.push_front(id));
    }

    /// A suspect runs on a worker that has nothing else of ours; one is kept free for it.
    fn place_alone(&mut self, queue: usize, now: Instant) {
        let mut waiting = Vec::new();
        while let Some(id) = self.queues[queue].alone.pop_front() {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            if task.deaths() < self.policy.alone_from {
                // The workers that it was lost with turned out to be alive.
                self.release(id);
                self.queues[queue].retry.push_back(id);
                continue;
            }
            let since = *task.picky_since.get_or_insert(now);
            let patient = now.duration_since(since) < task.patience();
            let kind = &self.queues[queue].kind;
            // Chosen anew every time: the one that is kept may be about to leave, or another free by now.
            let fits = |worker: &Worker| task.fit(worker) < Fit::TooSmall;
            let able = self.fleet.workers.iter().filter(|(_, w)| w.takes(Some(id), now) && w.serves(kind));
            let able = able.filter(|(_, worker)| fits(worker));
            let chosen = able.min_by_key(|(_, worker)| {
                let fit = task.fit(worker);
                let busy = worker.load() > 0 || !worker.has_room(now);
                // One that is at work is not emptied for this while there is one that may do as well.
                let hoped = if fit == Fit::Unproven { Fit::Good } else { fit };
                (patient.then_some(hoped), busy, fit, worker.sole.is_none(), worker.load())
            });
            let chosen = chosen.map(|(index, worker)| (index, worker.load() == 0 && worker.has_room(now)));
            self.release(id);
            let Some((chosen, free)) = chosen else {
                waiting.push(id);
                break;
            };
            self.fleet.workers[chosen].sole = Some(id);
            if free {
                self.send(id, chosen, now);
            } else {
                waiting.push(id);
            }
        }
        let alone = &mut self.queues[queue].alone;
        waiting.into_iter().rev().for_each(|id| alone.push_front(id));
    }

    /// Dispatches a task. It is not in any queue any more.
    pub(super) fn send(&mut self, id: TaskId, index: usize, now: Instant) {
        let (Some(task), Some(worker)) = (self.tasks.get_mut(&id), self.fleet.workers.get_mut(index)) else {
            return;
        };
        task.dispatches += 1;
        task.attempts += 1;
        task.picky_since = None;
        let ahead = worker.load();
        let live = Live { worker: index, dispatch: task.dispatches, sent: now, ahead, asked_back: false };
        if let Some(place) = task.live.iter_mut().find(|live| live.is_none()) {
            *place = Some(live);
        }
        worker.in_flight.insert(id, live.dispatch);
        let worker = worker.info.id;
        let (payload, timeout_ms) = (task.payload.clone(), task.timeout_ms);
        let queue = &mut self.queues[task.queue];
        queue.was_served = true;
        let kind = queue.kind.clone();
        let key = self.key(id, live.dispatch);
        let assignment = Assignment { key, kind, payload, timeout_ms };
        self.effects.push(Effect::Send { worker, assignment });
    }

    /// Brings a candidate up to date after it was sent a task, or strikes it off where it is full.
    fn refresh(&self, candidates: &mut Vec<Candidate>, at: usize, now: Instant) {
        let worker = &self.fleet.workers[candidates[at].worker];
        if worker.has_room(now) {
            candidates[at].in_flight = worker.load();
        } else {
            candidates.remove(at);
        }
    }
}
