//! The dispatcher: owns the queue, the windows, the attempts, the retries and the results.
//!
//! ```text
//!   submit, cancel ─┐                              ┌─ send, cancel, recall ─→ endpoints ─→ workers
//!   membership ─────┼─→ driver ─→ core (pure) ─→ driver
//!   replies, pings ─┘                              └─ finished tasks ─→ handles and streams
//! ```
//! `core::Core` decides and does nothing else: no I/O, no clock, no chance but a seeded one. `driver` tells
//! it what happens and does what it says. One task of the runtime owns both, so nothing is locked.

pub(crate) mod core;
pub(crate) mod driver;
mod ending;
mod fleet;
mod hopeless;
mod outgrown;
mod place;
pub(crate) mod room;
mod stragglers;
mod task;
mod tasks;
mod worker;

#[cfg(test)]
mod tests;

pub use task::{TaskResult, TaskSpec};
