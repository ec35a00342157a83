//! The real programs under everything that befalls processes and networks.
//!
//! A seeded storm of kills, stops, departures and broken links ([`storm`], by a [`plan`], on a [`stage`]), a task that kills
//! its workers ([`poison`]), workers that get next to no time ([`starved`]), clients that vanish ([`orphans`]),
//! runs that are broken off and gone on with ([`resume`]), workers that leave ([`drain`]), and clients that
//! share ([`fairness`]). What is asserted is what every run must keep to, whatever the timing: exactly one right
//! result for every task ([`work`]), and nothing that hangs. Faults come at numbers of results, not at times:
//! tasks are fed to the client as it gives results ([`feed`]).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test reports by failing")]

mod feed;
mod work;

mod fences;
mod plan;
mod stage;

mod drain;
mod fairness;
mod orphans;
mod poison;
mod resume;
mod starved;
mod storm;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// For tests that measure time: while one runs, no other does.
fn machine_alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// For the other tests.
fn machine_shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}
