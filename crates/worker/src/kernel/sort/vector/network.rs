//! A network that sorts 64 or 128 keys: Batcher's bitonic sorter ("Sorting networks and their applications", AFIPS 1968).
//!
//! Keys lie in columns, one in each vector: first each column is sorted, and then twice as many of them are merged at a time.
//! So most keys meet those of other vectors in the same lane.

use super::LANES;
use pulp::{NullaryFnOnce, Simd, bytemuck::cast, u64x8, x86::V4};

/// How many keys there is room for.
pub(super) const KEYS: usize = 16 * LANES;

/// Sorts at most so many keys, and makes of each what it is to become (and of greatest keys that fill the last vector).
pub(super) fn sort(simd: V4, keys: &mut [u64], to: &impl Fn(u64) -> u64) {
    simd.vectorize(Sort { simd, keys, to });
}

struct Sort<'k, F> {
    simd: V4,
    keys: &'k mut [u64],
    to: &'k F,
}

impl<F: Fn(u64) -> u64> NullaryFnOnce for Sort<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, keys, to } = self;
        // What is missing goes to the end.
        let mut all = [[u64::MAX; LANES]; KEYS / LANES];
        let (vectors, rest) = keys.as_chunks();
        for (row, vector) in all.iter_mut().zip(vectors) {
            *row = *vector;
        }
        if let Some(row) = all.get_mut(vectors.len()) {
            let (given, missing) = (cast(simd.partial_load_u64s(rest)), 0xff << rest.len());
            *row = cast(simd.avx512f._mm512_mask_blend_epi64(missing, given, cast(*row)));
        }
        if keys.len() > KEYS / 2 {
            let halves: [[u64x8; LANES]; 2] = cast(sorted::<16>(simd, cast(all)));
            let (front, back) = (transposed(simd, halves[0]), transposed(simd, halves[1]));
            for (column, keys) in all.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                *keys = cast([front[column], back[column]]);
            }
        } else if let Some(half) = all.first_chunk_mut::<{ KEYS / LANES / 2 }>() {
            *half = cast(transposed(simd, sorted::<8>(simd, cast(*half))));
        }
        let (vectors, rest) = keys.as_chunks_mut();
        for (vector, row) in vectors.iter_mut().zip(&all) {
            *vector = row.map(to);
        }
        if let Some(row) = all.get(vectors.len()) {
            simd.partial_store_u64s(rest, cast(row.map(to)));
        }
    }
}

/// Sorts keys column after column.
#[inline(always)]
fn sorted<const ROWS: usize>(simd: V4, mut rows: [u64x8; ROWS]) -> [u64x8; ROWS] {
    meet::<ROWS, 1>(simd, &mut rows);
    meet::<ROWS, 3>(simd, &mut rows);
    meet::<ROWS, 1>(simd, &mut rows);
    meet::<ROWS, 7>(simd, &mut rows);
    meet::<ROWS, 2>(simd, &mut rows);
    meet::<ROWS, 1>(simd, &mut rows);
    if ROWS > 8 {
        meet::<ROWS, 15>(simd, &mut rows);
        meet::<ROWS, 4>(simd, &mut rows);
        meet::<ROWS, 2>(simd, &mut rows);
        meet::<ROWS, 1>(simd, &mut rows);
    }
    mirror_columns::<ROWS, 1>(simd, &mut rows);
    steps(simd, &mut rows);
    mirror_columns::<ROWS, 3>(simd, &mut rows);
    step_columns::<ROWS, 1>(simd, &mut rows);
    steps(simd, &mut rows);
    mirror_columns::<ROWS, 7>(simd, &mut rows);
    step_columns::<ROWS, 2>(simd, &mut rows);
    step_columns::<ROWS, 1>(simd, &mut rows);
    steps(simd, &mut rows);
    rows
}

/// The last steps within columns.
#[inline(always)]
fn steps<const ROWS: usize>(simd: V4, rows: &mut [u64x8; ROWS]) {
    if ROWS > 8 {
        meet::<ROWS, 8>(simd, rows);
    }
    meet::<ROWS, 4>(simd, rows);
    meet::<ROWS, 2>(simd, rows);
    meet::<ROWS, 1>(simd, rows);
}

/// Has each row meet that whose number differs in these bits: in one, that which is so far away; in all below some one, that
/// which is as far from the other end of so many rows.
#[inline(always)]
fn meet<const ROWS: usize, const MASK: usize>(simd: V4, rows: &mut [u64x8; ROWS]) {
    for row in 0..ROWS {
        if row < row ^ MASK {
            (rows[row], rows[row ^ MASK]) = met(simd, rows[row], rows[row ^ MASK]);
        }
    }
}

/// Has each key meet that which is as far from the other end of its `MASK + 1` columns.
#[inline(always)]
fn mirror_columns<const ROWS: usize, const MASK: usize>(simd: V4, rows: &mut [u64x8; ROWS]) {
    for row in 0..ROWS / 2 {
        let (own, other) = (rows[row], turned::<MASK>(simd, rows[ROWS - 1 - row]));
        rows[row] = met_in_columns::<MASK>(simd, own, other);
        rows[ROWS - 1 - row] = turned::<MASK>(simd, remaining(simd, own, other, rows[row]));
    }
}

/// Has each column meet that which is so far away.
#[inline(always)]
fn step_columns<const ROWS: usize, const DISTANCE: usize>(simd: V4, rows: &mut [u64x8; ROWS]) {
    for row in rows {
        *row = met_in_columns::<DISTANCE>(simd, *row, turned::<DISTANCE>(simd, *row));
    }
}

/// The lesser and the greater key of each lane.
#[inline(always)]
fn met(simd: V4, a: u64x8, b: u64x8) -> (u64x8, u64x8) {
    let low = lesser(simd, a, b);
    (low, remaining(simd, a, b, low))
}

/// In each lane the lesser of the two keys, or the greater where [`greater`] has a bit.
#[inline(always)]
fn met_in_columns<const MASK: usize>(simd: V4, a: u64x8, b: u64x8) -> u64x8 {
    let low = cast(lesser(simd, a, b));
    cast(simd.avx512f._mm512_mask_ternarylogic_epi64::<XOR>(low, greater::<MASK>(), cast(a), cast(b)))
}

#[inline(always)]
fn lesser(simd: V4, a: u64x8, b: u64x8) -> u64x8 {
    cast(simd.avx512f._mm512_min_epu64(cast(a), cast(b)))
}

/// In each lane that of two keys which the third is not: for a processor that compares with one of its ports, and has two for
/// this.
#[inline(always)]
fn remaining(simd: V4, a: u64x8, b: u64x8, one: u64x8) -> u64x8 {
    cast(simd.avx512f._mm512_ternarylogic_epi64::<XOR>(cast(one), cast(a), cast(b)))
}

/// The truth table of `a ^ b ^ c`.
const XOR: i32 = 0x96;

/// Each lane changes places with that whose number differs in these bits.
#[inline(always)]
fn turned<const MASK: usize>(simd: V4, row: u64x8) -> u64x8 {
    let from = const {
        let (mut from, mut lane) = ([0; LANES], 0);
        while lane < LANES {
            from[lane] = (lane ^ MASK) as u64;
            lane += 1;
        }
        from
    };
    cast(simd.avx512f._mm512_permutexvar_epi64(cast(from), cast(row)))
}

/// Which lanes get the greater key when they meet those that differ in these bits.
#[inline(always)]
const fn greater<const MASK: usize>() -> u8 {
    match MASK {
        1 => 0b1010_1010,
        2 | 3 => 0b1100_1100,
        _ => 0b1111_0000,
    }
}

/// Columns as rows.
#[inline(always)]
fn transposed(simd: V4, rows: [u64x8; LANES]) -> [u64x8; LANES] {
    let [a, c, e, g] = every_other_column::<false>(simd, rows);
    let [b, d, f, h] = every_other_column::<true>(simd, rows);
    [a, b, c, d, e, f, g, h]
}

/// The even or the odd columns as rows.
#[inline(always)]
fn every_other_column<const ODD: bool>(simd: V4, rows: [u64x8; LANES]) -> [u64x8; 4] {
    let [a, b, c, d, e, f, g, h] = rows;
    // Pairs of lanes of these have two of a column each.
    let (a, b) = (in_turn::<ODD>(simd, a, b), in_turn::<ODD>(simd, c, d));
    let (c, d) = (in_turn::<ODD>(simd, e, f), in_turn::<ODD>(simd, g, h));
    let (even, odd) = (every_other_pair::<0x88>(simd, a, b), every_other_pair::<0xdd>(simd, a, b));
    let (more_even, more_odd) = (every_other_pair::<0x88>(simd, c, d), every_other_pair::<0xdd>(simd, c, d));
    [
        every_other_pair::<0x88>(simd, even, more_even),
        every_other_pair::<0x88>(simd, odd, more_odd),
        every_other_pair::<0xdd>(simd, even, more_even),
        every_other_pair::<0xdd>(simd, odd, more_odd),
    ]
}

/// The even or the odd lanes of two rows, in turn.
#[inline(always)]
fn in_turn<const ODD: bool>(simd: V4, a: u64x8, b: u64x8) -> u64x8 {
    let simd = simd.avx512f;
    cast(if ODD {
        simd._mm512_unpackhi_epi64(cast(a), cast(b))
    } else {
        simd._mm512_unpacklo_epi64(cast(a), cast(b))
    })
}

/// Two pairs of lanes of each row: the even ones for 0x88, and the odd ones for 0xdd.
#[inline(always)]
fn every_other_pair<const PAIRS: i32>(simd: V4, a: u64x8, b: u64x8) -> u64x8 {
    cast(simd.avx512f._mm512_shuffle_i64x2::<PAIRS>(cast(a), cast(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::kind::random::word;

    // A network that sorts all lists of zeros and ones sorts all lists (Knuth, "The Art of Computer Programming" 3, 5.3.4).
    #[test]
    fn zeros_and_ones_are_sorted_and_changed() {
        let Some(simd) = V4::try_new() else { return };
        for len in 0..=KEYS {
            for seed in 0..50 {
                let ones = (word(seed, 0) % (len as u64 + 1)) as usize;
                let mut keys: Vec<u64> = (0..len).map(|place| u64::from(place < ones)).collect();
                for place in 1..len {
                    keys.swap(place, (word(seed, place as u64) % (place as u64 + 1)) as usize);
                }
                sort(simd, &mut keys, &|key| key.wrapping_add(5));
                let expected: Vec<u64> = (0..len).map(|place| 5 + u64::from(place >= len - ones)).collect();
                assert!(keys == expected, "{len} keys, {ones} ones");
            }
        }
    }
}
