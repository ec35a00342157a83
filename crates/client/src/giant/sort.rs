//! A sort as ranges of keys.
//!
//! Sample sort (Frazer and McKellar, "Samplesort: a sampling approach to minimal storage tree sorting", JACM 17,
//! 1970; with oversampling as in Blelloch et al., "A comparison of sorting algorithms for the Connection Machine
//! CM-2", SPAA 1991): splitters are drawn from a random sample of the keys, every key goes into the range between
//! two of them, and the sorted ranges, one after the other, are the sorted list. A key that is so frequent that
//! it is drawn as a splitter twice has a range of its own, which is in order as it is. So neither skew nor equal
//! keys make one piece much larger than the others, and keys that are all equal are not sent at all.
//!
//! Peak memory: the keys twice, beside the pieces under way and what becomes of the results; once the keys are in
//! their ranges the first copy is gone.

mod lines;
mod numbers;
mod splitters;

use super::{GiantError, Hands, Limits, aside, flight::Flight};
use crate::job::answer::broken;
use sgdt_proto::{
    buffer::Buffer,
    kind::sort::{Input, KIND, Keys, Number, Output},
    task::TaskError,
};
use std::ops::Range;

/// A part of the sorted keys.
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// Where it begins, in bytes.
    pub offset: usize,
    /// The sorted keys.
    pub bytes: Buffer,
}

/// Keys in their ranges, in the order of the result.
#[derive(Debug)]
struct Ranges {
    keys: Buffer,
    /// In bytes; the second says whether it is in order as it is.
    ranges: Vec<(Range<usize>, bool)>,
}

/// Sorts numbers ([`Keys::Numbers`]) or lines ([`Keys::Lines`], the last with its line feed) in so
/// many ranges, or more where they would take more memory than there may be. Each run of sorted keys goes to `put`
/// as it comes: together they fill the place of the keys.
///
/// # Errors
/// `invalid-input`: keys of another type, or no whole number of them. That of a piece, or of `put`.
pub async fn runs(
    hands: &Hands,
    keys: Keys,
    descending: bool,
    pieces: u32,
    limits: Limits,
    mut put: impl AsyncFnMut(Run) -> Result<(), TaskError>,
) -> Result<(), GiantError> {
    let Some((number, buffer)) = parts(keys) else {
        return Err(TaskError::invalid_input("only numbers and lines are sorted in ranges").into());
    };
    let wrap = |buffer| match number {
        Some(number) => Keys::Numbers { number, buffer },
        None => Keys::Lines(buffer),
    };
    let pieces = needed(buffer.len(), pieces, limits.memory / (u64::from(hands.slots()) + 1));
    let Ranges { keys, ranges } = aside(move || match number {
        Some(number) => numbers::cut(number, buffer, descending, pieces),
        None => Ok(lines::cut(&buffer, descending, pieces)),
    })
    .await??;
    let mut flight = Flight::new(hands, limits);
    for (range, in_order) in ranges.into_iter().filter(|(range, _)| !range.is_empty()) {
        let part = || keys.slice(range.clone()).ok_or_else(|| broken("a range goes beyond the keys"));
        if in_order {
            put(Run { offset: range.start, bytes: part()? }).await?;
            continue;
        }
        // There and back.
        let bytes = 2 * range.len() as u64;
        while !flight.has_room(bytes) {
            let Some((place, output)) = flight.land().await? else { break };
            put(run(place, number, output)?).await?;
        }
        let input = Input { keys: wrap(part()?), descending, summary: false };
        flight.launch(range, KIND, &input, bytes)?;
    }
    drop(keys);
    while let Some((place, output)) = flight.land().await? {
        put(run(place, number, output)?).await?;
    }
    Ok(())
}

/// How many pieces keep each within so many bytes, there and back, when they are nearly equal.
fn needed(len: usize, pieces: u32, bytes: u64) -> usize {
    /// More ranges cost more to cut than they gain.
    const MOST: usize = 1 << 12;
    let least = (2 * len as u64).div_ceil(bytes.max(1));
    usize::try_from(least.max(pieces.into())).unwrap_or(MOST).min(MOST)
}

/// What can be cut into ranges, and of which type it is where it is numbers.
fn parts(keys: Keys) -> Option<(Option<Number>, Buffer)> {
    match keys {
        Keys::Numbers { number, buffer } => Some((Some(number), buffer)),
        Keys::Lines(buffer) => Some((None, buffer)),
        Keys::Text { .. } | Keys::Random { .. } => None,
    }
}

/// A worker's answer, if it is of the type and as long as the range that was asked for.
fn run(range: Range<usize>, number: Option<Number>, output: Output) -> Result<Run, TaskError> {
    let sorted = match output {
        Output::Sorted(keys) => parts(keys),
        Output::Summary { .. } => None,
    };
    match sorted {
        Some((found, bytes)) if found == number && bytes.len() == range.len() => {
            Ok(Run { offset: range.start, bytes })
        }
        _ => Err(broken("it is not the range that was asked for")),
    }
}

#[cfg(test)]
mod tests;
