//! What waits and what runs: the queue, and the slots that take from it.
//!
//! A slot asks for the next [`Job`] and gets it as a [`Running`], which holds the unit of load: it moves into
//! the thread with the kernel and ends when the kernel returns, whatever has become of the call that brought
//! the task. How a slot is run is the [`executor`](crate::executor)'s affair. Locks are taken in the order
//! session, pool; a slot holds neither while a kernel runs.

#[cfg(test)]
mod tests;

use crate::{
    cancel::Cancel,
    cores::{Busy, Cores},
    kernel::Kinds,
    panics,
    queue::{Capacity, Charge, FairQueue, SessionId, Ticket},
    session::Session,
};
use sgdt_proto::{
    id::AttemptKey,
    name_server::Load,
    task::{Assignment, Completed, ErrorCode, Refusal, Reply, TaskError},
};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tracing::warn;

/// How long all that waits may take for the [`leader`](crate::leader) to be called for it, and not the slots. About ten
/// times what it takes to wake a thread.
const AT_ONCE: Duration = Duration::from_micros(200);

/// The queue and the slots that wait for it.
pub(crate) struct Pool {
    /// How many tasks, and bytes of input, may wait while every slot is busy.
    limit: Capacity,
    state: Mutex<State>,
    /// What kernels run on. None is lent unless [`with_cores`](Self::with_cores) says how many there are.
    cores: Arc<Cores>,
    /// Counts the kernels that run. Closed from the start, because it is only ever waited for at a drain.
    running: TaskTracker,
}

struct State {
    queue: FairQueue<Job>,
    /// The slots that wait, the last to become idle at the end: it is the one whose caches are warm.
    idle: Vec<Idle>,
    leader: LeaderState,
    /// What a task takes that is as slow as any has been lately. Nothing is known before the first has ended.
    pace: Option<Duration>,
    draining: bool,
    closed: bool,
}

/// A slot that waits, and what wakes it.
pub(crate) type Idle = (usize, Waker);

/// Where the thread is that runs quick tasks.
enum LeaderState {
    /// Running some, or nowhere.
    Away,
    /// Waiting for some.
    Waiting(Waker),
    /// On its way to those that wait.
    Called,
}

impl State {
    /// Whether all that waits is done in no time.
    fn is_quick(&self) -> bool {
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        self.pace.is_some_and(|pace| pace.saturating_mul(waiting) <= AT_ONCE)
    }
}

/// An attempt that was admitted.
pub(crate) struct Job {
    pub(crate) session: Arc<Session>,
    pub(crate) ticket: Ticket,
    pub(crate) assignment: Assignment,
    pub(crate) cancel: Cancel,
}

/// A job that has a slot. Its time-out counts from here.
pub(crate) struct Running {
    job: Job,
    permit: Permit,
}

/// A job whose kernel has returned.
pub(crate) struct Finished {
    session: Arc<Session>,
    ticket: Ticket,
    key: AttemptKey,
    done: Completed,
    permit: Permit,
}

/// The unit of load. Its end settles what the slot's time costs the session.
struct Permit {
    pool: Arc<Pool>,
    charge: Charge,
    started: Instant,
    _running: TaskTrackerToken,
    _core: Busy,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let run = self.started.elapsed();
        let mut state = self.pool.state();
        state.queue.finish(self.charge, run);
        // One slow task tells more than many quick ones.
        state.pace =
            state.pace.filter(|&pace| pace > run).map(|pace| pace - pace / 8 + run / 8).or(Some(run));
    }
}

impl Pool {
    /// A pool in which `items` tasks may wait, and that no slot serves yet.
    pub(crate) fn new(items: usize) -> Self {
        let limit = Capacity { items, bytes: usize::MAX };
        let running = TaskTracker::new();
        running.close();
        let state = State {
            queue: FairQueue::new(),
            idle: Vec::new(),
            leader: LeaderState::Away,
            pace: None,
            draining: false,
            closed: false,
        };
        Self { limit, state: Mutex::new(state), cores: Cores::new(0), running }
    }

    /// The same, in which inputs of at most so many bytes may wait.
    pub(crate) fn with_bytes(mut self, bytes: usize) -> Self {
        self.limit.bytes = bytes;
        self
    }

    /// The same, whose kernels may use so many cores together, also those of slots that are idle.
    pub(crate) fn with_cores(mut self, cores: u32) -> Self {
        self.cores = Cores::new(cores);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues jobs and wakes slots, or the leader, for them. Returns those that are refused, be it one of these or
    /// one that had to make room, for the caller to answer.
    #[must_use]
    pub(crate) fn push(&self, jobs: Vec<Job>) -> Vec<(Job, Refusal)> {
        let mut refused = Vec::new();
        let mut state = self.state();
        let State { queue, idle, draining, closed, .. } = &mut *state;
        if *draining || *closed {
            drop(state);
            return jobs.into_iter().map(|job| (job, Refusal::Draining)).collect();
        }
        // What an idle slot takes at once does not wait.
        let items = self.limit.items.saturating_add(idle.len());
        for job in jobs {
            let bytes = if queue.len() < idle.len() { usize::MAX } else { self.limit.bytes };
            let size = job.assignment.payload.size();
            let shed = queue.push(job.session.id(), job.ticket, job, size, Capacity { items, bytes });
            refused.extend(shed.into_iter().map(|job| (job, Refusal::Overloaded)));
        }
        let leads = !matches!(state.leader, LeaderState::Away) && !state.idle.is_empty() && state.is_quick();
        if leads {
            let leader = std::mem::replace(&mut state.leader, LeaderState::Called);
            drop(state);
            if let LeaderState::Waiting(waker) = leader {
                waker.wake();
            }
        } else {
            wake_slots(state);
        }
        refused
    }

    /// Wakes slots for what waits: the leader, who was called for it, is stuck.
    pub(crate) fn rouse(&self) {
        wake_slots(self.state());
    }

    /// Takes those of a session's jobs out that have not started.
    pub(crate) fn remove(&self, session: SessionId, tickets: &[Ticket]) -> Vec<Job> {
        let mut state = self.state();
        tickets.iter().filter_map(|&ticket| state.queue.remove(session, ticket)).collect()
    }

    /// Takes all of a session's jobs out that have not started.
    pub(crate) fn remove_session(&self, session: SessionId) -> Vec<Job> {
        self.state().queue.remove_session(session)
    }

    /// From now on refuses every job, and returns those that have not started, for the caller to refuse.
    #[must_use]
    pub(crate) fn drain(&self) -> Vec<Job> {
        let mut state = self.state();
        state.draining = true;
        state.queue.drain()
    }

    /// Ends the slots as they become idle.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let woken = std::mem::take(&mut state.idle);
        drop(state);
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// The load at this moment.
    pub(crate) fn load(&self) -> Load {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let state = self.state();
        Load {
            running: count(self.running.len()),
            queued: count(state.queue.len()),
            draining: state.draining,
        }
    }

    /// Waits until no kernel runs.
    pub(crate) async fn idle(&self) {
        self.running.wait().await;
    }

    /// The next job for this slot, or `None` once the pool is closed.
    pub(crate) fn poll_next(self: &Arc<Self>, slot: usize, cx: &mut Context<'_>) -> Poll<Option<Running>> {
        let mut state = self.state();
        // A thread may come back from its wait without having been woken, and is still in the list then.
        state.idle.retain(|(idle, _)| *idle != slot);
        if state.closed {
            return Poll::Ready(None);
        }
        if state.queue.len() == 0 {
            // Under the lock that a push takes, so none comes between this look and this wait.
            state.idle.push((slot, cx.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(self.take(state))
    }

    /// The first job of a turn of the leader's, when there is quick work and an idle slot, in whose place it is run.
    pub(crate) fn poll_turn(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<(Idle, Option<Running>)> {
        let mut state = self.state();
        if state.queue.len() > 0
            && state.is_quick()
            && let Some(slot) = state.idle.pop()
        {
            state.leader = LeaderState::Away;
            return Poll::Ready((slot, self.take(state)));
        }
        let before = std::mem::replace(&mut state.leader, LeaderState::Waiting(cx.waker().clone()));
        if matches!(before, LeaderState::Called) {
            // It was quick when the leader was called, and is not any more.
            wake_slots(state);
        }
        Poll::Pending
    }

    /// The next job of the leader's turn, which ends when there is none, or nothing quick, or at `end`. The slot goes
    /// back then.
    pub(crate) fn next_of_turn(self: &Arc<Self>, slot: &mut Option<Idle>, end: Instant) -> Option<Running> {
        let mut state = self.state();
        if state.closed {
            drop(state);
            // Nobody else tells it.
            slot.take().into_iter().for_each(|(_, waker)| waker.wake());
            return None;
        }
        if state.queue.len() == 0 || !state.is_quick() || Instant::now() >= end {
            state.idle.extend(slot.take());
            wake_slots(state);
            return None;
        }
        self.take(state)
    }

    /// Takes the next job out of the queue.
    fn take(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Option<Running> {
        let (mut job, charge) = state.queue.pop()?;
        // Counted before the lock is let go, so that a task is at every moment either queued or running.
        let running = self.running.token();
        drop(state);
        let timeout = job.assignment.timeout_ms.map(Duration::from_millis);
        job.cancel = job.cancel.started(timeout).helped_by(&self.cores);
        let (started, core) = (Instant::now(), self.cores.occupy());
        let permit = Permit { pool: self.clone(), charge, started, _running: running, _core: core };
        Some(Running { job, permit })
    }
}

/// Wakes as many idle slots as there are jobs.
fn wake_slots(mut state: MutexGuard<'_, State>) {
    let State { queue, idle, .. } = &mut *state;
    let woken = idle.split_off(idle.len() - idle.len().min(queue.len()));
    drop(state);
    woken.into_iter().for_each(|(_, waker)| waker.wake());
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?})", self.load())
    }
}

impl Running {
    /// What is to be computed.
    pub(crate) fn assignment(&self) -> &Assignment {
        &self.job.assignment
    }

    /// Whether anybody still wants it.
    pub(crate) fn is_wanted(&self) -> bool {
        self.job.cancel.check().is_ok()
    }

    /// Runs the kernel on this thread and hands its result to the session.
    pub(crate) fn run(self, kinds: &Kinds) {
        self.compute(kinds).settle();
    }

    /// Runs the kernel on this thread.
    pub(crate) fn compute(self, kinds: &Kinds) -> Finished {
        let Self { job: Job { session, ticket, assignment, cancel }, permit } = self;
        let Assignment { key, kind, payload, .. } = assignment;
        let result = panics::caught(|| {
            // Told to stop since it left the queue: then not even its input is worth reading.
            cancel.check()?;
            kinds.run(&kind, payload, &cancel)
        });
        let result = result.unwrap_or_else(|text| {
            warn!(job = %key.job, task = %key.task, attempt = %key.attempt, %kind, "{}", text.escape_debug());
            Err(TaskError::new(ErrorCode::Panicked, text))
        });
        let run_us = u64::try_from(permit.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Finished { session, ticket, key, done: Completed { run_us, result }, permit }
    }
}

impl Finished {
    /// Hands the result to the session.
    pub(crate) fn settle(self) {
        let Self { session, ticket, key, done, permit } = self;
        session.settle(key, ticket, Reply::Done(done));
        drop(permit);
    }
}
