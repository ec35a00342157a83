//! TCP with mutual TLS 1.3: who connects and who listens both prove who they are.
//!
//! - [`credentials`]: the directory that `--tls` names;
//! - `verify`: whether a certificate is one of ours, and whose;
//! - `listener`: handshakes, beside the loop that accepts;
//! - [`refusal`]: why two sides do not come together, in words.
//!
//! What a peer may do, once it is known, is not decided here but in [`policy`](crate::policy).

pub mod credentials;
mod listener;
pub mod refusal;
mod verify;

#[cfg(test)]
mod tests;

use crate::{
    identity::Identity,
    net::{CONNECT_TIMEOUT, Connection, Listener, Network, Tcp},
};
use credentials::{Credentials, CredentialsError};
use futures::future::BoxFuture;
use listener::TlsListener;
use refusal::Refusal;
use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::ServerName,
    server::NoServerSessionStorage,
    version::TLS13,
};
use std::{fmt, io, path::Path, sync::Arc};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use verify::{Clients, Servers, identity};

/// What servers are called in the protocol's own terms. It is not sent, and nothing is looked up by it.
const SERVER: &str = "sgdt.invalid";

/// The machine's own TCP, encrypted, between peers that know each other.
#[derive(Clone)]
pub struct Tls {
    identity: Identity,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// The network of the cluster whose CA, and as the peer whose certificate and key, are in `directory`: in
    /// `ca.pem`, `cert.pem` and `key.pem`.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn load(directory: &Path) -> Result<Self, CredentialsError> {
        Self::new(Credentials::load(directory)?)
    }

    fn new(credentials: Credentials) -> Result<Self, CredentialsError> {
        let Credentials { directory, identity, roots, chain, key } = credentials;
        let broken = |source| CredentialsError::Broken { directory: directory.clone(), source };
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(broken)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Servers::new(roots.clone(), &provider)))
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(broken)?;
        client.enable_sni = false;
        // Each connection is judged anew, so that a certificate's end is the end of its use.
        client.resumption = Resumption::disabled();
        let clients = Clients::new(roots, &provider)
            .map_err(|source| CredentialsError::Ca { directory: directory.clone(), source })?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(broken)?
            .with_client_cert_verifier(Arc::new(clients))
            .with_single_cert(chain, key)
            .map_err(broken)?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let (connector, acceptor) = (Arc::new(client).into(), Arc::new(server).into());
        Ok(Self { identity, connector, acceptor })
    }

    /// Who we are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.identity)
    }
}

impl Network for Tls {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let Connection { stream, local, peer, .. } = Tcp.connect(address).await?;
            let server = ServerName::try_from(SERVER).map_err(io::Error::other)?;
            let stream = timeout(CONNECT_TIMEOUT, self.connector.connect(server, stream))
                .await
                .map_err(|_| ended(io::ErrorKind::TimedOut, "was not answered"))?
                .map_err(|error| match error.kind() {
                    // The other side's words, and ours, are passed on as they are.
                    _ if Refusal::of(&error).is_some() => error,
                    kind => ended(kind, "was broken off"),
                })?;
            let identity = identity(stream.get_ref().1.peer_certificates()).map_err(io::Error::other)?;
            Ok(Connection { stream: Box::new(stream), local, peer, identity: Some(identity) })
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let tcp = Tcp.listen(address).await?;
            let listener: Box<dyn Listener> = Box::new(TlsListener::new(tcp, self.acceptor.clone()));
            Ok(listener)
        })
    }

    fn is_authenticated(&self) -> bool {
        true
    }
}

fn ended(kind: io::ErrorKind, how: &str) -> io::Error {
    io::Error::new(kind, format!("the TLS handshake {how}; does the other side run, and with --tls?"))
}
