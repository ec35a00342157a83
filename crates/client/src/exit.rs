//! The exit codes, in one place.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// Everything that was asked for was done, and every task has an output.
    Success,
    /// At least one task failed, or what was asked for could not be done.
    Failure,
    /// The command line makes no sense, or what it names cannot be read.
    Usage,
    /// There is no name server, or no worker.
    Unreachable,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl ExitStatus {
    /// The number that a shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            // What a shell makes of a program that the signal has ended: 128 and its number.
            Self::Interrupted => 128 + 2,
            Self::Terminated => 128 + 15,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        status.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_are_promised() {
        let all = [
            ExitStatus::Success,
            ExitStatus::Failure,
            ExitStatus::Usage,
            ExitStatus::Unreachable,
            ExitStatus::Interrupted,
            ExitStatus::Terminated,
        ];
        assert_eq!(all.map(ExitStatus::code), [0, 1, 2, 3, 130, 143]);
    }
}
