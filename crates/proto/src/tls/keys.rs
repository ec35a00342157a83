//! What new connections use: both ends' configurations, made of one reading of a directory.

use super::{
    credentials::{Credentials, CredentialsError, Files},
    verify::{End, Judge},
};
use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::UnixTime,
    server::NoServerSessionStorage,
    version::TLS13,
};
use std::{path::PathBuf, sync::Arc};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(super) struct Keys {
    pub(super) directory: PathBuf,
    pub(super) files: Files,
    pub(super) connector: TlsConnector,
    pub(super) acceptor: TlsAcceptor,
    pub(super) judge: Arc<Judge>,
}

impl Keys {
    /// With `strangers` those are let in who have no certificate, and the CA's own is shown to them, for they know it by its
    /// hash alone.
    pub(super) fn new(credentials: Credentials, strangers: bool) -> Result<Self, CredentialsError> {
        let Credentials { directory, files, authorities, roots, revoked, chain, key, .. } = credentials;
        let broken = |source| CredentialsError::Broken { directory: directory.clone(), source };
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let judge = Arc::new(Judge::new(roots, revoked, &provider).admitting_strangers(strangers));
        // A list that is not of the CA that it lies beside would have everybody refused. Whatever else is wrong with
        // our own certificate is for others to judge.
        for end in [End::Client, End::Server] {
            use webpki::Error::{
                InvalidCrlSignatureForPublicKey, IssuerNotCrlSigner, UnknownRevocationStatus,
            };
            if let Err(
                source @ (UnknownRevocationStatus | InvalidCrlSignatureForPublicKey | IssuerNotCrlSigner),
            ) = judge.chain(&chain[0], &chain[1..], end, UnixTime::now())
            {
                return Err(CredentialsError::Revocations { directory: directory.clone(), source });
            }
        }
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(broken)?
            .dangerous()
            .with_custom_certificate_verifier(judge.clone())
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(broken)?;
        client.enable_sni = false;
        // Each connection is judged anew, so that a certificate's end is the end of its use.
        client.resumption = Resumption::disabled();
        let shown = if strangers { [chain, authorities].concat() } else { chain };
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(broken)?
            .with_client_cert_verifier(judge.clone())
            .with_single_cert(shown, key)
            .map_err(broken)?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let (connector, acceptor) = (Arc::new(client).into(), Arc::new(server).into());
        Ok(Self { directory, files, connector, acceptor, judge })
    }
}
