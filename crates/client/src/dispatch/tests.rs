//! The core against workers that can be made to do anything, by a clock that is moved by hand.
//!
//! [`world`] holds the core's side of a cluster without a cluster: what the core wants done is done to workers
//! that are lists, and [`invariants`] looks at everything after every step. [`random`] draws the steps; the other
//! modules each tell stories of one kind.

mod ejection;
mod endgame;
mod fake;
mod hopeless;
mod invariants;
mod placing;
mod poison;
mod random;
mod redirect;
mod windows;
mod world;

use std::time::Duration;

/// What a worker has that has no task.
const NONE: [u64; 0] = [];

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
