//! `remove`: a worker's name is taken from it.

use super::{CommandError, remark, setup::Setup};
use sgdt_proto::id::WorkerName;

pub(super) async fn run(setup: &Setup, name: &WorkerName) -> Result<(), CommandError> {
    let worker = setup.cluster().await?.remove(name).await?;
    remark(&format_args!(
        "{name} at {} is removed, and its name is free; its tasks go to others, and it leaves",
        worker.info.address
    ));
    Ok(())
}
