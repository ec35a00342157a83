//! Files of text, of which standard input may be one.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::fd::AsFd,
    path::Path,
    process,
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

/// Whether this is how standard output is called: `-`, or a name of the system's that leads there, such as `/dev/stdout`. A
/// file behind it has what others write, too.
pub fn is_stdout(path: &Path) -> bool {
    /// As many links as Linux follows.
    const MOST_LINKS: usize = 40;

    if path == Path::new("-") {
        return true;
    }
    let own = |directory: &Path| {
        let process = Path::new("/proc").join(process::id().to_string());
        directory.strip_prefix(process).is_ok_and(|inner| inner.ends_with("fd"))
    };
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let Ok(directory) = directory.canonicalize() else { return false };
        if name == "1" && own(&directory) {
            return true;
        }
        match directory.join(name).read_link() {
            Ok(next) => path = directory.join(next),
            Err(_) => return false,
        }
    }
    false
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
    fn standard_output_is_known_by_every_name() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink("/dev/stdout", &link).unwrap();
        let own = format!("/proc/{}/fd/1", process::id());
        for name in ["-", "/dev/stdout", "/dev/fd/1", "/dev/../dev/stdout", "/proc/thread-self/fd/1", &own] {
            assert!(is_stdout(Path::new(name)), "{name}");
        }
        assert!(is_stdout(&link));
        fs::write(home.path().join("1"), "").unwrap();
        for name in ["", "1", "/", "/dev/stdin", "/dev/null", "/proc/1/fd/1", "/dev/fd/2", "./-"] {
            assert!(!is_stdout(Path::new(name)), "{name}");
        }
        assert!(!is_stdout(&home.path().join("1")));
    }

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
