//! Cutting numbers into ranges.

use super::{
    Ranges,
    splitters::{Splitters, starts},
};
use sgdt_proto::{
    buffer::Buffer,
    kind::sort::{Number, order},
    task::TaskError,
};

/// Cuts numbers by keys that have the order wanted. Numbers with equal keys are equal.
pub(super) fn cut(
    number: Number,
    numbers: Buffer,
    descending: bool,
    pieces: usize,
) -> Result<Ranges, TaskError> {
    let key = |word| order::key(number, word, descending);
    let words: Vec<u64> = numbers.into_scalars().map_err(|len| {
        TaskError::invalid_input(format!("{len} bytes are no whole number of 64-bit numbers"))
    })?;
    let splitters = Splitters::draw(words.len(), pieces, |a, b| a == b, |place| key(words[place]));
    if splitters.ranges() == 1 {
        let len = size_of_val(words.as_slice());
        return Ok(Ranges { keys: Buffer::from_scalars(words), ranges: vec![(0..len, false)] });
    }
    let too_large = || TaskError::too_large(format!("no memory for another {} numbers", words.len()));
    let mut ranges: Vec<u16> = Vec::new();
    let mut cut: Vec<u64> = Vec::new();
    ranges.try_reserve_exact(words.len()).map_err(|_| too_large())?;
    cut.try_reserve_exact(words.len()).map_err(|_| too_large())?;

    let mut sizes = vec![0; splitters.ranges()];
    for &word in &words {
        let range = splitters.range_of(&key(word));
        sizes[range] += 1;
        // There are some thousands at most.
        ranges.push(range as u16);
    }
    let starts = starts(&sizes);
    let mut next = starts.clone();
    cut.resize(words.len(), 0);
    for (&word, &range) in words.iter().zip(&ranges) {
        let place = &mut next[usize::from(range)];
        cut[*place] = word;
        *place += 1;
    }
    let ranges = starts.iter().zip(&next).enumerate().map(|(range, (start, end))| {
        (start * size_of::<u64>()..end * size_of::<u64>(), Splitters::<u64>::is_equal(range))
    });
    Ok(Ranges { ranges: ranges.collect(), keys: Buffer::from_scalars(cut) })
}
