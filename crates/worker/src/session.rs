//! One client's connection: the attempts that it brought, which end with it.
//!
//! A session ends when its client is gone, however that is noticed. What it had queued leaves the queue then,
//! what runs is told to stop, and results that nobody will collect are dropped.

mod limits;
mod table;

#[cfg(test)]
mod tests;

use crate::{
    blobs::{Holding, Incomplete},
    pool::{Job, Pool},
    queue::{SessionId, Ticket},
};
pub(crate) use limits::{Limits, MAX_ATTEMPTS};
use sgdt_proto::{
    blob::{BlobRef, Digest, NeedBlobs, NotKept},
    buffer::Buffer,
    id::AttemptKey,
    task::{Assignment, Completed, Refusal, Reply},
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use table::{Handed, Progress, Room, Table, WaiterId};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How long an answer waits for more once it has something to tell, and what counts as a quick task: those come
/// in swarms, and the next are worth waiting for. After a longer one the answer goes out at once.
const LINGER: Duration = Duration::from_millis(1);

/// Whether others may be done by the time that telling of it takes.
fn is_brisk(reply: &Reply) -> bool {
    !matches!(reply, Reply::Done(done) if u128::from(done.run_us) >= LINGER.as_micros())
}

/// One client's connection.
pub(crate) struct Session {
    id: SessionId,
    pool: Arc<Pool>,
    limits: Limits,
    /// Of the worker's blobs, those that this client has brought.
    blobs: Holding,
    table: Mutex<Table>,
    emptied: Notify,
    /// The client has heard that the worker takes no more tasks, or will hear nothing any more.
    warned: CancellationToken,
}

impl Session {
    pub(crate) fn new(id: SessionId, pool: Arc<Pool>, limits: Limits, blobs: Holding) -> Self {
        Self {
            id,
            pool,
            limits,
            blobs,
            table: Mutex::default(),
            emptied: Notify::new(),
            warned: CancellationToken::new(),
        }
    }

    /// Which session this is.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// Does something to the table, and then wakes whom it concerns.
    fn with<R>(&self, act: impl FnOnce(&mut Table) -> R) -> R {
        // Nothing panics while it is held.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut table);
        let wakes = table.take_wakes();
        let empty = table.is_empty();
        drop(table);
        wakes.iter().for_each(|wake| wake.notify_one());
        if empty {
            self.emptied.notify_waiters();
        }
        result
    }

    /// Takes a batch on and answers for each of it, in order: when all are done, or soon after the first is.
    pub(crate) async fn execute(self: &Arc<Self>, batch: Vec<Assignment>) -> Vec<Reply> {
        if batch.len() > self.limits.attempts {
            return vec![Reply::Refused(Refusal::Overloaded); batch.len()];
        }
        let (waiting, places) = self.admit(batch);
        waiting.settled().await;
        let mut room = Room::new(&self.limits);
        self.with(|table| {
            let reply = |place| match place {
                Err(refusal) => Reply::Refused(refusal),
                Ok(key) => match table.hand_out(&key, waiting.id, &mut room) {
                    Handed::Reply(reply) => reply,
                    Handed::NotYet => Reply::Pending,
                    // The client itself has taken it back, or asked for it in another call.
                    Handed::Gone => Reply::Refused(Refusal::Recalled),
                },
            };
            places.into_iter().map(reply).collect()
        })
    }

    /// Takes on a task, some of whose buffers were kept here.
    pub(crate) async fn execute_with(
        self: &Arc<Self>,
        mut task: Assignment,
        blobs: Vec<BlobRef>,
    ) -> Result<Reply, NeedBlobs> {
        match self.blobs.complete(&mut task.payload, &blobs) {
            Ok(()) => {
                let replies = self.execute(vec![task]).await;
                Ok(replies.into_iter().next().unwrap_or(Reply::Refused(Refusal::Unknown)))
            }
            Err(Incomplete::Missing(blobs)) => Err(blobs),
            Err(Incomplete::Invalid(error)) => Ok(Reply::Done(Completed { run_us: 0, result: Err(error) })),
        }
    }

    /// Keeps a blob for tasks to come.
    pub(crate) async fn keep(&self, digest: Digest, blob: Buffer) -> Result<(), NotKept> {
        self.blobs.keep(digest, blob).await
    }

    /// Queues what is admitted and tells of each which attempt it is, or why it is refused.
    fn admit(self: &Arc<Self>, batch: Vec<Assignment>) -> (Waiting<'_>, Vec<Result<AttemptKey, Refusal>>) {
        let mut jobs = Vec::with_capacity(batch.len());
        let (waiting, places) = self.with(|table| {
            let (id, wake) = table.wait();
            let place = |assignment: Assignment| {
                let key = assignment.key;
                let (ticket, cancel) = table.admit(key, id, self.limits.attempts)?;
                jobs.push(Job { session: self.clone(), ticket, assignment, cancel });
                Ok(key)
            };
            let places = batch.into_iter().map(place).collect();
            (Waiting { session: self, id, wake }, places)
        });
        // After the table has them, so that none is done before it is expected.
        refuse(self.pool.push(jobs));
        (waiting, places)
    }

    /// Answers with those of these attempts that are done, as soon as there is one. Looks at no more of them
    /// than a session can have.
    pub(crate) async fn collect(&self, mut pending: Vec<AttemptKey>) -> Vec<(AttemptKey, Reply)> {
        pending.truncate(self.limits.attempts);
        let mut replies = Vec::new();
        let waiting = self.with(|table| {
            let (id, wake) = table.wait();
            pending.retain(|key| {
                let held = table.attach(key, id);
                if !held {
                    replies.push((*key, Reply::Refused(Refusal::Unknown)));
                }
                held
            });
            Waiting { session: self, id, wake }
        });
        waiting.settled().await;
        let mut room = Room::new(&self.limits);
        self.with(|table| {
            for key in pending {
                if let Handed::Reply(reply) = table.hand_out(&key, waiting.id, &mut room) {
                    replies.push((key, reply));
                }
            }
        });
        replies
    }

    /// Takes those of these attempts back that have not started, and says which.
    pub(crate) fn recall(&self, attempts: Vec<AttemptKey>) -> Vec<AttemptKey> {
        let live = self.with(|table| {
            let live = attempts.into_iter().filter_map(|key| Some((key, table.ticket(&key)?)));
            live.collect::<Vec<_>>()
        });
        let tickets: Vec<_> = live.iter().map(|&(_, ticket)| ticket).collect();
        // What has left the queue here cannot start, nor end, any more; what was started in between stays.
        let jobs = self.pool.remove(self.id, &tickets);
        let keys: Vec<_> = jobs.iter().map(|job| job.assignment.key).collect();
        self.with(|table| {
            for key in &keys {
                table.forget(key);
            }
        });
        keys
    }

    /// Stops these attempts. One that has not come yet is stopped when it comes.
    pub(crate) fn cancel(&self, attempts: Vec<AttemptKey>) {
        let tickets = self.with(|table| {
            let cancel = |key| {
                let ticket = table.ticket(&key);
                table.cancel(key);
                ticket
            };
            attempts.into_iter().filter_map(cancel).collect::<Vec<_>>()
        });
        // One that starts before this looks at its flag first.
        drop(self.pool.remove(self.id, &tickets));
    }

    /// An attempt has ended like this.
    pub(crate) fn settle(&self, key: AttemptKey, ticket: Ticket, reply: Reply) {
        let reply = match reply {
            Reply::Done(Completed { run_us, result }) => {
                Reply::Done(Completed { run_us, result: self.limits.apply(result) })
            }
            other => other,
        };
        drop(self.with(|table| table.settle(&key, ticket, reply)));
    }

    /// Stops what there is, and has the client try it elsewhere.
    pub(crate) fn abandon(&self) {
        drop(self.pool.remove_session(self.id));
        self.with(|table| table.abandon(Refusal::Draining));
    }

    /// The client is gone.
    pub(crate) fn end(&self) {
        self.warned.cancel();
        self.with(Table::end);
        drop(self.pool.remove_session(self.id));
    }

    /// The client is being told that the worker takes no more tasks.
    pub(crate) fn warn(&self) {
        self.warned.cancel();
    }

    /// Waits until it has been told, or the session has ended.
    pub(crate) async fn warned(&self) {
        self.warned.cancelled().await;
    }

    /// Waits until everything has been handed out, or the session has ended.
    pub(crate) async fn emptied(&self) {
        // Made before the look: it is woken by whatever happens after that.
        let emptied = self.emptied.notified();
        if !self.with(|table| table.is_empty()) {
            emptied.await;
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.id)
    }
}

/// Answers for jobs that the pool did not take or keep.
pub(crate) fn refuse(jobs: Vec<(Job, Refusal)>) {
    for (job, refusal) in jobs {
        job.session.settle(job.assignment.key, job.ticket, Reply::Refused(refusal));
    }
}

/// A call that waits. Dropped, as when the client gives the call up, it leaves the attempts as they are.
struct Waiting<'a> {
    session: &'a Session,
    id: WaiterId,
    wake: Arc<Notify>,
}

impl Waiting<'_> {
    /// Waits until all is done, or soon after something is.
    async fn settled(&self) {
        let progress = || self.session.with(|table| table.progress(self.id));
        let brisk = loop {
            match progress() {
                Progress::None => self.wake.notified().await,
                Progress::Some { brisk } => break brisk,
                Progress::All => return,
            }
        };
        let end = Instant::now() + LINGER;
        while brisk && progress() != Progress::All && timeout_at(end, self.wake.notified()).await.is_ok() {}
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.session.with(|table| table.stop_waiting(self.id));
    }
}
