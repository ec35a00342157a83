//! Files of text, of which standard input may be one.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Read};

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
}
