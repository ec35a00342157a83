//! Blobs: inputs that many tasks have, which go to a worker once.
//!
//! A blob is known by its digest, which is computed by whoever makes it ([`Buffer::shared`](crate::buffer::Buffer::shared)).
//! A client has a worker keep it, and then sends tasks that refer to it. A worker keeps blobs while it has memory for them:
//! one that it is asked for and does not have any more comes with the task.

use serde::{Deserialize, Serialize};
use std::fmt;
use tokio::task::yield_now;

/// The least that is a blob, in bytes: what is smaller is sent with every task for less than asking would cost.
pub const LEAST: usize = 64 * 1024;

/// The BLAKE3 hash of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }

    /// That of these bytes, letting others run now and then.
    pub async fn of_in_turns(bytes: &[u8]) -> Self {
        /// Some 0.3 ms.
        const TURN: usize = 1 << 20;

        let mut hasher = blake3::Hasher::new();
        for part in bytes.chunks(TURN) {
            hasher.update(part);
            yield_now().await;
        }
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell those of a cluster apart.
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Where in a task's payload a blob belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlobRef {
    /// Which of the payload's buffers it is; an empty one stands there.
    pub place: u32,
    /// Which blob.
    pub digest: Digest,
}

/// Why a worker does not keep a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum NotKept {
    /// It is too small to be worth it.
    #[error("a blob has at least {LEAST} bytes")]
    TooSmall,
    /// There is no room for it now, or never when it is larger than all the room.
    #[error("there is no room for the blob: at most {limit} bytes are kept")]
    NoRoom {
        /// How many bytes all blobs together may take.
        limit: u64,
    },
    /// Its bytes are not those that its digest stands for.
    #[error("the blob is not what its digest says")]
    WrongDigest,
}

/// The worker does not have these blobs, or not from this client: the task is to be sent with them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{} of the task's blobs are not here", .0.len())]
pub struct NeedBlobs(pub Vec<Digest>);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_digest_is_that_of_the_bytes_however_it_is_computed() {
        // From the reference implementation's test vectors: of nothing.
        let nothing = Digest::of(b"");
        assert_eq!(nothing.to_string(), "af1349b9f5f9a1a6");
        assert_eq!(Digest::of_in_turns(b"").await, nothing);
        let bytes: Vec<u8> = (0..3_000_001u32).map(|i| (i % 251) as u8).collect();
        assert_eq!(Digest::of_in_turns(&bytes).await, Digest::of(&bytes));
        assert_ne!(Digest::of(&bytes[1..]), Digest::of(&bytes));
    }
}
