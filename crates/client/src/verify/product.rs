//! Freivalds' check ("Probabilistic machines can use less running time", IFIP 1977): if C = A B, then
//! C x = A (B x) for every x, which takes three products of a matrix and a vector in place of one of matrices.
//!
//! In floating point the two sides differ by rounding. Every computed dot product of k terms is within k u times the sum
//! of its terms' magnitudes, in whatever order it is added up (Jeannerod and Rump, "Improved error bounds for inner
//! products in floating-point arithmetic", SIAM J. Matrix Anal. Appl. 34, 2013), where u is 2^-53 for doubles and 2^-24
//! for floats of 32 bits. The check itself is computed in doubles, whatever the elements. So row i may differ by some
//! (k u + (k + 2 n) 2^-53) (|A| (|B| |x|))_i, and by what is lost of products too small for the type; the check allows
//! twice that, with ones in place of |x|, which serve for every x. The elements of x are of random signs and between 1/2
//! and 1 in size: a wrong element counts for at least half of its error, and several go unnoticed by one vector only if
//! chance makes x nearly orthogonal to their errors. Rows where the bound is infinite or no number, as with infinite
//! elements, are not judged, nor are those that are not finite where sums may have grown beyond the type.
//!
//! What is allowed grows with the number of columns, and an element does not: of floats with 4096 terms, 4096 columns
//! may be off by twice as much as an element comes to. So each x has only some of the columns, as many as may be off by
//! three eighths of what one has on average, or sixteen, and there are x for all of them, which share the largest of
//! their bounds. Doubles are all checked together.
//!
//! Each matrix is read once: `image` multiplies it with all vectors in one pass.

mod image;

use super::{Check, Checkable};
use image::{AT_ONCE, Columns, Image, image};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sgdt_proto::kind::matmul::{Element, Input, Matrix, Operand, Output, Real};
use std::borrow::Cow;

/// How much some columns may be off together, in elements of average size.
const ALLOWED: f64 = 0.375;

/// No x has fewer columns, so that the check of a product with many rows and columns takes an eighth of its arithmetic at
/// most: of floats with more than some 196,000 terms they may be off by more.
const LEAST: usize = 16;

impl Checkable for Input {
    fn check(self) -> Option<Check> {
        (!self.summary).then(|| Check::new(move |output| judge(&self, output)))
    }
}

fn judge(input: &Input, output: Output) -> Result<(), String> {
    let Output::Product(c) = output else { return Err("it is a summary".to_owned()) };
    match input.a.element() {
        Element::F64 => compare::<f64>(input, &c),
        Element::F32 => compare::<f32>(input, &c),
    }
}

fn compare<T: Real>(input: &Input, c: &Matrix) -> Result<(), String> {
    let ([m, k], [_, n]) = (input.a.shape(), input.b.shape());
    if (c.rows, c.columns) != (m, n) {
        return Err(format!("it is {} x {} and not {m} x {n}", c.rows, c.columns));
    }
    let (a, b, c) = (elements::<T>(&input.a)?, elements::<T>(&input.b)?, dense::<T>(c)?);
    if c.is_empty() {
        return Ok(());
    }
    let slack = 2.0 * (T::ROUNDOFF * (k as f64 + 1.0) + f64::ROUNDOFF * (k as f64 + 2.0 * n as f64 + 3.0));
    let lost = f64::MIN_POSITIVE + 2.0 * T::MIN_POSITIVE * k as f64 * n as f64;
    let (inner, columns) = (k as usize, n as usize);
    let most = ((ALLOWED / slack) as usize).clamp(LEAST, columns.max(LEAST));
    let at_once = columns.div_ceil(columns.div_ceil(most));
    let mut rng = SmallRng::from_os_rng();
    let mut element = || if rng.random() { rng.random_range(0.5..1.0) } else { rng.random_range(-1.0..-0.5) };
    let (mut of_b, mut of_c, mut bound) = (Vec::new(), Vec::new(), vec![0.0f64; inner]);
    for start in (0..columns).step_by(at_once) {
        let range = start..columns.min(start + at_once);
        let len = range.len();
        let x = [[(); AT_ONCE].map(|()| (0..len).map(|_| element()).collect())];
        let some = |matrix| Columns { matrix, stride: columns, range: range.clone() };
        of_c.append(&mut image(&some(&c), &x, None).vectors);
        let Image { mut vectors, bound: magnitudes } = image(&some(&b), &x, Some(&vec![1.0; len]));
        of_b.append(&mut vectors);
        // Of numbers so small that not all digits are kept, more is lost, and `a` may make much of it.
        let lost = f64::MIN_POSITIVE * len as f64;
        for (most, magnitude) in bound.iter_mut().zip(magnitudes) {
            // Not as `f64::max` does it, which leaves out what is no number.
            *most = if most.is_nan() || magnitude + lost <= *most { *most } else { magnitude + lost };
        }
    }
    let of_a = image(&Columns { matrix: &a, stride: inner, range: 0..inner }, &of_b, Some(&bound));
    for (cx, abx) in of_c.iter().flatten().zip(of_a.vectors.iter().flatten()) {
        for (row, cx) in cx.iter().enumerate() {
            // Where nothing is summed `a` has no rows, and the product is zero.
            let at = |image: &[f64]| image.get(row).copied().unwrap_or(0.0);
            let (difference, magnitudes) = ((cx - at(abx)).abs(), at(&of_a.bound));
            let allowed = slack * magnitudes + lost;
            // A sum may be rounded up to what is beyond the type.
            let overflown = !cx.is_finite() && magnitudes * (1.0 + slack) >= T::MAX;
            if allowed.is_finite() && !overflown && (difference > allowed || difference.is_nan()) {
                return Err(format!("row {row} is not that of the product"));
            }
        }
    }
    Ok(())
}

fn elements<T: Real>(operand: &Operand) -> Result<Cow<'_, [T]>, String> {
    match operand {
        Operand::Dense(matrix) => dense(matrix),
        Operand::Random { shape: [rows, columns], seed, .. } => {
            Ok((0..rows.saturating_mul(*columns)).map(|index| T::unit(*seed, index)).collect())
        }
    }
}

fn dense<T: Real>(matrix: &Matrix) -> Result<Cow<'_, [T]>, String> {
    let Matrix { element, rows, columns, elements } = matrix;
    match elements.scalars() {
        Ok(numbers) if *element == T::ELEMENT && matrix.is_whole() => Ok(numbers),
        _ => {
            let wanted = T::ELEMENT;
            Err(format!("{} bytes of {element} are not {rows} x {columns} of {wanted}", elements.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sgdt_proto::{
        buffer::Buffer,
        payload::{Format, Payload},
    };

    fn matrix<T: Real>(rows: usize, columns: usize, elements: Vec<T>) -> Matrix {
        let (rows, columns, elements) = (rows as u64, columns as u64, Buffer::from_scalars(elements));
        Matrix { element: T::ELEMENT, rows, columns, elements }
    }

    fn verdict<T: Real>(a: &[T], b: &[T], [m, k, n]: [usize; 3], c: Vec<T>) -> Result<(), String> {
        let (a, b) = (matrix(m, k, a.to_vec()), matrix(k, n, b.to_vec()));
        let input = Input { a: Operand::Dense(a), b: Operand::Dense(b), summary: false };
        let output = Output::Product(matrix(m, n, c));
        input.check().unwrap().judge(Payload::encode(Format::Packed, &output).unwrap())
    }

    fn naive(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
        let entry = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
        (0..m * n).map(|place| entry(place / n, place % n)).collect()
    }

    proptest! {
        #[test]
        fn products_pass_and_products_with_one_wrong_element_do_not(
            m in 1usize..30, k in 1usize..30, n in 1usize..30, seed: u64, scale in -200i32..200, place: usize,
        ) {
            let made = |seed: u64, len: usize| -> Vec<f64> {
                (0..len as u64).map(|index| (f64::unit(seed, index) - 0.5) * 2f64.powi(scale)).collect()
            };
            let (a, b) = (made(seed, m * k), made(!seed, k * n));
            let c = naive(&a, &b, [m, k, n]);
            prop_assert_eq!(verdict(&a, &b, [m, k, n], c.clone()), Ok(()));
            let mut wrong = c;
            let place = place % wrong.len();
            // Much more than rounding, and still small.
            wrong[place] += 1e-6 * 4f64.powi(scale);
            prop_assert!(verdict(&a, &b, [m, k, n], wrong).is_err());
        }
    }

    /// As a worker would, one rounding after the other.
    fn naive_in_floats(a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f32> {
        let entry = |i: usize, j: usize| (0..k).fold(0.0, |sum, l| sum + a[i * k + l] * b[l * n + j]);
        (0..m * n).map(|place| entry(place / n, place % n)).collect()
    }

    proptest! {
        #[test]
        fn floats_have_their_own_roundings_and_wrong_ones_do_not_pass(
            m in 1usize..20, k in 1usize..200, n in 1usize..20, seed: u64, scale in -40i32..40, place: usize,
        ) {
            let made = |seed: u64, len: usize| -> Vec<f32> {
                (0..len as u64).map(|index| (f32::unit(seed, index) - 0.5) * 2f32.powi(scale)).collect()
            };
            let (a, b) = (made(seed, m * k), made(!seed, k * n));
            let c = naive_in_floats(&a, &b, [m, k, n]);
            prop_assert_eq!(verdict(&a, &b, [m, k, n], c.clone()), Ok(()));
            let mut wrong = c;
            let place = place % wrong.len();
            // More than all roundings of 200 terms of a quarter, and 20 of such sums, may come to.
            wrong[place] += 0.1 * 4f32.powi(scale);
            prop_assert!(verdict(&a, &b, [m, k, n], wrong).is_err());
        }
    }

    #[test]
    fn floats_that_are_off_by_more_than_they_may_be_are_rejected() {
        // Of small numbers there is nothing to round, and the bound is some 2e-7 of each.
        let (a, b, shape) = ([1.0f32, 2.0], [3.0f32, 4.0], [1, 2, 1]);
        assert_eq!(verdict(&a, &b, shape, vec![11.0]), Ok(()));
        assert!(verdict(&a, &b, shape, vec![11.00001]).is_err());
        assert!(verdict(&a, &b, shape, vec![f32::INFINITY]).is_err());
        let long = verdict(&a.map(f64::from), &b.map(f64::from), shape, vec![11.0 + 1e-6]);
        assert!(long.is_err(), "doubles are held to their own bound");
        let other = Output::Product(matrix(1, 1, vec![11.0f64]));
        let factor =
            |rows, columns, elements: &[f32; 2]| Operand::Dense(matrix(rows, columns, elements.to_vec()));
        let input = Input { a: factor(1, 2, &a), b: factor(2, 1, &b), summary: false };
        assert!(judge(&input, other).is_err(), "doubles came for floats");
    }

    #[test]
    fn a_wrong_column_of_many_floats_is_found_however_many_terms_there_are() {
        // Together, they may be off by four times what an element comes to.
        let shape @ [m, k, n] = [2, 1 << 16, 1 << 9];
        let made =
            |seed, len: usize| -> Vec<f32> { (0..len as u64).map(|index| f32::unit(seed, index)).collect() };
        let (a, b) = (made(1, m * k), made(2, k * n));
        let c = naive_in_floats(&a, &b, shape);
        assert_eq!(verdict(&a, &b, shape, c.clone()), Ok(()));
        for column in [0, n / 2, n - 1] {
            let mut wrong = c.clone();
            for row in wrong.chunks_exact_mut(n) {
                row[column] = 0.0;
            }
            assert!(verdict(&a, &b, shape, wrong).is_err(), "column {column} is zero");
        }
    }

    #[test]
    fn what_is_lost_of_the_smallest_numbers_may_be_made_much_of() {
        assert_eq!(verdict(&[1e300], &[1e-320], [1, 1, 1], vec![1e300 * 1e-320]), Ok(()));
        assert!(verdict(&[1e300], &[1e-320], [1, 1, 1], vec![1e-7]).is_err());
    }

    #[test]
    fn what_is_beyond_a_float_is_not_held_against_a_worker_and_what_is_lost_below_neither() {
        let (large, tiny) = ([1e30f32, 1.0], [1e-30f32, 1e-30]);
        assert_eq!(verdict(&large, &large, [1, 2, 1], vec![f32::INFINITY]), Ok(()));
        assert_eq!(verdict(&tiny, &tiny, [1, 2, 1], vec![0.0]), Ok(()));
        assert!(verdict(&[1e18f32], &[1e18], [1, 1, 1], vec![f32::INFINITY]).is_err());
        // Terms that come to less than the greatest number, and to more with every rounding.
        let last = 2f32.powi(104);
        let terms = [f32::MAX - 2.0 * last, 0.5 * last, 0.501 * last, 0.5 * last];
        let (sum, ones) = (terms.into_iter().sum(), [1.0; 4]);
        assert_eq!(sum, f32::INFINITY);
        assert_eq!(verdict(&terms, &ones, [1, 4, 1], vec![sum]), Ok(()));
    }

    #[test]
    fn what_is_no_product_is_rejected_whatever_it_is() {
        let (a, b, shape) = ([1.0, 2.0], [3.0, 4.0], [1, 2, 1]);
        assert_eq!(verdict(&a, &b, shape, vec![11.0]), Ok(()));
        assert!(verdict(&a, &b, shape, vec![f64::NAN]).is_err());
        assert!(verdict(&a, &b, shape, vec![f64::INFINITY]).is_err());
        assert!(verdict(&a, &b, shape, vec![11.0, 0.0]).is_err());
        assert!(verdict(&[], &[], [2, 0, 2], vec![0.0f64; 4]).is_ok());
        assert!(verdict(&[], &[], [2, 0, 2], vec![0.0f64, 0.0, 1.0, 0.0]).is_err());
        assert!(verdict::<f64>(&[], &[], [0, 3, 0], vec![]).is_ok());
        assert!(verdict(&a, &[3.0], shape, vec![11.0]).is_err(), "b is short");
        assert!(verdict(&[f64::INFINITY, 1.0], &b, shape, vec![f64::INFINITY]).is_ok());
    }
}
