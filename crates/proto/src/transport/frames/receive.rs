//! The incoming half: lengths are checked before they are believed, and memory follows the bytes that come.

use super::{CHUNK, HEADER, MAX_CHUNK, MAX_SEGMENTS, MAX_WHOLE, Message, OPEN, Received, WHOLE};
use crate::buffer::{Buffer, Shelf};
use bytes::{Buf, BytesMut};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

/// A big message's memory grows from here as its bytes come, so that a length alone costs nothing.
const FIRST_GRANT: usize = 256 * 1024;
/// By so much at a time, so that little is copied: what is granted and not yet written costs addresses and no memory.
const GROWTH: usize = 8;
/// After so many messages none of which was big, the memory of big ones is given back. Pings come twice a second.
const PATIENCE: usize = 64;
/// How much is asked for at a time.
const READ: usize = 32 * 1024;

/// What has been read and not yet handed on.
pub(super) struct Inbox {
    limit: u64,
    pub(super) received: Received,
    bytes: BytesMut,
    /// The frame whose header has been read.
    frame: Option<Frame>,
    /// The big message that is open.
    big: Option<Big>,
    /// Where the memory of earlier big messages is, if their segments are dropped by now.
    shelf: Arc<Shelf>,
    /// How many messages have come since the last big one.
    since_big: usize,
}

enum Frame {
    Whole { length: usize },
    Open { length: usize },
    Chunk { left: usize },
}

struct Big {
    parts: Vec<Part>,
    /// Which part the next byte belongs to.
    current: usize,
}

struct Part {
    words: Vec<u64>,
    filled: usize,
    length: usize,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Inbox {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            received: Received::default(),
            bytes: BytesMut::new(),
            frame: None,
            big: None,
            shelf: Arc::default(),
            since_big: 0,
        }
    }

    pub(super) fn poll_receive(
        &mut self,
        mut stream: Pin<&mut (impl AsyncRead + ?Sized)>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Message>>> {
        loop {
            let wanted = match &mut self.frame {
                None => HEADER,
                Some(Frame::Whole { length } | Frame::Open { length }) => *length,
                Some(Frame::Chunk { left }) => {
                    let big = self.big.as_mut().ok_or_else(|| invalid("a chunk of no message"))?;
                    let ahead = self.bytes.len();
                    let read =
                        ready!(big.poll_fill(&mut self.bytes, *left, &self.shelf, stream.as_mut(), cx))?;
                    // What was read ahead has been counted.
                    self.received.add(if ahead == 0 { read } else { 0 });
                    if read == 0 {
                        return Poll::Ready(Err(cut()));
                    }
                    *left -= read;
                    if *left == 0 {
                        self.frame = None;
                        if let Some(big) = self.big.take_if(|big| big.is_full()) {
                            self.since_big = 0;
                            return Poll::Ready(big.finish(&self.shelf).map(Some));
                        }
                    }
                    continue;
                }
            };
            if self.bytes.len() < wanted {
                // A frame that is not a chunk has at most `MAX_WHOLE` bytes, which bounds this reservation.
                self.bytes.reserve(wanted.max(READ));
                let read = ready!(poll_read_buf(stream.as_mut(), cx, &mut self.bytes))?;
                self.received.add(read);
                if read == 0 {
                    let between = self.frame.is_none() && self.bytes.is_empty() && self.big.is_none();
                    return Poll::Ready(if between { Ok(None) } else { Err(cut()) });
                }
                continue;
            }
            match self.frame.take() {
                None => self.frame = Some(self.read_header()?),
                Some(Frame::Whole { length }) => {
                    self.since_big += 1;
                    if self.since_big == PATIENCE {
                        self.shelf.clear();
                    }
                    let body = self.bytes.split_to(length);
                    return Poll::Ready(self.read_whole(body).map(Some));
                }
                Some(Frame::Open { length }) => {
                    let mut body = self.bytes.split_to(length);
                    let (head, segments) = self.read_preamble(&mut body)?;
                    if body.has_remaining() {
                        return Poll::Ready(Err(invalid("an opening longer than its preamble")));
                    }
                    self.big = Some(Big::new(head, segments));
                }
                Some(Frame::Chunk { .. }) => return Poll::Ready(Err(invalid("a chunk of no message"))),
            }
        }
    }

    fn read_header(&mut self) -> io::Result<Frame> {
        let length = self.bytes.get_u32_le() as usize;
        let kind = self.bytes.get_u32_le();
        match kind {
            WHOLE if length <= MAX_WHOLE => Ok(Frame::Whole { length }),
            OPEN if length <= MAX_WHOLE && self.big.is_none() => Ok(Frame::Open { length }),
            CHUNK
                if (1..=MAX_CHUNK).contains(&length)
                    && self.big.as_ref().is_some_and(|big| length as u64 <= big.missing()) =>
            {
                Ok(Frame::Chunk { left: length })
            }
            _ => Err(invalid(format!("a frame of type {kind} and {length} bytes has no place here"))),
        }
    }

    /// The lengths of the head and of the segments, whose sum is within the limit.
    fn read_preamble(&self, body: &mut BytesMut) -> io::Result<(u32, Vec<u64>)> {
        let short = || invalid("a preamble that ends early");
        let head = body.try_get_u32_le().map_err(|_| short())?;
        let count = body.try_get_u32_le().map_err(|_| short())? as usize;
        if count > MAX_SEGMENTS {
            return Err(invalid(format!("a message with {count} segments: {MAX_SEGMENTS} is the most")));
        }
        let mut total = u64::from(head);
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            let length = body.try_get_u64_le().map_err(|_| short())?;
            total = total.saturating_add(length);
            segments.push(length);
        }
        if total > self.limit {
            return Err(invalid(format!("a message of {total} bytes: {} is the limit", self.limit)));
        }
        Ok((head, segments))
    }

    fn read_whole(&self, mut body: BytesMut) -> io::Result<Message> {
        let (head, lengths) = self.read_preamble(&mut body)?;
        let mut take = |length: u64| {
            let length = usize::try_from(length).ok().filter(|&length| length <= body.len());
            length
                .map(|length| body.split_to(length))
                .ok_or_else(|| invalid("a frame shorter than its message"))
        };
        let head = take(head.into())?;
        let segments = lengths.into_iter().map(|length| Ok(aligned(&take(length)?)));
        let segments = segments.collect::<io::Result<_>>()?;
        if body.is_empty() { Ok((head, segments)) } else { Err(invalid("a frame longer than its message")) }
    }
}

/// A small segment is copied to where numbers may stand.
fn aligned(bytes: &[u8]) -> Buffer {
    let mut words = vec![0; bytes.len().div_ceil(size_of::<u64>())];
    bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
    Buffer::from_words(words, bytes.len()).unwrap_or_else(|_| Buffer::from(bytes.to_vec()))
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within a message")
}

impl Big {
    fn new(head: u32, segments: Vec<u64>) -> Self {
        let part = |length: u64| Part { words: Vec::new(), filled: 0, length: length as usize };
        let parts = std::iter::once(part(head.into())).chain(segments.into_iter().map(part)).collect();
        let mut big = Self { parts, current: 0 };
        big.skip_full();
        big
    }

    fn skip_full(&mut self) {
        while self.parts.get(self.current).is_some_and(|part| part.filled == part.length) {
            self.current += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.current == self.parts.len()
    }

    fn missing(&self) -> u64 {
        self.parts.iter().map(|part| (part.length - part.filled) as u64).sum()
    }

    /// Takes up to `left` bytes to where they stay: what was read ahead first, then straight from the stream.
    /// Says how many; none at the stream's end.
    fn poll_fill(
        &mut self,
        ahead: &mut BytesMut,
        left: usize,
        shelf: &Shelf,
        stream: Pin<&mut (impl AsyncRead + ?Sized)>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(part) = self.parts.get_mut(self.current) else {
            return Poll::Ready(Err(invalid("a chunk longer than its message")));
        };
        let room = part.room(left, shelf);
        let read = if ahead.is_empty() {
            let mut buf = ReadBuf::new(room);
            ready!(stream.poll_read(cx, &mut buf))?;
            buf.filled().len()
        } else {
            let read = ahead.len().min(room.len());
            ahead.copy_to_slice(&mut room[..read]);
            read
        };
        part.filled += read;
        self.skip_full();
        Poll::Ready(Ok(read))
    }

    fn finish(self, shelf: &Arc<Shelf>) -> io::Result<Message> {
        let mut parts = self.parts.into_iter().map(|part| {
            let buffer = Buffer::from_shelf(part.words, part.length, shelf);
            buffer.map_err(|_| invalid("a message that is not complete"))
        });
        let head = parts.next().ok_or_else(|| invalid("a message without a head"))??;
        Ok((BytesMut::from(head.as_bytes()), parts.collect::<io::Result<_>>()?))
    }
}

impl Part {
    /// Where the next bytes go, at most `left` of them.
    fn room(&mut self, left: usize, shelf: &Shelf) -> &mut [u8] {
        let capacity = size_of_val(self.words.as_slice());
        if self.filled == capacity {
            if capacity == 0
                && let Some(words) = shelf.take(self.length)
            {
                self.words = words;
            } else {
                let grown = (capacity * GROWTH).max(FIRST_GRANT).min(self.length);
                // Fresh zeroes, and not old ones resized: those the system gives for nothing.
                let mut words = vec![0; grown.div_ceil(size_of::<u64>())];
                words[..self.words.len()].copy_from_slice(&self.words);
                self.words = words;
            }
        }
        let end = size_of_val(self.words.as_slice()).min(self.length).min(self.filled + left);
        &mut bytemuck::cast_slice_mut::<u64, u8>(&mut self.words)[self.filled..end]
    }
}
