//! Sorting by 64-bit keys, in place but for a quarter of a MiB, in time linear in the number of items.
//!
//! A large slice is first dealt into some hundred buckets by the leading bits in which its keys differ at all, by
//! swapping each item to its bucket's next place (American flag sort: McIlroy, Bostic and McIlroy, "Engineering
//! radix sort", Computing Systems 1993; in the order of swaps of Skarupke's ska sort, which lets them overlap).
//! A bucket that fits in the second-level cache is sorted on 16 of its bits by two counting passes from the
//! lower byte up, and then by insertion, for which there is next to nothing left to do where keys are spread
//! evenly, and which leaves the bucket to the standard library's sort where they are not.
//!
//! Each deal takes off at least [`MIN_BITS`] bits, so no order or distribution of keys can make it slow. All
//! passes run in blocks between which the task may be cancelled. `shared` does all of it on several threads.

mod shared;

use crate::cancel::Cancel;
use sgdt_proto::task::TaskError;

/// How much of a slice is sorted without asking whether to go on, in bytes: what two such slices take leaves
/// room in a second-level cache of 1 MiB.
const LEAF_BYTES: usize = 1 << 18;

/// Shorter slices are left to the standard library.
const SMALL: usize = 256;

/// A deal makes at most two to the power of this many buckets: more run out of cache lines and page entries.
const MAX_BITS: u32 = 9;

/// A deal makes at least two to the power of this many buckets, unless keys differ in fewer bits.
const MIN_BITS: u32 = 4;

/// How many items a pass handles between two looks at the cancel handle.
const BLOCK: usize = 1 << 16;

/// Sorts `items` by `key`, which gives the same for an item every time. The order of items with equal keys is
/// not specified.
///
/// # Errors
/// `cancelled` or `timeout`; the items are then in any order.
pub(super) fn sort<T: Copy + Send>(
    items: &mut [T],
    key: impl Fn(&T) -> u64 + Sync,
    scratch: &mut Vec<T>,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    if in_order(items, cancel, |a, b| key(a) <= key(b))? {
        return Ok(());
    }
    if in_order(items, cancel, |a, b| key(a) >= key(b))? {
        return reverse(items, cancel);
    }
    shared::sort(items, &key, scratch, cancel)
}

fn in_order<T>(items: &[T], cancel: &Cancel, ordered: impl Fn(&T, &T) -> bool) -> Result<bool, TaskError> {
    let mut start = 0;
    // Blocks share an item, so that the step from one to the next is looked at, too.
    while let Some(rest) = items.get(start..).filter(|rest| rest.len() > 1) {
        cancel.check()?;
        if !rest[..rest.len().min(BLOCK + 1)].is_sorted_by(&ordered) {
            return Ok(false);
        }
        start += BLOCK;
    }
    Ok(true)
}

fn reverse<T>(items: &mut [T], cancel: &Cancel) -> Result<(), TaskError> {
    let (front, back) = items.split_at_mut(items.len() / 2);
    for (front, back) in front.chunks_mut(BLOCK).zip(back.rchunks_mut(BLOCK)) {
        cancel.check()?;
        for (a, b) in front.iter_mut().zip(back.iter_mut().rev()) {
            std::mem::swap(a, b);
        }
    }
    Ok(())
}

/// Sorts a slice of any length.
fn deal<T: Copy>(
    items: &mut [T],
    key: &impl Fn(&T) -> u64,
    scratch: &mut Vec<T>,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    cancel.check()?;
    if size_of_val(items) <= LEAF_BYTES {
        sort_leaf(items, key, scratch);
        return Ok(());
    }
    let mut span = Span::EMPTY;
    for block in items.chunks(BLOCK) {
        cancel.check()?;
        span = span.with(block, key);
    }
    let leaves = size_of_val(items) / LEAF_BYTES;
    // Twice the leaves that there are at least, so that most buckets are leaves.
    let bits = (leaves.ilog2() + 2).clamp(MIN_BITS, MAX_BITS).min(span.bits());
    let shift = span.bits() - bits;
    let bucket = |item: &T| ((key(item) - span.low) >> shift) as usize;

    let mut ends = vec![0; 1 << bits];
    for block in items.chunks(BLOCK) {
        cancel.check()?;
        for item in block {
            ends[bucket(item)] += 1;
        }
    }
    let mut next = vec![0; ends.len()];
    let mut total = 0;
    for (next, end) in next.iter_mut().zip(&mut ends) {
        *next = total;
        total += *end;
        *end = total;
    }
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
                    let home = &mut next[bucket(&items[place])];
                    items.swap(place, *home);
                    *home += 1;
                }
            }
        }
    }
    if shift > 0 {
        let mut start = 0;
        for end in ends {
            deal(&mut items[start..end], key, scratch, cancel)?;
            start = end;
        }
    }
    Ok(())
}

/// Sorts a slice that fits in the cache, with a scratch of the same size.
fn sort_leaf<T: Copy>(items: &mut [T], key: &impl Fn(&T) -> u64, scratch: &mut Vec<T>) {
    let Some(&first) = items.first().filter(|_| items.len() > SMALL) else {
        return items.sort_unstable_by_key(key);
    };
    if scratch.len() < items.len() {
        scratch.resize(items.len(), first);
    }
    let scratch = &mut scratch[..items.len()];
    let span = Span::EMPTY.with(items, key);
    let shift = span.bits().saturating_sub(16);
    let digits = |item: &T| (((key(item) - span.low) >> shift) as u16).to_le_bytes().map(usize::from);

    let (mut low, mut high) = ([0; 256], [0; 256]);
    for item in &*items {
        let [l, h] = digits(item);
        low[l] += 1;
        high[h] += 1;
    }
    make_starts(&mut low);
    make_starts(&mut high);
    for item in &*items {
        let next = &mut low[digits(item)[0]];
        scratch[*next] = *item;
        *next += 1;
    }
    for item in &*scratch {
        let next = &mut high[digits(item)[1]];
        items[*next] = *item;
        *next += 1;
    }
    if shift > 0 {
        insert(items, key);
    }
}

/// Turns counts into the places where what was counted starts.
fn make_starts(counts: &mut [usize; 256]) {
    let mut total = 0;
    for count in counts {
        total += std::mem::replace(count, total);
    }
}

/// Insertion sort, for items that are nearly in order; those that are not go to the standard library.
fn insert<T: Copy>(items: &mut [T], key: &impl Fn(&T) -> u64) {
    let mut moves_left = 4 * items.len();
    for place in 1..items.len() {
        let item = items[place];
        let own = key(&item);
        let mut to = place;
        while to > 0 && key(&items[to - 1]) > own {
            items[to] = items[to - 1];
            to -= 1;
        }
        items[to] = item;
        match moves_left.checked_sub(place - to) {
            Some(left) => moves_left = left,
            None => return items.sort_unstable_by_key(key),
        }
    }
}

/// The least and the greatest key.
#[derive(Clone, Copy)]
struct Span {
    low: u64,
    high: u64,
}

impl Span {
    const EMPTY: Self = Self { low: u64::MAX, high: 0 };

    fn with<T>(self, items: &[T], key: &impl Fn(&T) -> u64) -> Self {
        items
            .iter()
            .map(key)
            .fold(self, |Self { low, high }, key| Self { low: low.min(key), high: high.max(key) })
    }

    /// In how many of the lowest bits keys less `low` can differ.
    fn bits(self) -> u32 {
        u64::BITS - self.high.saturating_sub(self.low).leading_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sgdt_proto::{kind::random, task::ErrorCode};
    use std::time::Duration;

    fn sorted(mut items: Vec<u64>) -> Vec<u64> {
        sort(&mut items, |&item| item, &mut Vec::new(), &Cancel::new()).unwrap();
        items
    }

    #[track_caller]
    fn check(name: &str, items: Vec<u64>) {
        let mut expected = items.clone();
        expected.sort_unstable();
        assert!(sorted(items) == expected, "{name}");
    }

    proptest! {
        #[test]
        fn short_lists_are_sorted(items: Vec<u64>) {
            let mut expected = items.clone();
            expected.sort_unstable();
            prop_assert_eq!(sorted(items), expected);
        }

        #[test]
        fn lists_of_every_length_and_spread_are_sorted(
            len in 0usize..3000, seed: u64, mask in any::<u64>(), shift in 0u32..64,
        ) {
            check("masked", (0..len as u64).map(|i| (random::word(seed, i) & mask) >> shift).collect());
        }
    }

    #[test]
    fn long_lists_are_sorted_however_their_keys_are_spread() {
        // Several deals' worth.
        let len = 5 * (LEAF_BYTES / 8) as u64 + 77;
        let word = |i| random::word(9, i);
        check("even", (0..len).map(word).collect());
        check("rising", (0..len).map(|i| i << 30).collect());
        check("falling", (0..len).rev().collect());
        check("rising but for the last", (0..len).map(|i| if i + 1 == len { 0 } else { i }).collect());
        check("falling across blocks", (0..len).map(|i| u64::from(i <= BLOCK as u64)).collect());
        check("equal", vec![7; len as usize]);
        check("two values", (0..len).map(|i| word(i) % 2 * u64::MAX).collect());
        check("few values", (0..len).map(|i| word(i) % 10).collect());
        check("powers", (0..len).map(|i| 1 << (word(i) % 64)).collect());
        check("halving", (0..len).map(|i| word(i) >> (word(i + len) % 64)).collect());
        check("one far away", (0..len).map(|i| if i == 5 { u64::MAX } else { word(i) >> 40 }).collect());
        check("organ pipe", (0..len).map(|i| i.min(len - i)).collect());
    }

    #[test]
    fn clusters_within_a_leaf_go_to_the_standard_library() {
        // All within one of the 65,536 steps between the least and the greatest, so that insertion gives up.
        let len = (LEAF_BYTES / 8) as u64;
        check(
            "clustered",
            (0..len).map(|i| if i == 3 { u64::MAX } else { random::word(1, i) >> 20 }).collect(),
        );
    }

    #[test]
    fn items_move_with_their_keys() {
        let mut pairs: Vec<(u64, u64)> = (0..40_000).map(|i| (random::word(2, i) % 5000, i)).collect();
        sort(&mut pairs, |&(key, _)| key, &mut Vec::new(), &Cancel::new()).unwrap();
        assert!(pairs.is_sorted_by_key(|&(key, _)| key));
        assert!(pairs.iter().all(|&(key, i)| key == random::word(2, i) % 5000));
        pairs.sort_unstable_by_key(|&(_, i)| i);
        assert!(pairs.iter().map(|&(_, i)| i).eq(0..40_000), "each is still there");
    }

    #[test]
    fn sorting_stops_when_the_time_is_up() {
        let mut items: Vec<u64> = (0..2_000_000).map(|i| random::word(3, i)).collect();
        let cancel = Cancel::new().started(Some(Duration::from_millis(1)));
        let result = sort(&mut items, |&item| item, &mut Vec::new(), &cancel);
        assert_eq!(result.unwrap_err().code, ErrorCode::Timeout);
    }
}
