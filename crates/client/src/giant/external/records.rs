//! What a file that is sorted is made of: lines, or numbers.

use crate::local::{
    Cancel,
    within::{self, Spot},
};
use sgdt_proto::{
    kind::sort::{Number, order},
    task::TaskError,
};
use std::{cmp::Ordering, fmt};

/// A kind of records, each of which is some bytes that tell where it ends.
pub trait Records: Copy + fmt::Debug + Send + Sync + 'static {
    /// What each takes while it is sorted, in bytes, beside its own.
    const EACH: usize;

    /// How long the first of these records is, its end included; `None` if its end is not there.
    fn first(&self, bytes: &[u8]) -> Option<usize>;

    /// How many records end among these bytes.
    fn count(&self, bytes: &[u8]) -> usize;

    /// How long the longest of these whole records is.
    fn longest(&self, bytes: &[u8]) -> usize;

    /// Where the last of them ends. None ends in the first `open` bytes.
    fn last_end(&self, bytes: &[u8], open: usize) -> Option<usize>;

    /// What the last record of a file lacks, when it does not end.
    ///
    /// # Errors
    /// A file cannot end so.
    fn missing_end(&self) -> Result<&'static [u8], TaskError>;

    /// From where on to read to come upon the first record that begins at this place or later, counted from the
    /// beginning of one; and whether the first that is read is the end of another.
    fn aligned(&self, place: u64) -> (u64, bool);

    /// A number whose order is that of the records, but for those that have the same.
    fn key(&self, record: &[u8]) -> u64;

    /// The order of records with the same key.
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering;

    /// A short record that is as good for telling others apart.
    fn splitter(&self, record: &[u8]) -> Vec<u8>;

    /// Sorts the records that the first `len` bytes of `room` are, and hands their bytes over in order.
    ///
    /// # Errors
    /// The kernel's, or those of `take`.
    fn sort(
        &self,
        room: &mut [Spot],
        len: usize,
        cancel: &Cancel,
        take: impl FnMut(&[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError>;

    /// Whether one record goes before another.
    #[inline]
    fn is_before(&self, a: &[u8], b: &[u8]) -> bool {
        self.key(a).cmp(&self.key(b)).then_with(|| self.compare(a, b)).is_lt()
    }
}

/// Lines with their line feeds, compared by their bytes.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    /// Largest first.
    pub descending: bool,
}

impl Records for Lines {
    // And what the kernel notes of lines that agree for long.
    const EACH: usize = size_of::<Spot>() + 1;

    #[inline]
    fn first(&self, bytes: &[u8]) -> Option<usize> {
        memchr::memchr(b'\n', bytes).map(|end| end + 1)
    }

    fn count(&self, bytes: &[u8]) -> usize {
        memchr::memchr_iter(b'\n', bytes).count()
    }

    fn longest(&self, bytes: &[u8]) -> usize {
        let ends = memchr::memchr_iter(b'\n', bytes).map(|end| end + 1);
        ends.fold((0, 0), |(start, longest), end| (end, longest.max(end - start))).1
    }

    fn last_end(&self, bytes: &[u8], open: usize) -> Option<usize> {
        memchr::memrchr(b'\n', bytes.get(open..)?).map(|end| open + end + 1)
    }

    fn missing_end(&self) -> Result<&'static [u8], TaskError> {
        // As sort(1) does, so that the last line can go before another.
        Ok(b"\n")
    }

    fn aligned(&self, place: u64) -> (u64, bool) {
        // The byte before is the end of another line, if it is not within one.
        place.checked_sub(1).map_or((0, false), |before| (before, true))
    }

    #[inline]
    fn key(&self, record: &[u8]) -> u64 {
        let line = text(record);
        let key = match line.first_chunk() {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => line.iter().rev().fold(0, |key, &byte| key >> 8 | u64::from(byte) << 56),
        };
        if self.descending { !key } else { key }
    }

    #[inline]
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        let order = text(a).cmp(text(b));
        if self.descending { order.reverse() } else { order }
    }

    fn splitter(&self, record: &[u8]) -> Vec<u8> {
        /// Lines that agree in so many bytes are as likely to be one.
        const ENOUGH: usize = 256;
        let line = text(record);
        [&line[..line.len().min(ENOUGH)], b"\n"].concat()
    }

    fn sort(
        &self,
        room: &mut [Spot],
        len: usize,
        cancel: &Cancel,
        mut take: impl FnMut(&[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let (text, spots) = room.split_at_mut(len.div_ceil(size_of::<Spot>()));
        let text = &bytemuck::cast_slice(text)[..len];
        let spots = within::sort_lines(text, spots, cancel)?;
        let (mut forward, mut backward) = (spots.iter(), spots.iter().rev());
        while let Some(spot) = if self.descending { backward.next() } else { forward.next() } {
            take(within::line(text, spot))?;
            take(b"\n")?;
        }
        Ok(())
    }
}

/// A line without its line feed.
#[inline]
fn text(record: &[u8]) -> &[u8] {
    record.split_last().map_or(record, |(_, line)| line)
}

/// Numbers of eight bytes.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Of which type.
    pub number: Number,
    /// Largest first.
    pub descending: bool,
}

const SIZE: usize = size_of::<u64>();

impl Records for Numbers {
    const EACH: usize = 0;

    #[inline]
    fn first(&self, bytes: &[u8]) -> Option<usize> {
        (bytes.len() >= SIZE).then_some(SIZE)
    }

    fn count(&self, bytes: &[u8]) -> usize {
        bytes.len() / SIZE
    }

    fn longest(&self, _: &[u8]) -> usize {
        SIZE
    }

    fn last_end(&self, bytes: &[u8], _: usize) -> Option<usize> {
        Some(bytes.len() / SIZE * SIZE)
    }

    fn missing_end(&self) -> Result<&'static [u8], TaskError> {
        Err(TaskError::invalid_input("it became shorter while it was read"))
    }

    fn aligned(&self, place: u64) -> (u64, bool) {
        (place.next_multiple_of(SIZE as u64), false)
    }

    #[inline]
    fn key(&self, record: &[u8]) -> u64 {
        let word = record.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        order::key(self.number, word, self.descending)
    }

    #[inline]
    fn compare(&self, _: &[u8], _: &[u8]) -> Ordering {
        Ordering::Equal
    }

    fn splitter(&self, record: &[u8]) -> Vec<u8> {
        record.to_vec()
    }

    fn sort(
        &self,
        room: &mut [Spot],
        len: usize,
        cancel: &Cancel,
        mut take: impl FnMut(&[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let words = &mut bytemuck::cast_slice_mut(room)[..len / SIZE];
        within::sort_numbers(self.number, words, self.descending, cancel)?;
        take(bytemuck::cast_slice(words))
    }
}
