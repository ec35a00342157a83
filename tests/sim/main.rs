//! The real client, worker and name server on a simulated network, in simulated time, with everything going wrong.
//!
//! A seed decides it all ([`plan`]): who there is, what is to be done, and what befalls whom when. The world
//! ([`world`]) runs the programs' own code ([`programs`]) on machines ([`machine`]) whose cards ([`network`]) are
//! turmoil hosts. An oracle ([`oracle`]) looks on ([`trace`]) and knows what must hold. After the last fault
//! everything must come to an end, and nothing may be left.
//!
//! A seed that fails prints the command that replays it. `README.md` has the rest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test reports by failing")]

mod faults;
mod jobs;
mod machine;
mod mutants;
mod network;
mod oracle;
mod plan;
mod programs;
mod suite;
mod trace;
mod world;

use suite::{SEEDS, Suite, replay};

#[test]
fn no_seed_breaks_a_promise() {
    let chosen = suite::range("SGDT_SIM_SEEDS");
    let suite = Suite::run(chosen.clone().unwrap_or(SEEDS));
    println!("{suite}");
    assert!(chosen.is_some() || (suite.drained > 0 && suite.struck_off > 0), "the oracle is deaf: {suite:?}");
    let innocent = suite.unlucky + suite.bystanders;
    assert!(innocent <= suite.results / 500 + 1, "too many innocent tasks are given up: {suite:?}");
    assert!(suite.failed.is_empty(), "{} seeds failed", suite.failed.len());
}

#[test]
fn one_seed() {
    if let Some(seed) = suite::number("SGDT_SIM_SEED") {
        let report = replay(seed, true);
        println!("{report:#?}");
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in suite::range("SGDT_SIM_SEEDS").unwrap_or(SEEDS).step_by(20) {
        let [first, second] = [replay(seed, false), replay(seed, false)];
        assert_eq!(first.hash, second.hash, "seed {seed} does not decide everything");
        assert_eq!(first.simulated, second.simulated);
    }
}
