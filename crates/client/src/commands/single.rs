//! Commands that are one task each: their files are read first, so that what is wrong with them is said before a
//! worker is sought.

use super::{CommandError, planned::Planned, setup::Setup};
use crate::{
    dispatch::{TaskResult, TaskSpec},
    job::kinds::{ClientKinds, Request},
};
use sgdt_proto::{
    id::{InvalidName, Kind},
    task::{ErrorCode, TaskError},
};
use tokio::task::spawn_blocking;

/// Does something that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TaskError> + Send + 'static,
) -> Result<T, TaskError> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(TaskError::new(ErrorCode::Panicked, error.to_string())))
}

/// A built-in kind.
pub(super) fn parse(kind: &str) -> Result<Kind, CommandError> {
    kind.parse()
        .map_err(|error: InvalidName| CommandError::Input(TaskError::invalid_input(error.to_string())))
}

/// Runs one task as a whole, and tells its output to the file that it is for. Says in the end what was done.
pub(super) async fn whole(
    setup: &Setup,
    planned: &Planned,
    kind: &str,
    request: Request,
) -> Result<(), CommandError> {
    let Request { payload, answer } = request;
    let kind = parse(kind)?;
    let check = ClientKinds::builtin().check(&kind, &payload).filter(|_| planned.limits.verify);
    let spec = TaskSpec { kind, payload, timeout: setup.task_timeout, check };
    let TaskResult { worker, output, .. } = planned.hands.run(spec).await?;
    let output = output.map_err(CommandError::Task)?;
    // What it tells beside what it writes to the file, the file tells as well.
    blocking(move || answer.tell(output, &mut Vec::new())).await.map_err(CommandError::Task)?;
    planned.done_by(worker.as_ref());
    Ok(())
}
