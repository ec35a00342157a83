//! TLS to a server whose CA is known by its hash alone, from a side that has no certificate yet.

use super::{
    shake_hands,
    verify::{End, Judge, identity},
};
use crate::{
    identity::Who,
    join::token::Fingerprint,
    net::{Connection, Listener, Network},
};
use futures::future::BoxFuture;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};
use std::{io, sync::Arc};
use tokio_rustls::TlsConnector;

/// Connects to servers of the CA with this hash. Nothing that is sent reaches any other.
#[derive(Clone, Copy, Debug)]
pub struct Pinned {
    ca: Fingerprint,
}

impl Pinned {
    /// Only servers of this CA.
    pub fn new(ca: Fingerprint) -> Self {
        Self { ca }
    }

    fn connector(self) -> Result<TlsConnector, Error> {
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let verifier = Verifier { ca: self.ca, provider: provider.clone() };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config).into())
    }
}

impl Network for Pinned {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let connector = self.connector().map_err(io::Error::other)?;
            let (stream, local, peer) = shake_hands(&connector, address).await?;
            let identity = identity(stream.get_ref().1.peer_certificates()).map_err(io::Error::other)?;
            Ok(Connection { stream: Box::new(stream), local, peer, who: Who::Known(identity) })
        })
    }

    fn listen<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn is_authenticated(&self) -> bool {
        true
    }
}

/// The server has not shown the CA that it is to be of.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("its CA is not that of the token")]
pub(super) struct NotPinned;

#[derive(Debug)]
struct Verifier {
    ca: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = others.iter().find(|other| Fingerprint::of(other) == self.ca);
        let not_pinned = || CertificateError::Other(OtherError(Arc::new(NotPinned)));
        let mut roots = RootCertStore::empty();
        roots.add(pinned.ok_or_else(not_pinned)?.clone().into_owned())?;
        let judge = Judge::new(Arc::new(roots), Vec::new(), &self.provider);
        judge.judge(leaf, others, End::Server, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
