//! The harness: real processes, free ports, events instead of sleeps.
//!
//! ```text
//! binaries ─► process ─► cluster ─► results        proxy      what is between two processes, and its faults
//!             log: what each has said              reference  the right answers, computed another way
//! ```
//!
//! [`binaries`] builds the programs, [`process`] runs one and collects its lines in a [`log`], [`cluster`]
//! starts a name server and workers on free ports and runs clients against them, with the certificates of [`pki`] if asked to, [`job`] writes what a client
//! reads and [`results`] reads what it writes; [`hostile`] peers send whatever they like. Every wait is for an event, has a deadline, and fails with the
//! last lines of every process. A cluster that is dropped kills what it started and fails the test when one
//! of its processes has died without being asked to, or has panicked.

#![expect(clippy::expect_used, clippy::panic, reason = "a harness reports by failing the test that runs it")]

pub mod wait;

pub mod binaries;
pub mod log;
pub mod pki;
pub mod process;

pub mod cluster;
pub mod job;
pub mod results;

pub mod hostile;
pub mod npy;
pub mod proxy;
pub mod reference;
