//! A listening socket whose peers are known before anybody sees them.
//!
//! Each handshake is a task of its own, so that a peer that takes its time holds nobody up; there are so many at
//! most, and so many for one address, and each has so long.

use super::{
    Shared,
    verify::{End, identity},
};
use crate::{
    identity::Who,
    net::{ByteStream, Connection, Listener, origin},
};
use futures::future::BoxFuture;
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, sink},
    task::{Id, JoinSet},
    time::timeout,
};
use tracing::debug;

/// How long a handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes beyond this many wait in the kernel's queue.
pub(super) const MAX_HANDSHAKES: usize = 512;
/// Beyond this many from one address its connections are closed, so that it does not take the places of others.
pub(super) const MAX_FROM_ONE: usize = 256;
/// How long, and for how many bytes, a peer that has been refused is listened to, because a connection that is closed
/// before all has been read is reset, and what it was told may be lost.
const FAREWELL: (Duration, u64) = (Duration::from_secs(1), 64 * 1024);

pub(super) struct TlsListener {
    tcp: Box<dyn Listener>,
    shared: Arc<Shared>,
    /// Ends with the listener. Nothing comes of those that fail.
    handshakes: JoinSet<Option<Connection>>,
    /// Where each comes from.
    origins: HashMap<Id, IpAddr>,
}

impl TlsListener {
    pub(super) fn new(tcp: Box<dyn Listener>, shared: Arc<Shared>) -> Self {
        Self { tcp, shared, handshakes: JoinSet::new(), origins: HashMap::new() }
    }

    fn begin(&mut self, connection: Connection) {
        let origin = origin(connection.peer.ip());
        if self.origins.values().filter(|other| **other == origin).count() >= MAX_FROM_ONE {
            debug!(peer = %connection.peer, "too many handshakes at a time from one address");
            return;
        }
        let task = self.handshakes.spawn(handshake(self.shared.clone(), connection));
        self.origins.insert(task.id(), origin);
    }
}

impl Listener for TlsListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move {
            loop {
                tokio::select! {
                    biased;
                    Some(ended) = self.handshakes.join_next_with_id() => {
                        let (id, connection) = match ended {
                            Ok((id, connection)) => (id, connection),
                            // It panicked; there are no others that end early.
                            Err(error) => (error.id(), None),
                        };
                        self.origins.remove(&id);
                        if let Some(connection) = connection {
                            return Ok(connection);
                        }
                    }
                    connection = self.tcp.accept(), if self.handshakes.len() < MAX_HANDSHAKES => {
                        self.begin(connection?);
                    }
                }
            }
        })
    }
}

async fn handshake(shared: Arc<Shared>, connection: Connection) -> Option<Connection> {
    let Connection { stream, local, peer, .. } = connection;
    let keys = shared.keys();
    match timeout(HANDSHAKE, keys.acceptor.accept(stream).into_fallible()).await {
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
            if chain.is_empty() {
                // It has got as far as here only where strangers are let in.
                return Some(Connection { stream: Box::new(stream), local, peer, who: Who::Stranger });
            }
            let admitted = identity(Some(&chain)).map_err(io::Error::other).and_then(|identity| {
                let stream = shared.admit(&keys, Box::new(stream), &chain, End::Client)?;
                Ok(Connection { stream, local, peer, who: Who::Known(identity) })
            });
            admitted.inspect_err(|error| debug!(%peer, %error, "turned a peer away")).ok()
        }
        Ok(Err((error, stream))) => {
            debug!(%peer, %error, "turned a peer away in the TLS handshake");
            // Whatever comes of it: the peer has been told, or is gone.
            drop(timeout(FAREWELL.0, farewell(stream)).await);
            None
        }
        Err(_) => {
            debug!(%peer, "a TLS handshake took longer than {HANDSHAKE:?}");
            None
        }
    }
}

async fn farewell(mut stream: Box<dyn ByteStream>) -> io::Result<u64> {
    stream.shutdown().await?;
    copy(&mut stream.take(FAREWELL.1), &mut sink()).await
}
