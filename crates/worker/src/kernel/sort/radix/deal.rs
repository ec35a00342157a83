//! Taking a large slice apart by its keys, so that what is left to sort fits in a cache.
//!
//! Keys are first counted by [`Cells`], some two thousand equal parts of the range that most of them are in.
//! Neighbouring cells with few keys make one bucket, so that buckets are about as large as a leaf however the keys are
//! spread. Each item is then swapped to its bucket's next place (American flag sort: McIlroy, Bostic and McIlroy,
//! "Engineering radix sort", Computing Systems 1993; in the order of swaps of Skarupke's ska sort, which lets them
//! overlap).
//!
//! The buckets are then sorted one after the other, by two threads as soon as another is idle: parts of a list take
//! longer than others where their keys are spread less evenly.
//!
//! Each deal leaves at most half of the items in one cell, or takes off the leading bits in which keys differ, so no
//! order or distribution of keys can make it slow.

use super::{
    BLOCK, LEAF_BYTES, Order,
    cells::{Cells, Span},
    shared::SHARED,
};
use crate::cancel::Cancel;
use sgdt_proto::task::TaskError;
use std::iter;

/// Large slices make about this many buckets: more run out of cache lines and page entries.
const BUCKETS: usize = 400;

/// Sorts a slice of any length.
pub(super) fn deal<T: Copy + Send>(
    items: &mut [T],
    order: &Order<impl Fn(&T) -> u64 + Sync, impl Fn(&mut [T], &mut Vec<T>) + Sync>,
    scratch: &mut Vec<T>,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    cancel.check()?;
    if size_of_val(items) <= LEAF_BYTES {
        (order.leaf)(items, scratch);
        return Ok(());
    }
    let key = &order.key;
    let mut cells = Cells::of_most(items, key);
    let mut counts = count(items, key, cells, cancel)?;
    if counts.iter().any(|&count| count > items.len() / 2) {
        let mut span = Span::EMPTY;
        for block in items.chunks(BLOCK) {
            cancel.check()?;
            span = span.with(block, key);
        }
        cells = Cells::of(span);
        counts = count(items, key, cells, cancel)?;
    }
    let most = (items.len() / BUCKETS).max(LEAF_BYTES / size_of::<T>() / 4 * 3);
    let Buckets { of_cell, ends, done } = Buckets::of(&counts, most, cells);
    let mut next = ends.clone();
    next.rotate_right(1);
    next[0] = 0;
    // Every step puts one item where it belongs; rounds go on while any bucket has a stranger.
    let mut dealt = false;
    while !dealt {
        dealt = true;
        for own in 0..ends.len() {
            let (from, to) = (next[own], ends[own]);
            dealt &= from == to;
            for start in (from..to).step_by(BLOCK) {
                cancel.check()?;
                for place in start..to.min(start + BLOCK) {
                    let bucket = of_cell[cells.cell(key(&items[place]))];
                    let home = &mut next[usize::from(bucket)];
                    items.swap(place, *home);
                    *home += 1;
                }
            }
        }
    }
    let starts = iter::once(0).chain(ends.iter().copied());
    let buckets = starts.zip(&ends).zip(done).map(|((start, end), done)| Bucket { len: end - start, done });
    each(items, &buckets.collect::<Vec<_>>(), order, scratch, cancel)
}

/// Items whose keys are between those of others.
struct Bucket {
    len: usize,
    /// Whether all its keys are equal.
    done: bool,
}

/// Sorts buckets that lie one after the other.
fn each<T: Copy + Send>(
    mut items: &mut [T],
    mut buckets: &[Bucket],
    order: &Order<impl Fn(&T) -> u64 + Sync, impl Fn(&mut [T], &mut Vec<T>) + Sync>,
    scratch: &mut Vec<T>,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    while let Some((Bucket { len, done }, others)) = buckets.split_first() {
        if items.len() > SHARED && !others.is_empty() && cancel.has_help() {
            let (mut count, mut middle) = (1, *len);
            while middle < items.len() / 2 && count + 1 < buckets.len() {
                middle += buckets[count].len;
                count += 1;
            }
            let ((left, right), (front, back)) = (items.split_at_mut(middle), buckets.split_at(count));
            let (left, right) = cancel.join(
                || each(left, front, order, scratch, cancel),
                || each(right, back, order, &mut Vec::new(), cancel),
            );
            return left.and(right);
        }
        let (own, rest) = items.split_at_mut(*len);
        if !done {
            deal(own, order, scratch, cancel)?;
        }
        (items, buckets) = (rest, others);
    }
    Ok(())
}

/// How many items each cell has.
fn count<T>(
    items: &[T],
    key: &impl Fn(&T) -> u64,
    cells: Cells,
    cancel: &Cancel,
) -> Result<[usize; Cells::COUNT], TaskError> {
    let mut counts = [0; Cells::COUNT];
    for block in items.chunks(BLOCK) {
        cancel.check()?;
        for item in block {
            counts[cells.cell(key(item))] += 1;
        }
    }
    Ok(counts)
}

/// Which items go together.
struct Buckets {
    /// Which bucket the items of a cell go to. There are fewer buckets than cells.
    of_cell: [u16; Cells::COUNT],
    /// Where each bucket ends, in items.
    ends: Vec<usize>,
    /// Whether all keys of a bucket are equal.
    done: Vec<bool>,
}

impl Buckets {
    /// Of as many neighbouring cells as have at most so many items together, or of one that has more.
    fn of(counts: &[usize], most: usize, cells: Cells) -> Self {
        let mut buckets = Self { of_cell: [0; Cells::COUNT], ends: Vec::new(), done: Vec::new() };
        let (mut end, mut has) = (0, 0);
        for (cell, &count) in counts.iter().enumerate() {
            if count > 0 && (has == 0 || has + count > most) {
                buckets.ends.push(end);
                buckets.done.push(cells.is_single(cell));
                has = 0;
            } else if count > 0
                && let Some(done) = buckets.done.last_mut()
            {
                *done = false;
            }
            (end, has) = (end + count, has + count);
            if let (Some(last), Some(bucket)) = (buckets.ends.last_mut(), buckets.of_cell.get_mut(cell)) {
                *last = end;
                *bucket = (buckets.done.len() - 1) as u16;
            }
        }
        buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_neighbours_go_together_and_large_cells_by_themselves() {
        let mut counts = [0; Cells::COUNT];
        counts[3..10].copy_from_slice(&[2, 3, 0, 6, 90, 5, 5]);
        let cells = Cells::of(Span { low: 0, high: u64::MAX });
        let Buckets { of_cell, ends, done } = Buckets::of(&counts, 10, cells);
        assert_eq!(ends, [5, 11, 101, 111]);
        assert_eq!(of_cell[3..10], [0, 0, 0, 1, 2, 3, 3]);
        assert_eq!(done, [false; 4]);
    }

    #[test]
    fn a_bucket_of_equal_keys_is_done() {
        let mut counts = [0; Cells::COUNT];
        counts[..4].copy_from_slice(&[7, 8, 0, 1]);
        let cells = Cells::of(Span { low: 5, high: 8 });
        let Buckets { ends, done, .. } = Buckets::of(&counts, 10, cells);
        assert_eq!((ends, done), (vec![7, 16], vec![true, false]));
    }
}
