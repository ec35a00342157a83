//! The decimal text of large naturals, in quasi-linear time, piece by piece, on as many threads as are idle.
//!
//! First a number is divided by a power of ten that leaves half of its digits on either side: by the inverse of 5^d,
//! by Newton's method (Brent and Zimmermann, "Modern computer arithmetic", section 4.2), which is half as long as the
//! number.
//!
//! Then each half, of d digits, is taken for the fraction that is half a unit above it, over 10^d, by the same
//! inverse. The fraction cut short has the first k digits; times 10^k, less its whole part, it has the others. That is
//! one multiplication for each halving, where division takes two even with inverses at hand (Bernstein, "Scaled
//! remainder trees", 2004), and all fractions of one length are multiplied by the same power. 10^k is 5^k shifted, and
//! what the shift makes whole is dropped before the multiplication. Few digits are read off by multiplying with 10^19
//! again and again.
//!
//! Fractions keep [`GUARD`] bits more than their digits need, so that half a unit is 2^63 of the last bit's or more.
//! Each step is wrong by some thousands of these at most, and there are some tens of steps: no fraction comes near to
//! where digits change.

use super::multiply::{Factor, product, square};
use crate::cancel::Cancel;
use malachite_base::num::{
    arithmetic::traits::{DivExact, ModPowerOf2, Pow, PowerOf2},
    basic::traits::One,
    logic::traits::SignificantBits,
};
use malachite_nz::natural::Natural;
use sgdt_proto::task::TaskError;
use std::f64::consts::{LOG2_10, LOG10_2};

/// How many digits are read off: some ten microseconds.
const LEAF: usize = 2_000;

/// How many digits are written at a time.
const PIECE: usize = 1 << 22;

/// How many digits are worth another thread.
const SHARED: usize = 1 << 15;

/// How many bits fractions have beyond those of their digits.
const GUARD: u64 = 64;

/// How many digits are read off at a time, and ten to that power.
const STEP: usize = 19;
const TENS: [u64; STEP + 1] = {
    let mut tens = [1; STEP + 1];
    let mut power = 1;
    while power <= STEP {
        tens[power] = 10 * tens[power - 1];
        power += 1;
    }
    tens
};

/// Writes the decimal digits of `number`, in ASCII, to `sink`, some millions at a time. The first is not zero, unless
/// it is the only one.
///
/// # Errors
/// `cancelled` or `timeout`; `too-large`: there is no memory for it; those of `sink`.
pub(super) fn write(
    number: &Natural,
    cancel: &Cancel,
    mut sink: impl FnMut(&[u8]) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let digits = at_most(number);
    if digits <= LEAF {
        return sink(number.to_string().as_bytes());
    }
    let mut ladder = ladder(digits.div_ceil(2), cancel)?;
    let Some(half) = ladder.pop() else { unreachable!("half of so many digits are more than the fewest") };
    let digits = half.digits;
    let [high, low] = halves(number, half, cancel)?;
    let ladder: Vec<Level> =
        ladder.into_iter().map(|power| Level::of(power, cancel)).collect::<Result<_, _>>()?;
    let (mut leading, mut room) = (true, Vec::new());
    let mut sink = |piece: &[u8]| {
        let zeros = if leading { piece.iter().take_while(|&&digit| digit == b'0').count() } else { 0 };
        leading &= zeros == piece.len();
        sink(&piece[zeros..])
    };
    pieces(high, digits, &ladder, &mut room, cancel, &mut sink)?;
    pieces(low, digits, &ladder, &mut room, cancel, &mut sink)
}

/// The digits of `number`, and so many zeros.
///
/// # Errors
/// As [`write`].
pub(super) fn text(number: &Natural, zeros: usize, cancel: &Cancel) -> Result<Vec<u8>, TaskError> {
    let (mut text, len) = (Vec::new(), at_most(number).saturating_add(zeros));
    text.try_reserve_exact(len)
        .map_err(|_| TaskError::too_large(format!("there is no memory left for {len} digits")))?;
    write(number, cancel, |piece| {
        text.extend_from_slice(piece);
        Ok(())
    })?;
    text.resize(text.len() + zeros, b'0');
    Ok(text)
}

/// How many digits a number has, or one or two more.
fn at_most(number: &Natural) -> usize {
    // Two, because the double may be rounded down across a whole number.
    (number.significant_bits() as f64 * LOG10_2) as usize + 2
}

/// 5^`digits`.
struct Power {
    digits: usize,
    five: Natural,
}

impl Power {
    /// In how many bits fractions of this many digits are given.
    fn bits(digits: usize) -> u64 {
        (digits as f64 * LOG2_10) as u64 + 1 + GUARD
    }

    /// One over 10^`digits`, in units of the last bit.
    fn unit(&self) -> f64 {
        let length = self.five.significant_bits();
        let leading = u64::try_from(&(&self.five >> (length - 64))).map_or(f64::MAX, |bits| bits as f64);
        2f64.powi((Self::bits(self.digits) - self.digits as u64 - (length - 64)) as i32) / leading
    }
}

/// A power that many fractions of up to twice as many digits are split by.
struct Level {
    digits: usize,
    five: Factor,
    unit: f64,
}

impl Level {
    fn of(power: Power, cancel: &Cancel) -> Result<Self, TaskError> {
        let (unit, digits) = (power.unit(), power.digits);
        let five = Factor::of(power.five, Power::bits(2 * digits) - digits as u64, cancel)?;
        Ok(Self { digits, five, unit })
    }
}

/// The powers to take a number of `digits` digits apart, smallest first: each half the next, rounded up. The last is
/// for `digits`.
fn ladder(digits: usize, cancel: &Cancel) -> Result<Vec<Power>, TaskError> {
    let lengths = std::iter::successors(Some(digits), |digits| Some(digits.div_ceil(2)));
    let mut lengths: Vec<_> = lengths.take_while(|&digits| digits > LEAF / 2).collect();
    let mut ladder: Vec<Power> = Vec::new();
    while let Some(digits) = lengths.pop() {
        let five = match ladder.last() {
            None => Natural::from(5u32).pow(digits as u64),
            Some(half) if 2 * half.digits == digits => square(&half.five, cancel)?,
            Some(half) => square(&half.five, cancel)?.div_exact(Natural::from(5u32)),
        };
        ladder.push(Power { digits, five });
    }
    Ok(ladder)
}

/// A number below the square of 10^`digits`, as the fractions of its first digits and of its last ones.
fn halves(number: &Natural, power: Power, cancel: &Cancel) -> Result<[Natural; 2], TaskError> {
    let (bits, twos, unit) = (Power::bits(power.digits), power.digits as u64, power.unit());
    let Power { five, .. } = power;
    let length = five.significant_bits();
    // So far below that it is certainly not above.
    let inverse = inverse(&five, bits, cancel)? - Natural::from(16u32);
    let inverse = Factor::of(inverse, bits, cancel)?;
    let whole = number >> twos;
    // What is cut off here, and what is left out of the inverse, make less than 2^-58: too small by one at most.
    let mut first = inverse.times(&(&whole >> (length - GUARD)), cancel)? >> (bits + GUARD);
    let mut rest = whole - product(&first, &five, cancel)?;
    if rest >= five {
        first += Natural::ONE;
        rest -= &five;
    }
    cancel.check()?;
    let last = (rest << twos) + number.mod_power_of_2(twos);
    // 10^-d is 2^-d times the inverse, which is to be taken 2^-(length + bits) times.
    let fraction = |number: &Natural| {
        let scaled = inverse.times(number, cancel)? >> (length + twos);
        Ok(moved(scaled, unit / 2.0))
    };
    Ok([fraction(&first)?, fraction(&last)?])
}

/// 2^(length + `bits`) over a number of that length, to within a few units.
fn inverse(number: &Natural, bits: u64, cancel: &Cancel) -> Result<Natural, TaskError> {
    /// Few enough to divide outright.
    const FEW: u64 = 1 << 12;
    // What is cut off is well below a unit.
    let length = number.significant_bits();
    let cut = length.saturating_sub(bits + GUARD);
    let (number, length) = (number >> cut, length - cut);
    if bits <= FEW {
        return Ok(Natural::power_of_2(length + bits) / number);
    }
    // One step, x + x (1 - d x), doubles the bits that are right, less a few.
    let half = bits / 2 + GUARD / 2;
    let root = inverse(&number, half, cancel)?;
    let (unity, near) = (Natural::power_of_2(length + half), product(&number, &root, cancel)?);
    let (above, error) = if near > unity { (true, near - unity) } else { (false, unity - near) };
    let cut = error.significant_bits().saturating_sub(half + GUARD);
    let change = product(&root, &(error >> cut), cancel)?;
    let (scale, wanted) = (length + 2 * half, cut + bits);
    let change = if scale > wanted { change >> (scale - wanted) } else { change << (wanted - scale) };
    let root = root << (bits - half);
    Ok(if above { root - change } else { root + change })
}

/// A fraction and some units, which may be negative and are few beside it.
fn moved(fraction: Natural, units: f64) -> Natural {
    let size = Natural::from(units.abs() as u128);
    if units < 0.0 { fraction - size } else { fraction + size }
}

/// The fraction of the first digits, as many as `power` has, and that of the others, of which there are `rest`.
fn split(fraction: &Natural, power: &Level, rest: usize, cancel: &Cancel) -> Result<[Natural; 2], TaskError> {
    let (first, twos) = (Power::bits(power.digits), power.digits as u64);
    let bits = Power::bits(power.digits + rest) - twos;
    let low = power.five.times(&fraction.mod_power_of_2(bits), cancel)?.mod_power_of_2(bits);
    // What is left over where the first digits end is not cut off but replaced by a half, lest it be nothing.
    let over = u64::try_from(&(&low >> (bits - 64))).map_or(1.0, |bits| bits as f64 * 0.5f64.powi(64));
    let high = moved(fraction >> (bits + twos - first), power.unit * (0.5 - over));
    Ok([high, low >> (bits - Power::bits(rest))])
}

/// Writes so many digits, with zeros in front.
fn pieces(
    fraction: Natural,
    digits: usize,
    ladder: &[Level],
    room: &mut Vec<u8>,
    cancel: &Cancel,
    sink: &mut impl FnMut(&[u8]) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    match ladder.split_last() {
        Some((power, smaller)) if digits > PIECE && digits > power.digits => {
            let rest = digits - power.digits;
            let [high, low] = split(&fraction, power, rest, cancel)?;
            drop(fraction);
            pieces(high, power.digits, smaller, room, cancel, sink)?;
            pieces(low, rest, smaller, room, cancel, sink)
        }
        _ => {
            room.resize(digits, b'0');
            fill(fraction, ladder, room, cancel)?;
            sink(room)
        }
    }
}

/// Fills `text` with digits.
fn fill(fraction: Natural, ladder: &[Level], text: &mut [u8], cancel: &Cancel) -> Result<(), TaskError> {
    cancel.check()?;
    match ladder.split_last() {
        Some((power, smaller)) if text.len() > LEAF && text.len() > power.digits => {
            let [high, low] = split(&fraction, power, text.len() - power.digits, cancel)?;
            drop(fraction);
            let (first, rest) = text.split_at_mut(power.digits);
            if first.len() < SHARED {
                return fill(high, smaller, first, cancel).and_then(|()| fill(low, smaller, rest, cancel));
            }
            let (first, rest) =
                cancel.join(|| fill(high, smaller, first, cancel), || fill(low, smaller, rest, cancel));
            first.and(rest)
        }
        _ => {
            read_off(&fraction, text);
            Ok(())
        }
    }
}

/// Fills `text` with the digits of a fraction, from the first on.
fn read_off(fraction: &Natural, text: &mut [u8]) {
    let limbs_of = |digits: usize| Power::bits(digits).div_ceil(64) as usize;
    let mut digits = text.len();
    let shift = limbs_of(digits) as u64 * 64 - Power::bits(digits);
    let mut limbs = (fraction << shift).into_limbs_asc();
    limbs.resize(limbs_of(digits), 0);
    let mut limbs = limbs.as_mut_slice();
    let (first, rest) = text.split_at_mut(digits % STEP);
    for text in std::iter::once(first).chain(rest.chunks_exact_mut(STEP)) {
        let mut carry = 0;
        for limb in &mut *limbs {
            let wide = u128::from(*limb) * u128::from(TENS[text.len()]) + u128::from(carry);
            (*limb, carry) = (wide as u64, (wide >> 64) as u64);
        }
        put(carry, text);
        digits -= text.len();
        // Bits that are too low to reach the digits that are left.
        let low = limbs.len() - limbs_of(digits);
        limbs = &mut limbs[low..];
    }
}

/// Fills `text` with the last digits of a number.
fn put(mut number: u64, text: &mut [u8]) {
    let (rest, pairs) = text.as_rchunks_mut::<2>();
    for pair in pairs.iter_mut().rev() {
        let two = (number % 100) as u8;
        number /= 100;
        *pair = [b'0' + two / 10, b'0' + two % 10];
    }
    if let Some(digit) = rest.first_mut() {
        *digit = b'0' + (number % 10) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use malachite_base::num::basic::traits::Zero;
    use proptest::prelude::*;

    fn text(number: &Natural) -> String {
        let mut text = Vec::new();
        let cancel = Cancel::new().helped_by(&Cores::new(2));
        let sink = |piece: &[u8]| {
            text.extend_from_slice(piece);
            Ok(())
        };
        write(number, &cancel, sink).unwrap();
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_text_is_that_of_the_library(limbs in prop::collection::vec(any::<u64>(), 0..2000)) {
            let number = Natural::from_limbs_asc(&limbs);
            prop_assert_eq!(text(&number), number.to_string());
        }
    }

    #[test]
    fn runs_of_nines_and_zeros_are_written_out() {
        for digits in [1, 2, 19, LEAF - 1, LEAF, LEAF + 1, 2 * LEAF, 2 * LEAF + 1, 16 * LEAF - 7, 50_000] {
            let power = Natural::from(10u32).pow(digits as u64);
            assert!(text(&power) == format!("1{}", "0".repeat(digits)), "{digits}");
            assert!(text(&(&power - Natural::ONE)) == "9".repeat(digits), "{digits}");
            assert!(text(&(power + Natural::ONE)) == format!("1{}1", "0".repeat(digits - 1)), "{digits}");
        }
        assert_eq!(text(&Natural::ZERO), "0");
        let digits = 2 * PIECE + 5;
        let power = Natural::from(10u32).pow(digits as u64);
        assert!(text(&(power - Natural::ONE)) == "9".repeat(digits), "several pieces");
    }

    #[test]
    fn inverses_are_right_to_within_a_few_units() {
        for digits in [100, 2_001, 30_011, 200_003] {
            let five = Natural::from(5u32).pow(digits);
            for bits in [70, 5_000, Power::bits(digits as usize), 1_000_000] {
                let exact = Natural::power_of_2(five.significant_bits() + bits) / &five;
                let found = inverse(&five, bits, &Cancel::new()).unwrap();
                let apart = if exact > found { exact - found } else { found - exact };
                assert!(apart <= 4u32, "{apart} of {bits} bits at {digits}");
            }
        }
    }
}
