//! Peers that send whatever they like, and what that costs whom they send it to.

use crate::{process::Process, reference::word};
use std::{
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// What listens somewhere, by its number in a greeting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Service {
    /// A name server.
    NameServer = 1,
    /// A worker.
    Task = 2,
}

/// The first bytes of whoever means it, with the protocol's version.
fn greeting(service: Service) -> Vec<u8> {
    [b"SGDT\x03\x00".as_slice(), &[service as u8, 0]].concat()
}

/// Bytes that follow from a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    (0..).flat_map(|k| word(seed, k).to_le_bytes()).take(length).collect()
}

/// What one hostile peer sends: noise, frames of all sizes cut off anywhere, and the beginnings of TLS.
pub fn bytes(service: Service, seed: u64) -> Vec<u8> {
    let frame = |length: u32, kind: u8| [&length.to_le_bytes()[..], &[kind, 0, 0, 0]].concat();
    let length = (word(seed, 0) % 4096) as usize;
    match seed % 6 {
        0 => noise(seed, length),
        1 => [greeting(service), noise(seed, length)].concat(),
        2 => [greeting(service), frame(u32::MAX, (seed / 6) as u8), noise(seed, length)].concat(),
        3 => [greeting(service), frame(length as u32, (seed / 6) as u8), noise(seed, length / 2)].concat(),
        4 => [&b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc"[..], &noise(seed, length)].concat(),
        _ => [greeting(service), vec![0xff; length]].concat(),
    }
}

/// A greeting, and a question to which everybody knows an answer, to be given within this time.
pub fn question(service: Service, deadline_ms: u64) -> Vec<u8> {
    let (request, id, list_or_ping) = (0, 1, 4);
    let mut head = vec![request, id];
    let mut left = deadline_ms;
    while left >= 0x80 {
        head.push(left as u8 | 0x80);
        left >>= 7;
    }
    head.extend([left as u8, list_or_ping]);
    let (whole, no_segments) = ([0; 4], [0; 4]);
    let length = |length: usize| (length as u32).to_le_bytes();
    let frame = [length(8 + head.len()), whole, length(head.len()), no_segments].concat();
    [greeting(service), frame, head].concat()
}

/// Opens so many connections that say nothing, or not enough, and stay.
///
/// # Panics
/// When nobody listens there.
pub fn half_open(server: SocketAddr, service: Service, count: usize) -> Vec<TcpStream> {
    let open = |n: usize| {
        let mut stream = TcpStream::connect(server).expect("the server listens");
        // Whoever is closed early is closed; that is the server's right.
        drop(stream.write_all(&greeting(service)[..n % 8]));
        stream
    };
    (0..count).map(open).collect()
}

/// Opens a connection for each of these seeds that says something and goes.
///
/// # Panics
/// When nobody listens there.
pub fn flood(server: SocketAddr, service: Service, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut stream = TcpStream::connect(server).expect("the server listens");
        drop(stream.write_all(&bytes(service, seed)));
        if seed % 2 == 0 {
            let patience = Some(Duration::from_millis(1));
            stream.set_read_timeout(patience).expect("it is more than nothing");
            drop(stream.read(&mut [0; 64]));
        }
    }
}

/// What a process takes up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Footprint {
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Open files and sockets.
    pub descriptors: usize,
}

impl Footprint {
    /// What it takes up now.
    ///
    /// # Panics
    /// When it has ended.
    pub fn of(process: &Process) -> Self {
        Self { memory: process.rss_bytes(), descriptors: process.descriptors() }
    }

    /// The more of either.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { memory: self.memory.max(other.memory), descriptors: self.descriptors.max(other.descriptors) }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6.1} MiB {:5} descriptors", self.memory as f64 / f64::from(1 << 20), self.descriptors)
    }
}
