//! Who computes pieces: a cluster, or this process.

use super::GiantError;
use crate::{
    client::Client,
    dispatch::{TaskResult, TaskSpec},
    local::LocalKernels,
};

/// Who computes pieces. Clones share what they use.
#[derive(Clone, Debug)]
pub enum Hands {
    /// The workers that a client finds.
    Cluster(Client),
    /// The kernels in this process.
    Local(LocalKernels),
}

impl Hands {
    /// How many pieces can be computed at a time, by what is known now.
    pub fn slots(&self) -> u32 {
        match self {
            Self::Cluster(client) => {
                let membership = client.membership();
                let known = membership.borrow();
                let members = known.members();
                let staying = members.values().filter(|member| !member.draining);
                staying.fold(0, |sum: u32, member| sum.saturating_add(member.info.slots))
            }
            Self::Local(kernels) => kernels.threads(),
        }
    }

    /// To how many workers pieces go over a network, by what is known now; `None` where they stay here.
    pub fn workers(&self) -> Option<u32> {
        match self {
            Self::Cluster(client) => {
                let membership = client.membership();
                let known = membership.borrow();
                let members = known.members();
                let staying = members.values().filter(|member| !member.draining);
                Some(u32::try_from(staying.count()).unwrap_or(u32::MAX))
            }
            Self::Local(_) => None,
        }
    }

    /// Computes one piece. Dropping the future cancels it.
    ///
    /// # Errors
    /// The client's runtime has shut down. The piece's own error is in its result.
    pub async fn run(&self, spec: TaskSpec) -> Result<TaskResult, GiantError> {
        match self {
            Self::Cluster(client) => Ok(client.submit(spec).await?.await?),
            Self::Local(kernels) => Ok(kernels.run(spec).await),
        }
    }
}
