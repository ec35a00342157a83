//! Changing numbers where they are.

use pulp::NullaryFnOnce;

/// Puts in place of each word what it is to become, several at a time.
pub(super) struct Each<'w, F> {
    pub(super) words: &'w mut [u64],
    pub(super) to: &'w F,
}

impl<F: Fn(u64) -> u64> NullaryFnOnce for Each<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for word in self.words {
            *word = (self.to)(*word);
        }
    }
}
