//! The desk at which strangers hand in their tokens: what a name server with a CA serves to those without a certificate.

mod attempts;
mod places;

use crate::ca::{
    self, CaError, Issued,
    token::{self, Found, Grant},
};
use attempts::Attempts;
use places::Places;
use rand::{SeedableRng, rngs::StdRng};
use rcgen::CertificateSigningRequestParams;
use sgdt_proto::{
    identity::Identity,
    join::{Application, Join, JoinError, MAX_MESSAGE, Welcome},
    net::Connection,
    policy::Guard,
    serve, transport,
};
use std::{
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tarpc::{context::Context, server::request_hook::RequestHook};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// How long a stranger may stay.
const VISIT: Duration = Duration::from_secs(10);
/// One asks one thing.
const LIMITS: serve::Limits = serve::Limits { requests: 1, backlog: MAX_MESSAGE as usize };

/// Lets in whoever has a token. Clones are the same desk.
#[derive(Clone)]
pub(crate) struct Desk {
    shared: Arc<Shared>,
}

struct Shared {
    ca: PathBuf,
    opened: Instant,
    attempts: Mutex<Attempts>,
    /// Held while somebody is judged and let in: two who want one name are to see each other.
    admitting: Mutex<()>,
    places: Places,
}

impl Desk {
    /// The desk of the CA in this directory.
    pub(crate) fn new(ca: PathBuf) -> Self {
        let (attempts, admitting, places) = (Mutex::default(), Mutex::default(), Places::default());
        Self { shared: Arc::new(Shared { ca, opened: Instant::now(), attempts, admitting, places }) }
    }

    /// Serves one stranger.
    pub(crate) async fn serve(self, connection: Connection, stop: CancellationToken) {
        let Some(_place) = self.shared.places.take(connection.peer.ip()) else { return };
        let wire = transport::over(connection.stream, MAX_MESSAGE);
        let visitor = Visitor { shared: self.shared.clone(), from: connection.peer.ip() };
        let service = visitor.serve().before(Guard { who: connection.who });
        // Whoever takes longer is not waited for.
        drop(timeout(VISIT, serve::requests(wire, service, LIMITS, stop)).await);
    }
}

#[derive(Clone)]
struct Visitor {
    shared: Arc<Shared>,
    from: IpAddr,
}

impl Join for Visitor {
    async fn join(self, _: Context, application: Application) -> Result<Welcome, JoinError> {
        let Self { shared, from } = self;
        let now = shared.opened.elapsed();
        if !shared.attempts().take(from, now) {
            debug!(%from, "too many attempts to join");
            return Err(JoinError::Busy);
        }
        #[expect(clippy::disallowed_methods, reason = "certificates and tokens end by the calendar")]
        let now = SystemTime::now();
        let admitting = shared.clone();
        let admitted = spawn_blocking(move || admitting.admit(&application, now)).await;
        let (identity, welcome) = match admitted {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(Refused::Join(refused))) => {
                warn!(%from, "refused somebody who asked to join: {refused}");
                return Err(refused);
            }
            Ok(Err(Refused::Ca(failed))) => {
                error!(%from, "cannot let anybody join: {failed}");
                return Err(JoinError::Failed);
            }
            Err(_) => return Err(JoinError::Failed),
        };
        shared.attempts().forgive(from);
        info!(%from, %identity, "somebody has joined");
        Ok(welcome)
    }
}

/// Why nobody was let in: for them to hear, or for us alone.
enum Refused {
    Join(JoinError),
    Ca(CaError),
}

impl From<JoinError> for Refused {
    fn from(error: JoinError) -> Self {
        Self::Join(error)
    }
}

impl From<CaError> for Refused {
    fn from(error: CaError) -> Self {
        Self::Ca(error)
    }
}

impl Shared {
    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges an application. The token is used up only when all else is right.
    fn admit(&self, application: &Application, now: SystemTime) -> Result<(Identity, Welcome), Refused> {
        let _alone = self.admitting.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = match token::find(&self.ca, application.secret)? {
            Found::Unused(grant) => grant,
            Found::Used => return Err(JoinError::Used.into()),
            Found::Nothing => return Err(JoinError::Unknown.into()),
        };
        let identity = self.identity(grant, application, now)?;
        let request = CertificateSigningRequestParams::from_der(&application.request.as_slice().into());
        let key = request.map_err(|_| JoinError::Request)?.public_key;
        if !token::spend(&self.ca, application.secret)? {
            return Err(JoinError::Used.into());
        }
        let made = ca::certify(&self.ca, identity, &[], &key, now, &mut StdRng::from_os_rng())?;
        let welcome = Welcome { ca: made.ca, certificate: made.certificate, revocations: made.revocations };
        Ok((made.issued.identity, welcome))
    }

    /// Who somebody with this token becomes.
    fn identity(
        &self,
        grant: Grant,
        application: &Application,
        now: SystemTime,
    ) -> Result<Identity, Refused> {
        let Application { role: asked, name, .. } = application;
        if grant.end < now {
            return Err(JoinError::Expired.into());
        }
        if grant.role != *asked {
            return Err(JoinError::Role { token: grant.role, asked: *asked }.into());
        }
        let name = match (grant.name, name) {
            (Some(token), Some(asked)) if token != *asked => {
                return Err(JoinError::Name { token, asked: asked.clone() }.into());
            }
            (Some(name), _) => name,
            (None, None) => return Err(JoinError::Nameless.into()),
            (None, Some(name)) => {
                // Whoever made the token did not mean it to make somebody else of anybody.
                let good = |issued: &Issued| issued.revoked.is_none() && issued.not_after >= now;
                if ca::list(&self.ca)?.iter().any(|issued| issued.identity.name == *name && good(issued)) {
                    return Err(JoinError::Taken { name: name.clone() }.into());
                }
                name.clone()
            }
        };
        Ok(Identity { role: grant.role, name })
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk({})", self.shared.ca.display())
    }
}

#[cfg(test)]
mod tests;
