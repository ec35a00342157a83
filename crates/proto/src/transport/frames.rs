//! Frames: how messages share a stream.
//!
//! ```text
//! frame    length u32 | type u32 | body
//! whole    a message in one frame:   preamble, head, segments
//! open     a big message's preamble; its head and segments follow in chunks
//! chunk    the next bytes of the message that is open
//! preamble head length u32 | segments u32 | length u64 of each segment
//! ```
//! All numbers are little-endian. At most one big message is open each way, and whole ones go between its
//! chunks: a gigabyte does not delay a ping. Segments are written from where they are and read into where
//! they stay. A message may thus overtake a bigger one sent before it.

mod receive;
mod send;

use crate::{buffer::Buffer, net::ByteStream};
use bytes::{Bytes, BytesMut};
use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

const HEADER: usize = 8;
const WHOLE: u32 = 0;
const OPEN: u32 = 1;
const CHUNK: u32 = 2;

/// The biggest message that goes in one frame, and so the most that a small one ever waits behind.
const MAX_WHOLE: usize = 64 * 1024;
/// The biggest chunk: large enough that its system calls cost nothing beside its copying.
const MAX_CHUNK: usize = 256 * 1024;
/// The most segments of a message.
pub const MAX_SEGMENTS: usize = 4096;

/// A message: its head, and the bulk numbers beside it.
type Message = (BytesMut, Vec<Buffer>);

/// Messages over a byte stream.
pub struct Frames {
    stream: Box<dyn ByteStream>,
    outbox: send::Outbox,
    inbox: receive::Inbox,
}

/// How many bytes a connection has yet to send. Outlives it.
#[derive(Clone, Debug, Default)]
pub struct Unsent(Arc<AtomicUsize>);

impl Unsent {
    /// The number now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many bytes a connection has received: a sign of life where a message takes long. Outlives it.
#[derive(Clone, Debug, Default)]
pub struct Received(Arc<AtomicU64>);

impl Received {
    /// The number now.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Frames {
    /// Frames over `stream`. An incoming message of more than `limit` bytes is an error.
    pub fn new(stream: Box<dyn ByteStream>, limit: u64) -> Self {
        Self { stream, outbox: send::Outbox::default(), inbox: receive::Inbox::new(limit) }
    }

    /// Tells, from outside, how much is yet to be sent.
    pub fn unsent(&self) -> Unsent {
        self.outbox.unsent.clone()
    }

    /// Tells, from outside, how much has been received.
    pub fn received(&self) -> Received {
        self.inbox.received.clone()
    }

    /// Waits until another message may be sent.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.outbox.is_full() {
            ready!(self.outbox.poll_write(Pin::new(&mut self.stream), cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Queues a message.
    ///
    /// # Errors
    /// It has more than [`MAX_SEGMENTS`] segments, or a head of 4 GiB.
    pub fn send(&mut self, head: Bytes, segments: Vec<Buffer>) -> io::Result<()> {
        self.outbox.push(head, segments)
    }

    /// Writes all that is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            ready!(self.outbox.poll_write(Pin::new(&mut self.stream), cx))?;
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Writes all that is queued and ends our direction.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// The next message, or `None` where the other side has ended between two.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Message>>> {
        self.inbox.poll_receive(Pin::new(&mut self.stream), cx)
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frames({} bytes unsent)", self.outbox.unsent.bytes())
    }
}

#[cfg(test)]
mod tests;
