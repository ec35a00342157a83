//! Which of the workers with room gets the next task. Pure: loads come in, an index goes out.

use rand::{Rng, rngs::SmallRng};
use std::{fmt, str::FromStr};

/// The policy that picks a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Balance {
    /// Each in turn, as many tasks as it has slots.
    #[default]
    RoundRobin,
    /// The one with the fewest tasks a slot.
    LeastLoaded,
    /// The better of two drawn at random (Mitzenmacher, "The power of two choices in randomized load
    /// balancing", IEEE TPDS 12, 2001): nearly as even as `LeastLoaded` without looking at every worker.
    P2c,
}

/// The policies' names, as the command line spells them.
const NAMES: [(&str, Balance); 3] =
    [("round-robin", Balance::RoundRobin), ("least-loaded", Balance::LeastLoaded), ("p2c", Balance::P2c)];

impl FromStr for Balance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        NAMES.iter().find(|(name, _)| *name == text).map(|&(_, balance)| balance).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            format!("{text:?} is no balancer; there are {names}")
        })
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(_, balance)| balance == self).map_or("", |(name, _)| name))
    }
}

/// A worker that has room for another task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Which worker. Candidates are offered in ascending order of this.
    pub worker: usize,
    /// How many tasks it runs at a time; at least one.
    pub slots: u32,
    /// How many of our tasks it has.
    pub in_flight: u32,
}

impl Candidate {
    fn is_less_loaded_than(&self, other: &Self) -> bool {
        u64::from(self.in_flight) * u64::from(other.slots)
            < u64::from(other.in_flight) * u64::from(self.slots)
    }
}

/// A policy and its state.
#[derive(Debug)]
pub struct Balancer {
    balance: Balance,
    /// Round-robin: whose turn it is, and how many more tasks that worker gets before the next one's.
    turn: usize,
    credit: u32,
    rng: SmallRng,
}

impl Balancer {
    /// A balancer of this policy; `rng` decides what is left to chance.
    pub fn new(balance: Balance, rng: SmallRng) -> Self {
        Self { balance, turn: 0, credit: 0, rng }
    }

    /// Picks one of `candidates`: an index into it, or `None` where it is empty.
    pub fn pick(&mut self, candidates: &[Candidate]) -> Option<usize> {
        match self.balance {
            _ if candidates.is_empty() => None,
            Balance::RoundRobin => Some(self.next_in_turn(candidates)),
            Balance::LeastLoaded => Some(least_loaded(candidates)),
            Balance::P2c => {
                let first = self.rng.random_range(0..candidates.len());
                let second = self.rng.random_range(0..candidates.len());
                let better = candidates[second].is_less_loaded_than(&candidates[first]);
                Some(if better { second } else { first })
            }
        }
    }

    fn next_in_turn(&mut self, candidates: &[Candidate]) -> usize {
        let at = candidates.partition_point(|candidate| candidate.worker < self.turn);
        let index = if at == candidates.len() { 0 } else { at };
        let chosen = &candidates[index];
        if chosen.worker != self.turn || self.credit == 0 {
            // It is somebody else's turn than we thought, or a new one.
            self.turn = chosen.worker;
            self.credit = chosen.slots.max(1);
        }
        self.credit -= 1;
        if self.credit == 0 {
            self.turn = chosen.worker + 1;
        }
        index
    }
}

fn least_loaded(candidates: &[Candidate]) -> usize {
    let mut best = 0;
    for (index, candidate) in candidates.iter().enumerate() {
        if candidate.is_less_loaded_than(&candidates[best]) {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn balancer(balance: Balance) -> Balancer {
        Balancer::new(balance, SmallRng::seed_from_u64(1))
    }

    fn fleet() -> impl Strategy<Value = Vec<Candidate>> {
        proptest::collection::btree_map(0usize..100, (1u32..9, 0u32..50), 1..20).prop_map(|workers| {
            let candidate = |(worker, (slots, in_flight))| Candidate { worker, slots, in_flight };
            workers.into_iter().map(candidate).collect()
        })
    }

    proptest! {
        #[test]
        fn round_robin_gives_each_worker_its_slots_in_every_round(workers in fleet()) {
            let mut balancer = balancer(Balance::RoundRobin);
            let round: u32 = workers.iter().map(|worker| worker.slots).sum();
            for _ in 0..3 {
                let mut given = vec![0; workers.len()];
                for _ in 0..round {
                    given[balancer.pick(&workers).unwrap()] += 1;
                }
                prop_assert_eq!(given, workers.iter().map(|worker| worker.slots).collect::<Vec<_>>());
            }
        }

        #[test]
        fn least_loaded_picks_nobody_while_another_is_less_loaded(workers in fleet()) {
            let chosen = workers[balancer(Balance::LeastLoaded).pick(&workers).unwrap()];
            prop_assert!(!workers.iter().any(|other| other.is_less_loaded_than(&chosen)));
        }

        #[test]
        fn p2c_never_picks_the_single_most_loaded_when_the_other_is_drawn(seed: u64) {
            let worker = |worker, in_flight| Candidate { worker, slots: 1, in_flight };
            let workers = [worker(0, 10), worker(1, 0)];
            let mut balancer = Balancer::new(Balance::P2c, SmallRng::seed_from_u64(seed));
            let busy = (0..1000).filter(|_| balancer.pick(&workers) == Some(0)).count();
            // Only when both draws hit it: one time in four.
            prop_assert!((150..350).contains(&busy), "{}", busy);
        }

        #[test]
        fn every_policy_survives_workers_coming_and_going(fleets in proptest::collection::vec(fleet(), 1..30)) {
            for (_, balance) in NAMES {
                let mut balancer = balancer(balance);
                for workers in &fleets {
                    prop_assert!(balancer.pick(workers).unwrap() < workers.len());
                }
                prop_assert_eq!(balancer.pick(&[]), None);
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for (name, balance) in NAMES {
            assert_eq!((name.parse(), balance.to_string()), (Ok(balance), name.to_owned()));
        }
        assert!("fastest".parse::<Balance>().unwrap_err().contains("round-robin, least-loaded, p2c"));
    }
}
