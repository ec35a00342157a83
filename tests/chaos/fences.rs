//! How much one task may meet.
//!
//! A task whose workers die three times is given up, which is right and not what a storm asks for. So no task
//! meets more than two of the things that break connections: before another begins, all but one of those before
//! it are over, and whatever was out meanwhile is done.

use crate::feed::Feed;

/// What breaks connections: how many tasks can have met it when it was over, or that it is not over.
#[derive(Default)]
pub(crate) struct Fences(Vec<Option<usize>>);

/// How many tasks may still be sent to a worker before the client sees that it is gone.
const UNSEEN: usize = 16;

impl Fences {
    /// Waits until a task that is out can have met no more than one thing.
    pub(crate) fn wait(&mut self, feed: &Feed) {
        self.0.retain(|over| over.is_none_or(|fed| !feed.is_done_below(fed)));
        while self.0.len() > 1 {
            let first = self.0.iter().position(Option::is_some).expect("one link is bad at most");
            feed.wait_done_below(self.0.remove(first).unwrap_or_default());
        }
    }

    /// Something begins that lasts. Nothing else does at the same time.
    pub(crate) fn begin(&mut self) {
        self.0.push(None);
    }

    /// What had begun, if anything had, is over.
    pub(crate) fn end(&mut self, feed: &Feed) {
        for open in self.0.iter_mut().filter(|over| over.is_none()) {
            *open = Some(feed.fed() + UNSEEN);
        }
    }

    /// Something has happened that does not last.
    pub(crate) fn happened(&mut self, feed: &Feed) {
        self.0.push(Some(feed.fed() + UNSEEN));
    }
}
