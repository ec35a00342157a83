//! Files that only their owner can read, most of which are made once.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Why a file is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is there already.
    #[error("{} exists already and is not overwritten; choose another directory, or move it away", path.display())]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// With which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

const OWNER_ONLY_DIRECTORY: u32 = 0o700;
const OWNER_ONLY: u32 = 0o600;

/// Makes a directory, unless it is there and has none of these files.
///
/// # Errors
/// It has one of them, or cannot be made.
pub fn directory(path: &Path, files: &[&str]) -> Result<(), FileError> {
    if let Some(taken) = files.iter().map(|file| path.join(file)).find(|file| file.symlink_metadata().is_ok())
    {
        return Err(FileError::Exists { path: taken });
    }
    let made = DirBuilder::new().recursive(true).mode(OWNER_ONLY_DIRECTORY).create(path);
    made.map_err(failed("make the directory", path))
}

/// Writes a file that must not be there yet.
///
/// # Errors
/// It is there, or cannot be written.
pub fn create(path: &Path, contents: &str) -> Result<(), FileError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists { path: path.to_owned() },
        _ => failed("write", path)(source),
    })?;
    file.write_all(contents.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

/// Writes a file in place of the one that is there, if one is, so that at any time there is a whole one.
///
/// # Errors
/// It cannot be written.
pub fn replace(path: &Path, contents: &str) -> Result<(), FileError> {
    let new = path.with_extension("new");
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&new);
    let mut file = opened.map_err(failed("write", &new))?;
    file.write_all(contents.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", &new))?;
    fs::rename(&new, path).map_err(failed("write", path))
}

/// Adds a line to a file, which is made if need be.
///
/// # Errors
/// It cannot be written.
pub fn append(path: &Path, line: &str) -> Result<(), FileError> {
    let opened = OpenOptions::new().append(true).create(true).mode(OWNER_ONLY).open(path);
    let mut file = opened.map_err(failed("write", path))?;
    let before = file.metadata().map_err(failed("read", path))?.len();
    let written = file.write_all(format!("{line}\n").as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| {
        // Half a line would be in the way of all that are to come. The first error is the one to tell.
        let _ = file.set_len(before);
        failed("write", path)(source)
    })
}

/// Reads a whole file of text.
///
/// # Errors
/// It cannot be read, or is no text.
pub fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(failed("read", path))
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> FileError {
    move |source| FileError::File { what, path: path.to_owned(), source }
}
