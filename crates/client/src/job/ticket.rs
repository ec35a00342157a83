//! What a task leaves behind when it goes to the dispatcher: how its result line is to be written.

use super::{answer::Answer, id::LineId};
use sgdt_proto::{id::Kind, payload::Payload, task::TaskError};

/// One line of a task file.
#[derive(Debug)]
pub struct TaskLine {
    /// Stays here and waits for the result.
    pub ticket: Ticket,
    /// Goes to a worker: what to compute, and its input. Or why nothing can: the line's result already.
    pub request: Result<(Kind, Payload), TaskError>,
}

/// The right to one result line.
#[derive(Debug)]
pub struct Ticket {
    /// Counts the lines that have a result to come, from 0. Ordered results come in this order.
    pub seq: u64,
    /// The line's number in its file, from 1.
    pub line: u64,
    /// What the result calls it.
    pub id: LineId,
    /// What to compute, where that could be read.
    pub kind: Option<Kind>,
    /// Whether an output is accepted only when it has passed a check.
    pub checked: bool,
    /// How the output is told.
    pub answer: Answer,
}
