//! One giant task as many tasks of the ordinary kinds.
//!
//! ```text
//!  plan: where, and into how many pieces? ◀── rates: what is measured
//!    │
//!    ▼
//!  matmul, sort, factorial ──▶ flight: so many bytes at a time ──▶ hands: a cluster's workers, or this process
//!    ▲                                                               │
//!    └────────────── results, put into their places as they come ◀───┘
//! ```
//!
//! Every piece is a task like any other, so that it is retried, backed up and redirected by itself. None of this
//! holds more than a given number of bytes of pieces at a time, beside the input and the output.
//!
//! - [`matmul`]: rectangular tiles of the product;
//! - [`sort`]: ranges of keys between splitters drawn from a sample, so that sorted ranges need no merge;
//! - [`external`]: a sort of a file that does not fit, here, through a temporary file;
//! - [`factorial`]: ranges of the primes, whose products are multiplied in a tree;
//! - [`Whole`]: one of these as a task like any other, its payload in and its payload out;
//! - [`plan`]: a cost model, and what it recommends. A run in this process is often the fastest, and it says so.

pub mod external;
pub mod factorial;
mod flight;
mod hands;
pub mod matmul;
pub mod plan;
pub mod rates;
pub mod sort;
mod whole;

pub use hands::Hands;
pub use whole::Whole;

use crate::client::Disconnected;
use sgdt_proto::task::{ErrorCode, TaskError};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// Why a giant task has no result.
#[derive(Debug, thiserror::Error)]
pub enum GiantError {
    /// A piece failed, or the input is none: as the whole task would have.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The client's runtime has shut down.
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
}

/// What the pieces of a task may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How many bytes of pieces, inputs and outputs, there may be at a time. A larger piece goes by itself.
    pub memory: u64,
    /// How long a piece may run.
    pub timeout: Option<Duration>,
    /// Whether answers are checked before they are accepted.
    pub verify: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 256 << 20, timeout: None, verify: false }
    }
}

/// Does something that takes long, beside the calls.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskError> {
    spawn_blocking(work).await.map_err(|error| TaskError::new(ErrorCode::Panicked, error.to_string()))
}

/// Where the parts of `0..len` begin and end, when it is cut into so many as equal as can be.
fn cut(len: usize, parts: usize, index: usize) -> std::ops::Range<usize> {
    // As wide as the product may be.
    let at = |index: usize| (len as u128 * index as u128 / parts.max(1) as u128) as usize;
    at(index)..at(index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_nearly_equal_and_leave_nothing_out() {
        for (len, parts) in [(0, 1), (10, 3), (7, 7), (3, 5), (usize::MAX, 9)] {
            let ends: Vec<_> = (0..parts).map(|index| cut(len, parts, index)).collect();
            assert!(ends.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!((ends[0].start, ends[parts - 1].end), (0, len));
            let sizes = ends.iter().map(ExactSizeIterator::len);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
        }
    }
}
