//! A TCP proxy that does to a connection what networks do: delay, throttle, lose, hold, reset, cut.
//!
//! ```text
//! one end ──► Proxy::address ─ ToTarget ─► target          control (this file): a test's thread sets Rules
//!         ◄── ─ ─ ─ ─ ─ ─ ─ ─ ToSource ──                  link, pump: what a connection does about them
//! ```
//!
//! It forwards between whoever connects to it and its target, on one thread of its own; its controls act on
//! the connections that are open as well as on those to come. Put in front of a worker (`--advertise` takes
//! its address) it breaks the way to that worker while the worker itself is well.

mod link;
mod pump;

use link::{Lane, Link};
use socket2::{Domain, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    runtime, select,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// A way through the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From whoever has connected.
    ToTarget,
    /// To whoever has connected.
    ToSource,
}

impl Direction {
    /// Both ways.
    pub const BOTH: [Self; 2] = [Self::ToTarget, Self::ToSource];

    fn back(self) -> Self {
        if self == Self::ToTarget { Self::ToSource } else { Self::ToTarget }
    }
}

/// A running proxy; dropping it ends every connection through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: Arc<Link>,
    // Its senders wait for the answer to each order, so it never holds more orders than there are threads.
    orders: UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

enum Order {
    /// Listen, or refuse; answered when it is so.
    Listen(bool, mpsc::Sender<()>),
    Stop,
}

impl Proxy {
    /// Listens on a free port. Connections are reset until there is a target.
    ///
    /// # Panics
    /// When the machine has no port, or no thread, to give.
    pub fn start() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // A bound socket that never listens keeps the port while connections are to be refused.
        let port = bound(any_port).expect("there is a free port");
        let address =
            port.local_addr().ok().and_then(|address| address.as_socket()).expect("an IPv4 address");
        let listener = listen(address).expect("the reserved port can be listened on");
        let link = Arc::new(Link::new());
        let (orders, queue) = unbounded_channel();
        let thread = {
            let link = Arc::clone(&link);
            thread::spawn(move || {
                let runtime = runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime starts").block_on(accept(link, address, listener, queue));
                drop(port);
            })
        };
        Self { address, link, orders, thread: Some(thread) }
    }

    /// Listens on a free port for connections to that target.
    pub fn to(target: SocketAddr) -> Self {
        let proxy = Self::start();
        proxy.set_target(target);
        proxy
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections go from now on.
    pub fn set_target(&self, target: SocketAddr) {
        self.link.change(|rules| rules.target = Some(target));
    }

    /// Delays every byte so long, each way.
    pub fn delay(&self, each_way: Duration) {
        self.link.change(|rules| rules.delay = each_way);
    }

    /// Lets at most so many bytes a second through, each way of each connection.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.link.change(|rules| rules.rate = Some(bytes_per_second.max(1)));
    }

    /// Swallows what goes that way, ends and resets included; the other side sees nothing at all. A
    /// connection that has lost something cannot be mended: [`heal`](Self::heal) resets it.
    pub fn swallow(&self, ways: &[Direction]) {
        self.link.change(|rules| ways.iter().for_each(|way| rules.lanes[*way as usize] = Lane::Swallowed));
    }

    /// Holds what goes that way, ends and resets included, until [`heal`](Self::heal): what a short outage is
    /// to TCP, which sends again what was lost.
    pub fn hold(&self, ways: &[Direction]) {
        self.link.change(|rules| ways.iter().for_each(|way| rules.lanes[*way as usize] = Lane::Held));
    }

    /// Resets every open connection (RST to both sides). New ones are let through.
    pub fn reset(&self) {
        self.link.change(|rules| rules.resets += 1);
    }

    /// Lets exactly so many more bytes go that way, on all connections together, and closes the connection
    /// that brings the next: in the middle of a message. Later connections are let through.
    pub fn cut_after(&self, way: Direction, bytes: u64) {
        self.link.cut_after(way, bytes);
    }

    /// Refuses new connections; open ones go on.
    pub fn refuse(&self) {
        self.set_listening(false);
    }

    /// Ends all faults. Connections that have lost bytes are reset, others go on with what was held.
    pub fn heal(&self) {
        self.link.heal();
        self.set_listening(true);
    }

    fn set_listening(&self, listening: bool) {
        let (done, answer) = mpsc::channel();
        let sent = self.orders.send(Order::Listen(listening, done)).is_ok();
        assert!(sent && answer.recv().is_ok(), "the proxy at {} has died", self.address);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _already_gone = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Accepts connections and obeys orders. Returning ends every connection, with the runtime.
async fn accept(
    link: Arc<Link>,
    address: SocketAddr,
    listener: TcpListener,
    mut orders: UnboundedReceiver<Order>,
) {
    let open = |listener| tokio::net::TcpListener::from_std(listener).expect("a non-blocking listener");
    let mut listener = Some(open(listener));
    loop {
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        select! {
            order = orders.recv() => match order {
                Some(Order::Listen(wanted, done)) => {
                    if wanted != listener.is_some() {
                        listener = wanted.then(|| open(listen(address).expect("the port was kept")));
                    }
                    let _nobody_waits = done.send(());
                }
                Some(Order::Stop) | None => return,
            },
            Ok((source, _)) = accepted => drop(tokio::spawn(link::serve(Arc::clone(&link), source))),
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address)?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
