//! `bench`: what a cluster does with tasks that cost nothing by themselves.
//!
//! Everything goes the way that every task goes, through [`Client`], and every result is looked at: that there is
//! one for each task, that it is no error, and that it is what was sent.

mod latency;
mod payload;
mod report;
mod throughput;

#[cfg(test)]
mod tests;

use super::{CommandError, print, setup::Setup, single::parse};
use crate::{
    cli::{Bench, Measure},
    client::{Client, Disconnected},
    dispatch::{TaskResult, TaskSpec},
};
use bytes::Bytes;
use sgdt_proto::{
    id::Kind,
    payload::{Format, Payload},
    task::{ErrorCode, TaskError},
    worker::MAX_MESSAGE,
};

/// What is sent, and what comes back.
const KIND: &str = "echo";

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("no worker serves {KIND:?}, with which bench measures; start workers with --diagnostics")]
    NotServed,
    #[error("task {task}: {error}")]
    Task { task: u64, error: TaskError },
    #[error("task {task}: the worker's answer is not what was sent")]
    Altered { task: u64 },
    #[error("{missing} of {tasks} tasks have no result")]
    Missing { missing: u64, tasks: u64 },
    #[error("a payload of {size} bytes cannot be measured; --size takes 1B to 3GiB")]
    Size { size: u64 },
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
}

pub(super) async fn run(setup: &Setup, args: Bench) -> Result<(), CommandError> {
    let Bench { measure, tasks, size, json } = args;
    // Before a cluster is sought.
    let size = usize::try_from(size.0).ok().filter(|&size| size > 0 && size as u64 <= MAX_MESSAGE / 4 * 3);
    let size = size.ok_or(BenchError::Size { size: args.size.0 })?;
    let cluster = setup.cluster().await?;
    let client = cluster.connect().await?;
    let kind = parse(KIND)?;
    check_served(&client, &kind).await?;
    // In a task, as in most programs: the runtime looks after sockets once more before it goes on with `main`.
    let measured = tokio::spawn(async move {
        match measure {
            Measure::Throughput => throughput::measure(&client, &kind, tasks.unwrap_or(1_000_000)).await,
            Measure::Latency => latency::measure(&client, &kind, tasks.unwrap_or(10_000)).await,
            Measure::Payload => payload::measure(&client, &kind, tasks.unwrap_or(32), size).await,
        }
    });
    let report = measured.await.map_err(|error| CommandError::System(error.into()))??;
    print(if json { report.json() } else { report.text() })
}

/// Sends one task, which also has connections opened that are not to be measured.
async fn check_served(client: &Client, kind: &Kind) -> Result<(), BenchError> {
    let sent = client.submit(tiny(kind, b"{\"value\":0}"[..].into())).await?;
    match check(0, sent.await?) {
        Ok(_) => Ok(()),
        Err(BenchError::Task { error: TaskError { code: ErrorCode::UnsupportedTask, .. }, .. }) => {
            Err(BenchError::NotServed)
        }
        Err(error) => Err(error),
    }
}

fn tiny(kind: &Kind, head: Bytes) -> TaskSpec {
    let payload = Payload { format: Format::Json, head, buffers: Vec::new() };
    TaskSpec { kind: kind.clone(), payload, timeout: None, check: None }
}

fn check(task: u64, result: TaskResult) -> Result<Payload, BenchError> {
    result.output.map_err(|error| BenchError::Task { task, error })
}
