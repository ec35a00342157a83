//! A temporary file.

use sgdt_proto::task::{ErrorCode, TaskError};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// A file without a name: whatever ends this process, the system takes its room back.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    directory: PathBuf,
}

impl Spill {
    /// A new one in this directory.
    pub(super) fn new(directory: &Path) -> Result<Self, TaskError> {
        match tempfile::tempfile_in(directory) {
            Ok(file) => Ok(Self { file, directory: directory.to_owned() }),
            Err(error) => Err(failed("make", directory, &error)),
        }
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) -> Result<(), TaskError> {
        self.file.write_all_at(bytes, at).map_err(|error| failed("write", &self.directory, &error))
    }

    pub(super) fn read(&self, into: &mut [u8], at: u64) -> Result<(), TaskError> {
        self.file.read_exact_at(into, at).map_err(|error| failed("read", &self.directory, &error))
    }

    /// Something that was written is not there any more.
    pub(super) fn spoilt(&self) -> TaskError {
        failed("read", &self.directory, &io::Error::other("it is not what was written"))
    }
}

fn failed(what: &str, directory: &Path, error: &io::Error) -> TaskError {
    let directory = directory.display();
    let advice = match error.kind() {
        io::ErrorKind::FileTooLarge => "; raise ulimit -f, or name another place with TMPDIR",
        _ => "; TMPDIR can name another place",
    };
    let message = format!("cannot {what} a temporary file in {directory}: {error}{advice}");
    TaskError::new(ErrorCode::GaveUp, message)
}
