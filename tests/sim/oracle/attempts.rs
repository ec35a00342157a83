//! A client's attempts, in the oracle's books.

use sgdt_proto::{id::WorkerId, task::Refusal};
use std::collections::BTreeMap;

/// One backup in so many finished tasks, and one more.
const BACKUP_SHARE: u64 = 20;

/// What one client has said of its attempts.
#[derive(Default)]
pub(super) struct Books {
    tasks: BTreeMap<u64, Task>,
    /// Workers that have told this client that they drain.
    draining: BTreeMap<WorkerId, u64>,
    backups: u64,
    finished: u64,
}

/// A task's attempts.
#[derive(Clone, Default)]
pub(super) struct Task {
    open: BTreeMap<u32, Open>,
    last: u32,
    /// Those that were not refused.
    pub(super) counted: u32,
    accepted: bool,
    /// Where attempts were lost, and whether it looked as if the worker had died.
    lost: Vec<(WorkerId, bool)>,
}

/// An attempt that has not ended.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) worker: WorkerId,
    pub(super) sent: u64,
}

/// How an attempt has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    Accepted,
    Cancelled,
    /// It never had its chance, which is not held against it.
    Refused,
    /// The same, and the worker takes no more.
    Draining,
    /// The worker could not be reached any more, or failed in some other way.
    Lost,
    /// The worker has died, and its connection told of it.
    Dead,
}

impl Ended {
    /// Reads a client's words. It may take a lost connection for a death for a while; `dead` is the truth.
    pub(super) fn of(blame: &str, cause: &str, dead: bool) -> Self {
        match (blame, cause) {
            ("None", cause) if cause == Refusal::Draining.to_string() => Self::Draining,
            ("None", _) => Self::Refused,
            ("Death", _) if dead => Self::Dead,
            _ => Self::Lost,
        }
    }
}

impl Books {
    pub(super) fn task(&self, id: u64) -> Task {
        self.tasks.get(&id).cloned().unwrap_or_default()
    }

    /// Attempts that have not ended: task, attempt, and the rest.
    pub(super) fn open(&self) -> Vec<(u64, u32, Open)> {
        let tasks = self.tasks.iter();
        tasks
            .flat_map(|(&id, task)| task.open.iter().map(move |(&attempt, &open)| (id, attempt, open)))
            .collect()
    }

    pub(super) fn sent(&mut self, now: u64, id: u64, attempt: u32, worker: WorkerId) -> Result<(), String> {
        let task = self.tasks.entry(id).or_default();
        let told = self.draining.get(&worker);
        let problem = if task.accepted {
            Some("which has its result".to_owned())
        } else if attempt <= task.last {
            Some(format!("though there was attempt {} before", task.last))
        } else if task.open.values().any(|open| open.worker == worker) {
            Some("to a worker that has it".to_owned())
        } else if task.open.len() > 1 {
            Some("which two workers have".to_owned())
        } else {
            told.map(|told| format!("to {worker}, known since {told} ms to drain"))
        };
        if !task.open.is_empty() {
            self.backups += 1;
        }
        task.last = attempt;
        task.counted += 1;
        task.open.insert(attempt, Open { worker, sent: now });
        match problem {
            Some(problem) => Err(format!("attempt {attempt} at task {id} is sent {problem}")),
            None if self.backups > self.finished / BACKUP_SHARE + 1 => {
                Err(format!("{} backups after {} tasks are too many", self.backups, self.finished))
            }
            None => Ok(()),
        }
    }

    /// A task is finished, and no attempt has brought its result.
    pub(super) fn given_up(&mut self) {
        self.finished += 1;
    }

    pub(super) fn ended(
        &mut self,
        now: u64,
        (id, attempt, worker): (u64, u32, WorkerId),
        how: Ended,
    ) -> Result<(), String> {
        let task = self.tasks.entry(id).or_default();
        let open = task.open.remove(&attempt);
        match how {
            Ended::Accepted => {
                self.finished += 1;
                task.accepted = true;
            }
            Ended::Cancelled => {}
            Ended::Refused | Ended::Draining => {
                task.counted = task.counted.saturating_sub(1);
                if !task.open.is_empty() {
                    self.backups = self.backups.saturating_sub(1);
                }
                if how == Ended::Draining {
                    self.draining.entry(worker).or_insert(now);
                }
            }
            Ended::Lost | Ended::Dead => task.lost.push((worker, how == Ended::Dead)),
        }
        if open.is_some_and(|open| open.worker == worker) {
            Ok(())
        } else {
            Err(format!(
                "attempt {attempt} at task {id} by {worker} is said to have ended as {how:?}, and had ended before"
            ))
        }
    }
}

impl Task {
    /// How many attempts have come to nothing.
    pub(super) fn losses(&self) -> usize {
        self.lost.len()
    }

    /// Who had it when it was lost last.
    pub(super) fn last_loss(&self) -> Option<WorkerId> {
        self.lost.last().map(|&(worker, _)| worker)
    }

    /// How many workers have died while they had it, and were seen to.
    pub(super) fn deaths(&self) -> usize {
        self.lost.iter().filter(|(_, dead)| *dead).count()
    }

    /// The last worker that died while it had it.
    pub(super) fn last_death(&self) -> Option<WorkerId> {
        self.lost.iter().rev().find(|(_, dead)| *dead).map(|&(worker, _)| worker)
    }
}
