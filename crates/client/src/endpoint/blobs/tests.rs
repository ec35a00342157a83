//! Deliveries to a worker that does as it is told.

use super::Blobs;
use futures::{FutureExt, StreamExt};
use sgdt_proto::{
    blob::{BlobRef, Digest, LEAST, NeedBlobs, NotKept},
    buffer::Buffer,
    id::{Attempt, AttemptKey, JobId, TaskId},
    payload::{Format, Payload},
    task::{Assignment, Completed, Reply},
    worker::{Pong, Task, TaskClient},
};
use std::sync::{Arc, Mutex};
use tarpc::{
    client,
    context::Context,
    server::{BaseChannel, Channel},
};
use tokio::sync::Semaphore;

/// A worker that writes down what it is told.
#[derive(Clone)]
struct Fake {
    told: Arc<Mutex<Vec<String>>>,
    /// A permit for each blob that may come.
    gate: Arc<Semaphore>,
    /// It keeps nothing larger.
    limit: u64,
    /// It loses what it keeps.
    forgetful: bool,
}

impl Fake {
    fn tell(&self, what: String) {
        self.told.lock().unwrap().push(what);
    }

    fn take_told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

fn done(task: Assignment) -> Reply {
    Reply::Done(Completed { run_us: 1, result: Ok(task.payload) })
}

impl Task for Fake {
    async fn execute(self, _: Context, batch: Vec<Assignment>) -> Vec<Reply> {
        batch
            .into_iter()
            .map(|task| {
                self.tell(format!("run {} with {}", task.key.task, task.payload.size()));
                done(task)
            })
            .collect()
    }

    async fn collect(self, _: Context, _: Vec<AttemptKey>) -> Vec<(AttemptKey, Reply)> {
        Vec::new()
    }

    async fn recall(self, _: Context, _: Vec<AttemptKey>) -> Vec<AttemptKey> {
        Vec::new()
    }

    async fn cancel(self, _: Context, _: Vec<AttemptKey>) {}

    async fn ping(self, _: Context) -> Pong {
        unreachable!("nobody pings")
    }

    async fn drain(self, _: Context) {}

    async fn keep(self, _: Context, _: Digest, blob: Buffer) -> Result<(), NotKept> {
        self.tell(format!("keep {}", blob.len()));
        self.gate.acquire().await.unwrap().forget();
        if blob.len() as u64 > self.limit { Err(NotKept::NoRoom { limit: self.limit }) } else { Ok(()) }
    }

    async fn execute_with(
        self,
        _: Context,
        task: Assignment,
        blobs: Vec<BlobRef>,
    ) -> Result<Reply, NeedBlobs> {
        self.tell(format!("run {} with {} and {} kept", task.key.task, task.payload.size(), blobs.len()));
        if self.forgetful {
            return Err(NeedBlobs(blobs.into_iter().map(|blob| blob.digest).collect()));
        }
        Ok(done(task))
    }
}

/// The deliveries to a worker, and the worker.
fn connected(change: impl FnOnce(&mut Fake)) -> (Arc<Blobs>, Fake) {
    let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let mut fake = Fake { told: Arc::default(), gate, limit: u64::MAX, forgetful: false };
    change(&mut fake);
    let (ours, theirs) = tarpc::transport::channel::unbounded();
    let serving = BaseChannel::with_defaults(theirs).execute(fake.clone().serve());
    tokio::spawn(serving.for_each_concurrent(None, |answer| answer));
    let client = TaskClient::new(client::Config::default(), ours).spawn();
    (Arc::new(Blobs::new(client)), fake)
}

fn key(task: u64) -> AttemptKey {
    AttemptKey { job: JobId(1), task: TaskId(task), attempt: Attempt(1) }
}

/// A task with a blob of so many bytes, and a byte beside it.
fn task(task: u64, length: usize) -> Assignment {
    let blob = Buffer::from(vec![1; length]).shared();
    let payload = Payload { format: Format::Json, head: b"1".to_vec().into(), buffers: vec![blob] };
    Assignment { key: key(task), kind: "echo".parse().unwrap(), payload, timeout_ms: None }
}

/// Runs a task to its end.
async fn run(blobs: &Arc<Blobs>, task: Assignment) {
    assert_eq!(blobs.execute(task).await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn tasks_with_the_same_blob_wait_for_the_same_delivery() {
    let (blobs, worker) = connected(|_| {});
    let all = futures::future::join_all((0..3).map(|number| run(&blobs, task(number, LEAST))));
    all.await;
    run(&blobs, task(3, LEAST)).await;
    let mut told = worker.take_told();
    assert_eq!(told.remove(0), format!("keep {LEAST}"));
    told.sort();
    assert_eq!(told, [0, 1, 2, 3].map(|number| format!("run {number} with 1 and 1 kept")));
}

#[tokio::test]
async fn a_task_that_is_taken_back_while_it_waits_is_never_sent() {
    let (blobs, worker) = connected(|fake| fake.gate = Arc::new(Semaphore::new(0)));
    let mut waits: Vec<_> = (1..4).map(|number| Box::pin(blobs.execute(task(number, LEAST)))).collect();
    // Also one that nobody has looked at yet.
    for wait in &mut waits[..2] {
        assert!(wait.now_or_never().is_none());
    }
    let mut keys = vec![key(9), key(1), key(3)];
    assert_eq!(blobs.take_back(&mut keys), [key(1), key(3)]);
    assert_eq!(keys, [key(9)], "the worker is to be asked for the others");
    assert!(waits.remove(0).await.is_none() && waits.remove(1).await.is_none());
    worker.gate.add_permits(1);
    assert!(waits.remove(0).await.is_some(), "the other one has its blob all the same");
    assert_eq!(worker.take_told(), [format!("keep {LEAST}"), "run 2 with 1 and 1 kept".to_owned()]);
    assert_eq!(blobs.take_back(&mut vec![key(2)]), [], "it is at the worker");
}

#[tokio::test]
async fn what_a_worker_has_lost_comes_with_the_task_and_is_not_kept_for_ever_anew() {
    let (blobs, worker) = connected(|fake| fake.forgetful = true);
    for number in 0..4 {
        run(&blobs, task(number, LEAST)).await;
    }
    let keep = format!("keep {LEAST}");
    let (kept, whole) = (|n| format!("run {n} with 1 and 1 kept"), |n| format!("run {n} with {}", LEAST + 1));
    let expected = [keep.clone(), kept(0), whole(0), keep, kept(1), whole(1), whole(2), whole(3)];
    assert_eq!(worker.take_told(), expected);
}

#[tokio::test]
async fn what_a_worker_has_no_room_for_comes_with_the_task_and_larger_ones_are_not_tried() {
    let (blobs, worker) = connected(|fake| fake.limit = LEAST as u64);
    for (number, length) in [(0, LEAST + 1), (1, LEAST + 1), (2, LEAST + 2), (3, LEAST)] {
        run(&blobs, task(number, length)).await;
    }
    let (large, small) = (LEAST + 1, LEAST);
    let expected = [
        format!("keep {large}"),
        format!("run 0 with {}", large + 1),
        format!("run 1 with {}", large + 1),
        format!("run 2 with {}", large + 2),
        format!("keep {small}"),
        "run 3 with 1 and 1 kept".to_owned(),
    ];
    assert_eq!(worker.take_told(), expected);
}
