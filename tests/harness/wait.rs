//! Waiting for what gives no event: bounded polling.
//!
//! Where a line, an exit or a byte tells that something has happened, tests wait for that. What is left (a
//! worker has registered, a connection has been refused) is asked for again and again, until a deadline.

use std::{sync::mpsc, time::Duration};
use tokio::time::Instant;

/// How long one step may take before the test fails. Generous: a loaded machine is slow, a broken step takes
/// for ever.
pub const STEP: Duration = Duration::from_secs(30);

/// How long a client's whole run may take before the test fails.
pub const JOB: Duration = Duration::from_secs(180);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none within [`STEP`]; the message says `what` was waited for.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    answer_within(STEP, ask).unwrap_or_else(|| panic!("waited {STEP:?} in vain for {what}"))
}

/// Asks until there is an answer, or the time is over. Asks once at least.
pub fn answer_within<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= deadline {
            return answer;
        }
        pause(Duration::from_millis(5));
    }
}

/// Lets time pass between two questions. Never a substitute for an event.
fn pause(duration: Duration) {
    let (_open, nothing) = mpsc::channel::<()>();
    let _timed_out = nothing.recv_timeout(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_until_there_is_an_answer() {
        let mut asked = 0;
        let answer = eventually("the third answer", || {
            asked += 1;
            (asked == 3).then_some("here")
        });
        assert_eq!((answer, asked), ("here", 3));
    }
}
