//! A file that is to be sorted, before it is known whether it fits.

use super::{Budget, Job, Lines, Numbers, sort};
use crate::{
    giant::plan::Task,
    job::{
        kinds::sort::refuse_npy,
        npy::{
            self, Unread,
            header::{MAGIC, encode},
        },
        replace::Destination,
        stream::Stream,
        text,
    },
    local::Cancel,
};
use sgdt_proto::{kind::sort::Number, task::TaskError, worker::MAX_MESSAGE};
use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// A file that is open.
#[derive(Debug)]
pub struct Input {
    file: File,
    name: PathBuf,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Numbers {
        number: Number,
        count: u64,
    },
    /// How many bytes, unless it is a pipe, which does not say.
    Lines(Option<u64>),
}

impl Input {
    /// Opens a `.npy` file as numbers, any other as lines.
    ///
    /// # Errors
    /// `invalid-input`, naming the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, TaskError> {
        let name = path.to_owned();
        if path.extension().is_some_and(|extension| extension == "npy") {
            let Unread { number, count, file } = npy::open_list(path)?;
            return Ok(Self { file, name, content: Content::Numbers { number, count } });
        }
        let opened = text::open(path).and_then(|file| {
            let content = Content::Lines(text::left(&file)?);
            Ok(Self { file, name, content })
        });
        opened.map_err(|error| cannot_read(path, &error))
    }

    /// What it takes to sort it, as far as it says how much it has.
    pub fn task(&self) -> Option<Task> {
        match self.content {
            Content::Numbers { count, .. } => Some(Task::Numbers { bytes: count.saturating_mul(8) }),
            Content::Lines(bytes) => bytes.map(|bytes| Task::Lines { bytes }),
        }
    }

    /// Whether there is nothing to sort.
    pub fn is_empty(&self) -> bool {
        matches!(self.content, Content::Numbers { count: 0, .. } | Content::Lines(Some(0)))
    }

    /// Where it may go when it is sorted.
    ///
    /// # Errors
    /// `invalid-input`: numbers would go to a terminal.
    pub fn checked(&self, output: Destination) -> Result<Destination, TaskError> {
        match self.content {
            Content::Numbers { .. } => output.takes_bytes(),
            Content::Lines(_) => Ok(output),
        }
    }

    /// Whether a sort in memory takes at most so many bytes.
    ///
    /// # Errors
    /// `invalid-input`: the file cannot be read.
    pub fn fits(&self, memory: u64) -> Result<bool, TaskError> {
        /// The range of each key, where they are cut into ranges; what the kernel takes for each line.
        const RANGE: u64 = size_of::<u16>() as u64;
        const LINE: u64 = 32;
        // Twice the keys, before and after, and what each of them takes. Of lines, which come back as others, some of what
        // the first copy had is not used again at once: up to half of it.
        let twice = |bytes: u64| (bytes < MAX_MESSAGE).then_some(2 * bytes).filter(|&twice| twice <= memory);
        let needed = match self.content {
            Content::Numbers { count, .. } => {
                twice(count.saturating_mul(8)).map(|twice| twice + RANGE * count)
            }
            Content::Lines(bytes) => match bytes.and_then(twice) {
                Some(twice) => Some(twice + twice / 4 + (RANGE + LINE) * self.count_lines()?),
                None => None,
            },
        };
        Ok(needed.is_some_and(|needed| needed <= memory))
    }

    fn count_lines(&self) -> Result<u64, TaskError> {
        let mut block = vec![0; 1 << 18];
        let mut count = 1;
        // What others have read is not sorted.
        let mut at = (&self.file).stream_position().map_err(|error| cannot_read(&self.name, &error))?;
        loop {
            match self.file.read_at(&mut block, at) {
                Ok(0) => return Ok(count),
                Ok(read) => {
                    at += read as u64;
                    count += memchr::memchr_iter(b'\n', &block[..read]).count() as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cannot_read(&self.name, &error)),
            }
        }
    }

    /// Sorts it to `output`, which is then in its place.
    ///
    /// # Errors
    /// As [`sort`](super::sort()). An old output is then as it was.
    pub fn sort(self, way: Way, mut output: Stream, cancel: &Cancel) -> Result<(), TaskError> {
        let Self { file, name, content } = self;
        let Way { descending, budget, scratch, verify } = way;
        match content {
            Content::Numbers { number, count } => {
                output.write(&encode(number, &[count]))?;
                let bytes = count.saturating_mul(8);
                // Not what is appended meanwhile.
                let input = Box::new(text::Whole::exactly(file, bytes).take(bytes));
                let job =
                    Job { records: Numbers { number, descending }, input, name, scratch, budget, verify };
                sort(job, &mut output, cancel)?;
            }
            Content::Lines(left) => {
                let input = refused_npy(&name, text::Whole::new(file, left))?;
                sort(
                    Job { records: Lines { descending }, input, name, scratch, budget, verify },
                    &mut output,
                    cancel,
                )?;
            }
        }
        output.finish()
    }
}

/// What is not numbers by another name.
fn refused_npy(name: &Path, mut file: impl Read + Send + 'static) -> Result<Box<dyn Read + Send>, TaskError> {
    let mut head = Vec::new();
    let read = (&mut file).take(MAGIC.len() as u64).read_to_end(&mut head);
    read.map_err(|error| cannot_read(name, &error))?;
    refuse_npy(name, &head)?;
    Ok(Box::new(io::Cursor::new(head).chain(file)))
}

/// How a file is sorted.
#[derive(Clone, Debug)]
pub struct Way {
    /// Largest first.
    pub descending: bool,
    /// How much memory there is.
    pub budget: Budget,
    /// Where temporary files go.
    pub scratch: PathBuf,
    /// Whether the result is checked.
    pub verify: bool,
}

fn cannot_read(name: &Path, error: &io::Error) -> TaskError {
    TaskError::invalid_input(format!("cannot read {}: {error}", name.display()))
}
