//! Peers without number that never finish a handshake, in paused time and without sockets.

use super::{
    super::listener::{HANDSHAKE, MAX_FROM_ONE, MAX_HANDSHAKES, TlsListener},
    authority::{Authority, Leaf},
};
use crate::{
    identity::{Role, Who},
    net::{Connection, Listener},
};
use futures::future::BoxFuture;
use std::{
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, timeout},
};

/// Somebody is there so many times, each time from another address, or always from the same.
struct Crowd {
    came: u32,
    most: u32,
    one_address: bool,
    /// The other ends.
    theirs: UnboundedSender<DuplexStream>,
}

impl Listener for Crowd {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        // All of it when it is polled: a future that is only made accepts nobody.
        Box::pin(async move {
            if self.came == self.most {
                return pending().await;
            }
            self.came += 1;
            let origin = if self.one_address { 1 } else { self.came };
            let (ours, theirs) = duplex(64);
            self.theirs.send(theirs).unwrap();
            let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(origin)), 1);
            Ok(Connection { stream: Box::new(ours), local: self.local_addr()?, peer, who: Who::Trusted })
        })
    }
}

fn listener(one_address: bool) -> (TlsListener, UnboundedReceiver<DuplexStream>) {
    let network = Authority::new("ca").network(Leaf::of(Role::Nameserver, "ns"));
    let (theirs, opened) = unbounded_channel();
    (TlsListener::new(Box::new(Crowd { came: 0, most: 10_000, one_address, theirs }), network.shared), opened)
}

#[tokio::test(start_paused = true)]
async fn only_so_many_are_let_begin_and_none_holds_its_place_for_long() {
    let (mut listener, mut opened) = listener(false);
    assert!(timeout(HANDSHAKE / 2, listener.accept()).await.is_err(), "nobody has finished");
    assert_eq!(opened.len(), MAX_HANDSHAKES);
    let began = Instant::now();
    let mut first = opened.recv().await.unwrap();
    let mut byte = [0];
    let ended = timeout(HANDSHAKE * 2, first.read(&mut byte));
    tokio::select! {
        biased;
        ended = ended => assert_eq!(ended.unwrap().unwrap(), 0),
        _ = listener.accept() => panic!("nobody has finished"),
    }
    assert!(began.elapsed() <= HANDSHAKE, "{:?}", began.elapsed());
    // Its place, and those of all who came with it, are others' now.
    assert!(timeout(HANDSHAKE / 2, listener.accept()).await.is_err());
    assert!(opened.len() > MAX_HANDSHAKES);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_is_dropped_leaves_nothing_running() {
    let (mut listener, mut opened) = listener(false);
    assert!(timeout(HANDSHAKE / 2, listener.accept()).await.is_err());
    let began = Instant::now();
    drop(listener);
    assert_eq!(opened.recv().await.unwrap().read(&mut [0]).await.unwrap(), 0);
    assert!(began.elapsed().is_zero());
}

#[tokio::test]
async fn one_address_gets_no_more_than_its_share() {
    let (mut listener, mut opened) = listener(true);
    let mut kept = Vec::new();
    let accepting = tokio::spawn(async move { drop(listener.accept().await) });
    while kept.len() < MAX_FROM_ONE {
        kept.push(opened.recv().await.unwrap());
    }
    let mut one_more = opened.recv().await.unwrap();
    assert_eq!(one_more.read(&mut [0]).await.unwrap(), 0);
    accepting.abort();
}
