//! Sorting on several threads: a slice is parted at a key near its middle, each half of it by a thread of its own, and the
//! two sides are then sorted at the same time.

use super::{super::halves, BLOCK, Order, deal::deal};
use crate::cancel::Cancel;
use sgdt_proto::task::TaskError;

/// Sorts a slice, with the help of whoever is idle.
pub(super) fn sort<T: Copy + Send>(
    items: &mut [T],
    order: &Order<impl Fn(&T) -> u64 + Sync, impl Fn(&mut [T], &mut Vec<T>) + Sync>,
    scratch: &mut Vec<T>,
    cancel: &Cancel,
) -> Result<(), TaskError> {
    if items.len() <= halves::SHARED || !cancel.has_help() {
        return deal(items, order, scratch, cancel);
    }
    let key = &order.key;
    let pivot = halves::middle(items, key);
    let low = halves::part(items, &|items| part_alone(items, |item| key(item) < pivot, cancel), cancel)?;
    // Where half of all keys are equal there are no two sides.
    if !halves::are_even(items.len(), low) {
        return deal(items, order, scratch, cancel);
    }
    halves::both(
        items,
        low,
        |longer| sort(longer, order, scratch, cancel),
        |shorter| sort(shorter, order, &mut Vec::new(), cancel),
        cancel,
    )
}

/// Moves the low items before all others by swaps, without a branch that depends on a key (Lomuto's scheme; see Edelkamp and
/// Weiß, "BlockQuicksort", ESA 2016, for why that matters).
fn part_alone<T: Copy>(
    items: &mut [T],
    is_low: impl Fn(&T) -> bool,
    cancel: &Cancel,
) -> Result<usize, TaskError> {
    let mut low = 0;
    for start in (0..items.len()).step_by(BLOCK) {
        cancel.check()?;
        for place in start..items.len().min(start + BLOCK) {
            let of_low = is_low(&items[place]);
            items.swap(place, low);
            low += usize::from(of_low);
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cores::Cores,
        kernel::sort::{halves::SHARED, radix},
    };
    use sgdt_proto::{kind::random, task::ErrorCode};
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    };

    /// With so many idle cores beside this thread's.
    fn helped(idle: u32) -> Cancel {
        Cancel::new().helped_by(&Cores::new(idle))
    }

    #[test]
    fn keys_are_sorted_on_several_threads_however_they_are_spread() {
        let len = 4 * SHARED as u64 + 77;
        let word = |i| random::word(4, i);
        let one_of = |keys: [u64; 2], i: u64| keys[(word(i) % 2) as usize];
        for (name, key) in [
            ("even", &(|i| word(i)) as &dyn Fn(u64) -> u64),
            ("few", &|i| word(i) % 5),
            ("two", &|i| one_of([0, u64::MAX], i)),
            ("one far away", &|i| if i == 7 { 0 } else { u64::MAX }),
            ("rising and falling", &|i| i.min(len - i)),
            ("halving", &|i| word(i) >> (word(!i) % 64)),
        ] {
            for idle in [0, 1, 2, 8] {
                let mut items: Vec<u64> = (0..len).map(key).collect();
                let mut expected = items.clone();
                expected.sort_unstable();
                radix::sort(&mut items, |item| *item, &mut Vec::new(), &helped(idle)).unwrap();
                assert!(items == expected, "{name}, {idle} idle");
            }
        }
    }

    #[test]
    fn low_items_come_first_and_none_is_lost() {
        for len in [0, 1, 2, SHARED, SHARED + 1, 3 * SHARED + 5] {
            for share in [0, 1, 50, 99, 100] {
                let mut items: Vec<u64> = (0..len as u64).collect();
                let is_low = |item: &u64| random::word(1, *item) % 100 < share;
                let cancel = helped(2);
                let low =
                    halves::part(&mut items, &|items| part_alone(items, is_low, &cancel), &cancel).unwrap();
                assert!(items[..low].iter().all(is_low) && !items[low..].iter().any(is_low), "{len} {share}");
                items.sort_unstable();
                assert!(items.into_iter().eq(0..len as u64));
            }
        }
    }

    #[test]
    fn an_idle_core_helps() {
        let mut items: Vec<u64> = (0..4 * SHARED as u64).map(|i| random::word(2, i)).collect();
        let (here, elsewhere) = (std::thread::current().id(), AtomicBool::new(false));
        let key = |item: &u64| {
            if std::thread::current().id() != here {
                elsewhere.store(true, Ordering::Relaxed);
            }
            *item
        };
        radix::sort(&mut items, key, &mut Vec::new(), &helped(1)).unwrap();
        assert!(elsewhere.load(Ordering::Relaxed) && items.is_sorted());
    }

    #[test]
    fn a_core_that_is_idle_later_helps_with_the_buckets() {
        let (here, elsewhere) = (std::thread::current().id(), AtomicBool::new(false));
        // The other core is busy until items go to their buckets.
        let cores = Cores::new(2);
        let (_own, other) = (cores.occupy(), Mutex::new(Some(cores.occupy())));
        let leaf = |items: &mut [u64], _: &mut Vec<u64>| {
            other.lock().unwrap().take();
            elsewhere.fetch_or(std::thread::current().id() != here, Ordering::Relaxed);
            items.sort_unstable();
        };
        let mut items: Vec<u64> = (0..8 * SHARED as u64).map(|i| random::word(3, i)).collect();
        let cancel = Cancel::new().helped_by(&cores);
        radix::sort_with_leaves(&mut items, |item| *item, leaf, &mut Vec::new(), &cancel).unwrap();
        assert!(elsewhere.load(Ordering::Relaxed) && items.is_sorted());
    }

    #[test]
    fn a_cancelled_sort_stops_on_every_thread() {
        let mut items: Vec<u64> = (0..4 * SHARED as u64).map(|i| random::word(2, i)).collect();
        let cancel = helped(2);
        cancel.cancel();
        let result = radix::sort(&mut items, |item| *item, &mut Vec::new(), &cancel);
        assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
    }
}
