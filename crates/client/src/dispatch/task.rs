//! What the core knows of a task, and the queues in which tasks of one kind wait.

use super::worker::Worker;
use crate::{retry::Cause, verify::Check};
use serde::Serialize;
use sgdt_proto::{
    id::{Kind, TaskId, WorkerId, WorkerName},
    payload::{EncodeError, Format, Payload},
    task::TaskError,
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// A task to be run.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskSpec {
    /// What to compute.
    pub kind: Kind,
    /// Its input.
    pub payload: Payload,
    /// How long its kernel may run. `None`: as long as it takes.
    pub timeout: Option<Duration>,
    /// Judges answers before one is accepted, if they are to be judged.
    pub check: Option<Check>,
}

impl TaskSpec {
    /// A task of any kind, its input as JSON.
    ///
    /// # Errors
    /// The input has a part that JSON cannot express.
    pub fn json<T: Serialize>(kind: Kind, input: &T) -> Result<Self, EncodeError> {
        Ok(Self { kind, payload: Payload::encode(Format::Json, input)?, timeout: None, check: None })
    }

    /// A task whose input's type is shared with its kernel, such as those in [`sgdt_proto::kind`]: bulk numbers
    /// travel as they are.
    ///
    /// # Errors
    /// The input has a part that the compact form cannot express.
    pub fn packed<T: Serialize>(kind: Kind, input: &T) -> Result<Self, EncodeError> {
        Ok(Self { kind, payload: Payload::encode(Format::Packed, input)?, timeout: None, check: None })
    }
}

/// A finished task.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskResult {
    /// What was computed.
    pub kind: Kind,
    /// Who computed it, or said that it cannot be.
    pub worker: Option<WorkerName>,
    /// How many times it was dispatched, not counting refusals.
    pub attempts: u32,
    /// How long the kernel ran.
    pub run: Duration,
    /// Its output, or why there is none.
    pub output: Result<Payload, TaskError>,
}

/// A task that is not finished. `X` is whatever the driver needs to hand the result on.
pub(super) struct Task<X> {
    pub(super) ticket: X,
    /// Which queue is its kind's.
    pub(super) queue: usize,
    pub(super) payload: Payload,
    pub(super) timeout_ms: Option<u64>,
    /// Every dispatch there was: the fence that tells a late reply from a wanted one.
    pub(super) dispatches: u32,
    /// Those that were not refused.
    pub(super) attempts: u32,
    /// Where it is now: at most one attempt, and one backup.
    pub(super) live: [Option<Live>; 2],
    pub(super) failures: Vec<Failure>,
    /// Who last gave it back, and so should not get it again while others have room.
    pub(super) avoid: Option<WorkerId>,
    /// Those that it is too large for.
    pub(super) too_small: Vec<WorkerId>,
    /// Whether it has waited out a backoff since it last failed.
    pub(super) rested: bool,
    /// Since when it could have gone to some worker, and waits for a better one.
    pub(super) picky_since: Option<Instant>,
    /// How often it was taken back from a queue to be started elsewhere.
    pub(super) moves: u32,
    pub(super) backed_up: bool,
}

/// How long a task waits for a worker that suits it better; it doubles with every failure beyond those that prove nothing.
const PICKY: Duration = Duration::from_millis(250);
const PICKY_DOUBLINGS: usize = 3;
/// Up to this many failures, a worker that has finished nothing is as good as another: the task goes there at once.
const CAREFREE: usize = 1;

/// How a worker suits a task, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// There is nothing against it.
    Good,
    /// The task has failed again and again, and this one has yet to finish anything: it may be no better.
    Unproven,
    /// It gave the task back.
    Avoided,
    /// The task has failed on it.
    Failed,
    /// The task is too large for it.
    TooSmall,
}

/// A dispatch that has not ended.
#[derive(Clone, Copy)]
pub(super) struct Live {
    pub(super) worker: usize,
    pub(super) dispatch: u32,
    pub(super) sent: Instant,
    /// How many tasks the worker had when this one came.
    pub(super) ahead: u32,
    /// Whether the worker was asked for it because it is late.
    pub(super) asked_back: bool,
}

/// A dispatch that failed.
pub(super) struct Failure {
    pub(super) worker: WorkerId,
    pub(super) name: WorkerName,
    pub(super) cause: Cause,
    /// Whether the task may have killed the worker.
    pub(super) deadly: bool,
}

impl<X> Task<X> {
    /// A task that waits for its first dispatch.
    pub(super) fn new(ticket: X, queue: usize, payload: Payload, timeout_ms: Option<u64>) -> Self {
        Self {
            ticket,
            queue,
            payload,
            timeout_ms,
            dispatches: 0,
            attempts: 0,
            live: [None, None],
            failures: Vec::new(),
            avoid: None,
            too_small: Vec::new(),
            rested: true,
            picky_since: None,
            moves: 0,
            backed_up: false,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.iter().any(Option::is_some)
    }

    /// Ends the dispatch to this worker, and says when and which it was.
    pub(super) fn end_live(&mut self, worker: usize) -> Option<Live> {
        self.live.iter_mut().find(|live| live.is_some_and(|live| live.worker == worker))?.take()
    }

    pub(super) fn deaths(&self) -> u32 {
        self.failures.iter().filter(|failure| failure.deadly).count() as u32
    }

    pub(super) fn has_failed_on(&self, worker: WorkerId) -> bool {
        self.failures.iter().any(|failure| failure.worker == worker)
    }

    pub(super) fn fit(&self, worker: &Worker) -> Fit {
        let id = worker.info.id;
        if self.too_small.contains(&id) {
            Fit::TooSmall
        } else if self.has_failed_on(id) {
            Fit::Failed
        } else if self.avoid == Some(id) {
            Fit::Avoided
        } else if self.failures.len() > CAREFREE && !worker.is_proven() {
            Fit::Unproven
        } else {
            Fit::Good
        }
    }

    /// How long it waits for a worker that suits it better while one that would do has room: not for ever, for the
    /// better one may be full of tasks that take hours. The more often it has failed, the longer.
    pub(super) fn patience(&self) -> Duration {
        PICKY * (1 << self.failures.len().saturating_sub(CAREFREE + 1).min(PICKY_DOUBLINGS))
    }

    /// What each attempt met, for the error message.
    pub(super) fn history(&self) -> String {
        let attempt = |(index, failure): (usize, &Failure)| {
            format!("attempt {} on {}: {}", index + 1, failure.name, failure.cause)
        };
        self.failures.iter().enumerate().map(attempt).collect::<Vec<_>>().join("; ")
    }
}

/// Queues no longer than this are not worth tidying.
const MANY: usize = 1024;

/// The tasks of one kind that are not dispatched.
pub(super) struct Queue {
    pub(super) kind: Kind,
    /// To go out again, before any fresh one.
    pub(super) retry: VecDeque<TaskId>,
    pub(super) fresh: VecDeque<TaskId>,
    /// Suspects, each to be run on a worker by itself.
    pub(super) alone: VecDeque<TaskId>,
    /// Waiting out their backoff.
    pub(super) parked: BinaryHeap<Reverse<(Instant, TaskId)>>,
    /// How many of those that wait were cancelled since such were last looked for, at most.
    dead: usize,
    /// How many tasks there are of the kind, wherever they are.
    pub(super) tasks: usize,
    /// Whether a worker ever served the kind.
    pub(super) was_served: bool,
    /// Since when tasks wait while no live worker serves the kind,
    pub(super) unserved_since: Option<Instant>,
    /// and while none that does is connected.
    pub(super) unreachable_since: Option<Instant>,
    pub(super) durations: Durations,
}

impl Queue {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            retry: VecDeque::new(),
            fresh: VecDeque::new(),
            alone: VecDeque::new(),
            parked: BinaryHeap::new(),
            dead: 0,
            tasks: 0,
            was_served: false,
            unserved_since: None,
            unreachable_since: None,
            durations: Durations::default(),
        }
    }

    /// Whether nothing waits to be sent now.
    pub(super) fn is_empty(&self) -> bool {
        self.retry.is_empty() && self.fresh.is_empty() && self.alone.is_empty()
    }

    /// One of those that wait was cancelled. Once that may be said of half of many, those are struck off, which
    /// comes to a few steps for each.
    pub(super) fn died(&mut self, lives: impl Fn(&TaskId) -> bool) {
        self.dead += 1;
        let length = self.retry.len() + self.fresh.len() + self.alone.len() + self.parked.len();
        if length > MANY && self.dead * 2 > length {
            let queues = [&mut self.retry, &mut self.fresh, &mut self.alone];
            queues.into_iter().for_each(|queue| queue.retain(&lives));
            self.parked.retain(|Reverse((_, id))| lives(id));
            self.dead = 0;
        }
    }

    /// All that wait, in whatever way.
    pub(super) fn drain(&mut self) -> Vec<TaskId> {
        let parked = self.parked.drain().map(|Reverse((_, task))| task);
        let queues = [&mut self.retry, &mut self.fresh, &mut self.alone];
        parked.chain(queues.into_iter().flat_map(|queue| queue.drain(..))).collect()
    }
}

/// A moving average of run times.
#[derive(Clone, Copy, Default)]
pub(super) struct Durations {
    micros: f64,
    count: u32,
}

impl Durations {
    /// The weight of the newest.
    const WEIGHT: f64 = 0.1;
    /// After so many it is known what is typical.
    const KNOWN: u32 = 3;

    pub(super) fn record(&mut self, run_us: u64) {
        let run_us = run_us as f64;
        self.count = self.count.saturating_add(1);
        // The first few count in full, so that the average does not start from nothing.
        let weight = Self::WEIGHT.max(1.0 / f64::from(self.count));
        self.micros += (run_us - self.micros) * weight;
    }

    /// The same, but one that took far longer than its like does not change much: it may be the worker that was slow.
    pub(super) fn record_typical(&mut self, run_us: u64) {
        let most = self.mean(Self::KNOWN).map_or(u64::MAX, |mean| mean.as_micros() as u64 * 3 + 1);
        self.record(run_us.min(most));
    }

    /// The average, once there are at least `samples`.
    pub(super) fn mean(&self, samples: u32) -> Option<Duration> {
        (self.count >= samples).then(|| Duration::from_micros(self.micros as u64))
    }
}
