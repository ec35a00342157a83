//! `sort`: integers with or without a sign, doubles, strings, or the lines of a text, on the thread of its slot and those of
//! idle ones.
//!
//! - `numbers` and `strings` take the input's buffers apart, and make the output's;
//! - [`order`](sgdt_proto::kind::sort::order) makes 64-bit keys of numbers, and `text` of eight bytes of strings at
//!   a time;
//! - `radix` sorts by such keys, in place, and `vector` numbers where there is AVX-512; `halves` is how two threads do, and
//!   `each` changes words by vectors;
//! - [`within`] sorts outside of tasks, within memory that is given.
//!
//! Peak memory beside the input: numbers are sorted where they lie, with a MiB to help for each thread (with AVX-512 only for
//! lists that part badly again and again), unless they did not arrive aligned or are still held by somebody else, and are then
//! copied once. Generated numbers take their own size. Strings and lines take 25 bytes each, and the output, which is as large as the input.

mod each;
mod halves;
mod numbers;
mod radix;
mod strings;
mod text;
#[cfg(target_arch = "x86_64")]
mod vector;
pub mod within;

use super::{Cost, Kernel};
use crate::cancel::Cancel;
use sgdt_proto::{
    buffer::Buffer,
    kind::sort::{Input, KIND, Keys, Output},
    task::TaskError,
};
use text::Texts;

/// The kernel of `sort`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sort;

/// Numbers that one core sorts in a second, roughly.
const NUMBERS: f64 = 8e7;

/// Bytes of strings that one core sorts in a second, roughly.
const BYTES: f64 = 1e8;

/// What helps to sort so many bytes, at most, in bytes: of two threads.
fn scratch(bytes: u64) -> u64 {
    bytes.min(2 * radix::LEAF_BYTES as u64)
}

impl Kernel for Sort {
    type Input = Input;
    type Output = Output;

    fn kind(&self) -> &str {
        KIND
    }

    fn cost(&self, input: &Input) -> Result<Cost, TaskError> {
        let strings = |bytes: &Buffer, count: u64| {
            let each = count.saturating_mul(Texts::BYTES_EACH + size_of::<u64>() as u64);
            let memory = each + bytes.len() as u64 + 1 + scratch(each);
            Cost { seconds: bytes.len() as f64 / BYTES, memory }
        };
        Ok(match &input.keys {
            Keys::Numbers { buffer, .. } => {
                let copied = if numbers::aligned(buffer) { 0 } else { buffer.len() as u64 };
                let memory = copied + scratch(buffer.len() as u64);
                Cost { seconds: numbers::count(buffer)? as f64 / NUMBERS, memory }
            }
            Keys::Random { len, .. } => {
                let bytes = len.saturating_mul(size_of::<u64>() as u64);
                Cost { seconds: *len as f64 / NUMBERS, memory: bytes.saturating_add(scratch(bytes)) }
            }
            Keys::Text { bytes, lengths } => strings(bytes, numbers::count(lengths)?),
            Keys::Lines(bytes) => strings(bytes, strings::count_lines(bytes.as_bytes()) as u64),
        })
    }

    fn run(&self, Input { keys, descending, summary }: Input, cancel: &Cancel) -> Result<Output, TaskError> {
        match keys {
            Keys::Numbers { number, buffer } => {
                numbers::sort(number, numbers::take(buffer)?, descending, summary, cancel)
            }
            Keys::Random { number, len, seed } => {
                let words = numbers::generate(number, len, seed, cancel)?;
                numbers::sort(number, words, descending, summary, cancel)
            }
            Keys::Text { bytes, lengths } => {
                strings::sort_strings(&bytes, lengths, descending, summary, cancel)
            }
            Keys::Lines(bytes) => strings::sort_lines(&bytes, descending, summary, cancel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sgdt_proto::{
        kind::{
            random,
            sort::{Key, Number, order},
        },
        task::ErrorCode,
    };
    use std::time::Duration;

    fn run(keys: Keys, descending: bool, summary: bool) -> Result<Output, TaskError> {
        let input = Input { keys, descending, summary };
        Sort.cost(&input)?;
        Sort.run(input, &Cancel::new())
    }

    fn sorted(keys: Keys, descending: bool) -> Keys {
        match run(keys, descending, false).unwrap() {
            Output::Sorted(keys) => keys,
            Output::Summary { .. } => panic!("asked for the keys"),
        }
    }

    fn integers(numbers: &[i64]) -> Keys {
        Keys::Numbers { number: Number::I64, buffer: Buffer::from_scalars(numbers.to_vec()) }
    }

    fn naturals(numbers: &[u64]) -> Keys {
        Keys::Numbers { number: Number::U64, buffer: Buffer::from_scalars(numbers.to_vec()) }
    }

    fn doubles(numbers: &[f64]) -> Keys {
        Keys::Numbers { number: Number::F64, buffer: Buffer::from_scalars(numbers.to_vec()) }
    }

    fn random(len: u64) -> Keys {
        Keys::Random { number: Number::I64, len, seed: 1 }
    }

    fn text(strings: &[&str]) -> Keys {
        let lengths = strings.iter().map(|string| string.len() as u64).collect();
        Keys::Text {
            bytes: strings.concat().into_bytes().into(),
            lengths: Buffer::from_scalars::<u64>(lengths),
        }
    }

    fn lines(text: &[u8]) -> Keys {
        Keys::Lines(text.to_vec().into())
    }

    proptest! {
        #[test]
        fn integers_are_sorted_as_the_standard_library_does(mut numbers: Vec<i64>) {
            let keys = integers(&numbers);
            numbers.sort_unstable();
            prop_assert_eq!(sorted(keys.clone(), false), integers(&numbers));
            numbers.reverse();
            prop_assert_eq!(sorted(keys, true), integers(&numbers));
        }

        #[test]
        fn integers_without_a_sign_are_sorted_as_the_standard_library_does(mut numbers: Vec<u64>) {
            let keys = naturals(&numbers);
            numbers.sort_unstable();
            prop_assert_eq!(sorted(keys.clone(), false), naturals(&numbers));
            numbers.reverse();
            prop_assert_eq!(sorted(keys, true), naturals(&numbers));
        }

        #[test]
        fn doubles_are_in_total_order_and_nans_last_whichever_way(mut bits: Vec<u64>, specials in 0usize..20) {
            let special = [f64::NAN, -f64::NAN, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY];
            bits.extend(special.iter().cycle().take(specials).map(|x| x.to_bits()));
            let numbers: Vec<_> = bits.into_iter().map(f64::from_bits).collect();
            for descending in [false, true] {
                let Keys::Numbers { number: Number::F64, buffer: result } = sorted(doubles(&numbers), descending) else {
                    panic!("doubles")
                };
                let result: Vec<f64> = result.into_scalars().unwrap();
                let (mut expected, nans): (Vec<f64>, Vec<f64>) = numbers.iter().partition(|x| !x.is_nan());
                expected.sort_unstable_by(f64::total_cmp);
                if descending {
                    expected.reverse();
                }
                prop_assert!(result.iter().map(|x| x.to_bits()).take(expected.len()).eq(expected.iter().map(|x| x.to_bits())));
                let tail = &result[expected.len()..];
                prop_assert!(tail.len() == nans.len() && tail.iter().all(|x| x.is_nan()));
            }
        }

        #[test]
        fn strings_are_sorted_by_their_bytes(mut strings: Vec<String>) {
            let keys = text(&strings.iter().map(String::as_str).collect::<Vec<_>>());
            strings.sort_unstable();
            prop_assert_eq!(sorted(keys.clone(), false), text(&strings.iter().map(String::as_str).collect::<Vec<_>>()));
            strings.reverse();
            prop_assert_eq!(sorted(keys, true), text(&strings.iter().map(String::as_str).collect::<Vec<_>>()));
        }

        #[test]
        fn lines_are_sorted_by_their_bytes(bytes in prop::collection::vec(prop::sample::select(b"\n\nab\0\xff".to_vec()), 0..200)) {
            let mut expected: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
            for line in &mut expected {
                *line = line.strip_suffix(b"\n").unwrap_or(line);
            }
            expected.sort_unstable();
            let joined = |lines: &[&[u8]]| lines.iter().flat_map(|line| [line, b"\n".as_slice()]).collect::<Vec<_>>().concat();
            prop_assert_eq!(sorted(lines(&bytes), false), lines(&joined(&expected)));
            expected.reverse();
            prop_assert_eq!(sorted(lines(&bytes), true), lines(&joined(&expected)));
        }
    }

    #[test]
    fn long_lists_of_numbers_are_sorted_by_their_keys_either_way() {
        // Shorter and longer than what is worth another thread.
        for (number, len) in Number::ALL.into_iter().flat_map(|number| [(number, 1000), (number, 300_000)]) {
            let bits: Vec<u64> = (0..len).map(|i| random::word(8, i) << (i % 50)).collect();
            for descending in [false, true] {
                let key = |&bits: &u64| order::key(number, bits, descending);
                let mut expected = bits.clone();
                expected.sort_unstable_by_key(key);
                let keys = Keys::Numbers { number, buffer: Buffer::from_scalars(bits.clone()) };
                let Keys::Numbers { buffer, .. } = sorted(keys, descending) else { panic!("no numbers") };
                assert!(buffer.into_scalars::<u64>().unwrap() == expected, "{len} of {number}, {descending}");
            }
        }
    }

    #[test]
    fn memory_that_helps_is_no_more_than_what_is_sorted() {
        let memory =
            |len| Sort.cost(&Input { keys: random(len), descending: false, summary: true }).unwrap().memory;
        assert_eq!(memory(1000), 16_000);
        assert_eq!(memory(10_000_000), 80_000_000 + 2 * radix::LEAF_BYTES as u64);
    }

    #[test]
    fn lines_come_out_as_sort_writes_them() {
        for (text, expected) in [
            ("", ""),
            ("\n", "\n"),
            ("b\na", "a\nb\n"),
            ("b\n\na\n", "\na\nb\n"),
            ("B\na\nab\na b\n", "B\na\na b\nab\n"),
            ("x\r\nx\n", "x\nx\r\n"),
        ] {
            assert_eq!(sorted(lines(text.as_bytes()), false), lines(expected.as_bytes()), "{text:?}");
        }
        assert_eq!(sorted(lines(b"\xff\n\xfe\n\x80"), false), lines(b"\x80\n\xfe\n\xff\n"));
    }

    #[test]
    fn numbers_are_sorted_where_they_lie() {
        let numbers: Vec<i64> = (0..1000).rev().collect();
        let place = numbers.as_ptr() as usize;
        let keys = Keys::Numbers { number: Number::I64, buffer: Buffer::from_scalars(numbers) };
        let Keys::Numbers { buffer, .. } = sorted(keys, false) else { panic!("numbers") };
        assert_eq!(buffer.as_bytes().as_ptr() as usize, place);
    }

    #[test]
    fn generated_numbers_are_what_their_seed_says() {
        let mut expected: Vec<i64> = (0..1000).map(|index| random::word(3, index).cast_signed()).collect();
        expected.sort_unstable();
        let random = |number| Keys::Random { number, len: 1000, seed: 3 };
        let mut naturals_made: Vec<u64> = (0..1000).map(|index| random::word(3, index)).collect();
        naturals_made.sort_unstable();
        assert_eq!(sorted(random(Number::U64), false), naturals(&naturals_made));
        let mut units: Vec<f64> = (0..1000).map(|index| random::unit(3, index)).collect();
        units.sort_unstable_by(f64::total_cmp);
        assert_eq!(sorted(random(Number::F64), false), doubles(&units));
        let keys = random(Number::I64);
        assert_eq!(sorted(keys.clone(), false), integers(&expected));
        let Output::Summary { len, first, last, sum } = run(keys, true, true).unwrap() else {
            panic!("asked for a summary")
        };
        assert_eq!((len, sum), (1000, Some(expected.iter().map(|&x| i128::from(x)).sum())));
        assert_eq!((first, last), (Some(Key::I64(expected[999])), Some(Key::I64(expected[0]))));
    }

    #[test]
    fn summaries_name_both_ends() {
        let summary = |keys, descending| match run(keys, descending, true).unwrap() {
            Output::Summary { len, first, last, sum } => (len, first, last, sum),
            Output::Sorted(_) => panic!("asked for a summary"),
        };
        assert_eq!(summary(integers(&[]), false), (0, None, None, Some(0)));
        let extremes = [i64::MAX; 3];
        let (_, _, _, sum) = summary(integers(&extremes), false);
        assert_eq!(sum, Some(3 * i128::from(i64::MAX)), "more than 64 bits");
        let extremes = [u64::MAX; 3];
        let (_, first, _, sum) = summary(naturals(&extremes), false);
        assert_eq!((first, sum), (Some(Key::U64(u64::MAX)), Some(3 * i128::from(u64::MAX))));
        let ends = |a, b| (2, Some(a), Some(b), None);
        assert_eq!(summary(doubles(&[2.0, -1.0]), false), ends(Key::F64(-1.0), Key::F64(2.0)));
        assert_eq!(summary(text(&["b", "a"]), true), ends(Key::Text("b".into()), Key::Text("a".into())));
        assert_eq!(
            summary(lines(b"\xff\na"), false),
            ends(Key::Text("a".into()), Key::Text("\u{fffd}".into()))
        );
    }

    #[test]
    fn buffers_that_do_not_hold_what_they_are_said_to_are_invalid() {
        let odd = || Buffer::from(vec![0; 9]);
        let lengths = |lengths: &[u64]| Buffer::from_scalars(lengths.to_vec());
        let bytes = || Buffer::from(b"abc".to_vec());
        for keys in [
            Keys::Numbers { number: Number::I64, buffer: odd() },
            Keys::Numbers { number: Number::F64, buffer: odd() },
            Keys::Text { bytes: bytes(), lengths: odd() },
            Keys::Text { bytes: bytes(), lengths: lengths(&[1, 1]) },
            Keys::Text { bytes: bytes(), lengths: lengths(&[2, 2]) },
            Keys::Text { bytes: bytes(), lengths: lengths(&[4, u64::MAX]) },
            Keys::Text { bytes: bytes(), lengths: lengths(&[u64::MAX, 4]) },
            Keys::Text { bytes: bytes(), lengths: lengths(&[]) },
        ] {
            assert_eq!(
                run(keys.clone(), false, false).unwrap_err().code,
                ErrorCode::InvalidInput,
                "{keys:?}"
            );
        }
    }

    #[test]
    fn strings_need_not_be_unicode() {
        let keys =
            Keys::Text { bytes: vec![0xff, 0x80].into(), lengths: Buffer::from_scalars(vec![1u64, 1]) };
        let expected =
            Keys::Text { bytes: vec![0x80, 0xff].into(), lengths: Buffer::from_scalars(vec![1u64, 1]) };
        assert_eq!(sorted(keys, false), expected);
    }

    #[test]
    fn more_numbers_than_memory_can_hold_are_refused_before_they_are_made() {
        for len in [u64::MAX, u64::MAX / 8, 1 << 60] {
            assert_eq!(run(random(len), false, true).unwrap_err().code, ErrorCode::TooLarge);
        }
        let input = Input { keys: random(u64::MAX), descending: false, summary: true };
        assert_eq!(Sort.cost(&input).unwrap().memory, u64::MAX);
    }

    #[test]
    fn sorts_whose_time_is_up_stop() {
        let million: Vec<u8> =
            (0..100_000u64).flat_map(|i| random::word(1, i).to_string().into_bytes()).collect();
        let broken = million.chunks(5).collect::<Vec<_>>().join(&b'\n');
        for keys in [random(3_000_000), Keys::Lines(broken.into())] {
            let cancel = Cancel::new().started(Some(Duration::from_millis(1)));
            let result = Sort.run(Input { keys, descending: false, summary: true }, &cancel);
            assert_eq!(result.unwrap_err().code, ErrorCode::Timeout);
        }
    }
}
