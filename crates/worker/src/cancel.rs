//! How a kernel learns that nobody wants its result any more, and what help there is for it.
//!
//! Asking is one relaxed load, so kernels ask often. Only a kernel that waits for time to pass needs to be
//! woken, and only [`Cancel::wait`] and [`Cancel::cancel`] touch the lock that does it.

use crate::{
    cores::{Busy, Cores},
    panics,
};
use sgdt_proto::task::{ErrorCode, TaskError};
use std::{
    panic::resume_unwind,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use tokio::time::{Duration, Instant};

/// A kernel's view of its task's fate. Cheap to clone, cheap to ask.
#[derive(Clone, Debug)]
pub struct Cancel {
    shared: Arc<Shared>,
    /// Set once the kernel starts: a time-out counts from there.
    deadline: Option<Instant>,
    /// Whose idle ones may help.
    cores: Option<Arc<Cores>>,
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
        Self { shared: Arc::default(), deadline: None, cores: None }
    }

    /// The same task, which now starts to run and may do so for `timeout`.
    #[must_use]
    pub fn started(mut self, timeout: Option<Duration>) -> Self {
        self.deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self
    }

    /// The same task, which may use these cores while they are idle.
    #[must_use]
    pub fn helped_by(mut self, cores: &Arc<Cores>) -> Self {
        self.cores = Some(cores.clone());
        self
    }

    /// The same task, without help: for whoever has threads of its own.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { cores: None, ..self.clone() }
    }

    /// Whether somebody is idle who could help. Where nobody is, work need not be cut up.
    pub fn has_help(&self) -> bool {
        self.cores.as_ref().is_some_and(|cores| cores.has_idle())
    }

    /// Does two things: at the same time if there is an idle core, else one after the other. Starting a thread takes
    /// some tens of microseconds, so that what takes less than a millisecond is better done without.
    pub fn join<A, B: Send>(&self, left: impl FnOnce() -> A, right: impl FnOnce() -> B + Send) -> (A, B) {
        let Some(core) = self.cores.as_ref().and_then(Cores::borrow) else {
            let left = left();
            return (left, right());
        };
        // One core is enough for whichever is left when the other is done.
        let core = Mutex::new(Some(core));
        let (left_done, right_done) = (GiveBack(&core), GiveBack(&core));
        // Taken by the thread or, if there is none to be had, by this one.
        let right = Mutex::new(Some(right));
        let take = || right.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread::scope(|scope| {
            let helped = move || {
                let _done = right_done;
                panics::quietly(|| take().map(|right| right()))
            };
            let helper = thread::Builder::new().name("sgdt-helper".to_owned()).spawn_scoped(scope, helped);
            let left = {
                let _done = left_done;
                left()
            };
            let right = match helper {
                Ok(helper) => helper.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_) => take().map(|right| right()),
            };
            match right {
                Some(right) => (left, right),
                None => unreachable!("somebody takes it, and returns what it gives"),
            }
        })
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

/// Gives a borrowed core back when it is dropped, unless another has.
struct GiveBack<'c>(&'c Mutex<Option<Busy>>);

impl Drop for GiveBack<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
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

    #[test]
    fn two_things_are_done_by_two_threads_if_a_core_is_idle_and_else_by_one() {
        let cores = Cores::new(2);
        let task = cores.occupy();
        let cancel = Cancel::new().helped_by(&cores);
        let here = thread::current().id();
        let (left, right) = cancel.join(|| thread::current().id(), || thread::current().id());
        assert!(left == here && right != here);
        // What was borrowed is given back, and what is busy is not lent.
        assert!(cancel.has_help());
        let other = cores.occupy();
        assert!(!cancel.has_help());
        assert_eq!(cancel.join(|| 1, || thread::current().id()), (1, here));
        drop((task, other));
        assert_eq!(Cancel::new().join(|| 1, || thread::current().id()), (1, here));
    }

    #[test]
    fn whichever_of_two_things_is_left_may_have_help() {
        let cores = Cores::new(2);
        let _task = cores.occupy();
        let cancel = Cancel::new().helped_by(&cores);
        let until_helped = || {
            let until = Instant::now() + Duration::from_secs(60);
            while !cancel.has_help() && Instant::now() < until {
                thread::yield_now();
            }
            cancel.has_help()
        };
        assert!(cancel.join(until_helped, || ()).0);
        assert!(cancel.join(|| (), until_helped).1);
    }

    #[test]
    fn a_panic_on_another_thread_is_a_panic_of_the_kernel() {
        let cores = Cores::new(2);
        let cancel = Cancel::new().helped_by(&cores);
        let caught = panics::caught(|| cancel.join(|| 1, || panic!("over there"))).unwrap_err();
        assert!(caught.ends_with("over there"), "{caught}");
        let both = [cores.borrow(), cores.borrow()];
        assert!(both.iter().all(Option::is_some), "its core is free again");
    }
}
