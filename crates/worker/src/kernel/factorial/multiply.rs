//! Multiplication of large naturals that can be stopped, on as many threads as are idle.
//!
//! `malachite` multiplies in quasi-linear time, but on one thread, and a call cannot be interrupted. So large products
//! are made here: the factors are taken for polynomials whose coefficients are known modulo eight primes, one to a lane
//! of a vector register ([`lanes`]); [`transform`] takes polynomials to their values and back; [`words`] takes naturals
//! to coefficients and back (Pollard, "The fast Fourier transform in a finite field", Math. Comp. 25, 1971; with small
//! primes in doubles as in FLINT's `fft_small`).
//!
//! Peak memory beside the factors and the product: 7 to 11 times the product's size, and 4 to 7 times for a square.

mod lanes;
mod transform;
mod words;

use crate::{cancel::Cancel, kernel::zeros::zeros};
use lanes::Lanes;
use malachite_base::num::{
    arithmetic::traits::{ModPowerOf2, Square},
    logic::traits::SignificantBits,
};
use malachite_nz::natural::Natural;
use pulp::{Arch, Simd, WithSimd};
use sgdt_proto::task::TaskError;
use transform::{QUICK, SHARED, Twiddles};

/// Which products are left to `malachite`.
struct Small {
    /// Those of fewer bits: it is faster. Without vectors of 64 bytes it is as fast up to any size.
    bits: u64,
    /// Those with a factor of fewer bits: it takes them for what they are. Long ones are halved until they have at
    /// most `long` bits, some 30 ms.
    short: u64,
    long: u64,
    /// Those of fewer bits also where a factor's values could be kept.
    kept: u64,
}

const SMALL: Small = Small { bits: 1 << 19, short: 1 << 13, long: 3 << 24, kept: 1 << 17 };

/// `a` times `b`.
///
/// # Errors
/// `cancelled` or `timeout`; `too-large`: there is no memory for it.
pub(super) fn product(a: &Natural, b: &Natural, cancel: &Cancel) -> Result<Natural, TaskError> {
    multiply(a, b, &SMALL, cancel)
}

/// `a` times itself, which takes two thirds of the time.
///
/// # Errors
/// As [`product`].
pub(super) fn square(a: &Natural, cancel: &Cancel) -> Result<Natural, TaskError> {
    multiply(a, a, &SMALL, cancel)
}

/// `a` times itself times `b`, which is the shorter one. Transforms have the length of the product: two products, one
/// of which is half as long, take four and a half of the long ones, where the square first would take five.
///
/// # Errors
/// As [`product`].
pub(super) fn square_times(a: &Natural, b: &Natural, cancel: &Cancel) -> Result<Natural, TaskError> {
    product(&product(a, b, cancel)?, a, cancel)
}

fn multiply(a: &Natural, b: &Natural, small: &Small, cancel: &Cancel) -> Result<Natural, TaskError> {
    cancel.check()?;
    let (a, b) = if a.significant_bits() < b.significant_bits() { (b, a) } else { (a, b) };
    let (long, short) = (a.significant_bits(), b.significant_bits());
    if short < small.short && long > small.long.max(2 * short) {
        let half = long.div_ceil(2);
        let (low, high) = cancel.join(
            || multiply(&a.mod_power_of_2(half), b, small, cancel),
            || multiply(&(a >> half), b, small, cancel),
        );
        return Ok((high? << half) + low?);
    }
    let squaring = std::ptr::eq(a, b);
    if long + short < small.bits || short < small.short || !has_fused_multiply_add() {
        return Ok(if squaring { a.square() } else { a * b });
    }
    let (a, b) = (a.as_limbs_asc(), (!squaring).then(|| b.as_limbs_asc()));
    convolution(a, b, cancel)
}

/// Without it the library's multiplication is faster by far. Processors have had it since 2013.
fn has_fused_multiply_add() -> bool {
    !matches!(Arch::new(), Arch::Scalar)
}

/// A factor of many products, whose values are kept: each product takes two transforms where it would take three.
pub(super) struct Factor {
    number: Natural,
    kept: Option<Kept>,
}

struct Kept {
    twiddles: Twiddles,
    values: Vec<Lanes>,
    /// What a product's coefficients are multiplied by when they are read.
    weights: Lanes,
}

impl Factor {
    /// `number`, to be multiplied by numbers of up to `bits` bits. What is kept takes 4 to 7 times as much memory
    /// as a product.
    ///
    /// # Errors
    /// As [`product`].
    pub(super) fn of(number: Natural, bits: u64, cancel: &Cancel) -> Result<Self, TaskError> {
        let worth_it = number.significant_bits() + bits >= SMALL.kept && has_fused_multiply_add();
        let kept = worth_it.then(|| Kept::of(number.as_limbs_asc(), bits, cancel)).transpose()?;
        Ok(Self { number, kept })
    }

    /// This times `other`.
    ///
    /// # Errors
    /// As [`product`].
    pub(super) fn times(&self, other: &Natural, cancel: &Cancel) -> Result<Natural, TaskError> {
        let (own, other_limbs) = (self.number.as_limbs_asc().len(), other.as_limbs_asc());
        match &self.kept {
            Some(kept) if words::count(own) + words::count(other_limbs.len()) <= kept.values.len() => {
                let mut x = values(other_limbs, kept.values.len(), &kept.twiddles, cancel)?;
                pointwise(&mut x, Some(&kept.values), cancel)?;
                transform::backward(&mut x, &kept.twiddles, cancel)?;
                natural(&x, kept.weights, own + other_limbs.len(), cancel)
            }
            _ => product(&self.number, other, cancel),
        }
    }
}

impl Kept {
    fn of(limbs: &[u64], bits: u64, cancel: &Cancel) -> Result<Self, TaskError> {
        let others = usize::try_from(bits.div_ceil(64)).map_err(|_| no_memory())?;
        let length = transform::length(words::count(limbs.len()) + words::count(others));
        let twiddles = Twiddles::of(length, cancel)?;
        let values = values(limbs, length, &twiddles, cancel)?;
        Ok(Self { twiddles, values, weights: words::weights(transform::scale(length)) })
    }
}

/// `a` times `b`, or `a` times itself.
fn convolution(a: &[u64], b: Option<&[u64]>, cancel: &Cancel) -> Result<Natural, TaskError> {
    let limbs = a.len() + b.map_or(a.len(), <[u64]>::len);
    let length = transform::length(words::count(a.len()) + words::count(limbs - a.len()));
    let twiddles = Twiddles::of(length, cancel)?;
    let values = |limbs| values(limbs, length, &twiddles, cancel);
    let (mut x, y) = match b {
        Some(b) => {
            let (of_a, of_b) = if length < SHARED {
                (values(a), values(b))
            } else {
                cancel.join(|| values(a), || values(b))
            };
            (of_a?, Some(of_b?))
        }
        None => (values(a)?, None),
    };
    pointwise(&mut x, y.as_deref(), cancel)?;
    drop(y);
    transform::backward(&mut x, &twiddles, cancel)?;
    drop(twiddles);
    natural(&x, words::weights(transform::scale(length)), limbs, cancel)
}

/// The values of the polynomial that these limbs are.
fn values(
    limbs: &[u64],
    length: usize,
    twiddles: &Twiddles,
    cancel: &Cancel,
) -> Result<Vec<Lanes>, TaskError> {
    let mut x = zeros(length, cancel)?.ok_or_else(no_memory)?;
    words::spread(limbs, &mut x, cancel)?;
    transform::forward(&mut x, twiddles, cancel)?;
    Ok(x)
}

/// The natural of so many limbs whose coefficients came back from a transform.
fn natural(x: &[Lanes], weights: Lanes, limbs: usize, cancel: &Cancel) -> Result<Natural, TaskError> {
    let mut product = zeros(limbs, cancel)?.ok_or_else(no_memory)?;
    words::gather(x, weights, &mut product, cancel)?;
    Ok(Natural::from_owned_limbs_asc(product))
}

/// The values of a product of polynomials, of up to one prime in size, or of the square of one.
fn pointwise(x: &mut [Lanes], y: Option<&[Lanes]>, cancel: &Cancel) -> Result<(), TaskError> {
    cancel.check()?;
    if x.len() > QUICK {
        let middle = x.len() / 2;
        let ((x, x2), y) = (x.split_at_mut(middle), y.map(|y| y.split_at(middle)));
        let (front, back) = cancel
            .join(|| pointwise(x, y.map(|(y, _)| y), cancel), || pointwise(x2, y.map(|(_, y)| y), cancel));
        return front.and(back);
    }
    Arch::new().dispatch(Pointwise { x, y });
    Ok(())
}

struct Pointwise<'a> {
    x: &'a mut [Lanes],
    y: Option<&'a [Lanes]>,
}

impl WithSimd for Pointwise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.y {
            Some(y) => {
                for (x, y) in self.x.iter_mut().zip(y) {
                    *x = x.times(simd, y.reduced(simd));
                }
            }
            None => {
                for x in self.x {
                    *x = x.times(simd, x.reduced(simd));
                }
            }
        }
    }
}

/// Room for so many.
fn reserved<T>(len: usize) -> Result<Vec<T>, TaskError> {
    let mut room = Vec::new();
    room.try_reserve_exact(len).map_err(|_| no_memory())?;
    Ok(room)
}

fn no_memory() -> TaskError {
    TaskError::too_large("there is no memory left for a multiplication")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use malachite_base::num::basic::traits::Zero;
    use proptest::prelude::*;
    use sgdt_proto::{kind::random, task::ErrorCode};

    const NONE: Small = Small { bits: 0, short: 0, long: u64::MAX, kept: 0 };

    fn natural(limbs: std::ops::Range<usize>) -> impl Strategy<Value = Natural> {
        // Ones and zeros in long runs are where carries and borrows go wrong.
        let limb = prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)];
        prop::collection::vec(limb, limbs).prop_map(|limbs| Natural::from_limbs_asc(&limbs))
    }

    fn made(limbs: u64, seed: u64) -> Natural {
        Natural::from_owned_limbs_asc((0..limbs).map(|index| random::word(seed, index)).collect())
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_library(a in natural(1..400), b in natural(1..400), short in 0u64..2000) {
            let cancel = Cancel::new();
            for small in [NONE, Small { short, long: 200, ..NONE }] {
                prop_assert_eq!(multiply(&a, &b, &small, &cancel).unwrap(), &a * &b);
                prop_assert_eq!(multiply(&a, &a, &small, &cancel).unwrap(), (&a).square());
            }
            for bits in [0, 64, b.significant_bits(), 1 << 14] {
                let kept = Some(Kept::of(a.as_limbs_asc(), bits, &cancel).unwrap());
                let factor = Factor { number: a.clone(), kept };
                prop_assert_eq!(factor.times(&b, &cancel).unwrap(), &a * &b, "kept for {} bits", bits);
            }
        }
    }

    #[test]
    fn long_products_are_those_of_the_library_on_any_number_of_threads() {
        for threads in [1, 4] {
            let cancel = Cancel::new().helped_by(&Cores::new(threads));
            // Both kinds of lengths, on both sides of where threads share each step, and the largest coefficients there
            // are.
            for (a, b) in [
                (3_000, 1),
                (15_000, 15_000),
                (23_000, 23_000),
                (45_000, 45_000),
                (60_000, 70_000),
                (190_000, 200_000),
                (400_000, 450_000),
                (600_000, 610_000),
            ] {
                let (x, y) = (made(a, 1), made(b, 2));
                assert!(multiply(&x, &y, &NONE, &cancel).unwrap() == &x * &y, "{a} x {b}");
                let factor = Factor::of(y.clone(), 64 * a, &cancel).unwrap();
                assert!(factor.times(&x, &cancel).unwrap() == &x * &y, "{a} x {b}, which is kept");
                let ones = Natural::from_owned_limbs_asc(vec![u64::MAX; a as usize]);
                assert!(multiply(&ones, &ones, &NONE, &cancel).unwrap() == (&ones).square(), "{a} ones");
            }
        }
    }

    #[test]
    fn nothing_times_anything_is_nothing() {
        let long = made(100, 1);
        assert_eq!(product(&long, &Natural::ZERO, &Cancel::new()).unwrap(), 0u32);
    }

    #[test]
    fn a_cancelled_product_stops() {
        let cancel = Cancel::new();
        cancel.cancel();
        let a = made(100_000, 1);
        assert_eq!(product(&a, &a, &cancel).unwrap_err().code, ErrorCode::Cancelled);
    }
}
