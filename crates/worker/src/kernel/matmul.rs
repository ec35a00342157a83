//! `matmul`: the product of two dense matrices of doubles, on the thread of its slot and those of idle ones.
//!
//! The multiplication is `faer`'s, which chooses AVX-512, AVX2 or plain code at run time, and reads and writes
//! row-major matrices where they lie. This module halves the problem until a piece takes some 20 ms, so that a
//! cancelled task stops soon, and further while a core is idle; `operand` checks shapes and makes the operands that are named by a seed.
//!
//! Peak memory beside the input: the product, each generated operand, and a copy of an operand that did not
//! arrive aligned for doubles; `faer` packs into a few MiB.

mod operand;

use super::{Cost, Kernel};
use crate::cancel::Cancel;
use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
use operand::{allocate, bytes, elements, extra_bytes, index};
use sgdt_proto::{
    buffer::Buffer,
    kind::matmul::{Input, KIND, Matrix, Output},
    task::TaskError,
};

/// The kernel of `matmul`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MatMul;

/// Multiply-adds of one core in a second, roughly.
const RATE: f64 = 5e10;

/// How much is done without asking whether to go on.
///
/// The multiply-adds are those of half a cube of 1024, for which `faer` is as fast as for anything larger. The elements
/// bound thin shapes, which take as long as their elements take to come from memory. Either is some 20 ms. Pieces
/// start at multiples of 64 rows and columns: no worse than any for the micro-kernels, and whole cache lines.
///
/// A piece of some milliseconds is not worth a thread of its own, for which memory to pack in has to be found first.
const PIECE: Piece = Piece { multiply_adds: 1 << 29, elements: 1 << 22, shared: 1 << 28, alignment: 64 };

struct Piece {
    multiply_adds: u64,
    elements: u64,
    /// How many multiply-adds are done by one thread, although another is idle.
    shared: u64,
    /// A cube of twice this is within the limits.
    alignment: usize,
}

/// How many elements are summed between two looks at the cancel handle.
const BLOCK: usize = 1 << 16;

impl Kernel for MatMul {
    type Input = Input;
    type Output = Output;

    fn kind(&self) -> &str {
        KIND
    }

    fn cost(&self, Input { a, b, .. }: &Input) -> Result<Cost, TaskError> {
        let ([m, k], [rows, n]) = (a.shape(), b.shape());
        if k != rows {
            return Err(TaskError::invalid_input(format!(
                "a is {m} x {k} and b is {rows} x {n}: a must have as many columns as b has rows"
            )));
        }
        let memory = [extra_bytes("a", a)?, extra_bytes("b", b)?, bytes([m, n])?];
        Ok(Cost {
            seconds: m as f64 * k as f64 * n as f64 / RATE,
            memory: memory.into_iter().fold(0, u64::saturating_add),
        })
    }

    fn run(&self, Input { a, b, summary }: Input, cancel: &Cancel) -> Result<Output, TaskError> {
        let ([m, k], [_, n]) = (a.shape(), b.shape());
        let (rows, inner, columns) = (index(m)?, index(k)?, index(n)?);
        let mut c = allocate([m, n], cancel)?;
        let (a, b) = (elements(&a, cancel)?, elements(&b, cancel)?);
        multiply(
            MatMut::from_row_major_slice_mut(&mut c, rows, columns),
            Accum::Replace,
            MatRef::from_row_major_slice(&a, rows, inner),
            MatRef::from_row_major_slice(&b, inner, columns),
            &PIECE,
            cancel,
        )?;
        Ok(if summary {
            let trace = c.iter().step_by(columns.saturating_add(1)).take(columns).sum();
            Output::Summary { shape: [m, n], sum: sum(&c, cancel)?, trace }
        } else {
            Output::Product(Matrix { rows: m, columns: n, elements: Buffer::from_scalars(c) })
        })
    }
}

/// Writes `a` times `b` to `c`, or adds it.
///
/// Halves the longest of the three dimensions until the piece is small enough, as cache-oblivious algorithms do
/// (Frigo, Leiserson, Prokop and Ramachandran, FOCS 1999): so pieces are as near to cubes as the shape allows,
/// and a piece costs no more than its share of one call. Halves of `c` are independent of each other.
fn multiply(
    mut c: MatMut<'_, f64>,
    accum: Accum,
    a: MatRef<'_, f64>,
    b: MatRef<'_, f64>,
    piece: &Piece,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    cancel.check()?;
    let (m, k, n) = (a.nrows(), a.ncols(), b.ncols());
    let product = |x: usize, y: usize| (x as u64).saturating_mul(y as u64);
    let multiply_adds = product(m, k).saturating_mul(n as u64);
    let elements = product(m, k).saturating_add(product(k, n)).saturating_add(product(m, n));
    let fits = multiply_adds <= piece.multiply_adds && elements <= piece.elements;
    if fits && (multiply_adds <= piece.shared || !cancel.has_help()) {
        matmul(c, accum, a, b, 1.0, Par::Seq);
        return Ok(());
    }
    // Only halves of `c` can be given away.
    let longest = if fits { m.max(n) } else { m.max(k).max(n) };
    let middle = (longest / 2).next_multiple_of(piece.alignment);
    if longest == m {
        let ((a_top, a_bottom), (c_top, c_bottom)) = (a.split_at_row(middle), c.split_at_row_mut(middle));
        both(cancel.join(
            || multiply(c_top, accum, a_top, b, piece, cancel),
            || multiply(c_bottom, accum, a_bottom, b, piece, cancel),
        ))
    } else if longest == n {
        let ((b_left, b_right), (c_left, c_right)) = (b.split_at_col(middle), c.split_at_col_mut(middle));
        both(cancel.join(
            || multiply(c_left, accum, a, b_left, piece, cancel),
            || multiply(c_right, accum, a, b_right, piece, cancel),
        ))
    } else {
        let ((a_left, a_right), (b_top, b_bottom)) = (a.split_at_col(middle), b.split_at_row(middle));
        multiply(c.as_mut(), accum, a_left, b_top, piece, cancel)?;
        multiply(c, Accum::Add, a_right, b_bottom, piece, cancel)
    }
}

fn both((left, right): (Result<(), TaskError>, Result<(), TaskError>)) -> Result<(), TaskError> {
    left.and(right)
}

/// The sum of the elements, in an order that depends on their number alone.
fn sum(elements: &[f64], cancel: &Cancel) -> Result<f64, TaskError> {
    let mut total = 0.0;
    for block in elements.chunks(BLOCK) {
        cancel.check()?;
        // Several sums at a time: one would wait for each addition before it starts the next.
        let (groups, rest) = block.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for group in groups {
            for (sum, element) in sums.iter_mut().zip(group) {
                *sum += element;
            }
        }
        total += sums.iter().chain(rest).sum::<f64>();
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use proptest::prelude::*;
    use sgdt_proto::{
        kind::{matmul::Operand, random},
        task::ErrorCode,
    };
    use std::time::Duration;

    fn dense(rows: usize, columns: usize, elements: Vec<f64>) -> Operand {
        let (rows, columns) = (rows as u64, columns as u64);
        Operand::Dense(Matrix { rows, columns, elements: Buffer::from_scalars(elements) })
    }

    fn random(rows: u64, columns: u64, seed: u64) -> Operand {
        Operand::Random { shape: [rows, columns], seed }
    }

    fn run(a: Operand, b: Operand, summary: bool) -> Result<Output, TaskError> {
        let input = Input { a, b, summary };
        MatMul.cost(&input)?;
        MatMul.run(input, &Cancel::new())
    }

    fn product(a: Operand, b: Operand) -> Vec<f64> {
        match run(a, b, false).unwrap() {
            Output::Product(matrix) => matrix.elements.into_scalars().unwrap(),
            Output::Summary { .. } => panic!("asked for the product"),
        }
    }

    fn naive(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
        let entry = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
        (0..m * n).map(|place| entry(place / n, place % n)).collect()
    }

    fn made(rows: usize, columns: usize, seed: u64) -> Vec<f64> {
        (0..(rows * columns) as u64).map(|index| random::unit(seed, index)).collect()
    }

    fn assert_near(c: &[f64], expected: &[f64]) {
        assert_eq!(c.len(), expected.len());
        for (c, expected) in c.iter().zip(expected) {
            let same = c == expected || c.is_nan() && expected.is_nan();
            assert!(same || (c - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{c} {expected}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_the_naive_product(m in 0usize..40, k in 0usize..40, n in 0usize..40, seed: u64) {
            let (a, b) = (made(m, k, seed), made(k, n, !seed));
            let expected = naive(&a, &b, m, k, n);
            assert_near(&product(dense(m, k, a.clone()), dense(k, n, b.clone())), &expected);

            let mut c = vec![f64::NAN; m * n];
            multiply(
                MatMut::from_row_major_slice_mut(&mut c, m, n),
                Accum::Replace,
                MatRef::from_row_major_slice(&a, m, k),
                MatRef::from_row_major_slice(&b, k, n),
                &Piece { multiply_adds: 64, elements: 100, shared: 64, alignment: 2 },
                &Cancel::new(),
            )?;
            assert_near(&c, &expected);
        }

        #[test]
        fn infinities_and_nans_go_where_arithmetic_puts_them(m in 1usize..6, k in 1usize..6, n in 1usize..6, picks: u64) {
            let special = [0.0, -0.0, 1.0, -2.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e3];
            let pick = |seed: u64, len: usize| -> Vec<f64> {
                (0..len as u64).map(|index| special[(random::word(seed, index) % 8) as usize]).collect()
            };
            let (a, b) = (pick(picks, m * k), pick(!picks, k * n));
            let expected = naive(&a, &b, m, k, n);
            assert_near(&product(dense(m, k, a), dense(k, n, b)), &expected);
        }
    }

    #[test]
    fn a_product_that_is_shared_is_the_same_to_the_bit_and_its_summary_too() {
        let cancel = || Cancel::new().helped_by(&Cores::new(3));
        for (m, k, n) in [(700, 700, 700), (300, 4000, 350), (1, 1 << 16, 600), (1 << 16, 600, 1)] {
            let input = |summary| Input { a: random(m, k, 1), b: random(k, n, 2), summary };
            for summary in [false, true] {
                let alone = MatMul.run(input(summary), &Cancel::new()).unwrap();
                assert_eq!(MatMul.run(input(summary), &cancel()).unwrap(), alone, "{m} x {k} x {n}");
            }
        }
    }

    #[test]
    fn a_product_over_nothing_is_zero_and_an_empty_one_is_empty() {
        assert_eq!(product(dense(2, 0, vec![]), dense(0, 3, vec![])), [0.0; 6]);
        assert!(product(dense(0, 2, vec![]), dense(2, 3, vec![1.0; 6])).is_empty());
        let empty = run(random(0, 5, 1), random(5, 0, 1), true).unwrap();
        assert_eq!(empty, Output::Summary { shape: [0, 0], sum: 0.0, trace: 0.0 });
        for (m, k, n) in [(u64::MAX, 0, 0), (0, u64::MAX, 0), (0, 0, u64::MAX)] {
            let output = run(random(m, k, 1), random(k, n, 2), false).unwrap();
            let elements = Buffer::from_scalars::<f64>(vec![]);
            assert_eq!(output, Output::Product(Matrix { rows: m, columns: n, elements }));
        }
    }

    #[test]
    fn generated_operands_are_what_their_seeds_say_and_a_summary_adds_the_product_up() {
        let c = product(dense(70, 30, made(70, 30, 5)), dense(30, 50, made(30, 50, 6)));
        assert_eq!(product(random(70, 30, 5), random(30, 50, 6)), c);
        let Output::Summary { shape, sum, trace } = run(random(70, 30, 5), random(30, 50, 6), true).unwrap()
        else {
            panic!("asked for a summary")
        };
        assert_eq!(shape, [70, 50]);
        assert!((sum - c.iter().sum::<f64>()).abs() < 1e-9 * sum);
        assert!((trace - (0..50).map(|i| c[i * 50 + i]).sum::<f64>()).abs() < 1e-9 * trace);
    }

    #[test]
    fn a_flat_product_has_a_trace() {
        let expected: f64 = naive(&made(3, 4, 1), &made(4, 9, 2), 3, 4, 9).iter().step_by(10).sum();
        let Output::Summary { trace, .. } = run(random(3, 4, 1), random(4, 9, 2), true).unwrap() else {
            panic!("asked for a summary")
        };
        assert!((trace - expected).abs() < 1e-12 * expected);
    }

    #[test]
    fn shapes_that_do_not_fit_are_invalid() {
        let error = run(random(2, 3, 1), random(4, 5, 1), false).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInput);
        assert!(error.message.contains("a is 2 x 3 and b is 4 x 5"), "{error}");
        for elements in [0, 5, 7] {
            let error = run(dense(2, 3, vec![0.0; elements]), random(3, 2, 1), false).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidInput);
        }
    }

    #[test]
    fn sizes_beyond_memory_are_refused_before_anything_is_allocated() {
        let huge = 4_000_000_000;
        for (a, b) in [
            (random(huge, huge, 1), random(huge, huge, 2)),
            (random(huge, 0, 1), random(0, huge, 2)),
            (random(u64::MAX, 1, 1), random(1, u64::MAX, 2)),
            (random(1 << 61, 1, 1), random(1, 1, 2)),
            (dense(0, usize::MAX, vec![]), random(u64::MAX, 1 << 32, 2)),
        ] {
            let input = Input { a, b, summary: true };
            assert_eq!(MatMul.cost(&input).unwrap_err().code, ErrorCode::TooLarge);
        }
    }

    #[test]
    fn cost_counts_the_product_and_what_is_generated() {
        let cost = |a, b| MatMul.cost(&Input { a, b, summary: false }).unwrap();
        assert_eq!(cost(dense(2, 3, vec![0.0; 6]), random(3, 5, 1)).memory, 8 * (2 * 5 + 3 * 5));
        // Terabytes: for a worker's limit to refuse.
        assert_eq!(cost(random(1 << 20, 1 << 20, 1), random(1 << 20, 1 << 20, 1)).memory, 3 << 43);
        assert!(cost(random(1 << 20, 1 << 20, 1), random(1 << 20, 1 << 20, 1)).seconds > 1e6);
    }

    #[test]
    fn a_product_whose_time_is_up_stops_while_it_is_generated_and_while_it_is_computed() {
        // Neither the numbers nor the product of these can be made in a millisecond.
        let (few, many) = (dense(1, 3000, vec![0.0; 3000]), random(3000, 3000, 1));
        let square = dense(1500, 1500, vec![0.0; 1500 * 1500]);
        for (a, b) in [(few, many), (square.clone(), square)] {
            let cancel = Cancel::new().started(Some(Duration::from_millis(1)));
            let result = MatMul.run(Input { a, b, summary: true }, &cancel);
            assert_eq!(result.unwrap_err().code, ErrorCode::Timeout);
        }
    }

    #[test]
    fn a_cancelled_product_stops() {
        let cancel = Cancel::new();
        cancel.cancel();
        let result = MatMul.run(Input { a: random(9, 9, 1), b: random(9, 9, 2), summary: true }, &cancel);
        assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
    }
}
