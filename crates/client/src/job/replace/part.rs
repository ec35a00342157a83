//! Files in the making, and those that others have left behind.
//!
//! Whoever writes a file holds a lock on it until it has its name. So a file without one is nobody's any more: its writer
//! was killed, and the next process that writes to the directory removes it.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::{self, DirEntry, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Removes what this process has begun to write and will not finish, because it ends.
pub fn remove_unfinished() {
    UNFINISHED.remove();
}

/// The files of this process that are not in their places yet.
static UNFINISHED: Unfinished =
    Unfinished(Mutex::new(Books { parts: BTreeSet::new(), swept: BTreeSet::new() }));

#[derive(Debug, Default)]
struct Unfinished(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    parts: BTreeSet<PathBuf>,
    /// Directories that were looked through for what others have left.
    swept: BTreeSet<PathBuf>,
}

/// More directories than this are not remembered: they are looked through again.
const MOST_SWEPT: usize = 1024;

impl Unfinished {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new file beside `path`, of a name that no other writer has.
    fn begin(&'static self, path: &Path) -> io::Result<PartFile> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let part = path.with_file_name(OsString::from(format!(".sgdt-{}-{count}.part", process::id())));
            // Before it is there, so that no other thread takes it for one that was left behind.
            self.books().parts.insert(part.clone());
            let file = match OpenOptions::new().write(true).create_new(true).open(&part) {
                Ok(file) => file,
                Err(error) => {
                    self.books().parts.remove(&part);
                    if error.kind() == io::ErrorKind::AlreadyExists {
                        continue;
                    }
                    return Err(error);
                }
            };
            let is_lost = match file.try_lock() {
                // Until now it looked like one that was left behind. Whoever took it for that has locked it first, and
                // removes it before giving the lock back: is about to, or has.
                Err(TryLockError::WouldBlock) => true,
                Ok(()) => file.metadata().is_ok_and(|about| about.nlink() == 0),
                // Where there are no locks, nobody removes anything.
                Err(TryLockError::Error(_)) => false,
            };
            if is_lost {
                self.books().parts.remove(&part);
                continue;
            }
            let part = PartFile { path: part, file, is_placed: false, among: self };
            if let (Some(directory), Ok(own)) = (part.path.parent(), part.file().metadata()) {
                self.sweep(directory, own.uid());
            }
            return Ok(part);
        }
    }

    /// Removes, once for each directory, what this user's processes have left there when they were killed. Nothing depends
    /// on it, and so nothing is said of what cannot be read or removed.
    fn sweep(&self, directory: &Path, user: u32) {
        let mut books = self.books();
        if books.swept.len() >= MOST_SWEPT {
            books.swept.clear();
        }
        if !books.swept.insert(directory.to_owned()) {
            return;
        }
        drop(books);
        let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let entries = fs::read_dir(here).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_part(&entry.file_name())) {
            // On some file systems a process's own locks do not keep it out.
            if !self.books().parts.contains(&directory.join(entry.file_name())) {
                remove_if_left(&entry, user);
            }
        }
    }

    fn remove(&self) {
        for part in std::mem::take(&mut self.books().parts) {
            // It is named so that whoever finds it knows that it may go.
            let _ = fs::remove_file(part);
        }
    }
}

/// Whether this is how a part is called: `.sgdt-PROCESS-COUNT.part`.
fn is_part(name: &OsStr) -> bool {
    let numbers =
        name.to_str().and_then(|name| name.strip_prefix(".sgdt-")?.strip_suffix(".part")?.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(process, count)| is_number(process) && is_number(count))
}

fn remove_if_left(entry: &DirEntry, user: u32) {
    let path = entry.path();
    // What is behind a link is not looked at, and a pipe is not opened, which would wait.
    let is_ours = |about: &fs::Metadata| about.is_file() && about.uid() == user;
    if !entry.metadata().is_ok_and(|about| is_ours(&about)) {
        return;
    }
    let Ok(file) = OpenOptions::new().write(true).open(&path) else { return };
    if file.try_lock().is_err() {
        return;
    }
    // It may have taken its place since it was found, and its name be another's. If not, it stays what it is: whoever
    // renames it holds its lock.
    let place = |about: fs::Metadata| (about.dev(), about.ino());
    let (locked, named) = (file.metadata().map(place), fs::symlink_metadata(&path).map(place));
    if locked.is_ok_and(|locked| named.is_ok_and(|named| named == locked)) {
        let _ = fs::remove_file(&path);
    }
}

/// A file that is to take another's place. It is gone when it is dropped before that.
#[derive(Debug)]
pub(in crate::job) struct PartFile {
    path: PathBuf,
    file: File,
    /// Whether it has taken its place, so that its name may be another's.
    is_placed: bool,
    among: &'static Unfinished,
}

impl PartFile {
    /// A new file beside `path`, locked.
    pub(in crate::job) fn beside(path: &Path) -> io::Result<Self> {
        UNFINISHED.begin(path)
    }

    /// What is written to.
    pub(in crate::job) fn file(&self) -> &File {
        &self.file
    }

    /// Renames it. The file is still locked: its lock goes with it.
    pub(in crate::job) fn take_place_of(mut self, path: &Path) -> io::Result<File> {
        let file = self.file.try_clone()?;
        fs::rename(&self.path, path)?;
        self.is_placed = true;
        Ok(file)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        self.among.books().parts.remove(&self.path);
        if !self.is_placed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// As another process would have it.
    fn unfinished() -> &'static Unfinished {
        Box::leak(Box::default())
    }

    #[test]
    fn a_process_that_ends_leaves_nothing_unfinished_behind() {
        let home = tempfile::tempdir().unwrap();
        let unfinished = unfinished();
        let part = unfinished.begin(&home.path().join("c.npy")).unwrap();
        // The thread that writes it is never heard of again.
        std::mem::forget(part);
        assert_eq!(names(home.path()).len(), 1);
        unfinished.remove();
        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn what_nobody_writes_any_more_is_removed_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let place = |name: &str| home.path().join(name);
        let kept = [".sgdt-1-x.part", ".sgdt-1-2.part~", ".sgdt--2.part", "sgdt-1-2.part", "c.npy"];
        for name in kept.iter().chain(&[".sgdt-1-2.part", ".sgdt-77-0.part"]) {
            fs::write(place(name), "left").unwrap();
        }
        symlink(place("c.npy"), place(".sgdt-3-1.part")).unwrap();
        fs::create_dir(place(".sgdt-3-2.part")).unwrap();
        let other = File::create(place(".sgdt-4-0.part")).unwrap();
        other.try_lock().unwrap();
        let process = unfinished();
        let own = process.begin(&place("d.npy")).unwrap();
        let mut expected: Vec<_> = kept.to_vec();
        let own_name = own.path.file_name().unwrap().to_str().unwrap();
        expected.extend([".sgdt-3-1.part", ".sgdt-3-2.part", ".sgdt-4-0.part", own_name]);
        expected.sort_unstable();
        assert_eq!(names(home.path()), expected);

        // Each process looks once, and another one spares this one's.
        drop(other);
        drop(process.begin(&place("e.npy")).unwrap());
        assert!(place(".sgdt-4-0.part").exists());
        drop(unfinished().begin(&place("e.npy")).unwrap());
        assert!(!place(".sgdt-4-0.part").exists() && own.path.exists());
        own.take_place_of(&place("d.npy")).unwrap();
        assert!(place("d.npy").exists());
    }

    #[test]
    fn processes_that_begin_and_sweep_at_the_same_time_do_not_lose_a_file() {
        let home = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let home = home.path();
                scope.spawn(move || {
                    for round in 0..300 {
                        let target = home.join(format!("{writer}-{round}"));
                        unfinished().begin(&target).unwrap().take_place_of(&target).unwrap();
                    }
                });
            }
        });
        assert_eq!(names(home.path()).len(), 1200);
    }
}
