//! Sorting numbers by 64-bit keys with the vectors of AVX-512, in place: quicksort, which parts eight keys with one
//! permutation, down to what a sorting network has room for.
//!
//! Both are those of Bramas, "A novel hybrid quicksort algorithm vectorized using AVX-512 on Intel Skylake", IJACSA 8,
//! 2017; that the network sorts columns, which are then merged, and that keys are parted in place by groups, is from Blacher,
//! Giesen, Sanders and Wassenberg, "Vectorized and performance-portable quicksort", Software: Practice and Experience 52,
//! 2022.

mod network;

use super::{numbers::Each, radix};
use crate::{cancel::Cancel, kernel::fetch::fetch};
use pulp::{NullaryFnOnce, bytemuck::cast, u64x8, x86::V4};
use sgdt_proto::task::TaskError;
use std::array;

/// How many keys a vector has.
const LANES: usize = 8;

/// How many keys are parted between two looks at which end of the slice has less room.
const GROUP: usize = 8 * LANES;

const _: () = assert!(network::KEYS >= 2 * GROUP, "what is parted has a group at either end");

/// How many keys ahead of those that are read others are fetched: a processor does not foresee from which end.
const AHEAD: usize = 8 * GROUP;

/// How many keys are parted between two looks at the cancel handle. As many are sorted without one, in a third of a
/// millisecond.
const BLOCK: usize = 1 << 16;

/// Sorts numbers by keys, which are in place of them meanwhile. `undo` makes numbers of keys.
///
/// # Errors
/// `cancelled` or `timeout`; there may then be any numbers.
pub(super) fn sort(
    simd: V4,
    words: &mut [u64],
    key: &(impl Fn(u64) -> u64 + Sync),
    undo: &(impl Fn(u64) -> u64 + Sync),
    cancel: &Cancel,
) -> Result<(), TaskError> {
    // Twice as often as where each part is half of what was parted.
    let times = 2 * words.len().max(1).ilog2();
    if words.len() <= radix::SHARED {
        simd.vectorize(Each { words, to: key });
        return quick(simd, words, undo, times, cancel);
    }
    // What does not fit in a cache becomes keys on its way.
    let pivot = radix::middle(words, &|&word| key(word));
    let low = part(simd, words, pivot, key, cancel)?;
    let (left, right) = words.split_at_mut(low);
    let (left, right) =
        cancel.join(|| quick(simd, left, undo, times, cancel), || quick(simd, right, undo, times, cancel));
    left.and(right)
}

/// Sorts keys, and makes numbers of them. Parts them so many times at most, one within the other; what is left then is
/// sorted without vectors.
fn quick(
    simd: V4,
    mut keys: &mut [u64],
    undo: &(impl Fn(u64) -> u64 + Sync),
    mut times: u32,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    while keys.len() > network::KEYS {
        let Some(fewer) = times.checked_sub(1) else {
            radix::sort(keys, |&key| key, &mut Vec::new(), cancel)?;
            return numbers(simd, keys, undo, cancel);
        };
        times = fewer;
        let pivot = if keys.len() > BLOCK { radix::middle(keys, &|&key| key) } else { middle(keys) };
        let low = part(simd, keys, pivot, &|key| key, cancel)?;
        if low == 0 {
            let Some(above) = pivot.checked_add(1) else {
                return numbers(simd, keys, undo, cancel);
            };
            // None is less, and all that are equal are now where they belong.
            let equal = part(simd, keys, above, &|key| key, cancel)?;
            let (equal, rest) = keys.split_at_mut(equal);
            numbers(simd, equal, undo, cancel)?;
            keys = rest;
            continue;
        }
        let (left, right) = keys.split_at_mut(low);
        if left.len() > radix::SHARED && cancel.has_help() {
            let (left, right) = cancel
                .join(|| quick(simd, left, undo, times, cancel), || quick(simd, right, undo, times, cancel));
            return left.and(right);
        }
        quick(simd, left, undo, times, cancel)?;
        keys = right;
    }
    network::sort(simd, keys, undo);
    Ok(())
}

/// Makes numbers of keys.
fn numbers(simd: V4, keys: &mut [u64], undo: &impl Fn(u64) -> u64, cancel: &Cancel) -> Result<(), TaskError> {
    for words in keys.chunks_mut(BLOCK) {
        cancel.check()?;
        simd.vectorize(Each { words, to: undo });
    }
    Ok(())
}

/// Makes keys of words, moves those below the pivot before all others, and says how many there are: with the help of whoever
/// is idle.
fn part(
    simd: V4,
    words: &mut [u64],
    pivot: u64,
    key: &(impl Fn(u64) -> u64 + Sync),
    cancel: &Cancel,
) -> Result<usize, TaskError> {
    let alone = |words: &mut [u64]| simd.vectorize(Part { simd, words, pivot, key, cancel });
    radix::part(words, &alone, cancel)
}

/// A key near the middle, by a sample: a median of medians.
fn middle(keys: &[u64]) -> u64 {
    let parts: [u64; 9] = array::from_fn(|part| {
        let from = part * (keys.len() / 9);
        median(keys[from], keys[from + 3], keys[from + 7])
    });
    median(
        median(parts[0], parts[1], parts[2]),
        median(parts[3], parts[4], parts[5]),
        median(parts[6], parts[7], parts[8]),
    )
}

fn median(a: u64, b: u64, c: u64) -> u64 {
    a.min(b).max(a.max(b).min(c))
}

/// What one thread parts. There are at least two groups of words.
struct Part<'w, K> {
    simd: V4,
    words: &'w mut [u64],
    pivot: u64,
    key: &'w K,
    cancel: &'w Cancel,
}

impl<K: Fn(u64) -> u64> NullaryFnOnce for Part<'_, K> {
    type Output = Result<usize, TaskError>;

    #[inline(always)]
    fn call(self) -> Result<usize, TaskError> {
        let Self { simd, words, pivot, key, cancel } = self;
        let len = words.len();
        // A group at either end, and what is more than whole groups, are put aside: so either end has room for a group once
        // the next is read, which is from that with less.
        let aside = 2 * GROUP + len % GROUP;
        let mut others = [0; 3 * GROUP];
        others[..GROUP].copy_from_slice(&words[..GROUP]);
        others[GROUP..aside].copy_from_slice(&words[len + GROUP - aside..]);
        let (mut unread, mut end) = (GROUP, len + GROUP - aside);
        let mut ends = Ends { low: 0, high: len };
        let pivots = simd.splat_u64x8(pivot);
        while unread < end {
            if (end - unread) % BLOCK == 0 {
                cancel.check()?;
            }
            let (from, next) = if unread - ends.low <= ends.high - end {
                unread += GROUP;
                (unread - GROUP, unread - GROUP + AHEAD)
            } else {
                end -= GROUP;
                (end, end.wrapping_sub(AHEAD))
            };
            if let Some(next) = words.get(next..).and_then(|next| next.first_chunk::<GROUP>()) {
                for line in 0..GROUP / LANES {
                    fetch(&next[line * LANES]);
                }
            }
            let Some(group) = words[from..].first_chunk::<GROUP>() else { break };
            let group: [u64x8; GROUP / LANES] = cast(group.map(key));
            debug_assert!(
                unread - ends.low >= GROUP && ends.high - end >= GROUP,
                "keys are written over others"
            );
            for vector in group {
                ends.put(simd, words, vector, pivots);
            }
        }
        let (vectors, rest) = others[..aside].as_chunks::<LANES>();
        for &word in rest {
            ends.put_one(words, key(word), pivot);
        }
        for &vector in vectors {
            ends.put(simd, words, cast(vector.map(key)), pivots);
        }
        Ok(ends.low)
    }
}

/// Between what has been moved to either end.
struct Ends {
    low: usize,
    high: usize,
}

impl Ends {
    /// Writes the keys of a vector, lower ones at the one end and the others at the other. There is room for a vector at
    /// either, or for no more than one at both.
    #[inline(always)]
    fn put(&mut self, simd: V4, keys: &mut [u64], vector: u64x8, pivots: u64x8) {
        debug_assert!(self.high - self.low >= LANES, "keys are written over others");
        let below = simd.cmp_lt_u64x8(vector, pivots).0;
        let order = simd.avx512f._mm512_cvtepu8_epi64(cast([LOW_FIRST[usize::from(below)], 0]));
        let parted: [u64; LANES] = cast(simd.avx512f._mm512_permutexvar_epi64(order, cast(vector)));
        let low = below.count_ones() as usize;
        if let Some(room) = keys[self.low..].first_chunk_mut() {
            *room = parted;
        }
        if let Some(room) = keys[..self.high].last_chunk_mut() {
            *room = parted;
        }
        self.low += low;
        self.high -= LANES - low;
    }

    #[inline(always)]
    fn put_one(&mut self, keys: &mut [u64], key: u64, pivot: u64) {
        let low = usize::from(key < pivot);
        keys[self.low] = key;
        keys[self.high - 1] = key;
        self.low += low;
        self.high -= 1 - low;
    }
}

/// For each set of lanes, these and then all others, a byte each.
static LOW_FIRST: [u64; 256] = {
    let mut table = [0; 256];
    let mut set = 0;
    while set < table.len() {
        let (mut place, mut pass) = (0, 0);
        while pass < 2 {
            let mut lane = 0;
            while lane < LANES {
                if (set >> lane & 1 == 0) == (pass == 1) {
                    table[set] |= (lane as u64) << (8 * place);
                    place += 1;
                }
                lane += 1;
            }
            pass += 1;
        }
        set += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use sgdt_proto::{
        kind::{random::word, sort::order},
        task::ErrorCode,
    };
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    /// Those of doubles, of which some are numbers.
    fn key(word: u64) -> u64 {
        order::double(word, true)
    }

    fn undo(key: u64) -> u64 {
        order::undo_double(key, true)
    }

    /// Of a task that is alone on a worker of so many slots.
    fn helped(cores: u32) -> Cancel {
        Cancel::new().helped_by(&Cores::new(cores))
    }

    #[test]
    fn numbers_of_every_count_and_spread_are_sorted() {
        let Some(simd) = V4::try_new() else { return };
        for (name, number) in [
            ("even", &(|i| word(1, i)) as &dyn Fn(u64) -> u64),
            ("few", &|i| word(2, i) % 3),
            ("rising", &|i| i),
            ("falling", &|i| !i),
            ("equal", &|_| 7),
            ("of the greatest key", &|_| undo(u64::MAX)),
            ("of great keys", &|i| undo(u64::MAX - word(3, i) % 2)),
            ("halving", &|i| word(4, i) >> (word(5, i) % 64)),
        ] {
            let long = 2 * radix::SHARED as u64 + 77;
            for len in (0..400).chain([1000, 4095, 4096, 131_072, 131_100, long]) {
                let given: Vec<u64> = (0..len).map(number).collect();
                let mut expected = given.clone();
                expected.sort_unstable_by_key(|&word| key(word));
                for cores in [1, 2] {
                    let mut words = given.clone();
                    sort(simd, &mut words, &key, &undo, &helped(cores)).unwrap();
                    assert!(words == expected, "{len} {name}, {cores} cores");
                }
            }
        }
    }

    #[test]
    fn low_keys_come_first_and_none_is_lost() {
        let Some(simd) = V4::try_new() else { return };
        let shared = radix::SHARED as u64 + 1;
        for len in (2 * GROUP as u64..6 * GROUP as u64).chain([shared]) {
            for share in [0, 1, 50, 99, 100] {
                let mut words: Vec<u64> = (0..len).map(|i| !(word(len, i) % 100)).collect();
                let mut expected: Vec<u64> = words.iter().map(|word| !word).collect();
                let low = part(simd, &mut words, share, &|word| !word, &helped(2)).unwrap();
                assert!(words[..low].iter().all(|&key| key < share), "{len} {share}");
                assert!(words[low..].iter().all(|&key| key >= share), "{len} {share}");
                words.sort_unstable();
                expected.sort_unstable();
                assert!(words == expected, "{len} {share}");
            }
        }
    }

    #[test]
    fn what_is_parted_too_often_is_sorted_all_the_same() {
        let Some(simd) = V4::try_new() else { return };
        for times in 0..4 {
            let mut keys: Vec<u64> = (0..5000).map(|i| word(6, i)).collect();
            let mut expected: Vec<u64> = keys.iter().map(|&key| undo(key)).collect();
            quick(simd, &mut keys, &undo, times, &Cancel::new()).unwrap();
            expected.sort_unstable_by_key(|&word| key(word));
            assert!(keys == expected, "{times}");
        }
    }

    #[test]
    fn an_idle_core_helps() {
        let Some(simd) = V4::try_new() else { return };
        let (here, elsewhere) = (thread::current().id(), AtomicBool::new(false));
        let undo = |key| {
            elsewhere.fetch_or(thread::current().id() != here, Ordering::Relaxed);
            key
        };
        let mut keys: Vec<u64> = (0..3 * radix::SHARED as u64).map(|i| word(7, i)).collect();
        quick(simd, &mut keys, &undo, 64, &helped(1)).unwrap();
        assert!(elsewhere.load(Ordering::Relaxed) && keys.is_sorted());
    }

    #[test]
    fn a_cancelled_sort_stops() {
        let Some(simd) = V4::try_new() else { return };
        let cancel = helped(2);
        cancel.cancel();
        for number in [|i| word(8, i), |_| 7] {
            let mut keys: Vec<u64> = (0..2 * radix::SHARED as u64).map(number).collect();
            let result = sort(simd, &mut keys, &|word| word, &|key| key, &cancel);
            assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
        }
    }
}
