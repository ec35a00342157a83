//! `matmul`: the product of two dense matrices, of doubles or of floats of 32 bits.

use super::random;
use crate::{
    buffer::{Buffer, Scalar},
    task::TaskError,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind's name.
pub const KIND: &str = "matmul";

/// What matrices are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Element {
    /// Doubles.
    F64,
    /// Floats of 32 bits, with 24 bits of precision.
    F32,
}

impl Element {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::F64, Self::F32];

    /// How many bytes one takes.
    pub const fn size(self) -> usize {
        match self {
            Self::F64 => size_of::<f64>(),
            Self::F32 => size_of::<f32>(),
        }
    }

    /// What it is called in task lines and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
        }
    }

    /// What both factors and their product are made of.
    ///
    /// # Errors
    /// `invalid-input`: they differ.
    pub fn common(a: Self, b: Self) -> Result<Self, TaskError> {
        if a == b {
            return Ok(a);
        }
        Err(TaskError::invalid_input(format!(
            "a is of dtype {a} and b of {b}: both factors must be of one; convert either, as with NumPy's astype"
        )))
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number that is an [`Element`], for code that is written once for all of them.
pub trait Real: Scalar + PartialOrd + Into<f64> {
    /// Which.
    const ELEMENT: Element;
    /// Half of what the least number above 1 is above it.
    const ROUNDOFF: f64;
    /// The largest there is.
    const MAX: f64;
    /// The least that is above zero and has full precision.
    const MIN_POSITIVE: f64;

    /// Element `index` of the sequence of `seed`: see [`random`].
    fn unit(seed: u64, index: u64) -> Self;
}

impl Real for f64 {
    const ELEMENT: Element = Element::F64;
    const ROUNDOFF: f64 = Self::EPSILON / 2.0;
    const MAX: f64 = Self::MAX;
    const MIN_POSITIVE: f64 = Self::MIN_POSITIVE;

    #[inline]
    fn unit(seed: u64, index: u64) -> Self {
        random::unit(seed, index)
    }
}

impl Real for f32 {
    const ELEMENT: Element = Element::F32;
    const ROUNDOFF: f64 = Self::EPSILON as f64 / 2.0;
    const MAX: f64 = Self::MAX as f64;
    const MIN_POSITIVE: f64 = Self::MIN_POSITIVE as f64;

    #[inline]
    fn unit(seed: u64, index: u64) -> Self {
        random::unit_f32(seed, index)
    }
}

/// The two factors, of one type: `a` is m x k, `b` is k x n.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Input {
    /// The left factor.
    pub a: Operand,
    /// The right factor.
    pub b: Operand,
    /// Return sums in place of the product.
    pub summary: bool,
}

/// A factor: shipped, or named by its seed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Operand {
    /// The elements themselves.
    Dense(Matrix),
    /// Elements uniform in [0, 1), made by the worker: element (i, j) is [`unit`](random::unit) or
    /// [`unit_f32`](random::unit_f32) of the seed at i * columns + j.
    Random {
        /// What they are.
        element: Element,
        /// Rows and columns.
        shape: [u64; 2],
        /// Which sequence.
        seed: u64,
    },
}

impl Operand {
    /// Rows and columns.
    pub fn shape(&self) -> [u64; 2] {
        match self {
            Self::Dense(matrix) => [matrix.rows, matrix.columns],
            Self::Random { shape, .. } => *shape,
        }
    }

    /// What it is made of.
    pub fn element(&self) -> Element {
        match self {
            Self::Dense(Matrix { element, .. }) | Self::Random { element, .. } => *element,
        }
    }

    /// What the product of these factors is: m, k and n, and what all three matrices are made of.
    ///
    /// # Errors
    /// `invalid-input`: they do not fit.
    pub fn times(&self, b: &Self) -> Result<([u64; 3], Element), TaskError> {
        product((self.shape(), self.element()), (b.shape(), b.element()))
    }
}

/// A matrix in row-major order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Matrix {
    /// What it is made of.
    pub element: Element,
    /// How many rows.
    pub rows: u64,
    /// How many columns.
    pub columns: u64,
    /// `rows * columns` of them. Whoever receives a matrix checks that.
    pub elements: Buffer,
}

impl Matrix {
    /// How many bytes a matrix of this shape has; `None` where that is more than can be said.
    pub fn bytes(element: Element, rows: u64, columns: u64) -> Option<u64> {
        rows.checked_mul(columns)?.checked_mul(element.size() as u64)
    }

    /// Whether there are as many elements as its shape says.
    pub fn is_whole(&self) -> bool {
        Self::bytes(self.element, self.rows, self.columns) == Some(self.elements.len() as u64)
    }

    /// What the product of these factors is: m, k and n, and what all three matrices are made of.
    ///
    /// # Errors
    /// `invalid-input`: they do not fit.
    pub fn times(&self, b: &Self) -> Result<([u64; 3], Element), TaskError> {
        product(([self.rows, self.columns], self.element), ([b.rows, b.columns], b.element))
    }
}

/// The product of two factors, each by its rows and columns, and by what it is made of.
fn product(
    (a, element): ([u64; 2], Element),
    (b, other): ([u64; 2], Element),
) -> Result<([u64; 3], Element), TaskError> {
    let ([m, k], [rows, n]) = (a, b);
    if k != rows {
        return Err(TaskError::invalid_input(format!(
            "a is {m} x {k} and b is {rows} x {n}: a must have as many columns as b has rows"
        )));
    }
    Ok(([m, k, n], Element::common(element, other)?))
}

/// The product, m x n, or its summary.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// The product.
    Product(Matrix),
    /// Its shape, the sum of its elements, and its trace (the sum over the main diagonal).
    Summary {
        /// Rows and columns.
        shape: [u64; 2],
        /// The sum of all elements, added up in doubles whatever they are.
        sum: f64,
        /// The sum of the elements (i, i).
        trace: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::ErrorCode;

    #[test]
    fn factors_of_two_types_are_refused_by_both_names() {
        let factor = |element, shape| Operand::Random { element, shape, seed: 1 };
        let (a, b) = (factor(Element::F32, [2, 3]), factor(Element::F32, [3, 4]));
        assert_eq!(a.times(&b), Ok(([2, 3, 4], Element::F32)));
        assert!(b.times(&a).unwrap_err().message.starts_with("a is 3 x 4 and b is 2 x 3: "));
        let error = a.times(&factor(Element::F64, [3, 4])).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInput);
        assert!(error.message.starts_with("a is of dtype f32 and b of f64: both factors must"), "{error}");
    }

    #[test]
    fn a_matrix_has_as_many_bytes_as_its_elements() {
        let matrix =
            |element, bytes| Matrix { element, rows: 3, columns: 1, elements: vec![0; bytes].into() };
        assert!(matrix(Element::F32, 12).is_whole() && matrix(Element::F64, 24).is_whole());
        assert!(!matrix(Element::F32, 24).is_whole() && !matrix(Element::F64, 12).is_whole());
        assert_eq!(Matrix::bytes(Element::F32, u64::MAX, 1), None);
    }
}
