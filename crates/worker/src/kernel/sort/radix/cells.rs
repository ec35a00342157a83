//! Which range keys are in, and equal parts of it.

use super::super::halves::{SAMPLE, sample};
use pulp::Arch;

/// How many keys of a sample, at either end, are taken for strays.
const STRAYS: usize = SAMPLE / 100;

/// Equal parts of a range of keys: as large as a power of two. Keys below it count for the first, and those above it
/// for the last.
#[derive(Clone, Copy)]
pub(super) struct Cells {
    low: u64,
    shift: u32,
    last: usize,
    /// Whether there are no keys below and above.
    exact: bool,
}

impl Cells {
    /// There are at most this many: as many counts as a first-level cache of 32 KiB holds. With fewer, those of doubles,
    /// half of which may be in one of many powers of two, are too large.
    pub(super) const COUNT: usize = 1 << 12;

    /// Of a range that most keys are in, by a sample: a few that are far away do not make all others fall into one cell.
    pub(super) fn of_most<T>(items: &[T], key: &impl Fn(&T) -> u64) -> Self {
        let mut sample = sample(items, key);
        sample.sort_unstable();
        let span = Span { low: sample[STRAYS], high: sample[SAMPLE - 1 - STRAYS] };
        Self { exact: false, ..Self::of(span) }
    }

    /// Of the range that all keys are in.
    pub(super) fn of(span: Span) -> Self {
        let shift = span.bits().saturating_sub(Self::COUNT.ilog2());
        Self { low: span.low, shift, last: ((span.high - span.low) >> shift) as usize, exact: true }
    }

    #[inline(always)]
    pub(super) fn cell(self, key: u64) -> usize {
        ((key.saturating_sub(self.low) >> self.shift) as usize).min(self.last)
    }

    /// Whether all keys of a cell are equal.
    pub(super) fn is_single(self, cell: usize) -> bool {
        self.shift == 0 && (self.exact || (cell > 0 && cell < self.last))
    }
}

/// The least and the greatest key.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) low: u64,
    pub(super) high: u64,
}

impl Span {
    pub(super) const EMPTY: Self = Self { low: u64::MAX, high: 0 };

    pub(super) fn with<T>(self, items: &[T], key: &impl Fn(&T) -> u64) -> Self {
        // With the widest vectors that there are: one after the other, they would take as long as a counting pass.
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let Self { mut low, mut high } = self;
                for item in items {
                    let key = key(item);
                    (low, high) = (low.min(key), high.max(key));
                }
                Self { low, high }
            },
        )
    }

    /// In how many of the lowest bits keys less `low` can differ.
    pub(super) fn bits(self) -> u32 {
        u64::BITS - self.high.saturating_sub(self.low).leading_zeros()
    }
}
