//! Everything at once, in any order; then the faults stop, and every task must finish soon.

use super::{fake::done, ms, world::World};
use crate::{
    balance::Balance,
    retry::{Cause, RetryPolicy},
};
use proptest::prelude::*;
use sgdt_proto::{
    id::{Attempt, AttemptKey, WorkerId},
    task::{Completed, ErrorCode, Refusal, Reply, TaskError},
};

/// The kinds that a worker may serve, as its steps name them. Nobody serves the last.
const KINDS: [&str; 3] = ["a", "b", "c"];
const SERVED: [&[&str]; 3] = [&["a", "b"], &["a"], &["b"]];

/// Numbers stand for whichever worker or task that is there, counted round.
#[derive(Clone, Debug)]
enum Step {
    Submit(usize, u64),
    Cancel(u64),
    Join(u32, usize),
    Up(usize),
    Lose(usize, Cause),
    Leave(usize),
    Return(usize),
    Suspect(usize),
    Pong(usize, u64),
    Drain(usize),
    /// A worker comes to the end of one of those that it runs. Its reply is under way.
    Run(usize, usize, u64),
    /// A kernel says that it was cancelled.
    Abandon(usize, usize),
    /// Any reply under way arrives, and maybe again later.
    Deliver(usize, usize, bool),
    Forge(usize, usize, u32),
    Refuse(usize, usize, Refusal),
    CallFails(usize),
    GiveBack(usize, usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let cause = prop_oneof![3 => Just(Cause::ConnectionLost), 1 => Just(Cause::Hung)];
    let refusals = [Refusal::Overloaded, Refusal::Draining, Refusal::Recalled, Refusal::Unknown];
    let (w, i) = (0..8usize, 0..64usize);
    prop_oneof![
        6 => (0..20usize, 1..12u64).prop_map(|(kind, tasks)| Submit(if kind == 0 { 2 } else { kind % 2 }, tasks)),
        2 => (0..200u64).prop_map(Cancel),
        3 => (1..4u32, 0..3usize).prop_map(|(slots, kinds)| Join(slots, kinds)),
        8 => w.clone().prop_map(Up),
        4 => (w.clone(), cause).prop_map(|(worker, cause)| Lose(worker, cause)),
        1 => w.clone().prop_map(Leave),
        1 => w.clone().prop_map(Return),
        1 => w.clone().prop_map(Suspect),
        2 => (w.clone(), 0..300u64).prop_map(|(worker, round_trip)| Pong(worker, round_trip)),
        1 => w.clone().prop_map(Drain),
        20 => (w.clone(), i.clone(), 0..3000u64).prop_map(|(worker, task, run)| Run(worker, task, run)),
        1 => (w.clone(), i.clone()).prop_map(|(worker, task)| Abandon(worker, task)),
        20 => (w.clone(), i.clone(), any::<bool>()).prop_map(|(worker, at, keep)| Deliver(worker, at, keep)),
        1 => (w.clone(), i.clone(), 0..4u32).prop_map(|(worker, at, attempt)| Forge(worker, at, attempt)),
        4 => (w.clone(), i, 0..4usize).prop_map(move |(worker, at, why)| Refuse(worker, at, refusals[why])),
        2 => w.clone().prop_map(CallFails),
        4 => (w, 0..4usize).prop_map(|(worker, most)| GiveBack(worker, most)),
        8 => prop_oneof![3 => 1..100u64, 1 => 100..3000u64].prop_map(Pass),
    ]
}

/// Those that have left, to come back.
type Gone = Vec<(WorkerId, u32, usize)>;

impl World {
    fn nth(&self, worker: usize) -> Option<WorkerId> {
        self.fakes.keys().nth(worker % self.fakes.len().max(1)).copied()
    }

    /// Moves an attempt from those that a worker runs to its replies.
    fn end(&mut self, id: WorkerId, at: usize, reply: Reply) {
        let fake = self.fake(id);
        let running = fake.slots.min(fake.held.len());
        if running > 0 {
            let key = fake.held.remove(at % running);
            fake.transit.push((key, reply));
        }
    }

    fn deliver(&mut self, id: WorkerId, at: usize, keep: bool) {
        let fake = self.fake(id);
        if !fake.transit.is_empty() {
            let at = at % fake.transit.len();
            let (key, reply) = if keep { fake.transit[at].clone() } else { fake.transit.remove(at) };
            self.reply(id, key, reply);
        }
    }

    fn take(&mut self, step: Step, gone: &mut Gone) {
        let (Step::Up(worker)
        | Step::Lose(worker, _)
        | Step::Leave(worker)
        | Step::Suspect(worker)
        | Step::Pong(worker, _)
        | Step::Drain(worker)
        | Step::Run(worker, ..)
        | Step::Abandon(worker, _)
        | Step::Deliver(worker, ..)
        | Step::Forge(worker, ..)
        | Step::Refuse(worker, ..)
        | Step::CallFails(worker)
        | Step::GiveBack(worker, _)) = step
        else {
            match step {
                Step::Submit(kind, tasks) => drop(self.submit_as(KINDS[kind], tasks)),
                Step::Cancel(task) if self.submitted > 0 => self.cancel(task % self.submitted),
                Step::Join(slots, kinds) if self.fakes.len() < 8 => {
                    let id = self.announce(slots, SERVED[kinds]);
                    gone.push((id, slots, kinds));
                }
                Step::Return(worker) if !gone.is_empty() => {
                    let (id, slots, kinds) = gone[worker % gone.len()];
                    if !self.fakes.contains_key(&id) {
                        self.announce_as(id, slots, SERVED[kinds]);
                    }
                }
                Step::Pass(span) => self.pass(ms(span)),
                _ => {}
            }
            return;
        };
        let Some(id) = self.nth(worker) else { return };
        let (now, connected) = (self.now, self.fakes[&id].connected);
        match step {
            Step::Up(_) if !connected => self.up(id),
            Step::Lose(_, cause) if connected => self.lose(id, &cause),
            Step::Leave(_) => self.leave(id),
            Step::Suspect(_) if connected => self.core.suspect(id),
            Step::Pong(_, round_trip) if connected => self.core.pong(id, ms(round_trip)),
            Step::Drain(_) => {
                let info = self.core.fleet.get_mut(id).unwrap().info.clone();
                self.core.joined(info, true);
            }
            Step::Run(_, at, run) => self.end(id, at, done(ms(run))),
            Step::Abandon(_, at) => {
                let result = Err(TaskError::new(ErrorCode::Cancelled, "cancelled"));
                self.end(id, at, Reply::Done(Completed { run_us: 1, result }));
            }
            Step::Deliver(_, at, keep) => self.deliver(id, at, keep),
            Step::Forge(_, at, attempt) => {
                if let Some(&key) = self.fakes[&id].held.get(at) {
                    let forged = AttemptKey { attempt: Attempt(attempt), ..key };
                    if forged != key {
                        self.core.reply(id, forged, done(ms(1)), now);
                    }
                }
            }
            Step::Refuse(_, at, refusal) => {
                let held = self.at(id);
                if let Some(&task) = held.get(at % held.len().max(1)) {
                    self.refuse(id, task, refusal);
                }
            }
            Step::CallFails(_) => {
                for key in self.fakes[&id].held.clone() {
                    self.core.call_failed(id, key, &Cause::Rpc("broken".to_owned()), now);
                }
            }
            Step::GiveBack(_, most) if !self.fakes[&id].recalls.is_empty() => self.give_back(id, most),
            _ => {}
        }
        self.act();
    }

    /// The faults stop: everybody comes back and answers, and runs what it has.
    fn heal(&mut self) {
        let ids: Vec<_> = self.fakes.keys().copied().collect();
        for id in ids {
            if self.fakes[&id].connected {
                self.core.pong(id, ms(1));
                self.act();
            } else {
                self.up(id);
            }
        }
        let healthy = self.announce(2, SERVED[0]);
        self.up(healthy);
        for _ in 0..400 {
            for id in self.fakes.keys().copied().collect::<Vec<_>>() {
                while !self.fakes[&id].recalls.is_empty() {
                    self.give_back(id, usize::MAX);
                }
                (0..self.fakes[&id].slots).for_each(|_| self.end(id, 0, done(ms(10))));
                while !self.fakes[&id].transit.is_empty() {
                    self.deliver(id, 0, false);
                }
            }
            if self.core.is_idle() {
                return;
            }
            self.pass(ms(50));
        }
        panic!(
            "not done after twenty seconds: {} tasks, sent {:?}",
            self.core.tasks.iter().count(),
            self.sent
        );
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_task_finishes_once_and_leaves_nothing_behind(
        balance in prop_oneof![Just(Balance::RoundRobin), Just(Balance::LeastLoaded), Just(Balance::P2c)],
        (max_attempts, max_deaths, alone_from) in (2..8u32, 1..4u32, 0..4u32),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::with(RetryPolicy { max_attempts, max_deaths, alone_from }, balance);
        let mut gone = Vec::new();
        world.take(Step::Join(2, 0), &mut gone);
        world.take(Step::Up(0), &mut gone);
        for step in steps {
            world.take(step, &mut gone);
        }
        world.heal();
        prop_assert_eq!(world.results.len() + world.cancelled.len(), world.submitted as usize);
        prop_assert!(world.core.suspects.is_empty());
        for (_, worker) in &world.core.fleet.workers {
            prop_assert_eq!((worker.load(), worker.sole), (0, None));
        }
    }
}
