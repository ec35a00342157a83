//! Somebody who has a client do a job, in one of the ways that there are.

use crate::{network::Wire, plan::Customer, trace::Stage};
use futures::{StreamExt, future::join_all, stream};
use sgdt_client::{Client, ClientConfig, TaskSpec};
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long room that is given back may take to arrive: cancelled tasks end some time after their handles.
const SETTLE: Duration = Duration::from_millis(200);

/// A client's user.
pub(super) struct Caller {
    /// The machine.
    pub(super) number: usize,
    pub(super) config: ClientConfig,
    pub(super) stage: Stage,
    /// Ends the client, once everything is done.
    pub(super) leave: CancellationToken,
}

/// What is wanted, and how.
pub(super) struct Wishes {
    /// Each with when it is not wanted any more.
    tasks: Vec<(TaskSpec, Option<Duration>)>,
    pace: Duration,
    streams: bool,
    waits: bool,
}

impl Wishes {
    pub(super) fn of(customer: &Customer) -> Self {
        let task = |job: &crate::plan::Job| (job.work.spec(), job.cancelled.map(Duration::from_millis));
        Self {
            tasks: customer.jobs.iter().map(task).collect(),
            pace: Duration::from_millis(customer.pace),
            streams: customer.streams,
            waits: customer.waits,
        }
    }
}

impl Caller {
    pub(super) async fn run(self, wire: Wire, wishes: Wishes) {
        let client = if wishes.waits {
            match Client::connect(self.config.clone(), Arc::new(wire)).await {
                Ok(client) => client,
                Err(error) => return self.complain(&error.to_string()),
            }
        } else {
            Client::join(&self.config, Arc::new(wire))
        };
        if wishes.streams {
            self.stream(&client, wishes).await;
        } else {
            self.handles(&client, wishes).await;
        }
        let _ = timeout(SETTLE, async {
            while client.outstanding() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        {
            let mut state = self.stage.state();
            state.speak("has everything");
            let now = state.now;
            state.oracle.client_finished(now, self.number, client.outstanding());
        }
        self.leave.cancelled().await;
    }

    /// One stream of tasks, one of results.
    async fn stream(&self, client: &Client, Wishes { tasks, pace, .. }: Wishes) {
        let tasks = stream::iter(tasks).then(move |(spec, _)| async move {
            if !pace.is_zero() {
                sleep(pace).await;
            }
            spec
        });
        let mut results = client.map(tasks);
        while let Some((index, result)) = results.next().await {
            self.receive(index, &result);
        }
    }

    /// A handle for each task; some are dropped early.
    async fn handles(&self, client: &Client, Wishes { tasks, pace, .. }: Wishes) {
        let mut waiting = Vec::new();
        for ((spec, cancelled), index) in tasks.into_iter().zip(0..) {
            if !pace.is_zero() {
                sleep(pace).await;
            }
            let handle = match client.submit(spec).await {
                Ok(handle) => handle,
                Err(error) => return self.complain(&error.to_string()),
            };
            waiting.push(async move {
                let patience = cancelled.unwrap_or(Duration::MAX);
                match timeout(patience, handle).await {
                    Ok(Ok(result)) => self.receive(index, &result),
                    Ok(Err(error)) => self.complain(&error.to_string()),
                    Err(_) => {
                        let mut state = self.stage.state();
                        state.speak(&format!("does not want {} any more", index + 1));
                        let now = state.now;
                        state.oracle.cancels(now, self.number, index);
                    }
                }
            });
        }
        join_all(waiting).await;
    }

    fn receive(&self, index: u64, result: &sgdt_client::TaskResult) {
        let mut state = self.stage.state();
        state.speak(&format!("has {} from {:?} at attempt {}", index + 1, result.worker, result.attempts));
        let now = state.now;
        state.oracle.receives(now, self.number, index, result);
    }

    fn complain(&self, error: &str) {
        let mut state = self.stage.state();
        let now = state.now;
        state.oracle.violation(now, format!("machine {}: {error}", self.number));
    }
}
