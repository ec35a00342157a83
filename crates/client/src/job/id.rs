//! What a task line is called, and whether that name is taken.
//!
//! A result is told apart by its line's id alone, so two lines must not share one. To know that of a file
//! of any length, every id must be remembered somehow. An id that a line gives costs 16 bytes here, however
//! long it is: a 128-bit keyed hash of it (about 40 bytes with the table's slack; a million of them fit in 40 MB).
//! Among a billion ids two meet by chance with a probability of 2^-69, and nobody who lacks the keys, drawn
//! at every start, can make two meet. Lines without an id are called by their number and cost nothing while
//! they follow one another: only the runs of such lines are kept.

use rustc_hash::FxBuildHasher;
use std::{
    borrow::Cow,
    collections::HashSet,
    hash::{BuildHasher, Hash, RandomState},
};

/// What a result line calls its task line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LineId {
    /// The line's own `id`. One written as an integer is the same as its digits in a string.
    Given(Box<str>),
    /// The number, counted from 1, of a line without an `id`.
    Number(u64),
    /// The number of a line whose own id cannot be used: it is unreadable, or taken. The result line says so in
    /// a field `line`, and is not mistaken for that of a line which *gives* this number as its id.
    Malformed(u64),
}

impl LineId {
    /// The text that the result line has as its `id`.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Given(id) => Cow::Borrowed(id),
            Self::Number(number) | Self::Malformed(number) => Cow::Owned(number.to_string()),
        }
    }
}

/// What stands for a name of any length: a hash with keys of its own.
#[derive(Debug, Default)]
pub(super) struct Digest([RandomState; 2]);

impl Digest {
    /// The name's 128 bits.
    pub(super) fn of(&self, name: impl Hash) -> u128 {
        let [high, low] = self.0.each_ref().map(|key| u128::from(key.hash_one(&name)));
        high << 64 | low
    }
}

/// A set of ids, by their hashes.
#[derive(Debug, Default)]
pub struct IdSet {
    digest: Digest,
    hashes: HashSet<u128, FxBuildHasher>,
}

impl IdSet {
    /// Adds an id. Whether it is new.
    pub fn insert(&mut self, id: &str) -> bool {
        self.hashes.insert(self.digest.of(id))
    }

    /// Whether this id was added.
    pub fn contains(&self, id: &str) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&self.digest.of(id))
    }
}

/// The ids of the lines read so far.
#[derive(Debug, Default)]
pub struct Seen {
    given: IdSet,
    /// Whether any given id looks like a line number, and so may be in the way of one.
    numeric: bool,
    /// Runs of lines that are called by their number: first and last, in order.
    runs: Vec<(u64, u64)>,
}

impl Seen {
    /// Takes an id for a line; lines come in the order of the file. Whether it was free.
    pub fn claim(&mut self, id: &LineId) -> bool {
        match id {
            LineId::Given(text) => {
                self.numeric |= as_line_number(text).is_some();
                !self.is_number(text) && self.given.insert(text)
            }
            LineId::Number(number) => {
                if self.numeric && self.given.contains(&id.text()) {
                    return false;
                }
                match self.runs.last_mut() {
                    Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
                    _ => self.runs.push((*number, *number)),
                }
                true
            }
            LineId::Malformed(_) => true,
        }
    }

    /// Whether this is the number of a line without an id.
    pub(super) fn is_number(&self, id: &str) -> bool {
        as_line_number(id).is_some_and(|number| self.is_numbered(number))
    }

    fn is_numbered(&self, number: u64) -> bool {
        let run = self.runs.partition_point(|&(_, last)| last < number);
        self.runs.get(run).is_some_and(|&(first, _)| first <= number)
    }
}

/// The number that is written exactly like this, if any.
fn as_line_number(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> LineId {
        LineId::Given(text.into())
    }

    #[test]
    fn an_id_is_free_once() {
        let mut seen = Seen::default();
        assert!(seen.claim(&given("a")) && seen.claim(&given("")) && seen.claim(&given("A")));
        assert!(!seen.claim(&given("a")) && !seen.claim(&given("")));
    }

    #[test]
    fn a_line_number_is_taken_only_by_a_line_that_has_no_id() {
        let mut seen = Seen::default();
        // Ids counted from 0 on lines counted from 1 are nobody's duplicates.
        for id in ["0", "1", "2"] {
            assert!(seen.claim(&given(id)), "{id}");
        }
        assert!(
            seen.claim(&LineId::Number(4))
                && seen.claim(&LineId::Number(5))
                && seen.claim(&LineId::Number(7))
        );
        for (id, free) in [("4", false), ("5", false), ("6", true), ("7", false), ("04", true), ("+4", true)]
        {
            assert_eq!(seen.claim(&given(id)), free, "{id}");
        }
        assert!(seen.claim(&given("9")));
        assert!(!seen.claim(&LineId::Number(9)) && seen.claim(&LineId::Number(10)));
        assert!(seen.claim(&LineId::Malformed(4)), "it is nobody's id");
    }

    #[test]
    fn consecutive_lines_without_an_id_cost_nothing() {
        let mut seen = Seen::default();
        assert!((1..=100_000).all(|number| seen.claim(&LineId::Number(number))));
        assert_eq!((seen.runs.as_slice(), seen.given.hashes.len()), ([(1, 100_000)].as_slice(), 0));
    }

    #[test]
    fn two_sets_hash_alike_only_by_chance() {
        let (mut one, two) = (IdSet::default(), IdSet::default());
        assert!(one.insert("a") && one.contains("a") && !one.contains("b") && !two.contains("a"));
        assert_ne!(one.digest.of("a"), two.digest.of("a"));
    }
}
