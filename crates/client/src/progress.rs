//! How far a job is, on standard error while it runs.

use crate::{
    cli::ProgressMode,
    discovery::Membership,
    flow::Counters,
    summary::{Rate, Seconds, count},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    io::{self, IsTerminal, Write},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

/// How often a bar is drawn, and how often a line is written.
const DRAW_EVERY: Duration = Duration::from_millis(100);
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// A wait that is shorter than this is not worth a word.
const WORTH_A_WORD: Duration = Duration::from_millis(500);
/// How far the rate looks back.
const MEMORY: Duration = Duration::from_secs(10);

/// Shows how far things are, in one of three ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// Not at all.
    Hidden,
    /// As a bar that is drawn again and again.
    Bar,
    /// As a line now and then.
    Lines,
}

impl Progress {
    /// How to show it in this mode.
    pub(crate) fn new(mode: ProgressMode) -> Self {
        match mode {
            ProgressMode::Never => Self::Hidden,
            ProgressMode::Auto | ProgressMode::Always if io::stderr().is_terminal() => Self::Bar,
            ProgressMode::Auto => Self::Hidden,
            ProgressMode::Always => Self::Lines,
        }
    }

    /// The same, but where results are printed: a bar between result lines on one terminal spoils both, so it
    /// has to be asked for.
    pub(crate) fn beside_results(self, mode: ProgressMode, on_stdout: bool) -> Self {
        let mixed = on_stdout && io::stdout().is_terminal() && mode != ProgressMode::Always;
        if mixed { Self::Hidden } else { self }
    }

    /// Says what is waited for, until dropped.
    pub(crate) async fn waiting(self, what: &str) -> Infallible {
        sleep(WORTH_A_WORD).await;
        match self {
            Self::Hidden => std::future::pending().await,
            Self::Lines => write(&what),
            Self::Bar => {
                let bar = Bar::new("{spinner} {wide_msg} {elapsed}");
                bar.0.set_message(what.to_owned());
                bar.0.enable_steady_tick(DRAW_EVERY);
                return std::future::pending().await;
            }
        }
        std::future::pending().await
    }

    /// Follows a job, whose task file has `size` bytes, until dropped.
    pub(crate) async fn follow(
        self,
        counters: &Counters,
        size: Option<u64>,
        membership: watch::Receiver<Membership>,
    ) -> Infallible {
        let (every, bar) = match self {
            Self::Hidden => return std::future::pending().await,
            Self::Bar => (DRAW_EVERY, Some(Bar::new("{bar:20} {wide_msg}"))),
            Self::Lines => (WRITE_EVERY, None),
        };
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut pace = Pace::default();
        loop {
            let now = ticks.tick().await;
            let status = Status {
                done: counters.done(),
                total: counters.total(size),
                failed: counters.failed(),
                retries: counters.retries(),
                workers: membership.borrow().members().len(),
                rate: pace.at(now, counters.done()),
            };
            match &bar {
                Some(Bar(bar)) => {
                    bar.set_length(status.total.unwrap_or_default());
                    bar.set_position(status.done);
                    bar.set_message(status.to_string());
                }
                None => write(&status),
            }
        }
    }
}

/// A bar that goes when it is dropped.
struct Bar(ProgressBar);

impl Bar {
    fn new(template: &str) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn write(text: &dyn fmt::Display) {
    // Progress that nobody can see is no reason to fail.
    let _ = writeln!(io::stderr(), "{text}");
}

/// How fast it went lately.
#[derive(Default)]
struct Pace(VecDeque<(Instant, u64)>);

impl Pace {
    fn at(&mut self, now: Instant, done: u64) -> f64 {
        while self.0.len() > 1 && self.0.front().is_some_and(|&(then, _)| now.duration_since(then) > MEMORY) {
            self.0.pop_front();
        }
        self.0.push_back((now, done));
        match self.0.front() {
            Some(&(then, before)) if then < now => {
                (done - before) as f64 / now.duration_since(then).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

/// What is shown, what matters most first: a narrow terminal cuts the end off.
struct Status {
    done: u64,
    total: Option<u64>,
    failed: u64,
    retries: u64,
    workers: usize,
    rate: f64,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, total, failed, retries, workers, rate } = self;
        match total {
            Some(total) => write!(f, "{done} of {total}, {}/s, ", Rate(*rate))?,
            None => write!(f, "{done} done, {}/s, ", Rate(*rate))?,
        }
        if let Some(rest) = total.and_then(|total| total.checked_sub(*done)).filter(|&rest| rest > 0)
            && *rate > 0.0
        {
            let left = Duration::try_from_secs_f64(rest as f64 / rate).unwrap_or(Duration::MAX);
            write!(f, "{} left, ", Seconds(left))?;
        }
        f.write_str(&count(*workers as u64, "worker"))?;
        // What is as it should be is not worth the place.
        if *failed > 0 {
            write!(f, ", {failed} failed")?;
        }
        if *retries > 0 {
            write!(f, ", {}", count(*retries, "retry"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_what_is_known() {
        let mut status = Status { done: 50, total: Some(200), failed: 1, retries: 2, workers: 3, rate: 10.0 };
        assert_eq!(status.to_string(), "50 of 200, 10.0/s, 15.0 s left, 3 workers, 1 failed, 2 retries");
        status = Status { total: None, failed: 0, retries: 1, workers: 1, ..status };
        assert_eq!(status.to_string(), "50 done, 10.0/s, 1 worker, 1 retry");
        status = Status { total: Some(u64::MAX), rate: f64::MIN_POSITIVE, retries: 0, ..status };
        assert!(status.to_string().contains(" left, 1 worker"), "{status}");
    }

    #[test]
    fn the_pace_is_that_of_the_last_ten_seconds() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(pace.at(at(0), 0), 0.0);
        assert_eq!(pace.at(at(1), 100), 100.0);
        assert_eq!(pace.at(at(10), 1000), 100.0);
        assert_eq!(pace.at(at(21), 1000), 0.0);
    }

    #[test]
    fn nothing_is_shown_where_nothing_is_wanted() {
        assert_eq!(Progress::new(ProgressMode::Never), Progress::Hidden);
        assert_eq!(Progress::Bar.beside_results(ProgressMode::Auto, false), Progress::Bar);
    }
}
