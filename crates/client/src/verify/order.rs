//! Sorted keys: in order, and the same as before. Two lists have the same keys if the sums of their keys' hashes agree,
//! but for a chance of about 2^-64 (Wegman and Carter, "New hash functions and their use in authentication and set
//! equality", JCSS 22, 1981): the hashes are seeded anew for every check.

use super::{Check, Checkable};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    buffer::Buffer,
    kind::{
        random::word,
        sort::{Input, Keys, Output, order},
    },
};
use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
};

impl Checkable for Input {
    fn check(self) -> Option<Check> {
        (!self.summary).then(|| Check::new(move |output| judge(&self, &output)))
    }
}

fn judge(input: &Input, output: &Output) -> Result<(), String> {
    let Output::Sorted(sorted) = output else { return Err("it is a summary".to_owned()) };
    let descending = input.descending;
    match (&input.keys, sorted) {
        (Keys::Numbers { number, buffer }, Keys::Numbers { number: same, buffer: after })
            if number == same =>
        {
            numbers(&words(buffer)?, &words(after)?, |word| order::key(*number, word, descending))
        }
        (Keys::Random { number, len, seed }, Keys::Numbers { number: same, buffer }) if number == same => {
            let before: Vec<u64> = (0..*len).map(|index| number.random(*seed, index)).collect();
            numbers(&before, &words(buffer)?, |word| order::key(*number, word, descending))
        }
        (Keys::Text { bytes, lengths }, Keys::Text { bytes: after, lengths: sorted }) => {
            strings(texts(bytes, lengths)?.into_iter(), texts(after, sorted)?.into_iter(), descending)
        }
        (Keys::Lines(before), Keys::Lines(after)) => {
            strings(lines(before.as_bytes()), lines(after.as_bytes()), descending)
        }
        _ => Err("its keys are of another type".to_owned()),
    }
}

fn numbers(before: &[u64], after: &[u64], key: impl Fn(u64) -> u64) -> Result<(), String> {
    if let Some(place) = after.windows(2).position(|pair| key(pair[0]) > key(pair[1])) {
        return Err(format!("keys {place} and {} are not in order", place + 1));
    }
    let seed = SmallRng::from_os_rng().random();
    // Keys that differ have hashes that differ.
    let sum = |words: &[u64]| Sum {
        count: words.len() as u64,
        hashes: words.iter().fold(0, |sum: u64, &key| sum.wrapping_add(word(seed, key))),
    };
    same(sum(before), sum(after))
}

fn strings<'a>(
    before: impl Iterator<Item = &'a [u8]>,
    after: impl Iterator<Item = &'a [u8]>,
    descending: bool,
) -> Result<(), String> {
    let hasher = RandomState::new();
    let (mut sent, mut came, mut last) = (Sum::default(), Sum::default(), None);
    before.for_each(|key| sent.add(&hasher, key));
    for key in after {
        if last.is_some_and(|last| if descending { last < key } else { last > key }) {
            return Err(format!("keys {} and {} are not in order", came.count - 1, came.count));
        }
        came.add(&hasher, key);
        last = Some(key);
    }
    same(sent, came)
}

/// What lists of the same keys have in common, in whatever order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sum {
    count: u64,
    hashes: u64,
}

impl Sum {
    /// One key more.
    pub(crate) fn add(&mut self, hasher: &RandomState, key: &[u8]) {
        self.count += 1;
        self.hashes = self.hashes.wrapping_add(hasher.hash_one(key));
    }

    /// Both lists together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, hashes: self.hashes.wrapping_add(other.hashes) }
    }
}

fn same(before: Sum, after: Sum) -> Result<(), String> {
    if before == after { Ok(()) } else { Err("its keys are not those that were sent".to_owned()) }
}

fn words(buffer: &Buffer) -> Result<Cow<'_, [u64]>, String> {
    buffer.scalars().map_err(|len| format!("{len} bytes are no whole number of 64-bit numbers"))
}

fn texts<'a>(bytes: &'a Buffer, lengths: &Buffer) -> Result<Vec<&'a [u8]>, String> {
    let mut rest = bytes.as_bytes();
    let mut texts = Vec::new();
    for &length in words(lengths)?.iter() {
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (text, after) = split.ok_or("its strings are longer than its text")?;
        texts.push(text);
        rest = after;
    }
    if rest.is_empty() { Ok(texts) } else { Err("its strings are shorter than its text".to_owned()) }
}

/// The lines; the last may lack its line feed.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::{
        buffer::Scalar,
        kind::sort::Number,
        payload::{Format, Payload},
    };

    fn verdict(keys: Keys, descending: bool, sorted: Keys) -> Result<(), String> {
        let input = Input { keys, descending, summary: false };
        let output = Payload::encode(Format::Packed, &Output::Sorted(sorted)).unwrap();
        input.check().unwrap().judge(output)
    }

    fn numbers_of<T: Scalar>(number: Number, keys: &[T]) -> Keys {
        Keys::Numbers { number, buffer: Buffer::from_scalars(keys.to_vec()) }
    }

    fn i64s(keys: &[i64]) -> Keys {
        numbers_of(Number::I64, keys)
    }

    fn u64s(keys: &[u64]) -> Keys {
        numbers_of(Number::U64, keys)
    }

    fn text(keys: &[&str]) -> Keys {
        let lengths = keys.iter().map(|key| key.len() as u64).collect();
        Keys::Text { bytes: keys.concat().into_bytes().into(), lengths: Buffer::from_scalars::<u64>(lengths) }
    }

    fn lines_of(text: &str) -> Keys {
        Keys::Lines(text.as_bytes().to_vec().into())
    }

    #[test]
    fn what_is_in_order_and_complete_passes_and_nothing_else() {
        let keys = || i64s(&[3, -1, 2, 3]);
        assert_eq!(verdict(keys(), false, i64s(&[-1, 2, 3, 3])), Ok(()));
        assert_eq!(verdict(keys(), true, i64s(&[3, 3, 2, -1])), Ok(()));
        for wrong in [&[3, 3, 2, -1][..], &[-1, 2, 3], &[-1, 2, 2, 3], &[-1, 2, 3, 4], &[-1, 2, 3, 3, 3], &[]]
        {
            assert!(verdict(keys(), false, i64s(wrong)).is_err(), "{wrong:?}");
        }
        assert!(verdict(keys(), false, text(&[])).is_err());
        assert!(verdict(i64s(&[]), false, i64s(&[])).is_ok());
    }

    #[test]
    fn every_type_has_its_order() {
        let f64s = |keys: &[f64]| numbers_of(Number::F64, keys);
        assert!(verdict(f64s(&[f64::NAN, 1.0, -0.0, 0.0]), true, f64s(&[1.0, 0.0, -0.0, f64::NAN])).is_ok());
        assert!(verdict(f64s(&[f64::NAN, 1.0]), true, f64s(&[f64::NAN, 1.0])).is_err());
        assert!(verdict(text(&["b", "", "a"]), false, text(&["", "a", "b"])).is_ok());
        assert!(verdict(text(&["ab", "c"]), false, text(&["a", "bc"])).is_err());
        assert!(verdict(lines_of("b\na"), false, lines_of("a\nb\n")).is_ok());
        assert!(verdict(lines_of("b\na\n"), true, lines_of("a\nb\n")).is_err());
        // By their own order, and of their own type.
        assert!(verdict(u64s(&[u64::MAX, 1]), false, u64s(&[1, u64::MAX])).is_ok());
        assert!(verdict(u64s(&[u64::MAX, 1]), false, u64s(&[u64::MAX, 1])).is_err());
        assert!(verdict(u64s(&[u64::MAX, 1]), false, i64s(&[-1, 1])).is_err());
        let random = |number| Keys::Random { number, len: 100, seed: 3 };
        let mut made: Vec<i64> = (0..100).map(|index| word(3, index).cast_signed()).collect();
        made.sort_unstable();
        assert!(verdict(random(Number::I64), false, i64s(&made)).is_ok());
        assert!(verdict(random(Number::U64), false, u64s(bytemuck::cast_slice(&made))).is_err());
        let mut made: Vec<u64> = (0..100).map(|index| word(3, index)).collect();
        made.sort_unstable();
        assert!(verdict(random(Number::U64), false, u64s(&made)).is_ok());
    }
}
