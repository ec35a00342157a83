//! Where numbers are written to: a file, which appears when it is complete, or standard output.

use super::super::{CommandError, print};
use crate::{
    interrupt::{Interrupt, Interrupted},
    job::{replace::Destination, stream::Stream},
    local::{Cancel, Factored, Form, LocalKernels},
};
use sgdt_proto::{buffer::Buffer, task::TaskError};
use std::time::Duration;
use tokio::time::timeout;

/// How long a number may take to be written once the program was told to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is written for one number.
pub(super) enum Answer {
    /// Text that is there.
    Text(Buffer),
    /// A number that is still to be written out.
    Number(Factored, Form),
}

/// Where it goes.
pub(super) enum Out {
    File(Stream),
    Stdout,
}

impl Out {
    pub(super) fn begin(file: Option<Destination>) -> Result<Self, TaskError> {
        file.map_or(Ok(Self::Stdout), |to| Stream::begin(to).map(Self::File))
    }

    /// Whether it is to take the place of a file in the end.
    pub(super) fn replaces(&self) -> bool {
        matches!(self, Self::File(stream) if stream.takes_any_order())
    }

    /// Writes an answer, and returns this with what became of it. On a thread of its own: it may take long, or whoever
    /// reads it may stop, and the workers must go on being answered.
    pub(super) async fn tell(
        self,
        answer: Answer,
        kernels: &LocalKernels,
        interrupt: &Interrupt,
    ) -> Result<(Self, Result<(), TaskError>), CommandError> {
        let mut telling = kernels.start(move |cancel| self.told(answer, cancel));
        tokio::select! {
            biased;
            done = telling.done() => return done.map_err(CommandError::Task)?,
            () = interrupt.token().cancelled() => telling.stop(),
        }
        match timeout(PATIENCE, telling.done()).await {
            Ok(done) => done.map_err(CommandError::Task)?,
            Err(_) => Err(Interrupted(interrupt.status()).into()),
        }
    }

    fn told(
        mut self,
        answer: Answer,
        cancel: &Cancel,
    ) -> Result<(Self, Result<(), TaskError>), CommandError> {
        let begin = if let Self::File(stream) = &self { stream.position() } else { 0 };
        let mut failed = None;
        let mut put = |bytes: &[u8]| match &mut self {
            Self::File(stream) => stream.write(bytes),
            Self::Stdout => print(bytes).map_err(|error| {
                let told = TaskError::invalid_input(error.to_string());
                failed = Some(error);
                told
            }),
        };
        let told = match answer {
            Answer::Text(text) => put(text.as_bytes()).and_then(|()| put(b"\n")),
            Answer::Number(number, Form::Raw) => number.write(Form::Raw, cancel, put),
            Answer::Number(number, form) => number.write(form, cancel, &mut put).and_then(|()| put(b"\n")),
        };
        if let Some(error) = failed {
            return Err(error);
        }
        if told.is_err()
            && let Self::File(stream) = &mut self
        {
            stream.truncate(begin).map_err(CommandError::Task)?;
        }
        Ok((self, told))
    }

    pub(super) fn finish(self) -> Result<(), TaskError> {
        match self {
            Self::File(stream) => stream.finish(),
            Self::Stdout => Ok(()),
        }
    }
}
