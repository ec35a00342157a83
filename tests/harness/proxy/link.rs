//! One proxied connection under the rules in force.
//!
//! A connection reads the [`Rules`] as it goes: a change acts on what is under way. [`pump`](super::pump)
//! carries the bytes, once for each way; here a connection is made, and ended by order.

use super::{
    Direction,
    pump::{passable, pump},
};
use socket2::SockRef;
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    select,
    sync::watch,
};

/// What a connection has to go by.
#[derive(Clone, Default, Debug)]
pub(super) struct Rules {
    pub(super) target: Option<SocketAddr>,
    pub(super) delay: Duration,
    /// Bytes a second.
    pub(super) rate: Option<u64>,
    pub(super) lanes: [Lane; 2],
    /// Moves when every connection is to be reset.
    pub(super) resets: u64,
    /// Moves when those that have lost something are to be reset.
    heals: u64,
}

/// What happens to what goes one way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Lane {
    #[default]
    Open,
    Held,
    Swallowed,
}

/// What all connections of a proxy share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) rules: watch::Sender<Rules>,
    /// How many more bytes may go each way before a cut.
    cuts: Mutex<[Option<u64>; 2]>,
}

/// Whether one connection has lost something, each way.
pub(super) type Losses = [AtomicBool; 2];

/// Why a connection is not to go on.
pub(super) enum Severed {
    Closed,
    Reset,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { rules: watch::Sender::new(Rules::default()), cuts: Mutex::default() }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Rules)) {
        self.rules.send_modify(change);
    }

    pub(super) fn cut_after(&self, way: Direction, bytes: u64) {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)[way as usize] = Some(bytes);
    }

    pub(super) fn heal(&self) {
        *self.cuts.lock().unwrap_or_else(PoisonError::into_inner) = [None; 2];
        self.change(|rules| {
            *rules = Rules {
                target: rules.target,
                resets: rules.resets,
                heals: rules.heals + 1,
                ..Rules::default()
            };
        });
    }

    /// How many of so many bytes may go, and whether the connection is cut behind them.
    pub(super) fn allowance(&self, way: Direction, bytes: usize) -> (usize, bool) {
        let slot = &mut self.cuts.lock().unwrap_or_else(PoisonError::into_inner)[way as usize];
        match *slot {
            Some(left) if left < bytes as u64 => {
                *slot = None;
                (left as usize, true)
            }
            Some(left) => {
                *slot = Some(left - bytes as u64);
                (bytes, false)
            }
            None => (bytes, false),
        }
    }
}

/// Serves one connection to its end. However that comes about, it is a reset, unless both sides or a cut have
/// closed it.
pub(super) async fn serve(link: Arc<Link>, mut source: TcpStream) {
    let lost = Losses::default();
    let mut rules = link.rules.subscribe();
    let begun = rules.borrow_and_update().clone();
    prepare(&source);
    select! {
        () = connect_and_relay(&link, begun.target, &mut source, &lost) => {}
        () = reset_wanted(&mut rules, begun, &lost) => {}
    }
}

async fn connect_and_relay(link: &Link, target: Option<SocketAddr>, source: &mut TcpStream, lost: &Losses) {
    let Ok(mut target) = connect(target).await else {
        return passable(&mut link.rules.subscribe(), Direction::ToSource, lost).await;
    };
    if let Severed::Closed = relay(link, source, &mut target, lost).await {
        let _already_dead = [&*source, &target].map(|stream| SockRef::from(stream).set_linger(None));
    }
}

async fn connect(target: Option<SocketAddr>) -> io::Result<TcpStream> {
    let target = target.ok_or(ErrorKind::NotConnected)?;
    let socket = TcpSocket::new_v4()?;
    prepare(&socket);
    socket.connect(target).await
}

/// Dropping the socket resets it: it lingers for no time. And small writes are messages here, which are not
/// to wait for each other.
fn prepare(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    let _already_dead = (socket.set_linger(Some(Duration::ZERO)), socket.set_tcp_nodelay(true));
}

/// Returns when the connection is to be reset by order.
async fn reset_wanted(rules: &mut watch::Receiver<Rules>, begun: Rules, lost: &Losses) {
    let mut heals = begun.heals;
    let has_lost = || lost.iter().any(|lost| lost.load(Ordering::Relaxed));
    while rules.changed().await.is_ok() {
        let now = rules.borrow_and_update();
        if now.resets != begun.resets || (now.heals != heals && has_lost()) {
            return;
        }
        heals = now.heals;
    }
}

async fn relay(link: &Link, source: &mut TcpStream, target: &mut TcpStream, lost: &Losses) -> Severed {
    let (from_source, to_source) = source.split();
    let (from_target, to_target) = target.split();
    let there = pump(link, Direction::ToTarget, from_source, to_target, lost);
    let back = pump(link, Direction::ToSource, from_target, to_source, lost);
    tokio::try_join!(there, back).err().unwrap_or(Severed::Closed)
}
