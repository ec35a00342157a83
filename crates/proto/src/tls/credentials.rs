//! The directory that `--tls` names: whom to trust, who we are, and what proves it.

use super::verify::identity;
use crate::identity::{Identity, InvalidIdentity, Role};
use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use webpki::{CertRevocationList, OwnedCertRevocationList};

/// The certificate of the cluster's CA.
pub const CA: &str = "ca.pem";
/// Our certificate.
pub const CERTIFICATE: &str = "cert.pem";
/// Our private key.
pub const KEY: &str = "key.pem";
/// What the CA has revoked. It need not be there.
pub const REVOCATIONS: &str = "crl.pem";

/// What a directory holds, byte for byte.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Files {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
    pub(super) revocations: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn read(directory: &Path) -> Result<Self, CredentialsError> {
        let at = |name| read(&directory.join(name));
        let revocations = match at(REVOCATIONS) {
            Err(CredentialsError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                None
            }
            found => Some(found?),
        };
        Ok(Self { ca: at(CA)?, certificate: at(CERTIFICATE)?, key: at(KEY)?, revocations })
    }
}

/// What that means.
pub(super) struct Credentials {
    pub(super) directory: PathBuf,
    pub(super) files: Files,
    pub(super) identity: Identity,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) revoked: Vec<CertRevocationList<'static>>,
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
    /// The list is another CA's.
    #[error("{REVOCATIONS} in {} cannot be used: {source}; it takes a list of each CA in {CA}", directory.display())]
    Revocations {
        /// Which.
        directory: PathBuf,
        /// Why not.
        source: webpki::Error,
    },
    /// A program stays who it is.
    #[error("{} is now for {theirs}, and this program is {ours}; restart it to have it be another", path.display())]
    Another {
        /// Which.
        path: PathBuf,
        /// Whose it is now.
        theirs: Identity,
        /// Who it was.
        ours: Identity,
    },
}

impl Credentials {
    pub(super) fn parse(directory: &Path, files: Files) -> Result<Self, CredentialsError> {
        let mut roots = RootCertStore::empty();
        let path = directory.join(CA);
        let authorities: Vec<CertificateDer<'_>> = sections(&path, "certificate", &files.ca)?;
        for root in &authorities {
            roots
                .add(root.clone())
                .map_err(|source| CredentialsError::Unusable { path: path.clone(), source })?;
        }
        let path = directory.join(CERTIFICATE);
        let chain: Vec<CertificateDer<'_>> = sections(&path, "certificate", &files.certificate)?;
        let identity =
            identity(Some(&chain)).map_err(|source| CredentialsError::Identity { path, source })?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|source| {
            CredentialsError::Malformed { path: directory.join(KEY), what: "private key", source }
        })?;
        let mut revoked = Vec::new();
        if let Some(lists) = &files.revocations {
            let lists: Vec<CertificateRevocationListDer<'_>> =
                sections(&directory.join(REVOCATIONS), "revocation list", lists)?;
            for list in lists {
                let list = OwnedCertRevocationList::from_der(&list).map_err(|source| {
                    CredentialsError::Revocations { directory: directory.to_owned(), source }
                })?;
                revoked.push(list.into());
            }
        }
        let (directory, roots) = (directory.to_owned(), Arc::new(roots));
        Ok(Self { directory, files, identity, authorities, roots, revoked, chain, key })
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
        if roles.contains(&self.identity().role) {
            return Ok(self);
        }
        let (path, identity) = (directory.join(CERTIFICATE), self.identity().clone());
        Err(CredentialsError::Role { path, identity, wanted })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    let regular = |about: fs::Metadata| match about.is_file() {
        true => Ok(()),
        // Opening a pipe, say, waits for whoever is at its other end.
        false => Err(io::Error::other("it is not a regular file")),
    };
    let contents = fs::metadata(path).and_then(regular).and_then(|()| fs::read(path));
    contents.map_err(|source| CredentialsError::Unreadable { path: path.to_owned(), source })
}

/// All of one kind that there are in a file, of which there must be one at least.
fn sections<T: PemObject>(path: &Path, what: &'static str, text: &[u8]) -> Result<Vec<T>, CredentialsError> {
    let malformed = |source| CredentialsError::Malformed { path: path.to_owned(), what, source };
    let all = T::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    if all.is_empty() { Err(malformed(pem::Error::NoItemsFound)) } else { Ok(all) }
}
