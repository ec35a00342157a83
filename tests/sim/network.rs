//! A machine's network card: turmoil's TCP, offered to a process as the product's own [`Network`].
//!
//! ```text
//!   process (its own runtime and clock)      card (a turmoil host)
//!     Wire ── Order ──────────────────────▶  card() ── TcpStream, TcpListener ── simulated links
//!     Socket ◀────────── in-memory pipe ──▶  relay()
//! ```
//! The two are apart because a stopped process (SIGSTOP) has a card that goes on: connections are accepted for it,
//! what is sent to it waits in buffers, and its own clock stands still. turmoil can stop no host, so what is to be
//! stopped does not run on one.

use futures::future::BoxFuture;
use sgdt_proto::{
    identity::Who,
    net::{Connection, Listener, Network},
};
use std::{
    collections::BTreeSet,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, copy_bidirectional, duplex},
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot, watch,
    },
    time::timeout,
};
use turmoil::net::{TcpListener, TcpStream};

/// What a socket's buffers hold.
const BUFFER: usize = 64 * 1024;
/// How long opening a connection may take, as over real TCP.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What cards must know of the links.
#[derive(Clone, Default)]
pub(crate) struct Links {
    /// The directions in which nothing gets through, for those who would otherwise be told at once: turmoil refuses a
    /// connection whose first packet is lost.
    pub(crate) cuts: Arc<Mutex<BTreeSet<(IpAddr, IpAddr)>>>,
    /// Two machines whose connections are to end now.
    pub(crate) resets: watch::Sender<[Option<IpAddr>; 2]>,
}

/// A process's life, as its sockets know it.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// It has died in the middle of a step: from here on nothing it does is seen outside.
    pub(crate) dead: AtomicBool,
    /// Connections that it has accepted and not closed.
    pub(crate) accepted: AtomicUsize,
}

/// What a process asks of its card.
pub(crate) enum Order {
    Connect { to: SocketAddr, reply: oneshot::Sender<io::Result<Link>> },
    Listen { port: u16, reply: oneshot::Sender<io::Result<(SocketAddr, UnboundedReceiver<Link>)>> },
}

/// A connection as the card hands it over.
pub(crate) struct Link {
    pipe: DuplexStream,
    local: SocketAddr,
    peer: SocketAddr,
}

/// A process's way to its machine's card.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) orders: UnboundedSender<Order>,
    pub(crate) life: Arc<Life>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    async fn ask<T>(&self, order: Order, reply: oneshot::Receiver<io::Result<T>>) -> io::Result<T> {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the network card is gone");
        self.orders.send(order).map_err(|_| gone())?;
        reply.await.map_err(|_| gone())?
    }
}

impl Network for Wire {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let to = address.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let (reply, link) = oneshot::channel();
            let link = timeout(CONNECT_TIMEOUT, self.ask(Order::Connect { to, reply }, link)).await;
            Ok(connection(link.map_err(|_| io::ErrorKind::TimedOut)??, self.life.clone(), false))
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let to: SocketAddr =
                address.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let (reply, bound) = oneshot::channel();
            let (local, incoming) = self.ask(Order::Listen { port: to.port(), reply }, bound).await?;
            let listener: Box<dyn Listener> = Box::new(Port { local, incoming, life: self.life.clone() });
            Ok(listener)
        })
    }
}

/// A listening socket, seen from the process.
struct Port {
    local: SocketAddr,
    incoming: UnboundedReceiver<Link>,
    life: Arc<Life>,
}

impl Listener for Port {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            let link = self.incoming.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            Ok(connection(link, self.life.clone(), true))
        })
    }
}

fn connection(link: Link, life: Arc<Life>, accepted: bool) -> Connection {
    life.accepted.fetch_add(accepted.into(), Ordering::Relaxed);
    let Link { pipe, local, peer } = link;
    Connection { stream: Box::new(Socket { pipe, life, accepted }), local, peer, who: Who::Trusted }
}

/// A connected socket, seen from the process.
struct Socket {
    pipe: DuplexStream,
    life: Arc<Life>,
    accepted: bool,
}

impl Socket {
    /// The pipe, while the process lives.
    fn living<T>(&mut self, act: impl FnOnce(Pin<&mut DuplexStream>) -> Poll<T>) -> Poll<T> {
        if self.life.dead.load(Ordering::Relaxed) { Poll::Pending } else { act(Pin::new(&mut self.pipe)) }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.living(|pipe| pipe.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.living(|pipe| pipe.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.living(|pipe| pipe.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.living(|pipe| pipe.poll_shutdown(cx))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.life.accepted.fetch_sub(self.accepted.into(), Ordering::Relaxed);
    }
}

/// The card's side: does what it is asked to for as long as the simulation lasts.
pub(crate) async fn card(mut orders: UnboundedReceiver<Order>, own: IpAddr, links: Links) -> turmoil::Result {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Connect { to, reply } => drop(tokio::spawn(connect(own, to, links.clone(), reply))),
            Order::Listen { port, reply } => drop(tokio::spawn(listen(own, port, links.clone(), reply))),
        }
    }
    Ok(())
}

async fn connect(own: IpAddr, to: SocketAddr, links: Links, mut reply: oneshot::Sender<io::Result<Link>>) {
    let is_cut = || {
        let cuts = links.cuts.lock().unwrap();
        cuts.contains(&(own, to.ip())) || cuts.contains(&(to.ip(), own))
    };
    if is_cut() {
        return reply.closed().await;
    }
    let stream = tokio::select! {
        biased;
        () = reply.closed() => return,
        stream = TcpStream::connect(to) => stream,
    };
    match stream {
        Ok(stream) => {
            let local = stream.local_addr().unwrap();
            let (pipe, ours) = duplex(BUFFER);
            if reply.send(Ok(Link { pipe, local, peer: to })).is_ok() {
                relay(stream, ours, [own, to.ip()], links.resets.subscribe()).await;
            }
        }
        Err(_) if is_cut() => reply.closed().await,
        Err(error) => drop(reply.send(Err(error))),
    }
}

async fn listen(
    own: IpAddr,
    port: u16,
    links: Links,
    reply: oneshot::Sender<io::Result<(SocketAddr, UnboundedReceiver<Link>)>>,
) {
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
        Ok(listener) => listener,
        Err(error) => return drop(reply.send(Err(error))),
    };
    let port = listener.local_addr().unwrap().port();
    let local = SocketAddr::new(own, port);
    let (accepted, incoming) = unbounded_channel();
    if reply.send(Ok((local, incoming))).is_err() {
        return;
    }
    loop {
        let connection = tokio::select! {
            biased;
            // The process has closed its socket, or is no more.
            () = accepted.closed() => return,
            connection = listener.accept() => connection,
        };
        let Ok((stream, peer)) = connection else { return };
        let (pipe, ours) = duplex(BUFFER);
        if accepted.send(Link { pipe, local, peer }).is_ok() {
            tokio::spawn(relay(stream, ours, [own, peer.ip()], links.resets.subscribe()));
        }
    }
}

/// Carries bytes between the simulated network and a process until both sides are done, or one fails, or the
/// connection is reset.
async fn relay(
    mut stream: TcpStream,
    mut pipe: DuplexStream,
    [own, other]: [IpAddr; 2],
    mut resets: watch::Receiver<[Option<IpAddr>; 2]>,
) {
    let ours = |pair: &[Option<IpAddr>; 2]| pair.contains(&Some(own)) && pair.contains(&Some(other));
    resets.mark_unchanged();
    let reset = async { while resets.changed().await.is_ok() && !ours(&resets.borrow_and_update()) {} };
    // How it ended is seen by both sides: dropped, the pipe and the stream are closed.
    tokio::select! {
        biased;
        () = reset => {}
        _ = copy_bidirectional(&mut stream, &mut pipe) => {}
    }
}
