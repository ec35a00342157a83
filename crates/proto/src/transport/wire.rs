//! A tarpc transport: the codec for heads, frames for heads and segments.

use super::{
    codec::Postcard,
    frames::{Frames, Received, Unsent},
};
use crate::buffer::{attached, detached};
use futures::{Sink, Stream};
use std::{
    fmt, io,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio_serde::{Deserializer, Serializer};

/// Reads `Item`s from, and writes `SinkItem`s to, a stream of bytes.
pub struct Wire<Item, SinkItem> {
    frames: Frames,
    codec: Postcard,
    items: PhantomData<fn(SinkItem) -> Item>,
}

impl<Item, SinkItem> Wire<Item, SinkItem> {
    pub(super) fn new(frames: Frames) -> Self {
        Self { frames, codec: Postcard::default(), items: PhantomData }
    }

    /// Tells, from outside, how much is yet to be sent.
    pub fn unsent(&self) -> Unsent {
        self.frames.unsent()
    }

    /// Tells, from outside, how much has been received.
    pub fn received(&self) -> Received {
        self.frames.received()
    }
}

impl<Item, SinkItem> fmt::Debug for Wire<Item, SinkItem> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl<Item, SinkItem> Stream for Wire<Item, SinkItem>
where
    Postcard: Deserializer<Item, Error = io::Error>,
{
    type Item = io::Result<Item>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Item>>> {
        let Self { frames, codec, .. } = &mut *self;
        Poll::Ready(match ready!(frames.poll_receive(cx)) {
            Ok(Some((head, segments))) => Some(attached(segments, || Pin::new(codec).deserialize(&head))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
    }
}

impl<Item, SinkItem> Sink<SinkItem> for Wire<Item, SinkItem>
where
    Postcard: Serializer<SinkItem, Error = io::Error>,
{
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.frames.poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: SinkItem) -> io::Result<()> {
        let Self { frames, codec, .. } = &mut *self;
        let (head, segments) = detached(|| Pin::new(codec).serialize(&item));
        frames.send(head?, segments)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.frames.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.frames.poll_close(cx)
    }
}
