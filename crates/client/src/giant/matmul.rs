//! A product of matrices as rectangular tiles of it.
//!
//! Tile (i, j) is the product of row block i of `a` and column block j of `b`. A row block is contiguous, and
//! goes out from where it lies. A column block is copied together once, for all tiles of its column, and is
//! forgotten when the last of them is done: so there are one or two copies at a time, and none with a single column.
//! Blocks of more than one tile are blobs where workers compute several tiles: each worker is sent them once.
//! The sum over the inner dimension is never cut, so that every tile's elements are what one worker would compute.

mod grid;

pub use grid::Grid;

use super::{GiantError, Hands, Limits, aside, cut, flight::Flight};
use crate::job::answer::broken;
use bytemuck::allocation::try_zeroed_vec;
use sgdt_proto::{
    buffer::Buffer,
    kind::matmul::{Element, Input, KIND, Matrix, Operand, Output},
    task::TaskError,
};
use std::ops::Range;

/// A rectangle of the product.
#[derive(Clone, PartialEq, Debug)]
pub struct Tile {
    /// Which rows of the product it has.
    pub rows: Range<usize>,
    /// Which columns.
    pub columns: Range<usize>,
    /// What it is made of.
    pub element: Element,
    /// Row after row.
    pub elements: Buffer,
}

impl Tile {
    /// The bytes of its rows, each with its place in a product of so many columns, counted in bytes. Whole rows lie one
    /// after the other there, too, and come together.
    pub fn placed(&self, columns: usize) -> impl Iterator<Item = (usize, &[u8])> {
        let size = self.element.size();
        let together = if self.columns.len() == columns { self.rows.len() } else { 1 };
        let rows = self.elements.as_bytes().chunks_exact((together * self.columns.len() * size).max(1));
        let place = move |row| (row * columns + self.columns.start) * size;
        self.rows
            .clone()
            .step_by(together.max(1))
            .zip(rows)
            .map(move |(row, elements)| (place(row), elements))
    }
}

/// Two matrices that can be multiplied, as indices know them.
struct Factors {
    element: Element,
    a: Buffer,
    b: Buffer,
    rows: usize,
    inner: usize,
    columns: usize,
}

/// The product of `a` (m x k) and `b` (k x n), row after row.
///
/// # Errors
/// `invalid-input`: the shapes do not fit, or the types differ. That of a piece.
pub async fn product(
    hands: &Hands,
    a: &Matrix,
    b: &Matrix,
    pieces: u32,
    limits: Limits,
) -> Result<Buffer, GiantError> {
    let len = Matrix::bytes(a.element, a.rows, b.columns).and_then(|bytes| usize::try_from(bytes).ok());
    let len = len.ok_or_else(|| TaskError::too_large("the product has no end"))?;
    // Zeroed by the system as it is written to.
    let none = |()| TaskError::too_large(format!("there is no memory left for a product of {len} bytes"));
    let mut words: Vec<u64> = try_zeroed_vec(len.div_ceil(size_of::<u64>())).map_err(none)?;
    let c: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    let columns = usize::try_from(b.columns).unwrap_or(usize::MAX);
    let put = async |tile: Tile| {
        for (place, elements) in tile.placed(columns) {
            c[place..][..elements.len()].copy_from_slice(elements);
        }
        Ok(())
    };
    tiles(hands, a, b, pieces, limits, put).await?;
    // There are as many words as that takes.
    Ok(Buffer::from_words(words, len).unwrap_or_else(Buffer::from_scalars))
}

/// The product of `a` (m x k) and `b` (k x n), as at least so many tiles, where it has as many elements, and more where
/// they would take more memory than there may be. Each goes to `put` as it comes.
///
/// # Errors
/// `invalid-input`: the shapes do not fit, or the types differ. That of a piece, or of `put`.
pub async fn tiles(
    hands: &Hands,
    a: &Matrix,
    b: &Matrix,
    pieces: u32,
    limits: Limits,
    mut put: impl AsyncFnMut(Tile) -> Result<(), TaskError>,
) -> Result<(), GiantError> {
    let factors = Factors::of(a, b)?;
    let (m, k, n) = (factors.rows, factors.inner, factors.columns);
    let size = factors.element.size() as u64;
    let most = limits.memory / (u64::from(hands.slots()) + 1) / size;
    let grid = Grid::of([m, k, n].map(|x| x as u64), pieces, most);
    let (down, across) = (grid.rows as usize, grid.columns as usize);
    let again = hands.workers().is_some_and(|workers| grid.is_shared(workers));
    let mut blocks = Vec::with_capacity(down);
    for row in 0..down {
        blocks.push(factors.block(cut(m, down, row))?);
    }
    let mut flight = Flight::new(hands, limits);
    for column in 0..across {
        let columns = cut(n, across, column);
        let panel = factors.panel(columns.clone(), again && down > 1).await?;
        for (row, block) in blocks.iter_mut().enumerate() {
            let rows = cut(m, down, row);
            if again && across > 1 && column == 0 {
                *block = aside({
                    let block = block.clone();
                    move || block.shared()
                })
                .await?;
            }
            let a = factors.operand(rows.len(), k, block.clone());
            let input = Input { a, b: panel.clone(), summary: false };
            let elements = Grid::elements(rows.len() as u64, k as u64, columns.len() as u64);
            let bytes = elements.saturating_mul(size);
            while !flight.has_room(bytes) {
                let Some((place, output)) = flight.land().await? else { break };
                put(factors.tile(place, output)?).await?;
            }
            flight.launch((rows, columns.clone()), KIND, &input, bytes)?;
        }
    }
    while let Some((place, output)) = flight.land().await? {
        put(factors.tile(place, output)?).await?;
    }
    Ok(())
}

impl Factors {
    fn of(a: &Matrix, b: &Matrix) -> Result<Self, TaskError> {
        let (_, element) = a.times(b)?;
        for (name, matrix) in [("a", a), ("b", b)] {
            if !matrix.is_whole() {
                return Err(TaskError::invalid_input(format!(
                    "{name} is {} x {} and has {} bytes of elements",
                    matrix.rows,
                    matrix.columns,
                    matrix.elements.len()
                )));
            }
        }
        let index = |length: u64| {
            usize::try_from(length).map_err(|_| TaskError::too_large(format!("{length} rows or columns")))
        };
        Ok(Self {
            element,
            a: a.elements.clone(),
            b: b.elements.clone(),
            rows: index(a.rows)?,
            inner: index(a.columns)?,
            columns: index(b.columns)?,
        })
    }

    /// Rows of `a`.
    fn block(&self, rows: Range<usize>) -> Result<Buffer, TaskError> {
        let row = self.inner * self.element.size();
        let elements = self.a.slice(rows.start * row..rows.end * row);
        elements.ok_or_else(|| TaskError::invalid_input("a has fewer rows than it says"))
    }

    /// Columns of `b`, copied together unless they are all of it.
    async fn panel(&self, columns: Range<usize>, again: bool) -> Result<Operand, TaskError> {
        let (b, size, width) = (self.b.clone(), self.element.size(), columns.len());
        let (row, whole) = (self.columns * size, width == self.columns);
        let pack = move || {
            if whole {
                return b;
            }
            let bytes = columns.start * size..columns.end * size;
            let parts = b.as_bytes().chunks_exact(row.max(1)).map(|row| &row[bytes.clone()]);
            parts.collect::<Vec<_>>().concat().into()
        };
        let packed = aside(move || if again { pack().shared() } else { pack() });
        Ok(self.operand(self.inner, width, packed.await?))
    }

    fn operand(&self, rows: usize, columns: usize, elements: Buffer) -> Operand {
        let (rows, columns) = (rows as u64, columns as u64);
        Operand::Dense(Matrix { element: self.element, rows, columns, elements })
    }

    /// A worker's answer, if it is the tile that was asked for.
    fn tile(&self, (rows, columns): (Range<usize>, Range<usize>), output: Output) -> Result<Tile, TaskError> {
        match output {
            Output::Product(c)
                if (c.element, c.rows, c.columns)
                    == (self.element, rows.len() as u64, columns.len() as u64)
                    && c.is_whole() =>
            {
                Ok(Tile { rows, columns, element: c.element, elements: c.elements })
            }
            _ => Err(broken("it is not the tile that was asked for")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::LocalKernels;
    use proptest::prelude::*;
    use sgdt_proto::{kind::matmul::Real, task::ErrorCode};

    fn matrix(rows: usize, columns: usize, seed: u64) -> Matrix {
        matrix_of::<f64>(rows, columns, seed)
    }

    fn matrix_of<T: Real>(rows: usize, columns: usize, seed: u64) -> Matrix {
        let elements: Vec<T> = (0..(rows * columns) as u64).map(|i| T::unit(seed, i)).collect();
        let (rows, columns, elements) = (rows as u64, columns as u64, Buffer::from_scalars(elements));
        Matrix { element: T::ELEMENT, rows, columns, elements }
    }

    fn product_of(a: &Matrix, b: &Matrix, pieces: u32, memory: u64) -> Result<Buffer, GiantError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (hands, limits) =
            (Hands::Local(LocalKernels::new()), Limits { memory, verify: true, timeout: None });
        runtime.block_on(product(&hands, a, b, pieces, limits))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn however_it_is_cut_it_is_the_same_product(
            m in 0usize..40, k in 0usize..40, n in 0usize..40, pieces in 1u32..12, memory in 0u64..20_000,
        ) {
            assert_is_the_same::<f64>([m, k, n], pieces, memory, 1e-12);
            assert_is_the_same::<f32>([m, k, n], pieces, memory, 1e-5);
        }
    }

    fn assert_is_the_same<T: Real>([m, k, n]: [usize; 3], pieces: u32, memory: u64, within: f64) {
        let (a, b) = (matrix_of::<T>(m, k, 1), matrix_of::<T>(k, n, 2));
        let whole = product_of(&a, &b, 1, u64::MAX).unwrap().into_scalars::<T>().unwrap();
        let cut = product_of(&a, &b, pieces, memory).unwrap().into_scalars::<T>().unwrap();
        assert_eq!(cut.len(), m * n);
        let mut pairs = whole.into_iter().map(Into::into).zip(cut.into_iter().map(Into::into));
        assert!(pairs.all(|(x, y): (f64, f64)| (x - y).abs() <= within * x.abs()));
    }

    #[test]
    fn tiles_say_where_their_rows_belong() {
        let elements = Buffer::from_scalars(vec![1.0f32, 2.0, 3.0, 4.0]);
        let tile = Tile { rows: 1..3, columns: 2..4, element: Element::F32, elements };
        let placed: Vec<_> = tile.placed(5).collect();
        let row = |elements: [f32; 2]| elements.map(f32::to_le_bytes).concat();
        assert_eq!(placed, [(28, &*row([1.0, 2.0])), (48, &*row([3.0, 4.0]))]);
        let whole = Tile { columns: 0..2, ..tile };
        let both = [row([1.0, 2.0]), row([3.0, 4.0])].concat();
        assert_eq!(whole.placed(2).collect::<Vec<_>>(), [(8, &*both)]);
    }

    #[test]
    fn what_cannot_be_multiplied_is_an_invalid_input() {
        let short = Matrix { elements: Buffer::from_scalars(vec![1.0]), ..matrix(3, 4, 2) };
        for (b, what) in [
            (matrix(4, 4, 2), "2 x 3 and b is 4 x 4"),
            (short, "b is 3 x 4 and has 8 bytes"),
            (matrix_of::<f32>(3, 4, 2), "a is of dtype f64 and b of f32: both factors must be of one"),
        ] {
            let GiantError::Task(error) = product_of(&matrix(2, 3, 1), &b, 2, 1000).unwrap_err() else {
                panic!("a task's error")
            };
            assert!(error.code == ErrorCode::InvalidInput && error.message.contains(what), "{error}");
        }
    }

    #[test]
    fn an_answer_of_another_shape_or_type_is_no_tile() {
        let factors = Factors::of(&matrix(2, 1, 1), &matrix(1, 3, 1)).unwrap();
        let tile = |answer| factors.tile((0..2, 0..3), answer);
        assert!(tile(Output::Product(matrix(2, 3, 1))).is_ok());
        assert!(tile(Output::Product(matrix(3, 2, 1))).is_err());
        assert!(tile(Output::Product(matrix_of::<f32>(2, 3, 1))).is_err());
        assert!(tile(Output::Summary { shape: [2, 3], sum: 0.0, trace: 0.0 }).is_err());
    }
}
