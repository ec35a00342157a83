//! Pseudo-random inputs that both ends can name by a seed instead of shipping them.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
//! OOPSLA 2014) read at an index, so that any part of a sequence can be made by itself.

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Element `index` of the sequence of `seed`: all 64 bits uniform.
#[inline]
pub fn word(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(GAMMA.wrapping_mul(index.wrapping_add(1)));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Element `index` of the sequence of `seed` as a double, uniform in [0, 1).
#[inline]
pub fn unit(seed: u64, index: u64) -> f64 {
    (word(seed, index) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Element `index` of the sequence of `seed` as a float of 32 bits, uniform in [0, 1): the upper 24 bits of the same word,
/// as many as such a float holds, times 2^-24.
#[inline]
pub fn unit_f32(seed: u64, index: u64) -> f32 {
    (word(seed, index) >> 40) as f32 * (1.0 / (1u64 << 24) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The published reference implementation's first outputs for the seed 1234567.
        let first: Vec<u64> = (0..3).map(|index| word(1_234_567, index)).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn units_are_in_range() {
        assert!((0..1000).map(|index| unit(7, index)).all(|x| (0.0..1.0).contains(&x)));
        assert!((0..1000).map(|index| unit_f32(7, index)).all(|x| (0.0..1.0).contains(&x)));
    }

    #[test]
    fn a_short_unit_is_the_beginning_of_the_long_one() {
        for index in 0..1000 {
            let (short, long) = (f64::from(unit_f32(7, index)), unit(7, index));
            assert_eq!(short, (long * f64::from(1 << 24)).floor() / f64::from(1 << 24));
        }
    }
}
