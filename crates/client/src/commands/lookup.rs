//! `lookup`: where a worker listens, for a script to go on with.

use super::{CommandError, print, setup::Setup};
use sgdt_proto::{id::WorkerName, printable::Printable};

pub(super) async fn run(setup: &Setup, name: &WorkerName) -> Result<(), CommandError> {
    let worker = setup.cluster().await?.worker(name).await?;
    print(format!("{}\n", Printable(worker.info.address)))
}
