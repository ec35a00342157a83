//! Wrong answers on purpose.

use sgdt_proto::{buffer::Buffer, kind::random, payload::Payload};
use std::sync::atomic::{AtomicU64, Ordering};

/// Spoils a share of the outputs that pass through it: which ones depends on their number alone.
pub(super) struct Spoiler {
    share: f64,
    passed: AtomicU64,
}

impl Spoiler {
    pub(super) fn new(share: f64) -> Self {
        Self { share, passed: AtomicU64::new(0) }
    }

    /// Changes one byte of an output's first buffer, if it has one and its turn has come.
    pub(super) fn pass(&self, mut output: Payload) -> Payload {
        let number = self.passed.fetch_add(1, Ordering::Relaxed);
        if random::unit(0, number) < self.share
            && let Some(buffer) = output.buffers.iter_mut().find(|buffer| !buffer.is_empty())
        {
            let mut bytes = buffer.to_vec();
            // The most significant byte of a number in the middle: no rounding explains it.
            let place = (bytes.len() / 16 * 8 + 7).min(bytes.len() - 1);
            bytes[place] ^= 0x40;
            *buffer = Buffer::from(bytes);
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::payload::Format;

    fn spoilt(share: f64, buffer: &Buffer) -> usize {
        let spoiler = Spoiler::new(share);
        let pass = |_: &i32| {
            spoiler.pass(Payload::encode(Format::Packed, buffer).unwrap()).buffers != [buffer.clone()]
        };
        (0..1000).filter(pass).count()
    }

    #[test]
    fn that_share_is_spoilt_and_no_more() {
        for buffer in [Buffer::from(vec![0; 1]), Buffer::from_scalars(vec![1.0; 9])] {
            assert_eq!((spoilt(0.0, &buffer), spoilt(1.0, &buffer)), (0, 1000));
            assert!((50..200).contains(&spoilt(0.1, &buffer)));
        }
        assert_eq!(spoilt(1.0, &Buffer::from(vec![])), 0, "nothing to spoil");
    }
}
