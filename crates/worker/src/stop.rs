//! How a running worker is told to leave, and how long it then waits for anything.

use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What is left of any wait once the worker is told to stop at once.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Tells a running worker to leave.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    pub(crate) drain: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// Has told nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Take no more tasks, finish those that run, and leave.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Leave at once: what runs is cancelled, and clients are told to try it elsewhere.
    pub fn now(&self) {
        self.now.cancel();
        self.drain.cancel();
    }

    /// Waits for `what`, but no longer than `limit`. Says whether it came.
    pub(crate) async fn wait(&self, limit: Duration, what: impl Future<Output = ()>) -> bool {
        let hurried = async {
            self.now.cancelled().await;
            sleep(AT_ONCE).await;
        };
        tokio::select! {
            biased;
            () = what => true,
            () = hurried => false,
            () = sleep(limit) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_what_it_is_for_or_its_limit_or_soon_after_a_stop() {
        let stop = Stop::new();
        let start = Instant::now();
        assert!(stop.wait(Duration::ZERO, async {}).await);
        assert!(!stop.wait(Duration::from_secs(7), std::future::pending()).await);
        assert_eq!(start.elapsed(), Duration::from_secs(7));
        stop.drain();
        assert!(stop.wait(Duration::from_secs(7), sleep(Duration::from_secs(6))).await, "a drain has time");
        stop.now();
        let start = Instant::now();
        assert!(!stop.wait(Duration::from_secs(7), std::future::pending()).await);
        assert_eq!(start.elapsed(), AT_ONCE);
    }
}
