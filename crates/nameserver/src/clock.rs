//! The registry's time: it stands still while the process does.
//!
//! A name server that was stopped, swapped out or paused with its virtual machine has heard no renewal meanwhile,
//! and wakes up to leases that all seem to have run out. So the clock is read often ([`Clock::often`]), and a time
//! in which nobody read it is a time in which nobody was here: it does not count.

use std::time::Duration;

/// A clock that is read again and again.
#[derive(Debug)]
pub(crate) struct Clock {
    /// A longer time than this between two readings does not count.
    most: Duration,
    /// When it was read last, in the machine's time.
    read: Duration,
    /// What it said.
    said: Duration,
}

impl Clock {
    /// A clock at zero for leases that last `ttl`.
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { most: ttl / 3, read: Duration::ZERO, said: Duration::ZERO }
    }

    /// How often it is to be read at least, so that being late once stops nothing.
    pub(crate) fn often(&self) -> Duration {
        self.most / 3
    }

    /// The registry's time when the machine's is `now`, both counted from the start; and for how long nobody was
    /// here, if so.
    pub(crate) fn read(&mut self, now: Duration) -> (Duration, Option<Duration>) {
        let passed = now.saturating_sub(self.read);
        self.read = self.read.max(now);
        if passed > self.most {
            return (self.said, Some(passed));
        }
        self.said += passed;
        (self.said, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(6);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn it_runs_while_it_is_read_and_stands_still_with_the_process() {
        let mut clock = Clock::new(TTL);
        assert_eq!(clock.read(secs(1)), (secs(1), None));
        assert_eq!(clock.read(secs(3)), (secs(3), None));
        assert_eq!(clock.read(secs(100)), (secs(3), Some(secs(97))));
        assert_eq!(clock.read(secs(101)), (secs(4), None));
        // Two threads may have looked at the machine's clock in one order and come here in the other.
        assert_eq!(clock.read(secs(100)), (secs(4), None));
        assert_eq!(clock.read(secs(101)), (secs(4), None));
    }
}
