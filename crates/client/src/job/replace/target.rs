//! Where a file is written, and whether it can be.

use crate::job::place::{OPEN_FILE, behind_links, directory_of, is_open_file};
use rustix::fs::{Access, access};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritable {
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    #[error("{OPEN_FILE}")]
    Open,
    #[error("the directory {} does not exist", .0.display())]
    Nowhere(PathBuf),
    #[error("no file can be made in {}: {}", .0.display(), .1)]
    Directory(PathBuf, io::Error),
    #[error("the file there is read-only")]
    ReadOnly,
}

/// The place of a file that is there, or will be: behind the links at `path`, in a directory that is called by its own
/// name. What is no regular file, such as a pipe, is called as it was: links to it may lead nowhere.
///
/// # Errors
/// Why no file can be written there, as far as that can be known before.
pub(super) fn of(path: &Path) -> Result<PathBuf, Unwritable> {
    if is_device(path) {
        return Ok(path.to_owned());
    }
    if is_open_file(path) {
        return Err(Unwritable::Open);
    }
    let place = behind_links(path)?;
    let Some(name) = place.file_name() else {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    };
    let directory = directory_of(&place);
    let directory = directory.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unwritable::Nowhere(directory.to_owned()),
        _ => Unwritable::Directory(directory.to_owned(), error),
    })?;
    if !directory.is_dir() {
        return Err(Unwritable::Directory(directory, io::ErrorKind::NotADirectory.into()));
    }
    let target = directory.join(name);
    match fs::metadata(&target) {
        Ok(old) if old.permissions().readonly() => return Err(Unwritable::ReadOnly),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    if let Err(error) = access(&directory, Access::WRITE_OK | Access::EXEC_OK) {
        return Err(Unwritable::Directory(directory, error.into()));
    }
    Ok(target)
}

/// Whether there is something that is written to as it is: a pipe, or a terminal.
pub(super) fn is_device(target: &Path) -> bool {
    fs::metadata(target).is_ok_and(|about| !about.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::unix::fs::symlink};

    #[test]
    fn a_file_is_written_where_links_lead() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        symlink("new", home.join("link")).unwrap();
        symlink("/dev/null", home.join("null")).unwrap();
        assert_eq!(of(&home.join("link")).unwrap(), home.join("new"));
        assert_eq!(of(&home.join("null")).unwrap(), home.join("null"));
    }

    #[test]
    fn what_no_file_can_be_written_to_is_said_with_the_reason() {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| home.path().join(name);
        let refused = |name: &str| of(&place(name)).unwrap_err().to_string();
        symlink("loop", place("loop")).unwrap();
        symlink("missing/file", place("dangling")).unwrap();
        assert!(refused("loop").starts_with("its links lead in a circle"));
        for name in ["missing/file", "dangling"] {
            let missing = format!("the directory {} does not exist", place("missing").display());
            assert_eq!(refused(name), missing);
        }
        fs::write(place("old"), "old").unwrap();
        assert!(refused("old/file").ends_with("old: not a directory"), "{}", refused("old/file"));
        assert!(refused(&"x".repeat(300)).starts_with("File name too long"));
        let mut kept = fs::metadata(place("old")).unwrap().permissions();
        kept.set_readonly(true);
        fs::set_permissions(place("old"), kept).unwrap();
        assert_eq!(refused("old"), "the file there is read-only");
        // Root may write there all the same.
        fs::create_dir(place("locked")).unwrap();
        let mut locked = fs::metadata(place("locked")).unwrap().permissions();
        locked.set_readonly(true);
        fs::set_permissions(place("locked"), locked).unwrap();
        let is_refused = of(&place("locked/file")).is_err();
        assert_eq!(is_refused, File::create(place("locked/file")).is_err());
    }
}
