//! The decimal text of large naturals, in quasi-linear time.
//!
//! Divide and conquer: a number of 2k digits is divided by 10^k, and quotient and remainder are written side by
//! side. 10^k is 5^k shifted, so only what is left of the number after the shift is divided, by 5^k; and that
//! takes two multiplications, because the inverses of the few divisors are computed beforehand, each from the next
//! smaller one by a step of Newton's method (Brent and Zimmermann, "Modern computer arithmetic", sections 1.7
//! and 2.4.1).
//!
//! Every multiplication is one that can be cancelled, and the two halves are independent of each other.

use super::multiply::{product, square};
use crate::cancel::Cancel;
use malachite_base::num::{
    arithmetic::traits::{DivExact, ModPowerOf2, Pow, PowerOf2},
    basic::traits::One,
    logic::traits::SignificantBits,
};
use malachite_nz::natural::Natural;
use sgdt_proto::task::TaskError;
use std::f64::consts::{LOG2_10, LOG10_2};

/// The text of numbers up to this many digits is left to `malachite`: some tens of microseconds.
const LEAF: usize = 2_000;

/// The decimal digits of `number`, in ASCII, at the start of a vector that has room for `spare` bytes more. The
/// first is not zero, unless it is the only one.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn digits(number: Natural, spare: usize, cancel: &Cancel) -> Result<Vec<u8>, TaskError> {
    // At least as many as there are, also where the double is rounded down across a whole number.
    let at_most = (number.significant_bits() as f64 * LOG10_2) as usize + 2;
    let divisors = Divisor::ladder(at_most, cancel)?;
    let mut text = Vec::with_capacity(at_most + spare);
    text.resize(at_most, b'0');
    write(number, &divisors, &mut text, cancel)?;
    let zeros = text.iter().take(at_most - 1).take_while(|&&digit| digit == b'0').count();
    text.drain(..zeros);
    Ok(text)
}

/// Fills `text`, which is as long as `number` may have digits, with zeros in front.
fn write(number: Natural, divisors: &[Divisor], text: &mut [u8], cancel: &Cancel) -> Result<(), TaskError> {
    cancel.check()?;
    match divisors.split_last() {
        Some((divisor, smaller)) if divisor.digits < text.len() => {
            let (high, low) = text.split_at_mut(text.len() - divisor.digits);
            let (quotient, remainder) = divisor.divide(number, cancel)?;
            write(quotient, smaller, high, cancel)?;
            write(remainder, smaller, low, cancel)
        }
        Some((_, smaller)) => write(number, smaller, text, cancel),
        None => {
            let digits = number.to_string();
            let (zeros, rest) = text.split_at_mut(text.len() - digits.len());
            zeros.fill(b'0');
            rest.copy_from_slice(digits.as_bytes());
            Ok(())
        }
    }
}

/// How many bits inverses have beyond those that quotients need. The square of an inverse has half as many right
/// bits as the next inverse, and Newton's step doubles them, less a few: without a reserve, the few would double,
/// too, from each to the next.
const GUARD: u64 = 64;

/// 10^`digits`, prepared to divide numbers of up to twice as many digits.
struct Divisor {
    digits: usize,
    /// 5^`digits`.
    five: Natural,
    /// 2^`scale` / `five`, to within a unit or two.
    inverse: Natural,
    /// Numbers below 10^(2 `digits`), shifted right by `digits` bits, have at least [`GUARD`] bits fewer.
    scale: u64,
}

impl Divisor {
    /// The divisors to take a number of `digits` digits apart, smallest first: each half the next, rounded up.
    fn ladder(digits: usize, cancel: &Cancel) -> Result<Vec<Self>, TaskError> {
        let lengths = std::iter::successors(Some(digits), |digits| Some(digits.div_ceil(2)));
        let sizes: Vec<_> =
            lengths.take_while(|&digits| digits > LEAF).map(|digits| digits.div_ceil(2)).collect();
        let mut ladder: Vec<Self> = Vec::new();
        for digits in sizes.into_iter().rev() {
            let divisor = match ladder.last() {
                None => Self::first(digits),
                Some(previous) => previous.next(digits, cancel)?,
            };
            ladder.push(divisor);
        }
        Ok(ladder)
    }

    fn scale(digits: usize) -> u64 {
        // One bit for the fraction, one for rounding in the product.
        (digits as f64 * (2.0 * LOG2_10 - 1.0)) as u64 + 2 + GUARD
    }

    fn first(digits: usize) -> Self {
        let (five, scale) = (Natural::from(5u32).pow(digits as u64), Self::scale(digits));
        Self { digits, inverse: Natural::power_of_2(scale) / &five, five, scale }
    }

    /// The divisor with twice as many digits, or one less.
    fn next(&self, digits: usize, cancel: &Cancel) -> Result<Self, TaskError> {
        let (mut five, mut root) = (square(&self.five, cancel)?, square(&self.inverse, cancel)?);
        if digits < 2 * self.digits {
            let factor = Natural::from(5u32);
            root *= &factor;
            five = five.div_exact(factor);
        }
        let scale = Self::scale(digits);
        let inverse = refine(root, 2 * self.scale, &five, scale, cancel)?;
        Ok(Self { digits, five, inverse, scale })
    }

    /// Quotient and remainder of a number below 10^(2 `digits`).
    fn divide(&self, number: Natural, cancel: &Cancel) -> Result<(Natural, Natural), TaskError> {
        let twos = self.digits as u64;
        let low = (&number).mod_power_of_2(twos);
        let number = number >> twos;
        // Barrett: what is cut off here, the inverse's error and rounding make the quotient wrong by a unit or two.
        let cut = self.five.significant_bits() - 2;
        let mut quotient = product(&(&number >> cut), &self.inverse, cancel)? >> (self.scale - cut);
        let mut multiple = product(&quotient, &self.five, cancel)?;
        while multiple > number {
            multiple -= &self.five;
            quotient -= Natural::ONE;
        }
        let mut remainder = number - multiple;
        while remainder >= self.five {
            remainder -= &self.five;
            quotient += Natural::ONE;
        }
        Ok((quotient, (remainder << twos) + low))
    }
}

/// 2^`to` / `divisor` to within a unit or two, from `root`, which is 2^`from` / `divisor` to half as many bits.
fn refine(
    root: Natural,
    from: u64,
    divisor: &Natural,
    to: u64,
    cancel: &Cancel,
) -> Result<Natural, TaskError> {
    // One step, x + x (1 - d x), doubles the bits that are right. What is cut off is well below those.
    let bits = (to - divisor.significant_bits()) / 2 + GUARD;
    let cut = root.significant_bits().saturating_sub(bits);
    let (root, from) = (root >> cut, from - cut);
    let cut = divisor.significant_bits().saturating_sub(2 * bits);
    let (divisor, one) = (divisor >> cut, from - cut);

    let unity = Natural::power_of_2(one);
    let near = product(&divisor, &root, cancel)?;
    let (too_much, error) = if near > unity { (true, near - unity) } else { (false, unity - near) };
    let cut = error.significant_bits().saturating_sub(bits);
    let change = product(&root, &(error >> cut), cancel)?;

    let place = |number: Natural, scale: u64| {
        if to < scale { number >> (scale - to) } else { number << (to - scale) }
    };
    let (root, change) = (place(root, from), place(change, from + one - cut));
    Ok(if too_much { root - change } else { root + change })
}

#[cfg(test)]
mod tests {
    use super::*;
    use malachite_base::num::basic::traits::Zero;
    use proptest::prelude::*;

    fn text(number: &Natural) -> String {
        String::from_utf8(digits(number.clone(), 0, &Cancel::new()).unwrap()).unwrap()
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
            assert_eq!(text(&power), format!("1{}", "0".repeat(digits)));
            assert_eq!(text(&(&power - Natural::ONE)), "9".repeat(digits));
            assert_eq!(text(&(power + Natural::ONE)), format!("1{}1", "0".repeat(digits - 1)));
        }
        assert_eq!(text(&Natural::ZERO), "0");
    }

    #[test]
    fn inverses_are_right_to_within_two_units() {
        // Errors that grow from one to the next grow most from a short first one on.
        for digits in [LEAF + 1, 30_011, 200_003, 262_032, 1_048_125] {
            for Divisor { five, inverse, scale, .. } in Divisor::ladder(digits, &Cancel::new()).unwrap() {
                let exact = Natural::power_of_2(scale) / five;
                let apart = if exact > inverse { exact - inverse } else { inverse - exact };
                assert!(apart <= 2u32, "{apart} at {digits}");
            }
        }
    }
}
