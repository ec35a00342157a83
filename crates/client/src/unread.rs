//! How many bytes of results lie unread in a stream: too many, and no further task is read for it.
//!
//! A result that comes is always taken in, so that nothing waits for a reader who himself waits. Each stream has a
//! bound of its own for the same reason: its results are all that its reader has to read.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;

/// The most bytes that may lie unread while further tasks are read.
const MOST: usize = 256 << 20;

/// The results of one stream that lie unread.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    bytes: AtomicUsize,
    fewer: Notify,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Weight {
    of: Arc<Unread>,
    bytes: usize,
}

impl Unread {
    /// Another result, which counts until what is returned is dropped.
    pub(crate) fn add(self: &Arc<Self>, bytes: usize) -> Weight {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Weight { of: self.clone(), bytes }
    }

    /// Waits until there is room for more.
    pub(crate) async fn room(&self) {
        // One feeder waits, and a notification that comes between its look and its wait is kept for it.
        while self.bytes.load(Ordering::Relaxed) > MOST {
            self.fewer.notified().await;
        }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.of.fewer.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn what_lies_unread_holds_up_what_is_to_come_until_it_is_read() {
        let unread = Arc::new(Unread::default());
        let first = unread.add(MOST);
        assert!(unread.room().now_or_never().is_some(), "no more than may be");
        let _second = unread.add(1);
        let waiting = tokio::spawn({
            let unread = unread.clone();
            async move { unread.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap();
    }
}
