//! The directory that `--tls` names: whom to trust, who we are, and what proves it.

use super::verify::identity;
use crate::identity::{Identity, InvalidIdentity, Role};
use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::VerifierBuilderError,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The certificate of the cluster's CA.
pub const CA: &str = "ca.pem";
/// Our certificate.
pub const CERTIFICATE: &str = "cert.pem";
/// Our private key.
pub const KEY: &str = "key.pem";

/// What a directory holds.
pub(super) struct Credentials {
    pub(super) directory: PathBuf,
    pub(super) identity: Identity,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// Why a directory does not serve for TLS.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file is not to be had.
    #[error("cannot read {}: {source}; --tls takes a directory that `nameserver ca issue` has written", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} holds no {what} in PEM form: {source}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why it does not.
        source: pem::Error,
    },
    /// A file holds a certificate that is none.
    #[error("{} holds a certificate that cannot be used: {source}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The certificate says who nobody can be.
    #[error("{} cannot be used: {source}", path.display())]
    Identity {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: InvalidIdentity,
    },
    /// The certificate is another program's.
    #[error("{} is for {identity}; {wanted}", path.display())]
    Role {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        identity: Identity,
        /// Whose it should be.
        wanted: &'static str,
    },
    /// The files do not belong together.
    #[error("{CERTIFICATE} and {KEY} in {} do not belong together: {source}", directory.display())]
    Broken {
        /// Which.
        directory: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// Nobody can be trusted by this CA.
    #[error("{CA} in {} cannot be used: {source}", directory.display())]
    Ca {
        /// Which.
        directory: PathBuf,
        /// Why not.
        source: VerifierBuilderError,
    },
}

impl Credentials {
    pub(super) fn load(directory: &Path) -> Result<Self, CredentialsError> {
        let (ca, certificate, key) = (directory.join(CA), directory.join(CERTIFICATE), directory.join(KEY));
        let mut roots = RootCertStore::empty();
        for root in certificates(&ca)? {
            roots.add(root).map_err(|source| CredentialsError::Unusable { path: ca.clone(), source })?;
        }
        let chain = certificates(&certificate)?;
        let identity = identity(Some(&chain))
            .map_err(|source| CredentialsError::Identity { path: certificate, source })?;
        let key = PrivateKeyDer::from_pem_slice(&read(&key)?)
            .map_err(|source| CredentialsError::Malformed { path: key, what: "private key", source })?;
        Ok(Self { directory: directory.to_owned(), identity, roots: Arc::new(roots), chain, key })
    }
}

impl super::Tls {
    /// Makes sure that the certificate is for one of these roles; `wanted` says so in words.
    ///
    /// # Errors
    /// It is for another.
    pub fn expect(
        self,
        directory: &Path,
        roles: &[Role],
        wanted: &'static str,
    ) -> Result<Self, CredentialsError> {
        if roles.contains(&self.identity.role) {
            return Ok(self);
        }
        let (path, identity) = (directory.join(CERTIFICATE), self.identity);
        Err(CredentialsError::Role { path, identity, wanted })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    fs::read(path).map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let malformed =
        |source| CredentialsError::Malformed { path: path.to_owned(), what: "certificate", source };
    let all =
        CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    if all.is_empty() { Err(malformed(pem::Error::NoItemsFound)) } else { Ok(all) }
}
