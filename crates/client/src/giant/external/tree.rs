//! A tree of losers over parts of runs: Knuth, "The art of computer programming", volume 3, section 5.4.1.

use super::{Records, spill::Spill};
use sgdt_proto::task::TaskError;
use std::{cmp::Ordering, ops::Range};

/// A part of a run, record by record.
pub(super) struct Part<'a, R> {
    records: R,
    spill: &'a Spill,
    /// What of the file is still to be read.
    left: Range<u64>,
    buffer: &'a mut [u8],
    /// The record, in the buffer.
    record: Range<usize>,
    /// Where what was read ends, in the buffer.
    end: usize,
    key: u64,
}

impl<'a, R: Records> Part<'a, R> {
    /// Goes to the first record. The buffer has room for the longest.
    pub(super) fn new(
        records: R,
        spill: &'a Spill,
        left: Range<u64>,
        buffer: &'a mut [u8],
    ) -> Result<Self, TaskError> {
        let mut part = Self { records, spill, left, buffer, record: 0..0, end: 0, key: 0 };
        part.advance()?;
        Ok(part)
    }

    /// Whether there is no record any more.
    #[inline]
    pub(super) fn is_done(&self) -> bool {
        self.record.is_empty()
    }

    /// The record, if it is not done.
    #[inline]
    pub(super) fn record(&self) -> &[u8] {
        &self.buffer[self.record.clone()]
    }

    /// Where the record is, in the file; where the part ends when it is done.
    pub(super) fn place(&self) -> u64 {
        self.left.start - (self.end - self.record.start) as u64
    }

    /// Goes to the next record.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<(), TaskError> {
        loop {
            let start = self.record.end;
            if let Some(len) = self.records.first(&self.buffer[start..self.end]) {
                self.record = start..start + len;
                self.key = self.records.key(self.record());
                return Ok(());
            }
            if self.left.is_empty() {
                if start < self.end {
                    return Err(self.spill.spoilt());
                }
                (self.record, self.key) = (start..start, u64::MAX);
                return Ok(());
            }
            self.refill()?;
        }
    }

    #[cold]
    fn refill(&mut self) -> Result<(), TaskError> {
        self.buffer.copy_within(self.record.end..self.end, 0);
        (self.end, self.record) = (self.end - self.record.end, 0..0);
        let room = &mut self.buffer[self.end..];
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        let more = room.len().min(left);
        if more == 0 {
            return Err(self.spill.spoilt());
        }
        self.spill.read(&mut room[..more], self.left.start)?;
        (self.left.start, self.end) = (self.left.start + more as u64, self.end + more);
        Ok(())
    }

    fn goes_before(&self, other: &Self) -> bool {
        match self.key.cmp(&other.key) {
            Ordering::Equal if self.is_done() || other.is_done() => !self.is_done(),
            Ordering::Equal => self.records.compare(self.record(), other.record()).is_lt(),
            order => order.is_lt(),
        }
    }
}

/// A part, with the key of its record, so that most matches are decided without looking at the part.
#[derive(Clone, Copy)]
struct Player {
    key: u64,
    part: usize,
}

impl Player {
    #[inline]
    fn beats<R: Records>(self, other: Self, parts: &[Part<'_, R>]) -> bool {
        self.key < other.key || self.key == other.key && parts[self.part].goes_before(&parts[other.part])
    }
}

/// All parts at once: the first of their records, and the one after it.
pub(super) struct Tree<'a, R> {
    parts: Vec<Part<'a, R>>,
    /// Node n has the loser of the match of nodes 2n and 2n + 1; part i is leaf `parts.len() + i`.
    losers: Vec<Player>,
    winner: Player,
}

impl<'a, R: Records> Tree<'a, R> {
    /// There is one part at least.
    pub(super) fn new(parts: Vec<Part<'a, R>>) -> Option<Self> {
        let len = parts.len();
        let player = |part: usize| parts.get(part).map(|found| Player { key: found.key, part });
        let mut winners = vec![player(0)?; 2 * len];
        for (leaf, part) in (len..2 * len).zip(0..) {
            winners[leaf] = player(part)?;
        }
        let mut losers = winners[..len].to_vec();
        for node in (1..len).rev() {
            let (a, b) = (winners[2 * node], winners[2 * node + 1]);
            (winners[node], losers[node]) = if b.beats(a, &parts) { (b, a) } else { (a, b) };
        }
        let winner = winners[1];
        Some(Self { parts, losers, winner })
    }

    /// The first of the records that are left.
    #[inline]
    pub(super) fn first(&self) -> Option<&[u8]> {
        let part = &self.parts[self.winner.part];
        (!part.is_done()).then(|| part.record())
    }

    /// Takes that away, and has its part play its matches again.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<(), TaskError> {
        let part = self.winner.part;
        self.parts[part].advance()?;
        let mut winner = Player { key: self.parts[part].key, part };
        let mut node = (self.parts.len() + part) / 2;
        while node > 0 {
            if self.losers[node].beats(winner, &self.parts) {
                std::mem::swap(&mut self.losers[node], &mut winner);
            }
            node /= 2;
        }
        self.winner = winner;
        Ok(())
    }
}
