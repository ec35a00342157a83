//! What a session may take up, so that no client and no kernel can make a worker grow or break a connection.

use crate::panics::shorten;
use sgdt_proto::{payload::Payload, task::TaskError, transport::frames::MAX_SEGMENTS, worker::MAX_MESSAGE};

/// The most attempts of a session, unless said otherwise.
pub(crate) const MAX_ATTEMPTS: usize = 65_536;

/// What a session may take up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most attempts that are queued, running, or done and not handed out. Also the most that one call may
    /// name.
    pub(crate) attempts: usize,
    /// The largest output, in bytes; room is left in a message for all else that an answer may hold.
    pub(crate) output: u64,
    /// From here on an answer takes no further outputs, in bytes: its client can use these while the others
    /// are on their way.
    pub(crate) answer: usize,
    /// The most buffers in an answer.
    pub(crate) segments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        /// More than an attempt's key, a refusal and their framing take.
        const BESIDE: u64 = 64;
        let output = MAX_MESSAGE - (MAX_ATTEMPTS as u64 + 1) * BESIDE;
        Self { attempts: MAX_ATTEMPTS, output, answer: 32 << 20, segments: MAX_SEGMENTS }
    }
}

impl Limits {
    /// A kernel's result, or why it cannot be sent.
    pub(super) fn apply(&self, result: Result<Payload, TaskError>) -> Result<Payload, TaskError> {
        match result {
            Ok(output) if output.size() as u64 > self.output => Err(TaskError::too_large(format!(
                "the output has {} bytes and a worker sends at most {}; split the task",
                output.size(),
                self.output
            ))),
            Ok(output) if output.buffers.len() > self.segments => Err(TaskError::too_large(format!(
                "the output has {} buffers and a worker sends at most {}; join them",
                output.buffers.len(),
                self.segments
            ))),
            Err(TaskError { code, message }) => Err(TaskError { code, message: shorten(&message) }),
            fine => fine,
        }
    }
}
