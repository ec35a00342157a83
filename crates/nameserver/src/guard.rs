//! What each peer may ask of the registry: what its role allows, and of a worker only what concerns itself.

use crate::service::Directory;
use sgdt_proto::{
    id::WorkerName,
    identity::Who,
    name_server::NameServerRequest,
    policy::{Denied, permit},
};
use tarpc::{ServerError, context::Context, server::request_hook::BeforeRequest};

/// Judges one connection's requests.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Who asks.
    pub(crate) who: Who,
    pub(crate) directory: Directory,
}

impl Guard {
    fn judge(&self, request: &NameServerRequest) -> Result<(), Denied> {
        permit(&self.who, request.into())?;
        let Who::Known(peer) = &self.who else { return Ok(()) };
        let own = |name: Option<WorkerName>| match name {
            Some(name) if name != peer.name => Err(Denied::Name { peer: peer.clone(), name }),
            _ => Ok(()),
        };
        match request {
            NameServerRequest::Register { info, .. } => {
                own(Some(info.name.clone()))?;
                // Announcing another's start as one's own would take its place.
                own(self.directory.holder(info.id))
            }
            NameServerRequest::Renew { id, .. } | NameServerRequest::Deregister { id } => {
                own(self.directory.holder(*id))
            }
            NameServerRequest::Watch { .. }
            | NameServerRequest::List { .. }
            | NameServerRequest::Lookup { .. }
            | NameServerRequest::Remove { .. } => Ok(()),
        }
    }
}

impl BeforeRequest<NameServerRequest> for Guard {
    async fn before(&mut self, _: &mut Context, request: &NameServerRequest) -> Result<(), ServerError> {
        Ok(self.judge(request)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{MAX_WORKERS, Registry};
    use sgdt_proto::{
        id::{Epoch, WorkerId},
        identity::{Identity, Role},
        name_server::{Load, NameServer, WorkerInfo},
        policy::Action,
    };
    use std::time::Duration;
    use tokio_util::sync::CancellationToken;

    fn info(id: u64, name: &str) -> WorkerInfo {
        WorkerInfo {
            id: WorkerId(id),
            name: name.parse().unwrap(),
            address: "127.0.0.1:1".into(),
            slots: 1,
            tags: Default::default(),
            kinds: Vec::new(),
        }
    }

    /// Guards a registry in which w1 is number 1 and w2 number 2.
    async fn guard(peer: Option<(Role, &str)>) -> Guard {
        let registry = Registry::new(Epoch(1), Duration::from_secs(5), MAX_WORKERS);
        let directory = Directory::new(registry, CancellationToken::new());
        for worker in [info(1, "w1"), info(2, "w2")] {
            let context = tarpc::context::current();
            directory.clone().register(context, worker, Load::default()).await.unwrap();
        }
        let who = peer
            .map_or(Who::Trusted, |(role, name)| Who::Known(Identity { role, name: name.parse().unwrap() }));
        Guard { who, directory }
    }

    fn register(id: u64, name: &str) -> NameServerRequest {
        NameServerRequest::Register { info: info(id, name), load: Load::default() }
    }

    fn renew(id: u64) -> NameServerRequest {
        NameServerRequest::Renew { id: WorkerId(id), load: Load::default() }
    }

    fn deregister(id: u64) -> NameServerRequest {
        NameServerRequest::Deregister { id: WorkerId(id) }
    }

    fn others() -> [NameServerRequest; 4] {
        [
            NameServerRequest::Watch { since: None },
            NameServerRequest::List {},
            NameServerRequest::Lookup { name: "w1".parse().unwrap() },
            NameServerRequest::Remove { name: "w1".parse().unwrap() },
        ]
    }

    #[tokio::test]
    async fn a_worker_acts_under_the_name_in_its_certificate_and_no_other() {
        let guard = guard(Some((Role::Worker, "w1"))).await;
        for own in [register(1, "w1"), register(3, "w1"), renew(1), deregister(1), renew(9), deregister(9)] {
            assert_eq!(guard.judge(&own), Ok(()), "{own:?}");
        }
        for foreign in [register(3, "w3"), register(2, "w1"), register(1, "w2"), renew(2), deregister(2)] {
            let denied = guard.judge(&foreign).unwrap_err();
            assert!(matches!(denied, Denied::Name { .. }), "{foreign:?}: {denied}");
            assert!(
                denied.to_string().starts_with("the name server refused: worker w1 may act only"),
                "{denied}"
            );
        }
    }

    #[tokio::test]
    async fn each_request_is_judged_by_the_table() {
        for role in Role::ALL {
            let guard = guard(Some((role, "w1"))).await;
            for request in others().into_iter().chain([register(1, "w1"), renew(1), deregister(1)]) {
                let expected = Action::from(&request).roles().contains(&role);
                assert_eq!(guard.judge(&request).is_ok(), expected, "{role}: {request:?}");
            }
        }
    }

    #[tokio::test]
    async fn where_nobody_is_authenticated_nothing_is_refused() {
        let guard = guard(None).await;
        for request in others().into_iter().chain([register(1, "w2"), renew(2), deregister(1)]) {
            assert_eq!(guard.judge(&request), Ok(()));
        }
    }
}
