//! Where a command's task is computed: what the options say, and what the cost model says where they leave it open.

use super::{
    CommandError, remark,
    setup::{Cluster, Setup},
};
use crate::{
    cli::Split,
    client::Client,
    giant::{
        GiantError, Hands, Limits,
        plan::{Choice, Explanation, LocalRun, Place, Plan, Plans, Rates, Task},
        rates,
    },
    local::LocalKernels,
    summary::Seconds,
};
use sgdt_proto::id::WorkerName;
use tokio::{sync::OnceCell, time::Instant};

/// A task that takes less than this on one worker, in seconds, is not worth a measurement.
const WORTH_A_PLAN: f64 = 0.2;

/// Who may compute a command's tasks.
pub(super) struct Planner {
    split: Split,
    limits: Limits,
    remarks: bool,
    here: Hands,
    kernels: LocalKernels,
    cluster: Option<(Cluster, Client)>,
    /// What was measured, once: a command's tasks are of one kind.
    measured: OnceCell<Rates>,
}

/// Who computes a task, and in how many pieces.
pub(super) struct Planned {
    pub(super) hands: Hands,
    pub(super) pieces: u32,
    pub(super) limits: Limits,
    began: Instant,
    remarks: bool,
}

impl Planner {
    /// Finds the cluster, unless nothing is to be computed there.
    pub(super) async fn new(setup: &Setup, split: Split) -> Result<Self, CommandError> {
        let cluster = if split.plan == Choice::Local {
            None
        } else {
            let cluster = setup.cluster().await?;
            let client = cluster.connect().await?;
            Some((cluster, client))
        };
        let limits = Limits { memory: split.memory.0, timeout: setup.task_timeout, verify: split.verify };
        let kernels = LocalKernels::new();
        let here = Hands::Local(kernels.clone());
        let (remarks, measured) = (setup.remarks(), OnceCell::new());
        Ok(Self { split, limits, remarks, here, kernels, cluster, measured })
    }

    /// Decides about a task, and says so if that was asked for: by this name, where there are others.
    pub(super) async fn plan(&self, task: &Task, name: Option<&str>) -> Planned {
        let there = self.cluster.as_ref().map(|(_, client)| Hands::Cluster(client.clone()));
        let usual = rates::usual(task, &self.here, there.as_ref());
        let rough = Plans::of(task, &usual, &self.limits);
        let Split { plan: choice, explain, .. } = self.split;
        let large = rough.cluster.is_none_or(|(one, _)| one.seconds >= WORTH_A_PLAN);
        let (rates, plans) = if explain || choice == Choice::Auto && large {
            let measure = || rates::measure(task, &self.here, there.as_ref(), self.limits);
            let rates = *self.measured.get_or_init(measure).await;
            (rates, Plans::of(task, &rates, &self.limits))
        } else {
            (usual, rough)
        };
        let chosen = match (choice, plans.cluster) {
            (Choice::Local, _) | (_, None) => plans.local,
            (Choice::Split(pieces), Some((one, _))) => {
                Plans::split(task, &rates, &self.limits, pieces.get()).unwrap_or(one)
            }
            (Choice::Auto, Some(_)) if large => plans.fastest(),
            (Choice::One | Choice::Auto, Some((one, _))) => one,
        };
        if explain {
            let (rates, plans, local_run) = (&rates, &plans, LocalRun::Plan);
            let is_small = choice == Choice::Auto && !large && plans.cluster.is_some();
            remark(&Explanation { name, task, rates, plans, chosen, is_small, local_run });
        }
        let Plan { place, pieces, .. } = chosen;
        let hands = there.filter(|_| place == Place::Cluster).unwrap_or_else(|| self.here.clone());
        Planned { hands, pieces, limits: self.limits, began: Instant::now(), remarks: self.remarks }
    }

    /// A task that is next to nothing: on a worker, if there is a cluster.
    pub(super) fn little(&self) -> Planned {
        let there = self.cluster.as_ref().map(|(_, client)| Hands::Cluster(client.clone()));
        let hands = there.unwrap_or_else(|| self.here.clone());
        Planned { hands, pieces: 1, limits: self.limits, began: Instant::now(), remarks: self.remarks }
    }

    /// The kernels of this process.
    pub(super) fn kernels(&self) -> &LocalKernels {
        &self.kernels
    }

    /// The client, if there is a cluster.
    pub(super) fn client(&self) -> Option<&Client> {
        self.cluster.as_ref().map(|(_, client)| client)
    }
}

impl Planned {
    /// Whether the task goes to a worker like any other.
    pub(super) fn is_ordinary(&self) -> bool {
        self.pieces == 1 && matches!(self.hands, Hands::Cluster(_))
    }

    /// It begins only now: others came first.
    pub(super) fn begun(self) -> Self {
        Self { began: Instant::now(), ..self }
    }

    /// Says who ran it as a whole, and how long that took.
    pub(super) fn done_by(&self, worker: Option<&WorkerName>) {
        let took = self.began.elapsed();
        match (worker, &self.hands) {
            _ if !self.remarks => {}
            (Some(worker), _) => remark(&format_args!("done by {worker} in {}", Seconds(took))),
            (None, Hands::Local(_)) => remark(&format_args!("done here in {}", Seconds(took))),
            (None, Hands::Cluster(_)) => {}
        }
    }

    /// Says what was done, and how long it took.
    pub(super) fn done(&self) {
        if self.remarks {
            let place = match self.hands {
                Hands::Cluster(_) => "by the workers",
                Hands::Local(_) => "here",
            };
            let pieces = if self.pieces == 1 { "" } else { ", in pieces," };
            remark(&format_args!("done {place}{pieces} in {}", Seconds(self.began.elapsed())));
        }
    }
}

impl From<GiantError> for CommandError {
    fn from(error: GiantError) -> Self {
        match error {
            GiantError::Task(error) => Self::Task(error),
            GiantError::Disconnected(error) => Self::Disconnected(error),
        }
    }
}
