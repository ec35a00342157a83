//! The calls that wait for attempts: how many of theirs are outstanding, and when to wake them.

use rustc_hash::FxHashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// A call that waits. A number is not used twice, so one that has gone may stay behind in attempts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::session) struct WaiterId(u64);

/// How it stands with what a call waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::session) enum Progress {
    /// None of it is done.
    None,
    /// Some of it is.
    Some {
        /// Whether one was done so quickly that the others may be, too.
        brisk: bool,
    },
    /// There is nothing left to wait for.
    All,
}

#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: FxHashMap<WaiterId, Waiter>,
    numbers: u64,
    wakes: Vec<Arc<Notify>>,
}

#[derive(Debug)]
struct Waiter {
    /// How many attempts are neither done nor gone.
    outstanding: usize,
    /// Of those that are done or refused: whether there is one, and a brisk one.
    done: Option<bool>,
    wake: Arc<Notify>,
}

impl Waiter {
    /// Something is done. Says whether it is the first.
    fn note(&mut self, brisk: bool) -> bool {
        let first = self.done.is_none();
        self.done = Some(brisk || self.done.unwrap_or(false));
        first
    }
}

impl Waiters {
    pub(super) fn add(&mut self) -> (WaiterId, Arc<Notify>) {
        self.numbers += 1;
        let (id, wake) = (WaiterId(self.numbers), Arc::new(Notify::new()));
        self.waiting.insert(id, Waiter { outstanding: 0, done: None, wake: wake.clone() });
        (id, wake)
    }

    pub(super) fn remove(&mut self, id: WaiterId) {
        self.waiting.remove(&id);
    }

    pub(super) fn progress(&self, id: WaiterId) -> Progress {
        match self.waiting.get(&id) {
            Some(Waiter { outstanding: 1.., done, .. }) => {
                done.map_or(Progress::None, |brisk| Progress::Some { brisk })
            }
            _ => Progress::All,
        }
    }

    pub(super) fn take_wakes(&mut self) -> Vec<Arc<Notify>> {
        std::mem::take(&mut self.wakes)
    }

    /// There is one attempt more to wait for.
    pub(super) fn expect(&mut self, id: WaiterId) {
        if let Some(waiter) = self.waiting.get_mut(&id) {
            waiter.outstanding += 1;
        }
    }

    /// One attempt is done, or refused, that the call has not begun to wait for.
    pub(super) fn note(&mut self, id: WaiterId, brisk: bool) {
        if let Some(waiter) = self.waiting.get_mut(&id) {
            waiter.note(brisk);
        }
    }

    /// One of the attempts is done. Wakes the call for its first and its last, and for none between.
    pub(super) fn done(&mut self, id: Option<WaiterId>, brisk: bool) {
        if let Some(waiter) = id.and_then(|id| self.waiting.get_mut(&id)) {
            waiter.outstanding = waiter.outstanding.saturating_sub(1);
            if waiter.note(brisk) || waiter.outstanding == 0 {
                self.wakes.push(waiter.wake.clone());
            }
        }
    }

    /// One of the attempts will not be done for this call.
    pub(super) fn gone(&mut self, id: Option<WaiterId>) {
        if let Some(waiter) = id.and_then(|id| self.waiting.get_mut(&id)) {
            waiter.outstanding = waiter.outstanding.saturating_sub(1);
            if waiter.outstanding == 0 {
                self.wakes.push(waiter.wake.clone());
            }
        }
    }
}
