//! What the core knows of a worker: whether it can be used, and how much it should have at a time.

use super::task::Durations;
use crate::balance::Candidate;
use rustc_hash::{FxHashMap, FxHashSet};
use sgdt_proto::{
    id::{Kind, TaskId},
    name_server::WorkerInfo,
};
use std::time::Duration;
use tokio::time::Instant;

/// A window covers this much work beside what runs, so that a slot never waits for the next task.
const LOOKAHEAD: Duration = Duration::from_millis(5);
/// The most tasks a slot that a window holds,
const MAX_PER_SLOT: u32 = 1024;
/// and the most tasks, unless the slots by themselves need more: half of what a worker's queue holds unless told
/// otherwise, so that clients with tiny tasks do not push each other's out of it.
const MAX_WINDOW: u32 = 2048;
/// How long a worker that was full is left alone, at first; it doubles with every further time until it finishes
/// something.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_DOUBLINGS: u32 = 6;
/// From this many failures in a row on, a worker is ejected for a while.
const EJECT_FROM: u32 = 3;
/// For how long, at first; it doubles with every further failure.
const EJECT_FIRST: Duration = Duration::from_secs(1);
const EJECT_MOST: Duration = Duration::from_secs(30);

/// How a worker is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    /// There is no connection, or not yet.
    Down,
    Up,
    /// It is late with a pong.
    Suspect,
}

pub(super) struct Worker {
    pub(super) info: WorkerInfo,
    kinds: FxHashSet<Kind>,
    pub(super) link: Link,
    pub(super) draining: bool,
    /// Our tasks there, each with its dispatch.
    pub(super) in_flight: FxHashMap<TaskId, u32>,
    pub(super) durations: Durations,
    pub(super) round_trip: Duration,
    /// The window's bound, learnt from refusals.
    cap: u32,
    /// How often in a row it was full, and until when it is left alone for that.
    fulls: u32,
    paused_until: Option<Instant>,
    failures: u32,
    failed_at: Option<Instant>,
    ejected_until: Option<Instant>,
    /// The suspect that it is kept free for, or runs.
    pub(super) sole: Option<TaskId>,
    /// Since when it is being asked to give tasks back.
    pub(super) recalling: Option<Instant>,
}

/// The most tasks that the window of a worker with so many slots ever holds.
pub(super) fn widest(slots: u32) -> u32 {
    slots.saturating_mul(MAX_PER_SLOT).min(MAX_WINDOW.max(slots.saturating_mul(2)))
}

impl Worker {
    pub(super) fn new(info: WorkerInfo, draining: bool) -> Self {
        Self {
            kinds: info.kinds.iter().cloned().collect(),
            info,
            link: Link::Down,
            draining,
            in_flight: FxHashMap::default(),
            durations: Durations::default(),
            round_trip: Duration::ZERO,
            cap: u32::MAX,
            fulls: 0,
            paused_until: None,
            failures: 0,
            failed_at: None,
            ejected_until: None,
            sole: None,
            recalling: None,
        }
    }

    pub(super) fn slots(&self) -> u32 {
        self.info.slots.max(1)
    }

    pub(super) fn load(&self) -> u32 {
        self.in_flight.len() as u32
    }

    pub(super) fn serves(&self, kind: &Kind) -> bool {
        self.kinds.contains(kind)
    }

    pub(super) fn as_candidate(&self, worker: usize) -> Candidate {
        Candidate { worker, slots: self.slots(), in_flight: self.load() }
    }

    /// Whether it answers and stays.
    pub(super) fn is_live(&self) -> bool {
        self.link == Link::Up && !self.draining
    }

    /// Whether it can be sent this task, room or not: it is live, not ejected, and not kept for another.
    pub(super) fn takes(&self, task: Option<TaskId>, now: Instant) -> bool {
        self.is_live() && !self.is_ejected(now) && (self.sole.is_none() || self.sole == task)
    }

    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.load() < self.window() && self.paused_until.is_none_or(|until| until <= now)
    }

    /// How many tasks it would start at once, as far as we know.
    pub(super) fn idle_slots(&self, now: Instant) -> u32 {
        if self.takes(None, now) && self.has_room(now) { self.slots().saturating_sub(self.load()) } else { 0 }
    }

    /// How many tasks it should have: what its slots run, and enough beside that to cover the look-ahead and
    /// the way there and back at the pace at which it has run tasks so far. Until it has run one, one task a slot
    /// beside: a worker that gets next to no time is far away, too, and would be given tasks for minutes.
    pub(super) fn window(&self) -> u32 {
        let beside = self.durations.mean(1).map_or(1, |pace| {
            let pace = pace.max(Duration::from_micros(1));
            (LOOKAHEAD + self.round_trip).div_duration_f64(pace).ceil() as u32
        });
        let per_slot = beside.saturating_add(1).clamp(2, MAX_PER_SLOT);
        self.slots().saturating_mul(per_slot).min(widest(self.slots())).min(self.cap)
    }

    /// It refused a task because its queue is full: others use it, too. Halves the window and waits a little.
    pub(super) fn was_full(&mut self, now: Instant) {
        self.cap = (self.load() / 2).max(1);
        // The refusals of one batch are one.
        if self.paused_until.is_none_or(|until| until <= now) {
            self.paused_until = Some(now + PAUSE * (1 << self.fulls));
            self.fulls = (self.fulls + 1).min(PAUSE_DOUBLINGS);
        }
    }

    /// A worker that was full is tried with one more once its pause is over: who filled it may have gone, and what
    /// it runs of ours may take long.
    pub(super) fn probe(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.cap = self.cap.max(self.load().saturating_add(1));
        }
    }

    /// It finished a task.
    pub(super) fn succeeded(&mut self, run_us: u64) {
        self.durations.record(run_us);
        self.failures = 0;
        self.fulls = 0;
        self.cap = self.cap.saturating_add(1);
    }

    /// Whether it has finished something, be it with an error of the task's own, and not failed since.
    pub(super) fn is_proven(&self) -> bool {
        self.failures == 0 && self.durations.mean(1).is_some()
    }

    /// It failed. Says whether it has done so too often.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        // A call that breaks is one failure, however many tasks tell of it.
        if self.failed_at.replace(now) != Some(now) {
            self.failures = self.failures.saturating_add(1);
        }
        self.failures >= EJECT_FROM
    }

    pub(super) fn eject(&mut self, now: Instant) {
        let doublings = self.failures.saturating_sub(EJECT_FROM).min(16);
        self.ejected_until = Some(now + (EJECT_FIRST * (1 << doublings)).min(EJECT_MOST));
    }

    pub(super) fn readmit(&mut self) {
        self.ejected_until = None;
    }

    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until.is_some_and(|until| until > now)
    }
}
