//! Where the files are that people name: behind links, and behind the names that the system has for what is open.

use std::{
    ffi::OsString,
    io, iter,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// Where links at `path` lead in the end, whether anything is there or not.
///
/// # Errors
/// They lead in a circle, or there are too many.
pub fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let place = links(path).last().filter(|place| place.read_link().is_err());
    place
        .ok_or_else(|| io::Error::other(format!("its links lead in a circle, or are more than {MOST_LINKS}")))
}

/// What a file is known by, there or not and whatever leads to it: its directory's device, and number there, and its name.
/// Nothing, where no file can be.
pub fn identity(path: &Path) -> Option<(u64, u64, OsString)> {
    let place = behind_links(path).ok()?;
    let directory = directory_of(&place).metadata().ok()?;
    Some((directory.dev(), directory.ino(), place.file_name()?.to_owned()))
}

/// The directory that a path is in.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Whether this is how standard output is called: `-`, or a name of the system's that leads there, such as `/dev/stdout`.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new("-") || descriptor(path) == Some(1)
}

/// Whether this is a regular file that was given to this process open, and has only a number here: `/dev/stderr`, `/dev/fd/3`,
/// and links there. Others write to it, too, and go on behind what they have written, so it is not for this process to
/// replace or to empty.
pub fn is_open_file(path: &Path) -> bool {
    path.is_file() && descriptor(path).is_some()
}

/// What people can do about a file that has only a number here.
pub const OPEN_FILE: &str =
    "it stands for an open file: name the file itself, or write to - and redirect standard output";

/// A path, and those that links lead on to, in turn.
fn links(path: &Path) -> impl Iterator<Item = PathBuf> {
    let next = |path: &PathBuf| Some(directory_of(path).join(path.read_link().ok()?));
    iter::successors(Some(path.to_owned()), next).take(MOST_LINKS + 1)
}

/// The number of the descriptor of this process that a name of the system's leads to.
fn descriptor(path: &Path) -> Option<u32> {
    // Not by the process's number, which need not be the one that it has there.
    let own = Path::new("/proc/self").canonicalize().ok()?;
    links(path).find_map(|place| {
        let directory = directory_of(&place).canonicalize().ok()?;
        let is_own = directory.strip_prefix(&own).is_ok_and(|inner| inner.ends_with("fd"));
        if is_own { place.file_name()?.to_str()?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, File},
        os::{fd::AsRawFd, unix::fs::symlink},
        process,
    };

    #[test]
    fn links_are_followed_whether_there_is_anything_or_not() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        fs::create_dir(home.join("d")).unwrap();
        symlink("d", home.join("directory")).unwrap();
        symlink("../new", home.join("d/link")).unwrap();
        symlink("directory/link", home.join("far")).unwrap();
        let known = identity(&home.join("new"));
        assert!(known.is_some());
        for there in [false, true] {
            for name in ["new", "far", "d/../new", "directory/link"] {
                assert_eq!(identity(&home.join(name)), known, "{name}");
            }
            assert_ne!(identity(&home.join("d/new")), known);
            if !there {
                fs::write(home.join("new"), "new").unwrap();
            }
        }
        for nowhere in ["missing/new", ".."] {
            assert_eq!(identity(&home.join(nowhere)), None, "{nowhere}");
        }
    }

    #[test]
    fn as_many_links_are_followed_as_the_system_follows() {
        let home = tempfile::tempdir().unwrap();
        let link = |number: usize| home.path().join(number.to_string());
        fs::write(link(0), "file").unwrap();
        for number in 1..=MOST_LINKS + 1 {
            symlink(link(number - 1), link(number)).unwrap();
        }
        assert!(link(MOST_LINKS).is_file() && behind_links(&link(MOST_LINKS)).unwrap() == link(0));
        assert!(!link(MOST_LINKS + 1).is_file() && behind_links(&link(MOST_LINKS + 1)).is_err());
        symlink("loop", home.path().join("loop")).unwrap();
        assert!(behind_links(&home.path().join("loop")).is_err());
    }

    #[test]
    fn standard_output_is_known_by_every_name() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("link");
        symlink("/dev/stdout", &link).unwrap();
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
    fn an_open_file_is_known_by_its_number() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let file = File::create(&path).unwrap();
        let name = |number| PathBuf::from(format!("/dev/fd/{number}"));
        assert!(is_open_file(&name(file.as_raw_fd())) && !is_open_file(&path));
        fs::remove_file(path).unwrap();
        assert!(is_open_file(&name(file.as_raw_fd())), "though it has no other name any more");
        let (_reader, pipe) = io::pipe().unwrap();
        assert!(!is_open_file(&name(pipe.as_raw_fd())));
    }
}
