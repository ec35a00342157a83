//! What each part of a sort may have of the memory.
//!
//! | 13/16 | 1/8 | 1/16 |
//! |---|---|---|
//! | a room for each thread: for a chunk, and then for the parts of runs that it merges | what was read beyond a chunk | pieces on their way out |
//!
//! Rooms are taken once, so that there is nothing to be given back between runs and merge.

use super::runs::Run;
use crate::local::within::Spot;

/// How much memory there may be, and how many threads share it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    pub(super) memory: u64,
    pub(super) threads: u32,
}

impl Budget {
    /// So many bytes, or a MiB: with less than that a sort would do little but read and write.
    pub fn new(memory: u64, threads: u32) -> Self {
        /// More would have too little room each, and be faster than most disks.
        const MOST: u32 = 4;
        Self { memory: memory.max(1 << 20), threads: threads.clamp(1, MOST) }
    }

    /// How many bytes, all in all.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// How many threads.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// What each thread has, for a chunk with what sorting it takes, and then for the parts of runs that it merges.
    pub(super) fn room(&self) -> u64 {
        // Where lines are is told in 32 bits, and in whole spots.
        let spot = size_of::<Spot>() as u64;
        (self.sixteenths(13) / u64::from(self.threads)).min(u32::MAX.into()) / spot * spot
    }

    /// The longest record there may be. The room of a thread is enough for two, and so is what is kept between chunks
    /// for one.
    pub(super) fn longest(&self) -> u64 {
        (self.memory / 10).min((self.room() / 2).saturating_sub(2 * self.block() as u64))
    }

    /// How much is read of the input at a time.
    pub(super) fn block(&self) -> usize {
        within(self.room() / 512, 8, 1 << 18)
    }

    /// How much is written at a time. Each thread has two such pieces.
    pub(super) fn piece(&self) -> usize {
        within(self.sixteenths(1) / (2 * u64::from(self.threads)), 64, 1 << 20)
    }

    /// How many of these runs, from the first on, can be merged at once: two at least, where there are as many.
    pub(super) fn group(&self, runs: &[Run]) -> usize {
        let mut left = self.room();
        let fit = runs.iter().take_while(|run| match left.checked_sub(self.needed(run)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        });
        fit.count().max(2).min(runs.len())
    }

    /// How large the buffers of these runs' parts are, all in the room of one thread.
    pub(super) fn buffers<'a>(&'a self, runs: &'a [Run]) -> impl Iterator<Item = usize> + 'a {
        /// More at a time is read no faster.
        const MOST: u64 = 4 << 20;
        let needed: u64 = runs.iter().map(|run| self.needed(run)).sum();
        let spare = self.room().saturating_sub(needed) / runs.len().max(1) as u64;
        runs.iter().map(move |run| {
            let needed = self.needed(run);
            usize::try_from((needed + spare).min(MOST.max(needed))).unwrap_or(usize::MAX)
        })
    }

    /// The least that a part of a run is read with: its longest record has room.
    pub(super) fn needed(&self, run: &Run) -> u64 {
        (within(self.memory / 1024, 64, 1 << 16) as u64).max(run.longest)
    }

    fn sixteenths(&self, count: u64) -> u64 {
        // As wide as the product may be.
        (u128::from(self.memory) * u128::from(count) / 16) as u64
    }
}

fn within(bytes: u64, least: usize, most: usize) -> usize {
    usize::try_from(bytes).map_or(most, |bytes| bytes.clamp(least, most))
}
