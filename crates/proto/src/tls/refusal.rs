//! Why two sides do not come together: which of them refused, why, and what to do.

use super::pinned::NotPinned;
use crate::{
    handshake::Service,
    id::WorkerName,
    identity::{Identity, Role, Who},
};
use rustls::{AlertDescription, CertificateError, Error};
use std::io;

/// A refusal that time does not mend: whoever runs one of the two sides has to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// We do not take their certificate.
    #[error("this side refused the other's certificate: {0}")]
    Theirs(&'static str),
    /// They do not take ours.
    #[error("the other side refused this side's certificate: {0}")]
    Ours(&'static str),
    /// It is not whom we look for.
    #[error("this side refused the other: its certificate is for {theirs}, not for {}{}", wanted.role, wanted.named())]
    Identity {
        /// Whose it is.
        theirs: Identity,
        /// Whose it should be.
        wanted: Wanted,
    },
    /// They do not use TLS.
    #[error("the other side does not use TLS: start it with --tls, or leave --tls out here")]
    Plain,
    /// TLS, but none that we speak.
    #[error("no TLS connection: {0}")]
    Protocol(String),
}

/// Whom a connection is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// In what role.
    pub role: Role,
    /// Under what name, if that matters.
    pub name: Option<WorkerName>,
}

impl Wanted {
    /// Whoever serves this, or only who does so under this name.
    pub fn server(service: Service, name: Option<&WorkerName>) -> Self {
        let role = match service {
            Service::NameServer | Service::Join => Role::Nameserver,
            Service::Task => Role::Worker,
        };
        Self { role, name: name.cloned() }
    }

    /// Judges who was reached. Where nobody is authenticated it may be anybody.
    ///
    /// # Errors
    /// It is somebody else.
    pub fn check(self, who: &Who) -> Result<(), Refusal> {
        match who {
            Who::Known(peer)
                if peer.role != self.role || self.name.as_ref().is_some_and(|name| *name != peer.name) =>
            {
                Err(Refusal::Identity { theirs: peer.clone(), wanted: self })
            }
            _ => Ok(()),
        }
    }

    fn named(&self) -> String {
        self.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default()
    }
}

impl Refusal {
    /// Reads an error of a TLS stream, if it is one that stays.
    pub fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(match error {
            Error::InvalidCertificate(why) => Self::Theirs(theirs(why)),
            Error::AlertReceived(alert) => match ours(*alert) {
                Some(why) => Self::Ours(why),
                None => Self::Protocol(error.to_string()),
            },
            Error::InvalidMessage(_) => Self::Plain,
            _ => Self::Protocol(error.to_string()),
        })
    }
}

fn theirs(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it is not issued by the CA in this side's --tls directory; issue both from one CA"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired; issue it a new one with `nameserver ca issue`"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; are the clocks of both machines right?"
        }
        CertificateError::Revoked => "it has been revoked; issue it a new one with `nameserver ca issue`",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for a server; is this the address of a name server or a worker?"
        }
        CertificateError::ApplicationVerificationFailure => {
            "it carries no identity; issue it one with `nameserver ca issue`"
        }
        CertificateError::Other(other) if other.0.is::<NotPinned>() => {
            "its CA is not the one that the token was made for, or it takes no tokens: is it started with --ca?"
        }
        _ => "it cannot be verified; issue it a new one with `nameserver ca issue`",
    }
}

fn ours(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "it is not issued by the CA that the other side trusts; issue both from one CA"
        }
        AlertDescription::CertificateExpired => {
            "it has expired, or is not valid yet; issue a new one with `nameserver ca issue`"
        }
        AlertDescription::CertificateRevoked => {
            "it has been revoked; issue a new one with `nameserver ca issue`"
        }
        AlertDescription::CertificateRequired => "there is none; issue one with `nameserver ca issue`",
        AlertDescription::UnsupportedCertificate => {
            "it is not for whoever connects; issue one with the role that is needed"
        }
        AlertDescription::AccessDenied => "it carries no identity; issue one with `nameserver ca issue`",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "it cannot be verified; issue a new one with `nameserver ca issue`"
        }
        _ => return None,
    })
}
