//! The worker's service.

use crate::{
    blob::{BlobRef, Digest, NeedBlobs, NotKept},
    buffer::Buffer,
    id::{AttemptKey, WorkerId},
    name_server::Load,
    task::{Assignment, Reply},
};
use serde::{Deserialize, Serialize};

/// The longest message either way, in bytes. A worker answers with a `too-large` error in place of an output
/// that would not fit; a client gives such an input up before it sends it.
pub const MAX_MESSAGE: u64 = 4 << 30;

/// Runs tasks. A task belongs to the connection that brought it: when that ends, the task is cancelled. A
/// connection on which nothing is heard for 2.5 s is ended by the worker: ping twice a second.
#[tarpc::service]
pub trait Task {
    /// Takes a batch of tasks and answers with one reply for each, in order: as soon as all are done, or
    /// shortly after the first is, with `Pending` for the others. A key that the connection holds already is
    /// refused as `Unknown`. Giving up the call leaves its tasks to be collected or cancelled.
    async fn execute(batch: Vec<Assignment>) -> Vec<Reply>;
    /// Answers as soon as at least one of these pending attempts is done, with those that are.
    async fn collect(pending: Vec<AttemptKey>) -> Vec<(AttemptKey, Reply)>;
    /// Gives back those of these attempts that have not started, and says which: they are forgotten here, and
    /// whoever is idle elsewhere gets them. Their `Pending` place in a batch's reply is `Refused(Recalled)`.
    async fn recall(attempts: Vec<AttemptKey>) -> Vec<AttemptKey>;
    /// Stops these attempts. Those already done are passed over; one that has not come yet, because a small
    /// message may overtake a big one, is refused as `Recalled` when it comes.
    async fn cancel(attempts: Vec<AttemptKey>);
    /// Shows that the worker is alive, and which start of it.
    async fn ping() -> Pong;
    /// Has the worker take no more tasks, finish those that it has, and leave.
    async fn drain();
    /// Keeps a blob for tasks that this connection will bring: while the connection lasts, and while nothing that was
    /// used later takes its place.
    async fn keep(digest: Digest, blob: Buffer) -> Result<(), NotKept>;
    /// As `execute`, for one task, some of whose buffers this connection had kept here.
    async fn execute_with(task: Assignment, blobs: Vec<BlobRef>) -> Result<Reply, NeedBlobs>;
}

/// The answer to a ping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pong {
    /// Which start of the worker answers.
    pub id: WorkerId,
    /// Its load at this moment.
    pub load: Load,
}
