//! Runs seeds, and says how it went.

use crate::world::{Report, run};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    env, fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::{
        Mutex, Once,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// The seeds that are run unless others are asked for.
pub(crate) const SEEDS: Range<u64> = 0..200;
/// After so many failed seeds the rest would tell no more, unless they are to be counted.
const ENOUGH: u64 = 20;

/// The outcome of many seeds.
#[derive(Default, Debug)]
pub(crate) struct Suite {
    seeds: u64,
    simulated: Duration,
    late: (Duration, u64),
    faults: BTreeMap<&'static str, u64>,
    pub(crate) results: u64,
    attempts: u64,
    cancelled: u64,
    gave_up: u64,
    pub(crate) unlucky: u64,
    pub(crate) bystanders: u64,
    /// What the oracle judges by must have been there to be heard.
    pub(crate) drained: u64,
    pub(crate) struck_off: u64,
    pub(crate) failed: Vec<u64>,
}

impl Suite {
    /// Runs these seeds, on as many threads as there are cores. Those that fail are told of as they do.
    pub(crate) fn run(seeds: Range<u64>) -> Self {
        let (next, suite) = (AtomicU64::new(seeds.start), Mutex::new(Self::default()));
        let enough = number("SGDT_SIM_ENOUGH").unwrap_or(ENOUGH);
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end || suite.lock().unwrap().failed.len() as u64 >= enough {
                            return;
                        }
                        suite.lock().unwrap().add(replay(seed, false));
                    }
                });
            }
        });
        suite.into_inner().unwrap()
    }

    fn add(&mut self, report: Report) {
        if !report.violations.is_empty() {
            println!("seed {}:\n    {}", report.seed, report.violations.join("\n    "));
            println!(
                "    replay it with: SGDT_SIM_SEED={} cargo test --release --locked -p sgdt-tests --test sim -- one_seed --nocapture",
                report.seed
            );
            self.failed.push(report.seed);
        }
        self.seeds += 1;
        self.simulated += report.simulated;
        self.results += report.tally.results;
        self.attempts += report.tally.attempts;
        self.cancelled += report.tally.cancelled;
        self.gave_up += report.tally.gave_up;
        self.unlucky += report.tally.unlucky;
        self.bystanders += report.tally.bystanders;
        self.drained += report.tally.drained;
        self.struck_off += report.tally.struck_off;
        self.late = self.late.max((report.late, report.seed));
        for (fault, count) in report.faults {
            *self.faults.entry(fault).or_default() += count;
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(|(fault, count)| format!("{count} {fault}")).collect();
        write!(
            f,
            "{} seeds, {} failed; {:.0} s simulated, done at most {:.1} s after the last fault (seed {}); {} results of \
             {} attempts, {} tasks cancelled, {} poison tasks stopped, {} tasks given up for kills and \
             cuts from outside, {} for another client's poison; {} faults: {}",
            self.seeds,
            self.failed.len(),
            self.simulated.as_secs_f64(),
            self.late.0.as_secs_f64(),
            self.late.1,
            self.results,
            self.attempts,
            self.cancelled,
            self.gave_up,
            self.unlucky,
            self.bystanders,
            self.faults.values().sum::<u64>(),
            faults.join(", ")
        )
    }
}

thread_local! {
    /// Panics on this thread that no kernel was asked for.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs one seed. Whatever panics is a violation; with `show`, the trace goes to standard output.
pub(crate) fn replay(seed: u64, show: bool) -> Report {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            before(info);
        }));
    });
    PANICS.take();
    let report = catch_unwind(AssertUnwindSafe(|| run(seed, show)));
    let panics = PANICS.take();
    let mut report = report.unwrap_or_else(|_| Report { seed, ..Report::default() });
    report.violations.extend(panics.into_iter().map(|panic| format!("something panicked: {panic}")));
    report
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// A range from the environment, as `FROM..TO`.
pub(crate) fn range(name: &str) -> Option<Range<u64>> {
    let text = env::var(name).ok()?;
    let bounds = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    Some(bounds.unwrap_or_else(|| panic!("{name}={text} is no range; write FROM..TO")))
}
