//! A simulated world: machines on turmoil's network, stepped a millisecond at a time, with whatever the plan has in
//! store for them.
//!
//! Each step goes: faults begin and end, turmoil's turn (packets travel, cards work), then each process's, and the
//! oracle looks. When everybody has what they asked for, the world is left to come to rest and looked at once more.

mod blows;
mod rest;
mod weather;

use crate::{
    machine::{After, Machine, STEP},
    network::{Links, card},
    oracle::{End, Oracle, Tally},
    plan::Plan,
    programs::Programs,
    trace::Stage,
};
use blows::Running;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;
use turmoil::{Builder, Sim};
use weather::Weather;

/// What a run has shown.
#[derive(Default, Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) violations: Vec<String>,
    pub(crate) hash: u64,
    pub(crate) simulated: Duration,
    /// How long after the last fault everything was done.
    pub(crate) late: Duration,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) tally: Tally,
}

/// Something that is due at a certain time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    /// A fault of the plan begins.
    Begin(usize),
    /// It ends.
    End(usize),
    /// A process is started, if there is none.
    Start(usize),
}

/// A run's world.
struct World<'a> {
    plan: &'a Plan,
    stage: Stage,
    sim: Sim<'static>,
    machines: Vec<Machine>,
    programs: Programs<'a>,
    weather: Weather,
    due: BinaryHeap<Reverse<(u64, u32, Due)>>,
    dues: u32,
    now: u64,
    rng: SmallRng,
    /// The worker that runs on each machine, and how it is told to leave.
    workers: BTreeMap<usize, Running>,
    /// Since when nothing gets through between a client and a worker's machine, at least one way.
    cut_off: BTreeMap<(usize, usize), u64>,
    /// Machines whose workers have left for good.
    retired: Vec<usize>,
    /// Tells clients that they may go.
    leave: CancellationToken,
    faults: BTreeMap<&'static str, u64>,
}

/// Runs a seed's plan to its end. With `show`, the trace goes to standard output.
pub(crate) fn run(seed: u64, show: bool) -> Report {
    let plan = Plan::new(seed);
    let names = names(&plan);
    let stage = Stage::new(Oracle::new(&plan), names.clone(), show);
    let _listens = tracing::subscriber::set_default(stage.clone());
    let mut world = World::new(&plan, stage, &names);
    world.live();
    let late = Duration::from_millis(world.now - plan.healed.min(world.now));
    world.come_to_rest();
    let mut state = world.stage.state();
    Report {
        seed,
        violations: state.oracle.violations().to_vec(),
        hash: state.hash(),
        simulated: Duration::from_millis(world.now),
        late,
        faults: std::mem::take(&mut world.faults),
        tally: std::mem::take(&mut state.oracle.tally),
    }
}

fn names(plan: &Plan) -> Vec<String> {
    let of = |letter: &'static str, count: usize| (1..=count).map(move |number| format!("{letter}{number}"));
    of("n", plan.name_servers)
        .chain(of("w", plan.workers.len()))
        .chain(of("c", plan.clients.len()))
        .chain(["observer".to_owned()])
        .collect()
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, stage: Stage, names: &[String]) -> Self {
        let mut sim = Builder::new()
            .rng_seed(plan.seed)
            .tick_duration(STEP)
            .simulation_duration(Duration::MAX)
            .tcp_capacity(1024)
            .build();
        let links = Links::default();
        let mut machines = Vec::new();
        for name in names {
            let (orders, asked) = unbounded_channel();
            let ip = sim.lookup(name.as_str());
            sim.client(name.as_str(), card(asked, ip, links.clone()));
            machines.push(Machine::new(name.clone(), ip, orders));
        }
        let leave = CancellationToken::new();
        let programs = Programs::new(plan, &machines, stage.clone(), leave.clone());
        let weather = Weather::new(plan, &sim, &machines, links);
        let mut world = Self {
            plan,
            stage,
            sim,
            machines,
            programs,
            weather,
            due: BinaryHeap::new(),
            dues: 0,
            now: 0,
            rng: SmallRng::seed_from_u64(plan.seed ^ 0x5eed),
            workers: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            retired: Vec::new(),
            leave,
            faults: BTreeMap::new(),
        };
        plan.name_server_machines().for_each(|machine| world.at(0, Due::Start(machine)));
        plan.worker_machines()
            .zip(&plan.workers)
            .for_each(|(machine, host)| world.at(host.starts, Due::Start(machine)));
        plan.client_machines()
            .zip(&plan.clients)
            .for_each(|(machine, customer)| world.at(customer.starts, Due::Start(machine)));
        plan.faults.iter().enumerate().for_each(|(fault, &(at, _))| world.at(at, Due::Begin(fault)));
        world
    }

    fn at(&mut self, time: u64, due: Due) {
        self.dues += 1;
        self.due.push(Reverse((time, self.dues, due)));
    }

    /// Lets the plan take its course until everybody has what they asked for, or should have it.
    fn live(&mut self) {
        let end = self.plan.healed + self.plan.patience();
        while !self.stage.state().oracle.is_finished() || self.now < self.plan.healed {
            if self.now >= end {
                let patience = self.plan.patience() as f64 / 1e3;
                self.violation(&format!("the jobs are not done, {patience} s after the last fault"));
                return;
            }
            self.step();
        }
    }

    fn violation(&self, text: &str) {
        self.stage.state().oracle.violation(self.now, text);
    }

    fn step(&mut self) {
        self.now += 1;
        self.stage.state().now = self.now;
        while let Some(&Reverse((time, _, due))) = self.due.peek()
            && time <= self.now
        {
            self.due.pop();
            match due {
                Due::Begin(fault) => self.begin(fault),
                Due::End(fault) => self.end(fault),
                Due::Start(machine) => self.start(machine),
            }
        }
        if let Err(error) = self.sim.step() {
            self.violation(&format!("a network card failed: {error}"));
        }
        // Nobody is always first.
        let first = self.rng.random_range(0..self.machines.len());
        for turn in 0..self.machines.len() {
            self.tick((first + turn) % self.machines.len());
        }
        if self.now.is_multiple_of(100) {
            self.look();
        }
    }

    fn tick(&mut self, machine: usize) {
        self.stage.state().machine = machine;
        let after = self.machines[machine].tick(self.now);
        if after == After::Nothing {
            return;
        }
        self.stage.note(&format!("{} has {after:?}", self.machines[machine].name));
        let Some(running) = self.workers.remove(&machine) else { return };
        self.stage
            .state()
            .oracle
            .worker_ended(running.id, if after == After::Died { End::Poisoned } else { End::Left });
        if after == After::Died {
            *self.faults.entry("poison").or_default() += 1;
        }
        match running.told {
            Some(None) => self.retired.push(machine),
            Some(Some(back)) => self.at(self.now + back, Due::Start(machine)),
            // Somebody sees to it that it runs.
            None => {
                let host = &self.plan.workers[machine - self.plan.name_servers];
                self.at(self.now + host.restart, Due::Start(machine));
            }
        }
    }

    /// Starts what is to run on a machine, unless it does.
    fn start(&mut self, machine: usize) {
        if self.machines[machine].is_up() || self.retired.contains(&machine) {
            return;
        }
        self.stage.note(&format!("{} starts", self.machines[machine].name));
        self.stage.state().machine = machine;
        if let Some((id, stop)) = self.programs.start(machine, &mut self.machines[machine], &mut self.rng) {
            self.stage.state().oracle.worker_started(id, machine);
            self.workers.insert(machine, Running { id, stop, told: None });
        }
    }
}
