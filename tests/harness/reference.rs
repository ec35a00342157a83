//! The right answers, computed another way: naively, and with nothing of the programs under test.

use std::iter;

/// Element `index` of the sequence of `seed`: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), written as its
/// authors do, one state step for each element before it being a multiple of the increment.
pub fn word(seed: u64, index: u64) -> u64 {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A matrix of doubles, row after row.
#[derive(Clone, PartialEq, Debug)]
pub struct Matrix {
    /// How many rows.
    pub rows: usize,
    /// How many columns.
    pub columns: usize,
    /// `rows * columns` elements.
    pub elements: Vec<f64>,
}

impl Matrix {
    /// The matrix that a worker makes of a seed: elements uniform in [0, 1).
    pub fn random(rows: usize, columns: usize, seed: u64) -> Self {
        let unit = |index| (word(seed, index) >> 11) as f64 / (1u64 << 53) as f64;
        Self { rows, columns, elements: (0..(rows * columns) as u64).map(unit).collect() }
    }

    /// The matrix of floats of 32 bits that a worker makes of a seed: elements uniform in [0, 1).
    pub fn random_floats(rows: usize, columns: usize, seed: u64) -> Self {
        let unit = |index| (word(seed, index) >> 40) as f64 / (1u64 << 24) as f64;
        Self { rows, columns, elements: (0..(rows * columns) as u64).map(unit).collect() }
    }

    /// The product, by the definition.
    ///
    /// # Panics
    /// When the dimensions do not agree.
    pub fn times(&self, right: &Self) -> Self {
        assert_eq!(self.columns, right.rows);
        let mut elements = vec![0.0; self.rows * right.columns];
        for (row, sums) in self.elements.chunks(self.columns).zip(elements.chunks_mut(right.columns)) {
            for (a, b) in row.iter().zip(right.elements.chunks(right.columns)) {
                sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
            }
        }
        Self { rows: self.rows, columns: right.columns, elements }
    }

    /// The sum of all elements.
    pub fn sum(&self) -> f64 {
        self.elements.iter().sum()
    }

    /// The sum over the main diagonal.
    pub fn trace(&self) -> f64 {
        self.elements.iter().step_by(self.columns + 1).take(self.rows.min(self.columns)).sum()
    }
}

/// Whether two numbers are the same but for the rounding of a long sum.
pub fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-12 * left.abs().max(right.abs()).max(1.0) * 1e2
}

/// Whether a float of 32 bits is as near to the sum of some thousand products as is promised.
pub fn close_float(left: f32, right: f64) -> bool {
    (f64::from(left) - right).abs() <= 1e-5 * right.abs().max(1.0)
}

/// n! in decimal, by schoolbook multiplication.
pub fn factorial(n: u64) -> String {
    const BASE: u128 = 1_000_000_000;
    let mut limbs = vec![1u128];
    for factor in 2..=u128::from(n) {
        let mut carry = 0;
        for limb in &mut limbs {
            carry += *limb * factor;
            *limb = carry % BASE;
            carry /= BASE;
        }
        while carry > 0 {
            limbs.push(carry % BASE);
            carry /= BASE;
        }
    }
    let mut limbs = limbs.into_iter().rev();
    let first = limbs.next().map(|limb| limb.to_string());
    first.into_iter().chain(limbs.map(|limb| format!("{limb:09}"))).collect()
}

/// Whether a long decimal number is n!: by its trailing zeros (Legendre), and by its residues modulo primes
/// above n, of 31 bits each. A wrong number passes with a chance of about 2^-90.
///
/// # Panics
/// When the text is not a decimal number.
pub fn is_factorial(decimal: &str, n: u64) -> bool {
    const PRIMES: [u64; 3] = [2_147_483_647, 2_147_483_629, 2_147_483_587];
    let residue = |prime| {
        decimal.bytes().fold(0, |sum, digit| {
            assert!(digit.is_ascii_digit(), "not a decimal digit: {digit}");
            (sum * 10 + u64::from(digit - b'0')) % prime
        })
    };
    let zeros =
        iter::successors(Some(n / 5), |count| Some(count / 5)).take_while(|count| *count > 0).sum::<u64>();
    let trailing = decimal.bytes().rev().take_while(|digit| *digit == b'0').count() as u64;
    zeros == trailing
        && PRIMES.into_iter().all(|prime| residue(prime) == (1..=n).fold(1, |product, k| product * k % prime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factorials_are_the_published_ones() {
        assert_eq!(factorial(0), "1");
        assert_eq!(factorial(20), "2432902008176640000");
        assert_eq!(factorial(30), "265252859812191058636308480000000");
        assert!(is_factorial(&factorial(1000), 1000));
        assert!(!is_factorial(&factorial(1000), 1001));
        let wrong = factorial(1000).replacen('7', "8", 1);
        assert!(!is_factorial(&wrong, 1000));
    }

    #[test]
    fn a_product_is_row_by_column() {
        let matrix = |rows, columns, elements: &[f64]| Matrix { rows, columns, elements: elements.to_vec() };
        let product =
            matrix(2, 3, &[1., 2., 3., 4., 5., 6.]).times(&matrix(3, 2, &[7., 8., 9., 10., 11., 12.]));
        assert_eq!(product, matrix(2, 2, &[58., 64., 139., 154.]));
        assert_eq!((product.sum(), product.trace()), (415., 212.));
    }

    #[test]
    fn the_sequence_is_the_published_one() {
        assert_eq!(word(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(word(1_234_567, 2), 9_817_491_932_198_370_423);
    }
}
