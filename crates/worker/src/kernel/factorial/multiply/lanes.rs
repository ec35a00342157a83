//! Arithmetic modulo eight primes of 50 bits at a time, one to a lane, in doubles.
//!
//! A product of two residues is split into its rounded half and the rest by a fused multiply-add, and the multiple of
//! the prime that is nearest to it is taken off: six operations that vectorise (van der Hoeven, Lecerf and Quintin,
//! "Modular SIMD arithmetic in Mathemagix", ACM TOMS 43, 2016; FLINT's `fft_small` does the same). Residues are whole
//! numbers that need not be reduced: each function says how large they may be, in multiples of the primes.

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
pub(super) const INVERSES: [f64; LANES] = {
    let mut inverses = P;
    let mut lane = 0;
    while lane < LANES {
        inverses[lane] = 1.0 / P[lane];
        lane += 1;
    }
    inverses
};

/// A residue for each prime.
#[derive(Clone, Copy, PartialEq, Debug)]
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
        Self(residues.map(|residue| residue as f64)).reduced()
    }

    // Loops and not iterators: a closure that is not inlined would be compiled without vector instructions.

    #[inline(always)]
    pub(super) fn plus(mut self, other: Self) -> Self {
        for lane in 0..LANES {
            self.0[lane] += other.0[lane];
        }
        self
    }

    #[inline(always)]
    pub(super) fn minus(mut self, other: Self) -> Self {
        for lane in 0..LANES {
            self.0[lane] -= other.0[lane];
        }
        self
    }

    /// The product, up to one prime in size. The sizes of the factors may multiply to two primes squared.
    #[inline(always)]
    pub(super) fn times(mut self, other: Self) -> Self {
        for lane in 0..LANES {
            let (a, b) = (self.0[lane], other.0[lane]);
            let high = a * b;
            let low = a.mul_add(b, -high);
            let quotient = (high * INVERSES[lane]).round_ties_even();
            self.0[lane] = (-quotient).mul_add(P[lane], high) + low;
        }
        self
    }

    /// The same residue, up to half a prime in size. It may be of eight primes.
    #[inline(always)]
    pub(super) fn reduced(mut self) -> Self {
        for lane in 0..LANES {
            let quotient = (self.0[lane] * INVERSES[lane]).round_ties_even();
            self.0[lane] = (-quotient).mul_add(P[lane], self.0[lane]);
        }
        self
    }

    /// The residues from 0 to the primes of residues of up to one prime in size.
    #[inline(always)]
    pub(super) fn words(self) -> [u64; LANES] {
        let mut words = [0; LANES];
        for lane in 0..LANES {
            let residue = self.0[lane];
            words[lane] = (if residue < 0.0 { residue + P[lane] } else { residue }) as u64;
        }
        words
    }

    /// A root of unity of order 2^`log` for each prime.
    pub(super) fn root(log: u32) -> Self {
        (log..32).fold(Self::of(ROOTS), |root, _| root.times(root).reduced())
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn roots_have_the_order_that_they_are_said_to_have() {
        assert!(PRIMES.iter().all(|&prime| prime < 1 << 50 && 2 * prime > 1 << 50));
        let minus_one = PRIMES.map(|prime| prime - 1);
        assert_eq!(Lanes::root(1).words(), minus_one);
        assert_eq!(Lanes::root(0).words(), [1; LANES]);
        assert_eq!(Lanes::root(7).times(Lanes::root(7)).words(), Lanes::root(6).words());
    }

    proptest! {
        #[test]
        fn products_are_right_up_to_the_bounds(a in -(1i64 << 51)..1 << 51, b in -(1i64 << 49)..1 << 49) {
            let product = Lanes::splat(a as f64).times(Lanes::splat(b as f64)).reduced().words();
            for (lane, prime) in PRIMES.into_iter().enumerate() {
                let expected = (i128::from(a) * i128::from(b)).rem_euclid(prime.into());
                prop_assert_eq!(i128::from(product[lane]), expected);
            }
        }

        #[test]
        fn a_number_times_its_inverse_is_one(a in 1u64..1 << 49) {
            let number = Lanes::of([a; LANES]);
            prop_assert_eq!(number.times(number.inverse()).words(), [1; LANES]);
        }
    }
}
