//! What a CA has made: a line for each certificate, in JSON, in the order in which they were made; and another for each
//! that was revoked.

use super::CaError;
use serde::{Deserialize, Serialize};
use sgdt_proto::{
    files::{self, FileError, read},
    identity::Identity,
};
use std::{fs::File, io, path::Path, time::SystemTime};

const LIST: &str = "issued.jsonl";

/// A certificate that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// Its number, by which it can be told from all others.
    pub serial: [u8; 16],
    /// Whose it is.
    pub identity: Identity,
    /// When it ends, to the second.
    pub not_after: SystemTime,
    /// When it was revoked, to the second, if it was.
    pub revoked: Option<SystemTime>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    serial: String,
    identity: String,
    not_after: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
}

impl Issued {
    /// When it ends, as people write it.
    pub fn end(&self) -> String {
        calendar(self.not_after)
    }

    /// When it was revoked, as people write it.
    pub fn revoked(&self) -> Option<String> {
        self.revoked.map(calendar)
    }

    /// Its number, as people write it.
    pub fn number(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.serial))
    }

    fn read(line: &str) -> Option<Self> {
        let Line { serial, identity, not_after, revoked } = serde_json::from_str(line).ok()?;
        Some(Self {
            serial: u128::from_str_radix(&serial, 16).ok()?.to_be_bytes(),
            identity: Identity::among([identity.as_str()]).ok()?,
            not_after: humantime::parse_rfc3339(&not_after).ok()?,
            revoked: revoked.map(|at| humantime::parse_rfc3339(&at)).transpose().ok()?,
        })
    }
}

/// A time as people write it, to the second.
pub(super) fn calendar(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Until what it returns is dropped, nobody else makes certificates or revokes them, in whatever process. A file
/// system without locks is not worth refusing.
pub(super) fn alone(ca: &Path) -> Result<File, CaError> {
    let cannot = |source| FileError::File { what: "open", path: ca.to_owned(), source };
    let directory = File::open(ca).map_err(cannot)?;
    let _ = directory.lock();
    Ok(directory)
}

pub(super) fn append(ca: &Path, issued: &Issued) -> Result<(), CaError> {
    let path = ca.join(LIST);
    let line = Line {
        serial: issued.number(),
        identity: issued.identity.uri(),
        not_after: issued.end(),
        revoked: issued.revoked(),
    };
    let line = serde_json::to_string(&line).map_err(io::Error::from);
    let line = line.map_err(|source| FileError::File { what: "write", path: path.clone(), source })?;
    Ok(files::append(&path, &line)?)
}

pub(super) fn all(ca: &Path) -> Result<Vec<Issued>, CaError> {
    let path = ca.join(LIST);
    let lines = match read(&path) {
        Err(FileError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        lines => lines?,
    };
    let mut all: Vec<Issued> = Vec::new();
    for (text, line) in lines.lines().zip(1..) {
        let issued = Issued::read(text).ok_or_else(|| CaError::Record { path: path.clone(), line })?;
        // What is revoked has been issued before.
        let earlier = issued.revoked.and_then(|_| all.iter_mut().find(|all| all.serial == issued.serial));
        match earlier {
            Some(earlier) => *earlier = issued,
            None => all.push(issued),
        }
    }
    Ok(all)
}
