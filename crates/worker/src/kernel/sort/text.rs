//! Sorting strings by their bytes.
//!
//! Strings are sorted by eight bytes at a time, read as a big-endian number, and only those that agree in them are
//! looked at again, eight bytes further or past what they all have in common. So each byte is read about once,
//! and bytes that decide nothing are never read (in the spirit of multikey quicksort: Bentley and Sedgewick,
//! "Fast algorithms for sorting and searching strings", SODA 1997; and of caching the bytes compared: Sinha and
//! Zobel's burstsort line of work). A few strings that agree are compared outright.

use super::radix;
use crate::cancel::Cancel;
use sgdt_proto::task::TaskError;

/// How many bytes are sorted by at a time.
const STEP: usize = size_of::<u64>();

/// At most this many strings are compared outright,
const FEW: usize = 32;

/// and at most this many bytes of them, which bounds the time that it takes.
const FEW_BYTES: usize = 1 << 20;

/// How many strings are handled between two looks at the cancel handle.
const BLOCK: usize = 1 << 14;

/// Strings to be put in order.
#[derive(Default)]
pub(super) struct Texts<'a> {
    items: Vec<Item<'a>>,
}

#[derive(Clone, Copy)]
struct Item<'a> {
    key: u64,
    text: &'a [u8],
}

/// What stands for a string, and has the bytes of it that are being sorted by.
pub(super) trait Keyed: Copy + Send {
    fn key(&self) -> u64;
    fn set_key(&mut self, key: u64);
}

impl Keyed for Item<'_> {
    fn key(&self) -> u64 {
        self.key
    }

    fn set_key(&mut self, key: u64) {
        self.key = key;
    }
}

impl<'a> Texts<'a> {
    /// What a string takes, in bytes, beside its bytes: itself, and the list of those to be looked at again.
    pub(super) const BYTES_EACH: u64 = size_of::<Item<'_>>() as u64 + 1;

    /// Takes the strings, of which there are `len`.
    ///
    /// # Errors
    /// `too-large` when there is no memory for them; `cancelled` or `timeout`; an error of the iterator's.
    pub(super) fn collect(
        texts: impl Iterator<Item = Result<&'a [u8], TaskError>>,
        len: usize,
        cancel: &Cancel,
    ) -> Result<Self, TaskError> {
        let mut items = Vec::new();
        items
            .try_reserve_exact(len)
            .map_err(|_| TaskError::too_large(format!("there is no memory left to sort {len} strings")))?;
        for (count, text) in texts.enumerate() {
            if count % BLOCK == 0 {
                cancel.check()?;
            }
            items.push(Item { key: 0, text: text? });
        }
        Ok(Self { items })
    }

    /// The strings.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator {
        self.items.iter().map(|item| item.text)
    }

    /// Puts them in order.
    ///
    /// # Errors
    /// `cancelled` or `timeout`; the strings are then in any order.
    pub(super) fn sort(&mut self, cancel: &Cancel) -> Result<(), TaskError> {
        sort(&mut self.items, &|item| item.text, cancel)
    }
}

/// Puts strings in order, whose bytes `text` gives.
///
/// # Errors
/// `cancelled` or `timeout`; the strings are then in any order.
pub(super) fn sort<'a, T: Keyed>(
    all: &mut [T],
    text: &(impl Fn(&T) -> &'a [u8] + Sync),
    cancel: &Cancel,
) -> Result<(), TaskError> {
    let mut scratch = Vec::new();
    // Strings that agree up to some depth: kept in a list, for they may do so for longer than a stack is deep.
    let mut pending = vec![(0..all.len(), 0)];
    while let Some((range, depth)) = pending.pop() {
        cancel.check()?;
        let base = range.start;
        let items = &mut all[range];
        if compare_few(items, depth, text) {
            continue;
        }
        let depth = depth + common_prefix(items, depth, text, cancel)?;
        for block in items.chunks_mut(BLOCK) {
            cancel.check()?;
            for item in block {
                item.set_key(key(text(item), depth));
            }
        }
        radix::sort(items, Keyed::key, &mut scratch, cancel)?;
        let (mut start, mut next_check) = (0, 0);
        while start < items.len() {
            if start >= next_check {
                cancel.check()?;
                next_check = start + BLOCK;
            }
            let end = end_of_equals(items, start, cancel)?;
            let alike = &mut items[start..end];
            if !compare_few(alike, depth, text) {
                // A string that ends here comes before one that goes on with zero bytes, which looks alike.
                let length = |item: &T| (text(item).len() - depth).min(STEP + 1) as u64;
                radix::sort(alike, length, &mut scratch, cancel)?;
                let ended = alike.partition_point(|item| length(item) <= STEP as u64);
                pending.push((base + start + ended..base + end, depth + STEP));
            }
            start = end;
        }
    }
    Ok(())
}

/// Sorts strings that agree up to `depth` if they are few and short.
fn compare_few<'a, T: Keyed>(items: &mut [T], depth: usize, text: &impl Fn(&T) -> &'a [u8]) -> bool {
    let few =
        items.len() <= FEW && items.iter().map(|item| text(item).len() - depth).sum::<usize>() <= FEW_BYTES;
    if few {
        items.sort_unstable_by(|a, b| text(a)[depth..].cmp(&text(b)[depth..]));
    }
    few || items.len() < 2
}

/// Where the strings end whose keys are that of the one at `start`.
fn end_of_equals<T: Keyed>(items: &[T], start: usize, cancel: &Cancel) -> Result<usize, TaskError> {
    let (own, mut end) = (items[start].key(), start);
    for block in items[start..].chunks(BLOCK) {
        // Most ends are near, and asking costs more than finding them.
        if end > start {
            cancel.check()?;
        }
        let equal = block.iter().take_while(|item| item.key() == own).count();
        end += equal;
        if equal < block.len() {
            break;
        }
    }
    Ok(end)
}

/// How many bytes of strings are compared between two looks at the cancel handle.
const COMPARED: usize = 1 << 22;

/// For how many bytes from `depth` on all strings agree.
fn common_prefix<'a, T: Keyed>(
    items: &[T],
    depth: usize,
    text: &impl Fn(&T) -> &'a [u8],
    cancel: &Cancel,
) -> Result<usize, TaskError> {
    let Some((first, rest)) = items.split_first() else { return Ok(0) };
    let mut common = &text(first)[depth..];
    // How many bytes were looked at since somebody asked. A string is a cache line at least.
    let mut seen = usize::MAX;
    for item in rest {
        if seen > COMPARED {
            cancel.check()?;
            seen = 0;
        }
        common = &common[..agreement(common, &text(item)[depth..])];
        seen += common.len() + 64;
        if common.is_empty() {
            return Ok(0);
        }
    }
    Ok(common.len())
}

/// How many bytes `a` and `b` agree in from their start.
fn agreement(a: &[u8], b: &[u8]) -> usize {
    const WIDE: usize = 32;
    let wide =
        a.as_chunks::<WIDE>().0.iter().zip(b.as_chunks::<WIDE>().0).take_while(|(a, b)| a == b).count();
    let done = wide * WIDE;
    done + a[done..].iter().zip(&b[done..]).take_while(|(a, b)| a == b).count()
}

/// The eight bytes at `depth`, with zeros after the end.
fn key(text: &[u8], depth: usize) -> u64 {
    let rest = text.get(depth..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => rest.iter().rev().fold(0, |key, &byte| key >> 8 | u64::from(byte) << 56),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sgdt_proto::{kind::random, task::ErrorCode};

    fn sorted(texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let cancel = Cancel::new();
        let mut sorted =
            Texts::collect(texts.iter().map(|text| Ok(text.as_slice())), texts.len(), &cancel).unwrap();
        sorted.sort(&cancel).unwrap();
        sorted.iter().map(<[u8]>::to_vec).collect()
    }

    #[track_caller]
    fn check(name: &str, texts: &[Vec<u8>]) {
        let mut expected = texts.to_vec();
        expected.sort_unstable();
        assert!(sorted(texts) == expected, "{name}");
    }

    /// Strings of a few letters, zero bytes among them, so that many agree for long and end inside each other.
    fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let letter = prop::sample::select(vec![0u8, 0, b'a', b'b', 255]);
        prop::collection::vec(prop::collection::vec(letter, 0..20), 0..300)
    }

    proptest! {
        #[test]
        fn strings_are_in_the_order_of_their_bytes(texts in texts(), prefix in 0usize..50) {
            check("random", &texts);
            let prefixed: Vec<_> = texts.iter().map(|text| [vec![b'x'; prefix], text.clone()].concat()).collect();
            check("prefixed", &prefixed);
        }
    }

    #[test]
    fn strings_that_end_in_zero_bytes_are_told_apart() {
        let zeros: Vec<_> = (0..200).map(|i| vec![0; i % 40]).collect();
        check("zeros", &zeros);
        check(
            "after a letter",
            &zeros.iter().map(|zeros| [b"a", zeros.as_slice()].concat()).collect::<Vec<_>>(),
        );
    }

    #[test]
    fn many_strings_with_common_beginnings_are_sorted() {
        let numbered =
            |i| format!("2026-11-23T12:00:00.{:07} an event", random::word(4, i) % 100_000).into_bytes();
        check("log lines", &(0..20_000).map(numbered).collect::<Vec<_>>());
        let nested = |i| vec![b'n'; (random::word(5, i) % 900) as usize];
        check("nested", &(0..2000).map(nested).collect::<Vec<_>>());
        check("equal", &vec![b"the same, all of them".to_vec(); 1000]);
    }

    #[test]
    fn few_long_strings_that_differ_late_are_sorted() {
        let long = |i: u64| {
            let mut text = vec![b'l'; FEW_BYTES];
            text.extend(random::word(6, i).to_string().bytes());
            text
        };
        check("long", &(0..6).map(long).collect::<Vec<_>>());
    }

    #[test]
    fn a_cancelled_sort_stops_and_an_error_on_the_way_is_returned() {
        let cancel = Cancel::new();
        let text = b"x".as_slice();
        let mut texts = Texts::collect(std::iter::repeat_n(Ok(text), 100), 100, &cancel).unwrap();
        cancel.cancel();
        assert_eq!(texts.sort(&cancel).unwrap_err().code, ErrorCode::Cancelled);
        let error = TaskError::invalid_input("not a string");
        let result = Texts::collect([Ok(text), Err(error.clone())].into_iter(), 2, &Cancel::new());
        assert_eq!(result.err(), Some(error));
        let result = Texts::collect(std::iter::empty(), usize::MAX, &Cancel::new());
        assert_eq!(result.err().map(|error| error.code), Some(ErrorCode::TooLarge));
    }
}
