//! The kinds that a factorial too large for one worker is made of: parts of it, and their products.
//!
//! Naturals travel as their 64-bit limbs, the least significant first, without zeros at the end: zero is none.

use crate::buffer::Buffer;
use serde::{Deserialize, Serialize};

/// A part of a factorial: [`Part`] gives a natural's limbs.
pub const PART: &str = "factorial-part";

/// The product of two naturals: [`Multiply`] gives a natural's limbs.
pub const MULTIPLY: &str = "multiply";

/// Which part of n!: the product of `p` to the power of how often it divides n!, over the odd primes `p` in
/// `above < p <= up_to`. The twos are a shift, which is left to whoever writes it out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// The number whose factorial it is.
    pub n: u64,
    /// Only primes greater than this.
    pub above: u64,
    /// No primes greater than this.
    pub up_to: u64,
    /// Whether 5 is left out, too: in decimal, twos and fives are zeros at the end.
    pub without_fives: bool,
}

/// Two factors.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Multiply {
    /// Limbs.
    pub left: Buffer,
    /// Limbs.
    pub right: Buffer,
}
