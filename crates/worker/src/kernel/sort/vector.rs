//! Sorting 64-bit keys that fit in a cache with the vectors of AVX-512: quicksort, which parts eight keys with one
//! permutation, down to what a sorting network has room for.
//!
//! Both are those of Bramas, "A novel hybrid quicksort algorithm vectorized using AVX-512 on Intel Skylake", IJACSA 8,
//! 2017; that the network sorts columns, which are then merged, and that keys are parted in place by groups, is from Blacher,
//! Giesen, Sanders and Wassenberg, "Vectorized and performance-portable quicksort", Software: Practice and Experience 52,
//! 2022.

mod network;

use crate::kernel::fetch::fetch;
use pulp::{NullaryFnOnce, bytemuck::cast, u64x8, x86::V4};
use std::array;

/// How many keys a vector has.
const LANES: usize = 8;

/// How many keys are parted between two looks at which end of the slice has less room.
const GROUP: usize = 8 * LANES;

const _: () = assert!(network::KEYS >= 2 * GROUP, "what is parted has a group at either end");

/// How many keys ahead of those that are read others are fetched: a processor does not foresee from which end.
const AHEAD: usize = 4 * GROUP;

/// Sorts keys, where there is AVX-512, and says whether there is.
pub(super) fn sort(keys: &mut [u64]) -> bool {
    let Some(simd) = V4::try_new() else { return false };
    // Twice as often as where each part is half of what was parted.
    quick(simd, keys, 2 * keys.len().max(1).ilog2());
    true
}

/// Parts keys so many times at most, one within the other; what is left then goes to the standard library.
fn quick(simd: V4, mut keys: &mut [u64], mut times: u32) {
    while keys.len() > network::KEYS {
        let Some(fewer) = times.checked_sub(1) else { return keys.sort_unstable() };
        times = fewer;
        let pivot = middle(keys);
        let low = part(simd, keys, pivot);
        if low > 0 {
            let (left, right) = keys.split_at_mut(low);
            quick(simd, left, times);
            keys = right;
        } else if let Some(above) = pivot.checked_add(1) {
            // None is less, and all that are equal are now where they belong.
            let equal = part(simd, keys, above);
            keys = &mut keys[equal..];
        } else {
            return;
        }
    }
    network::sort(simd, keys);
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

/// Moves the keys below the pivot before all others, and says how many there are. There are at least two groups of keys.
fn part(simd: V4, keys: &mut [u64], pivot: u64) -> usize {
    simd.vectorize(Part { simd, keys, pivot })
}

struct Part<'k> {
    simd: V4,
    keys: &'k mut [u64],
    pivot: u64,
}

impl NullaryFnOnce for Part<'_> {
    type Output = usize;

    #[inline(always)]
    fn call(self) -> usize {
        let Self { simd, keys, pivot } = self;
        let len = keys.len();
        // A group at either end, and what is more than whole groups, are put aside: so either end has room for a group once
        // the next is read, which is from that with less.
        let aside = 2 * GROUP + len % GROUP;
        let mut others = [0; 3 * GROUP];
        others[..GROUP].copy_from_slice(&keys[..GROUP]);
        others[GROUP..aside].copy_from_slice(&keys[len + GROUP - aside..]);
        let (mut unread, mut end) = (GROUP, len + GROUP - aside);
        let mut ends = Ends { low: 0, high: len };
        let pivots = simd.splat_u64x8(pivot);
        while unread < end {
            let (from, next) = if unread - ends.low <= ends.high - end {
                unread += GROUP;
                (unread - GROUP, unread - GROUP + AHEAD)
            } else {
                end -= GROUP;
                (end, end.wrapping_sub(AHEAD))
            };
            if let Some(next) = keys.get(next..).and_then(|next| next.first_chunk::<GROUP>()) {
                for line in 0..GROUP / LANES {
                    fetch(&next[line * LANES]);
                }
            }
            let Some(group) = keys[from..].first_chunk::<GROUP>() else { break };
            let group: [u64x8; GROUP / LANES] = cast(*group);
            debug_assert!(
                unread - ends.low >= GROUP && ends.high - end >= GROUP,
                "keys are written over others"
            );
            for vector in group {
                ends.put(simd, keys, vector, pivots);
            }
        }
        let (vectors, rest) = others[..aside].as_chunks::<LANES>();
        for &key in rest {
            ends.put_one(keys, key, pivot);
        }
        for &vector in vectors {
            ends.put(simd, keys, cast(vector), pivots);
        }
        ends.low
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
    use sgdt_proto::kind::random::word;

    #[test]
    fn keys_of_every_number_and_spread_are_sorted() {
        for (name, key) in [
            ("even", &(|i| word(1, i)) as &dyn Fn(u64) -> u64),
            ("few", &|i| word(2, i) % 3),
            ("rising", &|i| i),
            ("falling", &|i| !i),
            ("equal", &|_| 7),
            ("greatest", &|_| u64::MAX),
            ("great", &|i| u64::MAX - word(3, i) % 2),
            ("halving", &|i| word(4, i) >> (word(5, i) % 64)),
        ] {
            for len in (0..400).chain([1000, 4095, 4096, 131_072, 131_100]) {
                let mut keys: Vec<u64> = (0..len).map(key).collect();
                let mut expected = keys.clone();
                expected.sort_unstable();
                assert!(!sort(&mut keys) || keys == expected, "{len} {name}");
            }
        }
    }

    #[test]
    fn low_keys_come_first_and_none_is_lost() {
        let Some(simd) = V4::try_new() else { return };
        for len in 2 * GROUP as u64..6 * GROUP as u64 {
            for share in [0, 1, 50, 99, 100] {
                let mut keys: Vec<u64> = (0..len).map(|i| word(len, i) % 100).collect();
                let mut expected = keys.clone();
                let low = part(simd, &mut keys, share);
                assert!(keys[..low].iter().all(|&key| key < share), "{len} {share}");
                assert!(keys[low..].iter().all(|&key| key >= share), "{len} {share}");
                keys.sort_unstable();
                expected.sort_unstable();
                assert!(keys == expected, "{len} {share}");
            }
        }
    }

    #[test]
    fn what_is_parted_too_often_is_sorted_all_the_same() {
        let Some(simd) = V4::try_new() else { return };
        for times in 0..4 {
            let mut keys: Vec<u64> = (0..5000).map(|i| word(6, i)).collect();
            quick(simd, &mut keys, times);
            assert!(keys.is_sorted(), "{times}");
        }
    }
}
