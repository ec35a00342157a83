//! Where kernels run: on threads of their own, or, in a simulation, nowhere at all.

use crate::{
    kernel::Kinds,
    pool::{Pool, Running},
};
use sgdt_proto::task::Assignment;
use std::{
    fmt,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How often a simulated kernel asks whether to go on.
const SIMULATED_CHECK: Duration = Duration::from_millis(10);

/// How long a task takes in a simulation.
pub type Durations = Arc<dyn Fn(&Assignment) -> Duration + Send + Sync>;

/// What a worker's slots, and its heartbeat, run on.
#[derive(Clone)]
pub enum Executor {
    /// Threads, so that kernels never hold up the runtime that serves calls, nor either of them a heartbeat.
    Threads,
    /// Tasks of the runtime that runs the worker. Each waits for as long as this says, in the runtime's time,
    /// and then computes its result within one poll. Nothing here depends on real time or on a second thread,
    /// so that a simulation is repeatable.
    Simulated(Durations),
}

impl Executor {
    /// Starts the slots. They end when the pool is closed.
    ///
    /// # Errors
    /// The system gives no more threads. Close the pool then.
    pub(crate) fn start(&self, pool: &Arc<Pool>, kinds: &Arc<Kinds>, slots: u32) -> io::Result<()> {
        for slot in 0..slots as usize {
            let (pool, kinds) = (pool.clone(), kinds.clone());
            match self {
                Self::Threads => {
                    let thread = thread::Builder::new().name(format!("sgdt-slot-{slot}"));
                    thread.spawn(move || serve(&pool, slot, &kinds))?;
                }
                Self::Simulated(durations) => {
                    let durations = durations.clone();
                    tokio::spawn(async move {
                        while let Some(running) = poll_fn(|cx| pool.poll_next(slot, cx)).await {
                            let duration = durations(running.assignment());
                            simulate(running, duration, &kinds).await;
                        }
                    });
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "Threads",
            Self::Simulated(_) => "Simulated",
        })
    }
}

/// Runs one job after another on this thread.
fn serve(pool: &Arc<Pool>, slot: usize, kinds: &Kinds) {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match pool.poll_next(slot, &mut cx) {
            Poll::Ready(Some(running)) => running.run(kinds),
            Poll::Ready(None) => return,
            // A wake-up that came since the poll is not lost: it has this return at once.
            Poll::Pending => thread::park(),
        }
    }
}

async fn simulate(running: Running, duration: Duration, kinds: &Kinds) {
    let end = Instant::now() + duration;
    while running.is_wanted()
        && let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        sleep(left.min(SIMULATED_CHECK)).await;
    }
    running.run(kinds);
}
