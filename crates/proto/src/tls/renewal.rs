//! Reading the directory again, while the program runs.
//!
//! New files take effect for new connections at once. Peers of connections that are open are judged anew, and those whose
//! certificates are not good any more, because they have been revoked or their CA is gone, lose them.

use super::{
    Shared, Tls,
    credentials::{CERTIFICATE, Credentials, CredentialsError, Files, REVOCATIONS},
    keys::Keys,
};
use std::{
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};
use tracing::{info, warn};

/// How often the files are read.
const OFTEN: Duration = Duration::from_secs(1);

impl Tls {
    /// Has a task of the runtime that this is called in read the directory again every second, until the last clone
    /// of this is gone. Files that are not in order are told of once, and those read before stay in use.
    ///
    /// # Panics
    /// There is no runtime.
    #[must_use]
    pub fn follow(self) -> Self {
        let shared = Arc::downgrade(&self.shared);
        tokio::spawn(async move {
            let mut told = String::new();
            loop {
                sleep(OFTEN).await;
                let Some(shared) = shared.upgrade() else { return };
                let directory = shared.keys().directory.clone();
                match spawn_blocking(move || shared.renew()).await {
                    Ok(Ok(None)) => told.clear(),
                    Ok(Ok(Some(closed))) => {
                        told.clear();
                        info!(directory = %directory.display(), closed, "certificates were read again");
                    }
                    Ok(Err(error)) => {
                        let error = error.to_string();
                        if error != told {
                            warn!("{error}; the files read before stay in use");
                            told = error;
                        }
                    }
                    // The runtime ends.
                    Err(_) => return,
                }
            }
        });
        self
    }
}

impl Shared {
    /// Reads the directory again. If it holds something else than before, how many connections that has ended.
    pub(super) fn renew(&self) -> Result<Option<usize>, CredentialsError> {
        let current = self.keys();
        let files = Files::read(&current.directory)?;
        if files == current.files {
            return Ok(None);
        }
        if files.revocations.is_none() && current.files.revocations.is_some() {
            // Nobody who has been refused comes back by that.
            let path = current.directory.join(REVOCATIONS);
            return Err(CredentialsError::Unreadable { path, source: io::ErrorKind::NotFound.into() });
        }
        let credentials = Credentials::parse(&current.directory, files)?;
        if credentials.identity != self.identity {
            let path = current.directory.join(CERTIFICATE);
            let (theirs, ours) = (credentials.identity, self.identity.clone());
            return Err(CredentialsError::Another { path, theirs, ours });
        }
        let keys = Arc::new(Keys::new(credentials, self.strangers)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.clone();
        Ok(Some(self.open.judge(&keys)))
    }
}
