//! The file in sorted runs.

use super::{Records, Shared, chunks::Chunks, crew, spill::Spill};
use crate::{
    job::answer::broken,
    local::{Cancel, within::Spot},
    verify::order::Sum,
};
use sgdt_proto::task::TaskError;
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Sorted records in a temporary file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// Where in the file.
    pub(super) range: Range<u64>,
    /// How long the longest record is, in bytes.
    pub(super) longest: u64,
}

/// What a file was made into.
#[derive(Debug)]
pub(super) struct Runs {
    pub(super) spill: Spill,
    pub(super) runs: Vec<Run>,
    /// What was read, if it is to be checked.
    pub(super) sum: Sum,
}

/// What is still to be read, and where in the temporary file it goes.
struct Source<R> {
    chunks: Chunks<R>,
    end: u64,
    failed: bool,
}

impl<R: Records> Source<R> {
    fn next(&mut self, room: &mut [Spot], cancel: &Cancel) -> Result<Range<u64>, TaskError> {
        let start = self.end;
        if !self.failed {
            self.end += self.chunks.next(room, cancel).inspect_err(|_| self.failed = true)? as u64;
        }
        Ok(start..self.end)
    }
}

/// Reads, sorts and writes chunk by chunk. While one thread reads the others sort, or write.
pub(super) fn make<R: Records>(
    shared: &Shared<'_, R>,
    rooms: &mut [Vec<Spot>],
    chunks: Chunks<R>,
    spill: Spill,
) -> Result<Runs, TaskError> {
    let source = Mutex::new(Source { chunks, end: 0, failed: false });
    let work = |room: &mut Vec<Spot>| {
        let (mut runs, mut sum) = (Vec::new(), Sum::default());
        let piece = Vec::with_capacity(shared.budget.piece());
        let mut writer = Writer { spill: &spill, at: 0, piece, full: shared.budget.piece() };
        loop {
            shared.cancel.check()?;
            let range = source.lock().unwrap_or_else(PoisonError::into_inner).next(room, shared.cancel)?;
            if range.is_empty() {
                return Ok((runs, sum));
            }
            let len = (range.end - range.start) as usize;
            let records = &bytemuck::cast_slice(room)[..len];
            let longest = shared.records.longest(records) as u64;
            sum = sum.and(shared.sum(records));
            writer.at = range.start;
            shared.records.sort(room, len, shared.cancel, |bytes| writer.take(bytes))?;
            writer.flush()?;
            if writer.at != range.end {
                return Err(broken("a run is not as long as its chunk"));
            }
            runs.push(Run { range, longest });
        }
    };
    let done = crew::each(rooms.iter_mut().collect(), shared.cancel, work, || Ok(()))?;
    let sum = done.iter().fold(Sum::default(), |sum, (_, other)| sum.and(*other));
    let mut runs: Vec<_> = done.into_iter().flat_map(|(runs, _)| runs).collect();
    runs.sort_unstable_by_key(|run| run.range.start);
    Ok(Runs { spill, runs, sum })
}

/// Writes a run, piece by piece.
struct Writer<'a> {
    spill: &'a Spill,
    at: u64,
    piece: Vec<u8>,
    full: usize,
}

impl Writer<'_> {
    #[inline]
    fn take(&mut self, bytes: &[u8]) -> Result<(), TaskError> {
        if self.piece.len() + bytes.len() > self.full {
            self.flush()?;
            if bytes.len() > self.full {
                self.spill.write(bytes, self.at)?;
                self.at += bytes.len() as u64;
                return Ok(());
            }
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.spill.write(&self.piece, self.at)?;
        self.at += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }
}
