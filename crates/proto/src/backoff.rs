//! Waiting longer each time, and never in step with others.

use rand::Rng;
use std::time::Duration;

/// Delays that double from `first` to `cap`, each drawn from the upper half of its step, so that peers that
/// failed together do not try again together ("equal jitter": Brooker, "Exponential backoff and jitter",
/// AWS Architecture Blog, 2015).
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    step: Duration,
}

impl Backoff {
    /// Delays from `first` to `cap`.
    ///
    /// # Errors
    /// `first` is zero, or `cap` is less than `first`.
    pub fn new(first: Duration, cap: Duration) -> Result<Self, InvalidBackoff> {
        if first.is_zero() || cap < first {
            return Err(InvalidBackoff { first, cap });
        }
        Ok(Self { first, cap, step: first })
    }

    /// How long to wait now. The next wait is longer.
    pub fn next_delay(&mut self, rng: &mut impl Rng) -> Duration {
        let half = self.step / 2;
        let delay = half + (self.step - half).mul_f64(rng.random());
        self.step = self.step.saturating_mul(2).min(self.cap);
        delay
    }

    /// Begins anew: it worked.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

/// Two durations that make no backoff.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a backoff from {first:?} to {cap:?}: the first delay must be above zero and no more than the cap")]
pub struct InvalidBackoff {
    first: Duration,
    cap: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::SmallRng};

    proptest! {
        #[test]
        fn delays_double_to_the_cap_and_stay_in_the_upper_half(
            first in 1u64..10_000, times in 1u64..1000, seed: u64,
        ) {
            let (first, cap) = (Duration::from_micros(first), Duration::from_micros(first * times));
            let mut backoff = Backoff::new(first, cap).unwrap();
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut step = first;
            for _ in 0..20 {
                let delay = backoff.next_delay(&mut rng);
                prop_assert!(delay >= step / 2 && delay <= step, "{delay:?} of {step:?}");
                step = (step * 2).min(cap);
            }
            backoff.reset();
            prop_assert!(backoff.next_delay(&mut rng) <= first);
        }
    }

    #[test]
    fn what_would_spin_or_shrink_is_refused() {
        let ms = Duration::from_millis;
        assert!(Backoff::new(ms(0), ms(1)).is_err());
        assert!(Backoff::new(ms(2), ms(1)).is_err());
        assert!(Backoff::new(ms(1), ms(1)).is_ok());
    }
}
