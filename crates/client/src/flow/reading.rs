//! The reader's side: lines in, inputs to the client, tickets to the writer.

use super::{Counters, Filed, News, window::Window};
use crate::{
    dispatch::TaskSpec,
    giant::Whole,
    job::{
        fields::shorten,
        id::LineId,
        reader::{TaskFile, TaskReader},
        ticket::{TaskLine, Ticket},
    },
};
use sgdt_proto::{
    printable::Printable,
    task::{ErrorCode, TaskError},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio_util::sync::CancellationToken;

/// The most lines, and about the most bytes of input, that travel together.
const LINES: usize = 256;
const BYTES: usize = 256 << 10;

/// A task that was read.
pub(super) struct Read {
    pub(super) spec: TaskSpec,
    /// The same, if it can be split.
    pub(super) whole: Option<Box<Named>>,
}

/// A task that can be split.
pub(super) struct Named {
    pub(super) whole: Whole,
    /// What its author knows it by.
    pub(super) name: String,
}

pub(super) struct Reading {
    pub(super) tasks: TaskReader<TaskFile>,
    pub(super) timeout: Option<Duration>,
    pub(super) verify: bool,
    /// Whether it is to be told which tasks can be split.
    pub(super) split: bool,
    pub(super) specs: Sender<Vec<Read>>,
    pub(super) filed: UnboundedSender<News>,
    pub(super) window: Arc<Window>,
    pub(super) counters: Arc<Counters>,
    /// A task has failed, and so nothing more is to be sent.
    pub(super) failed: CancellationToken,
}

impl Reading {
    /// Reads to the end of the file, or to that of the window, and gives back the file: until the job ends, nobody is to write
    /// over it.
    pub(super) fn run(mut self) -> TaskFile {
        let mut lines = Vec::new();
        let mut failed = false;
        while let Some(room) = self.window.wait(LINES) {
            if !failed && self.failed.is_cancelled() {
                failed = true;
                self.tasks.give_up(cancelled());
            }
            let more = self.tasks.read_chunk(&mut lines, room, BYTES);
            self.window.enter(lines.len());
            let ended = !matches!(more, Ok(true));
            self.counters.read(lines.len(), self.tasks.bytes_read(), self.tasks.skipped(), ended);
            if !self.pass_on(&mut lines) {
                break;
            }
            if ended {
                // If the writer has ended, it knows better why.
                let _ = self.filed.send(News::End(more.map(drop)));
                break;
            }
        }
        self.tasks.into_input()
    }

    /// Files lines and sends their inputs. Whether there is anybody to read on for.
    fn pass_on(&self, lines: &mut Vec<TaskLine>) -> bool {
        let mut specs = Vec::with_capacity(lines.len());
        let file = |TaskLine { mut ticket, request }| match request {
            Ok((kind, payload)) => {
                let check = if self.verify { self.tasks.check(&kind, &payload) } else { None };
                ticket.checked = check.is_some();
                let whole = if self.split { self.tasks.whole(&kind, &payload) } else { None };
                let whole = whole.map(|whole| Box::new(Named { whole, name: name(&ticket) }));
                specs.push(Read { spec: TaskSpec { kind, payload, timeout: self.timeout, check }, whole });
                Filed::Sent(ticket)
            }
            Err(error) => Filed::Unsent(ticket, error),
        };
        let filed: Vec<_> = lines.drain(..).map(file).collect();
        // The tickets first: whatever becomes of a task, the writer has heard of it by then.
        if !filed.is_empty() && self.filed.send(News::Read(filed)).is_err() {
            return false;
        }
        if !specs.is_empty() {
            // If nobody takes them, the job is being stopped. What is filed is not forgotten.
            let _ = self.specs.blocking_send(specs);
        }
        true
    }
}

/// A task's line, and its id where it has one of its own.
fn name(Ticket { id, line, .. }: &Ticket) -> String {
    match id {
        LineId::Given(id) => format!("task {} (line {line})", Printable(&shorten(id))),
        LineId::Number(_) | LineId::Malformed(_) => format!("line {line}"),
    }
}

/// The result of a task that another one's failure has stopped.
pub(super) fn cancelled() -> TaskError {
    TaskError::new(ErrorCode::Cancelled, "stopped, because another task failed (--fail-fast)")
}
