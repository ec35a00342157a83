//! A list of keys in JSON, both ways.
//!
//! A list has one type, and the whole list decides which, unless it is said: integers as long as there is no other number
//! in it, without a sign where one is too large for 64 bits with one; doubles otherwise, or strings. Nothing is rounded on
//! the way in except decimal fractions, to the nearest double: an integer that its list's type cannot hold is an error,
//! not a neighbour of itself.

use super::{finite, scalars};
use crate::job::{
    answer::broken,
    fields::{each, shorten, string, write_json, write_string},
};
use sgdt_proto::{
    buffer::Buffer,
    kind::sort::{Keys, Number},
    task::TaskError,
};

/// Reads a list, of numbers of this type if one is asked for.
///
/// # Errors
/// `invalid-input`, naming the first element that does not belong there.
pub fn read(name: &str, list: &str, asked: Option<Number>) -> Result<Keys, TaskError> {
    let has_strings = list.strip_prefix('[').is_some_and(|inside| inside.trim_ascii_start().starts_with('"'));
    match asked {
        None if has_strings => strings(name, list),
        _ => match Found::look(name, list, asked)?.keys(name, asked)? {
            Some(keys) => Ok(keys),
            None => doubles(name, list, asked),
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
        Keys::Numbers { number: Number::I64, buffer } => write_json(json, &all::<i64>(buffer)?),
        Keys::Numbers { number: Number::U64, buffer } => write_json(json, &all::<u64>(buffer)?),
        Keys::Numbers { number: Number::F64, buffer } => {
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

/// An element and its place.
type Named<'a> = (usize, &'a str);

/// What there is in a list of numbers: the first of each sort that a list of integers may not have.
#[derive(Default)]
struct Found<'a> {
    /// The integers' bits, as long as there is no fraction.
    words: Vec<u64>,
    fraction: Option<Named<'a>>,
    negative: Option<Named<'a>>,
    /// Too large for 64 bits with a sign.
    large: Option<Named<'a>>,
    /// No 64 bits hold it.
    huge: Option<Named<'a>>,
}

impl<'a> Found<'a> {
    fn look(name: &str, list: &'a str, asked: Option<Number>) -> Result<Self, TaskError> {
        let mut found = Self::default();
        each(name, list, |place, text| {
            if !is_number(text) {
                return Err(stranger(
                    name,
                    place,
                    text,
                    match asked {
                        Some(_) => "a \"dtype\" is one of numbers",
                        None => "a list has integers, other numbers, or strings",
                    },
                ));
            }
            let (sort, word) = if is_fraction(text) {
                (Some(&mut found.fraction), None)
            } else {
                match text.parse::<i64>() {
                    Ok(integer @ ..0) => (Some(&mut found.negative), Some(integer.cast_unsigned())),
                    Ok(integer) => (None, Some(integer.cast_unsigned())),
                    Err(_) => match text.parse() {
                        Ok(natural) => (Some(&mut found.large), Some(natural)),
                        Err(_) => (Some(&mut found.huge), None),
                    },
                }
            };
            if let Some(first) = sort {
                first.get_or_insert((place, text));
            }
            // Once it is known to be a list of doubles, this one only looks for strangers.
            if let Some(word) = word.filter(|_| found.fraction.is_none()) {
                found.words.push(word);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The list as integers, or `None` where it is one of doubles.
    fn keys(self, name: &str, asked: Option<Number>) -> Result<Option<Keys>, TaskError> {
        let Self { words, fraction, negative, large, huge } = self;
        let (number, wrong, why) = match asked {
            Some(Number::F64) => return Ok(None),
            None if fraction.is_some() => return Ok(None),
            None if large.is_none() || huge.is_some() => {
                (Number::I64, huge, "integers have 64 bits, with a sign or without one")
            }
            None => {
                let why = "a list with a negative number in it has integers of 64 bits with a sign";
                (Number::U64, large.filter(|_| negative.is_some()), why)
            }
            Some(Number::I64) => {
                let wrong = fraction.or(large).or(huge);
                (Number::I64, wrong, "\"dtype\":\"i64\" takes integers of 64 bits, with a sign")
            }
            Some(Number::U64) => {
                let wrong = fraction.or(negative).or(huge);
                (Number::U64, wrong, "\"dtype\":\"u64\" takes integers of 64 bits, without a sign")
            }
        };
        match wrong {
            Some((place, text)) => Err(stranger(name, place, text, why)),
            None => Ok(Some(Keys::Numbers { number, buffer: Buffer::from_scalars(words) })),
        }
    }
}

fn doubles(name: &str, list: &str, asked: Option<Number>) -> Result<Keys, TaskError> {
    let mut keys = Vec::new();
    each(name, list, |place, text| {
        let key = if is_fraction(text) { text.parse().ok() } else { exact(text) };
        keys.push(key.filter(|x: &f64| x.is_finite()).ok_or_else(|| {
            let why = match asked {
                _ if is_fraction(text) => "no double is that large",
                Some(_) => "no double is equal to this integer",
                None => "a list with a fraction in it has doubles, and none is equal to this integer",
            };
            stranger(name, place, text, why)
        })?);
        Ok(())
    })?;
    Ok(Keys::Numbers { number: Number::F64, buffer: Buffer::from_scalars(keys) })
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
mod tests;
