//! Join tokens as a CA keeps them: a file for each, named by the hash of its secret.
//!
//! ```text
//! DIR/tokens/HASH.json   what it is good for, and until when
//! DIR/tokens/HASH.used   the same, once it has been used
//! ```
//!
//! Renaming one to the other is what spends it: that succeeds once, whoever tries, also from several processes.

pub mod command;

use super::{CA, CaError, read_ca, record::calendar};
use rand::{CryptoRng, Rng};
use serde::{Deserialize, Serialize};
use sgdt_proto::{
    files::{self, FileError, read},
    id::WorkerName,
    identity::Role,
    join::token::{Fingerprint, Secret, Token},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const TOKENS: &str = "tokens";
const UNUSED: &str = "json";
const USED: &str = "used";

/// What a token is good for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Grant {
    /// What the certificate is to be for.
    pub(crate) role: Role,
    /// For whom, unless whoever joins may say.
    pub(crate) name: Option<WorkerName>,
    /// When it ends.
    pub(crate) end: SystemTime,
}

/// What is known of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    Unused(Grant),
    Used,
    Nothing,
}

#[derive(Serialize, Deserialize)]
struct Line {
    role: Role,
    name: Option<WorkerName>,
    end: String,
}

impl Grant {
    fn parse(text: &str) -> Option<Self> {
        let Line { role, name, end } = serde_json::from_str(text).ok()?;
        Some(Self { role, name, end: humantime::parse_rfc3339(&end).ok()? })
    }
}

/// Makes a token, which is good for one certificate and for so long. Forgets those whose time is over.
///
/// # Errors
/// There is no CA in the directory, or it cannot be written to.
pub fn create(
    ca: &Path,
    role: Role,
    name: Option<WorkerName>,
    ttl: Duration,
    now: SystemTime,
    rng: &mut (impl Rng + CryptoRng),
) -> Result<Token, CaError> {
    let hash = Fingerprint::of_pem(&read_ca(ca, CA)?);
    let hash = hash.ok_or_else(|| CaError::Damaged { path: ca.join(CA) })?;
    let token = Token { secret: Secret::random(rng), ca: hash };
    files::directory(&ca.join(TOKENS), &[])?;
    forget(ca, now)?;
    let path = file(ca, token.secret, UNUSED);
    let line = serde_json::to_string(&Line { role, name, end: calendar(now + ttl) });
    let line =
        line.map_err(|error| FileError::File { what: "write", path: path.clone(), source: error.into() })?;
    files::create(&path, &line)?;
    Ok(token)
}

/// Looks a token up.
pub(crate) fn find(ca: &Path, secret: Secret) -> Result<Found, CaError> {
    let path = file(ca, secret, UNUSED);
    match read(&path) {
        Ok(text) => Grant::parse(&text).map(Found::Unused).ok_or(CaError::Damaged { path }),
        Err(FileError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(if file(ca, secret, USED).exists() { Found::Used } else { Found::Nothing })
        }
        Err(error) => Err(error.into()),
    }
}

/// Uses a token up. Whether it was there to be used: it may be that somebody was faster.
pub(crate) fn spend(ca: &Path, secret: Secret) -> Result<bool, CaError> {
    let path = file(ca, secret, UNUSED);
    match fs::rename(&path, file(ca, secret, USED)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(FileError::File { what: "rename", path, source }.into()),
    }
}

/// Removes what nobody can use any more.
fn forget(ca: &Path, now: SystemTime) -> Result<(), CaError> {
    remove(ca, |_, grant| grant.end < now).map(drop)
}

/// Removes the unused tokens for a name, and says how many there were.
pub(super) fn withdraw(ca: &Path, name: &str) -> Result<usize, CaError> {
    remove(ca, |path, grant| {
        path.extension().is_some_and(|state| state == UNUSED)
            && grant.name.as_ref().is_some_and(|other| other.as_str() == name)
    })
}

fn remove(ca: &Path, meant: impl Fn(&Path, &Grant) -> bool) -> Result<usize, CaError> {
    let tokens = ca.join(TOKENS);
    let cannot = |source| FileError::File { what: "read", path: tokens.clone(), source };
    let entries = match fs::read_dir(&tokens) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(cannot)?,
    };
    let mut removed = 0;
    for entry in entries {
        let path = entry.map_err(cannot)?.path();
        // One that cannot be read has just been used, or is none of ours: it stays.
        let grant = read(&path).ok().and_then(|text| Grant::parse(&text));
        if grant.is_some_and(|grant| meant(&path, &grant)) {
            match fs::remove_file(&path) {
                Ok(()) => removed += 1,
                // Somebody was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(FileError::File { what: "remove", path, source }.into()),
            }
        }
    }
    Ok(removed)
}

fn file(ca: &Path, secret: Secret, state: &str) -> PathBuf {
    ca.join(TOKENS).join(secret.fingerprint().to_string()).with_extension(state)
}
