//! What the cost model needs to know, measured: a few short tasks, which take some tenths of a second. Slots that do not answer
//! in two seconds and a half are busy, and count as none, unless others answer for them; where no slot answers, the cluster is as
//! slow as that. So is the link, where an empty task or a payload takes as long.
//!
//! Who computes is asked as many at a time as there are slots, because workers on one machine share its cores and
//! are slower together; and again, because a process computes its first tasks at half its speed, in memory that is new.
//! What cannot be measured is taken to be as usual.

use super::{
    Hands, Limits,
    plan::{Link, Power, Rates, Task},
};
use crate::dispatch::{TaskResult, TaskSpec};
use futures::{StreamExt, stream::FuturesUnordered};
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
use tokio::time::{Duration, Instant, timeout, timeout_at};

/// At most so many slots are asked.
const ASKED: u32 = 16;
/// How often each, unless that takes too long.
const ROUNDS: u32 = 4;
/// After this long no round is begun but the second: the first one alone says too little.
const LONG: Duration = Duration::from_millis(100);
/// How long is waited for what computes, and for each of the two trips that tell the link to it.
const PATIENCE: Duration = Duration::from_millis(2500);
/// After this long without an answer to an empty task another slot is asked, or sooner, so that all are.
const HEDGE: Duration = Duration::from_millis(300);
/// The same for one with a payload, which takes its share of the link: so four others are asked at most, and none unless
/// slots are known to be busy.
const LOADED_HEDGE: Duration = Duration::from_millis(600);
/// The side of the matrices that are multiplied.
const SIDE: u64 = 512;
/// How many numbers are made and sorted, and how many bytes of lines.
const NUMBERS: u64 = 1 << 19;
const LINES: u64 = 1 << 20;
/// Whose factorial is computed, and how long the usual core takes for it, in seconds. It is too small for transforms, which
/// would take too long for a probe: where there is no AVX-512, large ones take longer than it lets expect.
const FACTORIAL: u64 = 30_000;
const FACTORIAL_SECONDS: f64 = 4.8e-3;
/// How many bytes go there and back.
const PAYLOAD: usize = 4 << 20;

/// Measures this process and, if there is one, a cluster.
pub async fn measure(task: &Task, here: &Hands, cluster: Option<&Hands>, limits: Limits) -> Rates {
    let (cluster, is_busy) = match cluster {
        Some(hands) => {
            let (power, is_busy) = power(task, hands, limits).await;
            let link = link(hands, limits, is_busy).await.unwrap_or_else(|| usual_link(hands));
            let is_busy = is_busy || link.round_trip >= PATIENCE.as_secs_f64();
            (Some((power, link)), is_busy)
        }
        None => (None, false),
    };
    Rates { here: power(task, here, limits).await.0, cluster, is_busy }
}

/// What is known without measuring: how many workers and slots there are.
pub fn usual(task: &Task, here: &Hands, cluster: Option<&Hands>) -> Rates {
    let power = |hands: &Hands| Power { slots: hands.slots().max(1), rate: task.usual_rate() };
    Rates {
        here: power(here),
        cluster: cluster.map(|hands| (power(hands), usual_link(hands))),
        is_busy: false,
    }
}

fn usual_link(hands: &Hands) -> Link {
    Link { workers: hands.workers().unwrap_or(1), ..Link::default() }
}

/// What computes, and whether some of it is busy.
async fn power(task: &Task, hands: &Hands, limits: Limits) -> (Power, bool) {
    let slots = hands.slots().max(1);
    let (spec, work) = probe(task, limits);
    let usual = Power { slots, rate: task.usual_rate() };
    let Some(spec) = spec else { return (usual, false) };
    let begun = Instant::now();
    let (asked, end) = (slots.min(ASKED), begun + PATIENCE);
    let (mut rate, mut answered) = (0.0f64, asked);
    for round in 1..=ROUNDS {
        let mut results: FuturesUnordered<_> = (0..asked).map(|_| hands.run(spec.clone())).collect();
        let (mut count, mut run) = (0, 0.0);
        while let Ok(Some(result)) = timeout_at(end, results.next()).await {
            if let Ok(TaskResult { run: took, output: Ok(_), .. }) = result {
                (count, run) = (count + 1, run + took.as_secs_f64());
            }
        }
        // The fastest: whatever else goes on makes them slower, never faster.
        rate = rate.max(if run > 0.0 { work * f64::from(count) / run } else { 0.0 });
        // A later round that is cut off by the clock only says that they are slow.
        if round == 1 {
            answered = asked - u32::try_from(results.len()).unwrap_or(0);
        }
        if count == 0 || answered < asked || round > 1 && begun.elapsed() > LONG {
            break;
        }
    }
    let is_busy = answered < asked;
    let slots = if is_busy { share(slots, answered, asked) } else { slots };
    let slowest = if is_busy { work / PATIENCE.as_secs_f64() } else { usual.rate };
    (Power { slots, rate: if rate > 0.0 { rate } else { slowest } }, is_busy)
}

/// How many slots answer, when so many of those that were asked did.
fn share(slots: u32, answered: u32, asked: u32) -> u32 {
    let share = u64::from(slots) * u64::from(answered) / u64::from(asked);
    u32::try_from(share).unwrap_or(slots).max(1)
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

async fn link(hands: &Hands, limits: Limits, is_busy: bool) -> Option<Link> {
    let zeros = |bytes: usize| {
        let buffer = Buffer::from_scalars(vec![0u64; bytes / size_of::<u64>()]);
        Keys::Numbers { number: Number::I64, buffer }
    };
    let asks = hands.slots().clamp(1, ASKED);
    let measured = async |bytes, asks, hedge| {
        timeout(PATIENCE, hedged(|| there_and_back(hands, zeros(bytes), limits), asks, hedge)).await
    };
    let patience = PATIENCE.as_secs_f64();
    let slow = Link { bytes: bandwidth(0.0, patience), round_trip: patience, ..usual_link(hands) };
    let Ok(round_trip) = measured(0, asks, hedge(asks)).await else { return Some(slow) };
    let round_trip = round_trip?;
    let asks = if is_busy { asks } else { 1 };
    let Ok(loaded) = measured(PAYLOAD, asks, LOADED_HEDGE).await else {
        return Some(Link { round_trip, ..slow });
    };
    Some(Link { bytes: bandwidth(round_trip, loaded?), round_trip, ..slow })
}

/// After how long another slot is asked, so that so many are in time.
fn hedge(asks: u32) -> Duration {
    HEDGE.min(PATIENCE / (asks + 1))
}

/// The first answer, when one more is asked each time that none has come for so long (Dean and Barroso, "The tail at
/// scale", Communications of the ACM 2013). Nothing where all that were asked have failed.
async fn hedged<T>(ask: impl AsyncFn() -> Option<T>, most: u32, hedge: Duration) -> Option<T> {
    let mut asked = FuturesUnordered::new();
    for left in (0..most).rev() {
        asked.push(ask());
        let answer = async {
            while let Some(answer) = asked.next().await {
                if answer.is_some() {
                    return answer;
                }
            }
            None
        };
        if left == 0 {
            return answer.await;
        }
        if let Ok(Some(answer)) = timeout(hedge, answer).await {
            return Some(answer);
        }
    }
    None
}

/// Bytes a second, of how long the way there and back takes without a payload and with one. Where the payload took no longer,
/// something else took that time the first time.
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
    use std::{cell::Cell, future::pending};

    #[test]
    fn a_worker_that_was_busy_for_a_while_makes_no_link_fast() {
        let moved = 2.0 * PAYLOAD as f64;
        assert_eq!(bandwidth(0.5, 1.5), moved);
        for round_trip in [0.5, 0.6] {
            assert_eq!(bandwidth(round_trip, 0.5), moved / 0.5);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_is_asked_when_one_does_not_answer_or_fails() {
        for silent in 0..4 {
            let (count, begun) = (Cell::new(0), Instant::now());
            let ask = async || {
                count.set(count.get() + 1);
                if count.get() <= silent {
                    pending::<()>().await;
                }
                Some(count.get())
            };
            let answer = timeout(PATIENCE, hedged(ask, 3, HEDGE)).await;
            assert_eq!(answer.ok(), (silent < 3).then_some(Some(silent + 1)));
            assert_eq!(count.get(), 3.min(silent + 1));
            assert_eq!(begun.elapsed(), if silent < 3 { silent * HEDGE } else { PATIENCE });
        }
        for failed in 0..4 {
            let count = Cell::new(0);
            let ask = async || {
                count.set(count.get() + 1);
                (count.get() > failed).then_some(())
            };
            assert_eq!(hedged(ask, 3, HEDGE).await, (failed < 3).then_some(()));
            assert_eq!(count.get(), 3.min(failed + 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_may_be_asked_are_asked_in_time() {
        for asks in 1..=ASKED {
            let count = Cell::new(0);
            let ask = async || {
                count.set(count.get() + 1);
                if count.get() < asks {
                    pending::<()>().await;
                }
                Some(())
            };
            assert_eq!(timeout(PATIENCE, hedged(ask, asks, hedge(asks))).await, Ok(Some(())), "{asks}");
        }
    }

    #[test]
    fn of_many_slots_as_large_a_share_answers_as_of_those_that_were_asked() {
        assert_eq!(
            (share(100, 8, 16), share(2, 1, 2), share(3, 0, 3), share(u32::MAX, 16, 16)),
            (50, 1, 1, u32::MAX)
        );
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
            let Rates { here, cluster, .. } = measure(&task, &hands, Some(&hands), Limits::default()).await;
            let (there, link) = cluster.unwrap();
            for power in [here, there] {
                assert!(power.slots >= 1 && power.rate > 0.0 && power.rate != task.usual_rate(), "{power:?}");
            }
            assert!(link.bytes > 0.0 && link != Link::default(), "{link:?}");
        }
    }
}
