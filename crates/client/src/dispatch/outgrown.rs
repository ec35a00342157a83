//! Tasks that are too large for some worker: how much one task may take is each worker's own affair, so one that
//! says no does not speak for the others.

use super::core::Core;
use crate::retry::Cause;
use sgdt_proto::{
    id::{TaskId, WorkerId},
    task::{Completed, ErrorCode, TaskError},
};
use tokio::time::Instant;

impl<X> Core<X> {
    /// A worker says that a task is too large for it. That is the result if all others have said so, too.
    pub(super) fn outgrown(&mut self, id: TaskId, index: usize, run_us: u64, error: TaskError, now: Instant) {
        let worker = self.fleet.workers[index].info.id;
        if let Some(task) = self.tasks.get_mut(&id) {
            task.too_small.push(worker);
        }
        if self.may_fit_elsewhere(id) {
            self.fail(id, index, &Cause::TooLarge, now);
        } else {
            self.complete(id, index, Completed { run_us, result: Err(error) });
        }
    }

    /// Nobody who could take this task is left.
    pub(super) fn give_up_outgrown(&mut self, id: TaskId) {
        let message = "it is too large for every worker that serves its kind; give one more --task-memory";
        self.give_up(id, ErrorCode::TooLarge, message.to_owned());
    }

    /// Whether there is a worker, connected or not, for which the task may not be too large.
    pub(super) fn may_fit_elsewhere(&self, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else { return false };
        let kind = &self.queues[task.queue].kind;
        let fits = |worker: WorkerId| !task.too_small.contains(&worker);
        self.fleet
            .workers
            .iter()
            .any(|(_, worker)| !worker.draining && worker.serves(kind) && fits(worker.info.id))
    }
}
