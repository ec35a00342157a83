//! Sorting the two sides of a list on two threads: those below a key near the middle, and all others.

use crate::cancel::Cancel;
use sgdt_proto::{kind::random, task::TaskError};

/// How many items are worth a thread more: one sorts them in some two milliseconds.
pub(super) const SHARED: usize = 1 << 18;

/// How many items are exchanged between two looks at the cancel handle.
const BLOCK: usize = 1 << 16;

/// How many keys are looked at to know where most of them are.
pub(super) const SAMPLE: usize = 511;

/// Some keys, from places that depend on the length alone.
pub(super) fn sample<T>(items: &[T], key: &impl Fn(&T) -> u64) -> [u64; SAMPLE] {
    let len = items.len() as u64;
    std::array::from_fn(|draw| key(&items[(random::word(len, draw as u64) % len) as usize]))
}

/// A key near the middle of all, by a sample: nearly always among the middle tenth.
pub(super) fn middle<T>(items: &[T], key: &impl Fn(&T) -> u64) -> u64 {
    let mut sample = sample(items, key);
    let middle = sample.len() / 2;
    *sample.select_nth_unstable(middle).1
}

/// Moves the low items before all others, and says how many there are, as `alone` does for what one thread parts.
pub(super) fn part<T: Send>(
    items: &mut [T],
    alone: &(impl Fn(&mut [T]) -> Result<usize, TaskError> + Sync),
    cancel: &Cancel,
) -> Result<usize, TaskError> {
    if items.len() <= SHARED || !cancel.has_help() {
        return alone(items);
    }
    let half = items.len() / 2;
    let (left, right) = items.split_at_mut(half);
    let (low_left, low_right) = cancel.join(|| part(left, alone, cancel), || part(right, alone, cancel));
    let (low_left, low_right) = (low_left?, low_right?);
    // The last of the right half's low items go where the left half's high ones begin.
    let count = low_right.min(half - low_left);
    let (high, low) = (&mut left[low_left..][..count], &mut right[low_right - count..low_right]);
    exchange(high, low, cancel)?;
    Ok(low_left + low_right)
}

/// Exchanges items with as many others, with the help of whoever is idle.
fn exchange<T: Send>(left: &mut [T], right: &mut [T], cancel: &Cancel) -> Result<(), TaskError> {
    if left.len() > SHARED / 4 && cancel.has_help() {
        let half = left.len() / 2;
        let ((left, left_rest), (right, right_rest)) = (left.split_at_mut(half), right.split_at_mut(half));
        let (done, rest) =
            cancel.join(|| exchange(left, right, cancel), || exchange(left_rest, right_rest, cancel));
        return done.and(rest);
    }
    for (left, right) in left.chunks_mut(BLOCK).zip(right.chunks_mut(BLOCK)) {
        cancel.check()?;
        left.swap_with_slice(right);
    }
    Ok(())
}

/// Whether neither side of so many items, of which so many are low, is much the shorter.
pub(super) fn are_even(len: usize, low: usize) -> bool {
    low.min(len - low) >= len / 8
}

/// Does something with both sides at the same time. Another thread does the shorter, so that it may then help with the
/// longer.
pub(super) fn both<T: Send>(
    items: &mut [T],
    low: usize,
    longer: impl FnOnce(&mut [T]) -> Result<(), TaskError>,
    shorter: impl FnOnce(&mut [T]) -> Result<(), TaskError> + Send,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    let (left, right) = items.split_at_mut(low);
    let (long, short) = if left.len() < right.len() { (right, left) } else { (left, right) };
    let (long, short) = cancel.join(|| longer(long), || shorter(short));
    long.and(short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use std::thread;

    #[test]
    fn another_thread_does_the_shorter_side() {
        let cancel = Cancel::new().helped_by(&Cores::new(1));
        let here = thread::current().id();
        for low in [10, 90] {
            let longer = |items: &mut [u8]| {
                assert!(items.len() == 90 && thread::current().id() == here);
                Ok(())
            };
            let shorter = |items: &mut [u8]| {
                assert!(items.len() == 10 && thread::current().id() != here);
                Ok(())
            };
            both(&mut [0; 100], low, longer, shorter, &cancel).unwrap();
        }
    }
}
