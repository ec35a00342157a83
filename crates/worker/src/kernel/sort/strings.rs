//! Sorting strings and lines: their buffers, and what is said about them in a summary.

use super::{numbers, text::Texts};
use crate::cancel::Cancel;
use sgdt_proto::{
    buffer::Buffer,
    kind::sort::{Key, Keys, Output},
    task::TaskError,
};

/// How many bytes are copied between two looks at the cancel handle.
const BLOCK: usize = 1 << 16;

/// In how many bytes lines are counted between two looks.
const COUNTED: usize = 1 << 24;

/// Sorts strings that lie one after the other.
pub(super) fn sort_strings(
    bytes: &Buffer,
    lengths: Buffer,
    descending: bool,
    summary: bool,
    cancel: &Cancel,
) -> Result<Output, TaskError> {
    let lengths = numbers::take(lengths)?;
    let mut rest = bytes.as_bytes();
    let strings = lengths.iter().map(|&length| {
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (string, after) = split.ok_or_else(|| bad_lengths(bytes.len()))?;
        rest = after;
        Ok(string)
    });
    let mut texts = Texts::collect(strings, lengths.len(), cancel)?;
    if !rest.is_empty() {
        return Err(bad_lengths(bytes.len()));
    }
    texts.sort(cancel)?;
    if summary {
        return Ok(summarize(&texts, descending));
    }
    let bytes = write(&texts, b"", descending, bytes.len(), cancel)?;
    let mut sorted = lengths;
    let mut in_order = in_direction(&texts, descending);
    for block in sorted.chunks_mut(BLOCK) {
        cancel.check()?;
        for (length, text) in block.iter_mut().zip(&mut in_order) {
            *length = text.len() as u64;
        }
    }
    Ok(Output::Sorted(Keys::Text { bytes: bytes.into(), lengths: Buffer::from_scalars(sorted) }))
}

/// Sorts the lines of a text.
pub(super) fn sort_lines(
    bytes: &Buffer,
    descending: bool,
    summary: bool,
    cancel: &Cancel,
) -> Result<Output, TaskError> {
    let text = bytes.as_bytes();
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text).chain((!ends_complete(text)).then_some(text.len()));
    let lines = ends.map(|end| {
        let line = &text[start..end];
        start = end + 1;
        Ok(line)
    });
    let mut count = usize::from(!ends_complete(text));
    for part in text.chunks(COUNTED) {
        cancel.check()?;
        count += memchr::memchr_iter(b'\n', part).count();
    }
    let mut texts = Texts::collect(lines, count, cancel)?;
    texts.sort(cancel)?;
    if summary {
        return Ok(summarize(&texts, descending));
    }
    Ok(Output::Sorted(Keys::Lines(write(&texts, b"\n", descending, text.len() + 1, cancel)?.into())))
}

fn bad_lengths(bytes: usize) -> TaskError {
    TaskError::invalid_input(format!("the strings' lengths do not add up to their {bytes} bytes"))
}

/// Whether the last line, if there is one, has its line feed.
fn ends_complete(text: &[u8]) -> bool {
    text.last().is_none_or(|&byte| byte == b'\n')
}

/// How many lines a text has, the last of which may lack its line feed.
pub(super) fn count_lines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count() + usize::from(!ends_complete(text))
}

fn in_direction<'a>(texts: &Texts<'a>, descending: bool) -> impl Iterator<Item = &'a [u8]> {
    let (mut forward, mut backward) = (texts.iter(), texts.iter());
    std::iter::from_fn(move || if descending { backward.next_back() } else { forward.next() })
}

/// All strings, one after the other, each followed by `end`.
fn write(
    texts: &Texts<'_>,
    end: &[u8],
    descending: bool,
    len: usize,
    cancel: &Cancel,
) -> Result<Vec<u8>, TaskError> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| TaskError::too_large(format!("there is no memory left for {len} bytes of output")))?;
    let mut next_check = 0;
    for text in in_direction(texts, descending) {
        // A string may be as long as the whole input.
        for part in text.chunks(BLOCK) {
            if bytes.len() >= next_check {
                cancel.check()?;
                next_check = bytes.len() + BLOCK;
            }
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(end);
    }
    Ok(bytes)
}

fn summarize(texts: &Texts<'_>, descending: bool) -> Output {
    let key = |text: Option<&[u8]>| text.map(|text| Key::Text(String::from_utf8_lossy(text).into_owned()));
    let (mut first, mut last) = (key(texts.iter().next()), key(texts.iter().next_back()));
    if descending {
        std::mem::swap(&mut first, &mut last);
    }
    Output::Summary { len: texts.iter().len() as u64, first, last, sum: None }
}
