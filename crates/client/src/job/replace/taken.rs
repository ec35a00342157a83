//! Files that must not be replaced: those that a running job reads its tasks from, and writes its results to.
//!
//! Whoever reads or writes one holds a lock on it. Where there are no locks, nothing is known of others.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

/// Has nobody replace this file with a task's output as long as it is open, if nobody else sees to that.
pub(in crate::job) fn keep(file: &File) {
    // Another client may read it, too.
    let _ = file.try_lock();
}

/// Whether somebody keeps this file.
pub(super) fn is_taken(path: &Path) -> bool {
    // What is no regular file has no content to lose, and opening it might wait.
    let file = Some(path).filter(|path| path.is_file()).and_then(|path| File::open(path).ok());
    file.is_some_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn a_file_is_taken_by_every_name_as_long_as_somebody_keeps_it() {
        let home = tempfile::tempdir().unwrap();
        let [path, link] = ["tasks", "link"].map(|name| home.path().join(name));
        assert!(!is_taken(&path));
        fs::write(&path, "").unwrap();
        symlink(&path, &link).unwrap();
        let file = File::open(&path).unwrap();
        assert!(!is_taken(&path), "it is open, and no more");
        keep(&file);
        keep(&File::open(&path).unwrap());
        assert!(is_taken(&path) && is_taken(&link));
        drop(file);
        assert!(!is_taken(&path));
    }
}
