//! Why a worker could not start, or had to end.

use crate::config::ConfigError;
use sgdt_proto::{join::enrol::EnrolError, name_server::RegisterError, tls::credentials::CredentialsError};
use std::{io, net::SocketAddr};

/// Why a worker could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot prove who it is.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// It is not let in.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Its announcement is out of bounds.
    #[error("a name server would not take this worker: {0}")]
    Invalid(RegisterError),
    /// It would listen where everybody can connect.
    #[error(
        "{address} can be reached from other machines, and whoever connects can run tasks; pass --tls, listen on a loopback address, or accept that with --insecure"
    )]
    Insecure {
        /// Where.
        address: SocketAddr,
    },
    /// It cannot listen there.
    #[error("cannot listen on {address}: {source}; choose another --listen address")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A name server does not let it in.
    #[error("{nameserver}: {source}")]
    Refused {
        /// Which.
        nameserver: String,
        /// Why.
        source: RegisterError,
    },
    /// The system does not give it what it needs.
    #[error("cannot {what}: {source}")]
    System {
        /// What it was about to do.
        what: &'static str,
        /// Why it cannot.
        source: io::Error,
    },
}

impl Error {
    /// Whether it is for whoever wrote the command line to mend.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Credentials(_) | Self::Invalid(_) | Self::Insecure { .. })
    }
}
