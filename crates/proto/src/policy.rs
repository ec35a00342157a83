//! Who may ask what: one table, and whatever is not in it is refused.
//!
//! Where nobody is authenticated, because the network is trusted, everybody may ask everything.

use crate::{
    handshake::Service,
    id::WorkerName,
    identity::{Identity, Role, Who},
    join::JoinRequest,
    name_server::NameServerRequest,
    worker::TaskRequest,
};
use std::{fmt, io};
use tarpc::{ServerError, context::Context, server::request_hook::BeforeRequest};

/// What can be asked of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// To become a member.
    Register,
    /// To stay one.
    Renew,
    /// To be one no more.
    Deregister,
    /// The membership, and its changes.
    Watch,
    /// All workers.
    List,
    /// One worker.
    Lookup,
    /// To evict a worker.
    Remove,
    /// To run tasks, to have their inputs kept, and to fetch, take back and cancel one's own.
    Execute,
    /// Whether a worker is alive, and its load.
    Ping,
    /// To have a worker leave.
    Drain,
    /// To become somebody, by a token.
    Join,
}

impl Action {
    /// Each of them.
    pub const ALL: [Self; 11] = [
        Self::Register,
        Self::Renew,
        Self::Deregister,
        Self::Watch,
        Self::List,
        Self::Lookup,
        Self::Remove,
        Self::Execute,
        Self::Ping,
        Self::Drain,
        Self::Join,
    ];

    /// Whose task it is to answer.
    pub fn service(self) -> Service {
        match self {
            Self::Register
            | Self::Renew
            | Self::Deregister
            | Self::Watch
            | Self::List
            | Self::Lookup
            | Self::Remove => Service::NameServer,
            Self::Execute | Self::Ping | Self::Drain => Service::Task,
            Self::Join => Service::Join,
        }
    }

    /// The table. That a worker acts only under its own name is for the name server to see to, which knows whose
    /// lease is whose.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Register | Self::Renew | Self::Deregister => &[Role::Worker],
            Self::Watch | Self::List | Self::Lookup => &[Role::Client, Role::Admin],
            Self::Execute | Self::Ping => &[Role::Client, Role::Admin],
            Self::Remove | Self::Drain => &[Role::Admin],
            Self::Join => &[],
        }
    }

    /// The table's last column: whether it is for those who have no certificate.
    pub fn is_for_strangers(self) -> bool {
        self == Self::Join
    }

    /// What it takes, in words.
    fn takes(self) -> String {
        if self.is_for_strangers() {
            return "that is for those who have no certificate".to_owned();
        }
        let roles: Vec<_> = self.roles().iter().map(|role| role.as_str()).collect();
        format!("that takes a certificate with the role {}", roles.join(" or "))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Renew => "renew a lease",
            Self::Deregister => "end a lease",
            Self::Watch => "watch the workers",
            Self::List => "list the workers",
            Self::Lookup => "look a worker up",
            Self::Remove => "remove a worker",
            Self::Execute => "run tasks",
            Self::Ping => "ping",
            Self::Drain => "drain a worker",
            Self::Join => "use a join token",
        }
    }
}

impl From<&NameServerRequest> for Action {
    fn from(request: &NameServerRequest) -> Self {
        match request {
            NameServerRequest::Register { .. } => Self::Register,
            NameServerRequest::Renew { .. } => Self::Renew,
            NameServerRequest::Deregister { .. } => Self::Deregister,
            NameServerRequest::Watch { .. } => Self::Watch,
            NameServerRequest::List { .. } => Self::List,
            NameServerRequest::Lookup { .. } => Self::Lookup,
            NameServerRequest::Remove { .. } => Self::Remove,
        }
    }
}

impl From<&TaskRequest> for Action {
    fn from(request: &TaskRequest) -> Self {
        match request {
            TaskRequest::Execute { .. }
            | TaskRequest::Collect { .. }
            | TaskRequest::Recall { .. }
            | TaskRequest::Cancel { .. }
            | TaskRequest::Keep { .. }
            | TaskRequest::ExecuteWith { .. } => Self::Execute,
            TaskRequest::Ping { .. } => Self::Ping,
            TaskRequest::Drain { .. } => Self::Drain,
        }
    }
}

impl From<&JoinRequest> for Action {
    fn from(request: &JoinRequest) -> Self {
        match request {
            JoinRequest::Join { .. } => Self::Join,
        }
    }
}

/// Something that the peer may not ask.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// Its role is not for it.
    #[error("{server} refused: {peer} may not {}; {}", action.word(), action.takes())]
    Role {
        /// Who refuses.
        server: Server,
        /// Who asked.
        peer: Identity,
        /// For what.
        action: Action,
    },
    /// It has no certificate.
    #[error("{server} refused: whoever has no certificate may not {}; {}", action.word(), action.takes())]
    Stranger {
        /// Who refuses.
        server: Server,
        /// What was asked for.
        action: Action,
    },
    /// It asked for, or about, another worker than itself.
    #[error(
        "the name server refused: {peer} may act only under the name in its certificate, and not as {name}"
    )]
    Name {
        /// Who asked.
        peer: Identity,
        /// As whom.
        name: WorkerName,
    },
}

/// A service as it speaks of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Server(Service);

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Service::NameServer | Service::Join => "the name server",
            Service::Task => "the worker",
        })
    }
}

impl From<Denied> for ServerError {
    fn from(denied: Denied) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, denied.to_string())
    }
}

/// Judges what a peer asks for.
///
/// # Errors
/// Its certificate does not allow it, or it has none.
pub fn permit(who: &Who, action: Action) -> Result<(), Denied> {
    let server = Server(action.service());
    match who {
        Who::Trusted => Ok(()),
        Who::Stranger if action.is_for_strangers() => Ok(()),
        Who::Stranger => Err(Denied::Stranger { server, action }),
        Who::Known(peer) if action.roles().contains(&peer.role) => Ok(()),
        Who::Known(peer) => Err(Denied::Role { server, peer: peer.clone(), action }),
    }
}

/// Has a service answer only what its peer may ask.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Who asks.
    pub who: Who,
}

impl<Req> BeforeRequest<Req> for Guard
where
    for<'a> Action: From<&'a Req>,
{
    async fn before(&mut self, _: &mut Context, request: &Req) -> Result<(), ServerError> {
        Ok(permit(&self.who, request.into())?)
    }
}

/// Whether there is anything that a peer may ask of a service.
pub fn admits(who: &Who, service: Service) -> bool {
    Action::ALL.into_iter().any(|action| action.service() == service && permit(who, action).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{blob::Digest, buffer::Buffer};

    fn known(role: Role) -> Who {
        Who::Known(Identity { role, name: "x".parse().unwrap() })
    }

    /// Everybody who may be met: nameserver, worker, client, admin, and whoever has no certificate.
    fn everybody() -> [Who; 5] {
        let [nameserver, worker, client, admin] = Role::ALL.map(known);
        [nameserver, worker, client, admin, Who::Stranger]
    }

    /// Written out anew: one line an action, and whether each of them may.
    const EXPECTED: [(Action, [bool; 5]); 11] = [
        (Action::Register, [false, true, false, false, false]),
        (Action::Renew, [false, true, false, false, false]),
        (Action::Deregister, [false, true, false, false, false]),
        (Action::Watch, [false, false, true, true, false]),
        (Action::List, [false, false, true, true, false]),
        (Action::Lookup, [false, false, true, true, false]),
        (Action::Remove, [false, false, false, true, false]),
        (Action::Execute, [false, false, true, true, false]),
        (Action::Ping, [false, false, true, true, false]),
        (Action::Drain, [false, false, false, true, false]),
        (Action::Join, [false, false, false, false, true]),
    ];

    #[test]
    fn each_cell_of_the_table_is_as_promised() {
        assert_eq!(EXPECTED.map(|(action, _)| action), Action::ALL);
        for (action, row) in EXPECTED {
            for (who, expected) in everybody().iter().zip(row) {
                assert_eq!(permit(who, action).is_ok(), expected, "{who:?}: {action:?}");
            }
        }
    }

    #[test]
    fn without_authentication_everything_is_allowed() {
        assert!(Action::ALL.into_iter().all(|action| permit(&Who::Trusted, action).is_ok()));
        assert!(admits(&Who::Trusted, Service::NameServer) && admits(&Who::Trusted, Service::Task));
    }

    #[test]
    fn to_have_an_input_kept_takes_what_running_tasks_takes() {
        let blob = Buffer::from(b"x".to_vec());
        let keep = TaskRequest::Keep { digest: Digest::of(blob.as_bytes()), blob };
        for who in everybody() {
            let may = permit(&who, Action::from(&keep)).is_ok();
            assert_eq!(may, permit(&who, Action::Execute).is_ok(), "{who:?}");
        }
        assert_eq!(Action::from(&keep), Action::Execute);
    }

    #[test]
    fn who_may_ask_nothing_is_not_let_in() {
        let admitted = |service| everybody().map(|who| admits(&who, service));
        assert_eq!(admitted(Service::NameServer), [false, true, true, true, false]);
        assert_eq!(admitted(Service::Task), [false, false, true, true, false]);
        assert_eq!(admitted(Service::Join), [false, false, false, false, true]);
    }

    #[test]
    fn a_refusal_says_who_refuses_whom_and_what_it_takes() {
        let denied = permit(&known(Role::Client), Action::Drain).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "the worker refused: client x may not drain a worker; that takes a certificate with the role admin"
        );
        let denied = permit(&known(Role::Worker), Action::List).unwrap_err().to_string();
        assert!(
            denied.starts_with("the name server refused") && denied.ends_with("client or admin"),
            "{denied}"
        );
        let denied = permit(&Who::Stranger, Action::Register).unwrap_err().to_string();
        assert_eq!(
            denied,
            "the name server refused: whoever has no certificate may not register; that takes a certificate with the \
             role worker"
        );
        let denied = permit(&known(Role::Admin), Action::Join).unwrap_err().to_string();
        assert!(denied.ends_with("that is for those who have no certificate"), "{denied}");
    }
}
