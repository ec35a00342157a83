//! What was measured, for people and as JSON.

use serde::Serialize;
use sgdt_proto::size::ByteSize;
use std::{fmt::Write, time::Duration};

/// The longest time that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long single tasks took, to three significant digits.
pub(super) struct Histogram(hdrhistogram::Histogram<u64>);

impl Default for Histogram {
    #[expect(clippy::expect_used, reason = "these bounds are among those that it takes")]
    fn default() -> Self {
        let histogram = hdrhistogram::Histogram::new_with_max(LONGEST.as_nanos() as u64, 3);
        Self(histogram.expect("a histogram to an hour has three digits"))
    }
}

impl Histogram {
    pub(super) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// In microseconds.
    fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Quantiles { p50: at(0.5), p99: at(0.99) }
    }
}

#[derive(Serialize, Clone, Copy)]
struct Quantiles {
    p50: f64,
    p99: f64,
}

/// What was measured.
#[derive(Serialize)]
pub(super) struct Report {
    tasks: u64,
    seconds: f64,
    tasks_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<Quantiles>,
    /// Millions of bytes that a second moved: each payload counts on its way there and on its way back.
    #[serde(skip_serializing_if = "Option::is_none")]
    mb_per_s: Option<f64>,
    #[serde(skip)]
    size: Option<ByteSize>,
}

impl Report {
    pub(super) fn throughput(tasks: u64, took: Duration) -> Self {
        // A clock too coarse to tell has not stood still for longer than a nanosecond.
        let seconds = took.max(Duration::from_nanos(1)).as_secs_f64();
        let tasks_per_s = tasks as f64 / seconds;
        Self { tasks, seconds, tasks_per_s, latency_us: None, mb_per_s: None, size: None }
    }

    pub(super) fn latency(tasks: u64, took: Duration, times: &Histogram) -> Self {
        Self { latency_us: Some(times.quantiles()), ..Self::throughput(tasks, took) }
    }

    pub(super) fn payload(tasks: u64, took: Duration, times: &Histogram, size: usize) -> Self {
        let report = Self::latency(tasks, took, times);
        let mb_per_s = report.tasks_per_s * 2.0 * size as f64 / 1e6;
        Self { mb_per_s: Some(mb_per_s), size: Some(ByteSize(size as u64)), ..report }
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> String {
        // Nothing in it is a map with keys that JSON cannot express, which is all that can fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// One line.
    pub(super) fn text(&self) -> String {
        let Self { tasks, seconds, tasks_per_s, .. } = self;
        let mut text = format!("{tasks} tasks in {seconds:.3} s: {tasks_per_s:.0} tasks/s");
        // Writing to memory does not fail.
        if let Some(Quantiles { p50, p99 }) = self.latency_us {
            let _ = write!(text, ", p50 {p50:.1} µs, p99 {p99:.1} µs");
        }
        if let (Some(mb_per_s), Some(size)) = (self.mb_per_s, self.size) {
            let _ = write!(text, ", {size} there and back at {mb_per_s:.0} MB/s");
        }
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn times() -> Histogram {
        let mut times = Histogram::default();
        (1..=100).for_each(|us| times.record(Duration::from_micros(us)));
        times
    }

    fn value(report: &Report) -> Value {
        serde_json::from_str(&report.json()).unwrap()
    }

    #[test]
    fn json_has_what_applies_and_nothing_else() {
        let second = Duration::from_secs(1);
        let throughput = json!({"tasks": 10, "seconds": 1.0, "tasks_per_s": 10.0});
        assert_eq!(value(&Report::throughput(10, second)), throughput);
        let latency = value(&Report::latency(100, second, &times()));
        let p50 = latency["latency_us"]["p50"].as_f64().unwrap();
        let p99 = latency["latency_us"]["p99"].as_f64().unwrap();
        assert!((p50 - 50.0).abs() < 0.1 && (p99 - 99.0).abs() < 0.1, "{latency}");
        let payload = value(&Report::payload(10, second, &times(), 1_000_000));
        assert_eq!(payload["mb_per_s"], 20.0);
    }

    #[test]
    fn people_are_told_the_same_in_a_line() {
        let report = Report::payload(4, Duration::from_secs(2), &times(), 1 << 20);
        let text = report.text();
        assert!(text.starts_with("4 tasks in 2.000 s: 2 tasks/s, p50 50.0 µs, p99 99.0 µs, 1MiB"), "{text}");
        assert!(Report::throughput(1, Duration::ZERO).text().ends_with("tasks/s\n"));
    }

    #[test]
    fn what_is_longer_than_the_histogram_goes_is_its_longest() {
        let mut times = Histogram::default();
        times.record(Duration::MAX);
        assert!(times.quantiles().p50 > 1e9);
    }
}
