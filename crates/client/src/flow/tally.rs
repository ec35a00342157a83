//! What a job comes to, while it runs and when it has ended.

use rustc_hash::FxHashMap;
use sgdt_proto::{id::WorkerName, task::ErrorCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What has become of a job's tasks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// How many have a result.
    pub done: u64,
    /// How many of the results are errors of each code.
    pub failed: FxHashMap<ErrorCode, u64>,
    /// How many attempts there were beyond the first ones.
    pub retries: u64,
    /// How many results each worker has given.
    pub shares: FxHashMap<WorkerName, u64>,
}

impl Tally {
    /// How many results are errors.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Counts a result.
    pub(super) fn add(&mut self, worker: Option<WorkerName>, attempts: u32, error: Option<ErrorCode>) {
        self.done += 1;
        self.retries += u64::from(attempts.saturating_sub(1));
        if let Some(code) = error {
            *self.failed.entry(code).or_default() += 1;
        }
        if let Some(worker) = worker {
            *self.shares.entry(worker).or_default() += 1;
        }
    }
}

/// How far a running job is, for whoever shows it. Each number is right by itself; together they may be a
/// moment apart.
#[derive(Debug, Default)]
pub struct Counters {
    read: AtomicU64,
    bytes: AtomicU64,
    skipped: AtomicU64,
    ended: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
    retries: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self, lines: usize, bytes: u64, skipped: u64, ended: bool) {
        self.read.fetch_add(lines as u64, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.skipped.store(skipped, Ordering::Relaxed);
        // After what it makes final.
        self.ended.store(ended, Ordering::Release);
    }

    pub(super) fn wrote(&self, tally: &Tally) {
        self.done.store(tally.done, Ordering::Relaxed);
        self.failed.store(tally.failures(), Ordering::Relaxed);
        self.retries.store(tally.retries, Ordering::Relaxed);
    }

    /// How many tasks have a result.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How many results are errors.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How many attempts there were beyond the first ones.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// How many lines were passed over because an earlier run has left their results.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// How many tasks there are, once all are read. Before that, an estimate if the task file's `size` in bytes is
    /// known: as if the rest of it were like what was read. Counting would take a second reading.
    pub fn total(&self, size: Option<u64>) -> Option<u64> {
        let ended = self.ended.load(Ordering::Acquire);
        let (read, bytes) = (self.read.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        if ended {
            return Some(read);
        }
        let whole = (u128::from(read) * u128::from(size?)).checked_div(u128::from(bytes))?;
        u64::try_from(whole).ok().map(|total| total.max(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_by_code_and_by_worker() {
        let mut tally = Tally::default();
        tally.add("w1".parse().ok(), 1, None);
        tally.add("w1".parse().ok(), 3, Some(ErrorCode::Timeout));
        tally.add(None, 0, Some(ErrorCode::InvalidInput));
        assert_eq!((tally.done, tally.failures(), tally.retries), (3, 2, 2));
        assert_eq!(tally.shares.into_iter().collect::<Vec<_>>(), [("w1".parse().unwrap(), 2)]);
        assert_eq!(tally.failed[&ErrorCode::Timeout], 1);
    }

    #[test]
    fn the_total_is_estimated_by_bytes_until_it_is_known() {
        let counters = Counters::default();
        assert_eq!((counters.total(None), counters.total(Some(1000))), (None, None));
        counters.read(10, 100, 0, false);
        assert_eq!((counters.total(None), counters.total(Some(1000))), (None, Some(100)));
        assert_eq!(counters.total(Some(5)), Some(10), "a file may have grown since it was looked at");
        assert_eq!(counters.total(Some(u64::MAX)), Some(u64::MAX / 10));
        counters.read(7, 1000, 0, true);
        assert_eq!((counters.total(None), counters.total(Some(1000))), (Some(17), Some(17)));
    }
}
