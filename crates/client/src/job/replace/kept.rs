//! Files that must not be replaced: those that a job of this process reads its tasks from, and writes its results to.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, Write},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What tells a file from others, whatever it is called: its device, and its number there.
type Identity = (u64, u64);

/// Those that are kept, as often as they are.
static KEPT: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

fn all_kept() -> MutexGuard<'static, Vec<Identity>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(about: &Metadata) -> Identity {
    (about.dev(), about.ino())
}

/// An open file that no task's output takes the place of as long as this is there.
#[derive(Debug)]
pub(in crate::job) struct Kept<F> {
    file: F,
    /// None: there is no file behind it.
    identity: Option<Identity>,
}

impl<F: AsFd> Kept<F> {
    pub(in crate::job) fn new(file: F) -> Self {
        let about = file.as_fd().try_clone_to_owned().and_then(|file| File::from(file).metadata());
        let identity = about.ok().filter(Metadata::is_file).map(|about| identity(&about));
        all_kept().extend(identity);
        Self { file, identity }
    }
}

impl Kept<File> {
    /// Whether it has no name any more, or was cut off before the place where it is written, so that what was written to it is
    /// lost.
    pub(in crate::job) fn is_lost(&self) -> bool {
        let is_written = |len| (&self.file).stream_position().is_ok_and(|place| place > len);
        let is_lost = |about: Metadata| about.nlink() == 0 || is_written(about.len());
        self.identity.is_some() && self.file.metadata().is_ok_and(is_lost)
    }

    /// Takes away all that it has.
    pub(in crate::job) fn empty(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

impl<F> Drop for Kept<F> {
    fn drop(&mut self) {
        let mut kept = all_kept();
        if let Some(place) = kept.iter().position(|&kept| Some(kept) == self.identity) {
            kept.swap_remove(place);
        }
    }
}

impl<F: Read> Read for Kept<F> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.file.read(room)
    }
}

impl<F: Write> Write for Kept<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Whether a job of this process keeps this file.
pub(super) fn is_kept(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| all_kept().contains(&identity(&about)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn a_file_is_kept_by_every_name_until_nobody_keeps_it_or_it_has_none() {
        let home = tempfile::tempdir().unwrap();
        let [path, link] = ["tasks", "link"].map(|name| home.path().join(name));
        assert!(!is_kept(&path));
        fs::write(&path, "tasks").unwrap();
        symlink(&path, &link).unwrap();
        let open = || File::open(&path).unwrap();
        let file = open();
        assert!(!is_kept(&path), "it is open, and no more");
        let (mut first, second) = (Kept::new(file), Kept::new(open()));
        let mut text = String::new();
        first.read_to_string(&mut text).unwrap();
        assert!(text == "tasks" && is_kept(&path) && is_kept(&link));
        drop(first);
        assert!(is_kept(&link) && !second.is_lost());
        fs::rename(&path, home.path().join("moved")).unwrap();
        assert!(!second.is_lost());
        fs::rename(home.path().join("moved"), &path).unwrap();
        fs::write(home.path().join("other"), "").unwrap();
        fs::rename(home.path().join("other"), &path).unwrap();
        assert!(second.is_lost() && !is_kept(&path));
    }

    #[test]
    fn a_file_that_is_cut_off_where_it_was_written_is_lost() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("results");
        let mut kept = Kept::new(File::create(&path).unwrap());
        kept.write_all(b"results").unwrap();
        assert!(!kept.is_lost());
        File::options().write(true).open(&path).unwrap().set_len(6).unwrap();
        assert!(kept.is_lost());
    }

    #[test]
    fn what_is_no_file_can_be_written_to_by_everybody() {
        let mut null = Kept::new(File::options().write(true).open("/dev/null").unwrap());
        null.write_all(b"results").unwrap();
        assert!(!is_kept(Path::new("/dev/null")));
    }
}
