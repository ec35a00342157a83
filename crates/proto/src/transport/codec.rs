//! Messages to bytes: postcard, which is compact and, unlike the alternatives that tarpc brings, maintained.
//!
//! A request goes as its identity, its deadline and its body. tarpc's own encoding would also carry a trace
//! context that nobody reads, and would let a peer's absurd deadline panic the receiver: here a deadline is
//! clamped on both sides.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::{io, pin::Pin, time::Duration};
use tarpc::{ClientMessage, Request, Response, context::Context};
use tokio::time::Instant;
use tokio_serde::{Deserializer, Serializer};

/// The furthest deadline of a call. tarpc's timers panic past two years.
pub const MAX_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The codec of both ends of a connection.
#[derive(Debug)]
pub struct Postcard {
    /// What every decoded request's context starts from: making one afresh costs a look at the current span.
    context: Context,
}

impl Default for Postcard {
    fn default() -> Self {
        Self { context: tarpc::context::current() }
    }
}

#[derive(Serialize)]
enum Outgoing<'a, Req> {
    Request { id: u64, deadline_ms: u64, body: &'a Req },
    Cancel { id: u64 },
}

#[derive(Deserialize)]
enum Incoming<Req> {
    Request { id: u64, deadline_ms: u64, body: Req },
    Cancel { id: u64 },
}

fn encode(value: &impl Serialize) -> io::Result<Bytes> {
    postcard::to_stdvec(value).map(Bytes::from).map_err(io::Error::other)
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a BytesMut) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("the message cannot be decoded: {error}"))
    })
}

impl<Req: Serialize> Serializer<ClientMessage<Req>> for Postcard {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, message: &ClientMessage<Req>) -> io::Result<Bytes> {
        match message {
            ClientMessage::Request(Request { context, id, message }) => {
                let left = Instant::from_std(context.deadline).saturating_duration_since(Instant::now());
                let deadline_ms = left.min(MAX_DEADLINE).as_millis() as u64;
                encode(&Outgoing::Request { id: *id, deadline_ms, body: message })
            }
            ClientMessage::Cancel { request_id, .. } => {
                encode(&Outgoing::Cancel::<'_, Req> { id: *request_id })
            }
            _ => Err(io::Error::other("tarpc sends a kind of message that this protocol has no word for")),
        }
    }
}

impl<Req: for<'de> Deserialize<'de>> Deserializer<ClientMessage<Req>> for Postcard {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<ClientMessage<Req>> {
        let mut context = self.context;
        Ok(match decode(bytes)? {
            Incoming::Request { id, deadline_ms, body } => {
                let left = Duration::from_millis(deadline_ms).min(MAX_DEADLINE);
                context.deadline = (Instant::now() + left).into_std();
                ClientMessage::Request(Request { context, id, message: body })
            }
            Incoming::Cancel { id } => {
                ClientMessage::Cancel { trace_context: context.trace_context, request_id: id }
            }
        })
    }
}

impl<Resp: Serialize> Serializer<Response<Resp>> for Postcard {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, response: &Response<Resp>) -> io::Result<Bytes> {
        encode(response)
    }
}

impl<Resp: for<'de> Deserialize<'de>> Deserializer<Response<Resp>> for Postcard {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, bytes: &BytesMut) -> io::Result<Response<Resp>> {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(message: &ClientMessage<String>) -> ClientMessage<String> {
        let mut codec = Postcard::default();
        let bytes = BytesMut::from(&*Pin::new(&mut codec).serialize(message).unwrap());
        Pin::new(&mut codec).deserialize(&bytes).unwrap()
    }

    #[test]
    fn requests_and_cancels_survive() {
        let mut context = tarpc::context::current();
        context.deadline = (Instant::now() + Duration::from_secs(60)).into_std();
        let request = Request { context, id: 7, message: "hello".to_owned() };
        match there_and_back(&ClientMessage::Request(request)) {
            ClientMessage::Request(Request { context, id: 7, message }) => {
                assert_eq!(message, "hello");
                let left = Instant::from_std(context.deadline) - Instant::now();
                assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60), "{left:?}");
            }
            other => panic!("{other:?}"),
        }
        let cancel = ClientMessage::Cancel { trace_context: context.trace_context, request_id: 9 };
        assert!(matches!(there_and_back(&cancel), ClientMessage::Cancel { request_id: 9, .. }));
    }

    #[test]
    fn an_absurd_deadline_is_clamped_and_not_overflowed() {
        #[derive(Serialize)]
        enum Hostile {
            Request { id: u64, deadline_ms: u64, body: String },
        }
        let hostile = Hostile::Request { id: 1, deadline_ms: u64::MAX, body: String::new() };
        let bytes = BytesMut::from(&*postcard::to_stdvec(&hostile).unwrap());
        let message: ClientMessage<String> = Pin::new(&mut Postcard::default()).deserialize(&bytes).unwrap();
        let ClientMessage::Request(request) = message else { panic!() };
        assert!(Instant::from_std(request.context.deadline) - Instant::now() <= MAX_DEADLINE);
    }

    #[test]
    fn garbage_is_an_error() {
        for bytes in [&b""[..], b"\x09", b"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            let result: io::Result<ClientMessage<String>> =
                Pin::new(&mut Postcard::default()).deserialize(&BytesMut::from(bytes));
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
