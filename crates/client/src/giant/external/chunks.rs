//! The file in chunks that fit.

use super::{Budget, Records};
use crate::job::answer::broken;
use sgdt_proto::{buffer::Buffer, size::ByteSize, task::TaskError};
use std::{
    fmt,
    io::{self, Read},
    path::PathBuf,
};

/// Some whole records, aligned for numbers.
#[derive(Debug)]
pub struct Chunk {
    words: Vec<u64>,
    len: usize,
}

impl Chunk {
    fn with_capacity(bytes: usize) -> Result<Self, TaskError> {
        let mut words = Vec::new();
        words
            .try_reserve_exact(bytes.div_ceil(size_of::<u64>()))
            .map_err(|_| TaskError::too_large(format!("there is no memory for {bytes} bytes")))?;
        Ok(Self { words, len: 0 })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    pub(super) fn into_buffer(self) -> Result<Buffer, TaskError> {
        Buffer::from_words(self.words, self.len).map_err(|_| broken("there are fewer words than bytes"))
    }

    /// Room for so many bytes more.
    fn room(&mut self, more: usize) -> &mut [u8] {
        self.words.resize((self.len + more).div_ceil(size_of::<u64>()), 0);
        &mut bytemuck::cast_slice_mut(&mut self.words)[self.len..][..more]
    }

    fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn truncate(&mut self, len: usize) {
        self.len = len;
        self.words.truncate(len.div_ceil(size_of::<u64>()));
    }
}

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
    /// As many records as there is room to sort; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, TaskError> {
        let (block, most) = (self.budget.block(), self.budget.chunk());
        let mut chunk = Chunk::with_capacity(usize::try_from(most).unwrap_or(usize::MAX))?;
        chunk.append(&std::mem::take(&mut self.rest));
        // The rest has no record's end, or else it would have been part of the last chunk.
        let (mut whole, mut count) = (0, 0);
        loop {
            let another = block as u64 * (1 + R::EACH);
            let taken = chunk.len as u64 + R::EACH * count;
            if whole > 0 && taken + another > most {
                break;
            }
            if (chunk.len - whole) as u64 > self.budget.longest() {
                let (longest, name) = (self.budget.longest(), self.name.display());
                let memory = ByteSize(self.budget.memory());
                return Err(TaskError::too_large(format!(
                    "{name}: a line has more than {longest} bytes, a tenth of --memory {memory}: give it more"
                )));
            }
            let start = chunk.len;
            let read = self.read(chunk.room(block))?;
            chunk.len += read;
            if read == 0 {
                if whole < chunk.len {
                    chunk.append(self.records.missing_end().map_err(|error| self.named(&error.message))?);
                    whole = chunk.len;
                }
                break;
            }
            let new = &chunk.bytes()[start..];
            count += self.records.count(new) as u64;
            whole = self.records.last_end(new).map_or(whole, |end| start + end);
        }
        self.rest = chunk.bytes()[whole..].to_vec();
        chunk.truncate(whole);
        Ok((whole > 0).then_some(chunk))
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
