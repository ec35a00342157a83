//! Multiplication of large naturals that can be stopped.
//!
//! `malachite` multiplies in quasi-linear time, but a call cannot be interrupted, and from some seven million digits
//! on one call takes more than 50 ms. Above that size factors are split here first, by Toom and Cook's method in
//! three parts (Cook 1966; the points are 0, 1, -1, 2 and infinity, as in Bodrato and Zanoni, ISSAC 2007): five
//! products of a third of the size. That costs up to twice the time of the one call, which is some tenth of the
//! factorial of ten million with its text, and nothing below that of two million. The five products are independent
//! of each other.

use crate::cancel::Cancel;
use malachite_base::num::{
    arithmetic::traits::{DivExact, ModPowerOf2, Square, UnsignedAbs},
    logic::traits::SignificantBits,
};
use malachite_nz::{integer::Integer, natural::Natural};
use sgdt_proto::task::TaskError;

/// The largest product that is left to one call, in bits: some 50 ms.
const MAX_BITS: u64 = 3 << 24;

/// `a` times `b`.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn product(a: &Natural, b: &Natural, cancel: &Cancel) -> Result<Natural, TaskError> {
    multiply(a, b, MAX_BITS, cancel)
}

/// `a` times itself, for which `malachite` needs two thirds of the time.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn square(a: &Natural, cancel: &Cancel) -> Result<Natural, TaskError> {
    multiply(a, a, MAX_BITS, cancel)
}

/// Factors of one word are not worth splitting for, whatever the other.
const WORD: u64 = 64;

fn multiply(a: &Natural, b: &Natural, max_bits: u64, cancel: &Cancel) -> Result<Natural, TaskError> {
    cancel.check()?;
    let (a, b) = if a.significant_bits() < b.significant_bits() { (b, a) } else { (a, b) };
    let (long, short) = (a.significant_bits(), b.significant_bits());
    if long + short <= max_bits || short <= WORD {
        Ok(if std::ptr::eq(a, b) { a.square() } else { a * b })
    } else if long >= 2 * short {
        let half = long.div_ceil(2);
        let low = multiply(&a.mod_power_of_2(half), b, max_bits, cancel)?;
        Ok((multiply(&(a >> half), b, max_bits, cancel)? << half) + low)
    } else {
        in_thirds(a, b, long.div_ceil(3), max_bits, cancel)
    }
}

/// Splits `a` and `b` into parts of `bits` bits, and takes them for polynomials of degree 2.
fn in_thirds(
    a: &Natural,
    b: &Natural,
    bits: u64,
    max_bits: u64,
    cancel: &Cancel,
) -> Result<Natural, TaskError> {
    let values_of_a = Values::of(a, bits);
    let squaring = std::ptr::eq(a, b);
    let values_of_b = (!squaring).then(|| Values::of(b, bits));
    let (x, y) = (&values_of_a, values_of_b.as_ref().unwrap_or(&values_of_a));

    let at_0 = multiply(&x.at_0, &y.at_0, max_bits, cancel)?;
    let at_1 = multiply(&x.at_1, &y.at_1, max_bits, cancel)?;
    let at_2 = multiply(&x.at_2, &y.at_2, max_bits, cancel)?;
    let at_infinity = multiply(&x.at_infinity, &y.at_infinity, max_bits, cancel)?;
    let at_minus_1 = multiply(&x.at_minus_1, &y.at_minus_1, max_bits, cancel)?;
    let at_minus_1 = Integer::from_sign_and_abs(x.negative == y.negative, at_minus_1);

    // The product is c0 + c1 z + c2 z^2 + c3 z^3 + c4 z^4 at z = 2^bits, and no coefficient is negative.
    let (c0, c4) = (at_0, at_infinity);
    let at_1 = Integer::from(at_1);
    let even: Natural = ((&at_1 + &at_minus_1) >> 1u32).unsigned_abs();
    let odd: Natural = ((at_1 - at_minus_1) >> 1u32).unsigned_abs();
    let c2 = even - &c0 - &c4;
    let odd_at_2 = (at_2 - &c0 - (&c2 << 2u32) - (&c4 << 4u32)) >> 1u32;
    let c3 = (odd_at_2 - &odd).div_exact(Natural::from(3u32));
    let c1 = odd - &c3;
    cancel.check()?;
    Ok(c0 + ((c1 + ((c2 + ((c3 + (c4 << bits)) << bits)) << bits)) << bits))
}

/// A polynomial of degree 2 at the five points. At -1 it is given by its size, and whether that is negative.
struct Values {
    at_0: Natural,
    at_1: Natural,
    at_minus_1: Natural,
    negative: bool,
    at_2: Natural,
    at_infinity: Natural,
}

impl Values {
    fn of(number: &Natural, bits: u64) -> Self {
        let low = number.mod_power_of_2(bits);
        let middle = (number >> bits).mod_power_of_2(bits);
        let high = number >> (2 * bits);
        let outer = &low + &high;
        let negative = outer < middle;
        Self {
            at_1: &outer + &middle,
            at_minus_1: if negative { &middle - &outer } else { outer - &middle },
            negative,
            at_2: &low + (middle << 1u32) + (&high << 2u32),
            at_0: low,
            at_infinity: high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use malachite_base::num::basic::traits::Zero;
    use proptest::prelude::*;
    use sgdt_proto::task::ErrorCode;

    fn natural(limbs: std::ops::Range<usize>) -> impl Strategy<Value = Natural> {
        // Ones and zeros in long runs are where carries and borrows go wrong.
        let limb = prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)];
        prop::collection::vec(limb, limbs).prop_map(|limbs| Natural::from_limbs_asc(&limbs))
    }

    proptest! {
        #[test]
        fn products_do_not_depend_on_how_they_are_split(
            a in natural(0..40), b in natural(0..40), max_bits in 128u64..2000,
        ) {
            let cancel = Cancel::new();
            prop_assert_eq!(multiply(&a, &b, max_bits, &cancel).unwrap(), &a * &b);
            prop_assert_eq!(multiply(&a, &a, max_bits, &cancel).unwrap(), (&a).square());
        }
    }

    #[test]
    fn nothing_and_one_word_are_multiplied_whatever_the_limit() {
        let long = Natural::from(3u32) << 5000u32;
        let cancel = Cancel::new();
        assert_eq!(multiply(&long, &Natural::ZERO, 0, &cancel).unwrap(), 0u32);
        assert_eq!(
            multiply(&Natural::from(5u32), &long, 0, &cancel).unwrap(),
            Natural::from(15u32) << 5000u32
        );
    }

    #[test]
    fn a_cancelled_product_stops() {
        let cancel = Cancel::new();
        cancel.cancel();
        let a = Natural::from(3u32);
        assert_eq!(product(&a, &a, &cancel).unwrap_err().code, ErrorCode::Cancelled);
    }
}
