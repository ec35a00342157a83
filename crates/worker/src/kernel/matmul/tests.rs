use super::{blocked::Share, *};
use crate::cores::Cores;
use proptest::prelude::*;
use sgdt_proto::{
    kind::{matmul::Operand, random},
    task::ErrorCode,
};
use std::time::Duration;

fn dense<T: Real>(rows: usize, columns: usize, elements: Vec<T>) -> Operand {
    let (rows, columns) = (rows as u64, columns as u64);
    let elements = Buffer::from_scalars(elements);
    Operand::Dense(Matrix { element: T::ELEMENT, rows, columns, elements })
}

fn random(rows: u64, columns: u64, seed: u64) -> Operand {
    random_of(Element::F64, rows, columns, seed)
}

fn random_of(element: Element, rows: u64, columns: u64, seed: u64) -> Operand {
    Operand::Random { element, shape: [rows, columns], seed }
}

fn run(a: Operand, b: Operand, summary: bool) -> Result<Output, TaskError> {
    let input = Input { a, b, summary };
    MatMul.cost(&input)?;
    MatMul.run(input, &Cancel::new())
}

fn product<T: Real>(a: Operand, b: Operand) -> Vec<T> {
    match run(a, b, false).unwrap() {
        Output::Product(matrix) => {
            assert!(matrix.element == T::ELEMENT && matrix.is_whole(), "{matrix:?}");
            matrix.elements.into_scalars().unwrap()
        }
        Output::Summary { .. } => panic!("asked for the product"),
    }
}

/// In doubles, which are as good as exact for floats.
fn naive<T: Real>(a: &[T], b: &[T], m: usize, k: usize, n: usize) -> Vec<f64> {
    let term = |a: T, b: T| a.into() * b.into();
    let entry = |i: usize, j: usize| (0..k).map(|l| term(a[i * k + l], b[l * n + j])).sum();
    (0..m * n).map(|place| entry(place / n, place % n)).collect()
}

fn made<T: Real>(rows: usize, columns: usize, seed: u64) -> Vec<T> {
    (0..(rows * columns) as u64).map(|index| T::unit(seed, index)).collect()
}

/// As near as is promised.
fn assert_near<T: Real>(c: &[T], expected: &[f64]) {
    let within = match T::ELEMENT {
        Element::F64 => 1e-12,
        Element::F32 => 1e-5,
    };
    assert_eq!(c.len(), expected.len());
    for (c, expected) in c.iter().zip(expected) {
        let c: f64 = (*c).into();
        let same = c == *expected || c.is_nan() && expected.is_nan();
        assert!(same || (c - expected).abs() <= within * expected.abs().max(1.0), "{c} {expected}");
    }
}

/// That a product is what it must be, as a task and cut into very small pieces.
fn assert_is_naive<T: Multiplied>(m: usize, k: usize, n: usize, seed: u64) {
    let (a, b) = (made::<T>(m, k, seed), made::<T>(k, n, !seed));
    let expected = naive(&a, &b, m, k, n);
    assert_near::<T>(&product(dense(m, k, a.clone()), dense(k, n, b.clone())), &expected);

    let mut c = vec![T::unit(seed, 0); m * n];
    multiply(
        MatMut::from_row_major_slice_mut(&mut c, m, n),
        Accum::Replace,
        MatRef::from_row_major_slice(&a, m, k),
        MatRef::from_row_major_slice(&b, k, n),
        &Piece { multiply_adds: 64, elements: 100, shared: 64, alignment: 2 },
        &Cancel::new(),
    )
    .unwrap();
    assert_near(&c, &expected);
    assert_near(&in_blocks(&a, &b, [m, k, n], &SHARE, &Cancel::new()), &expected);
}

/// As it is done where that is faster than `faer`; the product is written over something else.
fn in_blocks<T: Multiplied>(
    a: &[T],
    b: &[T],
    [m, k, n]: [usize; 3],
    share: &Share,
    cancel: &Cancel,
) -> Vec<T> {
    let mut c = vec![T::unit(1, 2); m * n];
    if [m, k, n].contains(&0) {
        c.fill(T::default());
    } else {
        blocked::multiply(&mut c, a, b, [m, k, n], share, cancel).unwrap();
    }
    c
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_is_the_naive_product(m in 0usize..40, k in 0usize..40, n in 0usize..40, seed: u64) {
        assert_is_naive::<f64>(m, k, n, seed);
        assert_is_naive::<f32>(m, k, n, seed);
    }

    #[test]
    fn infinities_and_nans_go_where_arithmetic_puts_them(m in 1usize..6, k in 1usize..6, n in 1usize..6, picks: u64) {
        let special = [0.0, -0.0, 1.0, -2.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e3];
        let pick = |seed: u64, len: usize| -> Vec<f64> {
            (0..len as u64).map(|index| special[(random::word(seed, index) % 8) as usize]).collect()
        };
        let (a, b) = (pick(picks, m * k), pick(!picks, k * n));
        let expected = naive(&a, &b, m, k, n);
        assert_near::<f64>(&product(dense(m, k, a.clone()), dense(k, n, b.clone())), &expected);
        let short = |numbers: Vec<f64>| numbers.into_iter().map(|x| x as f32).collect::<Vec<_>>();
        let (short_a, short_b) = (short(a.clone()), short(b.clone()));
        assert_near(&in_blocks(&short_a, &short_b, [m, k, n], &SHARE, &Cancel::new()), &expected);
        assert_near::<f32>(&product(dense(m, k, short_a), dense(k, n, short_b)), &expected);
        assert_near(&in_blocks(&a, &b, [m, k, n], &SHARE, &Cancel::new()), &expected);
    }
}

#[test]
fn long_dot_products_of_floats_are_as_near_as_is_promised() {
    for (m, k, n) in [(33, 4096, 31), (1, 4096, 9), (300, 3000, 1)] {
        let (a, b) = (made::<f32>(m, k, 1), made::<f32>(k, n, 2));
        let expected = naive(&a, &b, m, k, n);
        assert_near::<f32>(&product(dense(m, k, a), dense(k, n, b)), &expected);
    }
}

#[test]
fn blocks_of_all_sizes_make_the_naive_product_whoever_computes_them() {
    // A block and a little more, or less, of each dimension; whole panels, and not.
    for (m, k, n) in
        [(145, 345, 1025), (149, 700, 70), (64, 64, 4129), (100, 70, 4500), (300, 129, 64), (144, 344, 4128)]
    {
        assert_in_blocks::<f64>([m, k, n]);
        assert_in_blocks::<f32>([m, k, n]);
    }
}

fn assert_in_blocks<T: Multiplied + std::fmt::Debug>(shape @ [m, k, n]: [usize; 3]) {
    let (a, b) = (made::<T>(m, k, 1), made::<T>(k, n, 2));
    let whole = in_blocks(&a, &b, shape, &SHARE, &Cancel::new());
    assert_near(&whole, &naive(&a, &b, m, k, n));
    // Strips of one block of columns of 128 rows; halves of halves; and a few rows at a time.
    let few = Share { helped: 1 << 16, alone: 1024 * (128 * k * size_of::<T>()) as u64, rows: 128 };
    for share in [SHARE, few, Share { alone: 1 << 16, ..SHARE }] {
        for cancel in [Cancel::new(), Cancel::new().helped_by(&Cores::new(7))] {
            let parts = in_blocks(&a, &b, shape, &share, &cancel);
            assert!(parts == whole, "{m} x {k} x {n} of {}", T::ELEMENT);
        }
    }
}

#[test]
fn a_product_in_blocks_stops_when_its_time_is_up() {
    let n = 1500;
    let zeros = vec![0.0; n * n];
    let cancel = Cancel::new().started(Some(Duration::from_millis(5)));
    let result = blocked::multiply(&mut zeros.clone(), &zeros, &zeros, [n; 3], &SHARE, &cancel);
    assert_eq!(result.unwrap_err().code, ErrorCode::Timeout);
}

#[test]
fn factors_of_two_types_are_refused() {
    let (a, b) = (dense(1, 1, vec![1.0f32]), dense(1, 1, vec![1.0f64]));
    let error = run(a.clone(), b.clone(), false).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidInput);
    assert!(error.message.starts_with("a is of dtype f32 and b of f64"), "{error}");
    assert_eq!(MatMul.run(Input { a, b, summary: false }, &Cancel::new()).unwrap_err(), error);
}

#[test]
fn a_product_that_is_shared_is_the_same_to_the_bit_and_its_summary_too() {
    let cancel = || Cancel::new().helped_by(&Cores::new(3));
    for (m, k, n) in [(700, 700, 700), (300, 4000, 350), (1, 1 << 16, 600), (1 << 16, 600, 1)] {
        for (element, summary) in Element::ALL.into_iter().flat_map(|e| [(e, false), (e, true)]) {
            let random = |rows, columns, seed| random_of(element, rows, columns, seed);
            let input = || Input { a: random(m, k, 1), b: random(k, n, 2), summary };
            let alone = MatMul.run(input(), &Cancel::new()).unwrap();
            assert_eq!(MatMul.run(input(), &cancel()).unwrap(), alone, "{m} x {k} x {n} of {element}");
        }
    }
}

#[test]
fn a_product_over_nothing_is_zero_and_an_empty_one_is_empty() {
    assert_eq!(product::<f64>(dense::<f64>(2, 0, vec![]), dense::<f64>(0, 3, vec![])), [0.0; 6]);
    assert_eq!(product::<f32>(dense::<f32>(1, 0, vec![]), dense::<f32>(0, 3, vec![])), [0.0; 3]);
    assert!(product::<f64>(dense::<f64>(0, 2, vec![]), dense(2, 3, vec![1.0; 6])).is_empty());
    for element in Element::ALL {
        let random = |rows, columns| random_of(element, rows, columns, 1);
        let empty = run(random(0, 5), random(5, 0), true).unwrap();
        assert_eq!(empty, Output::Summary { shape: [0, 0], sum: 0.0, trace: 0.0 });
        for (m, k, n) in [(u64::MAX, 0, 0), (0, u64::MAX, 0), (0, 0, u64::MAX)] {
            let output = run(random(m, k), random(k, n), false).unwrap();
            let elements = Buffer::default();
            assert_eq!(output, Output::Product(Matrix { element, rows: m, columns: n, elements }));
        }
    }
}

#[test]
fn generated_operands_are_what_their_seeds_say_and_a_summary_adds_the_product_up() {
    assert_adds_up::<f64>();
    // In doubles: added up in floats it would be off by more.
    assert_adds_up::<f32>();
}

fn assert_adds_up<T: Real + std::fmt::Debug>() {
    let c: Vec<T> = product(dense(70, 30, made::<T>(70, 30, 5)), dense(30, 50, made::<T>(30, 50, 6)));
    let random = |rows, columns, seed| random_of(T::ELEMENT, rows, columns, seed);
    assert_eq!(product::<T>(random(70, 30, 5), random(30, 50, 6)), c);
    let Output::Summary { shape, sum, trace } = run(random(70, 30, 5), random(30, 50, 6), true).unwrap()
    else {
        panic!("asked for a summary")
    };
    let c: Vec<f64> = c.into_iter().map(Into::into).collect();
    assert_eq!(shape, [70, 50]);
    assert!((sum - c.iter().sum::<f64>()).abs() < 1e-12 * sum);
    assert!((trace - (0..50).map(|i| c[i * 50 + i]).sum::<f64>()).abs() < 1e-12 * trace);
}

#[test]
fn a_flat_product_has_a_trace() {
    let expected: f64 = naive::<f64>(&made(3, 4, 1), &made(4, 9, 2), 3, 4, 9).iter().step_by(10).sum();
    let Output::Summary { trace, .. } = run(random(3, 4, 1), random(4, 9, 2), true).unwrap() else {
        panic!("asked for a summary")
    };
    assert!((trace - expected).abs() < 1e-12 * expected);
}

#[test]
fn shapes_that_do_not_fit_are_invalid() {
    let error = run(random(2, 3, 1), random(4, 5, 1), false).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidInput);
    assert!(error.message.contains("a is 2 x 3 and b is 4 x 5"), "{error}");
    for elements in [0, 5, 7] {
        let error = run(dense(2, 3, vec![0.0; elements]), random(3, 2, 1), false).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInput);
    }
}

#[test]
fn sizes_beyond_memory_are_refused_before_anything_is_allocated() {
    let huge = 4_000_000_000;
    for (a, b) in [
        (random(huge, huge, 1), random(huge, huge, 2)),
        (random(huge, 0, 1), random(0, huge, 2)),
        (random(u64::MAX, 1, 1), random(1, u64::MAX, 2)),
        (random(1 << 61, 1, 1), random(1, 1, 2)),
        (dense::<f64>(0, usize::MAX, vec![]), random(u64::MAX, 1 << 32, 2)),
    ] {
        let input = Input { a, b, summary: true };
        assert_eq!(MatMul.cost(&input).unwrap_err().code, ErrorCode::TooLarge);
    }
}

#[test]
fn cost_counts_the_product_and_what_is_generated() {
    let cost = |a, b| MatMul.cost(&Input { a, b, summary: false }).unwrap();
    assert_eq!(cost(dense(2, 3, vec![0.0; 6]), random(3, 5, 1)).memory, 8 * (2 * 5 + 3 * 5));
    // Terabytes: for a worker's limit to refuse.
    assert_eq!(cost(random(1 << 20, 1 << 20, 1), random(1 << 20, 1 << 20, 1)).memory, 3 << 43);
    assert!(cost(random(1 << 20, 1 << 20, 1), random(1 << 20, 1 << 20, 1)).seconds > 1e6);
    // Half as many bytes, and half as long.
    let floats = |rows, columns| random_of(Element::F32, rows, columns, 1);
    assert_eq!(cost(dense(2, 3, vec![0.0f32; 6]), floats(3, 5)).memory, 4 * (2 * 5 + 3 * 5));
    let halves = cost(floats(64, 64), floats(64, 64)).seconds * 2.0;
    assert_eq!(halves, cost(random(64, 64, 1), random(64, 64, 1)).seconds);
    let (a, b) = (floats(1 << 61, 1), floats(1, 2));
    assert_eq!(MatMul.cost(&Input { a, b, summary: true }).unwrap_err().code, ErrorCode::TooLarge);
}

#[test]
fn a_product_whose_time_is_up_stops_while_it_is_generated_and_while_it_is_computed() {
    // Neither the numbers nor the product of these can be made in a millisecond.
    let (few, many) = (dense(1, 3000, vec![0.0; 3000]), random(3000, 3000, 1));
    let square = dense(1500, 1500, vec![0.0; 1500 * 1500]);
    for (a, b) in [(few, many), (square.clone(), square)] {
        let cancel = Cancel::new().started(Some(Duration::from_millis(1)));
        let result = MatMul.run(Input { a, b, summary: true }, &cancel);
        assert_eq!(result.unwrap_err().code, ErrorCode::Timeout);
    }
}

#[test]
fn a_cancelled_product_stops() {
    let cancel = Cancel::new();
    cancel.cancel();
    let result = MatMul.run(Input { a: random(9, 9, 1), b: random(9, 9, 2), summary: true }, &cancel);
    assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
}
