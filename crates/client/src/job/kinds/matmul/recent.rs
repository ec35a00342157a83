//! Matrices in files, read once where many lines name them.
//!
//! They are blobs: what several tasks have goes to each worker once. A file is known again by its place, its length and when it
//! was changed. File systems' clocks are coarse, so one that was changed a moment ago may be changed again without its
//! showing: it is read again each time, and still sent once.

use super::npy;
use sgdt_proto::{kind::matmul::Matrix, task::TaskError};
use std::{
    collections::VecDeque,
    fs::{self, Metadata},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// How many bytes of matrices are remembered: as many as may be under way.
const MOST: usize = 256 << 20;

/// How long ago a file must have been changed for the next change to show: more than any file system's clock takes to move.
const SETTLED: Duration = Duration::from_secs(3);

/// The matrices that were read last.
#[derive(Debug)]
pub(super) struct Recent {
    /// How many bytes they have at most.
    most: usize,
    /// The one that was used last at the end.
    read: Mutex<VecDeque<(Version, Matrix)>>,
}

/// A file's contents, as far as can be told without reading them.
#[derive(Clone, PartialEq, Debug)]
struct Version {
    length: u64,
    changed: Option<SystemTime>,
    inode: u64,
    path: PathBuf,
}

impl Default for Recent {
    fn default() -> Self {
        Self { most: MOST, read: Mutex::default() }
    }
}

impl Recent {
    fn read(&self) -> MutexGuard<'_, VecDeque<(Version, Matrix)>> {
        // Nothing panics while it is held.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The matrix in this file.
    ///
    /// # Errors
    /// As for [`npy::read_matrix`].
    pub(super) fn matrix(&self, path: &Path) -> Result<Matrix, TaskError> {
        // Of a file that changes from here on, the next line sees another version.
        let version =
            fs::metadata(path).ok().map(|about| Version::of(path, &about)).filter(Version::is_settled);
        if let Some(known) = version.as_ref().and_then(|version| self.recall(version)) {
            return Ok(known);
        }
        let mut matrix = npy::read_matrix(path)?;
        matrix.elements = matrix.elements.shared();
        if let Some(version) = version {
            self.remember(version, &matrix);
        }
        Ok(matrix)
    }

    fn recall(&self, version: &Version) -> Option<Matrix> {
        let mut read = self.read();
        let place = read.iter().position(|(known, _)| known == version)?;
        let known = read.remove(place)?;
        let matrix = known.1.clone();
        read.push_back(known);
        Some(matrix)
    }

    fn remember(&self, version: Version, matrix: &Matrix) {
        // Small files are read again for less than it takes to look for them among many.
        if matrix.elements.digest().is_none() || matrix.elements.len() > self.most {
            return;
        }
        let mut read = self.read();
        read.push_back((version, matrix.clone()));
        let mut bytes: usize = read.iter().map(|(_, matrix)| matrix.elements.len()).sum();
        while bytes > self.most
            && let Some((_, oldest)) = read.pop_front()
        {
            bytes -= oldest.elements.len();
        }
    }
}

impl Version {
    fn of(path: &Path, about: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(about);
        #[cfg(not(unix))]
        let inode = 0;
        Self { length: about.len(), changed: about.modified().ok(), inode, path: path.to_owned() }
    }

    fn is_settled(&self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "files are dated by the calendar")]
        let now = SystemTime::now();
        let age = self.changed.and_then(|changed| now.duration_since(changed).ok());
        age.is_some_and(|age| age >= SETTLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::replace::Destination;
    use sgdt_proto::{blob, kind::matmul::Element};

    /// Writes a file that was changed some minutes ago.
    fn put(path: &Path, count: usize, value: f64) {
        put_now(path, count, value);
        let file = fs::File::options().write(true).open(path).unwrap();
        let changed = file.metadata().unwrap().modified().unwrap();
        file.set_modified(changed - Duration::from_secs(200) + Duration::from_millis(value as u64)).unwrap();
    }

    fn put_now(path: &Path, count: usize, value: f64) {
        let to = Destination::new(path).unwrap();
        npy::write(&to, Element::F64, &[1, count as u64], bytemuck::cast_slice(&vec![value; count])).unwrap();
    }

    #[test]
    fn a_file_that_was_changed_a_moment_ago_is_read_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.npy");
        let files = Recent::default();
        put_now(&path, blob::LEAST / 8, 1.0);
        let first = files.matrix(&path).unwrap().elements;
        let again = files.matrix(&path).unwrap().elements;
        assert!(first.digest() == again.digest() && first.as_bytes().as_ptr() != again.as_bytes().as_ptr());
    }

    #[test]
    fn a_file_is_read_once_and_again_when_it_has_changed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.npy");
        let files = Recent::default();
        let read = || files.matrix(&path).unwrap().elements;
        put(&path, blob::LEAST / 8, 1.0);
        let first = read();
        assert_eq!(read().as_bytes().as_ptr(), first.as_bytes().as_ptr());
        assert!(first.digest().is_some() && first.digest() == read().digest());
        // Another file by the same name and of the same length.
        put(&path, blob::LEAST / 8, 2.0);
        assert_ne!(read(), first);
        put(&path, blob::LEAST / 8 - 1, 3.0);
        let small = read();
        assert!(small.digest().is_none() && read().as_bytes().as_ptr() != small.as_bytes().as_ptr());
        fs::remove_file(&path).unwrap();
        assert!(files.matrix(&path).is_err());
    }

    #[test]
    fn no_more_is_remembered_than_may_be_and_the_last_ones_are() {
        let home = tempfile::tempdir().unwrap();
        let files = Recent { most: 4 * blob::LEAST, ..Recent::default() };
        let path = |number: usize| home.path().join(number.to_string());
        (0..5).for_each(|number| put(&path(number), blob::LEAST / 8, number as f64));
        put(&path(5), files.most / 8 + 1, 5.0);
        for number in [0, 1, 2, 3, 0, 4, 5] {
            files.matrix(&path(number)).unwrap();
        }
        let known: Vec<_> = files.read().iter().map(|(version, _)| version.path.clone()).collect();
        assert_eq!(known, [2, 3, 0, 4].map(path));
    }
}
