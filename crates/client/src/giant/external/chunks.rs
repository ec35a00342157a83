//! The file in chunks that fit.

use super::{Budget, Records};
use crate::local::{Cancel, within::Spot};
use sgdt_proto::{size::ByteSize, task::TaskError};
use std::{
    fmt,
    io::{self, Read},
    path::PathBuf,
};

/// Reads a file, once, from its beginning to its end.
pub(super) struct Chunks<R> {
    pub(super) records: R,
    pub(super) budget: Budget,
    pub(super) input: Box<dyn Read + Send>,
    /// How it is called in messages.
    pub(super) name: PathBuf,
    /// What was read beyond the last chunk: the beginning of a record.
    pub(super) rest: Vec<u8>,
}

impl<R: Records> Chunks<R> {
    /// Reads as many records as there is room to sort, and says how many bytes they have; none after the last.
    pub(super) fn next(&mut self, room: &mut [Spot], cancel: &Cancel) -> Result<usize, TaskError> {
        let into: &mut [u8] = bytemuck::cast_slice_mut(room);
        let (block, most) = (self.budget.block(), into.len().saturating_sub(size_of::<Spot>()));
        // The rest has no record's end, or else it would have been part of the last chunk.
        let mut len = self.rest.len();
        into.get_mut(..len).ok_or_else(|| self.too_long())?.copy_from_slice(&self.rest);
        let (mut whole, mut count) = (0, 0);
        loop {
            cancel.check()?;
            if whole > 0 && len + R::EACH * count + block * (1 + R::EACH) > most {
                break;
            }
            if (len - whole) as u64 > self.budget.longest() {
                return Err(self.too_long());
            }
            let start = len;
            let more = into.get_mut(start..start + block).ok_or_else(|| self.too_long())?;
            let read = self.read(more)?;
            len += read;
            if read == 0 {
                if whole < len {
                    let end = self.records.missing_end().map_err(|error| self.named(&error.message))?;
                    into[len..][..end.len()].copy_from_slice(end);
                    len += end.len();
                    whole = len;
                }
                break;
            }
            let new = &into[start..len];
            count += self.records.count(new);
            whole = self.records.last_end(&into[whole..len], start - whole).map_or(whole, |end| whole + end);
        }
        self.rest.clear();
        // No more than it needs: it grows by itself to twice that.
        self.rest.reserve_exact(len - whole);
        self.rest.extend_from_slice(&into[whole..len]);
        Ok(whole)
    }

    fn too_long(&self) -> TaskError {
        let (longest, name) = (self.budget.longest(), self.name.display());
        let memory = ByteSize(self.budget.memory());
        TaskError::too_large(format!(
            "{name}: a line has more than {longest} bytes, a tenth of --memory {memory}: give it more"
        ))
    }

    /// Some more bytes; none at the end.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, TaskError> {
        loop {
            match self.input.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| self.named(&error)),
            }
        }
    }

    fn named(&self, problem: &dyn fmt::Display) -> TaskError {
        TaskError::invalid_input(format!("cannot read {}: {problem}", self.name.display()))
    }
}

impl<R: fmt::Debug> fmt::Debug for Chunks<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunks({:?} of {})", self.records, self.name.display())
    }
}
