//! The dispatcher's mind: what happens goes in through methods, what is to be done comes out as [`Effect`]s.
//!
//! Invariants, which the tests check after every step:
//! - a task is in exactly one place: waiting in its kind's queue, or live at one or two workers;
//! - a worker's in-flight tasks are exactly the live dispatches to it;
//! - every submitted task that is not cancelled is finished exactly once.

use super::{
    fleet::Fleet,
    task::{Queue, Task, TaskResult, TaskSpec},
    tasks::Tasks,
    worker::Link,
};
use crate::{
    balance::{Balancer, Candidate},
    retry::{Budget, Cause, RetryPolicy, classify, is_abandonment},
};
use rand::rngs::SmallRng;
use rustc_hash::{FxHashMap, FxHashSet};
use sgdt_proto::{
    id::{Attempt, AttemptKey, JobId, Kind, TaskId, WorkerId, WorkerName},
    name_server::WorkerInfo,
    task::{Assignment, Completed, ErrorCode, Refusal, Reply, TaskError},
    transport::frames::MAX_SEGMENTS,
    worker::MAX_MESSAGE,
};
use std::time::Duration;
use tokio::time::Instant;
use tracing::debug;

/// Something for the driver to do.
#[derive(Debug)]
pub(crate) enum Effect<X> {
    /// Send this to that worker.
    Send { worker: WorkerId, assignment: Assignment },
    /// Tell that worker that these are not wanted any more.
    Cancel { worker: WorkerId, key: AttemptKey },
    /// Ask that worker for those of these that it has not started, and tell [`Core::recalled`].
    Recall { worker: WorkerId, keys: Vec<AttemptKey> },
    /// Hand this result on.
    Finish { ticket: X, result: TaskResult },
}

/// The state of one client's dispatching.
pub(crate) struct Core<X> {
    pub(super) job: JobId,
    pub(super) policy: RetryPolicy,
    /// How long tasks wait for a worker when there is none.
    pub(super) patience: Duration,
    pub(super) balancer: Balancer,
    pub(super) budget: Budget,
    pub(super) rng: SmallRng,
    pub(super) tasks: Tasks<X>,
    /// Tasks that a worker was lost with, or is kept for.
    pub(super) suspects: FxHashSet<TaskId>,
    pub(super) queues: Vec<Queue>,
    by_kind: FxHashMap<Kind, usize>,
    /// Queues of kinds that there turned out to be none of, to be used for others.
    spare_queues: Vec<usize>,
    /// The queue whose fresh tasks are placed first.
    pub(super) turn: usize,
    pub(super) fleet: Fleet,
    /// Kept for its memory: who has room, while tasks are placed.
    pub(super) candidates: Vec<Candidate>,
    pub(super) effects: Vec<Effect<X>>,
    pub(super) finished: u64,
    pub(super) backups: u64,
}

impl<X> Core<X> {
    pub(crate) fn new(
        job: JobId,
        policy: RetryPolicy,
        patience: Duration,
        balancer: Balancer,
        rng: SmallRng,
    ) -> Self {
        Self {
            job,
            policy,
            patience,
            balancer,
            budget: Budget::new(),
            rng,
            tasks: Tasks::new(),
            suspects: FxHashSet::default(),
            queues: Vec::new(),
            by_kind: FxHashMap::default(),
            spare_queues: Vec::new(),
            turn: 0,
            fleet: Fleet::default(),
            candidates: Vec::new(),
            effects: Vec::new(),
            finished: 0,
            backups: 0,
        }
    }

    /// What is to be done, oldest first.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect<X>> {
        let room = Vec::with_capacity(self.effects.len());
        std::mem::replace(&mut self.effects, room)
    }

    /// Whether there is no task.
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn key(&self, task: TaskId, dispatch: u32) -> AttemptKey {
        AttemptKey { job: self.job, task, attempt: Attempt(dispatch) }
    }

    /// Takes a task on, under a number that no other task has had. Its ticket comes back with its result.
    pub(crate) fn submit(&mut self, id: TaskId, spec: TaskSpec, ticket: X) {
        if let Err(error) = check_size(&spec) {
            let result = TaskResult {
                kind: spec.kind,
                worker: None,
                attempts: 0,
                run: Duration::ZERO,
                output: Err(error),
            };
            self.effects.push(Effect::Finish { ticket, result });
            return;
        }
        let queue = match self.by_kind.get(&spec.kind) {
            Some(&queue) => queue,
            None => self.open_queue(spec.kind),
        };
        self.queues[queue].fresh.push_back(id);
        self.queues[queue].tasks += 1;
        let timeout_ms = spec.timeout.map(|timeout| timeout.as_millis().try_into().unwrap_or(u64::MAX));
        self.tasks.insert(id, Task::new(ticket, queue, spec.payload, timeout_ms));
    }

    fn open_queue(&mut self, kind: Kind) -> usize {
        let queue = Queue::new(kind.clone());
        let index = match self.spare_queues.pop() {
            Some(spare) => {
                self.queues[spare] = queue;
                spare
            }
            None => {
                self.queues.push(queue);
                self.queues.len() - 1
            }
        };
        self.by_kind.insert(kind, index);
        index
    }

    /// Nobody serves this queue's kind. A file of garbage may have any number of kinds; what they take up is used
    /// again.
    pub(super) fn close_queue(&mut self, queue: usize) {
        if self.queues[queue].tasks == 0 && self.by_kind.remove(&self.queues[queue].kind).is_some() {
            self.spare_queues.push(queue);
        }
    }

    /// The ticket of a task that is not finished.
    pub(crate) fn ticket(&self, id: TaskId) -> Option<&X> {
        self.tasks.get(&id).map(|task| &task.ticket)
    }

    /// What people call a worker that is known.
    pub(crate) fn name(&mut self, worker: WorkerId) -> Option<&WorkerName> {
        self.fleet.get_mut(worker).map(|worker| &worker.info.name)
    }

    /// Nobody wants this task any more.
    pub(crate) fn cancel(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.remove(&id) {
            self.close(id, &task);
            if !task.is_live() {
                // Its place in a queue is passed over when its turn comes, or when there are many such.
                self.queues[task.queue].died(|id| self.tasks.contains_key(id));
            }
        }
    }

    /// Nobody wants the tasks with such tickets any more.
    pub(crate) fn cancel_where(&mut self, unwanted: impl Fn(&X) -> bool) {
        let gone: Vec<_> =
            self.tasks.iter().filter(|(_, task)| unwanted(&task.ticket)).map(|(&id, _)| id).collect();
        gone.into_iter().for_each(|id| self.cancel(id));
    }

    /// A worker joined, or told something new of itself.
    pub(crate) fn joined(&mut self, info: WorkerInfo, draining: bool) {
        match self.fleet.get_mut(info.id) {
            // A start of a worker that drains goes on to leave; a name server that says otherwise is behind.
            Some(worker) => worker.draining |= draining,
            None => self.fleet.insert(info, draining),
        }
    }

    /// A worker is no member any more.
    pub(crate) fn left(&mut self, id: WorkerId, now: Instant) {
        self.fail_all(id, &Cause::LeaseEnded, now);
        self.fleet.remove(id);
    }

    /// A worker is connected and answers.
    pub(crate) fn up(&mut self, id: WorkerId) {
        let Some(worker) = self.fleet.get_mut(id) else { return };
        worker.link = Link::Up;
        // It is the same process, so nothing that it was lost with has killed it.
        for suspect in &self.suspects {
            let failures = self.tasks.get_mut(suspect).map(|task| &mut task.failures);
            let here = failures.into_iter().flatten().filter(|failure| failure.worker == id);
            here.for_each(|failure| failure.deadly = false);
        }
        self.unpark_for(id);
    }

    /// A worker answered a ping after this long.
    pub(crate) fn pong(&mut self, id: WorkerId, round_trip: Duration) {
        let Some(worker) = self.fleet.get_mut(id) else { return };
        worker.round_trip = round_trip;
        if worker.link == Link::Suspect {
            worker.link = Link::Up;
        }
    }

    /// A worker said that it takes no more tasks.
    pub(crate) fn drains(&mut self, id: WorkerId) {
        if let Some(worker) = self.fleet.get_mut(id) {
            worker.draining = true;
        }
    }

    /// A worker is late with a pong. It gets nothing new; what it has stays there for now.
    pub(crate) fn suspect(&mut self, id: WorkerId) {
        if let Some(worker) = self.fleet.get_mut(id)
            && worker.link == Link::Up
        {
            worker.link = Link::Suspect;
        }
    }

    /// The connection to a worker is gone, for this reason.
    pub(crate) fn lost(&mut self, id: WorkerId, cause: &Cause, now: Instant) {
        let Some(index) = self.fleet.index(id) else { return };
        self.fleet.workers[index].link = Link::Down;
        if classify(cause).worker {
            self.fleet.failed(index, now);
        }
        self.fail_all(id, cause, now);
    }

    /// A worker replied to an attempt. A reply to one that is not live any more is dropped: its task was given
    /// to another, finished or cancelled meanwhile.
    pub(crate) fn reply(&mut self, from: WorkerId, key: AttemptKey, reply: Reply, now: Instant) {
        let Some(index) = self.live_at(from, key) else {
            debug!(task = %key.task, attempt = %key.attempt, worker = %from, "too late");
            return;
        };
        match reply {
            Reply::Pending => {}
            Reply::Refused(refusal) => self.refused(key.task, index, refusal, now),
            Reply::Done(Completed { result: Err(error), .. }) if is_abandonment(error.code) => {
                self.fail(key.task, index, &Cause::Abandoned, now);
            }
            Reply::Done(Completed { run_us, result: Err(error) }) if error.code == ErrorCode::TooLarge => {
                self.outgrown(key.task, index, run_us, error, now);
            }
            Reply::Done(completed) => {
                debug!(task = %key.task, attempt = %key.attempt, worker = %from, "accepted");
                self.complete(key.task, index, completed);
            }
        }
    }

    fn refused(&mut self, id: TaskId, index: usize, refusal: Refusal, now: Instant) {
        let worker = &mut self.fleet.workers[index];
        let refusal = match refusal {
            // Given back and asked about in the same moment: it is not known there any more.
            Refusal::Unknown if worker.recalling.is_some() => Refusal::Recalled,
            // Nobody has asked for it, and a worker that says so again and again is out of its mind.
            Refusal::Recalled if worker.recalling.is_none() => Refusal::Unknown,
            refusal => refusal,
        };
        match refusal {
            Refusal::Overloaded => worker.was_full(now),
            Refusal::Draining => worker.draining = true,
            Refusal::Recalled | Refusal::Unknown => {}
        }
        let cause = Cause::Refused(refusal);
        if classify(&cause).worker {
            self.fleet.failed(index, now);
        }
        self.fail(id, index, &cause, now);
    }

    /// A call that carried this attempt failed though the connection did not.
    pub(crate) fn call_failed(&mut self, from: WorkerId, key: AttemptKey, cause: &Cause, now: Instant) {
        let Some(index) = self.live_at(from, key) else { return };
        self.fleet.failed(index, now);
        // It may be there all the same, and nobody would ever ask for its result.
        self.effects.push(Effect::Cancel { worker: from, key });
        self.fail(key.task, index, cause, now);
    }

    /// The worker's index, if this attempt is live there: the fence that late news does not pass.
    pub(super) fn live_at(&self, id: WorkerId, key: AttemptKey) -> Option<usize> {
        let index = self.fleet.index(id)?;
        let dispatch = self.fleet.workers[index].in_flight.get(&key.task);
        (key.job == self.job && dispatch == Some(&key.attempt.0)).then_some(index)
    }
}

/// Whether a task's input fits in a message. One that does not would cost the connection, and with it whatever
/// else is under way there.
fn check_size(spec: &TaskSpec) -> Result<(), TaskError> {
    /// More than the rest of a message takes.
    const BESIDE: u64 = 64 * 1024;
    let (bytes, buffers) = (spec.payload.size() as u64, spec.payload.buffers.len());
    if bytes > MAX_MESSAGE - BESIDE {
        return Err(TaskError::too_large(format!(
            "the input has {bytes} bytes and a message at most {MAX_MESSAGE}; split the task"
        )));
    }
    if buffers > MAX_SEGMENTS {
        return Err(TaskError::too_large(format!(
            "the input has {buffers} buffers and a message at most {MAX_SEGMENTS}; join them"
        )));
    }
    Ok(())
}
