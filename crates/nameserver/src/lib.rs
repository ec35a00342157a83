//! The name server: who is alive, and where.
//!
//! It is never on the path of a task. While it is down, clients go on with the workers that they know; when it
//! comes back, empty, workers announce themselves anew.
//!
//! From the outside in: [`config`] says where to listen, [`Nameserver`] accepts and ends, `guard` says who may
//! ask what, [`service`] answers and keeps time, [`registry`] decides. [`ca`] makes the certificates that tell who
//! is who, and `desk` gives them to whoever has a token.

pub mod ca;
mod clock;
pub mod config;
mod desk;
mod guard;
pub mod registry;
pub mod service;

use config::Config;
use desk::Desk;
use guard::Guard;
use registry::Registry;
use service::Directory;
use sgdt_proto::{
    handshake,
    id::Epoch,
    identity::Who,
    name_server::{NameServer, limits},
    net::{Connection, Listener, Network},
    serve, transport,
};
use std::{fmt, io, net::SocketAddr, path::PathBuf, time::Duration};
use tarpc::server::request_hook::RequestHook;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A client asks one thing at a time, and watches; its answers are at most a few listings.
const LIMITS: serve::Limits = serve::Limits { requests: 16, backlog: 2 * limits::ANSWER as usize };
/// How long peers that do not read may delay the end.
const GRACE: Duration = Duration::from_secs(1);

/// A name server that listens, and answers once it [runs](Nameserver::run).
pub struct Nameserver {
    listener: Box<dyn Listener>,
    address: SocketAddr,
    registry: Registry,
    desk: Option<Desk>,
}

impl Nameserver {
    /// Listens. The epoch, by which others tell this start from any other, is drawn from `rng`.
    ///
    /// # Errors
    /// The address cannot be listened on, or others than this machine can reach it and the configuration does
    /// not say that this is meant.
    pub async fn bind(
        config: &Config,
        network: &dyn Network,
        rng: &mut impl rand::Rng,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError::Listen { address: config.listen.clone(), source };
        let listener = network.listen(&config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        // Judged by what the name has resolved to. Nobody has been answered yet.
        if !address.ip().is_loopback() && !config.insecure && !network.is_authenticated() {
            return Err(BindError::Exposed { address });
        }
        let registry = Registry::new(Epoch::random(rng), config.lease_ttl.get(), registry::MAX_WORKERS);
        Ok(Self { listener, address, registry, desk: None })
    }

    /// Has it also issue certificates to whoever has a token of the CA in this directory. It must have been bound to a
    /// network that lets strangers in.
    #[must_use]
    pub fn issuing(self, ca: PathBuf) -> Self {
        Self { desk: Some(Desk::new(ca)), ..self }
    }

    /// Where it listens, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`; then what is being answered is finished, those who wait are released, and all
    /// connections are closed.
    pub async fn run(self, stop: CancellationToken) {
        let directory = Directory::new(self.registry, stop.clone());
        let cut = CancellationToken::new();
        // Also when this future is dropped: connections have tasks of their own.
        let _cut = cut.clone().drop_guard();
        let answer = {
            let (directory, desk, stop, cut) = (directory.clone(), self.desk, stop.clone(), cut.clone());
            move |connection: Connection| {
                let (directory, desk, stop, cut) =
                    (directory.clone(), desk.clone(), stop.clone(), cut.clone());
                let answered = async move {
                    match (&connection.who, desk) {
                        (Who::Stranger, Some(desk)) => desk.serve(connection, stop).await,
                        (Who::Stranger, None) => {}
                        (Who::Known(_) | Who::Trusted, _) => {
                            let guard = Guard { who: connection.who, directory: directory.clone() };
                            let wire = transport::over(connection.stream, limits::REQUEST);
                            let service = directory.serve().before(guard);
                            serve::requests(wire, service, LIMITS, stop).await;
                        }
                    }
                };
                async move { cut.run_until_cancelled(answered).await.unwrap_or_default() }
            }
        };
        let serving = serve::connections(self.listener, handshake::Service::NameServer, stop.clone(), answer);
        let last_call = async {
            stop.cancelled().await;
            sleep(GRACE).await;
            cut.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = serving => {}
            () = last_call => {}
            never = directory.tend() => match never {},
        }
        info!("stopped");
    }
}

impl fmt::Debug for Nameserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nameserver({})", self.address)
    }
}

/// Why a name server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is not ours, or is taken, or is none.
    #[error("cannot listen on {address:?}: {source}; choose another --listen")]
    Listen {
        /// Which.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// Other machines could reach it.
    #[error(
        "refusing to listen on {address}, which other machines can reach: nothing is encrypted and nobody is \
         authenticated; pass --tls, listen on 127.0.0.1, or pass --insecure if the network is trusted"
    )]
    Exposed {
        /// Which.
        address: SocketAddr,
    },
}

impl BindError {
    /// Whether the command line, and not the machine, has to change.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Listen { source, .. } => source.kind() == io::ErrorKind::InvalidInput,
            Self::Exposed { .. } => true,
        }
    }
}
