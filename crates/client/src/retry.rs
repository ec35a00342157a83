//! What a failure means: the one place that decides who is to blame and what happens to the task.

use sgdt_proto::task::{ErrorCode, Refusal};
use std::fmt;
use tarpc::client::RpcError;

/// How an attempt can end without a result to hand on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The worker did not take it.
    Refused(Refusal),
    /// The connection to the worker broke: its process died, or the link was reset.
    ConnectionLost,
    /// The worker stopped answering pings.
    Hung,
    /// The name server's lease of the worker ended, or the worker was removed.
    LeaseEnded,
    /// The worker stopped it without having been asked to by us.
    Abandoned,
    /// The task takes more than this worker gives to one.
    TooLarge,
    /// The worker's side of the call failed.
    Rpc(String),
    /// The worker's answer did not pass its check, for this reason.
    WrongAnswer(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::ConnectionLost => f.write_str("the connection was lost"),
            Self::Hung => f.write_str("the worker stopped answering"),
            Self::LeaseEnded => f.write_str("the worker's lease ended"),
            Self::Abandoned => f.write_str("the worker abandoned the task"),
            Self::TooLarge => f.write_str("the task is too large for the worker"),
            Self::Rpc(error) => write!(f, "the call failed: {error}"),
            Self::WrongAnswer(reason) => write!(f, "the answer is wrong: {reason}"),
        }
    }
}

/// What a [`Cause`] means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What it counts as against the task. It is tried elsewhere in any case, while it has attempts left.
    pub task: Blame,
    /// Whether it counts against the worker.
    pub worker: bool,
}

/// What a failure counts as against a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// Nothing: the task never had its chance.
    None,
    /// An attempt.
    Attempt,
    /// An attempt, and perhaps the death of a worker.
    Death,
}

/// Judges a failure.
pub fn classify(cause: &Cause) -> Verdict {
    let (task, worker) = match cause {
        // A full, leaving or relieved worker is doing its duty.
        Cause::Refused(Refusal::Overloaded | Refusal::Draining | Refusal::Recalled) => (Blame::None, false),
        // Another may have more memory.
        Cause::TooLarge => (Blame::None, false),
        // It lost what we gave it.
        Cause::Refused(Refusal::Unknown) => (Blame::Attempt, true),
        Cause::ConnectionLost => (Blame::Death, true),
        Cause::Hung => (Blame::Attempt, true),
        Cause::LeaseEnded => (Blame::Attempt, false),
        // It may go on like that: what does not count has no end.
        Cause::Abandoned => (Blame::Attempt, false),
        Cause::Rpc(_) | Cause::WrongAnswer(_) => (Blame::Attempt, true),
    };
    Verdict { task, worker }
}

/// Reads a failed call: the only place that looks at [`RpcError`].
pub fn cause_of(error: &RpcError) -> Cause {
    match error {
        RpcError::Shutdown | RpcError::Channel(_) => Cause::ConnectionLost,
        RpcError::Send(error) => Cause::Rpc(error.to_string()),
        RpcError::DeadlineExceeded => Cause::Hung,
        RpcError::Server(error) => Cause::Rpc(error.to_string()),
    }
}

/// The longest reason for a denial that is passed on, in characters.
const MAX_DENIAL: usize = 400;

/// What a server says where it may not answer, so that it can be printed whatever that is. Our services have errors of
/// their own, so one of tarpc's is always that. Its kind tells nothing: tarpc 0.38 writes it as a signed number and
/// reads it as an unsigned one, so over postcard it comes out as another.
pub(crate) fn denial(error: &RpcError) -> Option<String> {
    let RpcError::Server(error) = error else { return None };
    Some(error.detail.chars().filter(|char| !char.is_control()).take(MAX_DENIAL).collect())
}

/// Whether a task's own error, which is final as a rule, is the worker's doing after all.
pub fn is_abandonment(code: ErrorCode) -> bool {
    // We take a task off the books before we cancel it, so a cancellation that reaches us is not ours.
    code == ErrorCode::Cancelled
}

/// How often a task is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// Attempts before a task is given up.
    pub max_attempts: u32,
    /// Workers that may die under a task before it is given up.
    pub max_deaths: u32,
    /// From this many deaths on the task runs on a worker by itself, so that it is known whose fault the next is.
    pub alone_from: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 5, max_deaths: 3, alone_from: 2 }
    }
}

/// Bounds retries to a share of the work, so that a cluster in trouble is not given more of it (the retry
/// budget of Finagle and linkerd). First redirects are not asked for here: they are what fault tolerance is.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    tokens: f64,
}

impl Budget {
    const RESERVE: f64 = 10.0;
    const CAP: f64 = 1_000.0;
    const SHARE: f64 = 0.2;

    /// A budget with its reserve.
    pub fn new() -> Self {
        Self { tokens: Self::RESERVE }
    }

    /// A task was finished.
    pub fn deposit(&mut self) {
        self.tokens = (self.tokens + Self::SHARE).min(Self::CAP);
    }

    /// Whether one more retry may go out at once; otherwise it waits for its backoff.
    pub fn withdraw(&mut self) -> bool {
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarpc::ServerError;

    #[test]
    fn every_cause_has_its_verdict() {
        for (cause, task, worker) in [
            (Cause::Refused(Refusal::Overloaded), Blame::None, false),
            (Cause::Refused(Refusal::Draining), Blame::None, false),
            (Cause::Refused(Refusal::Recalled), Blame::None, false),
            (Cause::Refused(Refusal::Unknown), Blame::Attempt, true),
            (Cause::ConnectionLost, Blame::Death, true),
            (Cause::Hung, Blame::Attempt, true),
            (Cause::LeaseEnded, Blame::Attempt, false),
            (Cause::Abandoned, Blame::Attempt, false),
            (Cause::TooLarge, Blame::None, false),
            (Cause::Rpc("x".into()), Blame::Attempt, true),
            (Cause::WrongAnswer("x".into()), Blame::Attempt, true),
        ] {
            assert_eq!(classify(&cause), Verdict { task, worker }, "{cause}");
        }
    }

    #[test]
    fn every_call_error_has_its_cause() {
        let server = ServerError::new(std::io::ErrorKind::Other, "detail".into());
        for (error, cause) in [
            (RpcError::Shutdown, Cause::ConnectionLost),
            (RpcError::DeadlineExceeded, Cause::Hung),
            (RpcError::Server(server), Cause::Rpc("Other: detail".into())),
            (RpcError::Send("full".into()), Cause::Rpc("full".into())),
        ] {
            assert_eq!(cause_of(&error), cause);
        }
    }

    #[test]
    fn a_denial_is_told_as_it_was_said_unless_it_cannot_be_printed() {
        let denied = |detail: &str| {
            denial(&RpcError::Server(ServerError::new(std::io::ErrorKind::PermissionDenied, detail.into())))
        };
        assert_eq!(denied("not \u{1b}[31mfor\n you").as_deref(), Some("not [31mfor you"));
        assert_eq!(denied(&"x".repeat(1 << 20)).map(|why| why.len()), Some(MAX_DENIAL));
        assert_eq!(denial(&RpcError::Shutdown), None);
    }

    #[test]
    fn retries_are_a_share_of_the_work_and_a_reserve() {
        let mut budget = Budget::new();
        assert_eq!((0..100).filter(|_| budget.withdraw()).count(), 10);
        (0..50).for_each(|_| budget.deposit());
        let granted = (0..100).filter(|_| budget.withdraw()).count();
        assert!((9..=10).contains(&granted), "{granted}");
    }
}
