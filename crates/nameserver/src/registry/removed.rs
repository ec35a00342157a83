//! The starts of workers that were evicted and may not come back.

use sgdt_proto::id::WorkerId;
use std::collections::{BTreeSet, VecDeque};

/// How many are remembered. An evicted worker hears of it at its next renewal, seconds later, so thousands are
/// ample; without a bound, evicting in a loop would fill the memory.
const MOST: usize = 4_096;

/// The last [`MOST`] evicted, oldest first.
#[derive(Debug, Default)]
pub(super) struct Removed {
    order: VecDeque<WorkerId>,
    ids: BTreeSet<WorkerId>,
}

impl Removed {
    pub(super) fn contains(&self, id: WorkerId) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn insert(&mut self, id: WorkerId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_the_memory_stays_bounded() {
        let mut removed = Removed::default();
        for n in 0..=MOST as u64 {
            removed.insert(WorkerId(n));
            removed.insert(WorkerId(n));
        }
        assert!(!removed.contains(WorkerId(0)));
        assert!((1..=MOST as u64).all(|n| removed.contains(WorkerId(n))));
        assert_eq!((removed.order.len(), removed.ids.len()), (MOST, MOST));
    }
}
