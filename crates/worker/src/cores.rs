//! Which cores are busy, so that a task that is alone may use those that are not.
//!
//! A kernel has the core of its slot. While others are idle it may borrow them, for as long as there are two things to
//! do at the same time; it never waits for one. When tasks come for all slots they start at once, beside what is borrowed, and
//! nothing more is lent: so many tasks share the cores as if none of them could use more than one.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// How many cores there are, and how many are busy.
#[derive(Debug)]
pub struct Cores {
    all: u32,
    busy: AtomicU32,
}

/// A core in use, until this is dropped.
#[derive(Debug)]
pub struct Busy(Arc<Cores>);

impl Cores {
    /// So many, all idle.
    pub fn new(all: u32) -> Arc<Self> {
        Arc::new(Self { all, busy: AtomicU32::new(0) })
    }

    /// A core for a task. It has one in any case.
    #[must_use]
    pub fn occupy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Whether there is one to borrow. A moment later there may not be.
    pub fn has_idle(&self) -> bool {
        self.busy.load(Ordering::Relaxed) < self.all
    }

    /// An idle core, if there is one.
    #[must_use]
    pub fn borrow(self: &Arc<Self>) -> Option<Busy> {
        let more = |busy: u32| (busy < self.all).then_some(busy + 1);
        self.busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Busy(self.clone()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_idle_cores_are_lent_and_tasks_always_have_one() {
        let cores = Cores::new(2);
        let task = cores.occupy();
        let lent = cores.borrow().unwrap();
        assert!(cores.borrow().is_none());
        let other = cores.occupy();
        drop(lent);
        assert!(cores.borrow().is_none(), "two tasks have both");
        drop((task, other));
        let both = [cores.borrow(), cores.borrow()];
        assert!(both.iter().all(Option::is_some));
    }
}
