//! The end of a connection that asks.

use crate::{
    handshake::{self, HANDSHAKE_TIMEOUT, HandshakeError, Service},
    id::WorkerName,
    name_server::WorkerInfo,
    net::Network,
    tls::refusal::{Refusal, Wanted},
    transport::{self, ClientWire, codec::MAX_DEADLINE},
    worker::{MAX_MESSAGE, TaskRequest, TaskResponse},
};
use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tarpc::context::Context;
use tokio::time::{Instant, timeout};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No stream.
    #[error("{address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A stream, but not to what was sought.
    #[error("{address}: {source}")]
    Handshake {
        /// Where to.
        address: String,
        /// Why not.
        source: HandshakeError,
    },
    /// One of the two sides does not want the other.
    #[error("{address}: {source}")]
    Refused {
        /// Where to.
        address: String,
        /// Which side, and why.
        source: Refusal,
    },
}

impl DialError {
    /// Whether it is of no use to try again until somebody has changed how one of the two sides is run.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Connect { .. } => false,
            Self::Handshake { source, .. } => {
                matches!(source, HandshakeError::Tls | HandshakeError::Forbidden(_))
            }
            Self::Refused { .. } => true,
        }
    }
}

/// A connection that is ready for requests.
#[derive(Debug)]
pub struct Dialled<Req, Resp> {
    /// What a generated client is made from.
    pub wire: ClientWire<Req, Resp>,
    /// Our address, as the other side may reach it.
    pub local: SocketAddr,
}

/// Opens a connection to `address` and greets `service` there.
///
/// # Errors
/// There is nothing, something else, or something that does not answer.
pub async fn dial<Req, Resp>(
    network: &dyn Network,
    address: &str,
    service: Service,
    limit: u64,
) -> Result<Dialled<Req, Resp>, DialError> {
    reach(network, address, service, None, limit).await
}

/// Opens a connection to the `Task` service of a worker, and makes sure that it is that worker's: whoever else
/// listens at its address is not talked to.
///
/// # Errors
/// As [`dial`]; and it is somebody else.
pub async fn dial_worker(
    network: &dyn Network,
    worker: &WorkerInfo,
) -> Result<Dialled<TaskRequest, TaskResponse>, DialError> {
    reach(network, &worker.address, Service::Task, Some(&worker.name), MAX_MESSAGE).await
}

async fn reach<Req, Resp>(
    network: &dyn Network,
    address: &str,
    service: Service,
    name: Option<&WorkerName>,
    limit: u64,
) -> Result<Dialled<Req, Resp>, DialError> {
    let refused = |source| DialError::Refused { address: address.to_owned(), source };
    let mut connection = network.connect(address).await.map_err(|source| match Refusal::of(&source) {
        Some(refusal) => refused(refusal),
        None => DialError::Connect { address: address.to_owned(), source },
    })?;
    Wanted::server(service, name).check(&connection.who).map_err(refused)?;
    // Bounds the writing, too: a peer may be stopped with its socket open.
    let greeted = timeout(HANDSHAKE_TIMEOUT, handshake::connect(&mut connection.stream, service)).await;
    greeted.unwrap_or(Err(HandshakeError::Timeout)).map_err(|source| match &source {
        // The other side judges our certificate after we have judged its.
        HandshakeError::Io(error) if let Some(refusal) = Refusal::of(error) => refused(refusal),
        _ => DialError::Handshake { address: address.to_owned(), source },
    })?;
    Ok(Dialled { wire: transport::over(connection.stream, limit), local: connection.local })
}

/// A call's context with a deadline of our own: tarpc's default of ten seconds is for nothing that we do.
/// [`MAX_DEADLINE`] and what is beyond it stands for none.
pub fn context(deadline: Duration) -> Context {
    let mut context = tarpc::context::current();
    let deadline = if deadline < MAX_DEADLINE { deadline } else { none() };
    context.deadline = (Instant::now() + deadline).into_std();
    context
}

/// A deadline so far away that it is none, and later than that of any call before. tarpc sets its timer anew, and
/// wakes the connection, for a deadline that comes before all others; and it reads the wall clock, so that under
/// simulated time it would be chance which does.
fn none() -> Duration {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    (MAX_DEADLINE / 2 + Duration::from_millis(100).saturating_mul(calls.min(1 << 31) as u32))
        .min(MAX_DEADLINE)
}
