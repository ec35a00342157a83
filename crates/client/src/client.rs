//! The public face: connect, submit, map.

use crate::{
    balance::{Balance, Balancer},
    discovery::{Discovery, Membership},
    dispatch::{
        TaskResult, TaskSpec,
        core::Core,
        driver::{Command, Delivery, Driver, Recipient, StreamEnd, Ticket},
        room::Room,
    },
    retry::RetryPolicy,
};
use futures::{Stream, StreamExt};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    id::{JobId, TaskId},
    net::Network,
};
use std::{
    collections::VecDeque,
    fmt,
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot, watch,
    },
    task::JoinSet,
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// The most tasks of a stream that are submitted at a time.
const CHUNK: usize = 256;

/// How a client finds workers and treats tasks.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where the name servers listen.
    pub name_servers: Vec<String>,
    /// Which worker gets the next task.
    pub balance: Balance,
    /// How often a task is tried.
    pub retry: RetryPolicy,
    /// How long to wait for a worker, at first and whenever there is none.
    pub wait_workers: Duration,
    /// What decides everything that is left to chance. `None`: chance.
    pub seed: Option<u64>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            name_servers: vec!["127.0.0.1:7400".to_owned()],
            balance: Balance::default(),
            retry: RetryPolicy::default(),
            wait_workers: Duration::from_secs(30),
            seed: None,
        }
    }
}

/// Why there is nobody to send tasks to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No name server answers.
    #[error(
        "no name server answered within {waited:?}: {problem}; start one with `nameserver`, or name another with --nameserver"
    )]
    NoNameServer {
        /// How long was waited.
        waited: Duration,
        /// What the last attempts met.
        problem: String,
    },
    /// No name server lets the client in, or is one that it may trust.
    #[error("{problem}")]
    Refused {
        /// Which side refused, and why.
        problem: String,
    },
    /// A name server answers, and knows no worker.
    #[error("no worker registered within {waited:?}; start one with `worker --nameserver {name_servers}`")]
    NoWorker {
        /// How long was waited.
        waited: Duration,
        /// Who was asked.
        name_servers: String,
    },
}

/// The dispatcher has ended, which happens only when its runtime does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the client's runtime has shut down")]
pub struct Disconnected;

/// A connection to a cluster. Clones share it; the last one dropped ends it and cancels what is unfinished.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    commands: UnboundedSender<Command>,
    next_task: AtomicU64,
    next_stream: AtomicU64,
    room: Room,
    discovery: Discovery,
    _driver: AbortOnDropHandle<()>,
}

impl Client {
    /// Joins the cluster that these name servers know, and waits until there is a worker.
    ///
    /// # Errors
    /// No name server answers, or no worker registers, within `wait_workers`.
    pub async fn connect(config: ClientConfig, network: Arc<dyn Network>) -> Result<Self, ConnectError> {
        let client = Self::join(&config, network);
        let mut membership = client.membership();
        let waited = config.wait_workers;
        let decided = |known: &Membership| !known.members().is_empty() || known.refusal().is_some();
        // Whether it was decided in time is seen by what there is.
        drop(timeout(waited, membership.wait_for(decided)).await);
        let known = membership.borrow();
        if !known.members().is_empty() {
            drop(known);
            return Ok(client);
        }
        if let Some(problem) = known.refusal() {
            return Err(ConnectError::Refused { problem });
        }
        Err(match known.problem() {
            None if known.is_reachable() => {
                ConnectError::NoWorker { waited, name_servers: config.name_servers.join(",") }
            }
            problem => ConnectError::NoNameServer {
                waited,
                problem: problem
                    .unwrap_or_else(|| format!("{} does not answer", config.name_servers.join(", "))),
            },
        })
    }

    /// Joins without waiting: tasks wait instead.
    pub fn join(config: &ClientConfig, network: Arc<dyn Network>) -> Self {
        let mut rng = config.seed.map_or_else(SmallRng::from_os_rng, SmallRng::seed_from_u64);
        let discovery = Discovery::start(&config.name_servers, &network, rng.random());
        let mut fork = || SmallRng::seed_from_u64(rng.random());
        let balancer = Balancer::new(config.balance, fork());
        let (core_rng, mut job_rng, driver_rng) = (fork(), fork(), fork());
        let job = JobId::random(&mut job_rng);
        let core = Core::new(job, config.retry, config.wait_workers, balancer, core_rng);
        let (commands, receiver) = unbounded_channel();
        let membership = discovery.membership();
        let room = Room::default();
        let driver = Driver {
            core,
            commands: receiver,
            membership,
            network,
            room: room.clone(),
            rng: driver_rng,
            lines: 0,
            judging: JoinSet::new(),
        };
        let shared = Shared {
            commands,
            next_task: AtomicU64::new(1),
            next_stream: AtomicU64::new(1),
            room,
            discovery,
            _driver: AbortOnDropHandle::new(tokio::spawn(driver.run())),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The live workers, as the name servers tell of them.
    pub fn membership(&self) -> watch::Receiver<Membership> {
        self.shared.discovery.membership()
    }

    /// How much of the room for unfinished tasks is taken up: none, once every result has been taken.
    pub fn outstanding(&self) -> usize {
        self.shared.room.taken()
    }

    /// Sends a task off, waiting for room where too many, or too big ones, are unfinished.
    ///
    /// # Errors
    /// The client's runtime has shut down.
    pub async fn submit(&self, mut spec: TaskSpec) -> Result<TaskHandle, Disconnected> {
        let room = self.shared.room.take(&spec).await.ok_or(Disconnected)?;
        let (sender, result) = oneshot::channel();
        let task = self.shared.task();
        let ticket = Ticket { to: Recipient::Handle(sender), room, check: spec.check.take() };
        self.shared.command(Command::Submit(vec![(task, spec, ticket)]))?;
        Ok(TaskHandle { task, result, shared: self.shared.clone(), finished: false })
    }

    /// Runs every task of a stream, reading it only as fast as there is room, and gives the results as they
    /// come, each with its task's index in the stream. Dropping the results cancels what is unfinished. Should the
    /// stream panic, the panic goes on in whoever reads the results, once those of the tasks before it are read.
    pub fn map(&self, tasks: impl Stream<Item = TaskSpec> + Send + 'static) -> Results {
        let stream = self.shared.next_stream.fetch_add(1, Ordering::Relaxed);
        let (sender, results) = unbounded_channel();
        let to = StreamEnd { stream, results: sender, unread: Arc::default() };
        let feeder = feed(self.shared.clone(), to, tasks);
        Results {
            stream,
            shared: self.shared.clone(),
            feeder: AbortOnDropHandle::new(tokio::spawn(feeder)),
            fed: false,
            results,
            ready: VecDeque::new(),
        }
    }
}

impl Shared {
    fn task(&self) -> TaskId {
        TaskId(self.next_task.fetch_add(1, Ordering::Relaxed))
    }

    fn command(&self, command: Command) -> Result<(), Disconnected> {
        self.commands.send(command).map_err(|_| Disconnected)
    }
}

/// Submits a stream's tasks, as many at a time as there are and as there is room for. Reads none while too much of
/// their results lies unread.
async fn feed(shared: Arc<Shared>, to: StreamEnd, tasks: impl Stream<Item = TaskSpec>) {
    let to = Arc::new(to);
    let mut tasks = pin!(tasks.ready_chunks(CHUNK));
    let mut index = 0;
    while let Some(chunk) = {
        to.unread.room().await;
        tasks.next().await
    } {
        let mut batch = Vec::with_capacity(chunk.len());
        for mut spec in chunk {
            let room = match shared.room.try_take(&spec) {
                Some(room) => room,
                None => {
                    // What waits for room must not keep what has it.
                    if shared.command(Command::Submit(std::mem::take(&mut batch))).is_err() {
                        return;
                    }
                    let Some(room) = shared.room.take(&spec).await else { return };
                    room
                }
            };
            let to = Recipient::Stream { index, to: to.clone() };
            let check = spec.check.take();
            batch.push((shared.task(), spec, Ticket { to, room, check }));
            index += 1;
        }
        if shared.command(Command::Submit(batch)).is_err() {
            return;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// A task under way: a future of its result. Dropping it cancels the task.
pub struct TaskHandle {
    task: TaskId,
    result: oneshot::Receiver<TaskResult>,
    shared: Arc<Shared>,
    finished: bool,
}

impl Future for TaskHandle {
    type Output = Result<TaskResult, Disconnected>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.result).poll(cx));
        self.finished = true;
        Poll::Ready(result.map_err(|_| Disconnected))
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        if !self.finished {
            // Without a dispatcher there is nothing to cancel.
            let _ = self.shared.command(Command::Cancel(self.task));
        }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskHandle({})", self.task)
    }
}

/// The results of [`Client::map`], as they come. Dropping it cancels what is unfinished.
pub struct Results {
    stream: u64,
    shared: Arc<Shared>,
    feeder: AbortOnDropHandle<()>,
    /// Whether the feeder's end was seen.
    fed: bool,
    results: UnboundedReceiver<Vec<Delivery>>,
    ready: VecDeque<Delivery>,
}

impl Stream for Results {
    type Item = (u64, TaskResult);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(Delivery { index, result, room, weight }) = self.ready.pop_front() {
                // Whoever reads the results has it now, and may be sent more.
                drop((room, weight));
                return Poll::Ready(Some((index, result)));
            }
            match ready!(self.results.poll_recv(cx)) {
                Some(deliveries) => self.ready = deliveries.into(),
                None if self.fed => return Poll::Ready(None),
                None => {
                    // Whoever feeds has let go of the channel, be it in panic: then there are tasks without a result.
                    let fed = ready!(Pin::new(&mut self.feeder).poll(cx));
                    self.fed = true;
                    if let Err(error) = fed
                        && let Ok(panic) = error.try_into_panic()
                    {
                        resume_unwind(panic);
                    }
                }
            }
        }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.feeder.abort();
        // Before the command: what the feeder still sends after it is then seen to be wanted by nobody.
        self.results.close();
        let _ = self.shared.command(Command::CancelStream(self.stream));
    }
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Results({} ready)", self.ready.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unread::Unread;
    use futures::{FutureExt, stream};
    use sgdt_proto::net::Tcp;
    use std::panic::AssertUnwindSafe;

    #[tokio::test]
    async fn a_stream_that_panics_is_no_complete_job() {
        let config = ClientConfig { name_servers: Vec::new(), ..ClientConfig::default() };
        let client = Client::join(&config, Arc::new(Tcp));
        let tasks = stream::once(async { panic!("no such file") });
        let mut results = client.map(tasks);
        let next = AssertUnwindSafe(results.next()).catch_unwind().await;
        let panic = next.expect_err("the job seems to be complete");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no such file"));
        assert!(results.next().await.is_none());
    }

    #[tokio::test]
    async fn no_task_is_read_while_too_much_of_the_results_lies_unread() {
        let config = ClientConfig { name_servers: Vec::new(), ..ClientConfig::default() };
        let client = Client::join(&config, Arc::new(Tcp));
        let is_read = Arc::<AtomicU64>::default();
        let tasks = stream::poll_fn({
            let is_read = is_read.clone();
            move |_| {
                is_read.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(None)
            }
        });
        let unread = Arc::<Unread>::default();
        let weight = unread.add(1 << 40);
        let to = StreamEnd { stream: 1, results: unbounded_channel().0, unread };
        let mut feeder = pin!(feed(client.shared.clone(), to, tasks));
        assert!(feeder.as_mut().now_or_never().is_none());
        assert_eq!(is_read.load(Ordering::Relaxed), 0);
        drop(weight);
        feeder.await;
        assert!(is_read.load(Ordering::Relaxed) > 0);
    }
}
