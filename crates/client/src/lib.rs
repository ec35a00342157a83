//! Finds workers and sends them tasks.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sgdt_client::{Client, ClientConfig, TaskSpec};
//! use std::sync::Arc;
//!
//! let client = Client::connect(ClientConfig::default(), Arc::new(sgdt_proto::net::Tcp)).await?;
//! let spec = TaskSpec::json("pi".parse()?, &serde_json::json!({"samples": 1_000_000, "seed": 1}))?;
//! let result = client.submit(spec).await?.await?;
//! let output: serde_json::Value = result.output?.decode()?;
//! println!("{output} from {:?} after {} attempts", result.worker, result.attempts);
//! # Ok(())
//! # }
//! ```
//!
//! The modules, in the order in which a task meets them: [`job`] reads task files and writes results,
//! [`Client`] takes tasks, [`discovery`] knows the workers, [`dispatch`] decides, by the rules of [`balance`]
//! and [`retry`], and an endpoint per worker carries out. [`giant`] makes many tasks of one
//! that is too large, and [`verify`] says whether answers are right.

pub mod balance;
pub mod cli;
mod client;
mod commands;
pub mod discovery;
pub mod dispatch;
mod endpoint;
pub mod exit;
pub mod flow;
pub mod giant;
mod interrupt;
pub mod job;
pub mod local;
mod progress;
pub mod retry;
mod summary;
mod unread;
pub mod verify;

pub use client::{Client, ClientConfig, ConnectError, Disconnected, Results, TaskHandle};
pub use commands::main;
pub use dispatch::{TaskResult, TaskSpec};
