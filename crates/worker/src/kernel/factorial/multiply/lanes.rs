//! Arithmetic modulo eight primes of 50 bits at a time, one to a lane, in doubles.
//!
//! A product of two residues is split into its rounded half and the rest by a fused multiply-add, and the multiple of
//! the prime that is nearest to it is taken off: six operations that vectorise (van der Hoeven, Lecerf and Quintin,
//! "Modular SIMD arithmetic in Mathemagix", ACM TOMS 43, 2016; FLINT's `fft_small` does the same). Residues are whole
//! numbers that need not be reduced: each function says how large they may be, in multiples of the primes.

use bytemuck::Zeroable;
use pulp::{Scalar, Simd};
use std::array::from_fn;

/// How many primes there are.
pub(super) const LANES: usize = 8;

/// The primes are this many times 2^32, plus one: the eight largest below 2^50. So there are roots of unity of orders
/// up to 2^32.
const QUOTIENTS: [u64; LANES] = [262_131, 262_125, 262_123, 262_081, 262_080, 262_048, 262_000, 261_976];

/// The primes.
pub(super) const PRIMES: [u64; LANES] = {
    let mut primes = QUOTIENTS;
    let mut lane = 0;
    while lane < LANES {
        primes[lane] = (QUOTIENTS[lane] << 32) + 1;
        lane += 1;
    }
    primes
};

/// A root of unity of order 2^32 for each prime.
const ROOTS: [u64; LANES] = [
    786_008_014_450_235,
    147_641_925_747_491,
    981_578_757_977_294,
    471_535_527_357_524,
    417_876_965_932_711,
    458_010_413_125_077,
    528_161_200_896_742,
    698_502_836_831_190,
];

const P: [f64; LANES] = {
    let mut primes = [0.0; LANES];
    let mut lane = 0;
    while lane < LANES {
        primes[lane] = PRIMES[lane] as f64;
        lane += 1;
    }
    primes
};

/// One over each prime.
const INVERSES: [f64; LANES] = {
    let mut inverses = P;
    let mut lane = 0;
    while lane < LANES {
        inverses[lane] = 1.0 / P[lane];
        lane += 1;
    }
    inverses
};

/// Numbers of up to 2^51 in size are rounded to whole ones where this is added to them.
const TO_WHOLE: f64 = 1.5 / f64::EPSILON;

/// Whole numbers from this to twice it have all their bits but the highest in the fraction.
const FRACTION: u64 = 1 << 52;

/// What makes whole numbers of residues, in the fraction.
const RAISE: [f64; LANES] = {
    let mut raise = P;
    let mut lane = 0;
    while lane < LANES {
        raise[lane] += FRACTION as f64;
        lane += 1;
    }
    raise
};

/// A residue for each prime.
///
/// What is done with them asks for vectors by name: of loops over lanes, the compiler makes vectors of the lanes of
/// neighbours, which it gathers one by one.
#[derive(Clone, Copy, PartialEq, Debug, Zeroable)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f64; LANES]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0.0; LANES]);
    pub(super) const ONE: Self = Self([1.0; LANES]);

    /// The residues of one number below the primes.
    #[inline(always)]
    pub(super) fn splat(number: f64) -> Self {
        Self([number; LANES])
    }

    /// The residues of a number for each prime, below the prime.
    pub(super) fn of(residues: [u64; LANES]) -> Self {
        Self(residues.map(|residue| residue as f64)).reduced(Scalar::new())
    }

    #[inline(always)]
    pub(super) fn plus<S: Simd>(mut self, simd: S, other: Self) -> Self {
        let (own, other) = (wide_mut::<S>(&mut self), wide::<S>(&other.0));
        for at in 0..own.len() {
            own[at] = simd.add_f64s(own[at], other[at]);
        }
        self
    }

    #[inline(always)]
    pub(super) fn minus<S: Simd>(mut self, simd: S, other: Self) -> Self {
        let (own, other) = (wide_mut::<S>(&mut self), wide::<S>(&other.0));
        for at in 0..own.len() {
            own[at] = simd.sub_f64s(own[at], other[at]);
        }
        self
    }

    /// The product, up to one prime in size. The sizes of the factors may multiply to two primes squared.
    #[inline(always)]
    pub(super) fn times<S: Simd>(mut self, simd: S, other: Self) -> Self {
        let (own, other) = (wide_mut::<S>(&mut self), wide::<S>(&other.0));
        let (primes, inverses) = (wide::<S>(&P), wide::<S>(&INVERSES));
        let to_whole = simd.splat_f64s(TO_WHOLE);
        for at in 0..own.len() {
            let (a, b) = (own[at], other[at]);
            let high = simd.mul_f64s(a, b);
            let quotient = simd.sub_f64s(simd.mul_add_f64s(high, inverses[at], to_whole), to_whole);
            let rest = simd.negate_mul_add_f64s(quotient, primes[at], high);
            // Less what `high` has too much.
            own[at] = simd.sub_f64s(rest, simd.negate_mul_add_f64s(a, b, high));
        }
        self
    }

    /// The same residue, up to half a prime in size, and 1/2 more where two are about as near. It may be of eight primes.
    #[inline(always)]
    pub(super) fn reduced<S: Simd>(mut self, simd: S) -> Self {
        let own = wide_mut::<S>(&mut self);
        let (primes, inverses) = (wide::<S>(&P), wide::<S>(&INVERSES));
        let to_whole = simd.splat_f64s(TO_WHOLE);
        for at in 0..own.len() {
            let quotient = simd.sub_f64s(simd.mul_add_f64s(own[at], inverses[at], to_whole), to_whole);
            own[at] = simd.negate_mul_add_f64s(quotient, primes[at], own[at]);
        }
        self
    }

    /// These and one prime each, as whole numbers, of residues of up to one prime in size.
    #[inline(always)]
    pub(super) fn raised<S: Simd>(mut self, simd: S) -> [u64; LANES] {
        let (own, raise) = (wide_mut::<S>(&mut self), wide::<S>(&RAISE));
        for at in 0..own.len() {
            own[at] = simd.add_f64s(own[at], raise[at]);
        }
        let mut words = [0; LANES];
        for (word, number) in words.iter_mut().zip(self.0) {
            *word = number.to_bits() & (FRACTION - 1);
        }
        words
    }

    /// The sum of these over their primes.
    #[inline(always)]
    pub(super) fn over_primes<S: Simd>(self, simd: S) -> f64 {
        let (own, inverses) = (wide::<S>(&self.0), wide::<S>(&INVERSES));
        let mut sum = simd.splat_f64s(0.0);
        for at in 0..own.len() {
            sum = simd.mul_add_f64s(own[at], inverses[at], sum);
        }
        simd.reduce_sum_f64s(sum)
    }

    /// The residues from 0 to the primes of residues of up to one prime in size.
    fn words(self) -> [u64; LANES] {
        from_fn(|lane| {
            let residue = self.0[lane];
            (if residue < 0.0 { residue + P[lane] } else { residue }) as u64
        })
    }

    /// A root of unity of order 2^`log` for each prime.
    pub(super) fn root(log: u32) -> Self {
        let simd = Scalar::new();
        (log..32).fold(Self::of(ROOTS), |root, _| root.times(simd, root).reduced(simd))
    }

    /// One over the residues.
    pub(super) fn inverse(self) -> Self {
        let residues = self.words();
        Self::of(from_fn(|lane| {
            let prime = u128::from(PRIMES[lane]);
            let (mut power, mut square, mut exponent) = (1, u128::from(residues[lane]), PRIMES[lane] - 2);
            while exponent > 0 {
                if exponent & 1 == 1 {
                    power = power * square % prime;
                }
                square = square * square % prime;
                exponent >>= 1;
            }
            // A remainder is below the prime.
            power as u64
        }))
    }
}

/// Lanes as vectors.
#[inline(always)]
fn wide<S: Simd>(lanes: &[f64; LANES]) -> &[S::f64s] {
    S::as_simd_f64s(lanes).0
}

#[inline(always)]
fn wide_mut<S: Simd>(lanes: &mut Lanes) -> &mut [S::f64s] {
    S::as_mut_simd_f64s(&mut lanes.0).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pulp::{Arch, WithSimd};

    #[test]
    fn roots_have_the_order_that_they_are_said_to_have() {
        assert!(PRIMES.iter().all(|&prime| prime < 1 << 50 && 2 * prime > 1 << 50));
        let minus_one = PRIMES.map(|prime| prime - 1);
        assert_eq!(Lanes::root(1).words(), minus_one);
        assert_eq!(Lanes::root(0).words(), [1; LANES]);
        assert_eq!(Lanes::root(7).times(Scalar::new(), Lanes::root(7)).words(), Lanes::root(6).words());
    }

    /// Products and their reductions, by some vectors.
    struct Products(f64, f64);

    impl WithSimd for Products {
        type Output = [Lanes; 2];

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let product = Lanes::splat(self.0).times(simd, Lanes::splat(self.1));
            [product, product.plus(simd, product).minus(simd, Lanes::ZERO).reduced(simd)]
        }
    }

    proptest! {
        #[test]
        fn products_are_right_up_to_the_bounds(a in -(1i64 << 51)..1 << 51, b in -(1i64 << 49)..1 << 49) {
            let by_one = Scalar::new().vectorize(Products(a as f64, b as f64));
            prop_assert_eq!(Arch::new().dispatch(Products(a as f64, b as f64)), by_one);
            let expected = |factor: i128, lane: usize| {
                let prime = i128::from(PRIMES[lane]);
                (factor * i128::from(a) * i128::from(b)).rem_euclid(prime)
            };
            for ((lane, &product), &twice) in by_one[0].0.iter().enumerate().zip(&by_one[1].0) {
                prop_assert!(product.abs() <= P[lane] && 2.0 * twice.abs() <= P[lane]);
                let residue = |of: f64| (of as i128).rem_euclid(PRIMES[lane].into());
                prop_assert_eq!((residue(product), residue(twice)), (expected(1, lane), expected(2, lane)));
            }
        }

        #[test]
        fn a_number_times_its_inverse_is_one(a in 1u64..1 << 49) {
            let number = Lanes::of([a; LANES]);
            prop_assert_eq!(number.times(Scalar::new(), number.inverse()).words(), [1; LANES]);
        }
    }
}
