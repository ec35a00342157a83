//! The pieces of a factorial that several workers share: parts of it, and their products.
//!
//! A part is the product of p^e over the primes p of a range, e being how often p divides n!. It is computed from
//! the highest bit of the exponents down, a square for each bit times the product of the primes that have the bit:
//! as little work as the swings take. Peak memory of each is documented at its `cost`.

use super::{
    LITTLE, bits,
    multiply::{product, square_times},
    small,
    swing::{multiplicity, odd_primes, tree},
};
use crate::{
    cancel::Cancel,
    kernel::{Cost, Kernel},
};
use malachite_base::num::logic::traits::SignificantBits;
use malachite_nz::natural::Natural;
use sgdt_proto::{buffer::Buffer, kind::natural, task::TaskError};

/// The kernel of `factorial-part`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part;

/// The kernel of `multiply`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Multiply;

/// Bits that one core computes of a product tree in a second, roughly, and those of a single product.
const TREE_RATE: f64 = 1.5e8;
const PRODUCT_RATE: f64 = 1e9;

/// How many primes are looked at between two looks at the cancel handle.
const BLOCK: usize = 1 << 16;

/// Products of fewer words are not worth another thread: some hundred microseconds.
const WORTHWHILE: usize = 1 << 11;

impl Kernel for Part {
    type Input = natural::Part;
    type Output = Buffer;

    fn kind(&self) -> &str {
        natural::PART
    }

    /// The sieve's primes, and the last product: 14 times the part's size.
    fn cost(&self, &natural::Part { n, above, up_to, .. }: &natural::Part) -> Result<Cost, TaskError> {
        small(n)?;
        if above > up_to || up_to > n {
            return Err(TaskError::invalid_input(format!(
                "the primes above {above} and up to {up_to} are no range of those up to {n}"
            )));
        }
        // The exponents of the primes up to x add up to some n log2(x) bits (Mertens).
        let range = (up_to.max(2) as f64 / above.max(2) as f64).log2();
        let bits = (n as f64 * (range + 2.0)).min(bits(n));
        Ok(Cost { seconds: bits / TREE_RATE, memory: (LITTLE + 14.0 * bits / 8.0 + up_to as f64) as u64 })
    }

    fn run(
        &self,
        natural::Part { n, above, up_to, without_fives }: natural::Part,
        cancel: &Cancel,
    ) -> Result<Buffer, TaskError> {
        let n = small(n)?;
        let primes = odd_primes(small(up_to)?, cancel)?;
        let first = primes.partition_point(|&p| u64::from(p) <= above);
        let mut powers: Vec<(u32, u64)> = Vec::with_capacity(primes.len() - first);
        for primes in primes[first..].chunks(BLOCK) {
            cancel.check()?;
            let primes = primes.iter().filter(|&&p| p != 5 || !without_fives);
            powers.extend(primes.map(|&p| (p, multiplicity(n, p))));
        }
        // The smallest prime has the greatest exponent.
        let length = powers.first().map_or(0, |&(_, exponent)| exponent.significant_bits());
        Ok(limbs(from_bit(0, length, &powers, cancel)?))
    }
}

/// The product of the primes to the power of their exponents' bits from `bit` on.
fn from_bit(bit: u64, length: u64, powers: &[(u32, u64)], cancel: &Cancel) -> Result<Natural, TaskError> {
    let with_bit = &powers[..powers.partition_point(|&(_, exponent)| exponent >> bit != 0)];
    let mut words = Vec::new();
    for powers in with_bit.chunks(BLOCK) {
        cancel.check()?;
        let factors = powers.iter().filter(|(_, exponent)| exponent >> bit & 1 == 1).map(|&(p, _)| p);
        pack(factors, &mut words);
    }
    if bit + 1 >= length {
        return tree(&words, cancel);
    }
    let root = || from_bit(bit + 1, length, powers, cancel);
    let (root, own) = if words.len() < WORTHWHILE {
        (root(), tree(&words, cancel))
    } else {
        cancel.join(root, || tree(&words, cancel))
    };
    square_times(&root?, &own?, cancel)
}

impl Kernel for Multiply {
    type Input = natural::Multiply;
    type Output = Buffer;

    fn kind(&self) -> &str {
        natural::MULTIPLY
    }

    /// The product and what it takes to multiply: up to thirteen times the factors' size.
    fn cost(&self, natural::Multiply { left, right }: &natural::Multiply) -> Result<Cost, TaskError> {
        let bytes = (left.len() as u64).saturating_add(right.len() as u64);
        Ok(Cost {
            seconds: bytes as f64 * 8.0 / PRODUCT_RATE,
            memory: (LITTLE as u64).saturating_add(bytes.saturating_mul(13)),
        })
    }

    fn run(
        &self,
        natural::Multiply { left, right }: natural::Multiply,
        cancel: &Cancel,
    ) -> Result<Buffer, TaskError> {
        Ok(limbs(product(&natural(left)?, &natural(right)?, cancel)?))
    }
}

/// Adds small numbers to words, multiplied together as far as a word holds them.
fn pack(factors: impl Iterator<Item = u32>, words: &mut Vec<u64>) {
    let mut word = words.pop().unwrap_or(1);
    for factor in factors {
        word = word.checked_mul(factor.into()).unwrap_or_else(|| {
            words.push(word);
            factor.into()
        });
    }
    words.push(word);
}

fn limbs(number: Natural) -> Buffer {
    Buffer::from_scalars::<u64>(number.into_limbs_asc())
}

fn natural(limbs: Buffer) -> Result<Natural, TaskError> {
    let limbs = limbs.into_scalars::<u64>().map_err(|len| {
        TaskError::invalid_input(format!("{len} bytes are no whole number of 64-bit limbs"))
    })?;
    Ok(Natural::from_owned_limbs_asc(limbs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use malachite_base::num::arithmetic::traits::{Factorial, Pow};
    use malachite_base::num::basic::traits::One;
    use sgdt_proto::task::ErrorCode;

    fn part(n: u64, above: u64, up_to: u64, without_fives: bool) -> Result<Natural, TaskError> {
        let input = natural::Part { n, above, up_to, without_fives };
        Part.cost(&input)?;
        natural(Part.run(input, &Cancel::new())?)
    }

    #[test]
    fn parts_make_up_the_factorial_wherever_it_is_cut() {
        for (n, without_fives) in
            [0u64, 1, 2, 3, 10, 97, 1_000, 9_999].into_iter().flat_map(|n| [(n, false), (n, true)])
        {
            let cuts = [1, 2, 3, 4, 5, 7, 100, 5_000];
            let mut cuts: Vec<_> = cuts.into_iter().filter(|&cut| cut < n).collect();
            cuts.push(n);
            let mut above = 0;
            let mut core = Natural::ONE;
            for cut in cuts {
                let part = part(n, above, cut, without_fives).unwrap();
                let factors = natural::Multiply { left: limbs(core), right: limbs(part) };
                core = natural(Multiply.run(factors, &Cancel::new()).unwrap()).unwrap();
                above = cut;
            }
            let n = n as u32;
            let fives = if without_fives { multiplicity(n, 5) } else { 0 };
            let whole = (&core * Natural::from(5u32).pow(fives)) << multiplicity(n, 2);
            assert_eq!(whole, Natural::factorial(n.into()), "{n}");
        }
    }

    #[test]
    fn what_is_no_part_of_a_factorial_is_refused() {
        for (n, above, up_to) in [(10, 5, 3), (10, 0, 11)] {
            assert_eq!(part(n, above, up_to, true).unwrap_err().code, ErrorCode::InvalidInput);
        }
        assert_eq!(part(1 << 32, 0, 1, true).unwrap_err().code, ErrorCode::TooLarge);
        let odd = natural::Multiply { left: vec![0; 7].into(), right: vec![0; 8].into() };
        assert_eq!(Multiply.run(odd, &Cancel::new()).unwrap_err().code, ErrorCode::InvalidInput);
    }
}
