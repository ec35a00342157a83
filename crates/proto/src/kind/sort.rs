//! `sort`: a list of keys of one type, in order.

use crate::buffer::Buffer;
use serde::{Deserialize, Serialize};

pub mod order;

/// The kind's name.
pub const KIND: &str = "sort";

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
    /// Signed 64-bit integers.
    I64(Buffer),
    /// Doubles, in the total order of IEEE 754 (-0 before +0), every NaN last.
    F64(Buffer),
    /// Strings, compared by their bytes.
    Text {
        /// All strings, one after the other.
        bytes: Buffer,
        /// The length of each, in bytes, as 64-bit integers.
        lengths: Buffer,
    },
    /// The lines of a text, compared by their bytes. Each ends with a line feed, but for the last, which may lack it.
    Lines(Buffer),
    /// That many signed 64-bit integers, made by the worker: [`word`](super::random::word) of the seed at each index.
    Random {
        /// How many.
        len: u64,
        /// Which sequence.
        seed: u64,
    },
}

/// The keys in order, of the type that came in (`Random` as `I64`), or their summary.
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
    F64(f64),
    Text(String),
}
