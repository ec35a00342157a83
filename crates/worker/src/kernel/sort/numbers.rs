//! Sorting numbers: their buffers, their keys, and what is said about them in a summary.

#[cfg(target_arch = "x86_64")]
use super::vector;
use super::{each::Each, radix};
use crate::{cancel::Cancel, kernel::zeros::zeros};
use pulp::Arch;
use sgdt_proto::{
    buffer::Buffer,
    kind::sort::{Keys, Number, Output, order},
    task::TaskError,
};

/// How many numbers are made or summed between two looks at the cancel handle.
const BLOCK: usize = 1 << 16;

/// More than this many are made with the help of an idle core: they take about a millisecond.
const SHARED: usize = 1 << 20;

/// How many numbers these bytes are.
pub(super) fn count(buffer: &Buffer) -> Result<u64, TaskError> {
    let (size, len) = (size_of::<u64>(), buffer.len());
    if len.is_multiple_of(size) {
        Ok((len / size) as u64)
    } else {
        Err(TaskError::invalid_input(format!("{len} bytes are no whole number of {size}-byte numbers")))
    }
}

/// Whether they can be read as numbers where they lie.
pub(super) fn aligned(buffer: &Buffer) -> bool {
    bytemuck::try_cast_slice::<u8, u64>(buffer.as_bytes()).is_ok()
}

/// The numbers, in a vector of our own.
pub(super) fn take(buffer: Buffer) -> Result<Vec<u64>, TaskError> {
    count(&buffer)?;
    buffer
        .into_scalars()
        .map_err(|len| TaskError::invalid_input(format!("{len} bytes are no whole number of numbers")))
}

/// The numbers that are named by a seed.
pub(super) fn generate(number: Number, len: u64, seed: u64, cancel: &Cancel) -> Result<Vec<u64>, TaskError> {
    let too_large = || TaskError::too_large(format!("there is no memory for {len} numbers"));
    let len = usize::try_from(len).map_err(|_| too_large())?;
    let mut words: Vec<u64> = zeros(len, cancel)?.ok_or_else(too_large)?;
    fill(&mut words, 0, &|index| number.random(seed, index), cancel)?;
    Ok(words)
}

/// Writes what is to be in each place, which depends on its index, counted from `first`.
fn fill(
    words: &mut [u64],
    first: u64,
    number: &(impl Fn(u64) -> u64 + Sync),
    cancel: &Cancel,
) -> Result<(), TaskError> {
    if words.len() > SHARED && cancel.has_help() {
        let middle = words.len() / 2;
        let (left, right) = words.split_at_mut(middle);
        let (left, right) = cancel.join(
            || fill(left, first, number, cancel),
            || fill(right, first + middle as u64, number, cancel),
        );
        return left.and(right);
    }
    for (start, block) in (first..).step_by(BLOCK).zip(words.chunks_mut(BLOCK)) {
        cancel.check()?;
        for (word, index) in block.iter_mut().zip(start..) {
            *word = number(index);
        }
    }
    Ok(())
}

/// Puts numbers, given as their bits, in order.
pub(super) fn order(
    number: Number,
    words: &mut [u64],
    descending: bool,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    // Each with code of its own: a key is made many times. An integer's is undone as it is made.
    match (number, descending) {
        (Number::I64, true) => by(words, integer::<true>, integer::<true>, cancel),
        (Number::I64, false) => by(words, integer::<false>, integer::<false>, cancel),
        (Number::U64, true) => by(words, natural::<true>, natural::<true>, cancel),
        (Number::U64, false) => by(words, natural::<false>, natural::<false>, cancel),
        (Number::F64, true) => {
            by(words, |word| order::double(word, true), |key| order::undo_double(key, true), cancel)
        }
        (Number::F64, false) => {
            by(words, |word| order::double(word, false), |key| order::undo_double(key, false), cancel)
        }
    }
}

fn integer<const DESCENDING: bool>(word: u64) -> u64 {
    order::integer(word, DESCENDING)
}

fn natural<const DESCENDING: bool>(word: u64) -> u64 {
    order::natural(word, DESCENDING)
}

/// By keys, which are kept in place of the numbers while these are sorted.
fn by(
    words: &mut [u64],
    key: impl Fn(u64) -> u64 + Sync,
    undo: impl Fn(u64) -> u64 + Sync,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    if radix::in_one_direction(words, |&word| key(word), cancel)? {
        return Ok(());
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return vector::sort(simd, words, &key, &undo, cancel);
    }
    by_counting(words, key, undo, cancel)
}

/// As [`by`], on every processor, of what is in neither direction.
fn by_counting(
    words: &mut [u64],
    key: impl Fn(u64) -> u64 + Sync,
    undo: impl Fn(u64) -> u64 + Sync,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    let leaf = |words: &mut [u64], scratch: &mut Vec<u64>| {
        Arch::new().dispatch(Each { words, to: &key });
        radix::sort_leaf(words, &|&key| key, scratch);
        Arch::new().dispatch(Each { words, to: &undo });
    };
    radix::sort_with_leaves(words, |&word| key(word), leaf, &mut Vec::new(), cancel)
}

/// Sorts numbers, given as their bits.
pub(super) fn sort(
    number: Number,
    mut words: Vec<u64>,
    descending: bool,
    summary: bool,
    cancel: &Cancel,
) -> Result<Output, TaskError> {
    order(number, &mut words, descending, cancel)?;
    if !summary {
        return Ok(Output::Sorted(Keys::Numbers { number, buffer: Buffer::from_scalars(words) }));
    }
    let sum = match number {
        Number::I64 => Some(sum(&words, |word| word.cast_signed().into(), cancel)?),
        Number::U64 => Some(sum(&words, i128::from, cancel)?),
        Number::F64 => None,
    };
    let key = |word: Option<&u64>| word.map(|&word| number.key(word));
    Ok(Output::Summary { len: words.len() as u64, first: key(words.first()), last: key(words.last()), sum })
}

/// The sum of integers, which has twice as many bits as one of them has.
fn sum(words: &[u64], value: impl Fn(u64) -> i128, cancel: &Cancel) -> Result<i128, TaskError> {
    let mut sum = 0;
    for block in words.chunks(BLOCK) {
        cancel.check()?;
        sum += block.iter().map(|&word| value(word)).sum::<i128>();
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::kind::random::word;

    #[test]
    fn numbers_are_sorted_by_counting_too() {
        for len in [0, 1, 2, 1000, 2 * radix::LEAF_BYTES as u64 / 8] {
            for descending in [false, true] {
                let (key, undo) =
                    (|word| order::double(word, descending), |key| order::undo_double(key, descending));
                let mut words: Vec<u64> = (0..len).map(|i| word(1, i)).collect();
                let mut expected = words.clone();
                expected.sort_unstable_by_key(|&word| key(word));
                by_counting(&mut words, key, undo, &Cancel::new()).unwrap();
                assert!(words == expected, "{len} {descending}");
            }
        }
    }
}
