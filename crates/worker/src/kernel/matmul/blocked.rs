//! Products of matrices that are large in all three dimensions, on processors with AVX2 or AVX-512: there these loops
//! are mostly faster than `faer` (`ARCHITECTURE.md` has figures).
//!
//! The blocks are those of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34, 2008:
//! a block of `b` is copied so that it is read in the order in which it lies, and then blocks of `a`, each of which
//! stays in the second-level cache while all of the first is multiplied by it, tile after tile of the product. The
//! panel of `b` that tiles need stays in the first-level cache with AVX2, and mostly in the second with AVX-512, whose tiles
//! are wider and read it less often.
//!
//! Threads have parts of the product, each with blocks of its own. Who is done first then gets rows of another's
//! (`turns`).
//!
//! An element of the product is summed in an order that depends on the number of its terms alone: whoever computes
//! it, with whatever others, its bits are the same.

mod pack;
mod tile;
mod turns;

use super::both;
use crate::cancel::Cancel;
use pack::{Columns, pack_a, pack_b, room};
use pulp::{Arch, NullaryFnOnce, Simd, WithSimd};
use sgdt_proto::task::TaskError;
pub(super) use tile::Lanes;
use tile::{LINE, Place};
use turns::Turns;

/// The largest block where there are vectors of 32 bytes: of so many terms, rows and columns. With these, and doubles, that
/// of `a` has 400 kB, that of `b` 2.8 MB, and the panel of `b` that is read over and over 22 kB. Twice as many rows or
/// columns of floats gain nothing.
const BLOCK: Block = Block { terms: 344, rows: 144, columns: 1024 };

/// The same for vectors of 64 bytes. Products take half as long with them, and packing takes no less, so blocks of `a` are
/// packed for four times as many columns: that of `b` has 11.4 MB, and its panel 66 kB. As many terms, so that the bits are
/// the same.
#[cfg(target_arch = "x86_64")]
const WIDE_BLOCK: Block = Block { columns: 4128, ..BLOCK };

/// Halves start at a multiple of this, and so at whole panels, however high and wide those are.
const PANELS: usize = 48;

/// Below this, `faer` has better ways.
const LEAST: usize = 64;

/// How much is done at a time: multiply-adds times the bytes of an element, and rows.
pub(super) struct Share {
    /// Where another thread is idle: half as many multiply-adds are not worth its start.
    pub(super) helped: u64,
    /// Where none is: a second's with AVX2, and two seconds' with AVX-512, whose blocks have four times as many columns. The
    /// same blocks of `a` are packed again afterwards.
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
    /// The largest on this processor.
    fn largest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if matches!(Arch::new(), Arch::V4(_)) {
            return WIDE_BLOCK;
        }
        BLOCK
    }

    /// As large as allowed, and so that all are of the same size but for a rest.
    fn of([m, k, n]: [usize; 3], [height, width]: [usize; 2]) -> Self {
        let largest = Self::largest();
        let even = |whole: usize, most: usize, multiple: usize| {
            let parts = whole.div_ceil(most).max(1);
            whole.div_ceil(parts).next_multiple_of(multiple)
        };
        Self {
            terms: even(k, largest.terms, tile::TERMS),
            rows: even(m, largest.rows, height),
            columns: even(n, largest.columns, width),
        }
    }
}

/// Whether a product of this shape is better done by these loops.
pub(super) fn suits(shape: [usize; 3]) -> bool {
    #[cfg(target_arch = "x86_64")]
    let processor = matches!(Arch::new(), Arch::V3(_) | Arch::V4(_));
    #[cfg(not(target_arch = "x86_64"))]
    let processor = false;
    processor && shape.into_iter().all(|length| length >= LEAST)
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
        parts(Product { c: &mut rows, a, b, k, share, cancel })?;
    }
    Ok(())
}

/// A part of the product: some rows of it, or some columns of them.
struct Product<'p, 'c, T> {
    c: &'p mut [&'c mut [T]],
    a: &'p [T],
    b: Columns<'p, T>,
    k: usize,
    share: &'p Share,
    cancel: &'p Cancel,
}

/// Cuts off a part that is small enough, and gives halves away while somebody is idle.
fn parts<T: Lanes>(product: Product<'_, '_, T>) -> Result<(), TaskError> {
    let Product { c, a, b, k, share, cancel } = product;
    let (m, n) = (c.len(), c.first().map_or(0, |row| row.len()));
    let column = (m as u64).saturating_mul((k * size_of::<T>()) as u64);
    let help = cancel.has_help();
    let columns = Block::largest().columns;
    // Strips are of whole blocks.
    let alone = share.alone / BLOCK.columns as u64 * columns as u64;
    let most = if help { share.helped } else { alone };
    if m.max(n) <= LEAST || column.saturating_mul(n as u64) <= most {
        return Arch::new().dispatch(Product { c, a, b, k, share, cancel });
    }
    // Whole blocks of columns, for which each block of `b` is packed once. There are fewer than `n`.
    let strip = (alone / column) as usize / columns * columns;
    let (by_rows, middle) = match strip {
        1.. if !help => (false, strip),
        _ => (m >= n, (m.max(n) / 2).next_multiple_of(PANELS)),
    };
    if by_rows {
        let ((a_top, a_bottom), (top, bottom)) = (a.split_at(middle * k), c.split_at_mut(middle));
        both(cancel.join(
            || parts(Product { c: top, a: a_top, b, k, share, cancel }),
            || parts(Product { c: bottom, a: a_bottom, b, k, share, cancel }),
        ))
    } else {
        let (mut left, mut right): (Vec<_>, Vec<_>) =
            c.iter_mut().map(|row| row.split_at_mut(middle)).unzip();
        let b_right = Columns { first: b.first + middle, ..b };
        both(cancel.join(
            || parts(Product { c: &mut left, a, b, k, share, cancel }),
            || parts(Product { c: &mut right, a, b: b_right, k, share, cancel }),
        ))
    }
}

impl<T: Lanes> WithSimd for Product<'_, '_, T> {
    type Output = Result<(), TaskError>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        // As many sums as there are registers for, beside what they are made of: twelve of sixteen with AVX2, of which the
        // two units that multiply and add need eight to be busy, and 24 of 32 with AVX-512. Wide tiles load less.
        if tile::lanes::<S, f64>() < 8 {
            self.in_tiles::<S, 6, 2>(simd)
        } else {
            self.in_tiles::<S, 8, 3>(simd)
        }
    }
}

impl<T: Lanes> Product<'_, '_, T> {
    /// In tiles of so many rows and vectors.
    #[inline(always)]
    fn in_tiles<S: Simd, const R: usize, const W: usize>(self, simd: S) -> Result<(), TaskError> {
        let Self { c, a, b, k, share, cancel } = self;
        let width = W * tile::lanes::<S, T>();
        let n = c.first().map_or(0, |row| row.len());
        let block = Block::of([c.len(), k, n], [R, width]);
        let mut a_block = vec![[T::default(); R]; block.rows / R * block.terms];
        let (mut b_block, aligned) = room::<T>(block.terms * block.columns);
        let b_block = &mut b_block[aligned..];
        for left in (0..n).step_by(block.columns) {
            let columns = block.columns.min(n - left);
            for start in (0..k).step_by(block.terms) {
                let terms = block.terms.min(k - start);
                cancel.check()?;
                pack_b(b_block, b, [start, terms], [b.first + left, columns], width);
                let b = &*b_block;
                let each = |c: &mut [&mut [T]], a: &[T], a_block: &mut [[T; R]]| {
                    let of_a = Columns { elements: a, stride: k, first: start };
                    simd.vectorize(Rows::<S, T, R, W> { simd, c, a: of_a, a_block, b, terms, left, columns });
                };
                let row = (terms * columns * size_of::<T>()) as u64;
                let helped = usize::try_from(share.helped / row).unwrap_or(usize::MAX);
                Turns { rows: block.rows, k, helped, each, cancel }.all(c, a, &mut a_block)?;
            }
        }
        Ok(())
    }
}

/// Some terms of some rows and columns of the product, by blocks of `a` and `b`.
struct Rows<'r, 'c, S, T, const R: usize, const W: usize> {
    simd: S,
    c: &'r mut [&'c mut [T]],
    a: Columns<'r, T>,
    /// Where that of `a` is packed.
    a_block: &'r mut [[T; R]],
    /// Packed.
    b: &'r [T],
    terms: usize,
    left: usize,
    columns: usize,
}

impl<S: Simd, T: Lanes, const R: usize, const W: usize> NullaryFnOnce for Rows<'_, '_, S, T, R, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, c, a: Columns { elements: a, stride: k, first: start }, a_block, b, .. } = self;
        let Self { terms, left, columns, .. } = self;
        let width = W * tile::lanes::<S, T>();
        let panels = a_block.chunks_exact_mut(terms).take(c.len().div_ceil(R));
        for (index, panel) in panels.enumerate() {
            pack_a(panel, &a[index * R * k..], k, start);
        }
        // The tiles that share a panel of `b` fetch the next one, a part each; after the last comes the first, for other
        // rows.
        let size = terms * width;
        let each = size.div_ceil(c.len().div_ceil(R)).next_multiple_of(LINE / size_of::<T>());
        let panels = b.chunks_exact(size).take(columns.div_ceil(width));
        let next = panels.clone().cycle().skip(1);
        for ((from, b), next) in (0..columns).step_by(width).zip(panels).zip(next) {
            let mut ahead = next.chunks(each);
            let place = Place { left: left + from, width: width.min(columns - from), add: start > 0 };
            for (c, a) in c.chunks_mut(R).zip(a_block.chunks_exact(terms)) {
                tile::multiply::<S, T, R, W>(simd, c, a, b, ahead.next().unwrap_or_default(), place);
            }
        }
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use pulp::x86::V3;
    use sgdt_proto::kind::matmul::Real;

    /// With the best vectors that there are, and with those of AVX2.
    fn both_ways<T: Lanes + Real>([m, k, n]: [usize; 3]) -> [Vec<T>; 2] {
        let made = |len: usize, seed| (0..len as u64).map(|index| T::unit(seed, index)).collect::<Vec<_>>();
        let (a, b) = (made(m * k, 1), made(k * n, 2));
        [false, true].map(|narrow| {
            let mut c = vec![T::default(); m * n];
            let mut rows: Vec<&mut [T]> = c.chunks_exact_mut(n).collect();
            let b = Columns { elements: &b, stride: n, first: 0 };
            let product = Product { c: &mut rows, a: &a, b, k, share: &SHARE, cancel: &Cancel::new() };
            match V3::try_new().filter(|_| narrow) {
                Some(v3) => Simd::vectorize(v3, product),
                None => Arch::new().dispatch(product),
            }
            .unwrap();
            c
        })
    }

    #[test]
    fn rows_that_are_given_away_have_the_same_bits() {
        for [m, k, n] in [[300, 345, 70], [433, 700, 64]] {
            let made =
                |len: usize, seed| (0..len as u64).map(|index| f64::unit(seed, index)).collect::<Vec<_>>();
            let (a, b) = (made(m * k, 1), made(k * n, 2));
            let [alone, shared] = [0, 3].map(|idle| {
                let mut c = vec![0.0; m * n];
                let mut rows: Vec<&mut [f64]> = c.chunks_exact_mut(n).collect();
                let b = Columns { elements: &b, stride: n, first: 0 };
                let (share, cancel) =
                    (Share { helped: 0, ..SHARE }, Cancel::new().helped_by(&Cores::new(idle)));
                let product = Product { c: &mut rows, a: &a, b, k, share: &share, cancel: &cancel };
                Arch::new().dispatch(product).unwrap();
                c
            });
            assert!(
                alone.iter().map(|x| x.to_bits()).eq(shared.iter().map(|x| x.to_bits())),
                "{m} x {k} x {n}"
            );
        }
    }

    #[test]
    fn bits_are_the_same_with_vectors_of_any_length() {
        for shape in [[64, 64, 64], [67, 345, 131], [150, 400, 4200]] {
            let [wide, narrow] = both_ways::<f64>(shape);
            assert!(wide.iter().map(|x| x.to_bits()).eq(narrow.iter().map(|x| x.to_bits())), "{shape:?}");
            let [wide, narrow] = both_ways::<f32>(shape);
            assert!(wide.iter().map(|x| x.to_bits()).eq(narrow.iter().map(|x| x.to_bits())), "{shape:?}");
        }
    }
}
