//! A sort of a file that is larger than the memory there may be.
//!
//! ```text
//!  input ─▶ chunks ─▶ runs: each chunk, sorted ─▶ spill: a temporary file ─▶ cut: a range for each thread
//!                                                                             │
//!  output ◀─ merge: pieces, to their places ◀─ tree: the first of all runs' records ◀─┘
//! ```
//!
//! The file is read once, chunk by chunk; while one thread reads, others sort, or write a run. Splitters drawn from the
//! runs divide all of them into a range for each thread, which it merges by a tree of losers, to its place in the
//! output; another thread writes meanwhile. Should there be so many runs, or so long lines, that their buffers do not
//! fit, neighbours are merged to longer runs first.
//!
//! Peak memory: what [`Budget`] says, whatever the size of the file, and some 10 MiB for threads, stacks and the program
//! itself. A line may have a tenth of it. Temporary files take as much room as the input, and twice as much where
//! neighbours are merged first; they have no names, so that the system takes them back whatever ends this process.

mod budget;
mod chunks;
mod crew;
mod cut;
mod input;
mod merge;
mod records;
mod runs;
mod spill;
mod tree;

pub use budget::Budget;
pub use input::{Input, Way};
pub use records::{Lines, Numbers, Records};

use crate::{
    job::{
        place::{behind_links, directory_of},
        stream::Stream,
    },
    local::{Cancel, within::Spot},
    verify::order::Sum,
};
use bytemuck::allocation::try_zeroed_vec;
use chunks::Chunks;
use sgdt_proto::task::TaskError;
use spill::Spill;
use std::{
    hash::RandomState,
    io::Read,
    path::{Path, PathBuf},
};

/// What there is to sort, and how.
pub struct Job<R> {
    /// What the input has.
    pub records: R,
    /// The input, from its first record on.
    pub input: Box<dyn Read + Send>,
    /// How it is called in messages.
    pub name: PathBuf,
    /// Where temporary files go.
    pub scratch: PathBuf,
    /// How much memory there is.
    pub budget: Budget,
    /// Whether the result is checked: that it is in order, and has what was read.
    pub verify: bool,
}

/// What all threads look at.
struct Shared<'a, R> {
    records: R,
    budget: Budget,
    cancel: &'a Cancel,
    /// With what records are hashed, if they are to be checked.
    hasher: Option<RandomState>,
}

impl<R: Records> Shared<'_, R> {
    /// What these records have in common with the same in another order, if they are to be checked.
    fn sum(&self, bytes: &[u8]) -> Sum {
        let (mut rest, mut sum) = (bytes, Sum::default());
        while let Some(hasher) = &self.hasher
            && let Some((record, others)) =
                self.records.first(rest).and_then(|len| rest.split_at_checked(len))
        {
            sum.add(hasher, record);
            rest = others;
        }
        sum
    }
}

/// Sorts the input to `output`, after what has been written to it.
///
/// # Errors
/// `too-large`: a line does not fit. What stands in the way of reading, of a temporary file, or of the output.
/// `cancelled` or `timeout`.
pub fn sort<R: Records>(job: Job<R>, output: &mut Stream, cancel: &Cancel) -> Result<(), TaskError> {
    let Job { records, input, name, scratch, budget, verify } = job;
    let shared = Shared { records, budget, cancel, hasher: verify.then(RandomState::new) };
    let chunks = Chunks { records, budget, input, name, rest: Vec::new() };
    let spill = || Spill::new(&scratch);
    let mut rooms = rooms(budget)?;
    let runs = runs::make(&shared, &mut rooms, chunks, spill()?)?;
    let runs = merge::until_few(&shared, &mut rooms, runs, spill)?;
    let begin = output.position();
    if !output.takes_any_order() {
        rooms.truncate(1);
    }
    let sum = merge::merge(&shared, &mut rooms, &runs, &runs.runs, |at, bytes| {
        // As far as it goes, a file's length fits in memory's addresses.
        output.write_at(begin + at as usize, bytes)
    })?;
    if sum != runs.sum {
        return Err(merge::wrong("its records are not those that were read"));
    }
    Ok(())
}

/// The memory of each thread. The system gives it as it is used.
fn rooms(budget: Budget) -> Result<Vec<Vec<Spot>>, TaskError> {
    let bytes = budget.room();
    let room = |_| try_zeroed_vec(usize::try_from(bytes).unwrap_or(usize::MAX) / size_of::<Spot>());
    let rooms: Result<_, ()> = (0..budget.threads()).map(room).collect();
    rooms.map_err(|()| {
        TaskError::too_large(format!("there is no memory for {bytes} bytes: give less --memory"))
    })
}

/// Where temporary files go: where TMPDIR says, or else beside the output, or where the system has them if that is no
/// file, as `-` is none.
pub fn scratch(tmpdir: Option<PathBuf>, output: &Path) -> PathBuf {
    let given = tmpdir.filter(|path| !path.as_os_str().is_empty());
    let is_device = output == Path::new("-") || output.metadata().is_ok_and(|about| !about.is_file());
    given.unwrap_or_else(|| {
        if is_device {
            return std::env::temp_dir();
        }
        let place = behind_links(output);
        directory_of(place.as_deref().unwrap_or(output)).to_owned()
    })
}

#[cfg(test)]
mod tests;
