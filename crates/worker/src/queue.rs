//! Who is next: a bounded queue that is fair to clients by the time that their tasks take.
//!
//! Nothing here does I/O, looks at a clock or starts a thread. Every session (one client's connection) has a
//! lane of its own, and a lane's virtual time is the slot time that it has used. The lane with the least is
//! served, so that neither a client with a million tasks nor one with long tasks makes one with ten short ones
//! wait for them ("Start-time Fair Queueing": P. Goyal, H. Vin and H. Cheng, SIGCOMM 1996). A task is charged
//! what its lane's tasks take on average when it starts, and what it did take when it ends.
//!
//! A lane that comes, or comes back, begins where those that wait are: it has no claim on time that it did not
//! use, and owes nothing for time that nobody else wanted. A queue that is full, of items or of bytes, makes room
//! at the expense of whoever holds most of it.
//!
//! ```text
//!            ┌ lane of session 1, 900 ms:  t1 t2 t3 t4 … ◀── newest is shed when another lane needs room
//!   pop ◀────┼ lane of session 2, 400 ms:  t1
//!   least    └ lane of session 3, 401 ms:  t1 t2
//! ```

mod lane;

#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// One client's connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SessionId(pub(crate) u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An item's place in its session's lane: lower ones are served first. A session uses each once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Ticket(pub(crate) u64);

/// What a task counts for at least: handing it out takes time, too.
const LEAST: u64 = 10_000;
/// What a task counts for while nobody knows how long tasks take.
const UNKNOWN: u64 = 1_000_000;
/// One part in so many of an average is the newest.
const SHARE: u64 = 8;

/// Items that wait, in lanes. Times are nanoseconds of one slot.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    /// The lanes that have items, or run some, or have used more time than those that wait.
    lanes: FxHashMap<SessionId, Lane<T>>,
    /// The lanes that have items, by when it is their turn: the one that used least, and of equal ones the one
    /// that was not served for longest.
    turns: BTreeMap<Turn, SessionId>,
    /// The lanes that neither have nor run any.
    resting: BTreeSet<(u64, SessionId)>,
    /// Where a lane would be that always had items and got its share.
    now: u64,
    /// What tasks take on average, whoever's they are.
    mean: Option<u64>,
    next_turn: u64,
    len: usize,
    bytes: usize,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

/// A lane's virtual time, and when it came or was last served.
type Turn = (u64, u64);

/// What waits in a lane, each with its bytes.
type Items<T> = lane::Items<(T, usize)>;

#[derive(Debug)]
struct Lane<T> {
    items: Items<T>,
    bytes: usize,
    turn: Turn,
    /// How many of its items have been taken and are not finished.
    running: usize,
    /// What its tasks take on average.
    mean: Option<u64>,
}

/// What a lane was charged for an item that was taken, to be settled when it is finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Charge {
    session: SessionId,
    time: u64,
}

impl<T> FairQueue<T> {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Self {
            lanes: FxHashMap::default(),
            turns: BTreeMap::new(),
            resting: BTreeSet::new(),
            now: 0,
            mean: None,
            next_turn: 0,
            len: 0,
            bytes: 0,
        }
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an item of so many bytes, if it is within the capacity; by itself any is. Otherwise the newest items of
    /// the lane that holds most make room, as long as that leaves the two lanes less uneven than they were. Returns
    /// what is not in the queue after all: those, or this one.
    #[must_use]
    pub(crate) fn push(
        &mut self,
        session: SessionId,
        ticket: Ticket,
        item: T,
        bytes: usize,
        capacity: Capacity,
    ) -> Vec<T> {
        let mut shed = Vec::new();
        loop {
            let own = self.lanes.get(&session).map_or((0, 0), |lane| (lane.items.len(), lane.bytes));
            // Looked for here and not kept up to date at every push and pop: a queue is seldom full.
            let most = |holds: fn(&Lane<T>) -> usize| {
                self.lanes.iter().map(|(&session, lane)| (holds(lane), session)).max()
            };
            // Without the one, two clients would take the same place from each other for ever.
            let (most, would_hold) = if self.len >= capacity.items {
                (most(|lane| lane.items.len()), own.0 + 1)
            } else if self.len > 0 && self.bytes.saturating_add(bytes) > capacity.bytes {
                (most(|lane| lane.bytes), own.1.saturating_add(bytes))
            } else {
                break;
            };
            let giver = most.filter(|(holds, _)| would_hold < *holds).map(|(_, giver)| giver);
            match giver.and_then(|giver| self.take(giver, Items::pop_last)) {
                Some(newest) => shed.push(newest),
                None => {
                    shed.push(item);
                    return shed;
                }
            }
        }
        if self.lanes.get(&session).is_none_or(|lane| lane.items.is_empty()) {
            self.come(session);
        }
        if let Some(lane) = self.lanes.get_mut(&session) {
            lane.items.insert(ticket, (item, bytes));
            lane.bytes = lane.bytes.saturating_add(bytes);
            self.len += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
        shed
    }

    /// Gives a lane that has no items its turn.
    fn come(&mut self, session: SessionId) {
        if let (Some((&(least, _), _)), Some((&(most, _), _))) =
            (self.turns.first_key_value(), self.turns.last_key_value())
        {
            // Among those that wait: what is only estimated cannot lead further astray than that.
            self.now = self.now.clamp(least, most);
        }
        let number = self.next_turn;
        self.next_turn += 1;
        let lane = self.lanes.entry(session).or_insert_with(|| Lane {
            items: Items::new(),
            bytes: 0,
            turn: (0, number),
            running: 0,
            mean: None,
        });
        self.resting.remove(&(lane.turn.0, session));
        lane.turn = (lane.turn.0.max(self.now), number);
        self.turns.insert(lane.turn, session);
    }

    /// The next item: the oldest of the lane whose turn it is. What the lane is charged for it is to be
    /// settled with [`FairQueue::finish`].
    pub(crate) fn pop(&mut self) -> Option<(T, Charge)> {
        let (_, &session) = self.turns.first_key_value()?;
        let waiting = self.turns.len() as u64;
        let item = self.take(session, Items::pop_first)?;
        let lane = self.lanes.get_mut(&session)?;
        let time = lane.mean.or(self.mean).unwrap_or(UNKNOWN);
        lane.running += 1;
        self.resting.remove(&(lane.turn.0, session));
        let turn = (lane.turn.0.saturating_add(time), self.next_turn);
        self.next_turn += 1;
        if self.turns.remove(&lane.turn).is_some() {
            self.turns.insert(turn, session);
        }
        lane.turn = turn;
        self.now = self.now.saturating_add(time / waiting);
        self.forget();
        Some((item, Charge { session, time }))
    }

    /// An item that was taken has run for so long.
    pub(crate) fn finish(&mut self, charge: Charge, run: Duration) {
        let Charge { session, time } = charge;
        let run = u64::try_from(run.as_nanos()).unwrap_or(u64::MAX).max(LEAST);
        let average = |mean: Option<u64>| mean.map_or(run, |mean| mean - mean / SHARE + run / SHARE);
        let settle = |at: u64, share: u64| at.saturating_add(run / share).saturating_sub(time / share);
        self.mean = Some(average(self.mean));
        self.now = settle(self.now, self.turns.len().max(1) as u64);
        let Some(lane) = self.lanes.get_mut(&session) else { return };
        lane.mean = Some(average(lane.mean));
        lane.running = lane.running.saturating_sub(1);
        let turn = (settle(lane.turn.0, 1), lane.turn.1);
        if self.turns.remove(&lane.turn).is_some() {
            self.turns.insert(turn, session);
        }
        self.resting.remove(&(lane.turn.0, session));
        lane.turn = turn;
        if lane.items.is_empty() && lane.running == 0 {
            self.resting.insert((turn.0, session));
        }
        self.forget();
    }

    /// Forgets lanes that would begin anew where they are, or further on.
    fn forget(&mut self) {
        let least = self.turns.first_key_value().map_or(self.now, |(&(least, _), _)| least.min(self.now));
        while let Some(&(time, session)) = self.resting.first()
            && time <= least
        {
            self.resting.pop_first();
            self.lanes.remove(&session);
        }
    }

    /// Takes one item out, if it still waits.
    pub(crate) fn remove(&mut self, session: SessionId, ticket: Ticket) -> Option<T> {
        self.take(session, |items| items.remove(ticket))
    }

    /// Takes all items of a session out, the oldest first, and forgets it.
    pub(crate) fn remove_session(&mut self, session: SessionId) -> Vec<T> {
        let Some(lane) = self.lanes.remove(&session) else { return Vec::new() };
        self.turns.remove(&lane.turn);
        self.resting.remove(&(lane.turn.0, session));
        self.len -= lane.items.len();
        self.bytes -= lane.bytes;
        lane.items.into_items().map(|(item, _)| item).collect()
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let turns = std::mem::take(&mut self.turns);
        turns.into_values().flat_map(|session| self.remove_session(session)).collect()
    }

    /// Takes what `pick` picks out of a lane, which with its last item loses its turn.
    fn take(
        &mut self,
        session: SessionId,
        pick: impl FnOnce(&mut Items<T>) -> Option<(T, usize)>,
    ) -> Option<T> {
        let lane = self.lanes.get_mut(&session)?;
        let (item, bytes) = pick(&mut lane.items)?;
        lane.bytes -= bytes;
        self.len -= 1;
        self.bytes -= bytes;
        if lane.items.is_empty() {
            self.turns.remove(&lane.turn);
            if lane.running == 0 {
                self.resting.insert((lane.turn.0, session));
            }
        }
        Some(item)
    }
}
