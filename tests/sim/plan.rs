//! What a seed decides: who there is, what they want done, and what befalls them when.
//!
//! A plan is data, made before anything runs, so that two runs of a seed meet the same world however the code under
//! test behaves. Times are in milliseconds of the simulation.

use crate::{
    faults::{Fault, draw},
    jobs::Work,
};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use sgdt_client::balance::Balance;
use std::ops::Range;

/// Everything that a seed decides.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) name_servers: usize,
    pub(crate) lease_ttl: u64,
    pub(crate) workers: Vec<Host>,
    pub(crate) clients: Vec<Customer>,
    /// Each machine's distance from the middle of the network; a link's latency is the sum of two.
    pub(crate) distances: Vec<u64>,
    /// What befalls them, in order.
    pub(crate) faults: Vec<(u64, Fault)>,
    /// From here on nothing is wrong any more.
    pub(crate) healed: u64,
}

/// A worker's machine.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) slots: u32,
    pub(crate) queue: usize,
    pub(crate) starts: u64,
    /// Whether a restart listens where its predecessor did.
    pub(crate) same_port: bool,
    /// How soon whoever supervises it starts a process that has died.
    pub(crate) restart: u64,
}

/// A client and its tasks.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) starts: u64,
    pub(crate) balance: Balance,
    /// One stream of tasks, or a handle for each.
    pub(crate) streams: bool,
    /// Whether it waits for a worker first.
    pub(crate) waits: bool,
    /// The time between two tasks.
    pub(crate) pace: u64,
    pub(crate) jobs: Vec<Job>,
    /// Whether it vanishes, so that nobody is to work for it any more. Its tasks are long then.
    pub(crate) vanishes: bool,
}

/// A task as it is planned.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) work: Work,
    /// How long its kernel takes.
    pub(crate) ms: u64,
    /// When its handle is dropped, counted from its submission.
    pub(crate) cancelled: Option<u64>,
}

impl Plan {
    /// The plan of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let rng = &mut rng;
        let name_servers = rng.random_range(1..=2);
        let fleet = rng.random_range(2..=6);
        let workers: Vec<_> = (0..fleet).map(|index| host(rng, index)).collect();
        // One who vanishes is beside others, who must not suffer from it.
        let vanisher = rng.random_bool(0.3);
        let others = rng.random_range(1..=if vanisher { 2 } else { 3 });
        let poison = if rng.random_bool(0.4) { rng.random_range(1..=2) } else { 0 };
        let mut clients: Vec<_> = (0..others).map(|_| customer(rng)).collect();
        for _ in 0..poison {
            let unlucky = rng.random_range(0..clients.len());
            let at = rng.random_range(0..clients[unlucky].jobs.len());
            clients[unlucky].jobs[at] =
                Job { work: Work::Poison, ms: rng.random_range(1..100), cancelled: None };
        }
        if vanisher {
            let mut vanisher = customer(rng);
            vanisher.vanishes = true;
            // Whoever went on with these would be seen to.
            vanisher.jobs.iter_mut().for_each(|job| job.ms = job.ms.max(600_000));
            clients.push(vanisher);
        }
        let machines = name_servers + workers.len() + clients.len() + 1;
        let far = rng.random_range(0..=5);
        let distances = (0..machines).map(|_| rng.random_range(0..=far)).collect();
        let mut plan = Self {
            seed,
            name_servers,
            lease_ttl: *[2000, 3000, 5000].choose(rng).unwrap(),
            workers,
            clients,
            distances,
            faults: Vec::new(),
            healed: 0,
        };
        plan.faults = draw(&plan, poison > 0, rng);
        plan.faults.sort_by_key(|&(at, _)| at);
        plan.healed = plan.faults.iter().map(|(at, fault)| at + fault.lasts()).max().unwrap_or(0);
        plan
    }

    /// The machines by what runs on them, in the order in which the world numbers them. The last is the observer's.
    pub(crate) fn name_server_machines(&self) -> Range<usize> {
        0..self.name_servers
    }

    /// See [`name_server_machines`](Self::name_server_machines).
    pub(crate) fn worker_machines(&self) -> Range<usize> {
        self.name_servers..self.name_servers + self.workers.len()
    }

    /// See [`name_server_machines`](Self::name_server_machines).
    pub(crate) fn client_machines(&self) -> Range<usize> {
        let first = self.worker_machines().end;
        first..first + self.clients.len()
    }

    /// How long the work may take at most once nothing is wrong any more: what there is of it, by one slot, and what
    /// ejection, backoff, leases and the search for a poison task may add.
    pub(crate) fn patience(&self) -> u64 {
        let work = |customer: &Customer| customer.jobs.iter().map(|job| job.ms + customer.pace).sum::<u64>();
        60_000 + self.clients.iter().filter(|customer| !customer.vanishes).map(work).sum::<u64>()
    }
}

fn host(rng: &mut SmallRng, index: usize) -> Host {
    Host {
        slots: rng.random_range(1..=3),
        // Small ones are full now and then.
        queue: *[1, 4, 4096].choose(rng).unwrap(),
        // The first two are there from the start; some of the others come in the middle of things.
        starts: if index >= 2 && rng.random_bool(0.3) {
            rng.random_range(1000..8000)
        } else {
            rng.random_range(0..200)
        },
        same_port: rng.random_bool(0.5),
        restart: rng.random_range(100..3000),
    }
}

fn customer(rng: &mut SmallRng) -> Customer {
    let tasks = rng.random_range(20..=150);
    let streams = rng.random_bool(0.5);
    let typical = *[5, 40, 150].choose(rng).unwrap();
    let mut jobs: Vec<_> = (0..tasks)
        .map(|_| {
            let work = Work::draw(rng);
            // Mostly short ones, with a long one now and then.
            let most = if rng.random_bool(0.05) { 2000 } else { typical * 2 };
            let ms = if work == Work::Overdue { 3000 } else { rng.random_range(1..=most) };
            let cancelled = (!streams && rng.random_bool(0.08)).then(|| rng.random_range(0..400));
            Job { work, ms, cancelled }
        })
        .collect();
    if rng.random_bool(0.2) {
        // An even job, whose stragglers are none of the tasks' own making.
        jobs.iter_mut().filter(|job| job.work != Work::Overdue).for_each(|job| job.ms = typical);
    }
    Customer {
        starts: rng.random_range(0..500),
        balance: *[Balance::RoundRobin, Balance::LeastLoaded, Balance::P2c].choose(rng).unwrap(),
        streams,
        waits: rng.random_bool(0.5),
        pace: *[0, 0, 20, 60].choose(rng).unwrap(),
        jobs,
        vanishes: false,
    }
}
