//! A client's connection from its greeting to its end, and the two ways in which one ends.
//!
//! A client that closes, or whose process dies, ends the stream. One that is cut off, stopped or stuck says
//! nothing: clients ping twice a second, so silence means that nobody waits for the results any more. tarpc
//! notices neither while calls are being answered, so the stream itself is watched.

use crate::{pool::Pool, service::TaskService, session::MAX_ATTEMPTS, sessions::Sessions};
use sgdt_proto::{
    id::WorkerId,
    net::{ByteStream, Connection},
    policy::Guard,
    serve, transport,
    worker::{MAX_MESSAGE, Task},
};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tarpc::server::request_hook::RequestHook;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// How often a connection is asked whether it has heard anything.
const LISTEN: Duration = Duration::from_millis(250);
/// After so many times without a byte (2.5 s) the client is given up. Counted and not measured: when this
/// process was stopped or starved, that is no silence of the client's.
const MAX_SILENCE: u32 = 10;
/// A call that is not answered at once waits for an attempt, of which a session has no more than that; so there
/// is always room for a ping. What waits to be read is at most a few of the largest outputs.
const LIMITS: serve::Limits =
    serve::Limits { requests: MAX_ATTEMPTS + 1_024, backlog: (4 * MAX_MESSAGE) as usize };
/// How long a client that has closed its side is still answered: long enough for calls that need no waiting.
const FAREWELL: Duration = Duration::from_millis(500);

/// What all connections of a worker share.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) id: WorkerId,
    pub(crate) pool: Arc<Pool>,
    pub(crate) sessions: Arc<Sessions>,
    /// Asks the worker to leave.
    pub(crate) drain: CancellationToken,
    /// Ends connections, once they have sent what they have.
    pub(crate) closing: CancellationToken,
}

impl Host {
    /// Serves one client until it is gone, or until `closing`.
    pub(crate) async fn serve(self, connection: Connection) {
        let Connection { stream, peer, who, .. } = connection;
        let pulse = Arc::new(Pulse::default());
        let stream = Box::new(Watched { stream, pulse: pulse.clone() });
        let session = self.sessions.open();
        let service =
            TaskService { id: self.id, pool: self.pool, session: session.clone(), drain: self.drain };
        let wire = transport::over(stream, MAX_MESSAGE);
        let mut requests = std::pin::pin!(serve::requests(
            wire,
            service.serve().before(Guard { who }),
            LIMITS,
            self.closing
        ));
        debug!(%peer, session = %session.id(), "a client has come");
        tokio::select! {
            // What has come is read before anybody is found silent.
            biased;
            () = &mut requests => debug!(%peer, session = %session.id(), "a client has left"),
            () = pulse.ended.cancelled() => {
                // What is being answered ends with the session, and the connection with that.
                session.end();
                let answered = timeout(FAREWELL, requests).await.is_ok();
                debug!(%peer, session = %session.id(), answered, "a client has left");
            }
            () = pulse.silence() => {
                info!(%peer, session = %session.id(), "a client has fallen silent; its tasks are cancelled");
            }
        }
    }
}

/// What is known of the other side's life.
#[derive(Debug, Default)]
struct Pulse {
    /// Bytes have come since it was last asked. A flag and no time: it is set for every read.
    heard: AtomicBool,
    /// There will be no more bytes.
    ended: CancellationToken,
}

impl Pulse {
    /// Waits until nothing has been heard for long.
    async fn silence(&self) {
        let mut ticks = interval(LISTEN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = 0;
        while silent < MAX_SILENCE {
            ticks.tick().await;
            silent = if self.heard.swap(false, Ordering::Relaxed) { 0 } else { silent + 1 };
        }
    }
}

/// A stream that notes what is heard on it.
struct Watched {
    stream: Box<dyn ByteStream>,
    pulse: Arc<Pulse>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if result.is_ok() && buf.filled().len() > before {
            self.pulse.heard.store(true, Ordering::Relaxed);
        } else if result.is_err() || buf.remaining() > 0 {
            self.pulse.ended.cancel();
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
