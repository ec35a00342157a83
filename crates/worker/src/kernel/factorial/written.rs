//! A factorial that others have computed, written out where it is wanted, piece by piece.

use super::{
    decimal,
    multiply::{product, square},
};
use crate::cancel::Cancel;
use malachite_base::num::basic::traits::One;
use malachite_nz::natural::Natural;
use sgdt_proto::task::TaskError;

/// How many bytes are written at a time.
const PIECE: usize = 1 << 16;

/// A natural with its twos and fives apart: `core` * 2^`twos` * 5^`fives`, where `twos` are no fewer than `fives`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Factored {
    /// Its 64-bit limbs, the least significant first.
    pub core: Vec<u64>,
    /// How many twos.
    pub twos: u64,
    /// How many fives.
    pub fives: u64,
}

/// How a natural is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// In decimal digits, in ASCII.
    Decimal,
    /// In hexadecimal digits, in ASCII, in lower case.
    Hex,
    /// As bytes, the least significant first, without zeros at the end: zero is none.
    Raw,
}

impl Factored {
    /// Writes the natural to `sink`, from the start on. Takes as much time as it does to compute a factorial of this
    /// size, and five times as much in decimal.
    ///
    /// # Errors
    /// `cancelled` or `timeout`; `too-large`: there is no memory for it; those of `sink`.
    pub fn write(
        self,
        form: Form,
        cancel: &Cancel,
        mut sink: impl FnMut(&[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let Self { core, twos, fives } = self;
        let core = Natural::from_owned_limbs_asc(core);
        if form == Form::Decimal {
            decimal::write(&(core << (twos - fives)), cancel, &mut sink)?;
            let zeros = [b'0'; PIECE];
            let mut left = fives;
            while left > 0 {
                cancel.check()?;
                let now = left.min(PIECE as u64);
                sink(&zeros[..now as usize])?;
                left -= now;
            }
            return Ok(());
        }
        let limbs = (product(&core, &power_of_five(fives, cancel)?, cancel)? << twos).into_limbs_asc();
        match form {
            Form::Raw => {
                let bytes: &[u8] = bytemuck::cast_slice(&limbs);
                let len = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                for piece in bytes[..len].chunks(PIECE) {
                    cancel.check()?;
                    sink(piece)?;
                }
            }
            Form::Hex | Form::Decimal => {
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

fn power_of_five(exponent: u64, cancel: &Cancel) -> Result<Natural, TaskError> {
    let mut power = Natural::ONE;
    for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
        power = square(&power, cancel)?;
        if exponent >> bit & 1 == 1 {
            power *= Natural::from(5u32);
        }
    }
    Ok(power)
}

#[cfg(test)]
mod tests {
    use super::{super::swing, *};
    use malachite_base::num::{arithmetic::traits::Factorial, conversion::traits::ToStringBase};

    fn written(n: u32, form: Form) -> Vec<u8> {
        let swing::Factored { core, twos, fives } = swing::factorial(n, &Cancel::new()).unwrap();
        let mut text = Vec::new();
        let sink = |piece: &[u8]| {
            text.extend_from_slice(piece);
            Ok(())
        };
        let core = core.into_limbs_asc();
        Factored { core, twos, fives }.write(form, &Cancel::new(), sink).unwrap();
        text
    }

    #[test]
    fn every_form_tells_the_same_number() {
        for n in [0, 1, 2, 3, 4, 5, 10, 20, 21, 25, 1000, 30_000] {
            let number = Natural::factorial(n.into());
            assert_eq!(written(n, Form::Decimal), number.to_string().into_bytes(), "{n}");
            assert_eq!(written(n, Form::Hex), number.to_string_base(16).into_bytes(), "{n}");
            let mut bytes = written(n, Form::Raw);
            assert_ne!(bytes.last(), Some(&0));
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            assert_eq!(Natural::from_owned_limbs_asc(bytemuck::pod_collect_to_vec(&bytes)), number, "{n}");
        }
    }

    #[test]
    fn what_the_sink_says_ends_it() {
        let number = || Factored { core: vec![7; 5000], twos: 9, fives: 3 };
        for form in [Form::Decimal, Form::Hex, Form::Raw] {
            let full = TaskError::invalid_input("full");
            assert_eq!(number().write(form, &Cancel::new(), |_| Err(full.clone())), Err(full));
        }
    }
}
