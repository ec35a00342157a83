//! Quick tasks on the thread that reads their calls.
//!
//! To hand a task to a slot's thread, and its result back, takes two wake-ups, which is many times what a quick task
//! takes itself. So the thread that drives the worker's runtime, the leader, runs quick tasks between two of its turns,
//! each in place of a slot that is idle. That a task is quick is a guess, from what others have taken; when it is
//! wrong, another thread, the standby, drives the runtime until the leader is back, so that calls, pings among
//! them, are answered in any case. ("Leader/Followers": D. Schmidt, M. Stal, H. Rohnert and F. Buschmann,
//! Pattern-Oriented Software Architecture 2, 2000.)

#[cfg(test)]
mod tests;

use crate::{
    kernel::Kinds,
    pool::{Finished, Pool},
};
use futures::FutureExt;
use std::{
    fmt,
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread::{self, Thread},
    time::Duration,
};
use tokio::{runtime::Runtime, sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long the leader runs tasks before it looks after calls again.
const TURN: Duration = Duration::from_millis(1);
/// How often the standby looks whether the leader is stuck in a task. It finds out at the second look.
const GLANCE: Duration = Duration::from_millis(1);
/// After so many looks without a turn the standby sleeps until there is one.
const DROWSY: u32 = 100;

/// Runs a worker's quick tasks, on the thread that drives its runtime.
#[derive(Clone)]
pub struct Leader {
    pool: Arc<Pool>,
    kinds: Arc<Kinds>,
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leader({:?})", self.pool)
    }
}

impl Leader {
    pub(crate) fn new(pool: Arc<Pool>, kinds: Arc<Kinds>) -> Self {
        Self { pool, kinds }
    }

    /// Drives a future to its end on a runtime of the kind that has one thread, and the worker's quick tasks with it.
    /// Waits for no task: like those that slots run, one that the leader runs then ends by itself, or with the
    /// process.
    ///
    /// # Errors
    /// The system gives no threads.
    ///
    /// # Panics
    /// As the future does.
    pub fn block_on<F>(self, runtime: Runtime, future: F) -> io::Result<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (tell, told) = mpsc::channel();
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        // A task, and not the leader's own business, so that the standby can drive it, too.
        runtime.spawn(async move {
            let _guard = guard;
            // Whoever waits for it is this function.
            drop(tell.send(AssertUnwindSafe(future).catch_unwind().await));
        });
        let runtime = Arc::new(runtime);
        let standby = {
            let (runtime, ended) = (runtime.clone(), ended.clone());
            let watch = Arc::new(Watch::default());
            let (watching, pool) = (watch.clone(), self.pool.clone());
            let thread = thread::Builder::new().name("sgdt-standby".into());
            let thread = thread.spawn(move || watching.keep(&pool, &runtime, &ended))?;
            Standby { watch, thread: thread.thread().clone() }
        };
        let leading = runtime.clone();
        let thread = thread::Builder::new().name("sgdt-leader".into());
        let (over, wakes) = (ended.clone(), standby.thread.clone());
        thread.spawn(move || self.lead(&leading, &ended, &standby)).inspect_err(|_| {
            over.cancel();
            wakes.unpark();
        })?;
        let outcome = told.recv();
        if let Some(runtime) = Arc::into_inner(runtime) {
            runtime.shutdown_background();
        }
        match outcome {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(unheard) => Err(io::Error::other(unheard)),
        }
    }

    /// Drives the runtime, but for its turns.
    fn lead(&self, runtime: &Runtime, ended: &CancellationToken, standby: &Standby) {
        let mut last: Option<Finished> = None;
        loop {
            let finished = last.take();
            let turn = ended.run_until_cancelled(async {
                // Within the runtime, where waking the call that waits for it takes no system call.
                finished.into_iter().for_each(Finished::settle);
                poll_fn(|cx| self.pool.poll_turn(cx)).await
            });
            let Some((slot, mut next)) = runtime.block_on(turn) else { break };
            standby.leave();
            let end = Instant::now() + TURN;
            let mut slot = Some(slot);
            while let Some(running) = next {
                let finished = running.compute(&self.kinds);
                next = self.pool.next_of_turn(&mut slot, end);
                if next.is_some() {
                    // Whoever waits for it does not wait for the next.
                    finished.settle();
                } else {
                    last = Some(finished);
                }
            }
            standby.back();
        }
        standby.thread.unpark();
    }
}

/// What the leader knows of its standby.
struct Standby {
    watch: Arc<Watch>,
    thread: Thread,
}

impl Standby {
    fn leave(&self) {
        self.watch.turns.fetch_add(1, SeqCst);
        if self.watch.asleep.load(SeqCst) {
            self.thread.unpark();
        }
    }

    fn back(&self) {
        self.watch.turns.fetch_add(1, SeqCst);
        if self.watch.drives.load(SeqCst) {
            self.watch.back.notify_one();
        }
    }
}

/// What the standby knows of its leader. Each of the two says what it does before it looks what the other does, so
/// that at least one of them sees the other.
#[derive(Debug, Default)]
struct Watch {
    /// How often the leader has left the runtime or come back: it is away while this is odd.
    turns: AtomicU64,
    /// The standby does not look until it is woken.
    asleep: AtomicBool,
    /// The standby drives the runtime.
    drives: AtomicBool,
    /// The leader is back, and the standby drives.
    back: Notify,
}

impl Watch {
    fn keep(&self, pool: &Pool, runtime: &Runtime, ended: &CancellationToken) {
        let mut quiet = 0;
        let mut seen = self.turns.load(SeqCst);
        while !ended.is_cancelled() {
            if quiet < DROWSY {
                thread::park_timeout(GLANCE);
            } else {
                self.asleep.store(true, SeqCst);
                if self.turns.load(SeqCst) == seen && !ended.is_cancelled() {
                    thread::park();
                }
                self.asleep.store(false, SeqCst);
            }
            let now = self.turns.load(SeqCst);
            if now != seen {
                (seen, quiet) = (now, 0);
            } else if is_away(now) {
                // What came with the task that takes so long does not wait for it.
                pool.rouse();
                self.drive(runtime, ended, now);
            } else {
                quiet += 1;
            }
        }
    }

    /// Drives the runtime until the leader is back.
    fn drive(&self, runtime: &Runtime, ended: &CancellationToken, away: u64) {
        self.drives.store(true, SeqCst);
        runtime.block_on(ended.run_until_cancelled(async {
            while self.turns.load(SeqCst) == away {
                self.back.notified().await;
            }
        }));
        self.drives.store(false, SeqCst);
    }
}

fn is_away(turns: u64) -> bool {
    turns % 2 == 1
}
