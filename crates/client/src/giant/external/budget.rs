//! What each part of a sort may have of the memory.
//!
//! ```text
//!  runs   13/16: a chunk for each thread, and what sorting it takes  1/8: read beyond a chunk     1/16: on its way out
//!  merge  1/2: a buffer for each part of a run                       what is not given back yet  1/16: on its way out
//! ```

use super::runs::Run;

/// How much memory there may be, and how many threads share it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    pub(super) memory: u64,
    pub(super) threads: u32,
}

impl Budget {
    /// So many bytes, or a MiB: with less than that a sort would do little but read and write.
    pub fn new(memory: u64, threads: u32) -> Self {
        /// More would have too little memory each, and be faster than any disk.
        const MOST: u32 = 6;
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

    /// What one thread may sort at a time, with what that takes.
    pub(super) fn chunk(&self) -> u64 {
        self.sixteenths(13) / u64::from(self.threads)
    }

    /// The longest record there may be. One chunk always has room for it, and so has what was read beyond a chunk.
    pub(super) fn longest(&self) -> u64 {
        self.memory / 10
    }

    /// How much is read of the input at a time.
    pub(super) fn block(&self) -> usize {
        within(self.chunk() / 512, 1 << 18)
    }

    /// How much is written at a time. Each thread has two such pieces.
    pub(super) fn piece(&self) -> usize {
        within(self.sixteenths(1) / (2 * u64::from(self.threads)), 1 << 20)
    }

    /// On how many threads these runs can be merged at once; `None` when there are too many for one, even.
    pub(super) fn merging(&self, runs: &[Run]) -> Option<u32> {
        let needed = runs.iter().fold(0, |sum: u64, run| sum.saturating_add(self.needed(run))).max(1);
        let threads = self.memory / 2 / needed;
        (threads > 0).then(|| self.threads.min(u32::try_from(threads).unwrap_or(u32::MAX)))
    }

    /// How many runs from the first on are merged to one when not all can be at once: two at least.
    pub(super) fn group(&self, runs: &[Run]) -> usize {
        (2..=runs.len()).take_while(|&count| self.merging(&runs[..count]).is_some()).last().unwrap_or(2)
    }

    /// How large the buffers of these runs' parts are, when so many threads merge them.
    pub(super) fn buffers<'a>(&'a self, runs: &'a [Run], threads: u32) -> impl Iterator<Item = usize> + 'a {
        /// More at a time is read no faster.
        const MOST: u64 = 4 << 20;
        let needed: u64 = runs.iter().map(|run| self.needed(run)).sum();
        let spare =
            (self.memory / 2 / u64::from(threads.max(1))).saturating_sub(needed) / runs.len().max(1) as u64;
        runs.iter().map(move |run| {
            let needed = self.needed(run);
            usize::try_from((needed + spare).min(MOST.max(needed))).unwrap_or(usize::MAX)
        })
    }

    /// The least that a part of a run is read with: its longest record has room.
    pub(super) fn needed(&self, run: &Run) -> u64 {
        (within(self.memory / 1024, 1 << 16) as u64).max(run.longest)
    }

    fn sixteenths(&self, count: u64) -> u64 {
        // As wide as the product may be.
        (u128::from(self.memory) * u128::from(count) / 16) as u64
    }
}

fn within(bytes: u64, most: usize) -> usize {
    /// A few numbers, or short lines.
    const LEAST: usize = 64;
    usize::try_from(bytes).map_or(most, |bytes| bytes.clamp(LEAST, most))
}
