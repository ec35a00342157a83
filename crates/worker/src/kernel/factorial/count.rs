//! How many decimal digits n! has, without computing it.
//!
//! Stirling's series for ln n! lies between any two of its partial sums that follow each other, so cutting it off
//! before and after a term gives bounds: n ln n - n + (ln n)/2 + ln(2 pi)/2 + 1/(12 n), and 1/(360 n^3) less.
//! Both are evaluated in fixed point, so precisely that rounding does not matter. Where they agree on the number
//! of digits, that is it; they do not where a power of ten lies between them.

use malachite_base::num::{
    arithmetic::traits::{Pow, PowerOf2},
    basic::traits::Zero,
};
use malachite_nz::natural::Natural;

/// How many bits follow the point.
const FRACTION: u64 = 192;

/// Rounding errors stay below two to the power of minus this: the logarithms' are multiplied by n at most.
const CERTAIN: u64 = 100;

/// ln(2 pi)/2, times 10^38 (OEIS A075700).
const HALF_LN_TAU: u128 = 91_893_853_320_467_274_178_032_973_640_561_763_986;

/// The number of digits of n!, if it can be told.
pub fn digits(n: u64) -> Option<u128> {
    if n < 2 {
        return Some(1);
    }
    let (ln_n, cube) = (ln(n), Natural::from(n).pow(3));
    let one = Natural::power_of_2(FRACTION);
    let positive = [
        &ln_n * Natural::from(n),
        &ln_n >> 1u32,
        (Natural::from(HALF_LN_TAU) << FRACTION) / Natural::from(10u32).pow(38),
        &one / Natural::from(12 * u128::from(n)),
    ];
    let estimate =
        positive.into_iter().fold(Natural::ZERO, |sum, term| sum + term) - (Natural::from(n) << FRACTION);
    let slack = Natural::power_of_2(FRACTION - CERTAIN);
    let low = &estimate - one / (Natural::from(360u32) * cube) - &slack;
    let high = estimate + slack;
    let [low, high] = [low, high].map(|bound| bound / ln(10));
    (low == high).then(|| u128::try_from(&low).ok()?.checked_add(1)).flatten()
}

/// ln n, for n of at least 1, times two to the power of [`FRACTION`].
fn ln(n: u64) -> Natural {
    // n = 2^e (1 + z) / (1 - z), with z below 1/3.
    let exponent = n.ilog2();
    let power = 1 << exponent;
    let ln_2 = twice_atanh(1, 3);
    ln_2 * Natural::from(exponent) + twice_atanh((n - power).into(), u128::from(n) + u128::from(power))
}

/// 2 atanh(p/q), times two to the power of [`FRACTION`]: 2 (z + z^3/3 + z^5/5 + ...).
fn twice_atanh(p: u128, q: u128) -> Natural {
    let (p, q) = (Natural::from(p), Natural::from(q));
    let (p_squared, q_squared) = ((&p).pow(2), (&q).pow(2));
    let mut power = (p << (FRACTION + 1)) / q;
    let mut sum = Natural::ZERO;
    let mut odd = 1u32;
    while power > 0u32 {
        sum += &power / Natural::from(odd);
        power = power * &p_squared / &q_squared;
        odd += 2;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use malachite_base::num::arithmetic::traits::Factorial;

    #[test]
    fn it_is_the_length_of_the_text() {
        for n in (0..1500).chain([4_999, 10_000]) {
            assert_eq!(digits(n), Some(Natural::factorial(n).to_string().len() as u128), "{n}");
        }
    }

    #[test]
    fn it_is_the_published_number_for_powers_of_ten() {
        // OEIS A061010: the number of digits of (10^n)!.
        let published = [
            1,
            7,
            158,
            2_568,
            35_660,
            456_574,
            5_565_709,
            65_657_060,
            756_570_557,
            8_565_705_523,
            95_657_055_187,
            1_056_570_551_816,
        ];
        for (exponent, expected) in published.into_iter().enumerate() {
            assert_eq!(digits(10u64.pow(exponent as u32)), Some(expected), "(10^{exponent})!");
        }
    }

    #[test]
    fn logarithms_are_right_to_the_last_bits() {
        assert_eq!(ln(1), 0u32);
        // ln 2 and ln 10 to 50 digits (OEIS A002162, A002392).
        for (n, published) in [
            (2, "69314718055994530941723212145817656807550013436025"),
            (10, "230258509299404568401799145468436420760110148862877"),
        ] {
            let ours = (ln(n) * Natural::from(10u32).pow(50)) >> FRACTION;
            let published: Natural = published.parse().unwrap();
            assert!(ours == published || ours + Natural::from(1u32) == published, "ln {n}");
        }
        let largest = (u64::MAX as f64).ln();
        let ours = u128::try_from(&(ln(u64::MAX) >> (FRACTION - 64))).unwrap() as f64 / 2f64.powi(64);
        assert!((largest - ours).abs() < 1e-13);
    }
}
