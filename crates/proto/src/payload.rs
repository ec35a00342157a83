//! A task's input or output on its way: typed at both ends, bytes in between.

use crate::{
    buffer::{Buffer, attached, detached},
    pieces,
    task::TaskError,
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned, Visitor},
};
use std::fmt;

/// An input or an output. The middle of the system moves it without knowing what it is.
///
/// An output comes in the format of its input, so a client that knows a kind only by name speaks JSON to it,
/// and one that has the kind's types speaks the compact form, with bulk numbers beside it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Payload {
    /// How `head` is written.
    pub format: Format,
    /// Everything but the bulk numbers.
    #[serde(deserialize_with = "head")]
    pub head: Bytes,
    /// The bulk numbers, in the order in which `head` refers to them. JSON has none.
    pub buffers: Vec<Buffer>,
}

/// How a payload's head is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Format {
    /// One JSON value.
    Json,
    /// Postcard, with buffers set aside.
    Packed,
}

/// Why a value cannot travel.
#[derive(Debug, thiserror::Error)]
#[error("the value cannot be encoded: {0}")]
pub struct EncodeError(String);

impl Payload {
    /// Encodes `value` in this format.
    ///
    /// # Errors
    /// The value has a part that the format cannot express, such as a map with keys that are not strings.
    pub fn encode<T: Serialize>(format: Format, value: &T) -> Result<Self, EncodeError> {
        let (head, buffers) = match format {
            Format::Json => {
                let head = pieces::written(|out| serde_json::to_writer(out, value));
                (head.map_err(|e| EncodeError(e.to_string()))?, Vec::new())
            }
            Format::Packed => {
                let written = || pieces::written(|out| postcard::to_io(value, out).map(drop));
                let (head, buffers) = detached(written);
                (head.map_err(|e| EncodeError(e.to_string()))?, buffers)
            }
        };
        Ok(Self { format, head, buffers })
    }

    /// Decodes a `T`.
    ///
    /// # Errors
    /// `invalid-input`, saying where the bytes differ from what `T` needs.
    pub fn decode<T: DeserializeOwned>(self) -> Result<T, TaskError> {
        let Self { format, head, buffers } = self;
        match format {
            Format::Json => {
                serde_json::from_slice(&head).map_err(|e| TaskError::invalid_input(e.to_string()))
            }
            Format::Packed => attached(buffers, || postcard::from_bytes(&head))
                .map_err(|e| TaskError::invalid_input(format!("the packed input cannot be read: {e}"))),
        }
    }

    /// How many bytes it carries.
    pub fn size(&self) -> usize {
        self.buffers.iter().fold(self.head.len(), |sum, buffer| sum.saturating_add(buffer.len()))
    }
}

/// Reads a head into a piece of its own.
fn head<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    struct Head;

    impl Visitor<'_> for Head {
        type Value = Bytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
            Ok(pieces::copied(bytes))
        }
    }

    deserializer.deserialize_bytes(Head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::ErrorCode;

    #[test]
    fn both_formats_round_trip() {
        let value = (3u64, "x".to_owned());
        for format in [Format::Json, Format::Packed] {
            let payload = Payload::encode(format, &value).unwrap();
            assert_eq!(payload.decode::<(u64, String)>().unwrap(), value);
        }
        let bulk = Payload::encode(Format::Packed, &Buffer::from_scalars(vec![1.0f64; 1000])).unwrap();
        assert_eq!((bulk.head.len(), bulk.size()), (1, 8001));
        assert_eq!(bulk.decode::<Buffer>().unwrap().len(), 8000);
    }

    #[test]
    fn doubles_survive_json_to_the_bit() {
        for bits in [0x3fb9_9999_9999_999a_u64, 1, 0x7fef_ffff_ffff_ffff, 0x8000_0000_0000_0000] {
            let value = f64::from_bits(bits);
            let back: f64 = Payload::encode(Format::Json, &value).unwrap().decode().unwrap();
            assert_eq!(back.to_bits(), bits);
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_invalid_input() {
        let payload =
            Payload { format: Format::Json, head: Bytes::from_static(b"{\"n\":}"), buffers: Vec::new() };
        assert_eq!(payload.decode::<u64>().unwrap_err().code, ErrorCode::InvalidInput);
        let payload =
            Payload { format: Format::Packed, head: Bytes::from_static(b"\xff\xff"), buffers: Vec::new() };
        assert_eq!(payload.decode::<String>().unwrap_err().code, ErrorCode::InvalidInput);
    }
}
