//! What the cost model knows of each kind.

use super::Power;
use crate::giant::{factorial, matmul::Grid};
use sgdt_proto::{kind::matmul::Element, worker::MAX_MESSAGE};

/// A task, by what decides its cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// A product of an m x k and a k x n matrix. Its unit of work is a floating-point operation: see [`product`](Self::product).
    Matmul {
        /// m, k and n.
        shape: [u64; 3],
        /// What they are made of.
        element: Element,
    },
    /// A sort of numbers of eight bytes. Its unit of work is a byte.
    Numbers {
        /// How many bytes.
        bytes: u64,
    },
    /// A sort of lines. Its unit of work is a byte.
    Lines {
        /// How many bytes.
        bytes: u64,
    },
    /// A factorial. Its unit of work is a second of a core such as those that the constants here were measured on.
    Factorial {
        /// Of which number.
        n: u64,
        /// Whether it is written in decimal, which takes much longer than to compute it.
        decimal: bool,
    },
}

/// The parts of a way to compute a task: see the [module](super).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Phases {
    /// How many pieces there are really.
    pub(super) pieces: f64,
    /// Units of work that the pieces share.
    pub(super) shared: f64,
    /// Units of work that one piece does when the others are done.
    pub(super) last: f64,
    /// Bytes that are sent and received.
    pub(super) bytes: f64,
    /// Bytes that are written in the end, whoever computes. What is read has been read by then.
    pub(super) files: f64,
    /// Seconds of this process.
    pub(super) client: f64,
    /// Units of work that this process does in the end, on all its threads.
    pub(super) here: f64,
    /// How often there is nothing to do but wait for a message to go there and back.
    pub(super) trips: f64,
}

/// Bytes that are written to a file in a second.
pub(super) const FILES: f64 = 8e8;

/// How long this process takes for a piece, however small it is, in seconds.
pub(super) const PIECE: f64 = 1e-4;

/// Bytes that this process copies in a second, and those of keys that it puts into ranges.
const COPY: f64 = 2e9;
const RANGE_NUMBERS: f64 = 1e9;
const RANGE_LINES: f64 = 2.5e8;

/// As many operations of a product as one core does while it fetches an element of a factor from memory, or writes one of
/// the product there.
const TOUCH: f64 = 30.0;

/// How many times as long a line of a long list takes as one of a list that fits in a cache, which is what is measured.
const SCATTERED: f64 = 2.0;

/// Bytes of sorted runs that one thread merges in a second, with what writing and reading them takes.
const MERGED: f64 = 2e8;

/// How long one core with AVX-512 takes for the factorial of a million, and for its digits; and for one of how many times
/// as many bits it takes how much longer: as measured from 10^6 to 2 * 10^7. It is more than n log n, because memory is
/// slower than caches.
const CORE: f64 = 0.031;
const TEXT: f64 = 0.158;
const MILLION: f64 = 1.85e7;
const GROWTH: f64 = 1.165;

/// How much of the work on a factorial is shared by its parts: the two last products take one worker each.
const SHARED: f64 = 0.5;

impl Task {
    /// Units of work of a product of an m x k and a k x n matrix.
    pub fn product(shape: [u64; 3]) -> f64 {
        let [m, k, n] = shape.map(|length| length as f64);
        2.0 * m * k * n + TOUCH * (m * k + k * n + m * n)
    }

    /// Units of work that one core does in a second where nothing else is known.
    pub fn usual_rate(&self) -> f64 {
        match self {
            // With AVX2. A vector holds twice as many floats of half the size.
            Self::Matmul { element, .. } => 3.2e11 / element.size() as f64,
            Self::Numbers { .. } => 6.4e8,
            Self::Lines { .. } => 1e8,
            Self::Factorial { .. } => 1.0,
        }
    }

    /// What so many pieces come to, here or on so many `workers`, where none is to take more than so many bytes.
    pub(super) fn phases(&self, pieces: u32, most_bytes: u64, workers: Option<u32>) -> Phases {
        let whole = pieces == 1;
        let count = f64::from(pieces);
        match *self {
            Self::Matmul { shape, element } => {
                let [m, k, n] = shape.map(|length| length as f64);
                let most = most_bytes / element.size() as u64;
                let grid = if whole { Grid { rows: 1, columns: 1 } } else { Grid::of(shape, pieces, most) };
                let size = element.size() as f64;
                let packed = if grid.columns > 1 { size * k * n } else { 0.0 };
                let placed = if whole { 0.0 } else { size * m * n };
                Phases {
                    pieces: grid.tiles() as f64,
                    shared: Self::product(shape),
                    last: 0.0,
                    bytes: size * (grid.delivered(shape, workers.unwrap_or(1)) + m * n),
                    files: size * m * n,
                    client: (packed + placed) / COPY,
                    here: 0.0,
                    trips: 1.0,
                }
            }
            Self::Numbers { bytes } => Self::ranges(bytes, count, most_bytes, RANGE_NUMBERS),
            Self::Lines { bytes } => {
                let ranges = Self::ranges(bytes, count, most_bytes, RANGE_LINES);
                Phases { shared: SCATTERED * ranges.shared, ..ranges }
            }
            Self::Factorial { n, decimal } => {
                let bytes = factorial::bytes(n) as f64;
                let growth = (8.0 * bytes / MILLION).powf(GROWTH);
                let (core, text) = (CORE * growth, if decimal { TEXT * growth } else { 0.0 });
                let files = if decimal { 2.4 } else { 1.0 } * bytes;
                if whole && workers.is_some() {
                    return Phases {
                        pieces: 1.0,
                        shared: core + text,
                        last: 0.0,
                        bytes: files,
                        files,
                        client: 0.0,
                        here: 0.0,
                        trips: 1.0,
                    };
                }
                let levels = count.log2().ceil();
                Phases {
                    pieces: count,
                    shared: if whole { core } else { SHARED * core },
                    last: if whole { 0.0 } else { (1.0 - SHARED) * core },
                    // Every level comes back, and goes out again.
                    bytes: 2.0 * bytes * (levels + 1.0),
                    files,
                    client: 0.0,
                    here: text,
                    trips: levels + 1.0,
                }
            }
        }
    }

    /// How many times as fast a task as a whole is taken to be on so many threads. Products and sorts gain from idle ones,
    /// too, which is not counted.
    pub(super) fn speedup(&self, threads: u32) -> f64 {
        /// How much of a thread's time another one takes, in memory that they share and in work that cannot be.
        const FRICTION: f64 = 0.15;
        match self {
            Self::Factorial { .. } => {
                let threads = f64::from(threads);
                threads / (1.0 + FRICTION * (threads - 1.0))
            }
            _ => 1.0,
        }
    }

    /// Whether the keys of a sort can be sent as one task.
    pub(super) fn is_one_message(&self) -> bool {
        match *self {
            Self::Numbers { bytes } | Self::Lines { bytes } => bytes < MAX_MESSAGE,
            Self::Matmul { .. } | Self::Factorial { .. } => true,
        }
    }

    /// How long a sort through a temporary file takes here, in seconds: the runs, and their merge.
    pub(super) fn spilled(&self, here: Power) -> f64 {
        let bytes = match *self {
            Self::Numbers { bytes } | Self::Lines { bytes } => bytes as f64,
            Self::Matmul { .. } | Self::Factorial { .. } => 0.0,
        };
        // Where kernels are slower than usual, so is everything else.
        let slower = (self.usual_rate() / here.rate).max(1.0);
        (bytes / here.rate + bytes / MERGED * slower) / f64::from(here.slots.max(1))
    }

    fn ranges(bytes: u64, count: f64, most_bytes: u64, rate: f64) -> Phases {
        let bytes = bytes as f64;
        let whole = count == 1.0;
        let pieces = if whole { 1.0 } else { count.max((2.0 * bytes / most_bytes.max(1) as f64).ceil()) };
        // The largest range is a third above its share.
        let uneven = if whole { 1.0 } else { 4.0 / 3.0 };
        Phases {
            pieces,
            shared: bytes * uneven,
            last: 0.0,
            bytes: 2.0 * bytes,
            files: bytes,
            client: if whole { 0.0 } else { bytes / rate + bytes / COPY },
            here: 0.0,
            trips: 1.0,
        }
    }

    /// p*, where it means something: for how many workers with a piece each the link is fast enough.
    pub(super) fn guide(&self, rate: f64, link: f64) -> Option<f64> {
        match self {
            Self::Matmul { shape, element } => {
                let n = shape.iter().map(|&length| length as f64).product::<f64>().cbrt();
                Some((2.0 * n * link / (element.size() as f64 * rate)).powf(2.0 / 3.0))
            }
            _ => None,
        }
    }
}
