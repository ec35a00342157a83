//! Where what is written to a path goes, and whether it can.

use rustix::fs::{Access, access};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// The place of a file that is there, or will be: behind the links at `path`, in a directory that is called by its own
/// name. What is no regular file, such as a pipe, is called as it was: links to it may lead nowhere.
///
/// # Errors
/// Why no file can be written there, in words.
pub(super) fn of(path: &Path) -> Result<PathBuf, String> {
    if is_device(path) {
        return Ok(path.to_owned());
    }
    let target = follow(path).map_err(|error| error.to_string())?;
    let directory = directory_of(&target);
    let Ok(directory) = directory.canonicalize() else {
        return Err(format!("the directory {} does not exist", directory.display()));
    };
    let Some(name) = target.file_name() else { return Err("it is no file's name".to_owned()) };
    let target = directory.join(name);
    if fs::metadata(&target).is_ok_and(|old| old.permissions().readonly()) {
        return Err("the file there is read-only".to_owned());
    }
    access(&directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let reason = io::Error::from(error);
        format!("no file can be made in the directory {}: {reason}", directory.display())
    })?;
    Ok(target)
}

/// Whether there is something that is written to as it is: a pipe, or a terminal.
pub(super) fn is_device(target: &Path) -> bool {
    fs::metadata(target).is_ok_and(|about| !about.is_file())
}

/// What the links lead to.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = directory_of(&path).join(next),
            // It is no link, or not there: what is wrong with it, if anything, shows when it is written.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_to_a_file_whether_it_is_there_or_not() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        fs::create_dir(home.join("d")).unwrap();
        symlink("d", home.join("directory")).unwrap();
        symlink("../new", home.join("d/link")).unwrap();
        symlink("directory/link", home.join("far")).unwrap();
        for name in ["new", "far", "d/../new", "directory/link"] {
            assert_eq!(of(&home.join(name)), Ok(home.join("new")), "{name}");
        }
        fs::write(home.join("new"), "old").unwrap();
        assert_eq!(of(&home.join("far")), Ok(home.join("new")));
        symlink("/dev/null", home.join("null")).unwrap();
        assert_eq!(of(&home.join("null")), Ok(home.join("null")));
    }

    #[test]
    fn what_no_file_can_be_written_to_is_said_with_the_reason() {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| home.path().join(name);
        symlink("loop", place("loop")).unwrap();
        symlink("missing/file", place("dangling")).unwrap();
        assert_eq!(of(&place("loop")).unwrap_err(), "its links lead in a circle");
        for name in ["missing/file", "dangling"] {
            let missing = format!("the directory {} does not exist", place("missing").display());
            assert_eq!(of(&place(name)).unwrap_err(), missing);
        }
        fs::write(place("old"), "old").unwrap();
        let mut kept = fs::metadata(place("old")).unwrap().permissions();
        kept.set_readonly(true);
        fs::set_permissions(place("old"), kept).unwrap();
        assert_eq!(of(&place("old")).unwrap_err(), "the file there is read-only");
    }
}
