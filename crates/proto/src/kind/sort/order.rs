//! Numbers as 64-bit keys, whose unsigned order is the order wanted: what whoever sorts and whoever cuts a list
//! into ranges agree on.
//!
//! Each map is one to one, so keys turn back into their numbers, bits and all. Those of integers undo themselves.

use super::Number;

const SIGN: u64 = 1 << 63;

/// The key of minus infinity before NaNs with a sign are moved from below it to the end.
const LOWEST: u64 = !f64::NEG_INFINITY.to_bits();

/// The key of plus infinity: the greatest of any number's. Those of NaNs follow.
const HIGHEST: u64 = (f64::INFINITY.to_bits() | SIGN) - LOWEST;

/// The key of a number, given as its bits.
#[inline]
pub fn key(number: Number, bits: u64, descending: bool) -> u64 {
    match number {
        Number::I64 => integer(bits, descending),
        Number::U64 => natural(bits, descending),
        Number::F64 => double(bits, descending),
    }
}

/// The key of an integer without a sign.
#[inline]
pub fn natural(number: u64, descending: bool) -> u64 {
    if descending { !number } else { number }
}

/// The key of a signed integer, given as its bits.
#[inline]
pub fn integer(bits: u64, descending: bool) -> u64 {
    let key = bits ^ SIGN;
    if descending { !key } else { key }
}

/// The key of a double, given as its bits: by IEEE 754's total order, except that every NaN comes last, also
/// where the numbers descend.
#[inline]
pub fn double(bits: u64, descending: bool) -> u64 {
    // A negative number's bits grow with its magnitude: turned over, all of them, they shrink.
    let total = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    let key = total.wrapping_sub(LOWEST);
    // Numbers swap places with numbers, and NaNs, which wrap around, with NaNs.
    if descending { HIGHEST.wrapping_sub(key) } else { key }
}

/// The bits of the double with this key: undoes [`double`].
#[inline]
pub fn undo_double(key: u64, descending: bool) -> u64 {
    let total = if descending { HIGHEST.wrapping_sub(key) } else { key }.wrapping_add(LOWEST);
    if total & SIGN == 0 { !total } else { total ^ SIGN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_have_their_total_order_with_every_nan_last() {
        let ordered = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.0,
            -f64::MIN_POSITIVE,
            -f64::from_bits(1),
            -0.0,
            0.0,
            f64::from_bits(1),
            f64::MIN_POSITIVE,
            1.0,
            f64::MAX,
            f64::INFINITY,
        ];
        let nans = [f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001), f64::from_bits(u64::MAX)];
        for descending in [false, true] {
            let keys: Vec<_> = ordered.iter().map(|x| double(x.to_bits(), descending)).collect();
            assert!(keys.is_sorted_by(|a, b| if descending { a > b } else { a < b }));
            let last = keys.iter().max().unwrap();
            assert!(nans.iter().all(|x| double(x.to_bits(), descending) > *last));
        }
    }

    proptest! {
        #[test]
        fn keys_turn_back_and_compare_as_their_numbers(a: u64, b: u64, descending: bool) {
            prop_assert_eq!(undo_double(double(a, descending), descending), a);
            let (x, y) = (f64::from_bits(a), f64::from_bits(b));
            if !x.is_nan() && !y.is_nan() {
                let order = if descending { y.total_cmp(&x) } else { x.total_cmp(&y) };
                prop_assert_eq!(double(a, descending).cmp(&double(b, descending)), order);
            }
            for (number, order) in [(Number::I64, a.cast_signed().cmp(&b.cast_signed())), (Number::U64, a.cmp(&b))] {
                let keys = key(number, a, descending).cmp(&key(number, b, descending));
                prop_assert_eq!(keys, if descending { order.reverse() } else { order }, "{}", number);
            }
        }
    }
}
