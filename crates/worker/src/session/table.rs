//! What one client has here: its attempts, and the calls that wait for them.
//!
//! ```text
//!            admit            settle                hand out
//!   absent ─────────▶ live ───────────▶ done(reply) ─────────▶ absent
//!     ▲                │                     │
//!     └────────────────┴─── forget, end ─────┘
//! ```
//! Nothing here waits, runs or sends. Whom to wake is gathered in [`Table::take_wakes`], so that it is done
//! without the lock.

mod early;
mod waiters;

#[cfg(test)]
mod tests;

use super::{Limits, is_brisk};
use crate::{cancel::Cancel, queue::Ticket};
use early::Early;
use rustc_hash::FxHashMap;
use sgdt_proto::{
    id::AttemptKey,
    task::{Completed, Refusal, Reply},
};
use std::{collections::hash_map, sync::Arc};
use tokio::sync::Notify;
use waiters::Waiters;
pub(super) use waiters::{Progress, WaiterId};

/// A session's attempts.
#[derive(Debug, Default)]
pub(super) struct Table {
    attempts: FxHashMap<AttemptKey, Entry>,
    waiters: Waiters,
    early: Early,
    tickets: u64,
    /// The client is gone; nothing more is admitted.
    ended: bool,
}

#[derive(Debug)]
struct Entry {
    ticket: Ticket,
    waiter: Option<WaiterId>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Queued or running: which of them only the pool knows.
    Live(Cancel),
    Done(Reply),
}

/// What there is to say of an attempt.
#[derive(Debug)]
pub(super) enum Handed {
    /// Its end. The attempt is forgotten.
    Reply(Reply),
    /// It is not done, or its output does not fit the answer.
    NotYet,
    /// It is not here.
    Gone,
}

/// How much more an answer takes.
#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
    segments: usize,
    empty: bool,
}

impl Room {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { bytes: limits.answer, segments: limits.segments, empty: true }
    }

    /// Takes up what a reply needs, if there is as much. The first reply always fits: by itself it is within
    /// bounds.
    fn take(&mut self, reply: &Reply) -> bool {
        let (bytes, segments) = match reply {
            Reply::Done(Completed { result: Ok(output), .. }) => (output.size(), output.buffers.len()),
            Reply::Done(Completed { result: Err(error), .. }) => (error.message.len(), 0),
            Reply::Refused(_) | Reply::Pending => return true,
        };
        let fits = self.empty || (bytes <= self.bytes && segments <= self.segments);
        if fits {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.segments = self.segments.saturating_sub(segments);
            self.empty = false;
        }
        fits
    }
}

impl Table {
    /// Whether nothing is live and nothing is yet to be handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Those to wake since the last time.
    pub(super) fn take_wakes(&mut self) -> Vec<Arc<Notify>> {
        self.waiters.take_wakes()
    }

    /// Begins a wait, for nothing yet.
    pub(super) fn wait(&mut self) -> (WaiterId, Arc<Notify>) {
        self.waiters.add()
    }

    /// How it stands with a wait.
    pub(super) fn progress(&self, waiter: WaiterId) -> Progress {
        self.waiters.progress(waiter)
    }

    /// Ends a wait.
    pub(super) fn stop_waiting(&mut self, waiter: WaiterId) {
        self.waiters.remove(waiter);
    }

    /// Takes an attempt on, for which `waiter` then waits; at most `limit` in all.
    ///
    /// # Errors
    /// Why not. The key of an attempt that is here already is `Unknown`: only the first is held.
    pub(super) fn admit(
        &mut self,
        key: AttemptKey,
        waiter: WaiterId,
        limit: usize,
    ) -> Result<(Ticket, Cancel), Refusal> {
        let attempts = self.attempts.len();
        let place = if self.ended {
            Err(Refusal::Draining)
        } else if self.early.remove(&key) {
            Err(Refusal::Recalled)
        } else {
            match self.attempts.entry(key) {
                hash_map::Entry::Occupied(_) => Err(Refusal::Unknown),
                hash_map::Entry::Vacant(_) if attempts >= limit => Err(Refusal::Overloaded),
                hash_map::Entry::Vacant(place) => Ok(place),
            }
        };
        match place {
            Ok(place) => {
                self.tickets += 1;
                let (ticket, cancel) = (Ticket(self.tickets), Cancel::new());
                place.insert(Entry { ticket, waiter: Some(waiter), state: State::Live(cancel.clone()) });
                self.waiters.expect(waiter);
                Ok((ticket, cancel))
            }
            Err(refusal) => {
                self.waiters.note(waiter, true);
                Err(refusal)
            }
        }
    }

    /// Has `waiter` wait for an attempt, and says whether it is here. A call that waited for it before does
    /// without it, even if that is the unanswered batch that brought it.
    pub(super) fn attach(&mut self, key: &AttemptKey, waiter: WaiterId) -> bool {
        let Some(entry) = self.attempts.get_mut(key) else {
            self.waiters.note(waiter, true);
            return false;
        };
        if entry.waiter == Some(waiter) {
            return true;
        }
        let earlier = entry.waiter.replace(waiter);
        match &entry.state {
            State::Done(reply) => self.waiters.note(waiter, is_brisk(reply)),
            State::Live(_) => {
                self.waiters.expect(waiter);
                self.waiters.gone(earlier);
            }
        }
        true
    }

    /// An attempt has ended like this. When it was cancelled or has a reply nobody wants this one, and it is
    /// given back, to be freed without the lock: it may be large.
    #[must_use]
    pub(super) fn settle(&mut self, key: &AttemptKey, ticket: Ticket, reply: Reply) -> Option<Reply> {
        match self.attempts.get_mut(key) {
            // A key may be used again once it is forgotten; a ticket is not.
            Some(entry) if entry.ticket == ticket && matches!(entry.state, State::Live(_)) => {
                self.waiters.done(entry.waiter, is_brisk(&reply));
                entry.state = State::Done(reply);
                None
            }
            _ => Some(reply),
        }
    }

    /// Says what there is to say of an attempt. The caller no longer waits for it.
    pub(super) fn hand_out(&mut self, key: &AttemptKey, waiter: WaiterId, room: &mut Room) -> Handed {
        let hash_map::Entry::Occupied(mut place) = self.attempts.entry(*key) else { return Handed::Gone };
        let entry = place.get_mut();
        if entry.waiter == Some(waiter) {
            entry.waiter = None;
        }
        match &entry.state {
            State::Done(reply) if room.take(reply) => match place.remove().state {
                State::Done(reply) => Handed::Reply(reply),
                State::Live(_) => Handed::Gone,
            },
            _ => Handed::NotYet,
        }
    }

    /// The ticket of an attempt that is queued or running.
    pub(super) fn ticket(&self, key: &AttemptKey) -> Option<Ticket> {
        let entry = self.attempts.get(key)?;
        matches!(entry.state, State::Live(_)).then_some(entry.ticket)
    }

    /// Forgets an attempt and has it stop. Says whether it was here.
    pub(super) fn forget(&mut self, key: &AttemptKey) -> bool {
        let Some(entry) = self.attempts.remove(key) else { return false };
        if let State::Live(cancel) = entry.state {
            cancel.cancel();
            self.waiters.gone(entry.waiter);
        }
        true
    }

    /// Forgets an attempt, be it one that has not come yet.
    pub(super) fn cancel(&mut self, key: AttemptKey) {
        if !self.forget(&key) {
            self.early.insert(key);
        }
    }

    /// Has all attempts stop and answers for them with this refusal.
    pub(super) fn abandon(&mut self, refusal: Refusal) {
        for entry in self.attempts.values_mut() {
            if let State::Live(cancel) = &entry.state {
                cancel.cancel();
                entry.state = State::Done(Reply::Refused(refusal));
                self.waiters.done(entry.waiter, true);
            }
        }
    }

    /// Forgets everything, has it stop, and admits nothing more.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.abandon(Refusal::Draining);
        self.attempts.clear();
    }
}
