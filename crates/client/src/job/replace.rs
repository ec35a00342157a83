//! Files that are written whole or not at all.
//!
//! The bytes go to a new file in the same directory, which then takes the place of the old one, so that
//! nobody ever reads half a result, whenever the client is killed. It is not forced to the disk first: that
//! would guard against a power cut alone, and a job of many small files would spend its time waiting.
//! A client that is killed with SIGKILL while it writes leaves such a file behind, and the next one that writes to the
//! directory removes it (`part`).

mod kept;
mod part;

pub(super) use kept::Kept;
pub(super) use part::PartFile;
pub use part::remove_unfinished;

use super::fields::{shorten, string};
use sgdt_proto::task::{ErrorCode, TaskError};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    path::{Path, PathBuf},
};

/// What a task's output goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// As it was given, and as it is told in the result.
    shown: String,
    place: Place,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    /// A file: where it is, seen from here.
    File(PathBuf),
    Stdout,
}

impl Destination {
    /// The file that the command line names; `-` is standard output, and so is a device of that name: a file behind it has
    /// what others write, too, and is not replaced.
    ///
    /// # Errors
    /// `invalid-input`: its directory does not exist, or a job of this process has its tasks or results there.
    pub fn new(path: &Path) -> Result<Self, TaskError> {
        if ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].map(Path::new).contains(&path) {
            return Ok(Self { shown: "standard output".to_owned(), place: Place::Stdout });
        }
        Self::file(path.display().to_string(), path.to_owned())
    }

    /// The file that a field names, relative to `base`.
    ///
    /// # Errors
    /// As [`new`](Self::new), or `invalid-input`: it is no string, or it is `-`: results have the standard output.
    pub fn from_field(name: &str, value: &str, base: &Path) -> Result<Self, TaskError> {
        let (shown, path) = located(name, value, base)?;
        if shown == "-" {
            return Err(TaskError::invalid_input(format!(
                "{name:?} is a file, not standard output, where result lines go: leave it out to have the result in its \
                 line, or write \"./-\" for a file of that name"
            )));
        }
        Self::file(shown, path)
    }

    /// Makes sure that bytes which are no text do not go to a terminal.
    ///
    /// # Errors
    /// `invalid-input`: they would.
    pub fn takes_bytes(self) -> Result<Self, TaskError> {
        if self.place == Place::Stdout && io::stdout().is_terminal() {
            return Err(TaskError::invalid_input(
                "the output is no text, and standard output is a terminal: name a file, or redirect it",
            ));
        }
        Ok(self)
    }

    /// The file, as results and messages call it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Opens what can only be written from its start to its end, such as a pipe; `None` where there is, or will be, a
    /// regular file.
    ///
    /// # Errors
    /// `gave-up`, naming it and what stands in the way.
    pub(super) fn device(&self) -> Result<Option<File>, TaskError> {
        let opened = match &self.place {
            // Not by a name such as /dev/stdout: a file behind it would be written from its start.
            Place::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            Place::File(path) if fs::metadata(path).is_ok_and(|about| !about.is_file()) => {
                OpenOptions::new().write(true).open(path)
            }
            Place::File(_) => return Ok(None),
        };
        opened.map(Some).map_err(|error| self.cannot(&error))
    }

    /// Writes the file: these parts, one after the other.
    ///
    /// # Errors
    /// `gave-up`, naming the file and what stands in the way: nothing is wrong with the task.
    pub fn write(&self, parts: &[&[u8]]) -> Result<(), TaskError> {
        let written = match (&self.place, self.device()?) {
            (_, Some(device)) => write_all(&device, parts),
            (Place::File(path), None) => replace(path, parts),
            (Place::Stdout, None) => Ok(()),
        };
        written.map_err(|error| self.cannot(&error))
    }

    /// Begins to write a file of so many bytes, whose parts come in any order.
    ///
    /// # Errors
    /// `gave-up`, naming the file and what stands in the way; `too-large`.
    pub fn begin(&self, len: usize) -> Result<Part, TaskError> {
        let cannot = |error: io::Error| self.cannot(&error);
        // Where parts cannot be written but in order.
        let kept = || {
            let mut kept = Vec::new();
            kept.try_reserve_exact(len)
                .map_err(|_| TaskError::too_large(format!("there is no memory for {len} bytes")))?;
            kept.resize(len, 0);
            Ok(Part { to: self.clone(), content: Content::Held(kept) })
        };
        let Place::File(path) = &self.place else { return kept() };
        let (target, permissions) = match fs::metadata(path) {
            Ok(old) if old.permissions().readonly() => return Err(cannot(read_only())),
            Ok(old) if old.is_file() => (fs::canonicalize(path).map_err(cannot)?, Some(old.permissions())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (path.clone(), None),
            // Such as a pipe.
            Ok(_) => return kept(),
            Err(error) => return Err(cannot(error)),
        };
        let part = PartFile::beside(&target).map_err(cannot)?;
        let prepared = permissions.map_or(Ok(()), |permissions| part.file().set_permissions(permissions));
        prepared.and_then(|()| part.file().set_len(len as u64)).map_err(cannot)?;
        Ok(Part { to: self.clone(), content: Content::File { part, target } })
    }

    pub(super) fn cannot(&self, error: &io::Error) -> TaskError {
        let name = match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Stdout => self.shown.clone(),
        };
        TaskError::new(ErrorCode::GaveUp, format!("cannot write {name}: {error}"))
    }

    /// Says at once what would otherwise come out after the task has run.
    fn file(shown: String, path: PathBuf) -> Result<Self, TaskError> {
        let directory = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => &path,
        };
        if path.file_name().is_none() || path.is_dir() {
            return Err(TaskError::invalid_input(format!("the output {shown:?} is no file's name")));
        }
        if !directory.is_dir() {
            let directory = directory.display();
            let message = format!("cannot write {shown}: the directory {directory} does not exist");
            return Err(TaskError::invalid_input(message));
        }
        if kept::is_kept(&path) {
            return Err(TaskError::invalid_input(format!(
                "the job reads its tasks from {shown}, or writes its results there: name another output"
            )));
        }
        Ok(Self { shown, place: Place::File(path) })
    }
}

/// A file in the making. It takes its place when it is finished, and is gone when it is dropped before that.
#[derive(Debug)]
pub struct Part {
    to: Destination,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File {
        part: PartFile,
        target: PathBuf,
    },
    /// Where parts cannot be written but in order.
    Held(Vec<u8>),
    Finished,
}

impl Part {
    /// Writes some bytes to their place.
    ///
    /// # Errors
    /// `gave-up`, naming the file and what stands in the way.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), TaskError> {
        let written = match &mut self.content {
            Content::File { part, .. } => part.file().write_all_at(bytes, offset as u64),
            Content::Held(kept) => {
                match kept.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len())) {
                    Some(place) => {
                        place.copy_from_slice(bytes);
                        Ok(())
                    }
                    None => Err(io::ErrorKind::InvalidInput.into()),
                }
            }
            Content::Finished => Ok(()),
        };
        written.map_err(|error| self.to.cannot(&error))
    }

    /// Cuts off what is beyond so many bytes.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub(super) fn truncate(&mut self, len: usize) -> Result<(), TaskError> {
        let cut = match &mut self.content {
            Content::File { part, .. } => part.file().set_len(len as u64),
            Content::Held(kept) => {
                kept.truncate(len);
                Ok(())
            }
            Content::Finished => Ok(()),
        };
        cut.map_err(|error| self.to.cannot(&error))
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// `gave-up`, naming the file and what stands in the way; an old one is then as it was.
    pub fn finish(mut self) -> Result<(), TaskError> {
        match std::mem::replace(&mut self.content, Content::Finished) {
            Content::File { part, target } => {
                let placed = part.take_place_of(&target);
                placed.map(drop).map_err(|error| self.to.cannot(&error))
            }
            Content::Held(kept) => self.to.write(&[&kept]),
            Content::Finished => Ok(()),
        }
    }
}

/// Reads the name of a file: as it was given, and relative to `base`.
///
/// # Errors
/// `invalid-input`: it is no string, or an empty one.
pub fn located(name: &str, value: &str, base: &Path) -> Result<(String, PathBuf), TaskError> {
    let shown = string(name, value)?.into_owned();
    if shown.is_empty() || shown.contains('\0') {
        return Err(TaskError::invalid_input(format!("{name:?} is no file's name: {}", shorten(value))));
    }
    let path = base.join(&shown);
    Ok((shown, path))
}

/// Gives `path` a new content: these parts, one after the other. What is not a regular file, such as a pipe, is written to as it is; behind a symbolic link, it is the link's target that is replaced.
///
/// # Errors
/// The first thing that fails; the old file is then as it was.
pub fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(old) if old.permissions().readonly() => Err(read_only()),
        Ok(old) if old.is_file() => swap_in(&fs::canonicalize(path)?, parts, Some(old.permissions())),
        Ok(_) => write_all(&OpenOptions::new().write(true).open(path)?, parts),
        Err(error) if error.kind() == io::ErrorKind::NotFound => swap_in(path, parts, None),
        Err(error) => Err(error),
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "the file there is read-only")
}

fn swap_in(path: &Path, parts: &[&[u8]], permissions: Option<fs::Permissions>) -> io::Result<()> {
    let part = PartFile::beside(path)?;
    if let Some(permissions) = permissions {
        part.file().set_permissions(permissions)?;
    }
    write_all(part.file(), parts)?;
    part.take_place_of(path).map(drop)
}

fn write_all(mut file: &File, parts: &[&[u8]]) -> io::Result<()> {
    parts.iter().try_for_each(|part| file.write_all(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn entries(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn a_file_appears_whole_and_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("c.npy");
        replace(&path, &[b"head", b"", b"body"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"headbody");
        replace(&path, &[b"new"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(entries(home.path()), 1);
    }

    #[test]
    fn an_existing_file_keeps_its_permissions_and_a_link_keeps_pointing() {
        let home = tempfile::tempdir().unwrap();
        let (path, link) = (home.path().join("real"), home.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&path, &link).unwrap();
        replace(&link, &[b"new"]).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        replace(Path::new("/dev/null"), &[b"x"]).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert_eq!(replace(Path::new("/dev/full"), &[b"x"]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_cannot_be_written_leaves_everything_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        assert!(replace(home.path(), &[b"x"]).is_err(), "a directory");
        assert!(replace(&home.path().join("missing/c"), &[b"x"]).is_err());
        let path = home.path().join("c");
        fs::create_dir(&path).unwrap();
        assert!(swap_in(&path, &[b"x"], None).is_err(), "a directory that was made meanwhile");
        assert_eq!(entries(home.path()), 1, "the part is gone");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert_eq!(replace(&path, &[b"x"]).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!((fs::read(&path).unwrap(), entries(home.path())), (b"old".to_vec(), 1));
    }

    #[test]
    fn a_file_made_of_parts_appears_when_it_is_finished_and_not_before() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("c.npy");
        let to = Destination::new(&path).unwrap();
        let make = || {
            let mut part = to.begin(6).unwrap();
            part.write_at(3, b"def").unwrap();
            part.write_at(0, b"abc").unwrap();
            part
        };
        drop(make());
        assert_eq!(entries(home.path()), 0);
        make().finish().unwrap();
        assert_eq!((fs::read(&path).unwrap(), entries(home.path())), (b"abcdef".to_vec(), 1));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let part = make();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        part.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abcdef");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(to.begin(6).unwrap_err().message.contains("read-only"));
    }

    #[test]
    fn parts_for_a_device_are_kept_until_it_can_be_written() {
        let to = Destination::new(Path::new("/dev/null")).unwrap();
        let mut part = to.begin(3).unwrap();
        part.write_at(1, b"bc").unwrap();
        assert!(part.write_at(2, b"cd").is_err());
        part.finish().unwrap();
        let full = Destination::new(Path::new("/dev/full")).unwrap();
        assert!(full.begin(3).unwrap().finish().is_err());
    }

    #[test]
    fn a_destination_is_checked_before_the_task_runs() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("d")).unwrap();
        let to = |value: &str| Destination::from_field("output", value, home.path());
        let good = to(r#""d/c.npy""#).unwrap();
        good.write(&[b"x"]).unwrap();
        assert_eq!(
            (good.shown(), fs::read(home.path().join("d/c.npy")).unwrap()),
            ("d/c.npy", b"x".to_vec())
        );
        for (value, message) in [
            ("5", r#"invalid-input: "output" takes a string, not 5"#),
            (r#""""#, r#"invalid-input: "output" is no file's name: """#),
            (r#""\u0000""#, r#"invalid-input: "output" is no file's name: "\u0000""#),
            (r#""..""#, r#"invalid-input: the output ".." is no file's name"#),
            (r#""d""#, r#"invalid-input: the output "d" is no file's name"#),
        ] {
            assert_eq!(to(value).unwrap_err().to_string(), message);
        }
        let error = to(r#""no/c.npy""#).unwrap_err().to_string();
        assert!(
            error.starts_with("invalid-input: cannot write no/c.npy: the directory ")
                && error.ends_with(" does not exist"),
            "{error}"
        );
    }
}
