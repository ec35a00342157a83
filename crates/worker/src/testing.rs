//! What this crate's tests share: a network in memory, kernels that do as they are told, and a client.

pub(crate) mod memory;

use crate::{
    blobs::Blobs,
    cancel::Cancel,
    config::Config,
    error::Error,
    executor::Executor,
    kernel::{Kernel, Kinds},
    pool::Pool,
    queue::SessionId,
    session::{Limits, Session},
    stop::Stop,
    worker::Worker,
};
use memory::Memory;
use serde_json::{Value, json};
use sgdt_proto::{
    dial::{context, dial},
    handshake::Service,
    id::{Attempt, AttemptKey, JobId, TaskId, WorkerId},
    payload::{Format, Payload},
    task::{Assignment, ErrorCode, Refusal, Reply, TaskError},
    worker::{MAX_MESSAGE, Pong, TaskClient},
};
use std::{sync::Arc, time::Duration};
use tarpc::context::Context;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
    time::Instant,
};

/// A deadline that plays no part.
pub(crate) fn unhurried() -> Context {
    context(Duration::from_secs(3600))
}

/// `echo`: gives back what it gets.
struct Echo;

impl Kernel for Echo {
    type Input = Value;
    type Output = Value;

    fn kind(&self) -> &str {
        "echo"
    }

    fn run(&self, input: Value, _: &Cancel) -> Result<Value, TaskError> {
        Ok(input)
    }
}

/// `panic`: panics with its input.
struct Panic;

impl Kernel for Panic {
    type Input = String;
    type Output = ();

    fn kind(&self) -> &str {
        "panic"
    }

    fn run(&self, input: String, _: &Cancel) -> Result<(), TaskError> {
        panic!("{input}")
    }
}

/// `hold`: tells that it runs, holds its slot until it is cancelled, and tells that, too.
struct Hold(mpsc::UnboundedSender<&'static str>);

impl Kernel for Hold {
    type Input = Value;
    type Output = Value;

    fn kind(&self) -> &str {
        "hold"
    }

    fn run(&self, _: Value, cancel: &Cancel) -> Result<Value, TaskError> {
        self.0.send("runs").unwrap();
        let stopped = cancel.wait(Duration::MAX);
        self.0.send("stopped").unwrap();
        stopped.map(|()| Value::Null)
    }
}

/// The test kinds, and what `hold` tells.
pub(crate) fn kinds() -> (Kinds, mpsc::UnboundedReceiver<&'static str>) {
    let (told, tells) = mpsc::unbounded_channel();
    (Kinds::none().with(Echo).with(Panic).with(Hold(told)), tells)
}

/// Simulates tasks that take as many milliseconds as their input says.
pub(crate) fn simulated() -> Executor {
    Executor::Simulated(Arc::new(|assignment| {
        let ms = serde_json::from_slice(&assignment.payload.head).unwrap_or(0);
        Duration::from_millis(ms)
    }))
}

/// The only session at a pool.
pub(crate) fn session(pool: Arc<Pool>, limits: Limits) -> Arc<Session> {
    let blobs = Arc::new(Blobs::new(1 << 20));
    Arc::new(Session::new(SessionId(1), pool, limits, blobs.holding(SessionId(1))))
}

/// Which task of the only job, at its first attempt.
pub(crate) fn key(task: u64) -> AttemptKey {
    AttemptKey { job: JobId(7), task: TaskId(task), attempt: Attempt(1) }
}

/// A task.
pub(crate) fn task(number: u64, kind: &str, input: Value) -> Assignment {
    let payload = Payload::encode(Format::Json, &input).unwrap();
    Assignment { key: key(number), kind: kind.parse().unwrap(), payload, timeout_ms: None }
}

/// Tasks with these numbers that take `ms` milliseconds each.
pub(crate) fn tasks(numbers: std::ops::Range<u64>, ms: u64) -> Vec<Assignment> {
    numbers.map(|number| task(number, "echo", json!(ms))).collect()
}

/// A reply in a word.
pub(crate) fn word(reply: &Reply) -> &'static str {
    match reply {
        Reply::Done(done) => done.result.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok"),
        Reply::Pending => "pending",
        Reply::Refused(Refusal::Overloaded) => "overloaded",
        Reply::Refused(Refusal::Draining) => "draining",
        Reply::Refused(Refusal::Recalled) => "recalled",
        Reply::Refused(Refusal::Unknown) => "unknown",
    }
}

/// Replies in a word each.
pub(crate) fn words(replies: &[Reply]) -> Vec<&'static str> {
    replies.iter().map(word).collect()
}

/// The error of a reply that has one.
pub(crate) fn error(reply: &Reply) -> (ErrorCode, &str) {
    match reply {
        Reply::Done(done) => match &done.result {
            Err(error) => (error.code, &error.message),
            Ok(_) => panic!("no error"),
        },
        other => panic!("{other:?}"),
    }
}

/// A worker that runs within the test.
pub(crate) struct Running {
    pub(crate) network: Memory,
    pub(crate) address: String,
    pub(crate) stop: Stop,
    pub(crate) ended: JoinHandle<Result<(), Error>>,
    pub(crate) tells: mpsc::UnboundedReceiver<&'static str>,
}

/// Starts a worker.
pub(crate) async fn worker(executor: Executor, change: impl FnOnce(&mut Config)) -> Running {
    let network = Memory::default();
    let (kinds, tells) = kinds();
    let mut config = Config::new(WorkerId(42), "w".parse().unwrap(), Vec::new());
    config.slots = 1;
    change(&mut config);
    let worker = Worker::bind(config, kinds, Arc::new(network.clone())).await.unwrap().on(executor);
    let address = worker.local_addr().to_string();
    let stop = Stop::new();
    let ended = tokio::spawn(worker.run(stop.clone()));
    Running { network, address, stop, ended, tells }
}

impl Running {
    /// A client that never pings by itself, and what kills it when aborted: its stream ends, and nothing is
    /// said before.
    pub(crate) async fn mortal(&self) -> (TaskClient, AbortHandle) {
        let dialled = dial(&self.network, &self.address, Service::Task, MAX_MESSAGE).await.unwrap();
        let new = TaskClient::new(tarpc::client::Config::default(), dialled.wire);
        (new.client, tokio::spawn(new.dispatch).abort_handle())
    }

    /// A client that never pings by itself.
    pub(crate) async fn mute(&self) -> TaskClient {
        self.mortal().await.0
    }

    /// A client that pings, as all should.
    pub(crate) async fn client(&self) -> TaskClient {
        let client = self.mute().await;
        let pinging = client.clone();
        tokio::spawn(async move {
            while pinging.ping(unhurried()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        client
    }

    /// Waits until the worker's load is this, (running, queued), and says how long that took.
    pub(crate) async fn load(&self, wanted: (u32, u32)) -> Duration {
        let client = self.mute().await;
        let (start, mut last) = (Instant::now(), None);
        let reached = async {
            loop {
                let Pong { load, .. } = client.ping(unhurried()).await.unwrap();
                if (load.running, load.queued) == wanted {
                    return start.elapsed();
                }
                last = Some(load);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        reached.unwrap_or_else(|_| panic!("wanted {wanted:?}, last seen {last:?}"))
    }

    /// Waits for what `hold` tells next.
    pub(crate) async fn tells(&mut self, what: &str) {
        let told = tokio::time::timeout(Duration::from_secs(20), self.tells.recv()).await;
        assert_eq!(told.expect("nothing was told"), Some(what));
    }
}
