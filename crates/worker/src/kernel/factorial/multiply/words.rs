//! A natural as the coefficients of a polynomial modulo eight primes, and back.
//!
//! Coefficients have 184 bits, and are read as four words of 46. Those of a product of naturals of up to 2^30 coefficients
//! are below 2^398, and the primes' product is above 2^399, so that the residues name them (the Chinese remainder
//! theorem). Eight coefficients are 23 limbs.

use super::{
    lanes::{LANES, Lanes, PRIMES},
    transform::SHARED,
};
use crate::cancel::Cancel;
use malachite_nz::natural::Natural;
use pulp::{Arch, Scalar, Simd, WithSimd};
use sgdt_proto::task::TaskError;
use std::{array::from_fn, sync::LazyLock};

const WORD: usize = 46;
const WORDS: usize = 4;
const COEFFICIENT: usize = WORDS * WORD;

/// So many coefficients are so many limbs.
const GROUP: usize = 8;
const LIMBS: usize = GROUP * COEFFICIENT / 64;

/// What of a sum of coefficients is above the last of them: its high bits, and a carry.
type Tail = [u64; 4];

/// How many coefficients this many limbs are.
pub(super) fn count(limbs: usize) -> usize {
    (limbs * GROUP).div_ceil(LIMBS)
}

/// Writes a natural's coefficients, of up to two primes in size, to the zeros in `x`: a word is below a sixteenth of a
/// prime, and its product with a power that is reduced comes to little more than half of one.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn spread(limbs: &[u64], x: &mut [Lanes], cancel: &Cancel) -> Result<(), TaskError> {
    cancel.check()?;
    let groups = limbs.len().div_ceil(LIMBS);
    if groups * GROUP > SHARED {
        let (front, back) = x.split_at_mut(groups / 2 * GROUP);
        let (low, high) = limbs.split_at(groups / 2 * LIMBS);
        let (front, back) = cancel.join(|| spread(low, front, cancel), || spread(high, back, cancel));
        return front.and(back);
    }
    Arch::new().dispatch(Spread { limbs, x });
    Ok(())
}

struct Spread<'a> {
    limbs: &'a [u64],
    x: &'a mut [Lanes],
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let powers = powers();
        for (x, limbs) in self.x.chunks_mut(GROUP).zip(self.limbs.chunks(LIMBS)) {
            let mut group = [0; LIMBS + 1];
            group[..limbs.len()].copy_from_slice(limbs);
            for (index, x) in x.iter_mut().enumerate() {
                let bit = index * COEFFICIENT;
                *x = Lanes::splat(word(&group, bit));
                for (place, power) in powers.iter().enumerate().skip(1) {
                    let more = Lanes::splat(word(&group, bit + place * WORD)).times(simd, *power);
                    *x = x.plus(simd, more);
                }
            }
        }
    }
}

/// The word at this bit.
#[inline(always)]
fn word(group: &[u64; LIMBS + 1], bit: usize) -> f64 {
    let (limb, shift) = (bit / 64, bit % 64);
    let pair = u128::from(group[limb]) | u128::from(group[limb + 1]) << 64;
    ((pair >> shift) as u64 & ((1 << WORD) - 1)) as f64
}

/// 2^46 to the powers 0 to 3.
fn powers() -> [Lanes; WORDS] {
    let (simd, step) = (Scalar::new(), Lanes::splat((1u64 << WORD) as f64));
    let mut powers = [Lanes::ONE; WORDS];
    for place in 1..WORDS {
        powers[place] = powers[place - 1].times(simd, step).reduced(simd);
    }
    powers
}

/// What it takes to get a number from its residues: it is the sum of t `cofactor` over the primes, less a multiple of
/// the modulus, where t is the residue over the cofactor's.
struct Remainders {
    /// The modulus, so many times: terms of up to two primes each come to less than twice as many as there are primes.
    multiples: [[u64; 7]; 2 * LANES + 1],
    cofactors: [[u64; LANES]; 6],
    /// The cofactors' residues, each modulo its own prime.
    residues: Lanes,
}

static REMAINDERS: LazyLock<Remainders> = LazyLock::new(|| {
    let modulus: Natural = PRIMES.into_iter().map(Natural::from).product();
    let cofactors = PRIMES.map(|prime| &modulus / Natural::from(prime));
    let limb = |number: &Natural, place: usize| number.as_limbs_asc().get(place).copied().unwrap_or(0);
    let residue = |lane: usize| limb(&(&cofactors[lane] % Natural::from(PRIMES[lane])), 0);
    let multiple = |times: usize| {
        let multiple = &modulus * Natural::from(times);
        from_fn(|place| limb(&multiple, place))
    };
    Remainders {
        multiples: from_fn(multiple),
        cofactors: from_fn(|place| from_fn(|lane| limb(&cofactors[lane], place))),
        residues: Lanes::of(from_fn(residue)),
    }
});

/// What residues are multiplied by for [`gather`], if the coefficients are `scale` times as large as they should be.
pub(super) fn weights(scale: u64) -> Lanes {
    let simd = Scalar::new();
    REMAINDERS.residues.times(simd, Lanes::splat(scale as f64)).reduced(simd).inverse()
}

/// Writes the natural whose coefficients these are, over the scale that `weights` are for, to `limbs`, which it fits.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn gather(
    x: &[Lanes],
    weights: Lanes,
    limbs: &mut [u64],
    cancel: &Cancel,
) -> Result<(), TaskError> {
    part(x, weights, limbs, cancel).map(drop)
}

fn part(x: &[Lanes], weights: Lanes, limbs: &mut [u64], cancel: &Cancel) -> Result<Tail, TaskError> {
    cancel.check()?;
    let groups = limbs.len().div_ceil(LIMBS);
    if groups * GROUP > SHARED {
        let (low, high) = limbs.split_at_mut(groups / 2 * LIMBS);
        let (front, back) = x.split_at(groups / 2 * GROUP);
        let (tail, end) =
            cancel.join(|| part(front, weights, low, cancel), || part(back, weights, high, cancel));
        let mut end = end?;
        if add(high, &tail?) {
            add(&mut end, &[1]);
        }
        return Ok(end);
    }
    Ok(Arch::new().dispatch(Gather { x, weights, limbs }))
}

struct Gather<'a> {
    x: &'a [Lanes],
    weights: Lanes,
    limbs: &'a mut [u64],
}

impl WithSimd for Gather<'_> {
    type Output = Tail;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Tail {
        let remainders = &*REMAINDERS;
        let mut tail = Tail::default();
        for (x, limbs) in self.x.chunks(GROUP).zip(self.limbs.chunks_mut(LIMBS)) {
            // One more, which each coefficient writes and the next one overwrites.
            let mut group = [0; 8 * LIMBS + 1];
            for index in 0..GROUP {
                let residues = x.get(index).copied().unwrap_or(Lanes::ZERO);
                let mut sum = number(simd, residues.times(simd, self.weights), remainders);
                add(&mut sum, &tail);
                for (place, limb) in tail.iter_mut().enumerate() {
                    *limb = sum[place + 2] >> (COEFFICIENT % 64) | sum[place + 3] << (64 - COEFFICIENT % 64);
                }
                let start = index * COEFFICIENT / 8;
                for (bytes, limb) in group[start..].as_chunks_mut::<8>().0.iter_mut().zip(&sum[..3]) {
                    *bytes = limb.to_le_bytes();
                }
            }
            for (limb, bytes) in limbs.iter_mut().zip(group.as_chunks().0) {
                *limb = u64::from_le_bytes(*bytes);
            }
        }
        tail
    }
}

/// The number whose residues, over the cofactors' and the scale, these are.
#[inline(always)]
fn number<S: Simd>(simd: S, residues: Lanes, remainders: &Remainders) -> [u64; 7] {
    let terms = residues.raised(simd);
    let mut number = [0; 7];
    // Of at most 118 bits: a column has eight products of 115.
    let mut column = 0u128;
    for (limb, cofactors) in number.iter_mut().zip(&remainders.cofactors) {
        for (&term, &cofactor) in terms.iter().zip(cofactors) {
            column += u128::from(term) * u128::from(cofactor);
        }
        *limb = column as u64;
        column >>= 64;
    }
    number[6] = column as u64;
    // The sum exceeds a multiple of the modulus by the number, which is far below half the modulus.
    let times = residues.over_primes(simd).round_ties_even() + LANES as f64;
    let multiple = &remainders.multiples[(times as usize).min(2 * LANES)];
    let mut borrow = false;
    for (limb, other) in number.iter_mut().zip(multiple) {
        let (partial, first) = limb.overflowing_sub(*other);
        let (total, second) = partial.overflowing_sub(borrow.into());
        (*limb, borrow) = (total, first | second);
    }
    number
}

/// Adds a shorter number; the carry.
fn add(sum: &mut [u64], number: &[u64]) -> bool {
    let mut carry = false;
    for (place, sum) in sum.iter_mut().enumerate() {
        if place >= number.len() && !carry {
            return false;
        }
        let (partial, first) = sum.overflowing_add(number.get(place).copied().unwrap_or(0));
        let (total, second) = partial.overflowing_add(carry.into());
        (*sum, carry) = (total, first | second);
    }
    carry
}
