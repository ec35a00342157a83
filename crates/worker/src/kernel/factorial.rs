//! `factorial`: n!, exactly, on as many threads as are idle.
//!
//! - `swing` computes it by prime factors, squarings and product trees;
//! - `multiply` is the multiplication under all of it: `malachite`'s where it is small;
//! - `decimal` and [`written`] write it out;
//! - [`pieces`] has the kinds that several workers share a factorial by;
//! - `count` tells how many digits it has, which is all that a summary needs.
//!
//! Peak memory: that of the text, [`written::DECIMAL_MEMORY`] times the size of n! in binary.

#[doc(hidden)]
pub mod count;
mod decimal;
mod multiply;
pub mod pieces;
mod swing;
pub mod written;

use super::{Cost, Kernel};
use crate::cancel::Cancel;
use sgdt_proto::{
    kind::factorial::{Input, KIND, Output},
    task::TaskError,
};
use std::f64::consts::{E, LOG2_E, LOG10_2, TAU};

/// The kernel of `factorial`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Factorial;

/// What even a small factorial may take, in bytes.
const LITTLE: f64 = (1 << 22) as f64;

/// Bits of the result that one core computes and writes in a second, roughly: fewer, the more there are.
const RATE: f64 = 4e7;

impl Kernel for Factorial {
    type Input = Input;
    type Output = Output;

    fn kind(&self) -> &str {
        KIND
    }

    fn cost(&self, &Input { n, summary }: &Input) -> Result<Cost, TaskError> {
        if summary {
            return Ok(Cost { seconds: 1e-4, memory: LITTLE as u64 });
        }
        small(n)?;
        let bits = bits(n);
        // A cast of a double saturates.
        Ok(Cost {
            seconds: bits / RATE,
            memory: (LITTLE + written::DECIMAL_MEMORY as f64 * bits / 8.0) as u64,
        })
    }

    fn run(&self, Input { n, summary }: Input, cancel: &Cancel) -> Result<Output, TaskError> {
        if summary && let Some(digits) = count::digits(n) {
            let digits = u64::try_from(digits).map_err(|_| too_large(n))?;
            return Ok(Output { digits, decimal: None });
        }
        let factored = swing::factorial(small(n)?, cancel)?;
        let zeros = usize::try_from(factored.fives).map_err(|_| too_large(n))?;
        // The twos outnumber the fives: of every pair, one ten.
        let text = decimal::text(&(factored.core << (factored.twos - factored.fives)), zeros, cancel)?;
        Ok(Output { digits: text.len() as u64, decimal: (!summary).then(|| text.into()) })
    }
}

/// The largest n whose factorial is computed are those of 32 bits: they have 40 billion digits.
fn small(n: u64) -> Result<u32, TaskError> {
    u32::try_from(n).map_err(|_| too_large(n))
}

fn too_large(n: u64) -> TaskError {
    TaskError::too_large(format!(
        "{n}! has some {:.0e} digits, which is more than can be handled",
        bits(n) * LOG10_2
    ))
}

/// About how many bits n! has, by Stirling's formula.
fn bits(n: u64) -> f64 {
    let n = (n as f64).max(1.0);
    n * (n / E).log2() + (TAU * n).log2() / 2.0 + LOG2_E / (12.0 * n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use malachite_base::num::arithmetic::traits::Factorial as _;
    use malachite_nz::natural::Natural;
    use proptest::prelude::*;
    use sgdt_proto::task::ErrorCode;
    use std::time::Duration;

    fn run(n: u64, summary: bool) -> Result<Output, TaskError> {
        Factorial.cost(&Input { n, summary })?;
        Factorial.run(Input { n, summary }, &Cancel::new())
    }

    fn decimal(n: u64) -> String {
        let output = run(n, false).unwrap();
        let text = String::from_utf8(output.decimal.unwrap().to_vec()).unwrap();
        assert_eq!(output.digits, text.len() as u64);
        text
    }

    #[test]
    fn small_ones_are_what_multiplying_up_gives() {
        let mut expected = Natural::from(1u32);
        for n in 0..400u64 {
            expected *= Natural::from(n.max(1));
            assert_eq!(decimal(n), expected.to_string(), "{n}");
        }
    }

    #[test]
    fn published_values() {
        assert_eq!(decimal(0), "1");
        assert_eq!(decimal(20), "2432902008176640000");
        assert_eq!(
            decimal(100),
            "93326215443944152681699238856266700490715968264381621468592963895217599993229915608941463976156518286253\
             697920827223758251185210916864000000000000000000000000"
        );
        let thousand = decimal(1000);
        assert_eq!(thousand.len(), 2568);
        assert!(thousand.starts_with("40238726007709377354370243392300398571937486421071"));
        assert_eq!(thousand.len() - thousand.trim_end_matches('0').len(), 249);
        let large = decimal(100_000);
        assert_eq!(large.len(), 456_574);
        assert!(large.starts_with("28242294079603478742934215780245355184774949260912"));
        assert_eq!(large.len() - large.trim_end_matches('0').len(), 24_999);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn it_is_what_the_library_gives(n in 0u64..20_000) {
            prop_assert_eq!(decimal(n), Natural::factorial(n).to_string());
        }
    }

    #[test]
    fn a_summary_is_the_count_of_digits_also_where_there_are_too_many_to_write() {
        let digits = |n| run(n, true).map(|output| (output.digits, output.decimal));
        assert_eq!(digits(0), Ok((1, None)));
        assert_eq!(digits(1000), Ok((2568, None)));
        assert_eq!(digits(1_000_000_000_000), Ok((11_565_705_518_104, None)));
        assert_eq!(digits(u64::MAX).unwrap_err().code, ErrorCode::TooLarge);
    }

    #[test]
    fn the_factorial_of_the_largest_number_is_refused_before_anything_is_allocated() {
        for n in [1 << 32, u64::MAX] {
            let error = Factorial.cost(&Input { n, summary: false }).unwrap_err();
            assert_eq!(error.code, ErrorCode::TooLarge);
            assert!(error.message.starts_with(&format!("{n}! has some ")), "{error}");
            assert_eq!(Factorial.run(Input { n, summary: false }, &Cancel::new()).unwrap_err(), error);
        }
        // Computable in principle: for a worker's limit to refuse.
        let cost = Factorial.cost(&Input { n: u32::MAX.into(), summary: false }).unwrap();
        assert!(cost.memory > 1 << 37, "{cost:?}");
    }

    #[test]
    fn a_factorial_whose_time_is_up_stops() {
        let cancel = Cancel::new().started(Some(Duration::from_millis(2)));
        let result = Factorial.run(Input { n: 3_000_000, summary: false }, &cancel);
        assert_eq!(result.unwrap_err().code, ErrorCode::Timeout);
    }
}
