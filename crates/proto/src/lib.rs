//! What two SGDT processes must agree on.
//!
//! The map, from what is said to how it travels:
//!
//! - [`id`]: who and what is meant;
//! - [`task`], [`payload`], [`buffer`], [`blob`], `pieces`, [`kind`]: a task, its input and output, and their bytes;
//! - [`name_server`], [`worker`]: the two services;
//! - [`identity`], [`policy`]: who a peer is, and what it may ask; [`join`]: how one becomes somebody;
//! - [`handshake`], [`transport`], [`net`], [`tls`]: versions, messages and streams;
//! - [`serve`], [`dial`]: the two ends of a connection;
//! - [`backoff`], [`descriptors`], [`files`], [`logging`], [`printable`], [`size`]: what all three programs do alike.

pub mod backoff;
pub mod blob;
pub mod buffer;
pub mod descriptors;
pub mod dial;
pub mod files;
pub mod handshake;
pub mod id;
pub mod identity;
pub mod join;
pub mod kind;
pub mod logging;
pub mod name_server;
pub mod net;
pub mod payload;
mod pieces;
pub mod policy;
pub mod printable;
pub mod serve;
pub mod size;
pub mod task;
pub mod tls;
pub mod transport;
pub mod worker;
