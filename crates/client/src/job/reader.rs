//! A task file, line by line.

use super::{
    answer::Answer,
    fields::shorten,
    files::JobFiles,
    id::{LineId, Seen},
    kinds::{ClientKinds, Request},
    line::{Line, at_line, parse},
    replace::Kept,
    resume::Done,
    ticket::{TaskLine, Ticket},
};
use crate::{giant::Whole, verify::Check};
use sgdt_proto::{id::Kind, payload::Payload, task::TaskError};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// The longest line, in bytes. Lines are what a task file must be read in, so this bounds the memory for one.
pub const MAX_LINE: u64 = 256 << 20;
/// What is read at once.
const BLOCK: usize = 256 << 10;
/// A line buffer that one long line has made larger than this is given back.
const KEPT: usize = 1 << 20;

/// Why a task file cannot be read, or not further. What was read before stands.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the task file {name}{}: {source}", after(*line))]
pub struct ReadError {
    name: String,
    line: u64,
    source: io::Error,
}

/// Reads a task file lazily: one [`TaskLine`] for each line that is not blank, in order. After an error it ends.
pub struct TaskReader<R> {
    input: R,
    name: String,
    files: JobFiles,
    kinds: ClientKinds,
    max_line: u64,
    buffer: Vec<u8>,
    /// The number of the line that was read last.
    line: u64,
    /// The next line's place among those with a result to come.
    seq: u64,
    bytes: u64,
    seen: Seen,
    done: Done,
    skipped: u64,
    given_up: Option<TaskError>,
    ended: bool,
}

/// What came of reading a line into the buffer.
enum Found {
    Line,
    TooLong,
    End,
}

/// A task file that [`TaskReader::open`] has opened.
pub type TaskFile = BufReader<Box<dyn Read + Send>>;

impl TaskReader<TaskFile> {
    /// Opens a task file; `-` is standard input. Relative paths in it are relative to its directory, or to the
    /// working directory.
    ///
    /// # Errors
    /// The file cannot be opened, or is a directory.
    pub fn open(path: &Path, kinds: ClientKinds) -> Result<Self, ReadError> {
        if path == Path::new("-") {
            // A lock would be that of all who have it, too, and stay when this process is gone.
            let input = BufReader::with_capacity(BLOCK, Box::new(Kept::new(io::stdin())) as _);
            return Ok(Self::new(input, "standard input", Path::new(""), kinds));
        }
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| {
            let directory = file.metadata()?.is_dir();
            if directory { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
        });
        match opened {
            Ok(file) => {
                let base = path.parent().unwrap_or(Path::new(""));
                // Several clients may read it, and none that comes later has its results there. There may be no locks, or
                // somebody else's.
                let _ = file.try_lock_shared();
                let file = Box::new(Kept::new(file)) as _;
                Ok(Self::new(BufReader::with_capacity(BLOCK, file), name, base, kinds))
            }
            Err(source) => Err(ReadError { name, line: 0, source }),
        }
    }
}

impl<R: BufRead> TaskReader<R> {
    /// How answers to an input of this kind are checked, where they can be.
    pub fn check(&self, kind: &Kind, input: &Payload) -> Option<Check> {
        self.kinds.check(kind, input)
    }

    /// The task of an input of this kind as one that can be split, where it can.
    pub fn whole(&self, kind: &Kind, input: &Payload) -> Option<Whole> {
        self.kinds.whole(kind, input)
    }

    /// Reads tasks from `input`, which errors call `name`. Relative paths are relative to `base`.
    pub fn new(input: R, name: impl Into<String>, base: &Path, kinds: ClientKinds) -> Self {
        Self {
            input,
            name: name.into(),
            files: JobFiles::relative_to(base),
            kinds,
            max_line: MAX_LINE,
            buffer: Vec::new(),
            line: 0,
            seq: 0,
            bytes: 0,
            seen: Seen::default(),
            done: Done::default(),
            skipped: 0,
            given_up: None,
            ended: false,
        }
    }

    /// Passes over the lines whose results are there already.
    #[must_use]
    pub fn resuming(mut self, done: Done) -> Self {
        self.done = done;
        self
    }

    /// Takes lines of this length at most, in bytes. [`MAX_LINE`] if not set.
    #[must_use]
    pub fn max_line(mut self, bytes: u64) -> Self {
        self.max_line = bytes;
        self
    }

    /// From here on nothing is to be computed: a line that could be sent has this for its result.
    pub fn give_up(&mut self, error: TaskError) {
        self.given_up = Some(error);
    }

    /// How many lines were passed over because their results were there already.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many bytes have been read: with the file's size, how far it is.
    pub fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// Lets go of what was read, but not of the file.
    pub fn into_input(self) -> R {
        self.input
    }

    fn read_line(&mut self) -> io::Result<Found> {
        if self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        let limit = self.max_line.saturating_add(1);
        let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.buffer)? as u64;
        if read == 0 {
            return Ok(Found::End);
        }
        self.line += 1;
        self.bytes += read;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if read == limit {
            self.bytes += self.input.skip_until(b'\n')? as u64;
            return Ok(Found::TooLong);
        }
        Ok(Found::Line)
    }

    /// What is to be done with the line in the buffer, if anything is.
    fn task_line(&mut self, too_long: bool) -> Option<TaskLine> {
        // A byte order mark says nothing in UTF-8, and some editors write one: in front of each of several files in one.
        let bytes = self.buffer.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&self.buffer);
        if bytes.trim_ascii().is_empty() && !too_long {
            return None;
        }
        let Line { mut id, kind, mut task } = if too_long {
            Line { id: LineId::Malformed(self.line), kind: None, task: Err(self.too_large()) }
        } else {
            parse(self.line, bytes)
        };
        if !self.seen.claim(&id) {
            task = Err(at_line(self.line, taken(&id, &self.seen)));
            id = LineId::Malformed(self.line);
        }
        // Those of lines that are done, too: what they have written is no other line's.
        self.files.begin(self.line);
        let task = task.and_then(|(kind, fields)| {
            let named = self.kinds.name_files(&kind, &fields, &mut self.files);
            named.map_err(|error| at_line(self.line, error))?;
            Ok((kind, fields))
        });
        if self.done.contains(&id) {
            self.skipped += 1;
            return None;
        }
        let encoded = task.and_then(|(kind, fields)| {
            if let Some(error) = &self.given_up {
                return Err(error.clone());
            }
            let request = self.kinds.encode(&kind, &fields, &self.files);
            let Request { payload, answer } = request.map_err(|error| at_line(self.line, error))?;
            Ok(((kind, payload), answer))
        });
        let (request, answer) = match encoded {
            Ok((request, answer)) => (Ok(request), answer),
            Err(error) => (Err(error), Answer::as_is()),
        };
        let ticket = Ticket { seq: self.seq, line: self.line, id, kind, checked: false, answer };
        self.seq += 1;
        Some(TaskLine { ticket, request })
    }

    /// Reads one line, which may have nothing to be done.
    fn step(&mut self) -> Option<Result<Option<TaskLine>, ReadError>> {
        if self.ended {
            return None;
        }
        match self.read_line() {
            Ok(Found::Line) => Some(Ok(self.task_line(false))),
            Ok(Found::TooLong) => Some(Ok(self.task_line(true))),
            Ok(Found::End) => {
                self.ended = true;
                None
            }
            Err(source) => {
                self.ended = true;
                Some(Err(ReadError { name: self.name.clone(), line: self.line, source }))
            }
        }
    }

    fn too_large(&self) -> TaskError {
        let most = self.max_line;
        let message = format!("it has more than {most} bytes: put the numbers into .npy files");
        at_line(self.line, TaskError::too_large(message))
    }
}

impl<R: Read> TaskReader<BufReader<R>> {
    /// Appends the next tasks to `chunk`: waits for one, and takes those after it that are here already, up to
    /// `lines` of them, or to about so many `bytes` of input. Whether there may be more.
    ///
    /// # Errors
    /// Reading fails. What was read before that is in `chunk`.
    pub fn read_chunk(
        &mut self,
        chunk: &mut Vec<TaskLine>,
        lines: usize,
        bytes: usize,
    ) -> Result<bool, ReadError> {
        let (mut taken, mut size) = (0, 0);
        while taken < lines && size < bytes && (taken == 0 || self.input.buffer().contains(&b'\n')) {
            match self.step() {
                None => return Ok(false),
                Some(Ok(None)) => {}
                Some(Ok(Some(line))) => {
                    size += line.request.as_ref().map_or(0, |(_, payload)| payload.size());
                    taken += 1;
                    chunk.push(line);
                }
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl<R: BufRead> Iterator for TaskReader<R> {
    type Item = Result<TaskLine, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.step()?.transpose() {
                return Some(line);
            }
        }
    }
}

fn taken(id: &LineId, seen: &Seen) -> TaskError {
    TaskError::invalid_input(match id {
        LineId::Given(id) if seen.is_number(id) => {
            format!("the id {id:?} is the number of an earlier line, which has no id and so goes by it")
        }
        LineId::Given(id) => format!("the id {:?} is that of an earlier line", shorten(id)),
        LineId::Number(number) | LineId::Malformed(number) => {
            format!("it has no id, and an earlier line has {number} for its id")
        }
    })
}

fn after(line: u64) -> String {
    if line == 0 { String::new() } else { format!(" after line {line}") }
}

#[cfg(test)]
mod tests;
