//! All sessions of a worker: who gets which number, and what concerns them all when the worker leaves.

use crate::{
    blobs::Blobs,
    pool::Pool,
    queue::SessionId,
    session::{Limits, Session},
};
use futures::future::join_all;
use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The sessions that are open.
pub(crate) struct Sessions {
    pool: Arc<Pool>,
    limits: Limits,
    blobs: Arc<Blobs>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<SessionId, Arc<Session>>,
    numbers: u64,
}

impl Sessions {
    /// No sessions; those to come put their jobs into `pool`, and what they have kept into `blobs`.
    pub(crate) fn new(pool: Arc<Pool>, limits: Limits, blobs: Arc<Blobs>) -> Self {
        Self { pool, limits, blobs, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session, which ends when what is returned is dropped.
    pub(crate) fn open(self: &Arc<Self>) -> Open {
        let mut state = self.state();
        state.numbers += 1;
        let id = SessionId(state.numbers);
        let session = Arc::new(Session::new(id, self.pool.clone(), self.limits, self.blobs.holding(id)));
        state.open.insert(id, session.clone());
        Open { sessions: self.clone(), session }
    }

    fn all(&self) -> Vec<Arc<Session>> {
        self.state().open.values().cloned().collect()
    }

    /// Stops everything, and has the clients try it elsewhere.
    pub(crate) fn abandon(&self) {
        self.all().iter().for_each(|session| session.abandon());
    }

    /// Ends every session.
    pub(crate) fn end(&self) {
        self.all().iter().for_each(|session| session.end());
    }

    /// Waits until everything that was admitted has been handed out.
    pub(crate) async fn emptied(&self) {
        join_all(self.all().iter().map(|session| session.emptied())).await;
    }

    /// Waits until every client has heard that the worker takes no more tasks.
    pub(crate) async fn warned(&self) {
        join_all(self.all().iter().map(|session| session.warned())).await;
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({})", self.state().open.len())
    }
}

/// A session for as long as its connection lasts.
#[derive(Debug)]
pub(crate) struct Open {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
}

impl Deref for Open {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.session.end();
        self.sessions.state().open.remove(&self.session.id());
    }
}
