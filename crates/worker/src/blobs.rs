//! Blobs that clients have had kept here, for the tasks that refer to them.
//!
//! Those that are kept and those whose digest is being checked take no more memory than a limit, all together: for a new
//! one those go that were not used for longest. A task that has been admitted holds its blobs itself, and they count as
//! its input does: while it waits by the queue's bytes, while it runs by its slot.
//!
//! A blob is there for the connections that have brought it, and for nobody who only knows its digest. It goes with the
//! last of them.

#[cfg(test)]
mod tests;

use crate::queue::SessionId;
use rustc_hash::FxHashMap;
use sgdt_proto::{
    blob::{BlobRef, Digest, LEAST, NeedBlobs, NotKept},
    buffer::Buffer,
    payload::Payload,
    task::TaskError,
    worker::MAX_MESSAGE,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tracing::debug;

/// The blobs that a worker keeps.
pub(crate) struct Blobs {
    /// How many bytes of memory they may take.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: FxHashMap<Digest, Blob>,
    /// The same by when they were last used, the longest ago first.
    uses: BTreeMap<u64, Digest>,
    last_use: u64,
    /// How much memory those take that are kept,
    bytes: usize,
    /// and those that are being checked.
    checking: usize,
}

struct Blob {
    buffer: Buffer,
    holders: Vec<SessionId>,
    used: u64,
}

/// Why a payload's blobs cannot be put into their places.
#[derive(PartialEq, Debug)]
pub(crate) enum Incomplete {
    /// They are not all here.
    Missing(NeedBlobs),
    /// What was sent makes no sense.
    Invalid(TaskError),
}

impl State {
    /// A blob is used now.
    fn touch(&mut self, digest: &Digest) {
        if let Some(blob) = self.kept.get_mut(digest) {
            self.uses.remove(&blob.used);
            self.last_use += 1;
            blob.used = self.last_use;
            self.uses.insert(blob.used, *digest);
        }
    }

    fn remove(&mut self, digest: &Digest) -> Option<Buffer> {
        let blob = self.kept.remove(digest)?;
        self.uses.remove(&blob.used);
        self.bytes -= blob.buffer.footprint();
        Some(blob.buffer)
    }

    /// Removes the one that was not used for longest.
    fn evict(&mut self) -> Option<Buffer> {
        let (_, digest) = self.uses.pop_first()?;
        debug!(%digest, "a blob makes room");
        self.remove(&digest)
    }
}

impl Blobs {
    /// None, which may take so many bytes of memory.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a connection has here, which is nothing yet.
    pub(crate) fn holding(self: &Arc<Self>, session: SessionId) -> Holding {
        Holding { blobs: self.clone(), session }
    }

    /// Makes room for a blob that is to be checked.
    fn room(&self, bytes: usize) -> Result<Room<'_>, NotKept> {
        let mut state = self.state();
        // Seen beforehand, so that nothing goes for one that does not fit all the same.
        let others = state.checking.saturating_add(bytes);
        if others > self.limit {
            return Err(NotKept::NoRoom { limit: self.limit as u64 });
        }
        let mut gone = Vec::new();
        while state.bytes > self.limit - others {
            gone.push(state.evict());
        }
        state.checking = others;
        drop(state);
        Ok(Room { blobs: self, bytes })
    }
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "Blobs({} of {} bytes)", state.bytes, state.kept.len())
    }
}

/// Room for a blob that is being checked, until it is kept or this is dropped.
struct Room<'a> {
    blobs: &'a Blobs,
    bytes: usize,
}

impl Room<'_> {
    fn keep(self, digest: Digest, buffer: Buffer, holder: SessionId) {
        let mut state = self.blobs.state();
        match state.kept.get_mut(&digest) {
            // The bytes that are here already stay; these are freed without the lock.
            Some(blob) if blob.holders.contains(&holder) => {}
            Some(blob) => blob.holders.push(holder),
            None => {
                state.bytes += buffer.footprint();
                state.kept.insert(digest, Blob { buffer: buffer.clone(), holders: vec![holder], used: 0 });
            }
        }
        state.touch(&digest);
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.blobs.state().checking -= self.bytes;
    }
}

/// The blobs that a connection has brought. They are there for it until this is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    blobs: Arc<Blobs>,
    session: SessionId,
}

impl Holding {
    /// Keeps a blob, if it is what its digest says.
    ///
    /// # Errors
    /// Why it is not kept.
    pub(crate) async fn keep(&self, digest: Digest, buffer: Buffer) -> Result<(), NotKept> {
        if buffer.len() < LEAST {
            return Err(NotKept::TooSmall);
        }
        let room = self.blobs.room(buffer.footprint())?;
        if Digest::of_in_turns(buffer.as_bytes()).await != digest {
            return Err(NotKept::WrongDigest);
        }
        debug!(session = %self.session, %digest, bytes = buffer.len(), "a blob is kept");
        room.keep(digest, buffer, self.session);
        Ok(())
    }

    /// Puts blobs into their places in a payload.
    ///
    /// # Errors
    /// They are not all here, or the places are none, or the payload would be larger than a message may be.
    pub(crate) fn complete(&self, payload: &mut Payload, blobs: &[BlobRef]) -> Result<(), Incomplete> {
        let invalid = |what: String| Err(Incomplete::Invalid(TaskError::invalid_input(what)));
        if blobs.len() > payload.buffers.len() {
            return invalid(format!("{} blobs for {} places", blobs.len(), payload.buffers.len()));
        }
        let mut missing = Vec::new();
        let mut state = self.blobs.state();
        for BlobRef { place, digest } in blobs {
            let place = payload.buffers.get_mut(*place as usize).filter(|buffer| buffer.is_empty());
            let Some(place) = place else {
                return invalid(format!("there is no place for the blob {digest}"));
            };
            match state.kept.get(digest).filter(|blob| blob.holders.contains(&self.session)) {
                Some(blob) => {
                    *place = blob.buffer.clone();
                    state.touch(digest);
                }
                None => missing.push(*digest),
            }
        }
        drop(state);
        if !missing.is_empty() {
            return Err(Incomplete::Missing(NeedBlobs(missing)));
        }
        if payload.size() as u64 > MAX_MESSAGE {
            return invalid(format!("with its blobs the task has {} bytes; split it", payload.size()));
        }
        Ok(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut state = self.blobs.state();
        let mut left = Vec::new();
        for (digest, blob) in &mut state.kept {
            blob.holders.retain(|holder| *holder != self.session);
            if blob.holders.is_empty() {
                left.push(*digest);
            }
        }
        let gone: Vec<_> = left.iter().filter_map(|digest| state.remove(digest)).collect();
        drop(state);
        drop(gone);
    }
}
