//! The outgoing half: small messages first, big ones a chunk at a time.

use super::{CHUNK, HEADER, MAX_CHUNK, MAX_SEGMENTS, MAX_WHOLE, OPEN, Unsent, WHOLE};
use crate::buffer::Buffer;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Above this, small messages wait.
const SMALL_LIMIT: usize = 1024 * 1024;
/// How many pieces of a chunk go into one system call.
const MAX_SLICES: usize = 16;

/// What is yet to be written.
#[derive(Default)]
pub(super) struct Outbox {
    /// Whole frames, and the openings of big messages, in order.
    small: BytesMut,
    /// Big messages, the first of them open. Unbounded here: each holds references to memory that its task
    /// owns anyway, and windows bound the tasks. Were it bounded here, big messages would hold up small ones.
    big: VecDeque<Big>,
    /// The chunk of the first big message that has been begun: frames do not nest.
    chunk: Option<Chunk>,
    pub(super) unsent: Unsent,
}

struct Big {
    preamble: BytesMut,
    opened: bool,
    pieces: VecDeque<Piece>,
    left: usize,
}

struct Piece {
    buffer: Buffer,
    sent: usize,
}

struct Chunk {
    header: [u8; HEADER],
    header_sent: usize,
    left: usize,
}

fn header(length: usize, kind: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    let (l, k) = bytes.split_at_mut(4);
    // Never more than a chunk or a preamble, both far below 4 GiB.
    l.copy_from_slice(&(length as u32).to_le_bytes());
    k.copy_from_slice(&kind.to_le_bytes());
    bytes
}

impl Outbox {
    pub(super) fn is_full(&self) -> bool {
        self.small.len() >= SMALL_LIMIT
    }

    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.big.is_empty()
    }

    pub(super) fn push(&mut self, head: Bytes, segments: Vec<Buffer>) -> io::Result<()> {
        let too_big = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        if segments.len() > MAX_SEGMENTS {
            return Err(too_big(format!(
                "a message with {} segments: {MAX_SEGMENTS} is the most",
                segments.len()
            )));
        }
        let head_len =
            u32::try_from(head.len()).map_err(|_| too_big(format!("a head of {} bytes", head.len())))?;
        let preamble_len = 8 + 8 * segments.len();
        let body = segments.iter().fold(head.len(), |sum, segment| sum.saturating_add(segment.len()));
        let whole = body <= MAX_WHOLE && preamble_len + body <= MAX_WHOLE;

        let mut preamble = BytesMut::new();
        let out = if whole {
            self.small.put_slice(&header(preamble_len + body, WHOLE));
            &mut self.small
        } else {
            preamble.put_slice(&header(preamble_len, OPEN));
            &mut preamble
        };
        out.put_u32_le(head_len);
        out.put_u32_le(segments.len() as u32);
        for segment in &segments {
            out.put_u64_le(segment.len() as u64);
        }
        if whole {
            out.put_slice(&head);
            for segment in &segments {
                out.put_slice(segment.as_bytes());
            }
            self.count(HEADER + preamble_len + body);
        } else {
            let pieces = std::iter::once(Buffer::from(head)).chain(segments);
            let pieces =
                pieces.filter(|buffer| !buffer.is_empty()).map(|buffer| Piece { buffer, sent: 0 }).collect();
            self.count(preamble.len() + body);
            self.big.push_back(Big { preamble, opened: false, pieces, left: body });
        }
        Ok(())
    }

    fn count(&self, bytes: usize) {
        self.unsent.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Makes one write. Call while there is something to write.
    pub(super) fn poll_write(
        &mut self,
        stream: Pin<&mut (impl AsyncWrite + ?Sized)>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.chunk.is_none()
            && let Some(big) = self.big.front_mut()
            && !big.opened
        {
            big.opened = true;
            self.small.unsplit(std::mem::take(&mut big.preamble));
        }
        let written = if let Some(chunk) = &self.chunk {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let used = chunk.slices(self.big.front(), &mut slices);
            ready!(stream.poll_write_vectored(cx, &slices[..used]))?
        } else if !self.small.is_empty() {
            ready!(stream.poll_write(cx, &self.small))?
        } else if let Some(big) = self.big.front() {
            let left = big.left.min(MAX_CHUNK);
            self.chunk = Some(Chunk { header: header(left, CHUNK), header_sent: 0, left });
            self.count(HEADER);
            return Poll::Ready(Ok(()));
        } else {
            return Poll::Ready(Ok(()));
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unsent.0.fetch_sub(written, Ordering::Relaxed);
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        let Some(chunk) = &mut self.chunk else {
            self.small.advance(written);
            return;
        };
        let of_header = written.min(HEADER - chunk.header_sent);
        chunk.header_sent += of_header;
        written -= of_header;
        chunk.left -= written;
        let ended = chunk.header_sent == HEADER && chunk.left == 0;
        if let Some(big) = self.big.front_mut() {
            big.advance(written);
            if big.left == 0 && ended {
                self.big.pop_front();
            }
        }
        if ended {
            self.chunk = None;
        }
    }
}

impl Chunk {
    /// Points `slices` at the rest of this chunk and says how many are used.
    fn slices<'a>(&'a self, big: Option<&'a Big>, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut left = self.left;
        let rest_of_header = self.header.get(self.header_sent..).filter(|rest| !rest.is_empty());
        let bodies = big.into_iter().flat_map(|big| &big.pieces).map_while(|piece| {
            let bytes = piece.buffer.as_bytes().get(piece.sent..)?;
            let bytes = &bytes[..bytes.len().min(left)];
            left -= bytes.len();
            (!bytes.is_empty()).then_some(bytes)
        });
        let mut used = 0;
        for (slice, bytes) in slices.iter_mut().zip(rest_of_header.into_iter().chain(bodies)) {
            *slice = IoSlice::new(bytes);
            used += 1;
        }
        used
    }
}

impl Big {
    fn advance(&mut self, mut written: usize) {
        self.left -= written;
        while written > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let of_piece = written.min(piece.buffer.len() - piece.sent);
            piece.sent += of_piece;
            written -= of_piece;
            if piece.sent == piece.buffer.len() {
                // Frees the memory, or hands it back, as soon as it is on its way.
                self.pieces.pop_front();
            }
        }
    }
}
