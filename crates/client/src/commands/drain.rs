//! `drain`: a worker is asked to leave.

use super::{
    CommandError,
    ping::{Trouble, ask},
    remark,
    setup::Setup,
};
use sgdt_proto::id::WorkerName;

pub(super) async fn run(setup: &Setup, name: &WorkerName) -> Result<(), CommandError> {
    let cluster = setup.cluster().await?;
    let worker = cluster.worker(name).await?.info;
    ask(&*cluster.network, &worker, async |client, context| client.drain(context).await).await.map_err(
        |trouble| match trouble {
            Trouble::Denied { .. } => CommandError::Denied(format!("{name} at {trouble}")),
            _ => CommandError::Unanswered(format!("{name} at {trouble}")),
        },
    )?;
    remark(&format_args!("{name} takes no more tasks; it finishes what it runs and leaves"));
    Ok(())
}
