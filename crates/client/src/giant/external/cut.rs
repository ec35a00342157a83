//! Where to cut runs, so that each thread merges a range of its own.

use super::{
    Records, Shared,
    runs::{Run, Runs},
    tree::Part,
};
use sgdt_proto::task::TaskError;
use std::ops::Range;

/// How many records are looked at for each range. They lie as far apart as can be, so that ranges differ little.
const SAMPLES: usize = 512;

/// The parts of each run, range by range: equal records are all in one.
pub(super) fn cut<R: Records>(
    shared: &Shared<'_, R>,
    runs: &Runs,
    group: &[Run],
    ranges: usize,
    buffer: &mut [u8],
) -> Result<Vec<Vec<Range<u64>>>, TaskError> {
    let splitters = splitters(shared, runs, group, ranges, buffer)?;
    let mut cut = vec![Vec::with_capacity(group.len()); splitters.len() + 1];
    for run in group {
        let mut start = run.range.start;
        for (range, splitter) in splitters.iter().enumerate() {
            shared.cancel.check()?;
            let end = lower_bound(shared, runs, start..run.range.end, run, splitter, buffer)?;
            cut[range].push(start..end);
            start = end;
        }
        cut[splitters.len()].push(start..run.range.end);
    }
    Ok(cut)
}

/// Records that divide all runs into so many ranges, or fewer where many are equal.
fn splitters<R: Records>(
    shared: &Shared<'_, R>,
    runs: &Runs,
    group: &[Run],
    ranges: usize,
    buffer: &mut [u8],
) -> Result<Vec<Vec<u8>>, TaskError> {
    let all: u64 = group.iter().map(|run| run.range.end - run.range.start).sum();
    let step = (all / (SAMPLES * ranges) as u64).max(1);
    let mut samples = Vec::new();
    if ranges > 1 {
        for run in group {
            let mut place = run.range.start + step / 2;
            while place < run.range.end {
                shared.cancel.check()?;
                let part = from(shared, runs, run, place, buffer)?;
                if part.is_done() {
                    break;
                }
                samples.push(shared.records.splitter(part.record()));
                place += step;
            }
        }
    }
    samples.sort_unstable_by(|a, b| {
        let records = &shared.records;
        records.key(a).cmp(&records.key(b)).then_with(|| records.compare(a, b))
    });
    let places = (1..ranges).map(|range| samples.len() * range / ranges);
    let mut splitters: Vec<_> = places.filter_map(|place| samples.get(place).cloned()).collect();
    splitters.dedup();
    Ok(splitters)
}

/// Where the first record begins that does not go before the splitter, in a part of a run that begins with one.
fn lower_bound<R: Records>(
    shared: &Shared<'_, R>,
    runs: &Runs,
    within: Range<u64>,
    run: &Run,
    splitter: &[u8],
    buffer: &mut [u8],
) -> Result<u64, TaskError> {
    // The first record at `low` or later may be the one; the first at `high` or later is not before the splitter.
    let Range { start: mut low, end: mut high } = within;
    while low < high {
        let middle = low + (high - low) / 2;
        let part = from(shared, runs, run, middle, buffer)?;
        if part.is_done() || !shared.records.is_before(part.record(), splitter) {
            high = middle;
        } else {
            low = part.place() + part.record().len() as u64;
        }
    }
    Ok(from(shared, runs, run, low, buffer)?.place())
}

/// A run, from the first record on that begins at `place` or later.
fn from<'a, R: Records>(
    shared: &Shared<'_, R>,
    runs: &'a Runs,
    run: &Run,
    place: u64,
    buffer: &'a mut [u8],
) -> Result<Part<'a, R>, TaskError> {
    let start = run.range.start;
    let (aligned, within) = shared.records.aligned(place - start);
    let left = (start + aligned).min(run.range.end)..run.range.end;
    let room = usize::try_from(shared.budget.needed(run)).unwrap_or(usize::MAX);
    let room = room.min(buffer.len());
    let mut part = Part::new(shared.records, &runs.spill, left, &mut buffer[..room])?;
    if within {
        part.advance()?;
    }
    Ok(part)
}
