//! The file that result lines go to, and what can be wrong with it.

use super::{
    place::{OPEN_FILE, is_open_file},
    replace::{Kept, advice},
    text,
    writer::{Order, ResultWriter},
};
use same_file::is_same_file;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    path::Path,
};

/// Why results cannot be written, or not any more. What was written before stands.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot write results to {name}: {reason}")]
pub struct WriteError {
    name: String,
    kind: io::ErrorKind,
    reason: String,
}

impl WriteError {
    /// Whether the reader has gone away and wants no more, as `head` does.
    pub fn is_closed_pipe(&self) -> bool {
        self.kind == io::ErrorKind::BrokenPipe
    }

    pub(super) fn new(name: &str, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::BrokenPipe => "nobody reads them any more".to_owned(),
            kind if !advice(kind).is_empty() => {
                format!("{error}{} (an --output goes on with --resume)", advice(kind))
            }
            _ => error.to_string(),
        };
        Self { name: name.to_owned(), kind: error.kind(), reason }
    }

    pub(super) fn refused(path: &Path, reason: impl Into<String>) -> Self {
        let name =
            if path == Path::new("-") { "standard output".to_owned() } else { path.display().to_string() };
        Self { name, kind: io::ErrorKind::InvalidInput, reason: reason.into() }
    }
}

/// A file that results are written to. When it is removed or cut off, or another takes its place, nobody would ever read what
/// was written: that is an error. One that is moved still has them all.
struct ResultsFile {
    file: Kept<File>,
    /// Whether it still has what it had before.
    is_old: bool,
}

impl ResultsFile {
    fn check(&self) -> io::Result<()> {
        if self.file.is_lost() {
            return Err(io::Error::other(
                "it was replaced, removed or cut off while the job ran: run it again",
            ));
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.is_old {
            self.file.empty()?;
            self.is_old = false;
        }
        Ok(())
    }
}

impl Write for ResultsFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        // Afterwards, one that was cut off would be as long again, with a hole.
        self.check()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.begin()?;
        self.file.flush()?;
        self.check()
    }
}

/// Goes on with an open file of this name.
pub(super) fn go_on(file: File, name: &str, order: Order) -> ResultWriter<Box<dyn Write + Send>> {
    writer(file, false, name, order).without_gaps()
}

fn writer(file: File, is_old: bool, name: &str, order: Order) -> ResultWriter<Box<dyn Write + Send>> {
    ResultWriter::new(Box::new(ResultsFile { file: Kept::new(file), is_old }), name, order)
}

/// Writes to a file, anew; `-` is standard output. Until the first flush the file keeps what it has: there may be nobody to
/// run the tasks.
///
/// # Errors
/// The file cannot be written, or another client is reading or writing it.
pub fn create(path: &Path, order: Order) -> Result<ResultWriter<Box<dyn Write + Send>>, WriteError> {
    if path == Path::new("-") {
        return Ok(ResultWriter::new(Box::new(Kept::new(io::stdout())), "standard output", order));
    }
    let name = path.display().to_string();
    let file = open(path)?;
    let is_old = file.metadata().is_ok_and(|about| about.is_file());
    let writer = writer(file, is_old, &name, order);
    Ok(if is_old { writer.without_gaps() } else { writer })
}

/// Makes sure that results do not overwrite the tasks.
///
/// # Errors
/// Both are the same regular file, by whatever names.
pub fn refuse_same_file(tasks: &Path, output: &Path) -> Result<(), WriteError> {
    // Behind standard input and output there may be files, too.
    let behind = |path, standard| if path == Path::new("-") { Path::new(standard) } else { path };
    let (tasks, results) = (behind(tasks, text::STDIN), behind(output, "/dev/stdout"));
    if results.is_file() && is_same_file(tasks, results).unwrap_or(false) {
        return Err(WriteError::refused(output, "it is the task file: name another --output"));
    }
    Ok(())
}

/// Opens a file for results, and locks it: two clients that write to one file would tear each other's lines.
pub(super) fn open(path: &Path) -> Result<File, WriteError> {
    let name = path.display().to_string();
    let failed = |error: io::Error| WriteError::new(&name, &error);
    if is_open_file(path) {
        return Err(WriteError::refused(path, OPEN_FILE));
    }
    let regular = !path.exists() || path.is_file();
    // Reading is for a resumed run, and what is not a regular file may not allow it.
    let file = OpenOptions::new()
        .read(regular)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed)?;
    if regular {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let reason =
                    "another client is reading or writing it: name another --output, or wait for its end";
                return Err(WriteError::refused(path, reason));
            }
            // A file system without locks is not worth refusing.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_begun_anew_by_one_client_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("results.jsonl");
        fs::write(&path, "an old line that is longer\n").unwrap();
        drop(create(&path, Order::AsFinished).unwrap());
        let mut first = create(&path, Order::AsFinished).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "an old line that is longer\n", "nothing has begun");
        first.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        first.push(0, b"line 0\n".to_vec()).unwrap();
        first.flush().unwrap();
        let error = create(&path, Order::AsFinished).err().unwrap();
        assert!(error.to_string().contains(": another client is reading or writing it"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "line 0\n", "the second must not have emptied it");
        drop(first);
        assert!(create(&path, Order::AsFinished).is_ok());
    }

    #[test]
    fn results_do_not_go_over_the_tasks() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tasks.jsonl");
        fs::write(&path, "").unwrap();
        let other = home.path().join("./tasks.jsonl");
        assert!(refuse_same_file(&path, &other).is_err());
        let link = home.path().join("another name");
        fs::hard_link(&path, &link).unwrap();
        assert!(refuse_same_file(&path, &link).is_err());
        assert!(refuse_same_file(&path, &home.path().join("results.jsonl")).is_ok());
        assert!(refuse_same_file(Path::new("/dev/null"), Path::new("/dev/null")).is_ok());
        assert!(refuse_same_file(&path, Path::new("-")).is_ok());
    }
}
