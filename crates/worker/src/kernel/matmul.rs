//! `matmul`: the product of two dense matrices, of doubles or of floats of 32 bits, on the thread of its slot and those
//! of idle ones.
//!
//! What is large in all three dimensions is done by loops of our own where there is AVX2 or AVX-512 (`blocked`). The rest is
//! `faer`'s, which chooses its instructions at run time, and reads and writes row-major matrices where they lie: this module
//! halves such a problem until a piece takes some tens of milliseconds, so that a cancelled task stops soon, and further while a core is
//! idle.
//! `operand` checks shapes and makes the operands that are named by a seed.
//!
//! A product of k terms is within k u of the exact one, times the sum of its terms' magnitudes (Jeannerod and Rump, 2013,
//! whatever the order of the sum), for u = 2^-53 or 2^-24. Roundings are as good as random, and so it is rather within a
//! few times the square root of k of that (Higham and Mary, "A new approach to probabilistic rounding error analysis",
//! SIAM J. Sci. Comput. 41, 2019): of f32 and 4096 numbers of one sign within 4e-6 for one such time, and 1e-5 is promised.
//!
//! Peak memory beside the input: the product, each generated operand, and a copy of an operand that did not
//! arrive aligned for its numbers; blocks are packed into up to 12 MiB, for each thread.

mod blocked;
mod operand;

use super::{Cost, Kernel};
use crate::cancel::Cancel;
use blocked::{Lanes, SHARE};
use faer::{
    Accum, MatMut, MatRef, Par,
    linalg::matmul::matmul,
    traits::{ComplexField, Conjugate, math_utils::one},
};
use operand::{allocate, bytes, elements, extra_bytes, index};
use sgdt_proto::{
    buffer::Buffer,
    kind::matmul::{Element, Input, KIND, Matrix, Output, Real},
    task::TaskError,
};

/// The kernel of `matmul`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MatMul;

/// Multiply-adds of one core in a second, roughly, times the bytes of an element: a vector holds twice as many of half
/// the size.
const RATE: f64 = 4e11;

/// How much is done without asking whether to go on, of doubles.
///
/// The multiply-adds are those of half a cube of 1024, for which `faer` is as fast as for anything larger. The elements
/// bound thin shapes, which take as long as their elements take to come from memory. Either is some tens of
/// milliseconds. Pieces
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

impl Piece {
    /// What takes as long of these elements.
    const fn of(self, element: Element) -> Self {
        let times = (size_of::<f64>() / element.size()) as u64;
        Self {
            multiply_adds: self.multiply_adds * times,
            elements: self.elements * times,
            shared: self.shared * times,
            alignment: self.alignment,
        }
    }
}

/// What can be multiplied.
trait Multiplied: Real + Lanes + ComplexField + Conjugate<Canonical = Self> {}
impl Multiplied for f64 {}
impl Multiplied for f32 {}

/// How many elements are summed between two looks at the cancel handle.
const BLOCK: usize = 1 << 16;

impl Kernel for MatMul {
    type Input = Input;
    type Output = Output;

    fn kind(&self) -> &str {
        KIND
    }

    fn cost(&self, Input { a, b, .. }: &Input) -> Result<Cost, TaskError> {
        let ([m, k, n], element) = a.times(b)?;
        let memory = [extra_bytes("a", a)?, extra_bytes("b", b)?, bytes(element, [m, n])?];
        Ok(Cost {
            seconds: m as f64 * k as f64 * n as f64 * element.size() as f64 / RATE,
            memory: memory.into_iter().fold(0, u64::saturating_add),
        })
    }

    fn run(&self, input: Input, cancel: &Cancel) -> Result<Output, TaskError> {
        match input.a.times(&input.b)?.1 {
            Element::F64 => product::<f64>(&input, cancel),
            Element::F32 => product::<f32>(&input, cancel),
        }
    }
}

fn product<T: Multiplied>(Input { a, b, summary }: &Input, cancel: &Cancel) -> Result<Output, TaskError> {
    let ([m, k], [_, n]) = (a.shape(), b.shape());
    let (rows, inner, columns) = (index(m)?, index(k)?, index(n)?);
    // In words, which can go out as they lie whatever the elements are.
    let mut words: Vec<u64> = allocate(T::ELEMENT, [m, n], cancel)?;
    let c = &mut bytemuck::cast_slice_mut::<u64, T>(&mut words)[..rows * columns];
    let (a, b) = (elements::<T>(a, cancel)?, elements::<T>(b, cancel)?);
    let shape = [rows, inner, columns];
    if blocked::suits(shape) {
        blocked::multiply(c, &a, &b, shape, &SHARE, cancel)?;
    } else {
        multiply(
            MatMut::from_row_major_slice_mut(c, rows, columns),
            Accum::Replace,
            MatRef::from_row_major_slice(&a, rows, inner),
            MatRef::from_row_major_slice(&b, inner, columns),
            &const { PIECE.of(T::ELEMENT) },
            cancel,
        )?;
    }
    Ok(if *summary {
        let diagonal = c.iter().step_by(columns.saturating_add(1)).take(columns);
        let trace = diagonal.map(|&element| element.into()).sum();
        Output::Summary { shape: [m, n], sum: sum(c, cancel)?, trace }
    } else {
        let bytes = size_of_val(c);
        // There are as many words as that takes.
        let elements = Buffer::from_words(words, bytes).unwrap_or_else(Buffer::from_scalars);
        Output::Product(Matrix { element: T::ELEMENT, rows: m, columns: n, elements })
    })
}

/// Writes `a` times `b` to `c`, or adds it.
///
/// Halves the longest of the three dimensions until the piece is small enough, as cache-oblivious algorithms do
/// (Frigo, Leiserson, Prokop and Ramachandran, FOCS 1999): so pieces are as near to cubes as the shape allows,
/// and a piece costs no more than its share of one call. Halves of `c` are independent of each other.
fn multiply<T: Multiplied>(
    mut c: MatMut<'_, T>,
    accum: Accum,
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
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
        matmul(c, accum, a, b, one::<T>(), Par::Seq);
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

/// The sum of the elements in doubles, in an order that depends on their number alone.
fn sum<T: Real>(elements: &[T], cancel: &Cancel) -> Result<f64, TaskError> {
    let mut total = 0.0;
    for block in elements.chunks(BLOCK) {
        cancel.check()?;
        // Several sums at a time: one would wait for each addition before it starts the next.
        let (groups, rest) = block.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for group in groups {
            for (sum, &element) in sums.iter_mut().zip(group) {
                *sum += element.into();
            }
        }
        total += sums.into_iter().chain(rest.iter().map(|&element| element.into())).sum::<f64>();
    }
    Ok(total)
}

#[cfg(test)]
mod tests;
