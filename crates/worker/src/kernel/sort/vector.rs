//! Sorting numbers by 64-bit keys with the vectors of AVX-512: quicksort, down to what a sorting network has room for. What is
//! parted badly too often is left to the counting sort, so that no list can make it slow.
//!
//! Quicksort and network are those of Bramas, "A novel hybrid quicksort algorithm vectorized using AVX-512 on Intel Skylake", IJACSA 8,
//! 2017; that the network sorts columns, which are then merged, is from Blacher, Giesen, Sanders and Wassenberg, "Vectorized and
//! performance-portable quicksort", Software: Practice and Experience 52, 2022.

mod network;
mod part;

use super::{each::Each, halves, radix};
use crate::cancel::Cancel;
use part::Part;
use pulp::x86::V4;
use sgdt_proto::task::TaskError;
use std::array;

/// How many keys a vector has.
const LANES: usize = 8;

const _: () = assert!(network::KEYS >= 2 * part::GROUP, "what is parted has a group at either end");

/// How many keys are parted between two looks at the cancel handle. As many are usually sorted without one, in a third of a
/// millisecond.
const BLOCK: usize = 1 << 16;

/// More keys than this are worth a large sample.
const LONG: usize = 1 << 16;

/// How often more than seven eighths of some keys may be left after they are parted. So it is where one value is most of them,
/// or where a list is made for it.
const UNEVEN: u32 = 8;

/// Sorts numbers by keys, which are in place of them meanwhile. `undo` makes numbers of keys.
///
/// # Errors
/// `cancelled` or `timeout`; there may then be any numbers.
pub(super) fn sort(
    simd: V4,
    words: &mut [u64],
    key: &(impl Fn(u64) -> u64 + Sync),
    undo: &(impl Fn(u64) -> u64 + Sync),
    cancel: &Cancel,
) -> Result<(), TaskError> {
    let quick = Quick { simd, undo, cancel };
    if words.len() <= halves::SHARED {
        simd.vectorize(Each { words, to: key });
        return quick.sort(words, usize::MAX, UNEVEN);
    }
    // What does not fit in a cache becomes keys on its way.
    let low = quick.part(words, halves::middle(words, &|&word| key(word)), key)?;
    quick.sides(words, low, UNEVEN)
}

/// How keys are sorted.
struct Quick<'a, U> {
    simd: V4,
    /// Makes a number of a key.
    undo: &'a U,
    cancel: &'a Cancel,
}

impl<U: Fn(u64) -> u64 + Sync> Quick<'_, U> {
    /// Sorts a part of so many keys, and makes numbers of them. May be left with most of the keys so many times more.
    fn sort(&self, keys: &mut [u64], of: usize, mut uneven: u32) -> Result<(), TaskError> {
        let len = keys.len();
        if len <= network::KEYS {
            network::sort(self.simd, keys, self.undo);
            return Ok(());
        }
        if len > of - of / 8 {
            let Some(fewer) = uneven.checked_sub(1) else {
                radix::sort(keys, |&key| key, &mut Vec::new(), self.cancel)?;
                return self.finish(keys);
            };
            uneven = fewer;
        }
        let pivot = if len > LONG { halves::middle(keys, &|&key| key) } else { middle(keys) };
        let low = self.part(keys, pivot, &|key| key)?;
        if low > 0 {
            return self.sides(keys, low, uneven);
        }
        // None is less. Those that are equal go first, and are then done.
        let equal = match pivot.checked_add(1) {
            Some(above) => self.part(keys, above, &|key| key)?,
            None => len,
        };
        let (equal, rest) = keys.split_at_mut(equal);
        self.finish(equal)?;
        self.sort(rest, len, uneven)
    }

    /// Sorts both sides of parted keys.
    fn sides(&self, keys: &mut [u64], low: usize, uneven: u32) -> Result<(), TaskError> {
        let len = keys.len();
        let side = |keys: &mut [u64]| self.sort(keys, len, uneven);
        if len > halves::SHARED && halves::are_even(len, low) && self.cancel.has_help() {
            return halves::both(keys, low, side, side, self.cancel);
        }
        let (left, right) = keys.split_at_mut(low);
        side(left)?;
        side(right)
    }

    /// Makes keys of words, moves those below the pivot before all others, and says how many there are: with the help of
    /// whoever is idle.
    fn part(
        &self,
        words: &mut [u64],
        pivot: u64,
        key: &(impl Fn(u64) -> u64 + Sync),
    ) -> Result<usize, TaskError> {
        let &Self { simd, cancel, .. } = self;
        let alone = |words: &mut [u64]| simd.vectorize(Part { simd, words, pivot, key, cancel });
        halves::part(words, &alone, cancel)
    }

    /// Makes numbers of keys that are sorted.
    fn finish(&self, keys: &mut [u64]) -> Result<(), TaskError> {
        for words in keys.chunks_mut(BLOCK) {
            self.cancel.check()?;
            self.simd.vectorize(Each { words, to: self.undo });
        }
        Ok(())
    }
}

/// A key near the middle, by a sample: a median of medians.
fn middle(keys: &[u64]) -> u64 {
    let parts: [u64; 9] = array::from_fn(|part| {
        let from = part * (keys.len() / 9);
        median(keys[from], keys[from + 3], keys[from + 7])
    });
    median(
        median(parts[0], parts[1], parts[2]),
        median(parts[3], parts[4], parts[5]),
        median(parts[6], parts[7], parts[8]),
    )
}

fn median(a: u64, b: u64, c: u64) -> u64 {
    a.min(b).max(a.max(b).min(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores::Cores;
    use sgdt_proto::{
        kind::{random::word, sort::order},
        task::ErrorCode,
    };
    use std::{
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
        thread,
        time::Duration,
    };

    /// Those of doubles, of which some are numbers.
    fn key(word: u64) -> u64 {
        order::double(word, true)
    }

    fn undo(key: u64) -> u64 {
        order::undo_double(key, true)
    }

    /// With so many idle cores beside this thread's.
    fn helped(idle: u32) -> Cancel {
        Cancel::new().helped_by(&Cores::new(idle))
    }

    #[test]
    fn numbers_of_every_count_and_spread_are_sorted() {
        let Some(simd) = V4::try_new() else { return };
        for (name, number) in [
            ("even", &(|i| word(1, i)) as &dyn Fn(u64) -> u64),
            ("few", &|i| word(2, i) % 3),
            ("rising", &|i| i),
            ("falling", &|i| !i),
            ("equal", &|_| 7),
            ("of the greatest key", &|_| undo(u64::MAX)),
            ("of great keys", &|i| undo(u64::MAX - word(3, i) % 2)),
            ("halving", &|i| word(4, i) >> (word(5, i) % 64)),
            ("mostly of the least key", &|i| undo((word(6, i) % 3 / 2) * word(7, i))),
            ("mostly of one key", &|i| {
                undo([1 << 60, word(6, i)][usize::from(word(7, i).is_multiple_of(20))])
            }),
        ] {
            let long = 4 * halves::SHARED as u64 + 77;
            for len in (0..400).chain([1000, 4095, 4096, 131_072, 131_100, long]) {
                let given: Vec<u64> = (0..len).map(number).collect();
                let mut expected = given.clone();
                expected.sort_unstable_by_key(|&word| key(word));
                for idle in [0, 1, 3] {
                    let mut words = given.clone();
                    sort(simd, &mut words, &key, &undo, &helped(idle)).unwrap();
                    assert!(words == expected, "{len} {name}, {idle} idle");
                }
            }
        }
    }

    #[test]
    fn what_is_parted_badly_too_often_is_sorted_all_the_same() {
        let Some(simd) = V4::try_new() else { return };
        for (idle, uneven) in [(0, 0), (1, 0), (1, 1)] {
            let mut keys: Vec<u64> =
                (0..2 * halves::SHARED as u64).map(|i| 1 << 60 | word(9, i) >> 8).collect();
            let len = keys.len();
            let mut expected: Vec<u64> = keys.iter().map(|&key| undo(key)).collect();
            expected.sort_unstable_by_key(|&word| key(word));
            let (cancel, made) = (helped(idle), AtomicUsize::new(0));
            let undo = |key| {
                made.fetch_add(1, Ordering::Relaxed);
                undo(key)
            };
            // Of one more: so they are most of some.
            Quick { simd, undo: &undo, cancel: &cancel }.sort(&mut keys, len + 1, uneven).unwrap();
            assert!(keys == expected, "{idle} idle, {uneven} times");
            // A network makes numbers of whole vectors, some of which are not full.
            assert_eq!(made.into_inner() == len, uneven == 0, "{idle} idle, {uneven} times");
        }
    }

    #[test]
    fn an_idle_core_helps_however_uneven_the_sides_are() {
        let Some(simd) = V4::try_new() else { return };
        let long = 6 * halves::SHARED as u64;
        for (name, number) in [
            ("even", &(|i| word(1, i)) as &dyn Fn(u64) -> u64),
            ("mostly of the least key", &|i| (word(2, i) % 3 / 2) * word(3, i)),
        ] {
            let (here, threads) = (thread::current().id(), Mutex::new([0, 0]));
            // Greater keys are done by both.
            let undo = |key| {
                if key != 0 {
                    threads.lock().unwrap()[usize::from(thread::current().id() == here)] += 1;
                }
                key
            };
            let mut words: Vec<u64> = (0..long).map(number).collect();
            sort(simd, &mut words, &|word| word, &undo, &helped(1)).unwrap();
            let threads = threads.into_inner().unwrap();
            assert!(threads.iter().all(|&keys| keys > halves::SHARED / 4), "{name}: {threads:?}");
            assert!(words.is_sorted(), "{name}");
        }
    }

    #[test]
    fn a_core_that_is_idle_later_helps() {
        let Some(simd) = V4::try_new() else { return };
        let (here, elsewhere) = (thread::current().id(), AtomicBool::new(false));
        // The other core is busy until some numbers are in order.
        let cores = Cores::new(2);
        let (_own, other) = (cores.occupy(), Mutex::new(Some(cores.occupy())));
        let undo = |key| {
            other.lock().unwrap().take();
            elsewhere.fetch_or(thread::current().id() != here, Ordering::Relaxed);
            key
        };
        let mut words: Vec<u64> = (0..8 * halves::SHARED as u64).map(|i| word(8, i)).collect();
        sort(simd, &mut words, &|word| word, &undo, &Cancel::new().helped_by(&cores)).unwrap();
        assert!(elsewhere.load(Ordering::Relaxed) && words.is_sorted());
    }

    #[test]
    fn a_cancelled_sort_stops_wherever_it_is() {
        let Some(simd) = V4::try_new() else { return };
        let cancel = helped(2);
        cancel.cancel();
        let quick = Quick { simd, undo: &undo, cancel: &cancel };
        let mut keys: Vec<u64> = (0..2 * BLOCK as u64).map(|i| word(8, i)).collect();
        for result in [
            sort(simd, &mut keys.repeat(4), &key, &undo, &cancel),
            quick.sort(&mut keys, usize::MAX, 1),
            quick.sort(&mut keys, 2 * BLOCK, 0),
            quick.finish(&mut keys),
        ] {
            assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
        }
    }

    #[test]
    fn sorting_stops_when_the_time_is_up() {
        let Some(simd) = V4::try_new() else { return };
        let mut words: Vec<u64> = (0..2_000_000).map(|i| word(3, i)).collect();
        let cancel = Cancel::new().started(Some(Duration::from_millis(1)));
        let result = sort(simd, &mut words, &key, &undo, &cancel);
        assert_eq!(result.unwrap_err().code, ErrorCode::Timeout);
    }
}
