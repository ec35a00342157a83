//! Freivalds' check ("Probabilistic machines can use less running time", IFIP 1977): if C = A B, then
//! C x = A (B x) for every x, which takes three products of a matrix and a vector in place of one of matrices.
//!
//! In floating point the two sides differ by rounding, of which nobody can say beforehand how much it comes to. Every
//! computed dot product of k terms is within k u times the sum of its terms' magnitudes, in whatever order it is added up
//! (Jeannerod and Rump, "Improved error bounds for inner products in floating-point arithmetic", SIAM J. Matrix Anal.
//! Appl. 34, 2013), where u is 2^-53 for doubles and 2^-24 for floats of 32 bits. As a rule roundings are as often up as
//! down and it is some sqrt(k) u (Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J.
//! Sci. Comput. 41, 2019), but there are products of which it is not, those of equal numbers among them. So rows are
//! held to the rule, and the rule condemns nobody: if rows differ by more, those that stand out most are computed anew in
//! doubles, and each of their elements is held to the bound that always holds.
//!
//! The elements of x are of random signs and between 1/2 and 1 in size. So a wrong element counts for at least half of its
//! error, and several go unnoticed by one vector only if chance makes x nearly orthogonal to their errors; and as the
//! worker's roundings know nothing of x, those of n columns add up to some sqrt(n) of one. Rows of A and columns of B with an
//! element that is infinite or no number are not judged.
//!
//! Each matrix is read once: `image` multiplies it with all vectors in one pass.

mod image;

use super::{Check, Checkable};
use image::{AT_ONCE, Image, Vectors, image};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sgdt_proto::kind::matmul::{Element, Input, Matrix, Operand, Output, Real};
use std::borrow::Cow;

/// How many of the rows that stand out are computed anew: a share of all, and some at least.
const LOOK_SHARE: usize = 256;
const LEAST_LOOKS: usize = 8;

/// What the elements of x are scaled by where sums of rows are beyond doubles, though their elements may not be.
const SMALL: f64 = 1.0 / (1u128 << 64) as f64;

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
    let (a, mut b, mut c) = (elements::<T>(&input.a)?, elements::<T>(&input.b)?, dense::<T>(c)?);
    if c.is_empty() {
        return Ok(());
    }
    let (rows, inner, columns) = (m as usize, k as usize, n as usize);
    let mut sides = Sides::of(&a, &b, &c, inner, columns, 1.0);
    if sides.abx.bound.iter().any(|sum| !sum.is_finite()) {
        clear_infinite_columns(&mut b, &mut c, columns);
        sides = Sides::of(&a, &b, &c, inner, columns, SMALL);
    }
    let suspects = sides.rows_that_stand_out(rows, &Rounding::of::<T>(k as f64, n as f64));
    for row in suspects {
        if let Some(column) = stray(&a[row * inner..][..inner], &b, &c[row * columns..][..columns]) {
            return Err(format!("element {column} of row {row} is not that of the product"));
        }
    }
    Ok(())
}

/// By how much C x and A (B x) differ as a rule.
struct Rounding {
    /// The part of a row's magnitudes.
    usual: f64,
    /// What is lost of terms that are below the least number of the type.
    lost: f64,
    /// From which magnitudes on a sum may be beyond the type.
    overflow: f64,
}

impl Rounding {
    /// Where elements are sums of k terms, and rows have n elements.
    fn of<T: Real>(k: f64, n: f64) -> Self {
        let roundings = T::ROUNDOFF * (k + 1.0).sqrt() + f64::ROUNDOFF * (k + 2.0 * n).sqrt();
        Self {
            // The sum of a row's magnitudes is at most sqrt(n) times the root of the sum of their squares, which it stands
            // for: where elements differ much in size a row is looked at in vain, and no harm is done.
            usual: roundings / n.sqrt(),
            lost: n * (k + 1.0) * 2.0 * T::ROUNDOFF * T::MIN_POSITIVE,
            overflow: overflow::<T>(k),
        }
    }
}

/// C x and A (B x).
struct Sides {
    cx: Vectors,
    /// With the sums of the rows' magnitudes.
    abx: Image,
    /// What the elements of x were scaled by.
    scale: f64,
}

impl Sides {
    fn of<T: Real>(a: &[T], b: &[T], c: &[T], inner: usize, columns: usize, scale: f64) -> Self {
        let mut rng = SmallRng::from_os_rng();
        let mut element =
            || scale * if rng.random() { rng.random_range(0.5..1.0) } else { rng.random_range(-1.0..-0.5) };
        let x = [(); AT_ONCE].map(|()| (0..columns).map(|_| element()).collect());
        let bx = image(b, columns, &x, Some(&vec![scale; columns]));
        let cx = image(c, columns, &x, None).vectors;
        let abx = image(a, inner, &bx.vectors, Some(&bx.bound));
        Self { cx, abx, scale }
    }

    /// The rows in which they differ by more than usual, as many of them as are looked at: those that differ most, and some
    /// of those that may be beyond the type.
    fn rows_that_stand_out(&self, rows: usize, rounding: &Rounding) -> Vec<usize> {
        // Where nothing is summed `a` has no rows, and the product is zero.
        let at = |image: &[f64], row: usize| image.get(row).copied().unwrap_or(0.0);
        let (mut suspects, mut unbounded) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let magnitudes = at(&self.abx.bound, row);
            let allowed = rounding.usual * magnitudes + self.scale * rounding.lost;
            let excess = self.cx.iter().zip(&self.abx.vectors).map(|(cx, abx)| {
                let difference = (cx[row] - at(abx, row)).abs();
                // Nothing is allowed where the scale has made it too small for a double.
                let excess = if difference == 0.0 { 0.0 } else { difference / allowed };
                // No number at all stands out most.
                if excess.is_nan() { f64::INFINITY } else { excess }
            });
            let excess = excess.fold(0.0, f64::max);
            let may_overflow = magnitudes / self.scale >= rounding.overflow;
            if !magnitudes.is_finite() || excess.is_infinite() && may_overflow {
                unbounded.push(row);
            } else if excess > 1.0 {
                suspects.push((excess, row));
            }
        }
        suspects.sort_unstable_by(|(one, _), (other, _)| other.total_cmp(one));
        let looks = LEAST_LOOKS.max(rows / LOOK_SHARE);
        let suspects = suspects.into_iter().map(|(_, row)| row).take(looks);
        suspects.chain(unbounded.into_iter().take(looks)).collect()
    }
}

/// Makes zeros of the columns in which `b` has what is infinite or no number, and of those of the product `c`.
fn clear_infinite_columns<'a, T: Real>(b: &mut Cow<'a, [T]>, c: &mut Cow<'a, [T]>, columns: usize) {
    let mut infinite = vec![false; columns];
    for row in b.chunks_exact(columns) {
        for (infinite, &element) in infinite.iter_mut().zip(row) {
            *infinite |= !element.into().is_finite();
        }
    }
    if !infinite.contains(&true) {
        return;
    }
    for matrix in [b, c] {
        for row in matrix.to_mut().chunks_exact_mut(columns) {
            for (element, _) in row.iter_mut().zip(&infinite).filter(|(_, infinite)| **infinite) {
                *element = T::zeroed();
            }
        }
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
    let overflow = overflow::<T>(terms);
    c.iter().zip(sums).zip(magnitudes).position(|((&element, sum), magnitude)| {
        let element: f64 = element.into();
        let allowed = roundoff * magnitude + lost;
        let overflown = !element.is_finite() && magnitude >= overflow;
        let difference = (element - sum).abs();
        allowed.is_finite() && !overflown && (difference > allowed || difference.is_nan())
    })
}

/// From which magnitudes on terms may be summed up to what is beyond the type, if roundings are all upwards.
fn overflow<T: Real>(terms: f64) -> f64 {
    T::MAX / (1.0 + 2.0 * (T::ROUNDOFF + f64::ROUNDOFF) * (terms + 2.0))
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
    fn honest_rows_that_stand_out_hide_no_wrong_ones() {
        // Those of equal numbers, of which each sum is off by more than usual.
        let shape @ [m, k, n] = [6, 1 << 14, 512];
        let (mut a, b) = (units::<f32>(1, m * k), vec![1.0f32; k * n]);
        a[..4 * k].fill(0.1);
        let c = naive_in_floats(&a, &b, shape);
        assert_eq!(verdict(&a, &b, shape, c.clone()), Ok(()));
        for row in [4, m - 1] {
            let mut wrong = c.clone();
            wrong[row * n + 1] *= 1.0011;
            let reason = format!("element 1 of row {row} is not that of the product");
            assert_eq!(verdict(&a, &b, shape, wrong), Err(reason));
        }
    }

    #[test]
    fn rows_that_are_lost_as_too_small_do_not_stand_out() {
        fn hide_nothing<T: Real>(least: T, of: impl Fn(f64) -> T) {
            let shape @ [m, k, n] = [20, 64, 512];
            let (mut a, b) = (units::<T>(1, m * k), units::<T>(2, k * n));
            let b: Vec<T> = b.into_iter().map(|element| of(0.49 * element.into())).collect();
            // Every term is rounded to zero, where the check sees that there is something.
            a[..(m - 1) * k].fill(least);
            let wide = |elements: &[T]| elements.iter().map(|&element| element.into()).collect::<Vec<f64>>();
            let c = naive(&wide(&a), &wide(&b), shape);
            let c: Vec<T> = c
                .iter()
                .enumerate()
                .map(|(place, &sum)| of(if place < (m - 1) * n { 0.0 } else { sum }))
                .collect();
            assert_eq!(verdict(&a, &b, shape, c.clone()), Ok(()));
            let mut wrong = c;
            wrong[m * n - 1] = of(1.01 * wrong[m * n - 1].into());
            assert!(verdict(&a, &b, shape, wrong).is_err());
        }
        hide_nothing(f32::from_bits(1), |element| element as f32);
        hide_nothing(f64::from_bits(1), |element| element);
    }

    #[test]
    fn a_column_with_an_infinite_element_hides_no_wrong_ones() {
        for infinite in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let shape @ [m, k, n] = [20, 7, 9];
            let (a, mut b) = (units::<f64>(1, m * k), units::<f64>(2, k * n));
            b[3 * n + 4] = infinite;
            let c = naive(&a, &b, shape);
            assert_eq!(verdict(&a, &b, shape, c.clone()), Ok(()));
            let mut wrong = c;
            wrong[m * n - 1] += 1e-9;
            let reason = "element 8 of row 19 is not that of the product";
            assert_eq!(verdict(&a, &b, shape, wrong), Err(reason.into()));
        }
    }

    #[test]
    fn where_only_the_sum_of_a_row_is_beyond_the_type_its_elements_are_looked_at() {
        let shape = [1, 1, 512];
        let sums = vec![1e36f32; 512];
        assert_eq!(verdict(&[1e18f32], &[1e18; 512], shape, sums), Ok(()));
        assert!(verdict(&[1e18f32], &[1e18; 512], shape, vec![f32::NAN; 512]).is_err());
        // Honest ones stand out, and are far from infinite themselves.
        let shape @ [m, k, n] = [20, 1 << 14, 64];
        let (a, b) = (vec![0.1f32; m * k], vec![1e34; k * n]);
        let c = naive_in_floats(&a, &b, shape);
        assert_eq!(verdict(&a, &b, shape, c.clone()), Ok(()));
        for nothing in [f32::NAN, f32::INFINITY] {
            let mut wrong = c.clone();
            wrong[13 * n..14 * n].fill(nothing);
            assert!(verdict(&a, &b, shape, wrong).is_err(), "{nothing}");
        }
    }

    #[test]
    fn sums_of_rows_may_be_beyond_doubles() {
        let shape @ [m, _, n] = [100, 2, 64];
        let a: Vec<f64> = [1.0, 0.0].repeat(m);
        let (b, c) = ([vec![1.5; n], vec![1e307; n]].concat(), vec![1.5; m * n]);
        assert_eq!(verdict(&a, &b, shape, c.clone()), Ok(()));
        let shape_of_large = [m, 1, 512];
        let (large_a, large_b) = (vec![1e153; m], vec![1e153; 512]);
        let large = vec![1e153 * 1e153; 512 * m];
        assert_eq!(verdict(&large_a, &large_b, shape_of_large, large.clone()), Ok(()));
        for row in [50, m - 1] {
            let mut wrong = c.clone();
            wrong[row * n] = 7.0;
            assert!(verdict(&a, &b, shape, wrong).is_err(), "row {row}");
            for other in [0.0, f64::NAN, -1e300] {
                let mut wrong = large.clone();
                wrong[row * 512] = other;
                assert!(verdict(&large_a, &large_b, shape_of_large, wrong).is_err(), "row {row}: {other}");
            }
        }
    }

    #[test]
    fn small_numbers_that_are_above_the_least_are_not_taken_for_lost() {
        fn are_not<T: Real>(of: impl Fn(T) -> T) {
            let shape @ [m, k, n] = [4, 512, 512];
            let small = |seed, len| units::<T>(seed, len).into_iter().map(&of).collect::<Vec<_>>();
            let (a, b) = (small(1, m * k), small(2, k * n));
            assert!(verdict(&a, &b, shape, vec![T::zeroed(); m * n]).is_err(), "{:?}", T::ELEMENT);
        }
        are_not(|element: f32| 1e-18 * element);
        are_not(|element: f64| 1e-153 * element);
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
