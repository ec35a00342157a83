//! Cancels that came before what they cancel: a small message may overtake a big one.

use rustc_hash::FxHashSet;
use sgdt_proto::id::AttemptKey;
use std::collections::VecDeque;

/// How many are remembered. What is overtaken is on its way in big messages, of which there are few; the price
/// of a forgotten one is work in vain.
const MAX_EARLY: usize = 4096;

/// The last cancels of attempts that were not here.
#[derive(Debug, Default)]
pub(super) struct Early {
    keys: FxHashSet<AttemptKey>,
    /// The same in the order in which they came, and those that have been redeemed since.
    order: VecDeque<AttemptKey>,
}

impl Early {
    pub(super) fn insert(&mut self, key: AttemptKey) {
        if self.keys.insert(key) {
            self.order.push_back(key);
        }
        if self.order.len() > MAX_EARLY
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }

    /// Redeems one: says whether the attempt was cancelled, and forgets it.
    pub(super) fn remove(&mut self, key: &AttemptKey) -> bool {
        // Asked for every attempt, and nearly always empty.
        !self.keys.is_empty() && self.keys.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::id::{Attempt, JobId, TaskId};

    fn key(task: u64) -> AttemptKey {
        AttemptKey { job: JobId(1), task: TaskId(task), attempt: Attempt(1) }
    }

    #[test]
    fn a_cancel_is_redeemed_once() {
        let mut early = Early::default();
        early.insert(key(1));
        assert!(!early.remove(&key(2)));
        assert!(early.remove(&key(1)));
        assert!(!early.remove(&key(1)));
    }

    #[test]
    fn a_flood_of_cancels_is_forgotten_from_its_beginning() {
        let mut early = Early::default();
        for task in 0..3 * MAX_EARLY as u64 {
            early.insert(key(task));
            if task % 2 == 0 {
                early.remove(&key(task));
            }
        }
        assert!(early.keys.len() <= MAX_EARLY && early.order.len() <= MAX_EARLY);
        assert!(!early.remove(&key(1)));
        assert!(early.remove(&key(3 * MAX_EARLY as u64 - 1)));
    }
}
