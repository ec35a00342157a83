//! What can befall a cluster, and how a seed chooses among it.

use crate::plan::Plan;
use rand::{Rng, rngs::SmallRng};

/// One thing that goes wrong. Machines are numbered as the plan numbers them, times are in milliseconds.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The process is killed; its connections end. It starts again after so long, or never.
    Crash { machine: usize, back: Option<u64> },
    /// The machine loses its power: nothing tells of it. The process starts again after so long.
    PowerLoss { machine: usize, back: u64 },
    /// SIGSTOP, and SIGCONT after so long.
    Hang { machine: usize, lasts: u64 },
    /// What one sends to the other is lost, and nobody is told.
    Cut { from: usize, to: usize, both_ways: bool, lasts: u64 },
    /// A machine's cable is pulled.
    Isolate { machine: usize, lasts: u64 },
    /// Their connections end, and both of them live.
    Reset { a: usize, b: usize },
    /// What they send to each other arrives late, all at once.
    Hold { a: usize, b: usize, lasts: u64 },
    /// What they send to each other takes so long.
    Lag { a: usize, b: usize, latency: u64, lasts: u64 },
    /// Its kernels take so many times as long.
    Slow { machine: usize, factor: u32, lasts: u64 },
    /// It gets one share in so many of its core.
    Starve { machine: usize, share: u32, lasts: u64 },
    /// The worker is told to leave. It starts again after so long, or never.
    Drain { machine: usize, back: Option<u64> },
    /// The client is gone, with or without its connections ending.
    Vanish { machine: usize, silently: bool },
}

impl Fault {
    /// For how long it makes a difference.
    pub(crate) fn lasts(&self) -> u64 {
        match *self {
            Self::Crash { back, .. } | Self::Drain { back, .. } => back.unwrap_or(0),
            Self::PowerLoss { back, .. } => back,
            Self::Hang { lasts, .. }
            | Self::Cut { lasts, .. }
            | Self::Isolate { lasts, .. }
            | Self::Hold { lasts, .. }
            | Self::Lag { lasts, .. }
            | Self::Slow { lasts, .. }
            | Self::Starve { lasts, .. } => lasts,
            Self::Vanish { .. } | Self::Reset { .. } => 0,
        }
    }

    /// What it is counted as.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Crash { back: Some(_), .. } => "crash",
            Self::Crash { back: None, .. } => "loss for good",
            Self::PowerLoss { .. } => "power loss",
            Self::Hang { .. } => "hang",
            Self::Cut { both_ways: true, .. } => "cut",
            Self::Cut { both_ways: false, .. } => "one-way cut",
            Self::Isolate { .. } => "isolation",
            Self::Reset { .. } => "reset",
            Self::Hold { .. } => "hold",
            Self::Lag { .. } => "lag",
            Self::Slow { .. } => "slow kernels",
            Self::Starve { .. } => "starvation",
            Self::Drain { .. } => "drain",
            Self::Vanish { silently: false, .. } => "client's end",
            Self::Vanish { silently: true, .. } => "client's silence",
        }
    }
}

/// Draws what befalls the machines of a plan.
pub(crate) fn draw(plan: &Plan, poison: bool, rng: &mut SmallRng) -> Vec<(u64, Fault)> {
    let (name_servers, workers, clients) =
        (plan.name_server_machines(), plan.worker_machines(), plan.client_machines());
    let mut faults = Vec::new();
    // The only name server may be lost for good if nobody needs it to come back: the workers all stay.
    let workers_stay = !poison && plan.name_servers == 1 && rng.random_bool(0.3);
    if workers_stay || (plan.name_servers == 2 && rng.random_bool(0.2)) {
        let machine = rng.random_range(name_servers.clone());
        let lost = rng.random_range(1500..4000);
        faults.push((lost, Fault::Crash { machine, back: None }));
        if workers_stay && rng.random_bool(0.5) {
            // And then a worker, which nobody is told of.
            let machine = workers.end - 1;
            faults.push((lost + rng.random_range(10..3000), Fault::Crash { machine, back: None }));
        }
    }
    for _ in 0..rng.random_range(1..=8) {
        // Everybody has heard of everybody before the only one who could tell is gone.
        let at = rng.random_range(if workers_stay { 1000 } else { 200 }..5000);
        let lasts = rng.random_range(200..7000);
        let worker = rng.random_range(workers.clone());
        let name_server = rng.random_range(name_servers.clone());
        let client = rng.random_range(clients.clone());
        let (a, b) = match rng.random_range(0..4) {
            _ if workers_stay => (client, worker),
            0 | 1 => (client, worker),
            2 => (worker, name_server),
            _ => (client, name_server),
        };
        let back = rng.random_range(100..4000);
        let fault = match rng.random_range(0..100) {
            0..15 if workers_stay => continue,
            0..15 => Fault::Crash { machine: worker, back: Some(back) },
            15..22 if workers_stay => continue,
            15..22 => Fault::PowerLoss { machine: worker, back },
            22..36 => Fault::Hang { machine: worker, lasts },
            36..43 | 60..64 | 92..97 if workers_stay => continue,
            36..40 => Fault::Hang { machine: name_server, lasts },
            40..43 => Fault::Hang { machine: client, lasts },
            43..50 => Fault::Cut { from: a, to: b, both_ways: true, lasts },
            50..55 => Fault::Cut { from: a, to: b, both_ways: false, lasts },
            55..60 => Fault::Cut { from: b, to: a, both_ways: false, lasts },
            60..64 => {
                Fault::Isolate { machine: if rng.random_bool(0.8) { worker } else { name_server }, lasts }
            }
            64..67 => Fault::Hold { a, b, lasts },
            67..70 => Fault::Reset { a, b },
            70..74 => Fault::Lag { a, b, latency: rng.random_range(20..400), lasts },
            74..81 => Fault::Slow { machine: worker, factor: 50, lasts },
            81..85 => Fault::Starve { machine: worker, share: rng.random_range(10..=500), lasts },
            85..92 if workers_stay => continue,
            85..92 => {
                // Somebody must be left in the end.
                let stays = worker - workers.start < 2 || rng.random_bool(0.5);
                Fault::Drain { machine: worker, back: stays.then_some(back) }
            }
            92..97 => Fault::Crash { machine: name_server, back: Some(back) },
            _ if workers_stay => continue,
            _ => {
                // All at once.
                let crash = |machine| (at, Fault::Crash { machine, back: Some(rng.random_range(100..4000)) });
                faults.extend(workers.clone().map(crash));
                continue;
            }
        };
        faults.push((at, fault));
    }
    for (machine, customer) in clients.zip(&plan.clients) {
        if customer.vanishes {
            faults.push((
                rng.random_range(1000..4000),
                Fault::Vanish { machine, silently: rng.random_bool(0.5) },
            ));
        }
    }
    faults
}
