//! Ctrl-C and SIGTERM: the first one asks, the second one insists.

use crate::{exit::ExitStatus, job::replace::remove_unfinished};
use std::{
    io, process,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// How long the end may take before a person is told what it is that takes so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the program was told to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    token: CancellationToken,
    status: Arc<OnceLock<ExitStatus>>,
}

impl Interrupt {
    /// Listens from now on. At the second signal the process ends where it stands.
    pub(crate) fn listen() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // With a handler, a write beyond the limit of a file's size (ulimit -f) is an error that can be told, and does not end
        // this process with its files half done.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
        let told = Self { token: CancellationToken::new(), status: Arc::default() };
        tokio::spawn(told.clone().follow(interrupt, terminate));
        Ok(told)
    }

    async fn follow(self, mut interrupt: Signal, mut terminate: Signal) {
        loop {
            let status = tokio::select! {
                _ = interrupt.recv() => ExitStatus::Interrupted,
                _ = terminate.recv() => ExitStatus::Terminated,
            };
            if self.status.set(status).is_err() {
                remove_unfinished();
                process::exit(status.code().into());
            }
            self.token.cancel();
            tokio::spawn(async {
                sleep(PATIENCE).await;
                eprintln!("client: interrupted, and still writing what is done; once more to end at once");
            });
        }
    }

    /// Cancelled at the first signal.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// How the program ends because of it.
    pub(crate) fn status(&self) -> ExitStatus {
        self.status.get().copied().unwrap_or(ExitStatus::Interrupted)
    }

    /// Does something, unless the program is told to end first.
    pub(crate) async fn unless<T, E: From<Interrupted>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let done = self.token.run_until_cancelled(work).await;
        done.unwrap_or_else(|| Err(Interrupted(self.status()).into()))
    }
}

/// The program was told to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted(pub(crate) ExitStatus);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_goes_on_unless_the_program_is_told_to_end() {
        let told = Interrupt { token: CancellationToken::new(), status: Arc::default() };
        assert_eq!(told.unless(async { Ok::<_, Interrupted>(1) }).await, Ok(1));
        told.status.set(ExitStatus::Terminated).unwrap();
        told.token.cancel();
        let work = std::future::pending::<Result<(), Interrupted>>();
        assert_eq!(told.unless(work).await, Err(Interrupted(ExitStatus::Terminated)));
    }
}
