//! Parting keys at a pivot, in place, by groups from either end (see Blacher, Giesen, Sanders and Wassenberg,
//! "Vectorized and performance-portable quicksort", Software: Practice and Experience 52, 2022), eight with one permutation.

use super::{BLOCK, LANES};
use crate::{cancel::Cancel, kernel::fetch::fetch};
use pulp::{NullaryFnOnce, bytemuck::cast, u64x8, x86::V4};
use sgdt_proto::task::TaskError;

/// How many keys are parted between two looks at which end of the slice has less room.
pub(super) const GROUP: usize = 8 * LANES;

/// How many keys ahead of those that are read others are fetched: a processor does not foresee from which end.
const AHEAD: usize = 8 * GROUP;

/// Makes keys of words, moves those below the pivot before all others, and says how many there are. There are at least two
/// groups of words.
pub(super) struct Part<'w, K> {
    pub(super) simd: V4,
    pub(super) words: &'w mut [u64],
    pub(super) pivot: u64,
    pub(super) key: &'w K,
    pub(super) cancel: &'w Cancel,
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
        let mut kept = [0; 3 * GROUP];
        kept[..GROUP].copy_from_slice(&words[..GROUP]);
        kept[GROUP..aside].copy_from_slice(&words[len + GROUP - aside..]);
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
        let (vectors, rest) = kept[..aside].as_chunks::<LANES>();
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
    use crate::{cores::Cores, kernel::sort::halves};
    use sgdt_proto::kind::random::word;

    #[test]
    fn low_keys_come_first_and_none_is_lost() {
        let Some(simd) = V4::try_new() else { return };
        let cancel = Cancel::new().helped_by(&Cores::new(2));
        for len in (2 * GROUP as u64..6 * GROUP as u64).chain([halves::SHARED as u64 + 1]) {
            for pivot in [0, 1, 50, 99, 100] {
                let mut words: Vec<u64> = (0..len).map(|i| !(word(len, i) % 100)).collect();
                let mut expected: Vec<u64> = words.iter().map(|word| !word).collect();
                let key = |word: u64| !word;
                let alone = |words: &mut [u64]| {
                    simd.vectorize(Part { simd, words, pivot, key: &key, cancel: &cancel })
                };
                let low = halves::part(&mut words, &alone, &cancel).unwrap();
                assert!(words[..low].iter().all(|&key| key < pivot), "{len} {pivot}");
                assert!(words[low..].iter().all(|&key| key >= pivot), "{len} {pivot}");
                words.sort_unstable();
                expected.sort_unstable();
                assert!(words == expected, "{len} {pivot}");
            }
        }
    }
}
