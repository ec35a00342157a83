//! A list of keys in JSON, both ways.
//!
//! A list has one type, and the whole list decides which: integers as long as there is no other number in it,
//! doubles otherwise, or strings. Nothing is rounded on the way in except decimal fractions, to the nearest
//! double: an integer that its list's type cannot hold is an error, not a neighbour of itself.

use super::{finite, scalars};
use crate::job::{
    answer::broken,
    fields::{each, shorten, string, write_json, write_string},
};
use sgdt_proto::{buffer::Buffer, kind::sort::Keys, task::TaskError};

/// Reads a list.
///
/// # Errors
/// `invalid-input`, naming the first element that does not belong there.
pub fn read(name: &str, list: &str) -> Result<Keys, TaskError> {
    match list.strip_prefix('[').map(str::trim_ascii_start) {
        Some(inside) if inside.starts_with('"') => strings(name, list),
        _ => match integers(name, list)? {
            Some(keys) => Ok(keys),
            None => doubles(name, list),
        },
    }
}

/// Appends sorted keys.
///
/// # Errors
/// They are not what a worker may answer with, or doubles that JSON cannot express.
pub fn write(keys: Keys, json: &mut Vec<u8>) -> Result<(), TaskError> {
    json.extend_from_slice(b"{\"values\":");
    match keys {
        Keys::I64(buffer) => write_json(json, &all::<i64>(buffer)?),
        Keys::F64(buffer) => {
            let keys = all::<f64>(buffer)?;
            finite(&keys)?;
            write_json(json, &keys);
        }
        Keys::Text { bytes, lengths } => {
            json.push(b'[');
            let mut rest = bytes.as_bytes();
            for (place, length) in all::<u64>(lengths)?.into_iter().enumerate() {
                let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
                let (key, after) = split.ok_or_else(|| broken("its strings are longer than its text"))?;
                if place > 0 {
                    json.push(b',');
                }
                write_string(json, str::from_utf8(key).map_err(|_| broken("its strings are no text"))?);
                rest = after;
            }
            if !rest.is_empty() {
                return Err(broken("its strings are shorter than its text"));
            }
            json.push(b']');
        }
        Keys::Lines(_) | Keys::Random { .. } => return Err(broken("the keys came back as something else")),
    }
    json.push(b'}');
    Ok(())
}

fn all<T: sgdt_proto::buffer::Scalar>(buffer: Buffer) -> Result<Vec<T>, TaskError> {
    let count = buffer.len() as u64 / 8;
    scalars(buffer, count)
}

fn strings(name: &str, list: &str) -> Result<Keys, TaskError> {
    let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
    each(name, list, |place, text| {
        if !text.starts_with('"') {
            return Err(stranger(name, place, text, "a list that begins with a string has only strings"));
        }
        let key = string(&format!("{name}[{place}]"), text)?;
        bytes.extend_from_slice(key.as_bytes());
        lengths.push(key.len() as u64);
        Ok(())
    })?;
    Ok(Keys::Text { bytes: bytes.into(), lengths: Buffer::from_scalars(lengths) })
}

/// A list of integers, or `None` when there is another number in it.
fn integers(name: &str, list: &str) -> Result<Option<Keys>, TaskError> {
    let mut keys = Vec::new();
    let (mut fraction, mut large) = (false, None);
    each(name, list, |place, text| {
        if !is_number(text) {
            return Err(stranger(name, place, text, "a list has integers, other numbers, or strings"));
        }
        if is_fraction(text) {
            fraction = true;
        } else {
            match text.parse::<i64>() {
                // Once it is known to be a list of doubles, this one only looks for strangers.
                Ok(key) if !fraction => keys.push(key),
                Ok(_) => {}
                Err(_) if large.is_none() => {
                    large = Some(stranger(name, place, text, "integers have 64 bits, with a sign"));
                }
                Err(_) => {}
            }
        }
        Ok(())
    })?;
    match large {
        _ if fraction => Ok(None),
        Some(error) => Err(error),
        None => Ok(Some(Keys::I64(Buffer::from_scalars(keys)))),
    }
}

fn doubles(name: &str, list: &str) -> Result<Keys, TaskError> {
    let mut keys = Vec::new();
    each(name, list, |place, text| {
        let key = if is_fraction(text) { text.parse().ok() } else { exact(text) };
        keys.push(key.filter(|x: &f64| x.is_finite()).ok_or_else(|| {
            let why = if is_fraction(text) {
                "no double is that large"
            } else {
                "a list with a fraction in it has doubles, and none is equal to this integer"
            };
            stranger(name, place, text, why)
        })?);
        Ok(())
    })?;
    Ok(Keys::F64(Buffer::from_scalars(keys)))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn is_fraction(text: &str) -> bool {
    text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'))
}

/// The double that is equal to an integer, if there is one.
fn exact(text: &str) -> Option<f64> {
    match text.parse::<i64>() {
        Ok(integer) => Some(integer as f64).filter(|&x| x as i128 == i128::from(integer)),
        Err(_) => text.parse().ok().filter(|x: &f64| format!("{x:.0}") == text),
    }
}

fn stranger(name: &str, place: usize, text: &str, why: &str) -> TaskError {
    TaskError::invalid_input(format!("{name}[{place}] is {}: {why}", shorten(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn i64s(keys: &[i64]) -> Keys {
        Keys::I64(Buffer::from_scalars(keys.to_vec()))
    }

    fn f64s(keys: &[f64]) -> Keys {
        Keys::F64(Buffer::from_scalars(keys.to_vec()))
    }

    fn text(keys: &[&str]) -> Keys {
        let lengths = keys.iter().map(|key| key.len() as u64).collect();
        Keys::Text { bytes: keys.concat().into_bytes().into(), lengths: Buffer::from_scalars::<u64>(lengths) }
    }

    #[test]
    fn the_whole_list_decides_its_type() {
        for (list, keys) in [
            ("[]", i64s(&[])),
            ("[ ]", i64s(&[])),
            ("[3, -1,0]", i64s(&[3, -1, 0])),
            ("[-0]", i64s(&[0])),
            ("[9223372036854775807,-9223372036854775808]", i64s(&[i64::MAX, i64::MIN])),
            ("[1.0]", f64s(&[1.0])),
            ("[1,2.5,-0.0,3e2]", f64s(&[1.0, 2.5, -0.0, 300.0])),
            ("[9007199254740992,0.5]", f64s(&[9007199254740992.0, 0.5])),
            ("[9223372036854775808,0.5]", f64s(&[9223372036854775808.0, 0.5])),
            ("[0.5,-1000000000000000000000]", f64s(&[0.5, -1e21])),
            ("[1e-400]", f64s(&[0.0])),
            (r#"[ "b","","a\u00e9\n"]"#, text(&["b", "", "aé\n"])),
        ] {
            assert_eq!(read("values", list).unwrap(), keys, "{list}");
        }
    }

    #[test]
    fn a_stranger_in_a_list_is_named_with_its_place() {
        for (list, message) in [
            ("5", r#""values" takes a list, not 5"#),
            ("null", r#""values" takes a list, not null"#),
            (r#""abc""#, r#""values" takes a list, not "abc""#),
            (r#"[1,"a"]"#, r#"values[1] is "a": a list has integers, other numbers, or strings"#),
            (r#"[1.5,1,"a"]"#, r#"values[2] is "a": a list has integers, other numbers, or strings"#),
            (r#"["a",1]"#, "values[1] is 1: a list that begins with a string has only strings"),
            ("[1,null]", "values[1] is null: a list has integers, other numbers, or strings"),
            ("[true]", "values[0] is true: a list has integers, other numbers, or strings"),
            ("[[1]]", "values[0] is [1]: a list has integers, other numbers, or strings"),
            ("[{}]", "values[0] is {}: a list has integers, other numbers, or strings"),
            (
                "[1,9223372036854775808]",
                "values[1] is 9223372036854775808: integers have 64 bits, with a sign",
            ),
            ("[1.5,1e400]", "values[1] is 1e400: no double is that large"),
            (
                "[9007199254740993,0.5]",
                "values[0] is 9007199254740993: a list with a fraction in it has doubles, and none is equal to this integer",
            ),
            (
                "[0.5,18446744073709551617]",
                "values[1] is 18446744073709551617: a list with a fraction in it has doubles, and none is equal to this integer",
            ),
            (
                r#"["\ud800"]"#,
                r#""values[0]" is "\ud800", which cannot be read: unexpected end of hex escape"#,
            ),
        ] {
            let error = read("values", list).unwrap_err();
            assert_eq!(error.message, message, "{list}");
        }
    }

    #[test]
    fn strings_that_do_not_add_up_are_no_answer() {
        for (bytes, lengths) in
            [(&b"ab"[..], vec![1u64]), (b"ab", vec![3]), (b"ab", vec![u64::MAX, 1]), (b"\xff", vec![1])]
        {
            let keys = Keys::Text { bytes: bytes.to_vec().into(), lengths: Buffer::from_scalars(lengths) };
            assert!(write(keys, &mut Vec::new()).is_err());
        }
        assert!(write(Keys::I64(vec![0; 7].into()), &mut Vec::new()).is_err());
        assert!(write(Keys::Random { len: 1, seed: 1 }, &mut Vec::new()).is_err());
        assert!(write(f64s(&[f64::NAN]), &mut Vec::new()).unwrap_err().message.contains("a key is NaN"));
    }

    fn round_trip(list: &str) -> String {
        let mut json = Vec::new();
        write(read("values", list).unwrap(), &mut json).unwrap();
        let text = String::from_utf8(json).unwrap();
        text.strip_prefix("{\"values\":").unwrap().strip_suffix('}').unwrap().to_owned()
    }

    proptest! {
        #[test]
        fn integers_survive(keys: Vec<i64>) {
            let list = serde_json::to_string(&keys).unwrap();
            prop_assert_eq!(round_trip(&list), list);
        }

        #[test]
        fn doubles_survive_to_the_bit(bits: Vec<u64>) {
            let keys: Vec<f64> = bits.into_iter().map(f64::from_bits).filter(|x| x.is_finite()).collect();
            let list = serde_json::to_string(&keys).unwrap();
            if !keys.is_empty() {
                prop_assert_eq!(read("values", &list).unwrap(), f64s(&keys));
            }
            prop_assert_eq!(round_trip(&list), list);
        }

        #[test]
        fn strings_survive(keys in proptest::collection::vec(any::<String>(), 0..20)) {
            let list = serde_json::to_string(&keys).unwrap();
            prop_assert_eq!(round_trip(&list), list);
        }

        #[test]
        fn an_integer_becomes_a_double_only_if_it_stays_itself(integer: i128) {
            let text = integer.to_string();
            match exact(&text) {
                Some(x) => prop_assert_eq!(format!("{x:.0}"), text),
                None => prop_assert_ne!(format!("{:.0}", integer as f64), text),
            }
        }
    }
}
