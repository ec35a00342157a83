//! Runs tasks.
//!
//! The map, in the order in which a task goes through:
//!
//! - `cli`, [`config`], `worker`, `stop`: what a worker is told, and its life from listening to leaving;
//! - `heartbeat`: how it becomes and stays known to name servers;
//! - `connection`, `service`: a client's connection, and what it may ask;
//! - `sessions`, `session`: which attempts a client has here, and how it gets their results;
//! - `blobs`: inputs that it has had kept here for them;
//! - `pool`, `queue`: admission, and whose turn it is;
//! - [`executor`]: the threads that kernels run on, or what stands for them in a simulation;
//! - `leader`: the thread that reads calls and runs quick tasks itself;
//! - [`machine`], [`cores`]: what there is to run on, and what of it is idle;
//! - [`kernel`], [`cancel`]: the one door by which kinds enter, and what a kernel learns of its task's fate.
//!
//! A worker is a program ([`main()`]) or a part of another one ([`Worker`]): nothing here is global to the
//! process, but for the hook that keeps a kernel's panic from printing a backtrace.

mod blobs;
pub mod cancel;
mod cli;
pub mod config;
mod connection;
pub mod cores;
mod error;
pub mod executor;
mod heartbeat;
pub mod kernel;
mod leader;
pub mod machine;
mod panics;
mod pool;
mod queue;
mod service;
mod session;
mod sessions;
mod stop;
mod worker;

#[cfg(test)]
mod testing;

pub use cli::main;
pub use error::Error;
pub use leader::Leader;
pub use stop::Stop;
pub use worker::Worker;
