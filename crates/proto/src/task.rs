//! A task on its way to a worker, and what comes back.

use crate::{
    id::{AttemptKey, Kind},
    payload::Payload,
    printable::Printable,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One attempt at one task, as it travels to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Which attempt at which task of which job.
    pub key: AttemptKey,
    /// What to compute.
    pub kind: Kind,
    /// The task's input.
    pub payload: Payload,
    /// How long the kernel may run, in milliseconds, counted from its start. `None`: as long as it takes.
    pub timeout_ms: Option<u64>,
}

/// What a worker says about one assignment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The kernel ended; this is final.
    Done(Completed),
    /// The worker did not take the task; another may.
    Refused(Refusal),
    /// The task is queued or running, and its reply is to be had from `collect`.
    Pending,
}

/// A kernel's end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Completed {
    /// How long the kernel ran, in microseconds.
    pub run_us: u64,
    /// Its output, or why there is none.
    pub result: Result<Payload, TaskError>,
}

/// Why a worker did not take a task. Not the task's fault: it does not count as an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Its queue is full.
    #[error("the worker's queue is full")]
    Overloaded,
    /// It is finishing what it has, and leaves.
    #[error("the worker is draining")]
    Draining,
    /// The client took it back before it started.
    #[error("the task was taken back before it started")]
    Recalled,
    /// It knows nothing of the attempt that was asked about.
    #[error("the worker does not hold this attempt")]
    Unknown,
}

/// A task's own error: final, never retried elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {}", Printable(message))]
pub struct TaskError {
    /// What kind of error.
    pub code: ErrorCode,
    /// What was wrong, with which value, and what to do.
    pub message: String,
}

impl TaskError {
    /// An error with this code and message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The input is not what the kind takes.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidInput, message)
    }

    /// The task would need more memory, or more output, than is allowed.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::TooLarge, message)
    }
}

/// The codes of result lines' errors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The input is malformed or out of the kind's domain.
    #[serde(rename = "invalid-input")]
    InvalidInput,
    /// No worker serves the kind.
    #[serde(rename = "unsupported-task")]
    UnsupportedTask,
    /// It would need more memory, or more output, than is allowed.
    #[serde(rename = "too-large")]
    TooLarge,
    /// It ran longer than its time-out.
    #[serde(rename = "timeout")]
    Timeout,
    /// The kernel panicked.
    #[serde(rename = "panicked")]
    Panicked,
    /// Its attempts are exhausted.
    #[serde(rename = "gave-up")]
    GaveUp,
    /// It was cancelled before it had a result.
    #[serde(rename = "cancelled")]
    Cancelled,
}

impl ErrorCode {
    /// The code as result lines spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid-input",
            Self::UnsupportedTask => "unsupported-task",
            Self::TooLarge => "too-large",
            Self::Timeout => "timeout",
            Self::Panicked => "panicked",
            Self::GaveUp => "gave-up",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
