//! How a kernel learns that nobody wants its result any more.
//!
//! Asking is one relaxed load, so kernels ask often. Only a kernel that waits for time to pass needs to be
//! woken, and only [`Cancel::wait`] and [`Cancel::cancel`] touch the lock that does it.

use sgdt_proto::task::{ErrorCode, TaskError};
use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::time::{Duration, Instant};

/// A kernel's view of its task's fate. Cheap to clone, cheap to ask.
#[derive(Clone, Debug)]
pub struct Cancel {
    shared: Arc<Shared>,
    /// Set once the kernel starts: a time-out counts from there.
    deadline: Option<Instant>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    /// Held while a waiter looks at the flag and goes to sleep, and by whoever wakes it.
    waiting: Mutex<()>,
    woken: Condvar,
}

impl Cancel {
    /// A task that nobody has cancelled yet and that may run as long as it takes.
    pub fn new() -> Self {
        Self { shared: Arc::default(), deadline: None }
    }

    /// The same task, which now starts to run and may do so for `timeout`.
    #[must_use]
    pub fn started(mut self, timeout: Option<Duration>) -> Self {
        self.deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self
    }

    /// Asks the kernel to stop.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
        // A waiter that saw the flag unset held the lock from then until it slept: once the lock was ours,
        // it either sleeps and hears the notification, or will see the flag.
        drop(self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.woken.notify_all();
    }

    /// Whether the task was cancelled (not whether its time is up).
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Relaxed)
    }

    /// Whether the kernel may go on. Ask at least every few milliseconds.
    ///
    /// # Errors
    /// `cancelled` or `timeout`: return it as it is, with `?`.
    pub fn check(&self) -> Result<(), TaskError> {
        if self.is_cancelled() {
            return Err(TaskError::new(ErrorCode::Cancelled, "the task was cancelled"));
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                Err(TaskError::new(ErrorCode::Timeout, "the task ran longer than its time-out"))
            }
            _ => Ok(()),
        }
    }

    /// Lets this thread sleep for `duration`, or until the task is cancelled or out of time: it wakes at once.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn wait(&self, duration: Duration) -> Result<(), TaskError> {
        // None: further away than the clock can tell.
        let end = Instant::now().checked_add(duration);
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            self.check()?;
            let now = Instant::now();
            if end.is_some_and(|end| end <= now) {
                return Ok(());
            }
            waiting = match end.into_iter().chain(self.deadline).min() {
                Some(until) => {
                    let woken = self.shared.woken.wait_timeout(waiting, until.saturating_duration_since(now));
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.shared.woken.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_task_stays_cancelled_for_every_handle() {
        let cancel = Cancel::new();
        let running = cancel.clone().started(Some(Duration::from_secs(3600)));
        assert_eq!(running.check(), Ok(()));
        cancel.cancel();
        assert!(running.is_cancelled());
        assert_eq!(running.check().unwrap_err().code, ErrorCode::Cancelled);
        assert_eq!(running.wait(Duration::MAX).unwrap_err().code, ErrorCode::Cancelled);
    }

    #[test]
    fn time_counts_from_the_start_and_a_time_out_beyond_the_clock_never_comes() {
        let cancel = Cancel::new();
        let late = cancel.clone().started(Some(Duration::ZERO));
        assert_eq!(late.check().unwrap_err().code, ErrorCode::Timeout);
        assert!(!late.is_cancelled());
        assert_eq!(late.wait(Duration::MAX).unwrap_err().code, ErrorCode::Timeout);
        assert_eq!(cancel.started(Some(Duration::MAX)).check(), Ok(()));
    }

    #[test]
    fn a_wait_ends_when_its_time_has_passed() {
        let before = Instant::now();
        assert_eq!(Cancel::new().wait(Duration::from_millis(5)), Ok(()));
        assert!(before.elapsed() >= Duration::from_millis(5));
    }

    #[test]
    fn cancelling_wakes_a_wait_that_would_never_end() {
        let cancel = Cancel::new();
        let waiter = std::thread::spawn({
            let cancel = cancel.clone();
            move || cancel.wait(Duration::MAX)
        });
        cancel.cancel();
        assert_eq!(waiter.join().unwrap().unwrap_err().code, ErrorCode::Cancelled);
    }
}
