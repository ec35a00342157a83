//! Where byte streams come from.
//!
//! Everything above talks to a [`Network`], so that the same programs run over TCP and in a simulation, and
//! so that encryption can be put beneath them.

use crate::identity::Who;
use futures::future::BoxFuture;
use socket2::{SockRef, TcpKeepalive};
use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A two-way stream of bytes.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// An open stream and whom it joins.
pub struct Connection {
    /// The bytes.
    pub stream: Box<dyn ByteStream>,
    /// Our end.
    pub local: SocketAddr,
    /// Their end.
    pub peer: SocketAddr,
    /// Who they are.
    pub who: Who,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} -> {})", self.local, self.peer)
    }
}

/// Opens and accepts connections.
pub trait Network: fmt::Debug + Send + Sync + 'static {
    /// Opens a connection to `host:port`, or says within a few seconds why it cannot.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>>;
    /// Listens on `host:port`; port 0 picks a free one.
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;
    /// Whether peers prove who they are, so that it does no harm if strangers can connect.
    fn is_authenticated(&self) -> bool {
        false
    }
}

/// A listening socket.
pub trait Listener: Send {
    /// Where it listens, with the real port.
    fn local_addr(&self) -> io::Result<SocketAddr>;
    /// The next connection. Dropping the future loses none.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>>;
}

/// Whom an address stands for where peers are counted: of IPv6, one person has a whole network of 64 bits.
pub fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// How long opening a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The most bytes that the kernel takes beyond those that are on their way: a chunk's worth.
#[cfg(target_os = "linux")]
const MOST_UNSENT: u32 = 256 * 1024;

/// The machine's own TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Network for Tcp {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {CONNECT_TIMEOUT:?}"))
            })??;
            let peer = stream.peer_addr()?;
            joined(stream, peer)
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener: Box<dyn Listener> = Box::new(TcpListener::bind(address).await?);
            Ok(listener)
        })
    }
}

impl Listener for TcpListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move {
            let (stream, peer) = Self::accept(self).await?;
            joined(stream, peer)
        })
    }
}

fn joined(stream: TcpStream, peer: SocketAddr) -> io::Result<Connection> {
    // Frames are written whole, so there is nothing to gain by holding small ones back.
    stream.set_nodelay(true)?;
    // The last resort against peers that are gone without a word while nobody expects one.
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(Duration::from_secs(5));
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    // What waits in the kernel is before any ping. A system that does not know of this works, with longer waits.
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MOST_UNSENT);
    Ok(Connection { local: stream.local_addr()?, peer, stream: Box::new(stream), who: Who::Trusted })
}
