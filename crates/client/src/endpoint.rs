//! One worker, as a client sees it: a connection that is opened again and again, what is sent over it, and
//! whether anybody is still there.
//!
//! Liveness is judged in-band: a ping every half second, over the connection that carries the tasks. What
//! counts is pings unanswered, not time passed, so that a client that was itself stopped or starved does not
//! take its own absence for the worker's. While a big message is on its way over a slow link, a pong may be long in
//! coming; then the bytes that move are the sign of life.

mod blobs;

use crate::retry::{Cause, cause_of};
use blobs::{Blobs, has_blobs};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rand::{SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    backoff::Backoff,
    blob,
    dial::{Dialled, context, dial_worker},
    id::{AttemptKey, WorkerId},
    name_server::WorkerInfo,
    net::Network,
    task::{Assignment, Reply},
    transport::{
        codec::MAX_DEADLINE,
        frames::{MAX_SEGMENTS, Received, Unsent},
    },
    worker::{Pong, TaskClient, TaskRequest, TaskResponse},
};
use std::{pin::pin, sync::Arc, time::Duration};
use tarpc::client::{Config, NewClient, RpcError};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tracing::{debug, warn};

/// How often a worker is pinged.
const PING_EVERY: Duration = Duration::from_millis(500);
/// A worker is suspect when this many pings' time has passed without a sign of life,
const SUSPECT_AFTER: u32 = 3;
/// and given up after this many: four seconds, which leaves one to give its tasks to others within five.
const HUNG_AFTER: u32 = 8;
/// Delays between connection attempts.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const MOST_DELAY: Duration = Duration::from_secs(2);
/// The most tasks in one call, and the bytes above which it takes no further one: small tasks travel
/// together, big ones by themselves.
const BATCH_TASKS: usize = 256;
const BATCH_BYTES: usize = 48 * 1024;
const _: () = assert!(BATCH_BYTES < blob::LEAST, "a task with a blob has a call of its own");

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Command {
    Execute(Vec<Assignment>),
    Cancel(Vec<AttemptKey>),
    Recall(Vec<AttemptKey>),
}

/// What is learnt about a worker.
#[derive(Debug)]
pub(crate) enum Event {
    /// It is connected and answers. Nothing told before this reaches it.
    Up,
    /// It could not be reached, or has not answered. Told once at the most, before anything else.
    Unreached,
    /// It answered a ping after this long, and said whether it takes tasks.
    Pong {
        round_trip: Duration,
        draining: bool,
    },
    Suspect,
    Lost(Cause),
    Replies(Vec<(AttemptKey, Reply)>),
    CallFailed(Vec<AttemptKey>, Cause),
    /// It gave these attempts back.
    Recalled(Vec<AttemptKey>),
}

/// What an endpoint's owner gives it.
pub(crate) struct Endpoint {
    pub(crate) info: WorkerInfo,
    pub(crate) network: Arc<dyn Network>,
    /// Unbounded: it holds no more than the worker's window.
    pub(crate) commands: UnboundedReceiver<Command>,
    /// Unbounded: each event answers a command or a ping, and windows bound those.
    pub(crate) events: UnboundedSender<(WorkerId, u64, Event)>,
    /// Told with every event: which of the endpoints that there were for the worker this is.
    pub(crate) number: u64,
    pub(crate) seed: u64,
}

/// How a call ended.
enum Ended {
    Executed(Vec<AttemptKey>, Result<Vec<Reply>, RpcError>),
    Collected(Vec<AttemptKey>, Result<Vec<(AttemptKey, Reply)>, RpcError>),
    Pinged(Instant, Result<Pong, RpcError>),
    Recalled(Vec<AttemptKey>),
    /// Nobody waits for it any more.
    Cancelled,
}

/// What moves on a connection.
struct Flow {
    received: Received,
    unsent: Unsent,
    /// How much had been received, and was unsent, when it was last asked.
    seen: (u64, usize),
}

impl Flow {
    /// Whether bytes have come since it was last asked, or some of a message that is not all sent have gone. What is
    /// all sent may be in a buffer, and proves nothing.
    fn moves(&mut self) -> bool {
        let (received, unsent) = (self.received.bytes(), self.unsent.bytes());
        let (received_before, unsent_before) = std::mem::replace(&mut self.seen, (received, unsent));
        received != received_before || (0 < unsent && unsent < unsent_before)
    }
}

type Calls = FuturesUnordered<BoxFuture<'static, Ended>>;

impl Endpoint {
    /// Runs until the owner closes the command channel.
    pub(crate) async fn run(mut self) {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let Ok(mut backoff) = Backoff::new(FIRST_DELAY, MOST_DELAY) else { return };
        let mut heard_of = false;
        while !self.commands.is_closed() {
            match dial_worker(&*self.network, &self.info).await {
                Ok(dialled) => {
                    if let Some(cause) = self.talk(dialled, &mut backoff).await {
                        debug!(worker = %self.info.name, %cause, "lost a worker");
                        heard_of = true;
                        self.tell(Event::Lost(cause));
                    }
                }
                Err(error) if error.is_final() && !heard_of => {
                    warn!(worker = %self.info.name, %error, "a worker cannot be used");
                }
                Err(error) => debug!(worker = %self.info.name, %error, "cannot reach a worker"),
            }
            if !std::mem::replace(&mut heard_of, true) {
                self.tell(Event::Unreached);
            }
            tokio::select! {
                biased;
                () = sleep(backoff.next_delay(&mut rng)) => {}
                // Whatever was said meanwhile was said to the connection that is gone.
                () = async { while self.commands.recv().await.is_some() {} } => return,
            }
        }
    }

    fn tell(&self, event: Event) {
        // The owner is gone only when this endpoint is about to be.
        let _ = self.events.send((self.info.id, self.number, event));
    }

    /// Serves one connection to its end, and says why it was lost if it ever was up.
    async fn talk(
        &mut self,
        dialled: Dialled<TaskRequest, TaskResponse>,
        backoff: &mut Backoff,
    ) -> Option<Cause> {
        let mut config = Config::default();
        // The windows bound what is in flight; a bound here would hold pings back behind tasks.
        config.max_in_flight_requests = usize::MAX;
        let mut flow =
            Flow { received: dialled.wire.received(), unsent: dialled.wire.unsent(), seen: (0, 0) };
        let NewClient { client, dispatch } = TaskClient::new(config, dialled.wire);
        let mut dispatch = pin!(dispatch);
        let blobs = Arc::new(Blobs::new(client.clone()));
        let mut calls = Calls::new();
        let mut ticks = interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut up, mut pinging, mut unanswered) = (false, false, 0);
        loop {
            tokio::select! {
                biased;
                // First, so that whatever has arrived is seen before a tick judges that nothing has.
                _ = &mut dispatch => return up.then_some(Cause::ConnectionLost),
                Some(ended) = calls.next(), if !calls.is_empty() => {
                    unanswered = 0;
                    match ended {
                        Ended::Pinged(sent, Ok(pong)) if pong.id == self.info.id => {
                            pinging = false;
                            if !up {
                                // What was said before is for a connection that is gone.
                                while self.commands.try_recv().is_ok() {}
                                up = true;
                                backoff.reset();
                                self.tell(Event::Up);
                            }
                            self.tell(Event::Pong { round_trip: sent.elapsed(), draining: pong.load.draining });
                        }
                        Ended::Pinged(_, Ok(pong)) => {
                            debug!(worker = %self.info.name, other = %pong.id, "another worker answers at its address");
                            return up.then_some(Cause::ConnectionLost);
                        }
                        Ended::Pinged(_, Err(error)) => return up.then(|| cause_of(&error)),
                        ended => if let Some(cause) = self.ended(ended, &client, &calls) {
                            return Some(cause);
                        },
                    }
                }
                command = self.commands.recv(), if up => call(&client, &blobs, &calls, command?),
                _ = ticks.tick() => {
                    if !pinging {
                        pinging = true;
                        let (client, sent) = (client.clone(), Instant::now());
                        calls.push(async move {
                            Ended::Pinged(sent, client.ping(context(MAX_DEADLINE)).await)
                        }.boxed());
                        continue;
                    }
                    unanswered = if flow.moves() { 0 } else { unanswered + 1 };
                    if unanswered == SUSPECT_AFTER {
                        self.tell(Event::Suspect);
                    } else if unanswered >= HUNG_AFTER {
                        return up.then_some(Cause::Hung);
                    }
                }
            }
        }
    }

    /// Passes on what a call brought. Says why where the connection is of no more use.
    fn ended(&self, ended: Ended, client: &TaskClient, calls: &Calls) -> Option<Cause> {
        match ended {
            Ended::Executed(keys, Ok(replies)) if replies.len() == keys.len() => {
                self.replied(keys, replies, client, calls);
            }
            Ended::Executed(keys, Ok(replies)) => {
                let cause = Cause::Rpc(format!("{} replies to {} tasks", replies.len(), keys.len()));
                self.tell(Event::CallFailed(keys, cause));
            }
            Ended::Collected(mut keys, Ok(replies)) => {
                keys.retain(|key| !replies.iter().any(|(done, _)| done == key));
                if !replies.is_empty() {
                    self.tell(Event::Replies(replies));
                }
                collect(client, calls, keys);
            }
            Ended::Executed(keys, Err(error)) | Ended::Collected(keys, Err(error)) => {
                match cause_of(&error) {
                    cause @ Cause::Rpc(_) => self.tell(Event::CallFailed(keys, cause)),
                    cause => return Some(cause),
                }
            }
            Ended::Recalled(given_back) => self.tell(Event::Recalled(given_back)),
            Ended::Pinged(..) | Ended::Cancelled => {}
        }
        None
    }

    fn replied(&self, keys: Vec<AttemptKey>, replies: Vec<Reply>, client: &TaskClient, calls: &Calls) {
        let is_pending = |reply: &Reply| matches!(reply, Reply::Pending);
        let both = keys.iter().zip(&replies);
        let pending = both.filter(|(_, reply)| is_pending(reply)).map(|(key, _)| *key).collect();
        let both = keys.into_iter().zip(replies);
        let done: Vec<_> = both.filter(|(_, reply)| !is_pending(reply)).collect();
        if !done.is_empty() {
            self.tell(Event::Replies(done));
        }
        collect(client, calls, pending);
    }
}

fn collect(client: &TaskClient, calls: &Calls, keys: Vec<AttemptKey>) {
    if !keys.is_empty() {
        let client = client.clone();
        calls.push(
            async move {
                let replies = client.collect(context(MAX_DEADLINE), keys.clone()).await;
                Ended::Collected(keys, replies)
            }
            .boxed(),
        );
    }
}

fn call(client: &TaskClient, blobs: &Arc<Blobs>, calls: &Calls, command: Command) {
    match command {
        Command::Execute(assignments) => {
            for mut batch in batches(assignments) {
                let keys = batch.iter().map(|assignment| assignment.key).collect();
                if let Some(task) = batch.pop_if(|task| has_blobs(task)) {
                    let executed = blobs.execute(task).map(|replies| match replies {
                        Some(replies) => Ended::Executed(keys, replies),
                        None => Ended::Cancelled,
                    });
                    calls.push(executed.boxed());
                    continue;
                }
                let client = client.clone();
                calls.push(
                    async move { Ended::Executed(keys, client.execute(context(MAX_DEADLINE), batch).await) }
                        .boxed(),
                );
            }
        }
        Command::Cancel(mut keys) => {
            blobs.take_back(&mut keys);
            let client = client.clone();
            calls.push(
                async move {
                    // A worker that cannot be told has lost its connection, which cancels as well.
                    let _ = client.cancel(context(MAX_DEADLINE), keys).await;
                    Ended::Cancelled
                }
                .boxed(),
            );
        }
        Command::Recall(mut keys) => {
            let mut given_back = blobs.take_back(&mut keys);
            let client = client.clone();
            calls.push(
                async move {
                    let others = client.recall(context(MAX_DEADLINE), keys).await;
                    given_back.extend(others.unwrap_or_default());
                    Ended::Recalled(given_back)
                }
                .boxed(),
            );
        }
    }
}

/// Cuts what is to be sent into calls.
fn batches(assignments: Vec<Assignment>) -> Vec<Vec<Assignment>> {
    let bytes: usize = assignments.iter().map(|assignment| assignment.payload.size()).sum();
    let segments: usize = assignments.iter().map(|assignment| assignment.payload.buffers.len()).sum();
    if assignments.len() <= BATCH_TASKS && bytes <= BATCH_BYTES && segments <= MAX_SEGMENTS {
        return vec![assignments];
    }
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let (mut bytes, mut segments) = (0, 0);
    for assignment in assignments {
        let size = assignment.payload.size();
        let parts = assignment.payload.buffers.len();
        let full =
            batch.len() >= BATCH_TASKS || bytes + size > BATCH_BYTES || segments + parts > MAX_SEGMENTS;
        if full && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            (bytes, segments) = (0, 0);
        }
        bytes += size;
        segments += parts;
        batch.push(assignment);
    }
    batches.push(batch);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::{
        id::{Attempt, JobId, TaskId},
        payload::{Format, Payload},
    };

    fn assignment(task: u64, size: usize) -> Assignment {
        let key = AttemptKey { job: JobId(1), task: TaskId(task), attempt: Attempt(1) };
        let payload = Payload { format: Format::Json, head: vec![b' '; size].into(), buffers: Vec::new() };
        Assignment { key, kind: "echo".parse().unwrap(), payload, timeout_ms: None }
    }

    #[test]
    fn small_tasks_travel_together_and_big_ones_by_themselves() {
        let sizes = |sizes: &[usize]| -> Vec<usize> {
            let assignments = sizes.iter().zip(0..).map(|(&size, task)| assignment(task, size)).collect();
            batches(assignments).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(&[10; 600]), [256, 256, 88]);
        assert_eq!(sizes(&[10, 1 << 20, 10, 10]), [1, 1, 2]);
        assert_eq!(sizes(&[1 << 20]), [1]);
    }
}
