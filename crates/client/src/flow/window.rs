//! How many lines may be on their way.

use std::{
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// The most lines that are read and not yet written: what the client can send in some twenty milliseconds, which
/// is more than all workers' windows cover. Four times as many do not fit into the processor's caches: a million
/// echoes then take a sixth longer, and 80 MB in place of 30.
const MOST: u64 = 16_384;
/// The fewest that are let in however long the results are, so that many workers can be busy at a time.
const LEAST: u64 = 64;
/// What all results that are on their way should come to, in bytes.
const BUDGET: f64 = (64 << 20) as f64;
/// What a result takes up beside its output.
const OVERHEAD: f64 = 256.0;
/// How fast the estimate follows: a result's weight against those before it.
const WEIGHT: f64 = 1.0 / 64.0;

/// Lets lines in as long as there are not too many that are read and not yet written.
///
/// A task's result may be a million times as long as its line, and nobody knows before it comes. So a few
/// lines are let in at first, and then as many as, going by the results so far, come to 64 MiB: results that
/// wait for a slow writer, or for their turn if they go in order, do not pile up.
#[derive(Default)]
pub(super) struct Window {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    entered: u64,
    left: u64,
    /// The moving average of the results' sizes, and what it rests on.
    size: f64,
    samples: u64,
    closed: bool,
}

impl State {
    /// How many lines may be on their way.
    fn width(&self) -> u64 {
        if self.samples == 0 { LEAST } else { ((BUDGET / self.size) as u64).clamp(LEAST, MOST) }
    }
}

impl Window {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until lines may enter, and says how many, up to `wanted`. `None` once it is closed.
    pub(super) fn wait(&self, wanted: usize) -> Option<usize> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            let (inside, width) = (state.entered - state.left, state.width());
            let room = width.saturating_sub(inside).min(wanted as u64);
            // Not line by line, but in chunks of some size. There is such a one at the latest when all are out.
            if room >= (wanted as u64).min(width / 2) {
                return Some(room as usize);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// So many lines have entered.
    pub(super) fn enter(&self, lines: usize) {
        self.state().entered += lines as u64;
    }

    /// Lines have left: so many in all. `sizes` are those of results that have come, in bytes.
    pub(super) fn leave(&self, lines: u64, sizes: impl IntoIterator<Item = usize>) {
        let mut state = self.state();
        state.left = lines;
        for size in sizes {
            state.samples += 1;
            // The first few count in full, so that the average does not start from nothing.
            let weight = WEIGHT.max(1.0 / state.samples as f64);
            state.size += (size as f64 + OVERHEAD - state.size) * weight;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Lets nothing in any more.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "Window({} of {})", state.entered - state.left, state.width())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills it, and says with how many lines.
    fn fill(window: &Window) -> usize {
        let entered = window.wait(usize::MAX).unwrap();
        window.enter(entered);
        entered
    }

    #[test]
    fn few_lines_are_let_in_before_any_result_has_come() {
        let window = Window::default();
        assert_eq!(window.wait(256), Some(64));
        assert_eq!(window.wait(10), Some(10));
        window.enter(30);
        assert_eq!(window.wait(256), Some(34));
    }

    #[test]
    fn many_are_let_in_when_results_are_short() {
        let window = Window::default();
        window.enter(64);
        window.leave(1, [20]);
        assert_eq!(fill(&window), 16_384 - 63);
    }

    #[test]
    fn results_that_are_long_come_to_the_budget() {
        let window = Window::default();
        window.enter(64);
        window.leave(64, [1 << 16; 64]);
        let lines = fill(&window);
        assert!((1000..=1024).contains(&lines), "{lines}");
        window.leave(64 + lines as u64, [1 << 40]);
        assert_eq!(fill(&window), 64, "and some are let in at any length");
    }

    #[test]
    fn a_reader_that_waits_is_woken_by_what_leaves_and_by_the_end() {
        let window = Window::default();
        window.enter(64);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| window.wait(64));
            window.leave(64, []);
            assert_eq!(waiting.join().unwrap(), Some(64));
            window.enter(64);
            let waiting = scope.spawn(|| window.wait(64));
            window.close();
            assert_eq!(waiting.join().unwrap(), None);
        });
    }
}
