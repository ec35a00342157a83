//! n!, less its factors 2 and 5.
//!
//! n! = (floor(n/2)!)^2 * swing(n), and the swing's prime factors are read off n: p occurs as often as
//! floor(n/p^i) is odd (Luschny, "Divide, swing and conquer the factorial!"). So n! takes one square for every
//! bit of n, and products of primes in balanced trees.
//!
//! Twos and fives are left out because they make tens: 10^v for v = (n/5 + n/25 + ...) is a run of zeros in the
//! text, and the twos that remain are a shift.

use super::multiply::{product, square_times};
use crate::cancel::Cancel;
use malachite_base::num::basic::traits::One;
use malachite_nz::natural::Natural;
use sgdt_proto::task::TaskError;

/// How many words a leaf of the product tree takes: some 50 microseconds.
const LEAF: usize = 512;

/// Trees of fewer words, and swings of smaller numbers, are not worth another thread: some milliseconds.
const SHARED_TREE: usize = 1 << 14;
const SHARED_SWING: u32 = 1 << 17;

/// How many odd numbers are sieved at a time: what fits in a first-level cache.
const SEGMENT: usize = 1 << 15;

/// A factorial in three parts: n! = `core` * 2^`twos` * 5^`fives`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Factored {
    /// Neither 2 nor 5 divides it.
    pub(super) core: Natural,
    pub(super) twos: u64,
    pub(super) fives: u64,
}

/// Computes n!.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn factorial(n: u32, cancel: &Cancel) -> Result<Factored, TaskError> {
    let primes = odd_primes(n, cancel)?;
    let core = core(n, &primes, cancel)?;
    Ok(Factored { core, twos: multiplicity(n, 2), fives: multiplicity(n, 5) })
}

/// n!, less its factors 2 and 5.
fn core(n: u32, primes: &[u32], cancel: &Cancel) -> Result<Natural, TaskError> {
    if n == 0 {
        return Ok(Natural::ONE);
    }
    let of = |n: u32| core(n, primes, cancel);
    let (half, swing) = if n < SHARED_SWING {
        (of(n / 2), swing(n, primes, cancel))
    } else {
        cancel.join(|| of(n / 2), || swing(n, primes, cancel))
    };
    square_times(&half?, &swing?, cancel)
}

/// How often the prime `p` divides n! (Legendre).
pub(super) fn multiplicity(n: u32, p: u32) -> u64 {
    quotients(n, p).map(u64::from).sum()
}

/// floor(n/p), floor(n/p^2), and so on, until zero.
fn quotients(n: u32, p: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(n / p), move |quotient| Some(quotient / p))
        .take_while(|&quotient| quotient > 0)
}

/// n! / (floor(n/2)!)^2, less its factors 2 and 5.
fn swing(n: u32, primes: &[u32], cancel: &Cancel) -> Result<Natural, TaskError> {
    let primes = &primes[..primes.partition_point(|&p| p <= n)];
    let mut words = Vec::new();
    let mut word = 1u64;
    for (count, &p) in primes.iter().enumerate() {
        if count % SEGMENT == 0 {
            cancel.check()?;
        }
        if p == 5 {
            continue;
        }
        for _ in quotients(n, p).filter(|quotient| quotient % 2 == 1) {
            word = word.checked_mul(p.into()).unwrap_or_else(|| {
                words.push(word);
                p.into()
            });
        }
    }
    words.push(word);
    tree(&words, cancel)
}

/// The product of all words.
pub(super) fn tree(words: &[u64], cancel: &Cancel) -> Result<Natural, TaskError> {
    cancel.check()?;
    if words.len() <= LEAF {
        return Ok(words.iter().copied().product());
    }
    let (left, right) = words.split_at(words.len() / 2);
    let (left, right) = if words.len() < SHARED_TREE {
        (tree(left, cancel), tree(right, cancel))
    } else {
        cancel.join(|| tree(left, cancel), || tree(right, cancel))
    };
    product(&left?, &right?, cancel)
}

/// The odd primes up to `n`, by the sieve of Eratosthenes, a segment at a time.
pub(super) fn odd_primes(n: u32, cancel: &Cancel) -> Result<Vec<u32>, TaskError> {
    let mut primes: Vec<u32> = Vec::new();
    let mut composite = vec![false; SEGMENT];
    let mut low = 3u64;
    // The place of the next odd multiple of each prime in the segment to come.
    let mut multiples: Vec<usize> = Vec::new();
    while low <= u64::from(n) {
        cancel.check()?;
        composite.fill(false);
        for (&p, multiple) in primes.iter().zip(&mut multiples) {
            while let Some(place) = composite.get_mut(*multiple) {
                *place = true;
                *multiple += p as usize;
            }
            *multiple -= SEGMENT;
        }
        for place in 0..SEGMENT {
            let number = low + 2 * place as u64;
            let Some(prime) = u32::try_from(number).ok().filter(|&number| number <= n && !composite[place])
            else {
                continue;
            };
            primes.push(prime);
            // Numbers below the square have a smaller factor. Beyond the segment, only primes up to 65,535
            // have squares that are of any interest.
            if prime < 1 << 16 {
                let mut multiple = usize::try_from((number * number - low) / 2).unwrap_or(usize::MAX);
                while let Some(place) = composite.get_mut(multiple) {
                    *place = true;
                    multiple += prime as usize;
                }
                multiples.push(multiple - SEGMENT);
            }
        }
        low += 2 * SEGMENT as u64;
    }
    Ok(primes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use malachite_base::num::arithmetic::traits::{Factorial, Pow};

    #[test]
    fn the_primes_are_all_there_and_nothing_else() {
        let cancel = Cancel::new();
        let naive =
            |n: u32| (3..=n).step_by(2).filter(|&p| (3..p).take_while(|d| d * d <= p).all(|d| p % d != 0));
        for n in [0, 1, 2, 3, 4, 5, 25, 49, 121, 10_000] {
            assert_eq!(odd_primes(n, &cancel).unwrap(), naive(n).collect::<Vec<_>>(), "{n}");
        }
        // pi(10^6) = 78,498 (OEIS A006880), less the prime 2; several segments.
        let primes = odd_primes(1_000_000, &cancel).unwrap();
        assert_eq!((primes.len(), primes.last()), (78_497, Some(&999_983)));
    }

    #[test]
    fn the_parts_make_up_the_factorial() {
        for n in (0..200).chain([1023, 1024, 1025, 9_999]) {
            let Factored { core, twos, fives } = factorial(n, &Cancel::new()).unwrap();
            let whole = (core * Natural::from(5u32).pow(fives)) << twos;
            assert_eq!(whole, Natural::factorial(n.into()), "{n}");
        }
    }
}
