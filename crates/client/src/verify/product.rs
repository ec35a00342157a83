//! Freivalds' check ("Probabilistic machines can use less running time", IFIP 1977): if C = A B, then
//! C x = A (B x) for every x, which takes three products of a matrix and a vector in place of one of matrices.
//!
//! In floating point the two sides differ by rounding, of which nobody can say beforehand how much it comes to. Every
//! computed dot product of k terms is within k u times the sum of its terms' magnitudes, in whatever order it is added up
//! (Jeannerod and Rump, "Improved error bounds for inner products in floating-point arithmetic", SIAM J. Matrix Anal.
//! Appl. 34, 2013), where u is 2^-53 for doubles and 2^-24 for floats of 32 bits. As a rule roundings are as often up as
//! down and it is some sqrt(k) u (Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J.
//! Sci. Comput. 41, 2019), but there are products of which it is not, those of equal numbers among them. So rows are
//! held to the rule, and the rule condemns nobody: if rows differ by more, the one that stands out most is computed anew
//! in doubles, and each of its elements is held to the bound that always holds.
//!
//! The elements of x are of random signs and between 1/2 and 1 in size. So a wrong element counts for at least half of its
//! error, and several go unnoticed by one vector only if chance makes x nearly orthogonal to their errors; and as the
//! worker's roundings know nothing of x, those of n columns add up to some sqrt(n) of one. Rows where sums may have grown
//! beyond the type are not judged, nor are those with infinite elements.
//!
//! Each matrix is read once: `image` multiplies it with all vectors in one pass.

mod image;

use super::{Check, Checkable};
use image::{AT_ONCE, image};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sgdt_proto::kind::matmul::{Element, Input, Matrix, Operand, Output, Real};
use std::borrow::Cow;

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
    let (inner, columns) = (k as usize, n as usize);
    let mut rng = SmallRng::from_os_rng();
    let mut element = || if rng.random() { rng.random_range(0.5..1.0) } else { rng.random_range(-1.0..-0.5) };
    let x = [(); AT_ONCE].map(|()| (0..columns).map(|_| element()).collect());
    let of_c = image(&c, columns, &x, None).vectors;
    let of_b = image(&b, columns, &x, Some(&vec![1.0; columns]));
    let of_a = image(&a, inner, &of_b.vectors, Some(&of_b.bound));
    let (k, n) = (k as f64, n as f64);
    // The sum of a row's magnitudes is at most sqrt(n) times the root of the sum of their squares, which it stands for:
    // where elements differ much in size a row is looked at in vain, and no harm is done.
    let usual = (T::ROUNDOFF * (k + 1.0).sqrt() + f64::ROUNDOFF * (k + 2.0 * n).sqrt()) / n.sqrt();
    let mut worst = None;
    for (cx, abx) in of_c.iter().zip(&of_a.vectors) {
        for (row, cx) in cx.iter().enumerate() {
            // Where nothing is summed `a` has no rows, and the product is zero.
            let at = |image: &[f64]| image.get(row).copied().unwrap_or(0.0);
            let (difference, magnitudes) = ((cx - at(abx)).abs(), at(&of_a.bound));
            let unbounded = !magnitudes.is_finite() || !cx.is_finite() && may_overflow::<T>(magnitudes, k);
            if unbounded || difference <= usual * magnitudes {
                continue;
            }
            // No number at all stands out most.
            let excess = if difference.is_nan() { f64::INFINITY } else { difference / magnitudes };
            if worst.is_none_or(|(_, most)| excess > most) {
                worst = Some((row, excess));
            }
        }
    }
    let Some((row, _)) = worst else { return Ok(()) };
    match stray(&a[row * inner..][..inner], &b, &c[row * columns..][..columns]) {
        Some(column) => Err(format!("element {column} of row {row} is not that of the product")),
        None => Ok(()),
    }
}

/// The first element of `c` that is none of the product of the row `a` and `b` in whatever order it is computed.
fn stray<T: Real>(a: &[T], b: &[T], c: &[T]) -> Option<usize> {
    let (mut sums, mut magnitudes) = (vec![0.0; c.len()], vec![0.0; c.len()]);
    for (&factor, row) in a.iter().zip(b.chunks_exact(c.len())) {
        let factor: f64 = factor.into();
        for ((sum, magnitude), &element) in sums.iter_mut().zip(&mut magnitudes).zip(row) {
            let term = factor * element.into();
            *sum += term;
            *magnitude += term.abs();
        }
    }
    let terms = a.len() as f64;
    // Roundings of the worker's and of these sums, and what is lost of terms that are too small for the type.
    let roundoff = (T::ROUNDOFF + f64::ROUNDOFF) * (terms + 2.0);
    let lost = 2.0 * T::MIN_POSITIVE * (terms + 1.0);
    c.iter().zip(sums).zip(magnitudes).position(|((&element, sum), magnitude)| {
        let element: f64 = element.into();
        let allowed = roundoff * magnitude + lost;
        let overflown = !element.is_finite() && may_overflow::<T>(magnitude, terms);
        let difference = (element - sum).abs();
        allowed.is_finite() && !overflown && (difference > allowed || difference.is_nan())
    })
}

/// Whether terms of these magnitudes may be summed up to what is beyond the type, if roundings are all upwards.
fn may_overflow<T: Real>(magnitudes: f64, terms: f64) -> bool {
    magnitudes * (1.0 + 2.0 * (T::ROUNDOFF + f64::ROUNDOFF) * (terms + 2.0)) >= T::MAX
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
            wrong[place] += 1e-12 * 4f64.powi(scale);
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
            // More than all roundings of 200 terms of a quarter may come to.
            wrong[place] += 1e-3 * 4f32.powi(scale);
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

    fn units<T: Real>(seed: u64, len: usize) -> Vec<T> {
        (0..len as u64).map(|index| T::unit(seed, index)).collect()
    }

    #[test]
    fn one_element_that_is_slightly_wrong_among_many_is_found() {
        let shape @ [m, k, n] = [64, 512, 512];
        fn is_found<T: Real>(shape: [usize; 3], c: Vec<T>, of: impl Fn(&T) -> T) {
            let [m, k, n] = shape;
            let (a, b) = (units::<T>(1, m * k), units::<T>(2, k * n));
            assert_eq!(verdict(&a, &b, shape, c.clone()), Ok(()));
            for place in [0, 31 * n + 400, m * n - 1] {
                let mut wrong = c.clone();
                wrong[place] = of(&wrong[place]);
                let reason = format!("element {} of row {} is not that of the product", place % n, place / n);
                assert_eq!(verdict(&a, &b, shape, wrong), Err(reason));
            }
        }
        let doubles = naive(&units(1, m * k), &units(2, k * n), shape);
        is_found(shape, doubles, |element| element * (1.0 + 1e-12));
        let floats = naive_in_floats(&units(1, m * k), &units(2, k * n), shape);
        is_found(shape, floats, |element| element * (1.0 + 5e-4));
    }

    #[test]
    fn roundings_that_are_all_of_one_kind_are_not_held_against_a_worker_and_what_is_more_is() {
        // Each addition of a tenth rounds as the one before it does, and the sums are off by more than usual.
        let shape @ [m, k, n] = [4, 1 << 14, 64];
        let (a, b) = (vec![0.1f32; m * k], vec![1.0f32; k * n]);
        let c = naive_in_floats(&a, &b, shape);
        let exact = f64::from(0.1f32) * k as f64;
        let off = (f64::from(c[0]) / exact - 1.0).abs();
        assert!(off > 4.0 * f32::ROUNDOFF * (k as f64).sqrt(), "{off:e}");
        assert_eq!(verdict(&a, &b, shape, c.clone()), Ok(()));
        let mut wrong = c;
        wrong[n + 1] *= 1.01;
        assert_eq!(
            verdict(&a, &b, shape, wrong),
            Err("element 1 of row 1 is not that of the product".into())
        );
    }

    #[test]
    fn a_wrong_column_of_many_floats_is_found_however_many_terms_there_are() {
        let shape @ [m, k, n] = [2, 1 << 16, 1 << 9];
        let (a, b) = (units(1, m * k), units(2, k * n));
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
