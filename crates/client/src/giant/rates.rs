//! What the cost model needs to know, measured: a few short tasks, which take some tenths of a second. Workers that are busy
//! for longer are not waited for, and taken to be as slow as they were for so long.
//!
//! Who computes is asked as many at a time as there are slots, because workers on one machine share its cores and
//! are slower together; and again, because a process computes its first tasks at half its speed, in memory that is new.
//! What cannot be measured is taken to be as usual.

use super::{
    Hands, Limits,
    plan::{Link, Power, Rates, Task},
};
use crate::dispatch::{TaskResult, TaskSpec};
use futures::future::join_all;
use serde::Serialize;
use sgdt_proto::{
    buffer::Buffer,
    kind::{
        factorial,
        matmul::{self, Operand},
        random,
        sort::{self, Keys, Number},
    },
};
use tokio::time::{Duration, Instant, timeout_at};

/// At most so many slots are asked.
const ASKED: u32 = 16;
/// How often each, unless that takes too long.
const ROUNDS: u32 = 4;
/// After this long no round is begun but the second: the first one alone says too little.
const LONG: Duration = Duration::from_millis(100);
/// How long a cluster is waited for in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// The side of the matrices that are multiplied.
const SIDE: u64 = 512;
/// How many numbers are made and sorted, and how many bytes of lines.
const NUMBERS: u64 = 1 << 19;
const LINES: u64 = 1 << 20;
/// Whose factorial is computed, and how long the usual core takes for it, in seconds.
const FACTORIAL: u64 = 30_000;
const FACTORIAL_SECONDS: f64 = 4.8e-3;
/// How many bytes go there and back.
const PAYLOAD: usize = 4 << 20;

/// Measures this process and, if there is one, a cluster.
pub async fn measure(task: &Task, here: &Hands, cluster: Option<&Hands>, limits: Limits) -> Rates {
    let cluster = match cluster {
        Some(hands) => {
            let end = Instant::now() + PATIENCE;
            let power = power(task, hands, limits, end).await;
            Some((power, link(hands, limits, end).await.unwrap_or_else(|| usual_link(hands))))
        }
        None => None,
    };
    Rates { here: power(task, here, limits, Instant::now() + PATIENCE).await, cluster }
}

/// What is known without measuring: how many workers and slots there are.
pub fn usual(task: &Task, here: &Hands, cluster: Option<&Hands>) -> Rates {
    let power = |hands: &Hands| Power { slots: hands.slots().max(1), rate: task.usual_rate() };
    Rates { here: power(here), cluster: cluster.map(|hands| (power(hands), usual_link(hands))) }
}

fn usual_link(hands: &Hands) -> Link {
    Link { workers: hands.workers().unwrap_or(1), ..Link::default() }
}

async fn power(task: &Task, hands: &Hands, limits: Limits, end: Instant) -> Power {
    let slots = hands.slots().max(1);
    let (spec, work) = probe(task, limits);
    let (begun, mut rate) = (Instant::now(), 0.0f64);
    if let Some(spec) = spec {
        for round in 1..=ROUNDS {
            let asked = (0..slots.min(ASKED)).map(|_| hands.run(spec.clone()));
            let Ok(results) = timeout_at(end, join_all(asked)).await else {
                rate = rate.max(work / PATIENCE.as_secs_f64());
                break;
            };
            let done = results.into_iter().flatten().filter(|result| result.output.is_ok());
            let (count, run) = done.fold((0.0, 0.0), |(count, sum), TaskResult { run, .. }| {
                (count + 1.0, sum + run.as_secs_f64())
            });
            // The fastest: whatever else goes on makes them slower, never faster.
            rate = rate.max(if run > 0.0 { work * count / run } else { 0.0 });
            if count == 0.0 || round > 1 && begun.elapsed() > LONG {
                break;
            }
        }
    }
    Power { slots, rate: if rate > 0.0 { rate } else { task.usual_rate() } }
}

/// A short task of the kind, and how much work it is.
fn probe(task: &Task, limits: Limits) -> (Option<TaskSpec>, f64) {
    match task {
        Task::Matmul { element, .. } => {
            let operand = |seed| Operand::Random { element: *element, shape: [SIDE, SIDE], seed };
            let input = matmul::Input { a: operand(1), b: operand(2), summary: true };
            (spec(matmul::KIND, &input, limits), Task::product([SIDE; 3]))
        }
        Task::Numbers { .. } => {
            let keys = Keys::Random { number: Number::I64, len: NUMBERS, seed: 1 };
            (spec(sort::KIND, &sorted(keys), limits), 8.0 * NUMBERS as f64)
        }
        Task::Lines { .. } => {
            let lines = (0..LINES / 17).map(|index| format!("{:016x}\n", random::word(1, index)));
            let keys = Keys::Lines(lines.collect::<String>().into_bytes().into());
            (spec(sort::KIND, &sorted(keys), limits), LINES as f64)
        }
        Task::Factorial { .. } => {
            let input = factorial::Input { n: FACTORIAL, summary: false };
            (spec(factorial::KIND, &input, limits), FACTORIAL_SECONDS)
        }
    }
}

async fn link(hands: &Hands, limits: Limits, end: Instant) -> Option<Link> {
    let zeros = |bytes: usize| {
        let buffer = Buffer::from_scalars(vec![0u64; bytes / size_of::<u64>()]);
        Keys::Numbers { number: Number::I64, buffer }
    };
    let measured = async |bytes| {
        let measured = timeout_at(end, there_and_back(hands, zeros(bytes), limits)).await;
        measured.unwrap_or(Some(PATIENCE.as_secs_f64()))
    };
    let round_trip = measured(0).await?;
    let loaded = measured(PAYLOAD).await?;
    Some(Link { bytes: bandwidth(round_trip, loaded), round_trip, ..usual_link(hands) })
}

/// Bytes a second, of how long the way there and back takes without a payload and with one. Where a worker was busy for the
/// first, it tells nothing of the second.
fn bandwidth(round_trip: f64, loaded: f64) -> f64 {
    let payload = if loaded > round_trip { loaded - round_trip } else { loaded };
    2.0 * PAYLOAD as f64 / payload.max(1e-6)
}

/// How long it takes to send keys and to have them back, sorted, less the time that the sort takes. Seconds.
async fn there_and_back(hands: &Hands, keys: Keys, limits: Limits) -> Option<f64> {
    let input = sort::Input { keys, descending: false, summary: false };
    let spec = spec(sort::KIND, &input, limits)?;
    let sent = Instant::now();
    let TaskResult { run, output, .. } = hands.run(spec).await.ok()?;
    output.ok()?;
    Some(sent.elapsed().saturating_sub(run).as_secs_f64())
}

fn sorted(keys: Keys) -> sort::Input {
    sort::Input { keys, descending: false, summary: true }
}

fn spec(kind: &str, input: &impl Serialize, limits: Limits) -> Option<TaskSpec> {
    let spec = TaskSpec::packed(kind.parse().ok()?, input).ok()?;
    Some(TaskSpec { timeout: limits.timeout, ..spec })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::LocalKernels;
    use sgdt_proto::kind::matmul::Element;

    #[test]
    fn a_busy_worker_makes_no_link_fast() {
        let moved = 2.0 * PAYLOAD as f64;
        assert_eq!(bandwidth(0.5, 1.5), moved);
        for round_trip in [5.0, 6.0] {
            assert_eq!(bandwidth(round_trip, 5.0), moved / 5.0);
        }
    }

    #[tokio::test]
    async fn every_kind_can_be_measured() {
        let hands = Hands::Local(LocalKernels::new());
        for task in [
            Task::Matmul { shape: [1, 1, 1], element: Element::F64 },
            Task::Matmul { shape: [1, 1, 1], element: Element::F32 },
            Task::Numbers { bytes: 1 },
            Task::Lines { bytes: 1 },
            Task::Factorial { n: 1, decimal: true },
        ] {
            let Rates { here, cluster } = measure(&task, &hands, Some(&hands), Limits::default()).await;
            let (there, link) = cluster.unwrap();
            for power in [here, there] {
                assert!(power.slots >= 1 && power.rate > 0.0 && power.rate != task.usual_rate(), "{power:?}");
            }
            assert!(link.bytes > 0.0 && link != Link::default(), "{link:?}");
        }
    }
}
