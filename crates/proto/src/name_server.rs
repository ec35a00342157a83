//! The name server's service, and what it tells of workers.

use crate::{
    buffer::Buffer,
    id::{Epoch, Kind, Revision, WorkerId, WorkerName},
    printable::Printable,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The registry of workers.
#[tarpc::service]
pub trait NameServer {
    /// Adds a worker, whose lease starts now. Announcing the same start of the same worker again renews it.
    async fn register(info: WorkerInfo, load: Load) -> Result<Lease, RegisterError>;
    /// Prolongs a lease by its TTL and reports the worker's load.
    async fn renew(id: WorkerId, load: Load) -> Result<(), RenewError>;
    /// Ends a lease. Ending one that does not exist is no error.
    async fn deregister(id: WorkerId);
    /// Answers with the membership as soon as it differs from `since`, or after [`WATCH_HOLD_MS`] as it is.
    async fn watch(since: Option<(Epoch, Revision)>) -> WrittenSnapshot;
    /// All live workers, by name, with their load.
    async fn list() -> Vec<WorkerStatus>;
    /// The live worker of this name.
    async fn lookup(name: WorkerName) -> Option<WorkerStatus>;
    /// Evicts the live worker of this name and answers with what it was. The evicted process is told so at
    /// its next renewal, drains and leaves; the name is free at once.
    async fn remove(name: WorkerName) -> Option<WorkerStatus>;
}

/// The longest that `watch` waits for a change, in milliseconds.
pub const WATCH_HOLD_MS: u64 = 10_000;

/// What a worker says of itself when it registers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// This start of this process.
    pub id: WorkerId,
    /// What people call it.
    pub name: WorkerName,
    /// Where its `Task` service listens, as `host:port`.
    pub address: String,
    /// How many tasks it runs at a time.
    pub slots: u32,
    /// Labels of the user's own.
    pub tags: BTreeMap<String, String>,
    /// The kinds that it serves.
    pub kinds: Vec<Kind>,
}

/// Limits on what a worker may say of itself, and on the messages that carry it.
pub mod limits {
    /// The longest request, in bytes: room for the largest announcement that is within the other limits.
    pub const REQUEST: u64 = 96 * 1024;
    /// The longest answer, in bytes. The registry takes no worker beyond what a snapshot of this size can tell.
    pub const ANSWER: u64 = 64 * 1024 * 1024;
    /// The longest address, in bytes.
    pub const ADDRESS: usize = 262;
    /// The most slots.
    pub const SLOTS: u32 = 65_536;
    /// The most tags.
    pub const TAGS: usize = 64;
    /// The longest key or value of a tag, in bytes.
    pub const TAG: usize = 128;
    /// The most kinds.
    pub const KINDS: usize = 1_024;
}

impl WorkerInfo {
    /// Says what about this announcement is out of bounds.
    pub fn validate(&self) -> Result<(), RegisterError> {
        let invalid = |message: String| Err(RegisterError::Invalid { message });
        let printable = |text: &str| text.len() <= limits::TAG && !text.chars().any(char::is_control);
        if self.address.len() > limits::ADDRESS
            || !self.address.bytes().all(|b| b.is_ascii_graphic())
            || !self.address.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
            })
        {
            return invalid(format!("{:?} is not a host:port address", shorten(&self.address)));
        }
        if self.slots == 0 || self.slots > limits::SLOTS {
            return invalid(format!("{} slots: there must be 1 to {}", self.slots, limits::SLOTS));
        }
        if self.kinds.len() > limits::KINDS {
            return invalid(format!("{} kinds are more than {}", self.kinds.len(), limits::KINDS));
        }
        if self.tags.len() > limits::TAGS {
            return invalid(format!("{} tags are more than {}", self.tags.len(), limits::TAGS));
        }
        match self.tags.iter().find(|(key, value)| key.is_empty() || !printable(key) || !printable(value)) {
            Some((key, value)) => invalid(format!(
                "tag {:?}={:?}: keys and values are printable and have at most {} bytes, keys at least one",
                shorten(key),
                shorten(value),
                limits::TAG
            )),
            None => Ok(()),
        }
    }

    /// The most bytes that this worker takes in a [`Snapshot`] or a listing, once it has been validated.
    pub fn encoded_bound(&self) -> usize {
        /// The length before a text of less than 16 KiB.
        const LENGTH: usize = 2;
        /// What has no text: the identity, the numbers, and how many tags and kinds there are.
        const NUMBERS: usize = 48;
        let tags = self.tags.iter().map(|(key, value)| key.len() + value.len() + 2 * LENGTH);
        let kinds = self.kinds.iter().map(|kind| kind.as_str().len() + LENGTH);
        let named = self.name.as_str().len() + self.address.len() + 2 * LENGTH;
        NUMBERS + named + tags.chain(kinds).sum::<usize>()
    }
}

/// Keeps an error message about a hostile text short.
fn shorten(text: &str) -> String {
    text.chars().take(limits::ADDRESS + 1).collect()
}

/// A worker's load, as it reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Load {
    /// Tasks that run now.
    pub running: u32,
    /// Tasks that wait for a slot.
    pub queued: u32,
    /// Whether it finishes what it has and takes no more.
    pub draining: bool,
}

/// A registration's terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// How long it lives unless it is renewed, in milliseconds.
    pub ttl_ms: u64,
}

/// Why a worker was not registered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum RegisterError {
    /// A live worker has the name.
    #[error(
        "the name {name} is held by a live worker at {}; choose another --name, or wait until its lease ends",
        Printable(address)
    )]
    NameTaken {
        /// The name asked for.
        name: WorkerName,
        /// Where its holder listens.
        address: String,
        /// How long its lease lives unless it is renewed, in milliseconds.
        ttl_ms: u64,
    },
    /// The worker was evicted.
    #[error("this worker was removed by an administrator; restart it to join again")]
    Removed,
    /// Something in the announcement is out of bounds.
    #[error("{}", Printable(message))]
    Invalid {
        /// What, with its value.
        message: String,
    },
    /// The registry is full.
    #[error("the name server holds {workers} workers and has no room for this one; stop some of them first")]
    Full {
        /// How many it holds.
        workers: usize,
    },
}

/// Why a lease was not renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum RenewError {
    /// There is no such lease: it ran out, or the name server started anew. Register again.
    #[error("the name server holds no such lease")]
    Unknown,
    /// The worker was evicted.
    #[error("this worker was removed by an administrator")]
    Removed,
}

/// The whole membership at one revision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which start of the name server.
    pub epoch: Epoch,
    /// Moves with every change of the members, and when `settled` becomes true.
    pub revision: Revision,
    /// Whether the name server has been up for more than a TTL, so that every live worker had time to announce itself.
    /// Until then an absence means nothing.
    pub settled: bool,
    /// The live workers, by name.
    pub members: Vec<Member>,
}

/// A [`Snapshot`] as it travels: written once, for however many are told of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WrittenSnapshot(Buffer);

/// What came is no snapshot.
#[derive(Debug, thiserror::Error)]
#[error("the name server's answer is no membership: {0}")]
pub struct InvalidSnapshot(#[from] postcard::Error);

impl WrittenSnapshot {
    /// Writes a snapshot.
    ///
    /// # Panics
    /// Never: a snapshot has no part that cannot be written.
    #[expect(clippy::expect_used, reason = "postcard refuses only what has no length, and writes to memory")]
    pub fn new(snapshot: &Snapshot) -> Self {
        Self(postcard::to_stdvec(snapshot).expect("a snapshot can be written").into())
    }

    /// Reads it.
    ///
    /// # Errors
    /// The bytes are no snapshot.
    pub fn read(&self) -> Result<Snapshot, InvalidSnapshot> {
        Ok(postcard::from_bytes(self.0.as_bytes())?)
    }
}

/// One live worker in a [`Snapshot`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// What it said of itself.
    pub info: WorkerInfo,
    /// Whether it takes no more tasks.
    pub draining: bool,
}

/// One live worker in a listing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// What it said of itself.
    pub info: WorkerInfo,
    /// Its load at the last renewal.
    pub load: Load,
    /// What the name server thinks of it.
    pub state: WorkerState,
    /// How long ago the last renewal was, in milliseconds.
    pub age_ms: u64,
}

/// What the name server thinks of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// It renews in time.
    Healthy,
    /// It has missed a renewal.
    Suspect,
    /// It finishes what it has, and leaves.
    Draining,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest() -> WorkerInfo {
        let port = ":65535";
        WorkerInfo {
            id: WorkerId(u64::MAX),
            name: "n".repeat(64).parse().unwrap(),
            address: "h".repeat(limits::ADDRESS - port.len()) + port,
            slots: limits::SLOTS,
            tags: (0..limits::TAGS)
                .map(|n| (format!("{n:0>width$}", width = limits::TAG), "v".repeat(limits::TAG)))
                .collect(),
            kinds: vec!["k".repeat(64).parse().unwrap(); limits::KINDS],
        }
    }

    #[test]
    fn the_largest_valid_announcement_fits_a_request_and_its_bound() {
        let info = largest();
        info.validate().unwrap();
        let load = Load { running: u32::MAX, queued: u32::MAX, draining: true };
        let request = postcard::to_stdvec(&(&info, load)).unwrap();
        // What tarpc and the codec add is less than this.
        assert!((request.len() + 64) as u64 <= limits::REQUEST, "{}", request.len());
        let status = WorkerStatus { info, load, state: WorkerState::Draining, age_ms: u64::MAX };
        let bytes = postcard::to_stdvec(&status).unwrap().len();
        assert!(bytes <= status.info.encoded_bound(), "{bytes}");
    }

    #[test]
    fn what_is_out_of_bounds_is_named_briefly() {
        type Spoil = fn(&mut WorkerInfo);
        let cases: [(Spoil, &str); 11] = [
            (|info| info.address.push_str("99999"), "host:port"),
            (|info| info.address = "h".repeat(1 << 20) + ":1", "host:port"),
            (|info| info.address = "host".into(), "\"host\""),
            (|info| info.address = ":1".into(), "\":1\""),
            (|info| info.address = "host:0".into(), "\"host:0\""),
            (|info| info.address = "\u{1b}[31m:1".into(), "\"\\u{1b}[31m:1\""),
            (|info| info.slots = 0, "0 slots"),
            (|info| info.slots = limits::SLOTS + 1, "65537 slots"),
            (|info| info.kinds.push("k".parse().unwrap()), "1025 kinds"),
            (|info| drop(info.tags.insert("k".into(), "v".into())), "65 tags"),
            (|info| info.tags = BTreeMap::from([("k".into(), "\n".repeat(1 << 20))]), "tag \"k\"="),
        ];
        for (spoil, expected) in cases {
            let mut info = largest();
            spoil(&mut info);
            let message = info.validate().unwrap_err().to_string();
            assert!(message.contains(expected) && message.len() < 2_000, "{message}");
        }
        let mut info = largest();
        info.tags = BTreeMap::from([(String::new(), "v".into())]);
        assert!(info.validate().is_err());
    }
}
