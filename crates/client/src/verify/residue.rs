//! Whole numbers modulo primes of 61 bits. A wrong number has the right residues modulo all three by chance alone,
//! as one in some 10^55 does.
//!
//! The primes are the three largest below 2^61, 2^61 - 1, - 31 and - 45, so that a remainder takes a shift and a small
//! multiplication.

use super::{Check, Checkable};
use sgdt_proto::{
    buffer::Buffer,
    kind::{
        factorial::{Input, Output},
        natural::{Multiply, Part},
    },
};
use sgdt_worker::kernel::factorial::count::digits;

/// By how much the primes are below 2^61.
const PRIMES: [Prime; 3] = [Prime(1), Prime(31), Prime(45)];

const BITS: u32 = 61;

/// Digits that a word takes.
const DIGITS: usize = 18;

#[derive(Clone, Copy)]
struct Prime(u64);

impl Prime {
    fn value(self) -> u64 {
        (1 << BITS) - self.0
    }

    /// The remainder of a number of up to 122 bits.
    fn reduce(self, number: u128) -> u64 {
        const LOW: u128 = (1 << BITS) - 1;
        let once = (number & LOW) + (number >> BITS) * u128::from(self.0);
        // Of 67 bits at most, and then of a few more than 61.
        let twice = (once & LOW) + (once >> BITS) * u128::from(self.0);
        let rest = twice as u64;
        if rest >= self.value() { rest - self.value() } else { rest }
    }

    fn times(self, a: u64, b: u64) -> u64 {
        self.reduce(u128::from(a) * u128::from(b))
    }

    fn word(self, word: u64) -> u64 {
        self.reduce(word.into())
    }

    fn power(self, base: u64, mut exponent: u64) -> u64 {
        let (mut result, mut square) = (1, self.word(base));
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.times(result, square);
            }
            square = self.times(square, square);
            exponent >>= 1;
        }
        result
    }

    /// Of a natural's limbs.
    fn limbs(self, limbs: &[u64]) -> u64 {
        let shift = self.power(2, 64);
        limbs
            .iter()
            .rev()
            .fold(0, |rest, &limb| self.reduce(u128::from(rest) * u128::from(shift) + u128::from(limb)))
    }

    /// Of a number in words of so many digits, the first of which may be shorter.
    fn decimal(self, words: &[u64]) -> u64 {
        const SHIFT: u64 = 10u64.pow(DIGITS as u32);
        words
            .iter()
            .fold(0, |rest, &word| self.reduce(u128::from(rest) * u128::from(SHIFT) + u128::from(word)))
    }

    fn factorial(self, n: u64) -> u64 {
        let (mut result, mut word) = (1, 1u64);
        for factor in 2..=n {
            word = word.checked_mul(factor).unwrap_or_else(|| {
                result = self.times(result, self.word(word));
                factor
            });
        }
        self.times(result, self.word(word))
    }
}

impl Checkable for Input {
    fn check(self) -> Option<Check> {
        let has_as_many = |output: &Output, digits: u128| {
            let said = output.digits;
            if u128::from(said) == digits {
                Ok(())
            } else {
                Err(format!("it has {digits} digits and not {said}"))
            }
        };
        if self.summary {
            return Some(Check::new(move |output: Output| match digits(self.n) {
                Some(digits) => has_as_many(&output, digits),
                // A power of ten is too near to tell.
                None => Ok(()),
            }));
        }
        Some(Check::new(move |output: Output| {
            let text = output.decimal.as_ref().ok_or("its digits are missing")?;
            has_as_many(&output, text.len() as u128)?;
            let words = words(text.as_bytes())?;
            agree(|prime| (prime.decimal(&words), prime.factorial(self.n)))
        }))
    }
}

impl Checkable for Part {
    fn check(self) -> Option<Check> {
        Some(Check::new(move |part: Buffer| {
            let (part, primes) = (limbs(&part)?, primes(self.above, self.up_to));
            let of = |prime: Prime| {
                primes.iter().filter(|&&p| p != 2 && (p != 5 || !self.without_fives)).fold(
                    1,
                    |product, &p| {
                        let exponent =
                            std::iter::successors(Some(self.n / p), |q| Some(q / p)).take_while(|&q| q > 0);
                        prime.times(product, prime.power(p, exponent.sum()))
                    },
                )
            };
            agree(|prime| (prime.limbs(&part), of(prime)))
        }))
    }
}

impl Checkable for Multiply {
    fn check(self) -> Option<Check> {
        Some(Check::new(move |product: Buffer| {
            let [product, left, right] = [&product, &self.left, &self.right].map(limbs);
            let (product, left, right) = (product?, left?, right?);
            agree(|prime| (prime.limbs(&product), prime.times(prime.limbs(&left), prime.limbs(&right))))
        }))
    }
}

fn agree(residues: impl Fn(Prime) -> (u64, u64)) -> Result<(), String> {
    match PRIMES.into_iter().find(|&prime| {
        let (found, expected) = residues(prime);
        found != expected
    }) {
        Some(prime) => Err(format!("it is another number modulo {}", prime.value())),
        None => Ok(()),
    }
}

fn limbs(buffer: &Buffer) -> Result<Vec<u64>, String> {
    buffer.clone().into_scalars().map_err(|len| format!("{len} bytes are no whole number of limbs"))
}

/// The digits, so many to a word, from the first on.
fn words(text: &[u8]) -> Result<Vec<u64>, String> {
    if text.is_empty() || text.len() > 1 && text[0] == b'0' || !text.iter().all(u8::is_ascii_digit) {
        return Err("its digits are no number".to_owned());
    }
    let word = |digits: &[u8]| digits.iter().fold(0, |word, digit| word * 10 + u64::from(digit - b'0'));
    let (first, rest) = text.split_at(text.len() % DIGITS);
    Ok([word(first)].into_iter().chain(rest.chunks(DIGITS).map(word)).collect())
}

/// The primes in `above < p <= up_to`, by the sieve of Eratosthenes.
fn primes(above: u64, up_to: u64) -> Vec<u64> {
    let mut composite = vec![false; usize::try_from(up_to).unwrap_or(0) + 1];
    let mut primes = Vec::new();
    for number in 2..composite.len() {
        if !composite[number] {
            (number.saturating_mul(number)..composite.len())
                .step_by(number)
                .for_each(|place| composite[place] = true);
            primes.push(number as u64);
        }
    }
    primes.retain(|&prime| prime > above);
    primes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dispatch::TaskSpec, local::LocalKernels};
    use proptest::prelude::*;
    use serde::Serialize;
    use sgdt_proto::{
        kind::{factorial, natural},
        payload::{Format, Payload},
    };

    fn judge(input: impl Checkable, output: &impl Serialize) -> Result<(), String> {
        input.check().unwrap().judge(Payload::encode(Format::Packed, output).unwrap())
    }

    proptest! {
        #[test]
        fn remainders_are_remainders(a: u64, b in 0u64..1 << 58) {
            for prime in PRIMES {
                let number = u128::from(a) * u128::from(b);
                prop_assert_eq!(u128::from(prime.reduce(number)), number % u128::from(prime.value()));
            }
        }
    }

    #[tokio::test]
    async fn what_kernels_compute_passes_and_what_differs_by_a_digit_does_not() {
        async fn computed(kind: &str, input: &impl Serialize) -> Payload {
            let spec = TaskSpec::packed(kind.parse().unwrap(), input).unwrap();
            LocalKernels::new().run(spec).await.output.unwrap()
        }
        for n in [0, 1, 19, 20, 21, 1000, 12_345] {
            let input = Input { n, summary: false };
            let output: Output = computed(factorial::KIND, &input).await.decode().unwrap();
            assert_eq!(judge(input.clone(), &output), Ok(()), "{n}");
            let text = output.decimal.unwrap().to_vec();
            for place in [0, text.len() / 2, text.len() - 1] {
                let mut wrong = text.clone();
                wrong[place] = if wrong[place] == b'1' { b'2' } else { b'1' };
                let wrong = Output { digits: output.digits, decimal: Some(wrong.into()) };
                assert!(judge(input.clone(), &wrong).is_err(), "{n}, digit {place}");
            }

            let part = Part { n, above: n / 3, up_to: n, without_fives: n % 2 == 0 };
            let limbs: Buffer = computed(natural::PART, &part).await.decode().unwrap();
            assert_eq!(judge(part.clone(), &limbs), Ok(()), "{n}");
            let factors = Multiply { left: limbs.clone(), right: limbs.clone() };
            let square: Buffer = computed(natural::MULTIPLY, &factors).await.decode().unwrap();
            assert_eq!(judge(factors.clone(), &square), Ok(()));
            assert!(judge(factors, &Buffer::from_scalars(vec![2u64])).is_err());
            assert!(judge(part, &Buffer::from_scalars(vec![0u64])).is_err());
        }
    }

    #[test]
    fn what_is_no_number_is_rejected() {
        for text in ["", "01", "1x", "-1"] {
            let output = Output { digits: text.len() as u64, decimal: Some(text.as_bytes().to_vec().into()) };
            assert!(judge(Input { n: 1, summary: false }, &output).is_err(), "{text:?}");
        }
        assert!(
            judge(Input { n: 1, summary: false }, &Output { digits: 2, decimal: Some(vec![b'1'].into()) })
                .is_err()
        );
    }

    #[test]
    fn a_summary_has_the_right_count_of_digits() {
        let input = || Input { n: 20_000, summary: true };
        assert_eq!(judge(input(), &Output { digits: 77_338, decimal: None }), Ok(()));
        let wrong = judge(input(), &Output { digits: 77_342, decimal: None });
        assert_eq!(wrong, Err("it has 77338 digits and not 77342".into()));
    }
}
