//! Whether a worker's answer is right, at a small part of the price of computing it.
//!
//! A [`Check`] goes to the dispatcher with its task. An answer that it rejects is a failure of the worker's, and the
//! task is run elsewhere. What is checked is chosen by chance when the answer is there, so that no worker can prepare for it.
//!
//! - `product`: Freivalds' check of a matrix product;
//! - `order`: that keys are in order, and the same as before, by a hash that does not depend on their order;
//! - `residue`: residues of whole numbers modulo primes of 61 bits.
//!
//! Summaries are not checked, as they tell too little of what was computed, but for a count of digits.

pub(crate) mod order;
mod product;
mod residue;

use serde::de::DeserializeOwned;
use sgdt_proto::{payload::Payload, task::TaskError};
use std::{fmt, sync::Arc};

type Judge = dyn Fn(Payload) -> Result<(), String> + Send + Sync;

/// Judges the answer to one task. Clones share what it takes.
#[derive(Clone)]
pub struct Check(Arc<Judge>);

impl Check {
    /// A check of typed outputs, which says what is wrong. It may take long: it runs on a thread of its own.
    pub fn new<O: DeserializeOwned>(judge: impl Fn(O) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |output: Payload| judge(output.decode().map_err(|error| error.message)?)))
    }

    /// Judges an answer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, output: Payload) -> Result<(), String> {
        (self.0)(output)
    }
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}

/// An input whose output can be checked.
pub trait Checkable: DeserializeOwned {
    /// The check; `None` where the output is a summary.
    fn check(self) -> Option<Check>;
}

/// The check of an encoded input.
///
/// # Errors
/// It is no such input.
pub fn of<I: Checkable>(payload: &Payload) -> Result<Option<Check>, TaskError> {
    Ok(payload.clone().decode::<I>()?.check())
}
