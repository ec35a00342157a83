//! The end of a connection that answers.

use crate::{
    handshake::{self, Service, Verdict},
    identity::Who,
    net::{Connection, Listener},
    policy,
    transport::{ServerWire, codec::Postcard},
};
use futures::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use std::{future::Future, io, sync::Arc, time::Duration};
use tarpc::{
    ClientMessage, RequestName, Response,
    server::{BaseChannel, Channel, Config, Serve},
};
use tokio::{sync::Semaphore, time::sleep};
use tokio_serde::{Deserializer, Serializer};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

/// Connections beyond this many are turned away.
pub const MAX_CONNECTIONS: usize = 8_192;
/// Peers that are being greeted beyond this many wait in the kernel's queue.
const MAX_GREETINGS: usize = 512;
/// How long to wait when the system has no descriptors or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often a stopping connection is asked whether everything has been sent.
const STOP_CHECK: Duration = Duration::from_millis(1);

/// Accepts connections and gives each, once greeted, to `handle`, until `stop`; then waits for all handlers,
/// which are expected to heed the same token.
pub async fn connections<F, Fut>(
    mut listener: Box<dyn Listener>,
    service: Service,
    stop: CancellationToken,
    handle: F,
) where
    F: Fn(Connection) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let tracker = TaskTracker::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let greetings = Arc::new(Semaphore::new(MAX_GREETINGS));
    while let Some(accepted) = stop.run_until_cancelled(accept(&mut listener, &greetings)).await {
        let (mut connection, greeting) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Whatever a stranger asks for, it is served nothing but what is for strangers.
        let service = if connection.who == Who::Stranger { Service::Join } else { service };
        let (room, stop, handle) = (room.clone(), stop.clone(), handle.clone());
        tracker.spawn(async move {
            let place = room.try_acquire_owned();
            let verdict = match () {
                () if !policy::admits(&connection.who, service) => Verdict::Forbidden,
                () if place.is_err() => Verdict::Full,
                () => Verdict::Welcome,
            };
            let greeted = handshake::accept(&mut connection.stream, service, verdict);
            let greeted = stop.run_until_cancelled(greeted).await;
            drop(greeting);
            match greeted {
                Some(Ok(())) => handle(connection).await,
                Some(Err(error)) => debug!(peer = %connection.peer, %error, "turned a peer away"),
                None => {}
            }
            drop(place);
        });
    }
    drop(listener);
    tracker.close();
    tracker.wait().await;
}

async fn accept(
    listener: &mut Box<dyn Listener>,
    greetings: &Arc<Semaphore>,
) -> io::Result<(Connection, tokio::sync::OwnedSemaphorePermit)> {
    let greeting = greetings.clone().acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?, greeting))
}

/// What one connection may take up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most requests that are being answered at a time.
    pub requests: usize,
    /// The most bytes of answers that may wait for a peer to read them.
    pub backlog: usize,
}

/// Answers a connection's requests until it ends or `stop`. After `stop`, what is being answered is still
/// answered and sent.
///
/// Within the limits, further requests wait in the stream, and a peer that asks and does not read is left.
///
/// All of them run in the caller's task: they only wait for others, and waking a task of their own for each
/// would cost more than most do.
pub async fn requests<S, Req, Resp>(
    wire: ServerWire<Req, Resp>,
    service: S,
    limits: Limits,
    stop: CancellationToken,
) where
    S: Serve<Req = Req, Resp = Resp> + Clone,
    Req: RequestName + for<'de> Deserialize<'de>,
    Resp: Serialize,
    Postcard:
        Deserializer<ClientMessage<Req>, Error = io::Error> + Serializer<Response<Resp>, Error = io::Error>,
{
    let unsent = wire.unsent();
    // A full buffer would stop handlers in the task that empties it.
    let config = Config { pending_response_buffer: limits.requests };
    let mut requests = Box::pin(BaseChannel::new(config, wire).requests());
    let mut answers = FuturesUnordered::new();
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            // Polled first after every answer, because this is also what sends answers.
            request = requests.next() => match request {
                Some(Ok(request)) => answers.push(request.execute(service.clone())),
                Some(Err(error)) => {
                    debug!(%error, "a connection failed");
                    return;
                }
                None => return,
            },
            Some(()) = answers.next() => {}
            () = stop.cancelled(), if !stopping => stopping = true,
            // Comes after a poll of `requests` that has passed on every answer given before it.
            () = sleep(STOP_CHECK), if stopping => if answers.is_empty() && unsent.bytes() == 0 {
                return;
            },
        }
        if unsent.bytes() > limits.backlog {
            debug!(bytes = unsent.bytes(), "a peer does not read its answers");
            return;
        }
        while answers.len() >= limits.requests && answers.next().await.is_some() {}
    }
}
