//! Taking a large slice apart by its keys, so that what is left to sort fits in a cache.
//!
//! Keys are first counted by [`Cells`], some four thousand equal parts of the range that most of them are in.
//! Neighbouring cells with few keys make one bucket, so that buckets are about equally large however the keys are spread.
//! Each item is then swapped to its bucket's next place (American flag sort: McIlroy, Bostic and McIlroy, "Engineering radix
//! sort", Computing Systems 1993; in the order of swaps of Skarupke's ska sort, which lets them overlap).
//!
//! The buckets are then sorted one after the other, and half of those that are left by another thread whenever one is idle:
//! parts of a list take longer than others where their keys are spread less evenly.
//!
//! Each deal leaves at most half of the items in one cell, or takes off the leading bits in which keys differ, so no
//! order or distribution of keys can make it slow.

use super::{
    super::halves::SHARED,
    BLOCK, LEAF_BYTES, Order,
    cells::{Cells, Span},
};
use crate::{cancel::Cancel, kernel::fetch::fetch};
use sgdt_proto::task::TaskError;

/// Large slices make about this many buckets: more run out of page entries.
const BUCKETS: usize = 800;

/// Smaller buckets are sorted no faster: twice as much has room in a second-level cache of 512 KiB.
const BUCKET_BYTES: usize = 3 << 16;

/// How many items ahead of the next place those of a bucket are fetched: numbers of three cache lines.
const AHEAD: usize = 24;

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
    let most = (items.len() / BUCKETS).max(BUCKET_BYTES / size_of::<T>());
    let (of_cell, buckets) = buckets(&counts, most, cells);
    let end = |before: &mut usize, bucket: &Bucket| {
        *before += bucket.len;
        Some(*before)
    };
    let ends: Vec<usize> = buckets.iter().scan(0, end).collect();
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
                    // What the bucket's next swaps will need: there are too many buckets for a processor to foresee it.
                    if let Some(ahead) = items.get(*home + AHEAD) {
                        fetch(ahead);
                    }
                }
            }
        }
    }
    each(items, &buckets, order, scratch, cancel)
}

/// Items that go together: their keys are between those of others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

/// Which bucket the items of each cell go to, and the buckets: of as many neighbouring cells as have at most so many items
/// together, or of one that has more. There are fewer of them than cells.
fn buckets(counts: &[usize; Cells::COUNT], most: usize, cells: Cells) -> ([u16; Cells::COUNT], Vec<Bucket>) {
    let (mut of_cell, mut buckets) = ([0; Cells::COUNT], Vec::<Bucket>::new());
    for ((cell, &count), own) in
        counts.iter().enumerate().zip(&mut of_cell).filter(|((_, count), _)| **count > 0)
    {
        match buckets.last_mut() {
            Some(last) if last.len + count <= most => *last = Bucket { len: last.len + count, done: false },
            _ => buckets.push(Bucket { len: count, done: cells.is_single(cell) }),
        }
        *own = (buckets.len() - 1) as u16;
    }
    (of_cell, buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_neighbours_go_together_and_large_cells_by_themselves() {
        let mut counts = [0; Cells::COUNT];
        counts[3..10].copy_from_slice(&[2, 3, 0, 6, 90, 5, 5]);
        let cells = Cells::of(Span { low: 0, high: u64::MAX });
        let (of_cell, buckets) = buckets(&counts, 10, cells);
        assert_eq!(buckets, [5, 6, 90, 10].map(|len| Bucket { len, done: false }));
        assert_eq!(of_cell[3..10], [0, 0, 0, 1, 2, 3, 3]);
    }

    #[test]
    fn a_bucket_of_equal_keys_is_done() {
        let mut counts = [0; Cells::COUNT];
        counts[..4].copy_from_slice(&[7, 8, 0, 1]);
        let cells = Cells::of(Span { low: 5, high: 8 });
        let (_, buckets) = buckets(&counts, 10, cells);
        assert_eq!(buckets, [Bucket { len: 7, done: true }, Bucket { len: 9, done: false }]);
    }
}
