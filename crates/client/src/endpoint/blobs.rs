//! What the worker at the other end of a connection keeps of its tasks' blobs.
//!
//! A task with blobs waits until the worker keeps them, and goes out with references to them. Tasks with the same blob wait
//! for the same delivery. A worker that does not have a blob any more says so, and gets the task with everything in it: no
//! attempt, and never more than once for a task. A blob that a worker has lost, or had no room for, several times is not
//! delivered to it again.

#[cfg(test)]
mod tests;

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};
use rustc_hash::FxHashMap;
use sgdt_proto::{
    blob::{BlobRef, Digest, NeedBlobs, NotKept},
    buffer::Buffer,
    dial::context,
    id::AttemptKey,
    task::{Assignment, Reply},
    transport::codec::MAX_DEADLINE,
    worker::TaskClient,
};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tarpc::client::RpcError;
use tokio::sync::oneshot;
use tracing::debug;

/// After so many times the worker has better things to keep.
const MOST_MISSES: u32 = 2;
/// How many blobs are known of at most. What is forgotten is delivered anew: of each there were 64 KiB at least.
const MOST_KNOWN: usize = 16 * 1024;

/// What the worker at the other end of one connection keeps.
pub(super) struct Blobs {
    client: TaskClient,
    state: Mutex<State>,
}

struct State {
    known: FxHashMap<Digest, Known>,
    /// The worker keeps nothing that is larger.
    limit: u64,
    /// Tasks that wait for deliveries, each with what ends that wait when it is dropped.
    waiting: FxHashMap<AttemptKey, oneshot::Sender<Infallible>>,
}

#[derive(Default)]
struct Known {
    delivery: Option<Delivery>,
    misses: u32,
}

/// A blob on its way to the worker, or there, or refused.
type Delivery = Shared<BoxFuture<'static, Delivered>>;

#[derive(Clone, Copy)]
enum Delivered {
    Kept,
    NoRoom { limit: u64 },
    Refused,
}

/// A blob of a task, and how it gets to the worker.
type Parcel = (BlobRef, Delivery);

/// Whether some of this task's input is a blob.
pub(super) fn has_blobs(task: &Assignment) -> bool {
    task.payload.buffers.iter().any(|buffer| buffer.digest().is_some())
}

impl Blobs {
    pub(super) fn new(client: TaskClient) -> Self {
        let state = State { known: FxHashMap::default(), limit: u64::MAX, waiting: FxHashMap::default() };
        Self { client, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a task, once its blobs are there. `None`, when it was taken back before.
    pub(super) fn execute(
        self: &Arc<Self>,
        task: Assignment,
    ) -> impl Future<Output = Option<Result<Vec<Reply>, RpcError>>> + Send + use<> {
        // Before anything else is said of the task.
        let (waits, taken_back) = oneshot::channel();
        self.state().waiting.insert(task.key, waits);
        let blobs = self.clone();
        async move {
            let parcels = tokio::select! {
                biased;
                _ = taken_back => return None,
                parcels = blobs.deliver(&task) => parcels,
            };
            blobs.state().waiting.remove(&task.key)?;
            if !parcels.is_empty() {
                let (refs, rest) =
                    (parcels.iter().map(|(blob, _)| *blob).collect(), without(&task, &parcels));
                match blobs.client.execute_with(context(MAX_DEADLINE), rest, refs).await {
                    Ok(Ok(reply)) => return Some(Ok(vec![reply])),
                    Ok(Err(missing)) => blobs.missed(&parcels, &missing),
                    Err(error) => return Some(Err(error)),
                }
            }
            Some(blobs.client.execute(context(MAX_DEADLINE), vec![task]).await)
        }
    }

    /// Takes back those of these tasks that still wait for their blobs, and says which.
    pub(super) fn take_back(&self, keys: &mut Vec<AttemptKey>) -> Vec<AttemptKey> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            return Vec::new();
        }
        keys.extract_if(.., |key| state.waiting.remove(key).is_some()).collect()
    }

    /// Waits until the worker keeps a task's blobs, and says which of them it does.
    async fn deliver(&self, task: &Assignment) -> Vec<Parcel> {
        let blobs = (0..).zip(&task.payload.buffers).filter_map(|(place, buffer)| {
            let blob = BlobRef { place, digest: buffer.digest()? };
            Some((blob, self.delivery(blob.digest, buffer)?))
        });
        let parcels: Vec<Parcel> = blobs.collect();
        let delivered = join_all(parcels.iter().map(|(_, delivery)| delivery.clone())).await;
        let both = parcels.into_iter().zip(delivered);
        both.filter_map(|(parcel, delivered)| self.learn(&parcel, delivered).then_some(parcel)).collect()
    }

    /// The delivery of a blob, be it one that has begun, or `None` where that is of no use.
    fn delivery(&self, digest: Digest, buffer: &Buffer) -> Option<Delivery> {
        let mut state = self.state();
        if buffer.len() as u64 > state.limit {
            return None;
        }
        if state.known.len() >= MOST_KNOWN {
            state.known.clear();
        }
        let known = state.known.entry(digest).or_default();
        if known.misses >= MOST_MISSES {
            return None;
        }
        let begin = || {
            let (client, buffer) = (self.client.clone(), buffer.clone());
            let keep = async move {
                match client.keep(context(MAX_DEADLINE), digest, buffer).await {
                    Ok(Ok(())) => Delivered::Kept,
                    Ok(Err(NotKept::NoRoom { limit })) => Delivered::NoRoom { limit },
                    Ok(Err(NotKept::TooSmall | NotKept::WrongDigest)) | Err(_) => Delivered::Refused,
                }
            };
            keep.boxed().shared()
        };
        Some(known.delivery.get_or_insert_with(begin).clone())
    }

    /// Notes how a delivery ended, and says whether the worker keeps the blob.
    fn learn(&self, parcel: &Parcel, delivered: Delivered) -> bool {
        match delivered {
            Delivered::Kept => true,
            Delivered::NoRoom { limit } => {
                let mut state = self.state();
                state.limit = limit;
                // If it is not larger than that, others have taken the room, maybe for a moment.
                state.forget(parcel, 1);
                false
            }
            Delivered::Refused => {
                self.state().forget(parcel, MOST_MISSES);
                false
            }
        }
    }

    /// The worker does not have these any more.
    fn missed(&self, parcels: &[Parcel], NeedBlobs(missing): &NeedBlobs) {
        debug!(count = missing.len(), "the worker has not kept these blobs");
        let mut state = self.state();
        let missed = parcels.iter().filter(|(blob, _)| missing.contains(&blob.digest));
        missed.for_each(|parcel| state.forget(parcel, 1));
    }
}

impl State {
    /// Forgets a delivery, unless there has been another one since, and counts so many misses.
    fn forget(&mut self, (blob, delivery): &Parcel, misses: u32) {
        if let Some(known) = self.known.get_mut(&blob.digest)
            && known.delivery.take_if(|latest| latest.ptr_eq(delivery)).is_some()
        {
            known.misses += misses;
        }
    }
}

/// A task less these blobs.
fn without(task: &Assignment, parcels: &[Parcel]) -> Assignment {
    let mut task = task.clone();
    for (BlobRef { place, .. }, _) in parcels {
        if let Some(buffer) = task.payload.buffers.get_mut(*place as usize) {
            *buffer = Buffer::default();
        }
    }
    task
}
