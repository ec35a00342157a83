//! The side that joins.

use super::{
    Application, JoinClient, JoinError, JoinRequest, JoinResponse, MAX_MESSAGE, Welcome,
    token::{Fingerprint, Token},
};
use crate::{
    backoff::Backoff,
    dial::{DialError, Dialled, context, dial},
    files::{FileError, create, directory as make, read},
    handshake::Service,
    id::WorkerName,
    identity::Role,
    tls::{
        credentials::{CA, CERTIFICATE, KEY, REVOCATIONS},
        pinned::Pinned,
    },
};
use rcgen::{CertificateParams, KeyPair};
use std::{fs, path::Path, time::Duration};
use tarpc::client::RpcError;
use tokio::time::sleep;
use tracing::{info, warn};

/// How long a name server may take over an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The first and the longest wait before another try.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// There is something else in the directory, or it cannot be written to.
    #[error(transparent)]
    Files(#[from] FileError),
    /// No key can be made.
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
    /// There is no name server that would be asked.
    #[error("cannot join: {0}")]
    Dial(#[from] DialError),
    /// It was asked, and broke off.
    #[error("cannot join: {address} broke off: {source}")]
    Call {
        /// Where.
        address: String,
        /// How.
        source: RpcError,
    },
    /// It does not let us in.
    #[error("cannot join: {address} refused: {source}")]
    Refused {
        /// Where.
        address: String,
        /// Why.
        source: JoinError,
    },
    /// It lets us into another cluster.
    #[error("cannot join: {address} answered with a CA that is not the token's")]
    Ca {
        /// Where.
        address: String,
    },
}

impl EnrolError {
    /// Whether another try may end otherwise. One whose answer was lost tells whether the token was used.
    fn is_passing(&self) -> bool {
        match self {
            Self::Call { source, .. } => !matches!(source, RpcError::Server(_)),
            Self::Refused { source, .. } => *source == JoinError::Busy,
            Self::Files(_) | Self::Key(_) | Self::Dial(_) | Self::Ca { .. } => false,
        }
    }
}

/// Makes a key, gets a certificate for it by a token, and puts all that `--tls` takes into a directory that has none of
/// it. Waits for a name server that cannot be reached, or that has too many
/// who want to join. A directory that has a certificate is left as it is, and the token
/// unused: so the same command line serves for every start.
///
/// # Errors
/// The directory has something else, or the token is not taken: nothing is left in it then. Or what was answered cannot be
/// written.
pub async fn enrol(
    nameservers: &[String],
    token: &Token,
    role: Role,
    name: Option<&WorkerName>,
    directory: &Path,
    rng: &mut impl rand::Rng,
) -> Result<(), EnrolError> {
    if directory.join(CERTIFICATE).exists() {
        return Ok(());
    }
    make(directory, &[CA, CERTIFICATE, REVOCATIONS])?;
    let key_file = directory.join(KEY);
    let (key, made) = key(&key_file)?;
    let request = CertificateParams::default().serialize_request(&key)?.der().to_vec();
    let application = Application { secret: token.secret, role, name: name.cloned(), request };
    let welcome = ask(nameservers, token, &application, rng).await.inspect_err(|_| {
        if made {
            // It is nobody's key.
            drop(fs::remove_file(&key_file));
        }
    })?;
    create(&directory.join(CA), &welcome.ca)?;
    if let Some(revocations) = &welcome.revocations {
        create(&directory.join(REVOCATIONS), revocations)?;
    }
    // Last: where it is, all is.
    create(&directory.join(CERTIFICATE), &welcome.certificate)?;
    info!(directory = %directory.display(), "joined the cluster");
    Ok(())
}

/// The key in this file: one that is there, because an earlier start was ended while it waited, or a new one. Written
/// before the token is spent, so that what cannot be written is not asked for. Whether it is new.
fn key(path: &Path) -> Result<(KeyPair, bool), EnrolError> {
    if path.symlink_metadata().is_ok() {
        let key = KeyPair::from_pem(&read(path)?);
        return Ok((key.map_err(|_| FileError::Exists { path: path.to_owned() })?, false));
    }
    let key = KeyPair::generate()?;
    create(path, &key.serialize_pem())?;
    Ok((key, true))
}

/// Asks one name server after the other until one answers.
async fn ask(
    nameservers: &[String],
    token: &Token,
    application: &Application,
    rng: &mut impl rand::Rng,
) -> Result<Welcome, EnrolError> {
    #[expect(clippy::expect_used, reason = "constants, the first no more than the last")]
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1).expect("a valid backoff");
    let network = Pinned::new(token.ca);
    let mut told = false;
    loop {
        let mut unusable = Vec::new();
        for address in nameservers {
            let error = match dial(&network, address, Service::Join, MAX_MESSAGE).await {
                Ok(dialled) => match apply(dialled, address, token, application).await {
                    Err(error) if error.is_passing() => error,
                    answered => return answered,
                },
                Err(error) if error.is_final() => {
                    unusable.push(error);
                    continue;
                }
                Err(error) => error.into(),
            };
            if !told {
                warn!("{error}; trying on");
                told = true;
            }
        }
        if unusable.len() == nameservers.len()
            && let Some(error) = unusable.pop()
        {
            return Err(error.into());
        }
        sleep(backoff.next_delay(rng)).await;
    }
}

async fn apply(
    dialled: Dialled<JoinRequest, JoinResponse>,
    address: &str,
    token: &Token,
    application: &Application,
) -> Result<Welcome, EnrolError> {
    let address = address.to_owned();
    let client = JoinClient::new(tarpc::client::Config::default(), dialled.wire).spawn();
    let welcome = match client.join(context(ANSWER), application.clone()).await {
        Ok(Ok(welcome)) => welcome,
        Ok(Err(source)) => return Err(EnrolError::Refused { address, source }),
        Err(source) => return Err(EnrolError::Call { address, source }),
    };
    if Fingerprint::of_pem(&welcome.ca) == Some(token.ca) {
        Ok(welcome)
    } else {
        Err(EnrolError::Ca { address })
    }
}
