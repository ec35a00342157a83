//! Who a peer is, where certificates say so.
//!
//! An identity stands in a certificate as the URI `sgdt://ROLE/NAME`, and nowhere else: neither a host name nor
//! an address plays a part, so that a certificate is good wherever its holder runs.

use crate::id::{InvalidName, WorkerName};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

const SCHEME: &str = "sgdt://";

/// What a peer is there for. What each may ask is said in [`policy`](crate::policy).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A name server.
    Nameserver,
    /// A worker, which registers and runs tasks.
    Worker,
    /// A client, which sends tasks.
    Client,
    /// A client that may also send workers away.
    Admin,
}

impl Role {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Nameserver, Self::Worker, Self::Client, Self::Admin];

    /// The role as it stands in a certificate and on a command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nameserver => "nameserver",
            Self::Worker => "worker",
            Self::Client => "client",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No role is called so.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no role: write nameserver, worker, client or admin")]
pub struct InvalidRole {
    text: String,
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| InvalidRole { text: text.chars().take(20).collect() })
    }
}

/// A role and a name, which a certificate binds to a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity {
    /// What it is there for.
    pub role: Role,
    /// What it is called: a worker registers under this name and no other.
    pub name: WorkerName,
}

impl Identity {
    /// As it stands in a certificate.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{}/{}", self.role, self.name)
    }

    /// The one identity among a certificate's URIs.
    ///
    /// # Errors
    /// There is none, or more than one, or it is no identity.
    pub fn among<'a>(uris: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidIdentity> {
        let mut ours = uris.into_iter().filter_map(|uri| uri.strip_prefix(SCHEME));
        let (Some(text), None) = (ours.next(), ours.next()) else { return Err(InvalidIdentity::NotOne) };
        let (role, name) = text.split_once('/').ok_or(InvalidIdentity::NotOne)?;
        Ok(Self { role: role.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// The network authenticates nobody, and everybody on it is trusted.
    Trusted,
    /// The network authenticates, and this one has shown no certificate.
    Stranger,
    /// Whom its certificate names.
    Known(Identity),
}

/// Why a certificate tells no identity.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidIdentity {
    /// There is none, or there are several.
    #[error("it does not carry one URI of the form {SCHEME}ROLE/NAME; issue it with `nameserver ca issue`")]
    NotOne,
    /// An unknown role.
    #[error(transparent)]
    Role(#[from] InvalidRole),
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_identity_is_read_as_it_was_written() {
        for role in Role::ALL {
            let identity = Identity { role, name: "gpu-1.b".parse().unwrap() };
            assert_eq!(identity.uri(), format!("sgdt://{role}/gpu-1.b"));
            let others = ["https://example.org", &identity.uri(), "spiffe://x/y"];
            assert_eq!(Identity::among(others), Ok(identity));
        }
    }

    #[test]
    fn what_is_not_exactly_one_identity_is_none() {
        let bad: [&[&str]; 9] = [
            &[],
            &["https://worker/w1"],
            &["sgdt://worker"],
            &["sgdt://worker/"],
            &["sgdt://root/w1"],
            &["sgdt://worker/../w1"],
            &["sgdt://worker/w1/x"],
            &["sgdt://Worker/w1"],
            &["sgdt://worker/w1", "sgdt://admin/w1"],
        ];
        for uris in bad {
            assert!(Identity::among(uris.iter().copied()).is_err(), "{uris:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_an_identity_that_prints_unsafely(text: String) {
            if let Ok(identity) = Identity::among([format!("sgdt://worker/{text}").as_str()]) {
                prop_assert!(identity.to_string().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
            }
        }
    }
}
