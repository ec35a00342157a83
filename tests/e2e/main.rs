//! The three programs as people run them: processes, sockets, files.
//!
//! The scenarios of the mission ([`scenario_one`], [`scenario_two`], [`scenario_three`], and all of them encrypted in
//! [`scenario_four`]; and certificates that are revoked and renewed meanwhile, [`revocation`], and machines that get theirs by a token,
//! [`enrolment`]), what a hang costs ([`hang`]), what a terminal sees ([`cli`], [`bench`]), files in and out
//! ([`files`]), large tasks in pieces ([`giant`]), files larger than memory ([`external`]), inputs that are sent once
//! ([`blobs`]), workers that are far away ([`far`]), sizes ([`limits`]), a user's own worker ([`user_kind`]), workers that are wrong ([`verified`]), workers that
//! come ([`joining`]), peers that send whatever they like ([`hostile`]), and the README's commands ([`readme`]). "In the
//! middle of a run" is always an event: so many result lines have come.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test reports by failing")]

mod bench;
mod blobs;
mod cli;
mod enrolment;
mod external;
mod far;
mod files;
mod floats;
mod giant;
mod hang;
mod hostile;
mod joining;
mod limits;
mod malformed;
mod naturals;
mod readme;
mod revocation;
mod scenario_four;
mod scenario_one;
mod scenario_three;
mod scenario_two;
mod user_kind;
mod verified;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// For tests that measure time or memory, or that keep every core busy: one at a time.
fn machine_alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
