//! The paragraph at the end of a job.

use crate::flow::Tally;
use std::{cmp::Reverse, fmt, time::Duration};

/// The most workers that are named.
const NAMED: usize = 12;

/// What a job came to, for people.
#[derive(Clone, Debug)]
pub(crate) struct Summary<'a> {
    /// What has become of its tasks.
    pub(crate) tally: &'a Tally,
    /// How many had their results from an earlier run.
    pub(crate) skipped: u64,
    /// How many of those had failed, and are not tried again.
    pub(crate) failed_before: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// Whether it was told to stop.
    pub(crate) interrupted: bool,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, skipped, failed_before, elapsed, interrupted } = self;
        let (done, failed) = (tally.done, tally.failures());
        let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
        if *interrupted {
            f.write_str("stopped early: ")?;
        }
        write!(f, "{} in {} ({} tasks/s): ", count(done, "task"), Seconds(*elapsed), Rate(rate))?;
        match (done, failed) {
            (0, _) => f.write_str(if *interrupted { "no results" } else { "nothing to do" })?,
            (_, 0) => f.write_str("all ok")?,
            _ => {
                write!(f, "{} ok, {failed} failed (", done - failed)?;
                let mut codes: Vec<_> = tally.failed.iter().collect();
                codes.sort_unstable_by_key(|&(code, count)| (Reverse(*count), code.as_str()));
                list(f, codes.iter().map(|(code, count)| format!("{count} {code}")))?;
                f.write_str(")")?;
            }
        }
        if *skipped > 0 {
            write!(f, "; {skipped} had been done before")?;
        }
        if *failed_before > 0 {
            write!(f, ", {failed_before} of them with an error, which are not tried again")?;
        }
        write!(f, "; {}", count(tally.retries, "retry"))?;
        if !tally.shares.is_empty() {
            let mut shares: Vec<_> = tally.shares.iter().collect();
            shares.sort_unstable_by_key(|&(name, count)| (Reverse(*count), name));
            let answered: u64 = tally.shares.values().sum();
            f.write_str("; by ")?;
            list(
                f,
                shares.iter().take(NAMED).map(|&(name, count)| {
                    format!("{name} {count} ({:.0} %)", *count as f64 * 100.0 / answered as f64)
                }),
            )?;
            if let Some(more) = shares.len().checked_sub(NAMED).filter(|&more| more > 0) {
                write!(f, " and {more} other workers")?;
            }
        }
        Ok(())
    }
}

/// How many of something.
pub(crate) fn count(number: u64, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (0, Some(stem)) => format!("no {stem}ies"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {what}s"),
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = String>) -> fmt::Result {
    for (place, item) in items.enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

/// A duration to three digits or so.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64() {
            seconds if seconds < 1.0 => write!(f, "{:.0} ms", seconds * 1e3),
            seconds if seconds < 60.0 => write!(f, "{seconds:.1} s"),
            seconds => humantime::format_duration(Duration::from_secs(seconds as u64)).fmt(f),
        }
    }
}

/// Something a second, to two digits at least.
pub(crate) struct Rate(pub(crate) f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.*}", usize::from(self.0 < 100.0), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::task::ErrorCode;

    fn text(tally: &Tally, skipped: u64, millis: u64, interrupted: bool) -> String {
        let (failed_before, elapsed) = (skipped / 2, Duration::from_millis(millis));
        Summary { tally, skipped, failed_before, elapsed, interrupted }.to_string()
    }

    fn shares<'a>(shares: impl IntoIterator<Item = (&'a str, u64)>) -> Tally {
        let mut tally = Tally::default();
        for (name, count) in shares {
            tally.shares.insert(name.parse().unwrap(), count);
            tally.done += count;
        }
        tally
    }

    #[test]
    fn a_good_job_is_told_in_few_words() {
        let tally = shares([("w1", 60), ("w2", 140)]);
        assert_eq!(
            text(&tally, 0, 2000, false),
            "200 tasks in 2.0 s (100 tasks/s): all ok; no retries; by w2 140 (70 %), w1 60 (30 %)"
        );
        assert_eq!(
            text(&Tally::default(), 0, 3, false),
            "0 tasks in 3 ms (0.0 tasks/s): nothing to do; no retries"
        );
    }

    #[test]
    fn what_went_wrong_is_told_by_its_codes() {
        let mut tally = shares([("w1", 1)]);
        tally.done = 10;
        tally.failed = [(ErrorCode::Timeout, 2), (ErrorCode::InvalidInput, 5), (ErrorCode::GaveUp, 2)]
            .into_iter()
            .collect();
        tally.retries = 1;
        assert_eq!(
            text(&tally, 7, 61_000, true),
            "stopped early: 10 tasks in 1m 1s (0.2 tasks/s): 1 ok, 9 failed (5 invalid-input, 2 gave-up, 2 timeout); \
             7 had been done before, 3 of them with an error, which are not tried again; 1 retry; by w1 1 (100 %)"
        );
    }

    #[test]
    fn of_many_workers_those_that_did_most_are_named() {
        let names: Vec<_> = (0..100).map(|n| format!("w{n:02}")).collect();
        let text = text(&shares(names.iter().zip(1..).map(|(name, n)| (name.as_str(), n))), 0, 1000, false);
        assert!(text.contains("; by w99 100 (2 %), w98 99 (2 %)"), "{text}");
        assert!(text.ends_with("w88 89 (2 %) and 88 other workers"), "{text}");
    }
}
