//! Memory for bulk numbers that is used again.
//!
//! Fresh memory costs as much as what is read into it: the system gives it page by page and clears every page. So a
//! connection keeps that of big segments, once nobody uses them any more, for those that come next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The least that is worth keeping, in bytes. The allocator itself keeps what is smaller.
const LEAST: usize = 1 << 20;
/// The most that is kept, in bytes: two buffers of 64 MiB, one that comes while another is still used.
const MOST: usize = 128 << 20;

/// Memory that waits to be used again.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    kept: Mutex<Vec<Vec<u64>>>,
}

/// Words, and where they go when they are dropped: nowhere when the shelf is gone.
#[derive(Debug)]
pub(super) struct Words {
    words: Vec<u64>,
    shelf: Weak<Shelf>,
}

fn bytes(words: &[u64]) -> usize {
    size_of_val(words)
}

impl Shelf {
    fn kept(&self) -> MutexGuard<'_, Vec<Vec<u64>>> {
        // Nothing panics while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Words that will come back.
    pub(super) fn lend(self: &Arc<Self>, words: Vec<u64>) -> Words {
        Words { words, shelf: Arc::downgrade(self) }
    }

    /// Memory for so many bytes, and for not many more. What it holds is old.
    pub(crate) fn take(&self, length: usize) -> Option<Vec<u64>> {
        let mut kept = self.kept();
        let fits = |words: &Vec<u64>| (length..=length.saturating_mul(2)).contains(&bytes(words));
        let place = kept.iter().position(fits)?;
        Some(kept.swap_remove(place))
    }

    /// Gives everything back to the system.
    pub(crate) fn clear(&self) {
        let kept = std::mem::take(&mut *self.kept());
        drop(kept);
    }

    fn put(&self, words: Vec<u64>) {
        if bytes(&words) < LEAST || bytes(&words) > MOST {
            return;
        }
        let mut kept = self.kept();
        kept.push(words);
        let mut total: usize = kept.iter().map(|words| bytes(words)).sum();
        // The oldest go: their lengths are those of longest ago.
        let mut gone = 0;
        while total > MOST {
            total -= kept.get(gone).map_or(total, |words| bytes(words));
            gone += 1;
        }
        let gone: Vec<_> = kept.drain(..gone).collect();
        drop(kept);
        drop(gone);
    }
}

impl Words {
    pub(super) fn as_slice(&self) -> &[u64] {
        &self.words
    }

    /// The words, which do not come back.
    pub(super) fn into_vec(mut self) -> Vec<u64> {
        std::mem::take(&mut self.words)
    }
}

impl From<Vec<u64>> for Words {
    fn from(words: Vec<u64>) -> Self {
        Self { words, shelf: Weak::new() }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if let Some(shelf) = self.shelf.upgrade() {
            shelf.put(std::mem::take(&mut self.words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(shelf: &Shelf) -> Vec<usize> {
        shelf.kept().iter().map(|words| bytes(words)).collect()
    }

    #[test]
    fn what_is_dropped_comes_back_and_is_used_for_what_is_about_as_long() {
        let shelf = Arc::new(Shelf::default());
        drop(shelf.lend(vec![7; LEAST / 8]));
        drop(shelf.lend(vec![7; 8]));
        assert_eq!(lengths(&shelf), [LEAST], "a short one is not worth keeping");
        assert!(shelf.take(LEAST + 1).is_none() && shelf.take(LEAST / 2 - 1).is_none());
        let again = shelf.take(LEAST - 5).unwrap();
        assert_eq!((bytes(&again), lengths(&shelf).len()), (LEAST, 0));
    }

    #[test]
    fn what_is_taken_over_stays_and_what_has_no_shelf_any_more_is_freed() {
        let shelf = Arc::new(Shelf::default());
        assert_eq!(shelf.lend(vec![1; LEAST]).into_vec().len(), LEAST);
        assert!(lengths(&shelf).is_empty());
        let words = shelf.lend(vec![1; LEAST]);
        drop(shelf);
        drop(words);
    }

    #[test]
    fn no_more_is_kept_than_the_bound_and_nothing_when_it_is_cleared() {
        let shelf = Arc::new(Shelf::default());
        for part in [4, 4, 3, 1, 2] {
            drop(shelf.lend(vec![0; MOST / 8 / part]));
        }
        drop(shelf.lend(vec![0; MOST / 8 + 1]));
        assert_eq!(lengths(&shelf), [MOST / 2], "what came before made room, one after another");
        shelf.clear();
        assert!(lengths(&shelf).is_empty());
    }
}
