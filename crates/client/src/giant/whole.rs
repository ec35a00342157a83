//! A task whose payload is at hand, computed in pieces: its answer is the one that a single worker would give.

use super::{GiantError, Hands, Limits, factorial, matmul, plan::Task, sort};
use crate::{
    job::answer::broken,
    local::{DECIMAL_MEMORY, Factored, Form, LocalKernels},
};
use bytemuck::allocation::try_zeroed_vec;
use serde::Serialize;
use sgdt_proto::{
    buffer::Buffer,
    kind::{
        factorial::{Input as Factorial, Output as Digits},
        matmul::{Input as Factors, Matrix, Operand, Output as Product},
        sort::{Input as Unsorted, Keys, Number, Output as Sorted},
    },
    payload::{Format, Payload},
    task::TaskError,
};

/// A task that can be computed in pieces.
#[derive(Clone, PartialEq, Debug)]
pub enum Whole {
    /// The product of two matrices.
    Product {
        /// The left factor.
        a: Matrix,
        /// The right factor.
        b: Matrix,
    },
    /// Numbers to be sorted.
    Sort {
        /// Of which type.
        number: Number,
        /// The numbers themselves.
        buffer: Buffer,
        /// Largest first.
        descending: bool,
    },
    /// The factorial of a number, with its digits.
    Factorial {
        /// The number.
        n: u64,
    },
}

/// Inputs of fewer bytes are never worth it,
const LITTLE: usize = 1 << 16;
/// nor are factorials of smaller numbers.
const SMALL: u64 = 10_000;
/// The answer is put together here, in memory. Of more bytes than this it is left to a worker, which says whether it has
/// room for it; the commands for single tasks write theirs to its place as it comes.
const MOST: u64 = 1 << 30;

impl Whole {
    /// The product that is the answer to this input, unless its factors are made by a worker, or only its sums are wanted.
    pub fn product(input: &Payload) -> Option<Self> {
        match large::<Factors>(input)? {
            Factors { a: Operand::Dense(a), b: Operand::Dense(b), summary: false }
                if Matrix::bytes(a.element, a.rows, b.columns).is_some_and(|bytes| bytes <= MOST) =>
            {
                Some(Self::Product { a, b })
            }
            _ => None,
        }
    }

    /// The numbers that this input asks to be sorted, unless they are made by a worker, or only their sums are wanted.
    pub fn sort(input: &Payload) -> Option<Self> {
        match large::<Unsorted>(input)? {
            Unsorted { keys: Keys::Numbers { number, buffer }, descending, summary: false }
                if input.size() as u64 <= MOST =>
            {
                Some(Self::Sort { number, buffer, descending })
            }
            _ => None,
        }
    }

    /// The factorial that this input asks for, unless only its length is wanted.
    pub fn factorial(input: &Payload) -> Option<Self> {
        match input.clone().decode().ok()? {
            Factorial { n: n @ SMALL.., summary: false } if factorial::bytes(n) <= MOST / DECIMAL_MEMORY => {
                Some(Self::Factorial { n })
            }
            Factorial { .. } => None,
        }
    }

    /// What decides its cost.
    pub fn task(&self) -> Task {
        match self {
            Self::Product { a, b } => {
                Task::Matmul { shape: [a.rows, a.columns, b.columns], element: a.element }
            }
            Self::Sort { buffer, .. } => Task::Numbers { bytes: buffer.len() as u64 },
            Self::Factorial { n } => Task::Factorial { n: *n, decimal: true },
        }
    }

    /// Computes it in at least so many pieces.
    ///
    /// # Errors
    /// As for the whole task, or for one of its pieces.
    pub async fn compute(self, hands: &Hands, pieces: u32, limits: Limits) -> Result<Payload, GiantError> {
        match self {
            Self::Product { a, b } => {
                let elements = matmul::product(hands, &a, &b, pieces, limits).await?;
                let (element, rows, columns) = (a.element, a.rows, b.columns);
                encode(&Product::Product(Matrix { element, rows, columns, elements }))
            }
            Self::Sort { number, buffer, descending } => {
                let count = buffer.len() / size_of::<u64>();
                let keys = Keys::Numbers { number, buffer };
                let buffer = sorted(hands, keys, count, descending, pieces, limits).await?;
                encode(&Sorted::Sorted(Keys::Numbers { number, buffer }))
            }
            Self::Factorial { n } => {
                let (number, form) = factorial::decimal(hands, n, pieces, limits).await?;
                let text = written(number, form).await?;
                encode(&Digits { digits: text.len() as u64, decimal: Some(text.into()) })
            }
        }
    }
}

/// An input that is not too small, without a copy of its numbers.
fn large<I: serde::de::DeserializeOwned>(input: &Payload) -> Option<I> {
    if input.size() < LITTLE { None } else { input.clone().decode().ok() }
}

/// So many numbers, in order.
async fn sorted(
    hands: &Hands,
    keys: Keys,
    count: usize,
    descending: bool,
    pieces: u32,
    limits: Limits,
) -> Result<Buffer, GiantError> {
    let none = |()| TaskError::too_large(format!("there is no memory left for {count} numbers"));
    let mut words: Vec<u64> = try_zeroed_vec(count).map_err(none)?;
    let put = async |sort::Run { offset, bytes }: sort::Run| {
        let place = bytemuck::cast_slice_mut::<u64, u8>(&mut words).get_mut(offset..);
        let place = place.and_then(|place| place.get_mut(..bytes.len()));
        place.ok_or_else(|| broken("a range goes beyond the keys"))?.copy_from_slice(bytes.as_bytes());
        Ok(())
    };
    sort::runs(hands, keys, descending, pieces, limits, put).await?;
    Ok(Buffer::from_scalars(words))
}

async fn written(number: Factored, form: Form) -> Result<Vec<u8>, TaskError> {
    let mut writing = LocalKernels::new().start(move |cancel| {
        let mut text = Vec::new();
        let keep = |piece: &[u8]| {
            text.extend_from_slice(piece);
            Ok(())
        };
        number.write(form, cancel, keep).map(|()| text)
    });
    writing.done().await?
}

fn encode(output: &impl Serialize) -> Result<Payload, GiantError> {
    let encoded = Payload::encode(Format::Packed, output);
    Ok(encoded.map_err(|error| TaskError::invalid_input(error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{TaskResult, TaskSpec};
    use sgdt_proto::kind::{
        factorial,
        matmul::{self, Element, Real},
        random, sort,
    };

    fn unit(seed: u64, count: u64) -> Buffer {
        Buffer::from_scalars::<f64>((0..count).map(|index| random::unit(seed, index)).collect())
    }

    fn factors(summary: bool) -> Factors {
        factors_of::<f64>(summary)
    }

    fn factors_of<T: Real>(summary: bool) -> Factors {
        let dense = |rows, columns, seed| {
            let elements = (0..rows * columns).map(|index| T::unit(seed, index)).collect();
            let elements = Buffer::from_scalars::<T>(elements);
            Operand::Dense(Matrix { element: T::ELEMENT, rows, columns, elements })
        };
        Factors { a: dense(160, 70, 1), b: dense(70, 90, 2), summary }
    }

    /// What a worker answers to this input, and what comes of it in pieces.
    async fn both(kind: &str, input: &impl Serialize, whole: fn(&Payload) -> Option<Whole>) -> [Payload; 2] {
        let hands = Hands::Local(LocalKernels::new());
        let spec = TaskSpec::packed(kind.parse().unwrap(), input).unwrap();
        let whole = whole(&spec.payload).expect("it can be split");
        let TaskResult { output, .. } = hands.run(spec).await.unwrap();
        let limits = Limits { memory: 1 << 16, verify: true, timeout: None };
        [output.unwrap(), whole.compute(&hands, 5, limits).await.unwrap()]
    }

    #[tokio::test]
    async fn the_answer_is_that_of_a_single_worker() {
        for factors in [factors_of::<f64>(false), factors_of::<f32>(false)] {
            let [one, pieces] = both(matmul::KIND, &factors, Whole::product).await;
            assert_eq!(one, pieces);
        }
        for descending in [false, true] {
            for number in Number::ALL {
                let keys = Keys::Numbers { number, buffer: unit(3, 20_000) };
                let input = Unsorted { keys, descending, summary: false };
                let [one, pieces] = both(sort::KIND, &input, Whole::sort).await;
                assert_eq!(one, pieces);
            }
        }
        let input = Factorial { n: 10_007, summary: false };
        let [one, pieces] = both(factorial::KIND, &input, Whole::factorial).await;
        assert_eq!(one, pieces);
    }

    #[test]
    fn what_is_small_or_summed_up_or_made_elsewhere_is_left_whole() {
        fn packed(input: &impl Serialize) -> Payload {
            Payload::encode(Format::Packed, input).unwrap()
        }
        assert!(Whole::product(&packed(&factors(false))).is_some());
        let random = Operand::Random { element: Element::F64, shape: [1000, 1000], seed: 1 };
        let made = Factors { a: random, ..factors(false) };
        for input in [factors(true), made] {
            assert_eq!(Whole::product(&packed(&input)), None);
        }
        // Shapes need not be true before they are looked at: the worker says what is wrong.
        let endless = Operand::Dense(Matrix {
            element: Element::F64,
            rows: 1 << 40,
            columns: 70,
            elements: unit(1, 9_100),
        });
        assert_eq!(Whole::product(&packed(&Factors { a: endless, ..factors(false) })), None);
        for input in [
            Factorial { n: 9_999, summary: false },
            Factorial { n: 1 << 20, summary: true },
            Factorial { n: 1 << 31, summary: false },
        ] {
            assert_eq!(Whole::factorial(&packed(&input)), None);
        }
        let few = Unsorted {
            keys: Keys::Numbers { number: Number::I64, buffer: unit(1, 100) },
            descending: false,
            summary: false,
        };
        let random = Keys::Random { number: Number::I64, len: 1 << 40, seed: 1 };
        let many = Unsorted { keys: random, ..few.clone() };
        for input in [few, many] {
            assert_eq!(Whole::sort(&packed(&input)), None);
        }
    }
}
