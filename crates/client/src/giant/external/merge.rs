//! Runs as one.

use super::{
    Records, Shared, crew,
    cut::cut,
    runs::{Run, Runs},
    spill::Spill,
    tree::{Part, Tree},
};
use crate::{local::within::Spot, verify::order::Sum};
use sgdt_proto::task::{ErrorCode, TaskError};
use std::{
    ops::Range,
    sync::mpsc::{Receiver, Sender, channel},
};

/// How many records are merged between two looks at the cancel handle.
const BLOCK: usize = 1 << 12;

/// Merges neighbours until all that are left can be merged at once. Both temporary files are there meanwhile.
pub(super) fn until_few<R: Records>(
    shared: &Shared<'_, R>,
    rooms: &mut [Vec<Spot>],
    mut runs: Runs,
    spill: impl Fn() -> Result<Spill, TaskError>,
) -> Result<Runs, TaskError> {
    while shared.budget.group(&runs.runs) < runs.runs.len() {
        let (spill, mut merged, mut rest) = (spill()?, Vec::new(), &runs.runs[..]);
        let mut end = 0;
        while !rest.is_empty() {
            let (group, others) = rest.split_at(shared.budget.group(rest));
            let start = end;
            merge(shared, rooms, &runs, group, |at, bytes| spill.write(bytes, start + at))?;
            end += group.iter().map(|run| run.range.end - run.range.start).sum::<u64>();
            let longest = group.iter().map(|run| run.longest).max().unwrap_or(0);
            merged.push(Run { range: start..end, longest });
            rest = others;
        }
        runs = Runs { spill, runs: merged, sum: runs.sum };
    }
    Ok(runs)
}

/// Merges some runs, each range of the records on a thread of its own, as many as there are rooms. What comes of it goes
/// to `put`, with its place: one range is in order, several are each.
pub(super) fn merge<R: Records>(
    shared: &Shared<'_, R>,
    rooms: &mut [Vec<Spot>],
    runs: &Runs,
    group: &[Run],
    mut put: impl FnMut(u64, &[u8]) -> Result<(), TaskError>,
) -> Result<Sum, TaskError> {
    let (full, empty): (Sender<Piece>, Receiver<Piece>) = channel();
    let mut outs = Vec::new();
    let mut returns = Vec::new();
    let mut at = 0;
    let ranges = rooms.len();
    let buffer = rooms.first_mut().map(|room| bytemuck::cast_slice_mut(room)).unwrap_or_default();
    let cut = cut(shared, runs, group, ranges, buffer)?;
    for (parts, room) in cut.into_iter().zip(rooms) {
        let len: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let (back, pieces) = channel();
        for _ in 0..2 {
            // It is there: the other end is.
            let _ = back.send(Vec::with_capacity(shared.budget.piece()));
        }
        outs.push((parts, room, Out { range: returns.len(), at, full: full.clone(), pieces }));
        returns.push(back);
        at += len;
    }
    drop(full);
    let work = |(ranges, room, out): (Vec<Range<u64>>, &mut Vec<Spot>, Out)| {
        let mut room: &mut [u8] = bytemuck::cast_slice_mut(room);
        let mut parts = Vec::with_capacity(ranges.len());
        for (range, len) in ranges.into_iter().zip(shared.budget.buffers(group)) {
            let (buffer, others) = room.split_at_mut_checked(len).ok_or_else(|| runs.spill.spoilt())?;
            room = others;
            if !range.is_empty() {
                parts.push(Part::new(shared.records, &runs.spill, range, buffer)?);
            }
        }
        one(shared, parts, out)
    };
    // It takes both ends with it when it fails, so that nobody waits for a piece for ever.
    let write = move || {
        for Piece { range, at, mut bytes } in empty {
            put(at, &bytes)?;
            bytes.clear();
            // A thread that is done wants it no more.
            let _ = returns[range].send(bytes);
        }
        Ok(())
    };
    let merged = crew::each(outs, shared.cancel, work, write)?;
    let in_order = merged.windows(2).all(|pair| match (&pair[0].last, &pair[1].first) {
        (Some(last), Some(first)) => !shared.records.is_before(first, last),
        _ => true,
    });
    if !in_order {
        return Err(wrong("its ranges are not in order"));
    }
    Ok(merged.iter().fold(Sum::default(), |sum, range| sum.and(range.sum)))
}

/// What a thread has merged, as far as it is looked at.
#[derive(Default)]
struct Merged {
    sum: Sum,
    first: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

/// Merges one range.
fn one<R: Records>(
    shared: &Shared<'_, R>,
    parts: Vec<Part<'_, R>>,
    mut out: Out,
) -> Result<Merged, TaskError> {
    let mut merged = Merged::default();
    let Some(mut tree) = Tree::new(parts) else { return Ok(merged) };
    let piece = shared.budget.piece();
    let mut bytes = out.another()?;
    loop {
        shared.cancel.check()?;
        for _ in 0..BLOCK {
            let Some(record) = tree.first() else {
                out.send(bytes)?;
                return Ok(merged);
            };
            if let Some(hasher) = &shared.hasher {
                merged.sum.add(hasher, record);
                let last = merged.last.get_or_insert_default();
                if merged.first.is_none() {
                    merged.first = Some(record.to_vec());
                } else if shared.records.is_before(record, last) {
                    return Err(wrong("its records are not in order"));
                }
                last.clear();
                last.extend_from_slice(record);
            }
            let mut rest = record;
            while bytes.len() + rest.len() > piece {
                let (fits, others) = rest.split_at(piece - bytes.len());
                shared.cancel.check()?;
                bytes.extend_from_slice(fits);
                out.send(bytes)?;
                bytes = out.another()?;
                rest = others;
            }
            bytes.extend_from_slice(rest);
            tree.advance()?;
        }
    }
}

/// The result is not what it must be.
pub(super) fn wrong(why: &str) -> TaskError {
    TaskError::new(ErrorCode::Panicked, format!("the answer is wrong: {why}"))
}

/// Some bytes of the output.
struct Piece {
    /// Of which range.
    range: usize,
    /// Where they go.
    at: u64,
    bytes: Vec<u8>,
}

/// Where a thread's pieces go. There are two: one is filled while the other is written.
struct Out {
    range: usize,
    at: u64,
    /// Never more than all the pieces there are.
    full: Sender<Piece>,
    pieces: Receiver<Vec<u8>>,
}

impl Out {
    fn send(&mut self, bytes: Vec<u8>) -> Result<(), TaskError> {
        let len = bytes.len() as u64;
        self.full.send(Piece { range: self.range, at: self.at, bytes }).map_err(|_| nobody())?;
        self.at += len;
        Ok(())
    }

    fn another(&mut self) -> Result<Vec<u8>, TaskError> {
        self.pieces.recv().map_err(|_| nobody())
    }
}

/// Whoever writes has stopped, and says why.
fn nobody() -> TaskError {
    TaskError::new(ErrorCode::Cancelled, "nobody writes the output any more")
}
