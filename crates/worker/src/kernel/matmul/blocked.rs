//! Products of matrices that are large in all three dimensions, on processors with AVX2 and without AVX-512: there these
//! loops are faster than `faer` (`scripts/bench-kernels.sh`).
//!
//! The blocks are those of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34, 2008:
//! a block of `b` is copied so that it is read in the order in which it lies, and then blocks of `a`, each of which
//! stays in the second-level cache while all of the first is multiplied by it, tile after tile of the product. A column of
//! panels of `b` that a tile needs stays in the first-level cache.
//!
//! An element of the product is summed in an order that depends on the number of its terms alone: whoever computes
//! it, with whatever others, its bits are the same.

mod tile;

use super::both;
use crate::cancel::Cancel;
use faer::traits::pulp::{Arch, Simd, WithSimd};
use sgdt_proto::task::TaskError;
use std::iter;
pub(super) use tile::Lanes;
use tile::{PAIR, Place, ROWS};

/// The largest block: of so many terms, rows and columns. With these, and doubles, that of `a` has 400 kB, that of `b`
/// 2.8 MB, and the panel of `b` that is read over and over 22 kB. Twice as many rows or columns of floats gain nothing.
const BLOCK: Block = Block { terms: 344, rows: 144, columns: 1024 };

/// Below this, `faer` has better ways.
const LEAST: usize = 64;

/// How much is done at a time: multiply-adds times the bytes of an element, and rows.
pub(super) struct Share {
    /// Where another thread is idle: half as many multiply-adds are not worth its start.
    pub(super) helped: u64,
    /// Where none is: a second's. The same blocks of `a` are packed again afterwards.
    pub(super) alone: u64,
    /// Rows are listed, so many at a time.
    pub(super) rows: usize,
}

/// What is best.
pub(super) const SHARE: Share = Share { helped: 1 << 28, alone: 1 << 37, rows: 1 << 16 };

#[derive(Clone, Copy)]
struct Block {
    terms: usize,
    rows: usize,
    columns: usize,
}

impl Block {
    /// As large as allowed, and so that all are of the same size but for a rest.
    fn of([m, k, n]: [usize; 3], width: usize) -> Self {
        let even = |whole: usize, most: usize, multiple: usize| {
            let parts = whole.div_ceil(most).max(1);
            whole.div_ceil(parts).next_multiple_of(multiple)
        };
        Self {
            terms: even(k, BLOCK.terms, tile::TERMS),
            rows: even(m, BLOCK.rows, ROWS),
            columns: even(n, BLOCK.columns, width),
        }
    }
}

/// Whether a product of this shape is better done by these loops.
pub(super) fn suits(shape: [usize; 3]) -> bool {
    #[cfg(target_arch = "x86_64")]
    let processor = matches!(Arch::new(), Arch::V3(_)) && !is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    let processor = false;
    processor && shape.into_iter().all(|length| length >= LEAST)
}

/// Some columns of a matrix, row after row.
#[derive(Clone, Copy)]
struct Columns<'a, T> {
    elements: &'a [T],
    /// How many columns there are in all.
    stride: usize,
    first: usize,
}

/// Writes `a` (m x k) times `b` (k x n) to `c`, all of them row after row. None of the lengths is zero.
///
/// # Errors
/// `cancelled` or `timeout`.
pub(super) fn multiply<T: Lanes>(
    c: &mut [T],
    a: &[T],
    b: &[T],
    [_, k, n]: [usize; 3],
    share: &Share,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    let b = Columns { elements: b, stride: n, first: 0 };
    for (c, a) in c.chunks_mut(share.rows * n).zip(a.chunks(share.rows * k)) {
        let mut rows: Vec<&mut [T]> = c.chunks_exact_mut(n).collect();
        parts(Product { c: &mut rows, a, b, k, cancel }, share)?;
    }
    Ok(())
}

/// A part of the product: some rows of it, or some columns of them.
struct Product<'p, 'c, T> {
    c: &'p mut [&'c mut [T]],
    a: &'p [T],
    b: Columns<'p, T>,
    k: usize,
    cancel: &'p Cancel,
}

/// Cuts off a part that is small enough, and gives halves away while somebody is idle.
fn parts<T: Lanes>(product: Product<'_, '_, T>, share: &Share) -> Result<(), TaskError> {
    let Product { c, a, b, k, cancel } = product;
    let (m, n) = (c.len(), c.first().map_or(0, |row| row.len()));
    let column = (m as u64).saturating_mul((k * size_of::<T>()) as u64);
    let help = cancel.has_help();
    let most = if help { share.helped } else { share.alone };
    if m.max(n) <= LEAST || column.saturating_mul(n as u64) <= most {
        return Arch::new().dispatch(Product { c, a, b, k, cancel });
    }
    // Whole blocks of columns, for which each block of `b` is packed once. There are fewer than `n`.
    let strip = (share.alone / column) as usize / BLOCK.columns * BLOCK.columns;
    let (by_rows, middle) = match strip {
        1.. if !help => (false, strip),
        // Halves start at whole panels.
        _ => (m >= n, (m.max(n) / 2).next_multiple_of(8 * ROWS)),
    };
    if by_rows {
        let ((a_top, a_bottom), (top, bottom)) = (a.split_at(middle * k), c.split_at_mut(middle));
        both(cancel.join(
            || parts(Product { c: top, a: a_top, b, k, cancel }, share),
            || parts(Product { c: bottom, a: a_bottom, b, k, cancel }, share),
        ))
    } else {
        let (mut left, mut right): (Vec<_>, Vec<_>) =
            c.iter_mut().map(|row| row.split_at_mut(middle)).unzip();
        let b_right = Columns { first: b.first + middle, ..b };
        both(cancel.join(
            || parts(Product { c: &mut left, a, b, k, cancel }, share),
            || parts(Product { c: &mut right, a, b: b_right, k, cancel }, share),
        ))
    }
}

impl<T: Lanes> WithSimd for Product<'_, '_, T> {
    type Output = Result<(), TaskError>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Self { c, a, b, k, cancel } = self;
        let width = PAIR * tile::lanes::<S, T>();
        let n = c.first().map_or(0, |row| row.len());
        let block = Block::of([c.len(), k, n], width);
        let mut a_block = vec![[T::default(); ROWS]; block.rows / ROWS * block.terms];
        let (mut b_block, aligned) = room::<T>(block.terms * block.columns);
        let b_block = &mut b_block[aligned..];
        for left in (0..n).step_by(block.columns) {
            let columns = block.columns.min(n - left);
            for start in (0..k).step_by(block.terms) {
                let terms = block.terms.min(k - start);
                cancel.check()?;
                pack_b(b_block, b, [start, terms], [b.first + left, columns], width);
                for (c, a) in c.chunks_mut(block.rows).zip(a.chunks(block.rows * k)) {
                    cancel.check()?;
                    for (panel, rows) in iter::zip(a_block.chunks_exact_mut(terms), a.chunks(ROWS * k)) {
                        pack_a(panel, rows, k, start);
                    }
                    for (from, b) in (0..columns).step_by(width).zip(b_block.chunks_exact(terms * width)) {
                        let place =
                            Place { left: left + from, width: width.min(columns - from), add: start > 0 };
                        for (c, a) in c.chunks_mut(ROWS).zip(a_block.chunks_exact(terms)) {
                            tile::multiply(simd, c, a, b, place);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Memory for so many elements, and where in it a cache line starts.
fn room<T: Lanes>(len: usize) -> (Vec<T>, usize) {
    const LINE: usize = 64;
    let room = vec![T::default(); len + LINE / size_of::<T>()];
    let aligned = room.as_ptr().align_offset(LINE);
    (room, aligned)
}

/// Copies a block of `b` into panels of `width` columns, one after the other, each row after row. What is missing of
/// the last is whatever was there.
#[inline(always)]
fn pack_b<T: Lanes>(
    block: &mut [T],
    b: Columns<'_, T>,
    [start, terms]: [usize; 2],
    [left, columns]: [usize; 2],
    width: usize,
) {
    /// Rows are far from each other, so some cache lines of each are read while it is there.
    const AT_ONCE: usize = 4;
    let rows = b.elements.chunks_exact(b.stride).skip(start);
    for from in (0..columns).step_by(AT_ONCE * width) {
        let some = (AT_ONCE * width).min(columns - from);
        let panels = &mut block[from * terms..];
        for (term, row) in rows.clone().take(terms).enumerate() {
            for (panel, part) in row[left + from..][..some].chunks(width).enumerate() {
                let to = &mut panels[(panel * terms + term) * width..][..width];
                if let (Some(to), Some(part)) = (to.as_mut_array::<8>(), part.as_array::<8>()) {
                    *to = *part;
                } else if let (Some(to), Some(part)) = (to.as_mut_array::<16>(), part.as_array::<16>()) {
                    *to = *part;
                } else {
                    to[..part.len()].copy_from_slice(part);
                }
            }
        }
    }
}

/// Copies a part of some rows of `a` into a panel, column after column. What is missing of the last panel is
/// whatever its first row has.
#[inline(always)]
fn pack_a<T: Lanes>(panel: &mut [[T; ROWS]], a: &[T], k: usize, start: usize) {
    /// So many columns are turned in registers.
    const AT_ONCE: usize = 8;
    let terms = panel.len();
    let mut rows = [&a[start..][..terms]; ROWS];
    for (row, a) in rows.iter_mut().zip(a.chunks_exact(k)) {
        *row = &a[start..][..terms];
    }
    let (groups, rest) = panel.as_chunks_mut::<AT_ONCE>();
    let (count, done) = (groups.len(), groups.len() * AT_ONCE);
    let mut parts: [&[[T; AT_ONCE]]; ROWS] = [&[]; ROWS];
    // Loops, not closures: those would be compiled without AVX2.
    for (part, row) in parts.iter_mut().zip(rows) {
        *part = &row.as_chunks().0[..count];
    }
    for (index, group) in groups.iter_mut().enumerate() {
        let mut square = [[T::default(); AT_ONCE]; ROWS];
        for row in 0..ROWS {
            square[row] = parts[row][index];
        }
        for column in 0..AT_ONCE {
            for row in 0..ROWS {
                group[column][row] = square[row][column];
            }
        }
    }
    for (index, column) in rest.iter_mut().enumerate() {
        for row in 0..ROWS {
            column[row] = rows[row][done + index];
        }
    }
}
