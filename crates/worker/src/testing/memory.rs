//! A network in memory.

use futures::future::BoxFuture;
use sgdt_proto::{
    identity::Who,
    net::{Connection, Listener, Network},
};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{io::duplex, sync::mpsc};

/// Streams between those who share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    listeners: Arc<Mutex<HashMap<SocketAddr, mpsc::UnboundedSender<Connection>>>>,
}

impl Network for Memory {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let peer: SocketAddr = address.parse().map_err(io::Error::other)?;
            let local = SocketAddr::from(([127, 0, 0, 9], 1));
            let (ours, theirs) = duplex(64 * 1024);
            let accepted =
                Connection { stream: Box::new(theirs), local: peer, peer: local, who: Who::Trusted };
            let listeners = self.listeners.lock().unwrap();
            let listener = listeners.get(&peer).ok_or(io::ErrorKind::ConnectionRefused)?;
            listener.send(accepted).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Connection { stream: Box::new(ours), local, peer, who: Who::Trusted })
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let mut local: SocketAddr = address.parse().map_err(io::Error::other)?;
            let mut listeners = self.listeners.lock().unwrap();
            if local.port() == 0 {
                local.set_port(40_000 + listeners.len() as u16);
            }
            let (sender, accepted) = mpsc::unbounded_channel();
            listeners.insert(local, sender);
            let listener: Box<dyn Listener> = Box::new(MemoryListener { local, accepted });
            Ok(listener)
        })
    }
}

struct MemoryListener {
    local: SocketAddr,
    accepted: mpsc::UnboundedReceiver<Connection>,
}

impl Listener for MemoryListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move { self.accepted.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into()) })
    }
}
