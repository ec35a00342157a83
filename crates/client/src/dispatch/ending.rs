//! How dispatches and tasks end: with a result, with another try, or by giving up.

use super::{
    core::{Core, Effect},
    task::{Failure, Task, TaskResult},
};
use crate::retry::{Blame, Cause, classify};
use sgdt_proto::{
    backoff::Backoff,
    id::{Attempt, AttemptKey, TaskId, WorkerId, WorkerName},
    payload::Payload,
    task::{Completed, ErrorCode, Refusal, TaskError},
};
use std::{cmp::Reverse, time::Duration};
use tokio::time::Instant;
use tracing::debug;

/// Delays before a task goes back to a worker that it has failed on.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MOST_BACKOFF: Duration = Duration::from_secs(2);
/// How long a task that seems to have killed as many workers as it may waits for its sentence: time to connect to
/// them again.
const HEARING: Duration = Duration::from_secs(2);

fn failed(attempts: u32) -> String {
    if attempts == 1 { "its only attempt failed".to_owned() } else { format!("{attempts} attempts failed") }
}

impl<X> Core<X> {
    /// A worker has finished a task.
    pub(super) fn complete(&mut self, id: TaskId, index: usize, completed: Completed) {
        let Some(mut task) = self.tasks.remove(&id) else { return };
        task.end_live(index);
        let worker = &mut self.fleet.workers[index];
        worker.in_flight.remove(&id);
        worker.succeeded(completed.run_us);
        let name = worker.info.name.clone();
        self.queues[task.queue].durations.record_typical(completed.run_us);
        self.budget.deposit();
        self.close(id, &task);
        self.finish(task, Some(name), Duration::from_micros(completed.run_us), completed.result);
    }

    /// Ends whatever there still is of a task that is off the books: its dispatches, and what is kept for it.
    pub(super) fn close(&mut self, id: TaskId, task: &Task<X>) {
        self.queues[task.queue].tasks -= 1;
        for live in task.live.iter().flatten() {
            let worker = &mut self.fleet.workers[live.worker];
            worker.in_flight.remove(&id);
            debug!(task = %id, attempt = live.dispatch, worker = %worker.info.id, "cancelled");
            let key = AttemptKey { job: self.job, task: id, attempt: Attempt(live.dispatch) };
            self.effects.push(Effect::Cancel { worker: worker.info.id, key });
        }
        if self.suspects.remove(&id) {
            self.release(id);
        }
    }

    /// No worker is kept free for this task any more.
    pub(super) fn release(&mut self, id: TaskId) {
        for (_, worker) in &mut self.fleet.workers {
            worker.sole.take_if(|sole| *sole == id);
        }
    }

    fn finish(
        &mut self,
        task: Task<X>,
        worker: Option<WorkerName>,
        run: Duration,
        output: Result<Payload, TaskError>,
    ) {
        self.finished += 1;
        let kind = self.queues[task.queue].kind.clone();
        let result = TaskResult { kind, worker, attempts: task.attempts, run, output };
        self.effects.push(Effect::Finish { ticket: task.ticket, result });
    }

    /// Finishes a task that no worker will finish, and says what its attempts met.
    pub(super) fn give_up(&mut self, id: TaskId, code: ErrorCode, mut message: String) {
        if let Some(task) = self.tasks.remove(&id) {
            self.close(id, &task);
            if !task.failures.is_empty() {
                message = format!("{message}: {}", task.history());
            }
            debug!(task = %id, %code, message, "given up");
            let worker = task.failures.last().map(|failure| failure.name.clone());
            self.finish(task, worker, Duration::ZERO, Err(TaskError::new(code, message)));
        }
    }

    /// All that a worker has is lost.
    pub(super) fn fail_all(&mut self, id: WorkerId, cause: &Cause, now: Instant) {
        let Some(index) = self.fleet.index(id) else { return };
        let worker = &mut self.fleet.workers[index];
        worker.recalling = None;
        worker.sole = None;
        let mut tasks: Vec<_> = worker.in_flight.keys().copied().collect();
        // The map's order is chance; the order in which tasks go out again is not.
        tasks.sort_unstable();
        for task in tasks {
            self.fail(task, index, cause, now);
        }
    }

    /// A dispatch ended without a result.
    pub(super) fn fail(&mut self, id: TaskId, index: usize, cause: &Cause, now: Instant) {
        let verdict = classify(cause);
        let worker = &mut self.fleet.workers[index];
        worker.in_flight.remove(&id);
        worker.sole.take_if(|sole| *sole == id);
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(live) = task.end_live(index) else { return };
        debug!(task = %id, attempt = live.dispatch, worker = %worker.info.id, blame = ?verdict.task, %cause, "failed");
        if verdict.task == Blame::None {
            task.attempts -= 1;
            task.avoid = Some(worker.info.id);
            task.moves += u32::from(*cause == Cause::Refused(Refusal::Recalled));
        } else {
            let (worker, name) = (worker.info.id, worker.info.name.clone());
            let deadly = verdict.task == Blame::Death;
            if deadly {
                self.suspects.insert(id);
            }
            task.failures.push(Failure { worker, name, cause: cause.clone(), deadly });
            task.rested = false;
        }
        if task.is_live() {
            if verdict.task == Blame::None && task.backed_up {
                // One of the two never ran: there may be a backup yet.
                task.backed_up = false;
                self.backups = self.backups.saturating_sub(1);
            }
            return;
        }
        let (attempts, deaths) = (task.attempts, task.deaths());
        if deaths >= self.policy.max_deaths {
            // A client that was asleep, or cut off, loses all its connections at once, and this task one after
            // the other. Whoever turns out to be alive was not killed by it.
            self.queues[task.queue].parked.push(Reverse((now + HEARING, id)));
        } else if attempts >= self.policy.max_attempts {
            self.give_up(id, ErrorCode::GaveUp, failed(attempts));
        } else {
            let queue = &mut self.queues[task.queue];
            if deaths >= self.policy.alone_from {
                // Even one that no worker was lost with, where the policy has it so: it will have one kept for it.
                self.suspects.insert(id);
                queue.alone.push_back(id);
            } else if verdict.task == Blame::None || attempts < 2 || self.budget.withdraw() {
                queue.retry.push_back(id);
            } else {
                self.park(id, now);
            }
        }
    }

    /// A task has waited long enough.
    pub(super) fn resume(&mut self, id: TaskId, now: Instant) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.rested = true;
        let (queue, deaths) = (&mut self.queues[task.queue], task.deaths());
        if deaths >= self.policy.max_deaths && !self.fleet.is_reachable() {
            // With nobody to be reached, it is the network that broke the connections, for all that is known.
            queue.parked.push(Reverse((now + HEARING, id)));
        } else if deaths >= self.policy.max_deaths {
            self.give_up(id, ErrorCode::GaveUp, format!("{deaths} workers died while they ran this task"));
        } else if task.attempts >= self.policy.max_attempts {
            let attempts = task.attempts;
            self.give_up(id, ErrorCode::GaveUp, failed(attempts));
        } else if deaths >= self.policy.alone_from {
            queue.alone.push_back(id);
        } else {
            queue.retry.push_back(id);
        }
    }

    /// Has a task wait before it goes out again.
    pub(super) fn park(&mut self, id: TaskId, now: Instant) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let delay = FIRST_BACKOFF * 2u32.saturating_pow(task.attempts.saturating_sub(1).min(8));
        let delay = delay.min(MOST_BACKOFF);
        let delay = Backoff::new(delay, delay).map_or(delay, |mut backoff| backoff.next_delay(&mut self.rng));
        self.queues[task.queue].parked.push(Reverse((now + delay, id)));
    }
}
