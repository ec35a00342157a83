//! The `Task` service: what a client may ask, and who answers it.

use crate::{pool::Pool, session::Session};
use sgdt_proto::{
    blob::{BlobRef, Digest, NeedBlobs, NotKept},
    buffer::Buffer,
    id::{AttemptKey, WorkerId},
    task::{Assignment, Reply},
    worker::{Pong, Task},
};
use std::sync::Arc;
use tarpc::context::Context;
use tokio_util::sync::CancellationToken;

/// The worker as one connection's client sees it.
#[derive(Clone, Debug)]
pub(crate) struct TaskService {
    pub(crate) id: WorkerId,
    pub(crate) pool: Arc<Pool>,
    pub(crate) session: Arc<Session>,
    /// Asks the worker to leave.
    pub(crate) drain: CancellationToken,
}

impl Task for TaskService {
    async fn execute(self, _: Context, batch: Vec<Assignment>) -> Vec<Reply> {
        self.session.execute(batch).await
    }

    async fn collect(self, _: Context, pending: Vec<AttemptKey>) -> Vec<(AttemptKey, Reply)> {
        self.session.collect(pending).await
    }

    async fn recall(self, _: Context, attempts: Vec<AttemptKey>) -> Vec<AttemptKey> {
        self.session.recall(attempts)
    }

    async fn cancel(self, _: Context, attempts: Vec<AttemptKey>) {
        self.session.cancel(attempts);
    }

    async fn ping(self, _: Context) -> Pong {
        let load = self.pool.load();
        if load.draining {
            self.session.warn();
        }
        Pong { id: self.id, load }
    }

    async fn drain(self, _: Context) {
        self.drain.cancel();
    }

    async fn keep(self, _: Context, digest: Digest, blob: Buffer) -> Result<(), NotKept> {
        self.session.keep(digest, blob).await
    }

    async fn execute_with(
        self,
        _: Context,
        task: Assignment,
        blobs: Vec<BlobRef>,
    ) -> Result<Reply, NeedBlobs> {
        self.session.execute_with(task, blobs).await
    }
}
