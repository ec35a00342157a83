//! Giving up on tasks that no worker will take, so that a job ends even where nobody can do its work.

use super::{core::Core, task::Task};
use sgdt_proto::task::ErrorCode;
use std::time::Duration;
use tokio::time::Instant;

/// How long a kind may be served by no live worker before its tasks are given up: time for one to join.
const UNSERVED_GRACE: Duration = Duration::from_secs(2);
/// How many kinds an error message lists.
const LISTED: usize = 20;

impl<X> Core<X> {
    /// Gives up tasks that wait for a worker that does not come: no live one serves their kind, or none that does
    /// could be reached for too long.
    pub(super) fn give_up_hopeless(&mut self, now: Instant) {
        for index in 0..self.queues.len() {
            let queue = &mut self.queues[index];
            let served = self.fleet.serves(&queue.kind);
            // A kind that was served is not unknown: its worker may only be starting again.
            queue.was_served |= served;
            let waiting = !queue.is_empty() || !queue.parked.is_empty();
            let unserved = waiting && !queue.was_served && !self.fleet.workers.is_empty();
            let unreachable = waiting && !self.fleet.reaches(&queue.kind);
            let unserved_for = lasts(&mut queue.unserved_since, unserved, now);
            let unreachable_for = lasts(&mut queue.unreachable_since, unreachable, now);
            let (code, message) = if unserved_for.is_some_and(|lasts| lasts >= UNSERVED_GRACE) {
                let kinds = self.fleet.kinds();
                let mut listed: Vec<_> = kinds.iter().take(LISTED).map(ToString::to_string).collect();
                if kinds.len() > LISTED {
                    listed.push(format!("and {} more", kinds.len() - LISTED));
                }
                let message =
                    format!("no live worker serves {:?}; they serve {}", queue.kind, listed.join(", "));
                (ErrorCode::UnsupportedTask, message)
            } else if unreachable_for.is_some_and(|lasts| lasts >= self.patience) {
                let message = format!(
                    "no worker that serves {:?} could be reached for {:?}",
                    queue.kind, self.patience
                );
                (ErrorCode::GaveUp, message)
            } else {
                continue;
            };
            for id in self.queues[index].drain() {
                let advice = match self.tasks.get(&id).map_or(0, Task::deaths) {
                    _ if code == ErrorCode::UnsupportedTask => String::new(),
                    0 => "; start one that does, or wait longer".to_owned(),
                    // Which need not be its doing.
                    1 => "; start one that does, or wait longer; one died while it ran this task".to_owned(),
                    // Not one more for it.
                    deaths => format!("; {deaths} workers died while they ran this task"),
                };
                self.give_up(id, code, format!("{message}{advice}"));
            }
            if code == ErrorCode::UnsupportedTask {
                self.close_queue(index);
            }
        }
    }
}

/// For how long something has been so without a break.
fn lasts(since: &mut Option<Instant>, is_so: bool, now: Instant) -> Option<Duration> {
    if !is_so {
        *since = None;
        return None;
    }
    Some(now.duration_since(*since.get_or_insert(now)))
}
