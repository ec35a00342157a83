//! The connections that are open, whose peers are judged anew when there is news of certificates.

use super::{
    keys::Keys,
    verify::{End, identity},
};
use crate::net::ByteStream;
use futures::task::AtomicWaker;
use rustls::{
    Error,
    pki_types::{CertificateDer, UnixTime},
};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::info;

/// All of them.
#[derive(Default)]
pub(super) struct Open(Mutex<Vec<Weak<Peer>>>);

impl Open {
    /// One more, whose peer has shown these certificates at that end.
    pub(super) fn add(&self, stream: Box<dyn ByteStream>, chain: &[CertificateDer<'_>], end: End) -> Judged {
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let peer = Arc::new(Peer { chain, end, refused: OnceLock::new(), reader: AtomicWaker::new() });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            // Those that are gone make room, or else there are twice as many places: either is seldom.
            all.retain(|peer| peer.strong_count() > 0);
        }
        all.push(Arc::downgrade(&peer));
        Judged { stream, peer }
    }

    /// Judges every peer by these keys, and ends the connections of those who are not good any more. How many.
    pub(super) fn judge(&self, keys: &Keys) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().filter_map(Weak::upgrade).filter(|peer| peer.judge(keys).is_err()).count()
    }
}

/// Who a connection is with.
struct Peer {
    chain: Vec<CertificateDer<'static>>,
    end: End,
    /// Why the connection is to end.
    refused: OnceLock<Error>,
    /// Who waits for bytes.
    reader: AtomicWaker,
}

impl Peer {
    fn judge(&self, keys: &Keys) -> Result<(), Error> {
        let [leaf, others @ ..] = self.chain.as_slice() else { return Ok(()) };
        keys.judge.judge(leaf, others, self.end, UnixTime::now()).inspect_err(|error| {
            if self.refused.set(error.clone()).is_ok()
                && let Ok(identity) = identity(Some(&self.chain))
            {
                info!(peer = %identity, "closing a connection: {error}");
            }
            self.reader.wake();
        })
    }

    fn check(&self) -> io::Result<()> {
        match self.refused.get() {
            Some(error) => Err(io::Error::new(io::ErrorKind::PermissionDenied, error.clone())),
            None => Ok(()),
        }
    }
}

/// A stream that ends when its peer is not good any more.
pub(super) struct Judged {
    stream: Box<dyn ByteStream>,
    peer: Arc<Peer>,
}

impl Judged {
    /// Judges the peer by later keys than those by which it was let in.
    ///
    /// # Errors
    /// It is not good by them.
    pub(super) fn judge(&self, keys: &Keys) -> Result<(), Error> {
        self.peer.judge(keys)
    }
}

impl AsyncRead for Judged {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // In this order: who is refused after the check wakes us.
        self.peer.reader.register(cx.waker());
        self.peer.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Judged {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.peer.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.peer.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
