//! Sorting a slice that fits in a cache: on the leading bits of its keys by two counting passes, the lower digit first, and
//! then by insertion, for which there is next to nothing left to do where keys are spread evenly, and which leaves the slice
//! to the standard library's sort where they are not.

use super::cells::Span;

/// Shorter slices are left to the standard library.
const SMALL: usize = 256;

/// Longer ones are sorted on more bits: insertion mispredicts a branch for each item that it moves, and finds more of them.
const LONG: usize = 1 << 16;

/// Sorts a slice that fits in the cache, with a scratch of the same size.
pub(in super::super) fn sort_leaf<T: Copy>(items: &mut [T], key: &impl Fn(&T) -> u64, scratch: &mut Vec<T>) {
    let Some(&first) = items.first().filter(|_| items.len() > SMALL) else {
        return items.sort_unstable_by_key(key);
    };
    if scratch.len() < items.len() {
        scratch.reserve_exact(items.len() - scratch.len());
        scratch.resize(items.len(), first);
    }
    let scratch = &mut scratch[..items.len()];
    if items.len() > LONG {
        by_digits::<T, 1024>(items, key, scratch);
    } else {
        // As many places to write to as a first-level cache of 32 KiB has lines.
        by_digits::<T, 512>(items, key, scratch);
    }
}

/// Sorts on two digits that have so many values, and then all the rest.
fn by_digits<T: Copy, const DIGITS: usize>(items: &mut [T], key: &impl Fn(&T) -> u64, scratch: &mut [T]) {
    let digit_bits = DIGITS.ilog2();
    let span = Span::EMPTY.with(items, key);
    let shift = span.bits().saturating_sub(2 * digit_bits);
    let digit = |item: &T, shift: u32| ((key(item) - span.low) >> shift) as usize % DIGITS;

    let (mut low, mut high) = ([0; DIGITS], [0; DIGITS]);
    for item in &*items {
        low[digit(item, shift)] += 1;
        high[digit(item, shift + digit_bits)] += 1;
    }
    make_starts(&mut low);
    make_starts(&mut high);
    for item in &*items {
        let next = &mut low[digit(item, shift)];
        scratch[*next as usize] = *item;
        *next += 1;
    }
    for item in &*scratch {
        let next = &mut high[digit(item, shift + digit_bits)];
        items[*next as usize] = *item;
        *next += 1;
    }
    if shift > 0 {
        insert(items, key);
    }
}

/// Turns counts into the places where what was counted starts. Leaves are so short that 32 bits hold a place: tables of
/// places take half the cache then.
fn make_starts(counts: &mut [u32]) {
    let mut total = 0;
    for count in counts {
        total += std::mem::replace(count, total);
    }
}

/// Insertion sort, for items that are nearly in order; those that are not go to the standard library.
fn insert<T: Copy>(items: &mut [T], key: &impl Fn(&T) -> u64) {
    let mut moves_left = 4 * items.len();
    let mut greatest = 0;
    for place in 0..items.len() {
        let item = items[place];
        let own = key(&item);
        if own >= greatest {
            greatest = own;
            continue;
        }
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
