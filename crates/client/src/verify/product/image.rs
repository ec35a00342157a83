//! Products of a matrix with several vectors, in one pass over it: a matrix comes from memory more slowly than it is
//! multiplied, so that a second pass would cost as much again.

use pulp::{Arch, Simd, WithSimd};
use sgdt_proto::kind::matmul::Real;
use sgdt_worker::kernel::fetch::fetch;
use std::slice;

/// How many vectors are multiplied at a time.
pub(super) const AT_ONCE: usize = 2;

/// Some vectors, and what a matrix makes of them.
pub(super) type Vectors = [Vec<f64>; AT_ONCE];

/// What a matrix makes of vectors.
pub(super) struct Image {
    /// Its products with them.
    pub(super) vectors: Vectors,
    /// That of its elements' magnitudes with the bound, if there is one.
    pub(super) bound: Vec<f64>,
}

/// What a matrix of so many columns, row after row, makes of `vectors` and, by its elements' magnitudes, of `bound`.
pub(super) fn image<T: Real>(
    matrix: &[T],
    columns: usize,
    vectors: &Vectors,
    bound: Option<&[f64]>,
) -> Image {
    // With the widest vectors that there are.
    image_by(|pass| Arch::new().dispatch(pass), matrix, columns, vectors, bound)
}

/// The image that a pass makes in some way.
fn image_by<T: Real>(
    run: impl FnOnce(Pass<'_, T>),
    matrix: &[T],
    columns: usize,
    vectors: &Vectors,
    bound: Option<&[f64]>,
) -> Image {
    let rows = matrix.len() / columns.max(1);
    let room = || Vec::with_capacity(rows);
    let mut image = Image {
        vectors: [(); AT_ONCE].map(|()| room()),
        bound: if bound.is_some() { room() } else { Vec::new() },
    };
    if rows > 0 {
        run(Pass { matrix, columns, vectors, bound, image: &mut image });
    }
    image
}

/// A pass over a matrix, which adds to an image.
struct Pass<'a, T> {
    matrix: &'a [T],
    columns: usize,
    vectors: &'a Vectors,
    bound: Option<&'a [f64]>,
    image: &'a mut Image,
}

impl<T: Real> WithSimd for Pass<'_, T> {
    type Output = ();

    /// The image of all rows, [`ROWS`] at a time: no addition waits for the one before, and what is read of the vectors
    /// serves for all.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let columns = self.columns;
        let groups = self.matrix.chunks_exact(ROWS * columns);
        let rest = groups.remainder();
        let mut ahead = groups.clone().skip(1);
        for group in groups {
            let next = ahead.next().map_or([&[][..]; ROWS], |group| rows_of(group, columns));
            self.multiply(simd, rows_of::<T, ROWS>(group, columns), next);
        }
        for row in rest.chunks_exact(columns) {
            self.multiply(simd, [row], [&[]]);
        }
    }
}

/// Some rows that lie one after the other.
#[inline(always)]
fn rows_of<T, const N: usize>(rows: &[T], columns: usize) -> [&[T]; N] {
    let mut some = [&[][..]; N];
    for (some, row) in some.iter_mut().zip(rows.chunks_exact(columns)) {
        *some = row;
    }
    some
}

impl<T: Real> Pass<'_, T> {
    /// Some rows' part of the image. Of those that come next, what is soon wanted is fetched.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(&mut self, simd: S, rows: [&[T]; N], next: [&[T]; N]) {
        let sums = match self.bound {
            Some(bound) => {
                let (sums, magnitudes) = products::<S, T, N, true>(simd, rows, next, self.vectors, bound);
                self.image.bound.extend(magnitudes);
                sums
            }
            None => products::<S, T, N, false>(simd, rows, next, self.vectors, &[]).0,
        };
        for sums in sums {
            for (all, sum) in self.image.vectors.iter_mut().zip(sums) {
                all.push(sum);
            }
        }
    }
}

/// The products of each row with each vector, and of its magnitudes with the bound if that is asked for.
#[inline(always)]
fn products<S: Simd, T: Real, const N: usize, const BOUND: bool>(
    simd: S,
    rows: [&[T]; N],
    next: [&[T]; N],
    [x, y]: &Vectors,
    bound: &[f64],
) -> ([[f64; AT_ONCE]; N], [f64; N]) {
    let zero = simd.splat_f64s(0.0);
    let (mut sums, mut magnitudes) = ([[zero; AT_ONCE]; N], [zero; N]);
    let (mut last, mut last_magnitudes) = ([[0.0; AT_ONCE]; N], [0.0; N]);
    // All of one length.
    let len = rows[0].len();
    let count = len / S::F64_LANES;
    let mut elements = [&[][..]; N];
    for (elements, row) in elements.iter_mut().zip(rows) {
        *elements = &row[..len];
    }
    let (wide_x, last_x) = S::as_simd_f64s(&x[..len]);
    let (wide_y, last_y) = S::as_simd_f64s(&y[..len]);
    let (wide_bound, last_bound) = if BOUND { S::as_simd_f64s(&bound[..len]) } else { (&[][..], &[][..]) };
    let (wide_x, wide_y) = (&wide_x[..count], &wide_y[..count]);
    let wide_bound = if BOUND { &wide_bound[..count] } else { &[] };
    let ahead = len.min(AHEAD / size_of::<T>());
    for at in 0..count {
        let start = at * S::F64_LANES;
        if start % (LINE / size_of::<T>()) == 0 {
            let place = start + ahead;
            for (row, next) in elements.iter().zip(next) {
                let wanted = if place < len { row.get(place) } else { next.get(place - len) };
                if let Some(element) = wanted {
                    fetch(element);
                }
            }
        }
        for row in 0..N {
            let element = in_doubles(simd, &elements[row][start..start + S::F64_LANES]);
            sums[row][0] = simd.mul_add_e_f64s(element, wide_x[at], sums[row][0]);
            sums[row][1] = simd.mul_add_e_f64s(element, wide_y[at], sums[row][1]);
            if BOUND {
                magnitudes[row] =
                    simd.mul_add_e_f64s(simd.abs_f64s(element), wide_bound[at], magnitudes[row]);
            }
        }
    }
    for (at, column) in (count * S::F64_LANES..len).enumerate() {
        for row in 0..N {
            let element: f64 = elements[row][column].into();
            last[row][0] += element * last_x[at];
            last[row][1] += element * last_y[at];
            if BOUND {
                last_magnitudes[row] += element.abs() * last_bound[at];
            }
        }
    }
    for row in 0..N {
        for (last, sum) in last[row].iter_mut().zip(sums[row]) {
            *last += simd.reduce_sum_f64s(sum);
        }
        last_magnitudes[row] += simd.reduce_sum_f64s(magnitudes[row]);
    }
    (last, last_magnitudes)
}

/// As many rows at a time as their sums, and what is read for all of them, have registers.
const ROWS: usize = 3;

/// How many bytes come from memory at a time, at least.
const LINE: usize = 64;

/// So many bytes before they are wanted, those of a row are fetched, and of the next one that takes its place: a
/// processor foresees only a part of each row by itself.
const AHEAD: usize = 2048;

/// As many elements as a vector has lanes, as doubles: in registers, where the compiler knows how many there are.
#[inline(always)]
fn in_doubles<S: Simd, T: Real>(simd: S, elements: &[T]) -> S::f64s {
    let mut wide = simd.splat_f64s(0.0);
    let lanes: &mut [f64] = bytemuck::cast_slice_mut(slice::from_mut(&mut wide));
    for (lane, &element) in lanes.iter_mut().zip(elements) {
        *lane = element.into();
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    #[test]
    fn an_image_is_that_of_each_vector_whatever_the_length_of_the_rows() {
        for (rows, columns) in [
            (3, 1),
            (4, 7),
            (1, 8),
            (9, 9),
            (6, 31),
            (7, 28),
            (3, 64),
            (5, 133),
            // Rows longer than what is fetched ahead, of floats too.
            (7, 1031),
        ] {
            let matrix: Vec<f64> = (0..rows * columns).map(|i| i as f64 - 20.0).collect();
            let vectors = [1.0, -3.0].map(|scale| (0..columns).map(|i| scale * i as f64).collect());
            let bound: Vec<f64> = (0..columns).map(|i| 2.0 + i as f64).collect();
            let Image { vectors: images, bound: magnitudes } =
                image(&matrix, columns, &vectors, Some(&bound));
            // Small whole numbers: exact in any order.
            for (row, elements) in matrix.chunks(columns).enumerate() {
                for (image, vector) in images.iter().zip(&vectors) {
                    assert_eq!(image[row], elements.iter().zip(vector).map(|(a, x)| a * x).sum::<f64>());
                }
                assert_eq!(
                    magnitudes[row],
                    elements.iter().zip(&bound).map(|(a, b)| b * a.abs()).sum::<f64>()
                );
            }
            let floats: Vec<f32> = matrix.iter().map(|&element| element as f32).collect();
            let is_all = |image: Image| image.vectors == images && image.bound == magnitudes;
            assert!(is_all(image(&floats, columns, &vectors, Some(&bound))));
            // As on processors without vectors.
            let scalar = |pass: Pass<'_, f64>| Scalar::new().vectorize(pass);
            assert!(is_all(image_by(scalar, &matrix, columns, &vectors, Some(&bound))));
            for without in [image(&matrix, columns, &vectors, None), image(&floats, columns, &vectors, None)]
            {
                assert!(without.vectors == images && without.bound.is_empty());
            }
        }
    }
}
