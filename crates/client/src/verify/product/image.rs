//! Products of a matrix with several vectors, in one pass over it: a matrix comes from memory more slowly than it is
//! multiplied, so that a second pass would cost as much again.

use pulp::{Arch, Simd, WithSimd};
use sgdt_proto::kind::matmul::{Element, Real};
use std::ops::Range;

/// How many vectors are multiplied at a time.
pub(super) const AT_ONCE: usize = 2;

/// Some vectors, and what a matrix makes of them.
pub(super) type Vectors = [Vec<f64>; AT_ONCE];

/// What a matrix makes of vectors.
pub(super) struct Image {
    /// Its products with them.
    pub(super) vectors: Vec<Vectors>,
    /// That of its elements' magnitudes with the bound, if there is one.
    pub(super) bound: Vec<f64>,
}

/// Some columns of a matrix that lies row after row.
#[derive(Clone)]
pub(super) struct Columns<'a, T> {
    pub(super) matrix: &'a [T],
    /// How many columns the matrix has.
    pub(super) stride: usize,
    /// Which ones.
    pub(super) range: Range<usize>,
}

/// What these columns make of `vectors` and, by their elements' magnitudes, of `bound`.
pub(super) fn image<T: Real>(columns: &Columns<'_, T>, vectors: &[Vectors], bound: Option<&[f64]>) -> Image {
    let rows = columns.matrix.len() / columns.stride.max(1);
    let room = || Vec::with_capacity(rows);
    let mut image = Image {
        vectors: vectors.iter().map(|_| [(); AT_ONCE].map(|()| room())).collect(),
        bound: if bound.is_some() { room() } else { Vec::new() },
    };
    if rows > 0 {
        // With the widest vectors that there are.
        Arch::new().dispatch(Pass { columns, vectors, bound, image: &mut image });
    }
    image
}

/// A pass over a matrix, which adds to an image.
struct Pass<'a, T> {
    columns: &'a Columns<'a, T>,
    vectors: &'a [Vectors],
    bound: Option<&'a [f64]>,
    image: &'a mut Image,
}

impl<T: Real> WithSimd for Pass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // As many rows as their sums, and what is read for all of them, have registers.
        if self.bound.is_some() { self.rows::<S, 3>(simd) } else { self.rows::<S, 4>(simd) }
    }
}

impl<T: Real> Pass<'_, T> {
    /// The image of all rows, so many at a time: no addition waits for the one before, and what is read of the vectors
    /// serves for all.
    #[inline(always)]
    fn rows<S: Simd, const N: usize>(&mut self, simd: S) {
        let Columns { matrix, stride, range } = self.columns;
        let groups = matrix.chunks_exact(N * stride);
        let rest = groups.remainder();
        for group in groups {
            let mut rows = [&[][..]; N];
            for (row, of_group) in rows.iter_mut().zip(group.chunks_exact(*stride)) {
                *row = &of_group[range.clone()];
            }
            self.multiply(simd, rows);
        }
        for row in rest.chunks_exact(*stride) {
            self.multiply(simd, [&row[range.clone()]]);
        }
    }

    /// Some rows' part of the image.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(&mut self, simd: S, rows: [&[T]; N]) {
        let mut bound = self.bound;
        for (vectors, image) in self.vectors.iter().zip(&mut self.image.vectors) {
            // With the first of them.
            let sums = match bound.take() {
                Some(bound) => {
                    let (sums, magnitudes) = products::<S, T, N, true>(simd, rows, vectors, bound);
                    self.image.bound.extend(magnitudes);
                    sums
                }
                None => products::<S, T, N, false>(simd, rows, vectors, &[]).0,
            };
            for sums in sums {
                for (all, sum) in image.iter_mut().zip(sums) {
                    all.push(sum);
                }
            }
        }
    }
}

/// How many elements of a row are taken for doubles at a time.
const CHUNK: usize = 64;

/// The products of each row with each vector, and of its magnitudes with the bound if that is asked for.
#[inline(always)]
fn products<S: Simd, T: Real, const N: usize, const BOUND: bool>(
    simd: S,
    rows: [&[T]; N],
    vectors: &Vectors,
    bound: &[f64],
) -> ([[f64; AT_ONCE]; N], [f64; N]) {
    let zero = simd.splat_f64s(0.0);
    let (mut sums, mut magnitudes) = ([[zero; AT_ONCE]; N], [zero; N]);
    let (mut last, mut last_magnitudes) = ([[0.0; AT_ONCE]; N], [0.0; N]);
    let mut room = [[0.0; CHUNK]; N];
    for start in (0..rows[0].len()).step_by(CHUNK) {
        let end = rows[0].len().min(start + CHUNK);
        let mut elements = [&[][..]; N];
        for ((some, room), row) in elements.iter_mut().zip(&mut room).zip(rows) {
            *some = in_doubles(&row[start..end], room);
        }
        // All of one length, so that no index is checked.
        let count = (end - start) / S::F64_LANES;
        let mut wide = [&[][..]; N];
        for (wide, some) in wide.iter_mut().zip(elements) {
            *wide = &S::as_simd_f64s(some).0[..count];
        }
        let x = &S::as_simd_f64s(&vectors[0][start..end]).0[..count];
        let y = &S::as_simd_f64s(&vectors[1][start..end]).0[..count];
        let most = if BOUND { &S::as_simd_f64s(&bound[start..end]).0[..count] } else { &[] };
        for at in 0..count {
            for row in 0..N {
                let element = wide[row][at];
                sums[row][0] = simd.mul_add_e_f64s(element, x[at], sums[row][0]);
                sums[row][1] = simd.mul_add_e_f64s(element, y[at], sums[row][1]);
                if BOUND {
                    magnitudes[row] = simd.mul_add_e_f64s(simd.abs_f64s(element), most[at], magnitudes[row]);
                }
            }
        }
        for column in count * S::F64_LANES..end - start {
            for row in 0..N {
                let element = elements[row][column];
                last[row][0] += element * vectors[0][start + column];
                last[row][1] += element * vectors[1][start + column];
                if BOUND {
                    last_magnitudes[row] += element.abs() * bound[start + column];
                }
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

/// These elements as doubles, in as much room unless they are doubles already.
#[inline(always)]
fn in_doubles<'a, T: Real>(elements: &'a [T], room: &'a mut [f64]) -> &'a [f64] {
    match T::ELEMENT {
        Element::F64 => bytemuck::cast_slice(elements),
        Element::F32 => {
            for (wide, &element) in room.iter_mut().zip(elements) {
                *wide = element.into();
            }
            &room[..elements.len()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_that_of_each_vector_whatever_the_length_and_the_columns() {
        for (rows, stride, range) in [
            (3, 1, 0..1),
            (4, 7, 0..7),
            (1, 8, 0..8),
            (9, 9, 0..9),
            (6, 31, 0..31),
            (7, 40, 9..37),
            (5, 3, 2..3),
            (3, 64, 0..64),
            (5, 150, 9..142),
            (4, 131, 0..131),
        ] {
            let matrix: Vec<f64> = (0..rows * stride).map(|i| i as f64 - 20.0).collect();
            let columns = range.len();
            let vector = |scale: f64| (0..columns).map(|i| scale * i as f64).collect();
            let vectors = [[1.0, -3.0], [2.0, 7.0]].map(|scales| scales.map(vector));
            let bound: Vec<f64> = (0..columns).map(|i| 2.0 + i as f64).collect();
            let of_doubles = Columns { matrix: &matrix, stride, range: range.clone() };
            let Image { vectors: images, bound: magnitudes } = image(&of_doubles, &vectors, Some(&bound));
            // Small whole numbers: exact in any order.
            for (row, elements) in matrix.chunks(stride).map(|row| &row[range.clone()]).enumerate() {
                for (image, vector) in images.iter().flatten().zip(vectors.iter().flatten()) {
                    assert_eq!(image[row], elements.iter().zip(vector).map(|(a, x)| a * x).sum::<f64>());
                }
                assert_eq!(
                    magnitudes[row],
                    elements.iter().zip(&bound).map(|(a, b)| b * a.abs()).sum::<f64>()
                );
            }
            let floats: Vec<f32> = matrix.iter().map(|&element| element as f32).collect();
            let of_floats = image(&Columns { matrix: &floats, stride, range }, &vectors, Some(&bound));
            assert!(of_floats.vectors == images && of_floats.bound == magnitudes);
            let without = image(&of_doubles, &vectors, None);
            assert!(without.vectors == images && without.bound.is_empty());
        }
    }
}
