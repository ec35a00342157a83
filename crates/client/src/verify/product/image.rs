//! Products of a matrix with several vectors, in one pass over it: a matrix comes from memory more slowly than it is
//! multiplied, so that a second pass would cost as much again.

use pulp::{Arch, Simd, WithSimd};
use sgdt_proto::kind::matmul::{Element, Real};

/// How many vectors there are at a time.
pub(super) const VECTORS: usize = 2;

/// What a matrix makes of vectors.
pub(super) struct Image {
    /// Its products with them.
    pub(super) vectors: [Vec<f64>; VECTORS],
    /// That of its elements' magnitudes with the bound, if there is one.
    pub(super) bound: Vec<f64>,
}

/// What this matrix, row after row, makes of `vectors` and, by its elements' magnitudes, of `bound`.
pub(super) fn image<T: Real>(
    matrix: &[T],
    columns: usize,
    vectors: &[Vec<f64>; VECTORS],
    bound: Option<&[f64]>,
) -> Image {
    let columns = columns.max(1);
    let count = matrix.len() / columns;
    let mut image = Image {
        vectors: [(); VECTORS].map(|()| Vec::with_capacity(count)),
        bound: Vec::with_capacity(if bound.is_some() { count } else { 0 }),
    };
    let vectors = vectors.each_ref().map(Vec::as_slice);
    // With AVX2 where there is AVX2.
    let mut pass = |matrix: &[f64]| match bound {
        Some(bound) => {
            Arch::new().dispatch(Pass::<true> { matrix, columns, vectors, bound, image: &mut image });
        }
        None => {
            Arch::new().dispatch(Pass::<false> { matrix, columns, vectors, bound: &[], image: &mut image });
        }
    };
    match T::ELEMENT {
        Element::F64 => pass(bytemuck::cast_slice(matrix)),
        Element::F32 => {
            // As doubles, some rows at a time, which stay in the cache meanwhile.
            let mut wide = vec![0.0; ROWS * columns];
            for rows in matrix.chunks(wide.len()) {
                let wide = &mut wide[..rows.len()];
                for (wide, &element) in wide.iter_mut().zip(rows) {
                    *wide = element.into();
                }
                pass(wide);
            }
        }
    }
    image
}

/// A pass over a matrix, with a bound or without, which adds to an image.
struct Pass<'a, const BOUND: bool> {
    matrix: &'a [f64],
    columns: usize,
    vectors: [&'a [f64]; VECTORS],
    bound: &'a [f64],
    image: &'a mut Image,
}

/// How many rows there are at a time. No addition waits for the one before, and what is read of the vectors serves for all.
const ROWS: usize = 4;

impl<const BOUND: bool> WithSimd for Pass<'_, BOUND> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut rows = self.matrix.chunks_exact(self.columns);
        while let Some(first) = rows.next() {
            match (rows.next(), rows.next(), rows.next()) {
                (Some(second), Some(third), Some(fourth)) => {
                    let rows: [_; ROWS] = [first, second, third, fourth];
                    self.multiply(simd, rows);
                }
                (second, third, _) => {
                    for row in [Some(first), second, third].into_iter().flatten() {
                        self.multiply(simd, [row]);
                    }
                }
            }
        }
    }
}

impl<const BOUND: bool> Pass<'_, BOUND> {
    /// Some rows' part of the image.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(&mut self, simd: S, rows: [&[f64]; N]) {
        let wide = rows.map(|row| S::as_simd_f64s(row).0);
        let [x, y] = self.vectors.map(|vector| S::as_simd_f64s(vector).0);
        let most = S::as_simd_f64s(self.bound).0;
        let zero = simd.splat_f64s(0.0);
        let mut sums = [[zero; VECTORS + 1]; N];
        for (at, (&x, &y)) in x.iter().zip(y).enumerate() {
            for (sums, row) in sums.iter_mut().zip(wide) {
                let element = row[at];
                sums[0] = simd.mul_add_e_f64s(element, x, sums[0]);
                sums[1] = simd.mul_add_e_f64s(element, y, sums[1]);
                if BOUND {
                    sums[2] = simd.mul_add_e_f64s(simd.abs_f64s(element), most[at], sums[2]);
                }
            }
        }
        let done = x.len() * S::F64_LANES;
        for (row, sums) in rows.iter().zip(sums) {
            let mut sums = sums.map(|sum| simd.reduce_sum_f64s(sum));
            for column in done..self.columns {
                let element = row[column];
                for (sum, vector) in sums.iter_mut().zip(self.vectors) {
                    *sum += element * vector[column];
                }
                if BOUND {
                    sums[VECTORS] += element.abs() * self.bound[column];
                }
            }
            for (all, sum) in self.image.vectors.iter_mut().zip(sums) {
                all.push(sum);
            }
            if BOUND {
                self.image.bound.push(sums[VECTORS]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_that_of_each_vector_whatever_the_length() {
        for (rows, columns) in [(3, 1), (4, 7), (1, 8), (9, 9), (6, 31)] {
            let matrix: Vec<f64> = (0..rows * columns).map(|i| i as f64 - 20.0).collect();
            let vectors = [1.0, -3.0].map(|scale| (0..columns).map(|i| scale * i as f64).collect());
            let bound = vec![2.0; columns];
            let Image { vectors: images, bound: magnitudes } =
                image(&matrix, columns, &vectors, Some(&bound));
            // Small whole numbers: exact in any order.
            for (row, elements) in matrix.chunks(columns).enumerate() {
                for (image, vector) in images.iter().zip(&vectors) {
                    assert_eq!(image[row], elements.iter().zip(vector).map(|(a, x)| a * x).sum::<f64>());
                }
                assert_eq!(magnitudes[row], elements.iter().map(|a| 2.0 * a.abs()).sum::<f64>());
            }
            let floats: Vec<f32> = matrix.iter().map(|&element| element as f32).collect();
            let of_floats = image(&floats, columns, &vectors, Some(&bound));
            assert!(of_floats.vectors == images && of_floats.bound == magnitudes);
            let without = image(&matrix, columns, &vectors, None);
            assert!(without.vectors == images && without.bound.is_empty());
        }
    }
}
