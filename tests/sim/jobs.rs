//! The tasks of a simulated job: what is sent, what runs, and what must come back.

use crate::network::Life;
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sgdt_client::{TaskResult, TaskSpec};
use sgdt_proto::{
    buffer::Buffer,
    kind::{factorial, matmul, sort},
    task::{ErrorCode, TaskError},
};
use sgdt_worker::{
    cancel::Cancel,
    kernel::{Kernel, Kinds},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// What a task is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Work {
    /// A kind of the simulation's own, in JSON.
    Digest(u64),
    Factorial(u64),
    Sort(Vec<i64>),
    /// Two 2 x 2 matrices.
    MatMul([f64; 4], [f64; 4]),
    /// One of a few large matrices, each of which many tasks have, and what it is multiplied by.
    Scale(u8, f64),
    /// Its input makes no sense.
    Invalid,
    /// Its kernel panics.
    Panic,
    /// Its kernel takes longer than it may.
    Overdue,
    /// No worker serves it.
    Unknown,
    /// It kills the process that runs it.
    Poison,
}

/// How long an [`Overdue`](Work::Overdue) task may run.
const TIME_OUT: Duration = Duration::from_millis(250);

/// What all matrices here are made of.
const DOUBLES: matmul::Element = matmul::Element::F64;

/// Rows and columns of a large matrix: enough for a blob.
const LARGE: u64 = 91;

/// An element of a large matrix: small integers, so that sums are exact.
fn element(which: u8, index: u64) -> f64 {
    ((u64::from(which) + index) % 7) as f64
}

impl Work {
    /// Any that harms nobody but itself.
    pub(crate) fn draw(rng: &mut SmallRng) -> Self {
        let mut element = || f64::from(rng.random_range(-9i32..=9));
        let (a, b) = (std::array::from_fn(|_| element()), std::array::from_fn(|_| element()));
        match rng.random_range(0..100) {
            0..50 => Self::Digest(rng.random()),
            50..65 => Self::Factorial(rng.random_range(0..=20)),
            65..80 => {
                let len = rng.random_range(0..40);
                Self::Sort((0..len).map(|_| rng.random_range(-99..=99)).collect())
            }
            80..93 if a[0] < 0.0 => Self::Scale(a[1].abs() as u8 % 3, b[0]),
            80..93 => Self::MatMul(a, b),
            _ => [Self::Invalid, Self::Panic, Self::Overdue, Self::Unknown].choose(rng).unwrap().clone(),
        }
    }

    /// The task as the client is given it.
    pub(crate) fn spec(&self) -> TaskSpec {
        let kind = |name: &str| name.parse().unwrap();
        let matrix = |elements: [f64; 4]| {
            let elements = Buffer::from_scalars(elements.to_vec());
            matmul::Operand::Dense(matmul::Matrix { element: DOUBLES, rows: 2, columns: 2, elements })
        };
        match self {
            Self::Digest(word) => TaskSpec::json(kind("digest"), &Word { word: *word }),
            Self::Factorial(n) => {
                TaskSpec::packed(kind("factorial"), &factorial::Input { n: *n, summary: false })
            }
            Self::Sort(keys) => {
                let keys = integers(keys.clone());
                TaskSpec::packed(kind("sort"), &sort::Input { keys, descending: false, summary: false })
            }
            Self::MatMul(a, b) => TaskSpec::packed(
                kind("matmul"),
                &matmul::Input { a: matrix(*a), b: matrix(*b), summary: false },
            ),
            Self::Scale(which, factor) => {
                let large = Buffer::from_scalars((0..LARGE * LARGE).map(|i| element(*which, i)).collect());
                let column = Buffer::from_scalars(vec![*factor; LARGE as usize]);
                let [a, b] = [(LARGE, large.shared()), (1, column)].map(|(columns, elements)| {
                    matmul::Operand::Dense(matmul::Matrix {
                        element: DOUBLES,
                        rows: LARGE,
                        columns,
                        elements,
                    })
                });
                TaskSpec::packed(kind("matmul"), &matmul::Input { a, b, summary: false })
            }
            Self::Invalid => TaskSpec::json(kind("digest"), &json!({"word": "none"})),
            Self::Panic => TaskSpec::json(kind("panic"), &json!(null)),
            Self::Overdue => TaskSpec::json(kind("digest"), &Word { word: 1 })
                .map(|spec| TaskSpec { timeout: Some(TIME_OUT), ..spec }),
            Self::Unknown => TaskSpec::json(kind("fortune-telling"), &json!(null)),
            Self::Poison => TaskSpec::json(kind("poison"), &json!(null)),
        }
        .unwrap()
    }

    /// Says what about a result is not as it must be.
    pub(crate) fn check(&self, result: &TaskResult) -> Result<(), String> {
        let expected = match self {
            Self::Digest(word) => return self.equal(result, &Word { word: digest(*word) }),
            Self::Factorial(n) => {
                let decimal = (1..=*n).product::<u64>().to_string();
                let digits = decimal.len() as u64;
                let decimal = Some(Buffer::from(decimal.into_bytes()));
                return self.equal(result, &factorial::Output { digits, decimal });
            }
            Self::Sort(keys) => {
                let mut keys = keys.clone();
                keys.sort_unstable();
                return self.equal(result, &sort::Output::Sorted(integers(keys)));
            }
            Self::MatMul(a, b) => {
                let cell = |i: usize| a[i / 2 * 2] * b[i % 2] + a[i / 2 * 2 + 1] * b[i % 2 + 2];
                let elements = Buffer::from_scalars((0..4).map(cell).collect());
                return self.equal(
                    result,
                    &matmul::Output::Product(matmul::Matrix {
                        element: DOUBLES,
                        rows: 2,
                        columns: 2,
                        elements,
                    }),
                );
            }
            Self::Scale(which, factor) => {
                let sum = |row| (0..LARGE).map(|column| element(*which, row * LARGE + column)).sum::<f64>();
                let elements = Buffer::from_scalars((0..LARGE).map(|row| sum(row) * factor).collect());
                return self.equal(
                    result,
                    &matmul::Output::Product(matmul::Matrix {
                        element: DOUBLES,
                        rows: LARGE,
                        columns: 1,
                        elements,
                    }),
                );
            }
            Self::Invalid => ErrorCode::InvalidInput,
            Self::Panic => ErrorCode::Panicked,
            Self::Overdue => ErrorCode::Timeout,
            Self::Unknown => ErrorCode::UnsupportedTask,
            Self::Poison => ErrorCode::GaveUp,
        };
        match &result.output {
            Err(error) if error.code == expected => Ok(()),
            other => Err(format!("{self:?} should have failed with {expected} and gave {other:?}")),
        }
    }

    fn equal<T>(&self, result: &TaskResult, expected: &T) -> Result<(), String>
    where
        T: PartialEq + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        match result.output.clone().and_then(sgdt_proto::payload::Payload::decode::<T>) {
            Ok(output) if output == *expected => Ok(()),
            other => Err(format!("{self:?} should have given {expected:?} and gave {other:?}")),
        }
    }
}

/// The kinds that a simulated worker serves. `life` is that of its process.
pub(crate) fn kinds(life: Arc<Life>) -> Kinds {
    Kinds::builtin().with(Digest).with(Panic).with(Poison(life))
}

/// A number, and what a task makes of it.
#[derive(PartialEq, Debug, Serialize, Deserialize)]
struct Word {
    word: u64,
}

/// One step of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
fn digest(word: u64) -> u64 {
    let z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Digest;

impl Kernel for Digest {
    type Input = Word;
    type Output = Word;

    fn kind(&self) -> &str {
        "digest"
    }

    fn run(&self, Word { word }: Word, _: &Cancel) -> Result<Word, TaskError> {
        Ok(Word { word: digest(word) })
    }
}

struct Panic;

impl Kernel for Panic {
    type Input = ();
    type Output = ();

    fn kind(&self) -> &str {
        "panic"
    }

    fn run(&self, (): (), _: &Cancel) -> Result<(), TaskError> {
        panic!("as it was asked to")
    }
}

struct Poison(Arc<Life>);

impl Kernel for Poison {
    type Input = ();
    type Output = ();

    fn kind(&self) -> &str {
        "poison"
    }

    fn run(&self, (): (), _: &Cancel) -> Result<(), TaskError> {
        // The step goes on to its end, but nothing of it gets out.
        self.0.dead.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn integers(keys: Vec<i64>) -> sort::Keys {
    sort::Keys::Numbers { number: sort::Number::I64, buffer: Buffer::from_scalars(keys) }
}
