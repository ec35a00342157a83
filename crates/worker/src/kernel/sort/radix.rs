//! Sorting by 64-bit keys, in place but for a MiB a thread, in time linear in the number of items.
//!
//! - [`shared`] parts a large slice, for as many threads as are idle when it begins;
//! - [`deal`] takes a part of it apart by its keys' leading bits, for whoever is idle later, too;
//! - [`leaf`] sorts what is left, from cache to cache, by the bits that follow.
//!
//! All passes run in blocks between which the task may be cancelled.

mod cells;
mod deal;
mod leaf;
mod shared;

pub(super) use leaf::sort_leaf;

use crate::cancel::Cancel;
use sgdt_proto::task::TaskError;

/// How much of a slice is sorted without asking whether to go on, in bytes: two such slices have room in a thread's part of
/// a third-level cache, and 10^8 numbers are that short once they are taken apart.
pub(super) const LEAF_BYTES: usize = 1 << 20;

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
    if in_one_direction(items, &key, cancel)? {
        return Ok(());
    }
    sort_with_leaves(items, &key, |items, scratch| sort_leaf(items, &key, scratch), scratch, cancel)
}

/// As [`sort`], for keys that are dear, and without a look whether there is anything to do: short slices are sorted by
/// `leaf`, with a scratch. By [`sort_leaf`], say, after changing the items into what has cheaper keys, and before changing
/// them back.
///
/// # Errors
/// `cancelled` or `timeout`; the items are then in any order.
pub(super) fn sort_with_leaves<T: Copy + Send>(
    items: &mut [T],
    key: impl Fn(&T) -> u64 + Sync,
    leaf: impl Fn(&mut [T], &mut Vec<T>) + Sync,
    scratch: &mut Vec<T>,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    shared::sort(items, &Order { key, leaf }, scratch, cancel)
}

/// Whether items are in order or in the opposite one. Then they are sorted, with no further ado.
///
/// # Errors
/// `cancelled` or `timeout`; the items are then in any order.
pub(super) fn in_one_direction<T>(
    items: &mut [T],
    key: impl Fn(&T) -> u64,
    cancel: &Cancel,
) -> Result<bool, TaskError> {
    if in_order(items, cancel, |a, b| key(a) <= key(b))? {
        return Ok(true);
    }
    let opposite = in_order(items, cancel, |a, b| key(a) >= key(b))?;
    if opposite {
        reverse(items, cancel)?;
    }
    Ok(opposite)
}

/// How items are sorted.
struct Order<K, L> {
    /// Which of two goes first.
    key: K,
    /// Sorts a short slice.
    leaf: L,
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
        // All within one of the million steps between the least and the greatest, so that insertion gives up.
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
