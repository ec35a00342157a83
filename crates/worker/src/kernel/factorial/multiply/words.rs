//! A natural as the coefficients of a polynomial modulo eight primes, and back.
//!
//! Coefficients have 184 bits, and are read as four words of 46. Those of a product of naturals of up to 2^30 coefficients
//! are below 2^398, and the primes' product is above 2^399, so that the residues name them (the Chinese remainder
//! theorem). Eight coefficients are 23 limbs.

use super::{
    lanes::{INVERSES, LANES, Lanes, PRIMES},
    transform::SHARED,
};
use crate::cancel::Cancel;
use malachite_nz::natural::Natural;
use pulp::Arch;
use sgdt_proto::task::TaskError;
use std::sync::LazyLock;

const WORD: usize = 46;
const WORDS: usize = 4;
const COEFFICIENT: usize = WORDS * WORD;

/// So many coefficients are so many limbs.
const GROUP: usize = 8;
const LIMBS: usize = GROUP * COEFFICIENT / 64;

/// What of a group's sum belongs to the next group: the last coefficient's high bits, and a carry.
type Tail = [u64; 6];

/// How many coefficients this many limbs are.
pub(super) fn count(limbs: usize) -> usize {
    (limbs * GROUP).div_ceil(LIMBS)
}

/// Fills `x` with a natural's coefficients, and zeros after them, of up to two primes in size.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn spread(limbs: &[u64], x: &mut [Lanes], cancel: &Cancel) -> Result<(), TaskError> {
    cancel.check()?;
    if x.len() > SHARED {
        let groups = x.len() / GROUP / 2;
        let (front, back) = x.split_at_mut(groups * GROUP);
        let (low, high) = limbs.split_at(limbs.len().min(groups * LIMBS));
        let (front, back) = cancel.join(|| spread(low, front, cancel), || spread(high, back, cancel));
        return front.and(back);
    }
    let powers = powers();
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let x = x;
            let mut groups = limbs.chunks(LIMBS);
            for x in x.chunks_mut(GROUP) {
                let mut group = [0; LIMBS + 1];
                let Some(limbs) = groups.next() else {
                    x.fill(Lanes::ZERO);
                    continue;
                };
                group[..limbs.len()].copy_from_slice(limbs);
                for (index, x) in x.iter_mut().enumerate() {
                    let bit = index * COEFFICIENT;
                    *x = Lanes::splat(word(&group, bit));
                    for (place, power) in powers.iter().enumerate().skip(1) {
                        *x = x.plus(Lanes::splat(word(&group, bit + place * WORD)).times(*power));
                    }
                }
            }
        },
    );
    Ok(())
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
    let step = Lanes::splat((1u64 << WORD) as f64);
    let mut powers = [Lanes::ONE; WORDS];
    for place in 1..WORDS {
        powers[place] = powers[place - 1].times(step).reduced();
    }
    powers
}

/// What it takes to get a number from its residues: it is the sum of t `cofactor` over the primes, less a multiple of
/// the modulus, where t is the residue over the cofactor's.
struct Remainders {
    modulus: [u64; 7],
    cofactors: [[u64; LANES]; 6],
    /// The cofactors' residues, each modulo its own prime.
    residues: Lanes,
}

static REMAINDERS: LazyLock<Remainders> = LazyLock::new(|| {
    let modulus: Natural = PRIMES.into_iter().map(Natural::from).product();
    let cofactors = PRIMES.map(|prime| &modulus / Natural::from(prime));
    let limb = |number: &Natural, place: usize| number.as_limbs_asc().get(place).copied().unwrap_or(0);
    let residue = |lane: usize| limb(&(&cofactors[lane] % Natural::from(PRIMES[lane])), 0);
    Remainders {
        modulus: std::array::from_fn(|place| limb(&modulus, place)),
        cofactors: std::array::from_fn(|place| std::array::from_fn(|lane| limb(&cofactors[lane], place))),
        residues: Lanes::of(std::array::from_fn(residue)),
    }
});

/// What residues are multiplied by for [`gather`], if the coefficients are `scale` times as large as they should be.
pub(super) fn weights(scale: u64) -> Lanes {
    REMAINDERS.residues.times(Lanes::splat(scale as f64)).reduced().inverse()
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
    let mut tail = Tail::default();
    let remainders = &*REMAINDERS;
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let limbs = limbs;
            for (x, limbs) in x.chunks(GROUP).zip(limbs.chunks_mut(LIMBS)) {
                let mut sum = [0; LIMBS + size_of::<Tail>() / 8 + 3];
                sum[..tail.len()].copy_from_slice(&tail);
                for (index, x) in x.iter().enumerate() {
                    let (place, shift) = (index * COEFFICIENT / 64, index * COEFFICIENT % 64);
                    add_shifted(&mut sum[place..place + 8], number(*x, weights, remainders), shift);
                }
                limbs.copy_from_slice(&sum[..limbs.len()]);
                tail.copy_from_slice(&sum[LIMBS..LIMBS + size_of::<Tail>() / 8]);
            }
        },
    );
    Ok(tail)
}

/// The number with these residues, times the cofactors' and the scale's.
#[inline(always)]
fn number(residues: Lanes, weights: Lanes, remainders: &Remainders) -> [u64; 7] {
    let terms = residues.times(weights).words();
    // The sum exceeds a multiple of the modulus by the number, which is far below half the modulus.
    let mut multiple = 0.0;
    for (term, inverse) in terms.into_iter().zip(INVERSES) {
        multiple += term as f64 * inverse;
    }
    // There are eight terms of less than the modulus each.
    let multiple = i128::from(multiple.round_ties_even() as i64);
    let mut number = [0; 7];
    // Of at most 118 bits: a column has eight products of 114.
    let mut carry = 0i128;
    for (place, limb) in number.iter_mut().enumerate() {
        let mut column = carry - multiple * i128::from(remainders.modulus[place]);
        if let Some(cofactors) = remainders.cofactors.get(place) {
            for (&term, &cofactor) in terms.iter().zip(cofactors) {
                column += (u128::from(term) * u128::from(cofactor)) as i128;
            }
        }
        *limb = column as u64;
        carry = column >> 64;
    }
    number
}

/// Adds a number, shifted to the left by less than a limb.
#[inline(always)]
fn add_shifted(sum: &mut [u64], number: [u64; 7], shift: usize) {
    let mut carry = 0;
    let mut below = 0;
    for (place, sum) in sum.iter_mut().enumerate() {
        let limb = number.get(place).copied().unwrap_or(0);
        let shifted = ((u128::from(limb) << 64 | u128::from(below)) << shift >> 64) as u64;
        let (partial, first) = sum.overflowing_add(shifted);
        let (total, second) = partial.overflowing_add(carry);
        (*sum, carry, below) = (total, u64::from(first | second), limb);
    }
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
