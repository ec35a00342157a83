//! Whether a certificate is one of ours, and whose it is.
//!
//! A certificate is good if it was issued by the cluster's CA and not taken back, is in its time, may be used for this
//! side of a connection, and carries one identity. What that identity is worth is judged by whoever asked for the
//! connection.

use crate::identity::{Identity, InvalidIdentity};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::sync::Arc;
use webpki::{CertRevocationList, EndEntityCert, KeyUsage, RevocationOptions, RevocationOptionsBuilder};

/// Who the first of these certificates is for.
///
/// # Errors
/// There is none, or it carries no identity, or more than one.
pub fn identity(chain: Option<&[CertificateDer<'_>]>) -> Result<Identity, InvalidIdentity> {
    let leaf = chain.and_then(<[_]>::first).ok_or(InvalidIdentity::NotOne)?;
    let parsed = EndEntityCert::try_from(leaf).map_err(|_| InvalidIdentity::NotOne)?;
    Identity::among(parsed.valid_uri_names())
}

/// Which end of a connection a certificate is shown at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The one that connects.
    Client,
    /// The one that listens.
    Server,
}

/// Judges certificates, at both ends. The names of hosts play no part.
#[derive(Debug)]
pub(super) struct Judge {
    roots: Arc<RootCertStore>,
    /// What the CAs have taken back. Where there is none of these lists, nothing has been; where there is one, each
    /// CA must have its own.
    revoked: Vec<CertRevocationList<'static>>,
    /// Whether whoever connects may have no certificate at all.
    strangers: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Judge {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        revoked: Vec<CertRevocationList<'static>>,
        provider: &CryptoProvider,
    ) -> Self {
        Self { roots, revoked, strangers: false, algorithms: provider.signature_verification_algorithms }
    }

    /// Has whoever connects show a certificate only if it has one.
    pub(super) fn admitting_strangers(self, strangers: bool) -> Self {
        Self { strangers, ..self }
    }

    /// Judges a certificate, which is shown at that end, with those that came with it.
    ///
    /// # Errors
    /// It is not good there, or not now.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        end: End,
        now: UnixTime,
    ) -> Result<(), Error> {
        self.chain(leaf, others, end, now).map_err(error)?;
        let identified = identity(Some(std::slice::from_ref(leaf)));
        identified.map(drop).map_err(|_| CertificateError::ApplicationVerificationFailure.into())
    }

    /// Judges all but whom it is for.
    pub(super) fn chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        end: End,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let usage = match end {
            End::Client => KeyUsage::client_auth(),
            End::Server => KeyUsage::server_auth(),
        };
        let lists: Vec<_> = self.revoked.iter().collect();
        // None only where there are no lists.
        let revocation: Option<RevocationOptions<'_>> =
            RevocationOptionsBuilder::new(&lists).ok().map(RevocationOptionsBuilder::build);
        let leaf = EndEntityCert::try_from(leaf)?;
        let roots = &self.roots.roots;
        leaf.verify_for_usage(self.algorithms.all, roots, others, now, usage, revocation, None).map(drop)
    }
}

/// The verifier's word, in TLS's terms: they become alerts, and refusals that people read.
fn error(error: webpki::Error) -> Error {
    use webpki::Error as Pki;
    let certificate = match error {
        Pki::UnknownIssuer => CertificateError::UnknownIssuer,
        Pki::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Pki::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Pki::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Pki::CertRevoked => CertificateError::Revoked,
        Pki::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        Pki::BadDer | Pki::BadDerTime | Pki::TrailingData(_) => CertificateError::BadEncoding,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    certificate.into()
}

impl ClientCertVerifier for Judge {
    fn client_auth_mandatory(&self) -> bool {
        !self.strangers
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Nobody here has certificates to choose among.
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(leaf, others, End::Client, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(leaf, others, End::Server, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
