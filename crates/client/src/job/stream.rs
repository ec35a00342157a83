//! A file that is written from its start to its end, and then takes its place.

use super::replace::{Destination, Part};
use sgdt_proto::task::TaskError;
use std::{fs::File, io::Write};

/// A file in the making, of a length that nobody knows yet. One that is dropped before it is finished leaves nothing
/// behind; what is not a regular file (a pipe, standard output) is written to at once.
#[derive(Debug)]
pub struct Stream {
    to: Destination,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Part { part: Part, len: usize },
    Device(File),
}

impl Stream {
    /// Begins to write.
    ///
    /// # Errors
    /// `invalid-input`, naming the file and what stands in the way.
    pub fn begin(to: Destination) -> Result<Self, TaskError> {
        let content = match to.device()? {
            Some(device) => Content::Device(device),
            None => Content::Part { part: to.begin(0)?, len: 0 },
        };
        Ok(Self { to, content })
    }

    /// Writes some more.
    ///
    /// # Errors
    /// Naming the file and what stands in the way.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), TaskError> {
        match &mut self.content {
            Content::Part { part, len } => {
                part.write_at(*len, bytes)?;
                *len += bytes.len();
                Ok(())
            }
            Content::Device(file) => file.write_all(bytes).map_err(|error| self.to.cannot(&error)),
        }
    }

    /// Whether bytes may come in any order. A device takes them one after the other.
    pub fn takes_any_order(&self) -> bool {
        matches!(self.content, Content::Part { .. })
    }

    /// Writes some bytes to their place, which on a device is behind those before.
    ///
    /// # Errors
    /// Naming the file and what stands in the way.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), TaskError> {
        match &mut self.content {
            Content::Part { part, len } => {
                part.write_at(offset, bytes)?;
                *len = (*len).max(offset + bytes.len());
                Ok(())
            }
            Content::Device(_) => self.write(bytes),
        }
    }

    /// How much has been written, in bytes. A device does not tell.
    pub fn position(&self) -> usize {
        match &self.content {
            Content::Part { len, .. } => *len,
            Content::Device(_) => 0,
        }
    }

    /// Takes back what was written after the first `len` bytes, except to a device.
    ///
    /// # Errors
    /// Naming the file and what stands in the way.
    pub fn truncate(&mut self, len: usize) -> Result<(), TaskError> {
        match &mut self.content {
            Content::Part { part, len: written } => {
                *written = len;
                part.truncate(len)
            }
            Content::Device(_) => Ok(()),
        }
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// Naming the file and what stands in the way; an old one is then as it was.
    pub fn finish(self) -> Result<(), TaskError> {
        match self.content {
            Content::Part { part, .. } => part.finish(),
            Content::Device(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn what_is_written_takes_the_place_of_the_file_when_it_is_finished() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("text");
        fs::write(&path, "old").unwrap();
        let write = || {
            let mut stream = Stream::begin(Destination::new(&path).unwrap()).unwrap();
            stream.write(b"one\ntw").unwrap();
            stream.truncate(4).unwrap();
            stream.write(b"2\n").unwrap();
            stream.write_at(8, b"4\n").unwrap();
            stream.write_at(6, b"3\n").unwrap();
            assert!(stream.takes_any_order() && stream.position() == 10);
            stream
        };
        drop(write());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write().finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\n2\n3\n4\n");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_written_to_at_once() {
        let to = |path: &str| Stream::begin(Destination::new(Path::new(path)).unwrap()).unwrap();
        let mut null = to("/dev/null");
        null.write(b"x").unwrap();
        null.finish().unwrap();
        let error = to("/dev/full").write(b"x").unwrap_err();
        assert!(error.message.starts_with("cannot write /dev/full: "), "{error}");
    }
}
