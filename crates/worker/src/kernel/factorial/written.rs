//! A factorial that others have computed, written out where it is wanted, piece by piece.

use super::decimal;
use crate::cancel::Cancel;
use malachite_nz::natural::Natural;
use sgdt_proto::task::TaskError;

/// How many bytes are written at a time.
const PIECE: usize = 1 << 16;

/// How many times as much memory as a natural has bytes it takes at most to write it in decimal. How much it is depends
/// on how well the number fits a transform's length.
pub const DECIMAL_MEMORY: u64 = 20;

/// A natural with some of its twos apart: `core` * 2^`twos`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Factored {
    /// Its 64-bit limbs, the least significant first.
    pub core: Vec<u64>,
    /// How many twos.
    pub twos: u64,
}

/// How a natural is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// In decimal digits, in ASCII, with so many more zeros at the end.
    Decimal {
        /// How many.
        zeros: u64,
    },
    /// In hexadecimal digits, in ASCII, in lower case.
    Hex,
    /// As bytes, the least significant first, without zeros at the end: zero is none.
    Raw,
}

impl Factored {
    /// Writes the natural to `sink`, from the start on. In decimal that takes four times as long as it does to compute
    /// a factorial of this size.
    ///
    /// # Errors
    /// `cancelled` or `timeout`; `too-large`: there is no memory for it; those of `sink`.
    pub fn write(
        self,
        form: Form,
        cancel: &Cancel,
        mut sink: impl FnMut(&[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let Self { core, twos } = self;
        let number = Natural::from_owned_limbs_asc(core) << twos;
        match form {
            Form::Decimal { zeros } => {
                decimal::write(&number, cancel, &mut sink)?;
                let text = [b'0'; PIECE];
                let mut left = zeros;
                while left > 0 {
                    cancel.check()?;
                    let now = left.min(PIECE as u64);
                    sink(&text[..now as usize])?;
                    left -= now;
                }
            }
            Form::Raw => {
                let bytes: &[u8] = bytemuck::cast_slice(number.as_limbs_asc());
                let len = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                for piece in bytes[..len].chunks(PIECE) {
                    cancel.check()?;
                    sink(piece)?;
                }
            }
            Form::Hex => {
                let limbs = number.as_limbs_asc();
                let mut text = format!("{:x}", limbs.last().copied().unwrap_or(0));
                for limbs in limbs[..limbs.len().saturating_sub(1)].rchunks(PIECE / 16) {
                    cancel.check()?;
                    text.extend(limbs.iter().rev().map(|limb| format!("{limb:016x}")));
                    sink(text.as_bytes())?;
                    text.clear();
                }
                if !text.is_empty() {
                    sink(text.as_bytes())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::swing, *};
    use malachite_base::num::{arithmetic::traits::Factorial, conversion::traits::ToStringBase};

    fn written(number: Factored, form: Form) -> Vec<u8> {
        let mut text = Vec::new();
        let sink = |piece: &[u8]| {
            text.extend_from_slice(piece);
            Ok(())
        };
        number.write(form, &Cancel::new(), sink).unwrap();
        text
    }

    #[test]
    fn every_form_tells_the_same_number() {
        for n in [0, 1, 2, 3, 4, 5, 10, 20, 21, 25, 1000, 30_000] {
            let whole = Natural::factorial(n.into());
            let swing::Factored { core, twos, fives } = swing::factorial(n, &Cancel::new()).unwrap();
            let tens = Factored { core: core.into_limbs_asc(), twos: twos - fives };
            assert_eq!(written(tens, Form::Decimal { zeros: fives }), whole.to_string().into_bytes(), "{n}");
            let number = || Factored { core: (&whole >> twos).into_limbs_asc(), twos };
            assert_eq!(written(number(), Form::Hex), whole.to_string_base(16).into_bytes(), "{n}");
            let mut bytes = written(number(), Form::Raw);
            assert_ne!(bytes.last(), Some(&0));
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            assert_eq!(Natural::from_owned_limbs_asc(bytemuck::pod_collect_to_vec(&bytes)), whole, "{n}");
        }
    }

    #[test]
    fn what_the_sink_says_ends_it() {
        let number = || Factored { core: vec![7; 5000], twos: 9 };
        for form in [Form::Decimal { zeros: 3 }, Form::Hex, Form::Raw] {
            let full = TaskError::invalid_input("full");
            assert_eq!(number().write(form, &Cancel::new(), |_| Err(full.clone())), Err(full));
        }
    }
}
