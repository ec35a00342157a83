//! `factorial`: n!, exactly.

use crate::buffer::Buffer;
use serde::{Deserialize, Serialize};

/// The kind's name.
pub const KIND: &str = "factorial";

/// Which factorial.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Input {
    /// The number; 0! is 1.
    pub n: u64,
    /// Return the count of digits alone.
    pub summary: bool,
}

/// The factorial.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Output {
    /// How many decimal digits it has.
    pub digits: u64,
    /// The digits, as ASCII text; absent from a summary.
    pub decimal: Option<Buffer>,
}
