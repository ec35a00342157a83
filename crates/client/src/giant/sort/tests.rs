use super::*;
use crate::local::LocalKernels;
use proptest::prelude::*;
use sgdt_proto::{kind::random, task::ErrorCode};

/// What the runs add up to, and how many there were.
fn sorted(keys: Keys, descending: bool, pieces: u32, memory: u64) -> Result<(Vec<u8>, usize), GiantError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (hands, limits) = (Hands::Local(LocalKernels::new()), Limits { memory, verify: true, timeout: None });
    let (_, buffer) = parts(keys.clone()).expect("what is cut into ranges");
    let mut whole = vec![0; buffer.len()];
    drop(buffer);
    let mut count = 0;
    let put = async |Run { offset, bytes }: Run| {
        whole[offset..][..bytes.len()].copy_from_slice(bytes.as_bytes());
        count += 1;
        Ok(())
    };
    runtime.block_on(runs(&hands, keys, descending, pieces, limits, put))?;
    Ok((whole, count))
}

fn integers(keys: &[i64]) -> Keys {
    Keys::Numbers { number: Number::I64, buffer: Buffer::from_scalars(keys.to_vec()) }
}

fn assert_sorts_integers(keys: &[i64], pieces: u32) {
    for descending in [false, true] {
        let mut expected = keys.to_vec();
        expected.sort_unstable();
        if descending {
            expected.reverse();
        }
        let (bytes, _) = sorted(integers(keys), descending, pieces, 1 << 20).unwrap();
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, i64>(&bytes), expected);
    }
}

#[test]
fn skewed_and_equal_keys_are_sorted() {
    let words: Vec<i64> = (0..20_000).map(|i| random::word(1, i).cast_signed()).collect();
    assert_sorts_integers(&words, 7);
    assert_sorts_integers(&words.iter().map(|word| word % 3).collect::<Vec<_>>(), 7);
    assert_sorts_integers(&words.iter().map(|word| word >> (word & 63)).collect::<Vec<_>>(), 16);
    assert_sorts_integers(&[i64::MIN; 1000], 16);
    assert_sorts_integers(&[], 16);
    assert_sorts_integers(&[5], 16);
    let (_, count) = sorted(integers(&[3; 50_000]), false, 8, 1 << 20).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn integers_without_a_sign_are_cut_by_their_own_order() {
    let mut words: Vec<u64> = (0..20_000).map(|i| random::word(1, i) >> (i % 3)).collect();
    let keys = Keys::Numbers { number: Number::U64, buffer: Buffer::from_scalars(words.clone()) };
    words.sort_unstable();
    for descending in [false, true] {
        let (bytes, _) = sorted(keys.clone(), descending, 7, 1 << 20).unwrap();
        assert!(bytemuck::pod_collect_to_vec::<u8, u64>(&bytes) == words, "descending: {descending}");
        words.reverse();
    }
}

#[test]
fn pieces_become_more_when_memory_is_little() {
    assert_eq!(needed(1 << 20, 4, 1 << 30), 4);
    assert_eq!(needed(1 << 20, 4, 1 << 16), 32);
    assert_eq!(needed(usize::MAX >> 1, 4, 0), 1 << 12);
    let words: Vec<i64> = (0..10_000).map(|i| random::word(1, i).cast_signed()).collect();
    let (_, count) = sorted(integers(&words), false, 2, 30_000).unwrap();
    assert!(count > 10, "{count}");
}

#[test]
fn doubles_are_in_total_order_with_every_nan_last_whichever_way() {
    let special = [f64::NAN, -f64::NAN, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 5e-324, -1.5];
    let numbers: Vec<f64> = (0..5000)
        .map(|i| if i % 3 == 0 { special[i as usize % 8] } else { f64::from_bits(random::word(2, i)) })
        .collect();
    for descending in [false, true] {
        let keys = Keys::Numbers { number: Number::F64, buffer: Buffer::from_scalars(numbers.clone()) };
        let (whole, _) = sorted(keys.clone(), descending, 1, u64::MAX).unwrap();
        let (cut, _) = sorted(keys, descending, 9, 1 << 16).unwrap();
        assert!(whole == cut, "descending: {descending}");
    }
}

#[test]
fn what_is_not_cut_into_ranges_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hands = Hands::Local(LocalKernels::new());
    let odd = Keys::Numbers { number: Number::I64, buffer: vec![0; 7].into() };
    for keys in [Keys::Random { number: Number::I64, len: 1, seed: 1 }, odd] {
        let put = async |_| Ok(());
        let error = runtime.block_on(runs(&hands, keys, false, 2, Limits::default(), put)).unwrap_err();
        assert!(matches!(error, GiantError::Task(error) if error.code == ErrorCode::InvalidInput));
    }
}

#[test]
fn an_answer_of_another_length_or_type_is_no_run() {
    let run = |range, output| run(range, Some(Number::I64), output);
    assert!(run(0..16, Output::Sorted(integers(&[1, 2]))).is_ok());
    assert!(run(0..16, Output::Sorted(integers(&[1]))).is_err());
    let (number, buffer) = (Number::U64, Buffer::from_scalars(vec![1u64, 2]));
    assert!(run(0..16, Output::Sorted(Keys::Numbers { number, buffer })).is_err());
    assert!(run(0..0, Output::Summary { len: 0, first: None, last: None, sum: None }).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn lines_are_sorted_as_if_they_had_not_been_cut(
        lines in prop::collection::vec("[ab\u{e9}]{0,4}", 0..200), pieces in 1u32..9, descending: bool,
    ) {
        let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let (bytes, _) = sorted(Keys::Lines(text.clone().into_bytes().into()), descending, pieces, 1 << 16).unwrap();
        let mut lines = lines;
        lines.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        if descending {
            lines.reverse();
        }
        text = lines.iter().map(|line| format!("{line}\n")).collect();
        prop_assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }
}
