//! Who may ask what: one table, and whatever is not in it is refused.
//!
//! Where nobody is authenticated, because the network is trusted, everybody may ask everything.

use crate::{
    handshake::Service,
    id::WorkerName,
    identity::{Identity, Role},
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
    /// To run tasks, and to fetch, take back and cancel one's own.
    Execute,
    /// Whether a worker is alive, and its load.
    Ping,
    /// To have a worker leave.
    Drain,
}

impl Action {
    /// Each of them.
    pub const ALL: [Self; 10] = [
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
        }
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
            | TaskRequest::Cancel { .. } => Self::Execute,
            TaskRequest::Ping { .. } => Self::Ping,
            TaskRequest::Drain { .. } => Self::Drain,
        }
    }
}

/// Something that the peer may not ask.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// Its role is not for it.
    #[error("{server} refused: {peer} may not {}; that takes a certificate with the role {}", action.word(), list(action.roles()))]
    Role {
        /// Who refuses.
        server: Server,
        /// Who asked.
        peer: Identity,
        /// For what.
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
            Service::NameServer => "the name server",
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
/// Its certificate does not allow it.
pub fn permit(peer: Option<&Identity>, action: Action) -> Result<(), Denied> {
    match peer {
        Some(peer) if !action.roles().contains(&peer.role) => {
            Err(Denied::Role { server: Server(action.service()), peer: peer.clone(), action })
        }
        _ => Ok(()),
    }
}

/// Has a service answer only what its peer may ask.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Who asks; `None` where nobody is authenticated.
    pub peer: Option<Identity>,
}

impl<Req> BeforeRequest<Req> for Guard
where
    for<'a> Action: From<&'a Req>,
{
    async fn before(&mut self, _: &mut Context, request: &Req) -> Result<(), ServerError> {
        Ok(permit(self.peer.as_ref(), request.into())?)
    }
}

/// Whether there is anything that a peer may ask of a service.
pub fn admits(peer: Option<&Identity>, service: Service) -> bool {
    Action::ALL.into_iter().any(|action| action.service() == service && permit(peer, action).is_ok())
}

fn list(roles: &[Role]) -> String {
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(role: Role) -> Identity {
        Identity { role, name: "x".parse().unwrap() }
    }

    /// Written out anew: one line an action, and whether nameserver, worker, client and admin may.
    const EXPECTED: [(Action, [bool; 4]); 10] = [
        (Action::Register, [false, true, false, false]),
        (Action::Renew, [false, true, false, false]),
        (Action::Deregister, [false, true, false, false]),
        (Action::Watch, [false, false, true, true]),
        (Action::List, [false, false, true, true]),
        (Action::Lookup, [false, false, true, true]),
        (Action::Remove, [false, false, false, true]),
        (Action::Execute, [false, false, true, true]),
        (Action::Ping, [false, false, true, true]),
        (Action::Drain, [false, false, false, true]),
    ];

    #[test]
    fn each_cell_of_the_table_is_as_promised() {
        assert_eq!(EXPECTED.map(|(action, _)| action), Action::ALL);
        for (action, row) in EXPECTED {
            for (role, expected) in Role::ALL.into_iter().zip(row) {
                assert_eq!(permit(Some(&peer(role)), action).is_ok(), expected, "{role}: {action:?}");
            }
        }
    }

    #[test]
    fn without_authentication_everything_is_allowed() {
        assert!(Action::ALL.into_iter().all(|action| permit(None, action).is_ok()));
        assert!(admits(None, Service::NameServer) && admits(None, Service::Task));
    }

    #[test]
    fn who_may_ask_nothing_is_not_let_in() {
        let admitted = |service| Role::ALL.map(|role| admits(Some(&peer(role)), service));
        assert_eq!(admitted(Service::NameServer), [false, true, true, true]);
        assert_eq!(admitted(Service::Task), [false, false, true, true]);
    }

    #[test]
    fn a_refusal_says_who_refuses_whom_and_what_it_takes() {
        let denied = permit(Some(&peer(Role::Client)), Action::Drain).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "the worker refused: client x may not drain a worker; that takes a certificate with the role admin"
        );
        let denied = permit(Some(&peer(Role::Worker)), Action::List).unwrap_err().to_string();
        assert!(
            denied.starts_with("the name server refused") && denied.ends_with("client or admin"),
            "{denied}"
        );
    }
}
