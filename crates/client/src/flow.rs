//! A job's way through this process: from its task file, over the cluster, to its results.
//!
//! ```text
//!     reader's thread               runtime                 writer's thread
//!   file ─▶ task lines ──inputs──▶ Client::map ──results──▶ result lines ─▶ file
//!              ▲    └──────────────tickets───────────────▶   │
//!              └───────────────────Window ◀──────────────────┘
//! ```
//! A large task may go another way than over `Client::map`: see `large`.
//!
//! Reading, parsing, formatting and writing may block, and so have threads of their own: a pipe that nobody
//! reads must not keep the runtime from answering its workers. Everything travels in chunks, because to hand
//! something to another thread costs as much as a small task. The `Window` bounds the lines that are read
//! and not yet written, and with them all that is on its way, whichever part is the slowest.

mod large;
mod reading;
mod tally;
#[cfg(test)]
mod tests;
mod window;
mod writing;

pub use large::Splitting;
pub use tally::{Counters, Tally};

use crate::{
    client::Client,
    dispatch::{TaskResult, TaskSpec},
    job::{
        output::WriteError,
        reader::{ReadError, TaskFile, TaskReader},
        ticket::Ticket,
        writer::ResultWriter,
    },
};
use futures::{Stream, StreamExt, future::join, stream};
use large::Ways;
use reading::{Read, Reading};
use sgdt_proto::task::TaskError;
use std::{fmt, io::Write, panic::resume_unwind, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{Receiver, UnboundedSender, channel, unbounded_channel},
    task::{JoinError, spawn_blocking},
};
use tokio_util::sync::CancellationToken;
use window::Window;
use writing::{Writing, Written};

/// How many of the reader's chunks wait for the client. Few, because their inputs are in memory beside all
/// those that the client has room for.
const CHUNKS: usize = 2;
/// The most results that travel together.
const RESULTS: usize = 1024;

/// A job that is ready to run.
pub struct Job {
    /// Where its tasks come from.
    pub tasks: TaskReader<TaskFile>,
    /// Where its results go.
    pub results: ResultWriter<Box<dyn Write + Send>>,
    /// How long each task's kernel may run. `None`: as long as it takes.
    pub task_timeout: Option<Duration>,
    /// Whether answers are checked before they are accepted.
    pub verify: bool,
    /// What is done with large tasks.
    pub splitting: Splitting,
    /// What follows when a task fails.
    pub on_failure: OnFailure,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("on_failure", &self.on_failure).finish_non_exhaustive()
    }
}

/// What follows when a task fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// The others go on.
    GoOn,
    /// Whatever is not finished is cancelled, the lines that are still to be read included.
    CancelAll,
    /// Whatever was read and is not finished is cancelled. Nothing more is read, because there may be no end to it.
    CancelRead,
}

/// How a job ended.
#[derive(Debug)]
pub struct Outcome {
    /// What has become of its tasks.
    pub tally: Tally,
    /// Why not all of them could be read.
    pub read: Result<(), ReadError>,
    /// Why not all results could be written.
    pub written: Result<(), WriteError>,
    /// Whether it was told to stop: there are tasks without a result.
    pub interrupted: bool,
}

/// What the writer is told.
enum News {
    /// These lines were read.
    Read(Vec<Filed>),
    /// There are no more lines to read, or they cannot be read.
    End(Result<(), ReadError>),
    /// These tasks are finished: each with its number among those sent, from 0.
    Done(Vec<(u64, TaskResult)>),
    /// No task will be finished any more, but lines are still to come: each is cancelled at once, those that are
    /// filed and those that will be. They must not wait for the end: the reader waits for their room.
    CancelFiled,
    /// Nothing more will come, and what is not finished is cancelled.
    Cancel,
    /// Nothing more will come, and what is not finished is left for another time.
    Leave,
}

/// A line that was read.
enum Filed {
    /// It is on its way to the client. They are sent in the order in which they are filed.
    Sent(Ticket),
    /// It has its result already.
    Unsent(Ticket, TaskError),
}

/// Runs a job to its end, or until `stop`: then what is finished is still written. `counters` tell how far it is.
///
/// A reader that waits for its input when the job is stopped cannot be woken: end the runtime with
/// [`Runtime::shutdown_background`](tokio::runtime::Runtime::shutdown_background).
pub async fn run(client: &Client, job: Job, counters: &Arc<Counters>, stop: &CancellationToken) -> Outcome {
    // Unbounded: it tells of lines that the window has let in, and of each no more than twice.
    let (inbox, news) = unbounded_channel();
    let (specs, sent) = channel(CHUNKS);
    let window = Arc::new(Window::default());
    let failed = CancellationToken::new();
    let reading = Reading {
        tasks: job.tasks,
        timeout: job.task_timeout,
        verify: job.verify,
        split: job.splitting.is_on(),
        specs,
        filed: inbox.clone(),
        window: window.clone(),
        counters: counters.clone(),
        failed: failed.clone(),
    };
    let fail_fast = (job.on_failure != OnFailure::GoOn).then(|| failed.clone());
    let writing = Writing::new(job.results, news, window.clone(), counters.clone(), fail_fast);
    let reader = spawn_blocking(move || reading.run());
    let mut writer = spawn_blocking(move || writing.run());

    // Whichever comes first, the results that are waited for are dropped, which cancels what is unfinished.
    let last = tokio::select! {
        biased;
        () = stop.cancelled() => Some(News::Leave),
        // Nothing can be written any more.
        () = inbox.closed() => Some(News::Leave),
        () = failed.cancelled() => if job.on_failure == OnFailure::CancelRead {
            Some(News::Cancel)
        } else {
            // If the writer has ended, it knows better why.
            let _ = inbox.send(News::CancelFiled);
            None
        },
        () = forward(client, job.splitting, sent, &inbox) => None,
    };
    if let Some(last) = last {
        window.close();
        // If the writer has ended, it knows better why.
        let _ = inbox.send(last);
    }
    // The writer ends with the inbox: when the reader, which may go on, lets go of it, too.
    let open = inbox.downgrade();
    drop(inbox);
    let written = tokio::select! {
        biased;
        written = &mut writer => written,
        () = stop.cancelled() => {
            if let Some(inbox) = open.upgrade() {
                let _ = inbox.send(News::Leave);
            }
            writer.await
        }
    };
    window.close();
    let Written { tally, read, written, left } = unwind(written);
    if read.is_none() && written.is_ok() && !left && !failed.is_cancelled() {
        // The reader has let go of the inbox without a last word.
        unwind(reader.await);
    }
    Outcome { tally, read: read.unwrap_or(Ok(())), written, interrupted: left }
}

/// Has the client run what was read, and hands on the results.
async fn forward(
    client: &Client,
    splitting: Splitting,
    sent: Receiver<Vec<Read>>,
    inbox: &UnboundedSender<News>,
) {
    let ways = Ways::new(client, splitting);
    let (ordinary, specs) = channel(CHUNKS);
    // Unbounded: there is one at a time.
    let (large, mut tasks) = unbounded_channel();
    let ordinary_results = client.map(one_by_one(specs)).ready_chunks(RESULTS).map(|mut chunk| {
        ways.number(&mut chunk);
        chunk
    });
    let large_results = ways.compute(stream::poll_fn(move |context| tasks.poll_recv(context)));
    let mut results = pin!(stream::select(ordinary_results, large_results.map(|result| vec![result])));
    let sorting = ways.sort(sent, ordinary, large);
    let telling = async {
        while let Some(chunk) = results.next().await {
            if inbox.send(News::Done(chunk)).is_err() {
                return;
            }
        }
    };
    join(sorting, telling).await;
}

fn one_by_one(chunks: Receiver<Vec<TaskSpec>>) -> impl Stream<Item = TaskSpec> {
    let next = |mut chunks: Receiver<_>| async move { Some((stream::iter(chunks.recv().await?), chunks)) };
    stream::unfold(chunks, next).flatten()
}

/// A panic on a thread of ours is a panic here.
fn unwind<T>(joined: Result<T, JoinError>) -> T {
    match joined {
        Ok(value) => value,
        Err(error) => resume_unwind(error.into_panic()),
    }
}
