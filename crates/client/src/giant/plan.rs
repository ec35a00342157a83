//! Where a task is computed best, and in how many pieces: a cost model, without I/O.
//!
//! A way to compute a task has parts: bytes that are written to a file in the end, bytes that cross the client's link and the
//! trips they take, work that pieces share, work that one piece does in the end, what this process does itself, such as cutting
//! a list into ranges or writing a number's digits, and what it does for each piece. Transfer and shared work overlap as far as there are several rounds of pieces: of
//! the shorter of the two, one round does not.
//!
//! What pieces have in common is sent to each worker once, so the bytes depend on how many workers there are, and pieces
//! beyond one a worker add little to them.
//!
//! For square matrices of N rows, workers of one slot, a piece for each, and without overlap, time is least with
//! p* = (2 N b / (s R))^(2/3) workers, for b bytes a second on the client's link, s bytes an element, and R flop/s a
//! worker: compute time shrinks as 1/p, while the bytes sent grow as the square root of p. More workers than that do not
//! pay.

mod choice;
mod explain;
mod task;

pub use choice::{Choice, InvalidChoice};
pub use explain::{Explanation, LocalRun, Spilled};
pub use task::Task;

use super::Limits;

/// How fast somebody computes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Power {
    /// How many pieces at a time.
    pub slots: u32,
    /// Units of work that one slot does in a second: see [`Task`].
    pub rate: f64,
}

/// How fast a cluster can be reached.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Link {
    /// Bytes a second, both ways together.
    pub bytes: f64,
    /// How long an empty task takes, in seconds.
    pub round_trip: f64,
    /// How many workers it leads to, each with one slot or several. What they are sent, all their slots have.
    pub workers: u32,
}

impl Default for Link {
    /// What a loopback or a fast network gives at least, to one worker.
    fn default() -> Self {
        Self { bytes: 1e9, round_trip: 5e-4, workers: 1 }
    }
}

/// What is known about who could compute a task.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rates {
    /// This process.
    pub here: Power,
    /// The workers, and the way there, if they were asked.
    pub cluster: Option<(Power, Link)>,
    /// Whether workers were so busy that they did not answer in time.
    pub is_busy: bool,
}

/// Who computes a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// This process.
    Here,
    /// The workers.
    Cluster,
}

/// A way to compute a task.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plan {
    /// Who computes it.
    pub place: Place,
    /// In how many pieces; one is the whole task.
    pub pieces: u32,
    /// How long it takes, in seconds.
    pub seconds: f64,
}

impl Plan {
    /// Whether it is faster by so much that predictions, which are not that good, can be believed.
    pub fn is_clearly_faster(&self, other: &Self) -> bool {
        self.seconds < 0.8 * other.seconds
    }
}

/// The ways to compute a task.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plans {
    /// In this process, in as many pieces as is best.
    pub local: Plan,
    /// As a whole on one worker, and in as many pieces as is best on all of them, if there are any.
    pub cluster: Option<(Plan, Plan)>,
}

/// There are never more pieces than this for each slot: more only cost.
const ROUNDS: u32 = 4;

/// And never more than this.
const MOST: u32 = 4096;

impl Plans {
    /// Predicts each way.
    pub fn of(task: &Task, rates: &Rates, limits: &Limits) -> Self {
        let here = |pieces| seconds(task, rates, rates.here, None, pieces, limits);
        let whole = Plan { place: Place::Here, pieces: 1, seconds: here(1) };
        let local = best(whole, rates.here.slots, 1, here);
        let cluster = rates.cluster.map(|(power, link)| {
            let on = |pieces| seconds(task, rates, power, Some(link), pieces, limits);
            let one = Plan { place: Place::Cluster, pieces: 1, seconds: on(1) };
            let two = Plan { pieces: 2, seconds: on(2), ..one };
            (one, best(two, power.slots, ROUNDS, on))
        });
        Self { local, cluster }
    }

    /// The fastest. This process, where no other is clearly faster.
    pub fn fastest(&self) -> Plan {
        let others = self.cluster.iter().flat_map(|(one, split)| [*one, *split]);
        let best = others.min_by(|a, b| a.seconds.total_cmp(&b.seconds));
        best.filter(|plan| plan.is_clearly_faster(&self.local)).unwrap_or(self.local)
    }

    /// The task in so many pieces on the workers, predicted.
    pub fn split(task: &Task, rates: &Rates, limits: &Limits, pieces: u32) -> Option<Plan> {
        let (power, link) = rates.cluster?;
        let seconds = seconds(task, rates, power, Some(link), pieces, limits);
        Some(Plan { place: Place::Cluster, pieces, seconds })
    }
}

/// The best of `first` and of more pieces: up to so many rounds, by quarters of a round.
fn best(first: Plan, slots: u32, rounds: u32, seconds: impl Fn(u32) -> f64) -> Plan {
    let counts = (1..=4 * u64::from(rounds)).map(|quarters| u64::from(slots) * quarters / 4);
    let counts = counts.filter_map(|count| u32::try_from(count).ok().filter(|&count| count <= MOST));
    let plans = counts.filter(|&pieces| pieces > first.pieces);
    let plans = plans.map(|pieces| Plan { pieces, seconds: seconds(pieces), ..first });
    plans.fold(first, |best, plan| if plan.seconds < best.seconds { plan } else { best })
}

/// How long so many pieces take.
fn seconds(
    task: &Task,
    rates: &Rates,
    power: Power,
    link: Option<Link>,
    pieces: u32,
    limits: &Limits,
) -> f64 {
    let bytes = limits.memory / (u64::from(power.slots) + 1);
    let phases = task.phases(pieces, bytes, link.map(|link| link.workers));
    // What other slots a worker has, and whether they are idle, is not known.
    let threads = if pieces == 1 && link.is_none() { power.slots } else { 1 };
    let rounds = (phases.pieces / f64::from(power.slots.max(1))).ceil().max(1.0);
    let shared = phases.shared / phases.pieces * rounds / (power.rate * task.speedup(threads));
    let (transfer, trips) =
        link.map_or((0.0, 0.0), |link| (phases.bytes / link.bytes, link.round_trip * phases.trips));
    // Where kernels are slower than usual, so is everything else.
    let slower = (task.usual_rate() / rates.here.rate).max(1.0);
    phases.files / task::FILES
        + phases.client * slower
        + phases.pieces * task::PIECE
        + shared.max(transfer)
        + shared.min(transfer) / rounds
        + phases.last / power.rate
        + phases.here / (rates.here.rate * task.speedup(rates.here.slots))
        + trips
}

#[cfg(test)]
mod tests;
