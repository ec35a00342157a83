//! Files of text, of which standard input may be one.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::fd::AsFd,
    path::Path,
};

/// Standard input, as a file.
pub const STDIN: &str = "/dev/stdin";

/// Opens what has text. A file that standard input is redirected from goes on where others have stopped reading.
///
/// # Errors
/// It cannot be opened, or is a directory.
pub fn open(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if path == Path::new(STDIN) && about.is_file() {
        let at = File::from(io::stdin().as_fd().try_clone_to_owned()?).stream_position()?;
        file.seek(SeekFrom::Start(at))?;
    }
    Ok(file)
}

/// How many bytes are left to read, unless it is a pipe or the like, which does not say.
///
/// # Errors
/// The file does not say where it is read.
pub fn left(mut file: &File) -> io::Result<Option<u64>> {
    let about = file.metadata()?;
    Ok(if about.is_file() { Some(about.len().saturating_sub(file.stream_position()?)) } else { None })
}

/// What a file has, to its end, unless it becomes shorter meanwhile.
#[derive(Debug)]
pub struct Whole {
    file: File,
    missing: u64,
    exact: bool,
}

impl Whole {
    /// A file that had `left` bytes when it was opened, if it said so.
    pub fn new(file: File, left: Option<u64>) -> Self {
        Self { file, missing: left.unwrap_or_default(), exact: false }
    }

    /// A file that has so many bytes by what was read of it: any end before them is too early.
    pub fn exactly(file: File, bytes: u64) -> Self {
        Self { file, missing: bytes, exact: true }
    }

    /// Whether an end here is too early. Some of the system's own files always end before they say.
    fn ended_early(&mut self) -> io::Result<bool> {
        Ok(self.exact
            || self.file.metadata()?.len() < self.file.stream_position()?.saturating_add(self.missing))
    }
}

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        if read == 0 && !into.is_empty() && self.missing > 0 && self.ended_early()? {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.missing = self.missing.saturating_sub(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_was_read_is_not_left() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lines");
        fs::write(&path, "b\na\n").unwrap();
        let mut file = open(&path).unwrap();
        assert_eq!(left(&file).unwrap(), Some(4));
        file.read_exact(&mut [0; 3]).unwrap();
        assert_eq!(left(&file).unwrap(), Some(1));
        assert_eq!(left(&open(Path::new("/dev/null")).unwrap()).unwrap(), None);
        assert_eq!(open(home.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn a_file_that_says_more_than_it_has_did_not_become_shorter() {
        // A page, by its size, and a line by what is read.
        let file = open(Path::new("/sys/devices/system/cpu/online")).unwrap();
        let left = left(&file).unwrap();
        let mut text = String::new();
        Whole::new(file, left).read_to_string(&mut text).unwrap();
        assert!(text.starts_with('0'), "{text:?}");
        let file = open(Path::new("/sys/devices/system/cpu/online")).unwrap();
        let more = text.len() as u64 + 1;
        assert!(Whole::exactly(file, more).read_to_string(&mut text).is_err());
    }

    #[test]
    fn what_became_shorter_since_it_was_opened_is_no_whole_text() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lines");
        fs::write(&path, "b\na\n").unwrap();
        for (now, whole) in [("b\na\n", true), ("b\na\nc\n", true), ("b\na", false), ("", false)] {
            let file = open(&path).unwrap();
            fs::write(&path, now).unwrap();
            let mut text = String::new();
            let read = Whole::new(file, Some(4)).read_to_string(&mut text);
            assert_eq!(read.is_ok(), whole, "{now:?}");
        }
    }
}
