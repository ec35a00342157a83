//! `sort`: a list of keys of one type, in order.

use super::random;
use crate::buffer::Buffer;
use serde::{Deserialize, Serialize};
use std::fmt;

pub mod order;

/// The kind's name.
pub const KIND: &str = "sort";

/// Types of numbers, all of eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Number {
    /// Integers with a sign.
    I64,
    /// Integers without one.
    U64,
    /// Doubles, in the total order of IEEE 754 (-0 before +0), every NaN last.
    F64,
}

impl Number {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::I64, Self::U64, Self::F64];

    /// What it is called in task lines and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I64 => "i64",
            Self::U64 => "u64",
            Self::F64 => "f64",
        }
    }

    /// The bits of number `index` of the sequence of `seed`: [`word`](random::word) for integers, and
    /// [`unit`](random::unit) for doubles.
    #[inline]
    pub fn random(self, seed: u64, index: u64) -> u64 {
        match self {
            Self::I64 | Self::U64 => random::word(seed, index),
            Self::F64 => random::unit(seed, index).to_bits(),
        }
    }

    /// The number with these bits.
    pub fn key(self, bits: u64) -> Key {
        match self {
            Self::I64 => Key::I64(bits.cast_signed()),
            Self::U64 => Key::U64(bits),
            Self::F64 => Key::F64(f64::from_bits(bits)),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What to sort, and which way.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Input {
    /// The keys.
    pub keys: Keys,
    /// Largest first. NaN still comes last.
    pub descending: bool,
    /// Return sums in place of the keys.
    pub summary: bool,
}

/// The keys.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Keys {
    /// Numbers.
    Numbers {
        /// Of which type.
        number: Number,
        /// The numbers themselves.
        buffer: Buffer,
    },
    /// Strings, compared by their bytes.
    Text {
        /// All strings, one after the other.
        bytes: Buffer,
        /// The length of each, in bytes, as 64-bit integers.
        lengths: Buffer,
    },
    /// The lines of a text, compared by their bytes. Each ends with a line feed, but for the last, which may lack it.
    Lines(Buffer),
    /// That many numbers, made by the worker: see [`Number::random`].
    Random {
        /// Of which type.
        number: Number,
        /// How many.
        len: u64,
        /// Which sequence.
        seed: u64,
    },
}

/// The keys in order, of the type that came in (`Random` as `Numbers`), or their summary.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// The keys in order.
    Sorted(Keys),
    /// How many keys there are, the first and the last of them and, for integers, their sum.
    Summary {
        /// How many.
        len: u64,
        /// The first in order.
        first: Option<Key>,
        /// The last in order.
        last: Option<Key>,
        /// The sum of all, where they are integers.
        sum: Option<i128>,
    },
}

/// One key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the types say it")]
pub enum Key {
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
}
