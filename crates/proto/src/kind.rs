//! The built-in kinds' inputs and outputs.
//!
//! Each module names its kind and defines what a client and a kernel exchange. A kind of a user's own needs
//! nothing here: it speaks JSON.

pub mod factorial;
pub mod matmul;
pub mod natural;
pub mod random;
pub mod sort;
