//! Cutting the lines of a text into ranges.

use super::{
    Ranges,
    splitters::{Splitters, starts},
};
use sgdt_proto::buffer::Buffer;

/// Cuts a text whose last line has its line feed.
pub(super) fn cut(text: &Buffer, descending: bool, pieces: usize) -> Ranges {
    let bytes = text.as_bytes();
    // The line that a byte is in: long ones are drawn more often, so that ranges have as many bytes.
    let is_same = |a: usize, b: usize| memchr::memchr(b'\n', &bytes[a..b]).is_none();
    let splitters = Splitters::draw(bytes.len(), pieces, is_same, |index| line_at(bytes, index));
    let count = splitters.ranges();
    // Descending, the last range comes first.
    let place = |range: usize| if descending { count - 1 - range } else { range };

    let mut sizes = vec![0; count];
    let mut ranges: Vec<u16> = Vec::new();
    for line in lines(bytes) {
        let range = place(splitters.range_of(&without_end(line)));
        sizes[range] += line.len();
        // There are some thousands at most.
        ranges.push(range as u16);
    }
    let starts = starts(&sizes);
    let mut next = starts.clone();
    let mut cut = vec![0; bytes.len()];
    for (line, &range) in lines(bytes).zip(&ranges) {
        let place = &mut next[usize::from(range)];
        cut[*place..][..line.len()].copy_from_slice(line);
        *place += line.len();
    }
    let ranges = starts.iter().zip(&next).enumerate();
    let ranges = ranges.map(|(at, (&start, &end))| (start..end, Splitters::<&[u8]>::is_equal(place(at))));
    Ranges { ranges: ranges.collect(), keys: cut.into() }
}

/// The lines, each with its line feed.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', text).map(move |end| {
        let line = &text[start..=end];
        start = end + 1;
        line
    })
}

fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// The line that has the byte at this place, without its line feed.
fn line_at(text: &[u8], index: usize) -> &[u8] {
    let (before, after) = text.split_at(index);
    let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
    let end = memchr::memchr(b'\n', after).map_or(text.len(), |end| index + end);
    &text[start..end]
}
