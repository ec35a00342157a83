//! What runs on the machines: the programs' real logic, given a simulated network, an executor without threads, and
//! seeds for all that is left to chance.

mod caller;

use crate::{jobs::kinds, machine::Machine, network::Wire, oracle::DRAIN_TIMEOUT, plan::Plan, trace::Stage};
use caller::{Caller, Wishes};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sgdt_client::ClientConfig;
use sgdt_nameserver::Nameserver;
use sgdt_proto::{
    dial::{context, dial},
    handshake::Service,
    id::WorkerId,
    name_server::Load,
    transport::codec::MAX_DEADLINE,
    worker::{MAX_MESSAGE, TaskClient},
};
use sgdt_worker::{Stop, Worker, config::Config, executor::Executor};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Where name servers listen, and workers that keep their port.
const PORT: u16 = 7400;
/// The longest that a slow machine makes of a task, in milliseconds.
const SLOWEST: u64 = 20_000;

/// Makes processes.
pub(crate) struct Programs<'a> {
    plan: &'a Plan,
    stage: Stage,
    name_servers: Vec<String>,
    ips: Vec<IpAddr>,
    /// How many times as long as planned kernels take, by machine.
    slowness: Vec<Arc<AtomicU32>>,
    /// Where each machine's worker listens.
    addresses: Arc<Mutex<BTreeMap<usize, SocketAddr>>>,
    leave: CancellationToken,
}

/// How busy a worker says that it is; `None` where it says nothing.
pub(crate) struct Observed {
    pub(crate) machine: usize,
    pub(crate) load: Option<Load>,
}

impl<'a> Programs<'a> {
    pub(crate) fn new(plan: &'a Plan, machines: &[Machine], stage: Stage, leave: CancellationToken) -> Self {
        let ips: Vec<_> = machines.iter().map(|machine| machine.ip).collect();
        let address = |machine: usize| SocketAddr::new(ips[machine], PORT).to_string();
        Self {
            plan,
            stage,
            name_servers: plan.name_server_machines().map(address).collect(),
            slowness: ips.iter().map(|_| Arc::new(AtomicU32::new(1))).collect(),
            ips,
            addresses: Arc::default(),
            leave,
        }
    }

    /// Has a machine's kernels take so many times as long as planned.
    pub(crate) fn slow_down(&self, machine: usize, factor: u32) {
        self.slowness[machine].store(factor, Ordering::Relaxed);
    }

    /// Starts what belongs on a machine. A worker's identity, and the means to have it leave, are returned.
    pub(crate) fn start(
        &self,
        number: usize,
        machine: &mut Machine,
        rng: &mut SmallRng,
    ) -> Option<(WorkerId, Stop)> {
        let seed = rng.random();
        if self.plan.name_server_machines().contains(&number) {
            let listen = SocketAddr::new(self.ips[number], PORT).to_string();
            let lease_ttl = Duration::from_millis(self.plan.lease_ttl).try_into().unwrap();
            let config = sgdt_nameserver::config::Config { listen, lease_ttl, insecure: true };
            machine.start(|wire| name_server(config, wire, seed));
        } else if self.plan.worker_machines().contains(&number) {
            let (id, stop) = (WorkerId(seed), Stop::new());
            let worker = self.worker(number, machine.name.clone(), id);
            machine.start(|wire| worker.run(wire, stop.clone()));
            return Some((id, stop));
        } else if let Some(index) = self.plan.client_machines().position(|client| client == number) {
            let customer = &self.plan.clients[index];
            let config = ClientConfig {
                name_servers: self.name_servers.clone(),
                balance: customer.balance,
                seed: Some(seed),
                ..ClientConfig::default()
            };
            let caller = Caller { number, config, stage: self.stage.clone(), leave: self.leave.clone() };
            let wishes = Wishes::of(customer);
            machine.start(move |wire| caller.run(wire, wishes));
        }
        None
    }

    fn worker(&self, number: usize, name: String, id: WorkerId) -> Hand {
        let host = &self.plan.workers[number - self.plan.name_servers];
        let mut config = Config::new(id, name.parse().unwrap(), self.name_servers.clone());
        config.slots = host.slots;
        config.queue = host.queue;
        config.task_memory = 1 << 30;
        config.listen = SocketAddr::new(self.ips[number], if host.same_port { PORT } else { 0 }).to_string();
        config.drain_timeout = Duration::from_millis(DRAIN_TIMEOUT);
        config.insecure = true;
        let first_client = self.plan.client_machines().start;
        let times: Vec<Vec<u64>> = self
            .plan
            .clients
            .iter()
            .map(|customer| customer.jobs.iter().map(|job| job.ms).collect())
            .collect();
        let (stage, slowness) = (self.stage.clone(), self.slowness[number].clone());
        let durations = move |assignment: &sgdt_proto::task::Assignment| {
            let mut state = stage.state();
            let now = state.now;
            let Some((client, index)) = state.oracle.runs(now, id, assignment.key) else {
                return Duration::ZERO;
            };
            state.speak(&format!("runs {client}/{} for the {}. time", index + 1, assignment.key.attempt));
            let ms = times[client - first_client][index];
            let slow = (ms * u64::from(slowness.load(Ordering::Relaxed))).min(SLOWEST);
            Duration::from_millis(ms.max(slow))
        };
        Hand {
            number,
            config,
            executor: Executor::Simulated(Arc::new(durations)),
            stage: self.stage.clone(),
            addresses: self.addresses.clone(),
        }
    }

    /// Has this machine ask these workers how busy they are. Their answers are there when its process has ended.
    pub(crate) fn observe(&self, machine: &mut Machine, workers: &[usize]) -> Arc<Mutex<Vec<Observed>>> {
        let observed = Arc::new(Mutex::new(Vec::new()));
        let addresses = self.addresses.lock().unwrap().clone();
        let workers: Vec<_> =
            workers.iter().map(|&machine| (machine, addresses.get(&machine).copied())).collect();
        let answers = observed.clone();
        machine.start(move |wire| async move {
            sleep(Duration::from_millis(200)).await;
            for (machine, address) in workers {
                let load = match address {
                    Some(address) => ping(&wire, address).await,
                    None => None,
                };
                answers.lock().unwrap().push(Observed { machine, load });
            }
        });
        observed
    }
}

async fn ping(wire: &Wire, address: SocketAddr) -> Option<Load> {
    let dialled = dial(wire, &address.to_string(), Service::Task, MAX_MESSAGE).await.ok()?;
    let worker = TaskClient::new(tarpc::client::Config::default(), dialled.wire).spawn();
    let pong = timeout(Duration::from_secs(2), worker.ping(context(MAX_DEADLINE))).await;
    Some(pong.ok()?.ok()?.load)
}

async fn name_server(config: sgdt_nameserver::config::Config, wire: Wire, seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let server = Nameserver::bind(&config, &wire, &mut rng).await.unwrap();
    server.run(CancellationToken::new()).await;
}

/// A worker to be.
struct Hand {
    number: usize,
    config: Config,
    executor: Executor,
    stage: Stage,
    addresses: Arc<Mutex<BTreeMap<usize, SocketAddr>>>,
}

impl Hand {
    async fn run(self, wire: Wire, stop: Stop) {
        let kinds = kinds(wire.life.clone());
        let worker = Worker::bind(self.config, kinds, Arc::new(wire)).await.unwrap();
        self.addresses.lock().unwrap().insert(self.number, worker.local_addr());
        let outcome = worker.on(self.executor).run(stop).await;
        self.stage.state().speak(&format!("leaves: {outcome:?}"));
    }
}
