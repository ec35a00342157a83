//! Files that are written whole or not at all.
//!
//! The bytes go to a new file in the same directory, which then takes the place of the old one, so that
//! nobody ever reads half a result, whenever the client is killed. It is not forced to the disk first: that
//! would guard against a power cut alone, and a job of many small files would spend its time waiting.
//! A client that is killed with SIGKILL while it writes leaves such a file behind, and the next one that writes to the
//! directory removes it (`part`).

mod kept;
mod part;
mod target;

pub(super) use kept::Kept;
pub(super) use part::PartFile;
pub use part::remove_unfinished;

use super::place::is_stdout;
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
    /// A file: where it is or will be, behind whatever links lead there.
    File(PathBuf),
    Stdout,
}

impl Destination {
    /// The file that the command line names; `-` is standard output, and so is every other name of it
    /// ([`is_stdout`]).
    ///
    /// # Errors
    /// `invalid-input`: it is no file's name, or a job of this process has its tasks or results there. `gave-up`: it cannot be
    /// written as things are, because its directory does not exist, say.
    pub fn new(path: &Path) -> Result<Self, TaskError> {
        if is_stdout(path) {
            return Ok(Self { shown: "standard output".to_owned(), place: Place::Stdout });
        }
        Self::file(path.display().to_string(), path)
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

    /// Where the file is that will be replaced or made; `None` where there is something else, such as a pipe.
    pub(super) fn target(&self) -> Option<&Path> {
        match &self.place {
            Place::File(target) if !target::is_device(target) => Some(target),
            Place::File(_) | Place::Stdout => None,
        }
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
            Place::File(target) if target::is_device(target) => OpenOptions::new().write(true).open(target),
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
            (Place::File(target), None) => replace(target, parts),
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
        let content = match self.target() {
            Some(target) => {
                let part = beside(target).map_err(cannot)?;
                part.file().set_len(len as u64).map_err(cannot)?;
                Content::File { part, target: target.to_owned() }
            }
            None => {
                let mut held = Vec::new();
                held.try_reserve_exact(len)
                    .map_err(|_| TaskError::too_large(format!("there is no memory for {len} bytes")))?;
                held.resize(len, 0);
                Content::Held(held)
            }
        };
        Ok(Part { to: self.clone(), content })
    }

    pub(super) fn cannot(&self, error: &io::Error) -> TaskError {
        TaskError::new(
            ErrorCode::GaveUp,
            format!("cannot write {}: {error}{}", self.shown, advice(error.kind())),
        )
    }

    /// The file at `path`, as results and messages are to call it. Says at once what would otherwise come out after the
    /// task has run.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn file(shown: String, path: &Path) -> Result<Self, TaskError> {
        let written = path.as_os_str().as_encoded_bytes();
        if path.is_dir() {
            return Err(TaskError::invalid_input(format!(
                "the output {shown:?} is a directory: name a file in it"
            )));
        }
        if path.file_name().is_none() || written.ends_with(b"/") || written.ends_with(b"/.") {
            return Err(TaskError::invalid_input(format!("the output {shown:?} is no file's name")));
        }
        if kept::is_kept(path) {
            return Err(TaskError::invalid_input(format!(
                "the job reads its tasks from {shown}, or writes its results there: name another output"
            )));
        }
        match target::of(path) {
            Ok(target) => Ok(Self { shown, place: Place::File(target) }),
            Err(reason) => Err(TaskError::new(ErrorCode::GaveUp, format!("cannot write {shown}: {reason}"))),
        }
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
            Content::Held(held) => {
                match held.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len())) {
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
            Content::Held(held) => {
                held.truncate(len);
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
            Content::Held(held) => self.to.write(&[&held]),
            Content::Finished => Ok(()),
        }
    }
}

/// Gives the file at `target` a new content: these parts, one after the other.
///
/// # Errors
/// The first thing that fails; the old file is then as it was.
fn replace(target: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let part = beside(target)?;
    write_all(part.file(), parts)?;
    part.take_place_of(target).map(drop)
}

/// A file that is to take the place of `target`, with the permissions of what is there.
fn beside(target: &Path) -> io::Result<PartFile> {
    let permissions = match fs::metadata(target) {
        Ok(old) => Some(old.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let part = PartFile::beside(target)?;
    if let Some(permissions) = permissions {
        part.file().set_permissions(permissions)?;
    }
    Ok(part)
}

/// What people can do about it, where that is known.
pub(super) fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room and run again",
        io::ErrorKind::FileTooLarge => "; raise ulimit -f, or use another file system, and run again",
        _ => "",
    }
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
        symlink(&path, &link).unwrap();
        let to = Destination::new(&link).unwrap();
        to.write(&[b"made"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        to.write(&[b"new"]).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let to = |path: &str| Destination::new(Path::new(path)).unwrap();
        to("/dev/null").write(&[b"x"]).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert!(to("/dev/full").write(&[b"x"]).unwrap_err().message.starts_with("cannot write /dev/full: "));
    }

    #[test]
    fn what_cannot_be_written_leaves_everything_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        assert!(replace(&home.path().join("missing/c"), &[b"x"]).is_err());
        let path = home.path().join("c");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, &[b"x"]).is_err(), "a directory that was made meanwhile");
        assert_eq!(entries(home.path()), 1, "the part is gone");
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
}
