//! Messages over a byte stream: a tarpc transport whose bulk numbers are never copied or waited for.
//!
//! [`wire`] turns messages into frames through the [`codec`]; [`frames`] puts them on the stream. The services
//! know of neither.

pub mod codec;
pub mod frames;
pub mod wire;

use crate::net::ByteStream;
use frames::Frames;
use tarpc::{ClientMessage, Response};

/// The end of a connection that sends requests.
pub type ClientWire<Req, Resp> = wire::Wire<Response<Resp>, ClientMessage<Req>>;
/// The end of a connection that answers them.
pub type ServerWire<Req, Resp> = wire::Wire<ClientMessage<Req>, Response<Resp>>;

/// Messages over `stream`, whose handshake is done; one that would take more than `limit` bytes is refused
/// before anything is allocated for it.
pub fn over<Item, SinkItem>(stream: Box<dyn ByteStream>, limit: u64) -> wire::Wire<Item, SinkItem> {
    wire::Wire::new(Frames::new(stream, limit))
}
