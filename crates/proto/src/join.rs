//! How a machine that has nothing but a token becomes one of the cluster's.
//!
//! ```text
//!  worker: key.pem ─▶ TLS to the name server, which must show the CA of the token's hash
//!                     ─▶ the token, and a signing request for the key ─▶ name server: Desk
//!          cert.pem, ca.pem ◀─ the certificate ◀─────────────────────────────┘
//! ```
//!
//! The side that joins has no certificate, so what it may ask is a service of its own: [`Join`], and nothing else. Its
//! private key never leaves it.

pub mod enrol;
pub mod token;

use crate::{id::WorkerName, identity::Role};
use serde::{Deserialize, Serialize};
use token::Secret;

/// What strangers may ask.
#[tarpc::service]
pub trait Join {
    /// Takes a token, once, and answers with a certificate.
    async fn join(application: Application) -> Result<Welcome, JoinError>;
}

/// The longest message either way, in bytes.
pub const MAX_MESSAGE: u64 = 64 * 1024;

/// A token, and what it is to be used for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Application {
    /// The token's secret.
    pub secret: Secret,
    /// What the certificate is to be for.
    pub role: Role,
    /// For whom, unless the token says so.
    pub name: Option<WorkerName>,
    /// A certificate signing request (PKCS #10, DER): the key, and that its owner asks. What else it says is not heeded.
    pub request: Vec<u8>,
}

/// What `--tls` takes beside the key, each as it stands in its file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// `ca.pem`
    pub ca: String,
    /// `cert.pem`
    pub certificate: String,
    /// `crl.pem`, if there is one.
    pub revocations: Option<String>,
}

/// Why a token does not let somebody in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum JoinError {
    /// There is no such token.
    #[error(
        "it knows of no such token: make one with `nameserver token create`, in the directory that its --ca names"
    )]
    Unknown,
    /// Somebody has used it.
    #[error("the token has been used already: make another with `nameserver token create`")]
    Used,
    /// Its time is over.
    #[error("the token has expired: make another with `nameserver token create`")]
    Expired,
    /// It is for others.
    #[error("the token is for a {token}, and not for a {asked}")]
    Role {
        /// What it is for.
        token: Role,
        /// What was asked for.
        asked: Role,
    },
    /// It is for somebody else.
    #[error(
        "the token is for the name {token}, and not for {asked}: leave --name out, or make another token"
    )]
    Name {
        /// Whom it is for.
        token: WorkerName,
        /// Who was asked for.
        asked: WorkerName,
    },
    /// It is for any name, and none was given.
    #[error("the token is for no name in particular: say --name")]
    Nameless,
    /// It is for any name, and this is another's.
    #[error(
        "the name {name} has a certificate already: choose another --name, or make a token with `nameserver token create \
         --name {name}`"
    )]
    Taken {
        /// The name.
        name: WorkerName,
    },
    /// The signing request is none.
    #[error("the certificate request cannot be used")]
    Request,
    /// There are too many attempts.
    #[error("there are too many attempts to join, until a minute is over")]
    Busy,
    /// Something is wrong over there.
    #[error("it cannot issue a certificate: its log says why")]
    Failed,
}
