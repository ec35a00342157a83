//! `matmul`: the product of two dense matrices of doubles.

use crate::buffer::Buffer;
use serde::{Deserialize, Serialize};

/// The kind's name.
pub const KIND: &str = "matmul";

/// The two factors: `a` is m x k, `b` is k x n.
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
    /// Elements uniform in [0, 1), made by the worker: element (i, j) is [`unit`](super::random::unit) of the
    /// seed at i * columns + j.
    Random {
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
}

/// A matrix in row-major order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Matrix {
    /// How many rows.
    pub rows: u64,
    /// How many columns.
    pub columns: u64,
    /// `rows * columns` doubles. Whoever receives one checks that.
    pub elements: Buffer,
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
        /// The sum of all elements.
        sum: f64,
        /// The sum of the elements (i, i).
        trace: f64,
    },
}
