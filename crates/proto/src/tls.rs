//! TCP with mutual TLS 1.3: who connects and who listens both prove who they are.
//!
//! - [`credentials`]: the directory that `--tls` names, `keys`: what connections make of it, `renewal`: reading it again;
//! - `verify`: whether a certificate is one of ours, and whose;
//! - `listener`: handshakes, beside the loop that accepts; `open`: what comes of them;
//! - [`pinned`]: a side that has no certificate yet;
//! - [`refusal`]: why two sides do not come together, in words.
//!
//! What a peer may do, once it is known, is not decided here but in [`policy`](crate::policy).

pub mod credentials;
mod keys;
mod listener;
mod open;
pub mod pinned;
pub mod refusal;
mod renewal;
mod verify;

#[cfg(test)]
mod tests;

pub use verify::identity;

use crate::{
    identity::{Identity, Who},
    net::{ByteStream, CONNECT_TIMEOUT, Connection, Listener, Network, Tcp},
};
use credentials::{Credentials, CredentialsError, Files};
use futures::future::BoxFuture;
use keys::Keys;
use listener::TlsListener;
use open::Open;
use refusal::Refusal;
use rustls::pki_types::{CertificateDer, ServerName};
use std::{
    fmt, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};
use verify::End;

/// What servers are called in the protocol's own terms. It is not sent, and nothing is looked up by it.
const SERVER: &str = "sgdt.invalid";

/// The machine's own TCP, encrypted, between peers that know each other. Clones are the same network.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    identity: Identity,
    /// Whether those without a certificate are let in.
    strangers: bool,
    /// What new connections use.
    keys: RwLock<Arc<Keys>>,
    open: Open,
}

impl Tls {
    /// The network of the cluster whose CA, and as the peer whose certificate and key, are in `directory`: in
    /// `ca.pem`, `cert.pem` and `key.pem`. In `crl.pem`, if there is one, is what the CA has revoked.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn load(directory: &Path) -> Result<Self, CredentialsError> {
        Self::new(Credentials::parse(directory, Files::read(directory)?)?, false)
    }

    fn new(credentials: Credentials, strangers: bool) -> Result<Self, CredentialsError> {
        let identity = credentials.identity.clone();
        let keys = RwLock::new(Arc::new(Keys::new(credentials, strangers)?));
        Ok(Self { shared: Arc::new(Shared { identity, strangers, keys, open: Open::default() }) })
    }

    /// The same network, on which listeners let those in who have no certificate, too: as [`Who::Stranger`].
    ///
    /// # Errors
    /// None that [`load`](Self::load) has not had.
    pub fn admitting_strangers(self) -> Result<Self, CredentialsError> {
        let keys = self.shared.keys();
        Self::new(Credentials::parse(&keys.directory, keys.files.clone())?, true)
    }

    /// Who we are.
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }
}

impl Shared {
    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in a peer that these keys have found good.
    fn admit(
        &self,
        keys: &Arc<Keys>,
        stream: Box<dyn ByteStream>,
        chain: &[CertificateDer<'_>],
        end: End,
    ) -> io::Result<Box<dyn ByteStream>> {
        let judged = self.open.add(stream, chain, end);
        // Later keys may have judged all who were there before this one was.
        let latest = self.keys();
        if !Arc::ptr_eq(keys, &latest) {
            judged.judge(&latest).map_err(io::Error::other)?;
        }
        Ok(Box::new(judged))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.identity())
    }
}

impl Network for Tls {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let keys = self.shared.keys();
            let (stream, local, peer) = shake_hands(&keys.connector, address).await?;
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
            let identity = identity(Some(&chain)).map_err(io::Error::other)?;
            let stream = self.shared.admit(&keys, Box::new(stream), &chain, End::Server)?;
            Ok(Connection { stream, local, peer, who: Who::Known(identity) })
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let tcp = Tcp.listen(address).await?;
            let listener: Box<dyn Listener> = Box::new(TlsListener::new(tcp, self.shared.clone()));
            Ok(listener)
        })
    }

    fn is_authenticated(&self) -> bool {
        true
    }
}

/// Opens a connection, and does what a TLS handshake takes of the side that connects. Our end and theirs.
async fn shake_hands(
    connector: &TlsConnector,
    address: &str,
) -> io::Result<(TlsStream<Box<dyn ByteStream>>, SocketAddr, SocketAddr)> {
    let Connection { stream, local, peer, .. } = Tcp.connect(address).await?;
    let server = ServerName::try_from(SERVER).map_err(io::Error::other)?;
    let shaken = timeout(CONNECT_TIMEOUT, connector.connect(server, stream)).await;
    let stream = shaken.map_err(|_| ended(io::ErrorKind::TimedOut, "was not answered"))?;
    let stream = stream.map_err(|error| match error.kind() {
        // The other side's words, and ours, are passed on as they are.
        _ if Refusal::of(&error).is_some() => error,
        kind => ended(kind, "was broken off"),
    })?;
    Ok((stream, local, peer))
}

fn ended(kind: io::ErrorKind, how: &str) -> io::Error {
    io::Error::new(kind, format!("the TLS handshake {how}; does the other side run, and with --tls?"))
}
