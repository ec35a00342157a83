//! Freivalds' check ("Probabilistic machines can use less running time", IFIP 1977): if C = A B, then
//! C x = A (B x) for every x, which takes three products of a matrix and a vector in place of one of matrices.
//!
//! In floating point the two sides differ by rounding. Every computed dot product of k terms is within
//! k u / (1 - k u) times the sum of its terms' magnitudes (Higham, "Accuracy and stability of numerical algorithms",
//! section 3.1), so row i may differ by some 2 (k + n) u (|A| (|B| |x|))_i; the check allows twice that, with ones in
//! place of |x|, which serve for every x. With x uniform in [-1, 1) an error that is larger goes unnoticed by one vector
//! only if chance makes it nearly orthogonal to it. Rows where the bound is infinite or no number, as with infinite
//! elements, are not judged.
//!
//! Each matrix is read once: `image` multiplies it with all vectors in one pass.

mod image;

use super::{Check, Checkable};
use image::{Image, VECTORS, image};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sgdt_proto::kind::{
    matmul::{Input, Matrix, Operand, Output},
    random::unit,
};
use std::borrow::Cow;

/// The unit roundoff of doubles.
const ROUNDOFF: f64 = f64::EPSILON / 2.0;

impl Checkable for Input {
    fn check(self) -> Option<Check> {
        (!self.summary).then(|| Check::new(move |output| judge(&self, output)))
    }
}

fn judge(input: &Input, output: Output) -> Result<(), String> {
    let Output::Product(c) = output else { return Err("it is a summary".to_owned()) };
    let ([m, k], [_, n]) = (input.a.shape(), input.b.shape());
    if (c.rows, c.columns) != (m, n) {
        return Err(format!("it is {} x {} and not {m} x {n}", c.rows, c.columns));
    }
    let (a, b, c) = (elements(&input.a)?, elements(&input.b)?, dense(&c)?);
    if c.is_empty() {
        return Ok(());
    }
    let slack = 4.0 * ROUNDOFF * (k as f64 + n as f64 + 2.0);
    let (inner, columns) = (k as usize, n as usize);
    let mut rng = SmallRng::from_os_rng();
    let x = [(); VECTORS].map(|()| (0..columns).map(|_| rng.random_range(-1.0..1.0)).collect());
    let Image { vectors: bx, bound } = image(&b, columns, &x, Some(&vec![1.0; columns]));
    let (of_c, of_a) = (image(&c, columns, &x, None), image(&a, inner, &bx, Some(&bound)));
    for (cx, abx) in of_c.vectors.iter().zip(&of_a.vectors) {
        for (row, cx) in cx.iter().enumerate() {
            // Where nothing is summed `a` has no rows, and the product is zero.
            let at = |image: &[f64]| image.get(row).copied().unwrap_or(0.0);
            let (difference, allowed) = ((cx - at(abx)).abs(), slack * at(&of_a.bound) + f64::MIN_POSITIVE);
            if allowed.is_finite() && (difference > allowed || difference.is_nan()) {
                return Err(format!("row {row} is not that of the product"));
            }
        }
    }
    Ok(())
}

fn elements(operand: &Operand) -> Result<Cow<'_, [f64]>, String> {
    match operand {
        Operand::Dense(matrix) => dense(matrix),
        Operand::Random { shape: [rows, columns], seed } => {
            Ok((0..rows.saturating_mul(*columns)).map(|index| unit(*seed, index)).collect())
        }
    }
}

fn dense(matrix: &Matrix) -> Result<Cow<'_, [f64]>, String> {
    let bytes = matrix.elements.as_bytes();
    if matrix.rows.checked_mul(matrix.columns).and_then(|count| count.checked_mul(8))
        != Some(bytes.len() as u64)
    {
        return Err(format!("{} bytes are not {} x {} doubles", bytes.len(), matrix.rows, matrix.columns));
    }
    Ok(match bytemuck::try_cast_slice(bytes) {
        Ok(elements) => Cow::Borrowed(elements),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sgdt_proto::{
        buffer::Buffer,
        payload::{Format, Payload},
    };

    fn matrix(rows: usize, columns: usize, elements: Vec<f64>) -> Matrix {
        Matrix { rows: rows as u64, columns: columns as u64, elements: Buffer::from_scalars(elements) }
    }

    fn verdict(a: &[f64], b: &[f64], [m, k, n]: [usize; 3], c: Vec<f64>) -> Result<(), String> {
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
                (0..len as u64).map(|index| (unit(seed, index) - 0.5) * 2f64.powi(scale)).collect()
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

    #[test]
    fn what_is_no_product_is_rejected_whatever_it_is() {
        let (a, b, shape) = ([1.0, 2.0], [3.0, 4.0], [1, 2, 1]);
        assert_eq!(verdict(&a, &b, shape, vec![11.0]), Ok(()));
        assert!(verdict(&a, &b, shape, vec![f64::NAN]).is_err());
        assert!(verdict(&a, &b, shape, vec![f64::INFINITY]).is_err());
        assert!(verdict(&a, &b, shape, vec![11.0, 0.0]).is_err());
        assert!(verdict(&[], &[], [2, 0, 2], vec![0.0; 4]).is_ok());
        assert!(verdict(&[], &[], [2, 0, 2], vec![0.0, 0.0, 1.0, 0.0]).is_err());
        assert!(verdict(&[], &[], [0, 3, 0], vec![]).is_ok());
        assert!(verdict(&a, &[3.0], shape, vec![11.0]).is_err(), "b is short");
        assert!(verdict(&[f64::INFINITY, 1.0], &b, shape, vec![f64::INFINITY]).is_ok());
    }
}
