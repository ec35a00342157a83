//! A machine: a network card that goes on, and a process that runs, stands still, starves or is dead.
//!
//! A process has a runtime of its own, with a paused clock that only [`Machine::tick`] moves. What the system can
//! do to a process is then plain: SIGSTOP is not to tick it, SIGCONT lets its clock leap to where it would have
//! been, SIGKILL drops the runtime, and one that shares its core with many others gets one tick in so many.

use crate::network::{Life, Order, Wire};
use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::UnboundedSender,
    task::JoinHandle,
    time::{advance, sleep},
};

/// How much simulated time passes in a step of the simulation.
pub(crate) const STEP: Duration = Duration::from_millis(1);

/// A machine of the simulated network.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    orders: UnboundedSender<Order>,
    process: Option<Process>,
    /// SIGSTOP.
    pub(crate) stopped: bool,
    /// Its process gets one step in so many.
    pub(crate) share: u32,
}

struct Process {
    runtime: Runtime,
    main: JoinHandle<()>,
    life: Arc<Life>,
    /// How many steps its clock is behind.
    behind: u32,
}

/// What a step did to a machine's process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// There is none, or it goes on.
    Nothing,
    /// Its main function has returned.
    Ended,
    /// It has killed itself.
    Died,
}

impl Machine {
    pub(crate) fn new(name: String, ip: IpAddr, orders: UnboundedSender<Order>) -> Self {
        Self { name, ip, orders, process: None, stopped: false, share: 1 }
    }

    /// Starts a process, whose main function is made of its way to the network.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(&mut self, main: impl FnOnce(Wire) -> F) {
        let life = Arc::new(Life::default());
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // Timers have whole milliseconds, counted from the runtime's start. Whatever is measured begins at one.
        runtime.block_on(async { sleep(STEP).await });
        let main = runtime.spawn(main(Wire { orders: self.orders.clone(), life: life.clone() }));
        self.process = Some(Process { runtime, main, life, behind: 0 });
        self.stopped = false;
    }

    /// SIGKILL: whatever it has done is out, and nothing follows but the end of its connections.
    pub(crate) fn kill(&mut self) -> bool {
        self.process.take().is_some()
    }

    /// Whether there is a process, running or stopped.
    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Connections that its process has accepted and not closed.
    pub(crate) fn accepted(&self) -> usize {
        self.process.as_ref().map_or(0, |process| process.life.accepted.load(Ordering::Relaxed))
    }

    /// Lets a step's time pass. `now` counts the steps.
    pub(crate) fn tick(&mut self, now: u64) -> After {
        let Some(process) = &mut self.process else { return After::Nothing };
        if self.stopped || !now.is_multiple_of(self.share.into()) {
            process.behind += 1;
            return After::Nothing;
        }
        let behind = std::mem::take(&mut process.behind);
        process.runtime.block_on(async {
            if behind > 0 {
                // The system's clock has not stood still with the process.
                advance(STEP * behind).await;
            }
            sleep(STEP).await;
        });
        let after = match () {
            () if process.life.dead.load(Ordering::Relaxed) => After::Died,
            () if process.main.is_finished() => After::Ended,
            () => return After::Nothing,
        };
        if let Some(process) = self.process.take()
            && after == After::Ended
        {
            // A panic in a main function is the simulation's own mistake, or a find.
            process.runtime.block_on(process.main).unwrap();
        }
        after
    }
}
