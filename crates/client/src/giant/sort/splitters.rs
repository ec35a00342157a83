//! Which range a key goes into.

use sgdt_proto::kind::random;

/// How many keys of the sample there are for each range: the largest range then has rarely more than a third above
/// its share (Blelloch et al.).
const OVERSAMPLING: usize = 64;

/// Which keys are sampled. Any other seed would do as well.
const SEED: u64 = 0x5a3f;

/// The splitters, in order and each once. Range 2i holds the keys between splitters i - 1 and i, range 2i + 1 those
/// that are equal to splitter i where it has a range of its own; otherwise they are in the range that follows.
#[derive(Debug)]
pub(super) struct Splitters<K> {
    /// Each with whether it has a range of its own.
    keys: Vec<(K, bool)>,
}

impl<K: Ord> Splitters<K> {
    /// Draws them from `len` places, for so many ranges. A key may be at many places, one after the other.
    pub(super) fn draw(
        len: usize,
        pieces: usize,
        is_same: impl Fn(usize, usize) -> bool,
        key: impl Fn(usize) -> K,
    ) -> Self {
        let mut keys: Vec<(K, bool)> = Vec::new();
        if len == 0 || pieces < 2 {
            return Self { keys };
        }
        let place = |index: u64| ((u128::from(random::word(SEED, index)) * len as u128) >> 64) as usize;
        let mut places: Vec<usize> = (0..(pieces * OVERSAMPLING) as u64).map(place).collect();
        places.sort_unstable();
        // Each once, with how often it was drawn: a key of many places takes long to compare.
        let drawn = places.chunk_by(|&a, &b| is_same(a, b));
        let mut sample: Vec<(K, usize)> = drawn.map(|places| (key(places[0]), places.len())).collect();
        sample.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        // How many more are not drawn for a splitter.
        let mut left = OVERSAMPLING;
        for (key, mut count) in sample {
            let mut times = 0;
            while count > left {
                (count, left, times) = (count - left, OVERSAMPLING, times + 1);
            }
            left -= count;
            match keys.last_mut() {
                _ if times == 0 => {}
                Some((last, frequent)) if *last == key => *frequent = true,
                _ => keys.push((key, times > 1)),
            }
        }
        Self { keys }
    }

    /// How many ranges there are.
    pub(super) fn ranges(&self) -> usize {
        2 * self.keys.len() + 1
    }

    /// Whether all keys in this range are equal.
    pub(super) fn is_equal(range: usize) -> bool {
        range % 2 == 1
    }

    /// The range of a key.
    #[inline]
    pub(super) fn range_of(&self, key: &K) -> usize {
        let after = self.keys.partition_point(|(splitter, _)| splitter <= key);
        match after.checked_sub(1).and_then(|index| self.keys.get(index)) {
            Some((splitter, true)) if splitter == key => 2 * after - 1,
            _ => 2 * after,
        }
    }
}

/// Where ranges of these sizes begin, one after the other.
pub(super) fn starts(sizes: &[usize]) -> Vec<usize> {
    let mut start = 0;
    let mut starts = Vec::with_capacity(sizes.len());
    for size in sizes {
        starts.push(start);
        start += size;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sizes(keys: &[u64], pieces: usize) -> Vec<usize> {
        let splitters = Splitters::draw(keys.len(), pieces, |a, b| a == b, |place| keys[place]);
        let mut sizes = vec![0; splitters.ranges()];
        keys.iter().for_each(|key| sizes[splitters.range_of(key)] += 1);
        sizes
    }

    fn largest_to_sort(keys: &[u64], pieces: usize) -> usize {
        sizes(keys, pieces).into_iter().step_by(2).max().unwrap()
    }

    #[test]
    fn neither_skew_nor_equal_keys_break_the_balance() {
        let len = 100_000u64;
        let uniform: Vec<u64> = (0..len).map(|index| random::word(1, index)).collect();
        let skewed: Vec<u64> = uniform.iter().map(|word| 1 << (word % 64).min(40)).collect();
        let steep: Vec<u64> = uniform.iter().map(|word| (word >> 60).pow(15) + (word & 0xff)).collect();
        for keys in [&uniform, &skewed, &steep] {
            let (largest, share) = (largest_to_sort(keys, 16), keys.len() / 16);
            assert!(largest < share * 2, "{largest} of a share of {share}");
        }
        assert_eq!(largest_to_sort(&[7; 1000], 16), 0, "equal keys are not sorted at all");
    }

    #[test]
    fn a_key_of_many_places_is_looked_at_once() {
        let looked = std::cell::Cell::new(0);
        let key = |place: usize| {
            looked.set(looked.get() + 1);
            place / 5000
        };
        let splitters = Splitters::draw(10_000, 100, |a, b| a / 5000 == b / 5000, key);
        assert_eq!((looked.get(), splitters.keys), (2, vec![(0, true), (1, true)]));
    }

    proptest! {
        #[test]
        fn keys_of_many_places_are_drawn_as_often_as_they_have_places(lens in prop::collection::vec(1usize..2000, 1..40), pieces in 2usize..9) {
            // Three neighbours at a time have equal keys.
            let keys: Vec<usize> = lens.iter().enumerate().flat_map(|(at, &len)| std::iter::repeat_n(at, len)).collect();
            let draw = |is_same: fn(usize, usize) -> bool| {
                let is_same = |a: usize, b: usize| a == b || is_same(keys[a], keys[b]);
                Splitters::draw(keys.len(), pieces, is_same, |place| keys[place] / 3).keys
            };
            prop_assert_eq!(draw(|a, b| a == b), draw(|_, _| false));
        }

        #[test]
        fn ranges_follow_each_other_and_equal_ones_are_equal(keys in prop::collection::vec(0u64..50, 1..400), pieces in 1usize..9) {
            let splitters = Splitters::draw(keys.len(), pieces, |a, b| a == b, |place| keys[place]);
            let mut ranges = vec![Vec::new(); splitters.ranges()];
            keys.iter().for_each(|key| ranges[splitters.range_of(key)].push(*key));
            let mut joined = Vec::new();
            for (range, keys) in ranges.iter_mut().enumerate() {
                if Splitters::<u64>::is_equal(range) {
                    prop_assert!(keys.iter().all(|key| *key == keys[0]));
                }
                keys.sort_unstable();
                joined.append(keys);
            }
            prop_assert!(joined.is_sorted() && joined.len() == keys.len());
        }
    }
}
