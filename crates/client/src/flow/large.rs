//! Lines whose tasks are computed in pieces, beside all others.
//!
//! ```text
//!   lines ─▶ sort ──ordinary──▶ Client::map ──▶ results, by their numbers among all lines
//!             └─large─▶ plan ─▶ pieces ───────▶
//! ```
//! There is one of them at a time, and unless somebody says how to split them only while slots are idle: many large tasks
//! keep all workers busy by themselves, and whole ones cost less.

use super::reading::{Named, Read};
use crate::{
    client::Client,
    dispatch::{TaskResult, TaskSpec},
    giant::{
        GiantError, Hands, Limits, Whole,
        plan::{Choice, Explanation, LocalRun, Plan, Plans},
        rates,
    },
    local::LocalKernels,
};
use futures::{Stream, StreamExt};
use sgdt_proto::task::{ErrorCode, TaskError};
use std::{
    mem::take,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    sync::{
        Semaphore, SemaphorePermit,
        mpsc::{Receiver, Sender, UnboundedSender},
    },
    time::Instant,
};

/// A task that takes less than this on one worker, in seconds, is not worth a measurement.
const WORTH_A_PLAN: f64 = 1.0;

/// Whether, and how, large tasks are split.
#[derive(Clone, Copy, Debug)]
pub struct Splitting {
    /// [`Choice::Auto`], or in how many pieces. By other choices nothing is split.
    pub plan: Choice,
    /// How many bytes of pieces there may be at a time.
    pub memory: u64,
    /// Who is told what is planned.
    pub explain: Option<fn(&Explanation<'_>)>,
    /// How they could have it computed in this process.
    pub local_run: LocalRun,
}

impl Splitting {
    /// Whether anything may be split.
    pub(super) fn is_on(&self) -> bool {
        matches!(self.plan, Choice::Auto | Choice::Split(_))
    }
}

/// Which tasks go which way, and what has become of them.
pub(super) struct Ways<'a> {
    client: &'a Client,
    splitting: Splitting,
    /// Ordinary tasks, sent and done.
    sent: AtomicU64,
    done: AtomicU64,
    /// Of each large task, how many ordinary ones came before it.
    large: Mutex<Vec<u64>>,
    /// For whoever computes one.
    turn: Semaphore,
}

/// A task that is to be split, if that pays.
pub(super) struct Large<'a> {
    spec: TaskSpec,
    whole: Box<Named>,
    /// Among all tasks.
    number: u64,
    _turn: SemaphorePermit<'a>,
}

impl<'a> Ways<'a> {
    pub(super) fn new(client: &'a Client, splitting: Splitting) -> Self {
        let (sent, done) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { client, splitting, sent, done, large: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// Sends each task its way, until there are no more.
    pub(super) async fn sort(
        &'a self,
        mut lines: Receiver<Vec<Read>>,
        ordinary: Sender<Vec<TaskSpec>>,
        large: UnboundedSender<Large<'a>>,
    ) {
        while let Some(chunk) = lines.recv().await {
            let mut specs = Vec::with_capacity(chunk.len());
            for Read { spec, whole } in chunk {
                // Whoever waits for its turn keeps nobody else from theirs.
                if whole.is_some() && !specs.is_empty() && ordinary.send(take(&mut specs)).await.is_err() {
                    return;
                }
                match self.divert(spec, whole).await {
                    Ok(task) => drop(large.send(task)),
                    Err(spec) => {
                        self.sent.fetch_add(1, Ordering::Relaxed);
                        specs.push(spec);
                    }
                }
            }
            if !specs.is_empty() && ordinary.send(specs).await.is_err() {
                return;
            }
        }
    }

    /// Takes a task out of the stream, or gives it back.
    async fn divert(&self, spec: TaskSpec, whole: Option<Box<Named>>) -> Result<Large<'_>, TaskSpec> {
        let Some(whole) = whole else { return Err(spec) };
        let turn = match self.splitting.plan {
            Choice::Split(_) => self.turn.acquire().await.ok(),
            Choice::Auto if self.has_idle_slots() && self.seconds(&whole.whole) >= WORTH_A_PLAN => {
                self.turn.try_acquire().ok()
            }
            Choice::Auto | Choice::Local | Choice::One => None,
        };
        let Some(turn) = turn else { return Err(spec) };
        let mut large = self.large();
        let before = self.sent.load(Ordering::Relaxed);
        let number = before + large.len() as u64;
        large.push(before);
        Ok(Large { spec, whole, number, _turn: turn })
    }

    fn has_idle_slots(&self) -> bool {
        let running = self.sent.load(Ordering::Relaxed).saturating_sub(self.done.load(Ordering::Relaxed));
        running < u64::from(self.hands().slots())
    }

    /// How long it usually takes on one worker.
    fn seconds(&self, whole: &Whole) -> f64 {
        let (task, hands) = (whole.task(), self.hands());
        let rates = rates::usual(&task, &hands, Some(&hands));
        Plans::of(&task, &rates, &self.limits(None)).cluster.map_or(0.0, |(one, _)| one.seconds)
    }

    fn hands(&self) -> Hands {
        Hands::Cluster(self.client.clone())
    }

    fn limits(&self, spec: Option<&TaskSpec>) -> Limits {
        Limits {
            memory: self.splitting.memory,
            timeout: spec.and_then(|spec| spec.timeout),
            verify: spec.is_some_and(|spec| spec.check.is_some()),
        }
    }

    fn large(&self) -> MutexGuard<'_, Vec<u64>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Results of ordinary tasks, which are numbered among themselves: gives them their numbers among all.
    pub(super) fn number(&self, results: &mut [(u64, TaskResult)]) {
        self.done.fetch_add(results.len() as u64, Ordering::Relaxed);
        let large = self.large();
        for (number, _) in results {
            *number += large.partition_point(|before| *before <= *number) as u64;
        }
    }

    /// Computes large tasks as they come.
    pub(super) fn compute(
        &'a self,
        tasks: impl Stream<Item = Large<'a>> + 'a,
    ) -> impl Stream<Item = (u64, TaskResult)> + 'a {
        tasks.then(async |Large { spec, whole, number, _turn }| (number, self.result(spec, *whole).await))
    }

    async fn result(&self, spec: TaskSpec, Named { whole, name }: Named) -> TaskResult {
        let (kind, limits, hands, began) =
            (spec.kind.clone(), self.limits(Some(&spec)), self.hands(), Instant::now());
        let done = match self.pieces(&whole, &name, limits).await {
            1 => hands.run(spec).await,
            pieces => {
                drop(spec);
                let output = whole.compute(&hands, pieces, limits).await;
                output.map(|output| TaskResult {
                    kind: kind.clone(),
                    worker: None,
                    attempts: 1,
                    run: began.elapsed(),
                    output: Ok(output),
                })
            }
        };
        done.unwrap_or_else(|error| {
            let output = Err(match error {
                GiantError::Task(error) => error,
                GiantError::Disconnected(error) => TaskError::new(ErrorCode::GaveUp, error.to_string()),
            });
            TaskResult { kind, worker: None, attempts: 1, run: began.elapsed(), output }
        })
    }

    /// In how many pieces a task is best computed.
    async fn pieces(&self, whole: &Whole, name: &str, limits: Limits) -> u32 {
        let (task, here, there) = (whole.task(), Hands::Local(LocalKernels::new()), self.hands());
        let Splitting { plan, explain, local_run, .. } = self.splitting;
        let rates = if explain.is_some() || plan == Choice::Auto {
            rates::measure(&task, &here, Some(&there), limits).await
        } else {
            rates::usual(&task, &here, Some(&there))
        };
        let plans = Plans::of(&task, &rates, &limits);
        let chosen = match (plan, plans.cluster) {
            (Choice::Split(pieces), _) => Plans::split(&task, &rates, &limits, pieces.get()),
            (_, Some((one, split))) => Some(if split.is_clearly_faster(&one) { split } else { one }),
            (_, None) => None,
        };
        if let (Some(explain), Some(chosen)) = (explain, chosen) {
            let name = Some(name);
            let (rates, plans, is_small) = (&rates, &plans, false);
            explain(&Explanation { name, task: &task, rates, plans, chosen, is_small, local_run });
        }
        chosen.map_or(1, |Plan { pieces, .. }| pieces)
    }
}
