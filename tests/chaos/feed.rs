//! A job that goes on until the test has seen enough: its tasks are written as results come.
//!
//! The client is never more than [`AHEAD`] tasks ahead of its results. So the job is as long as the test, on
//! fast machines and slow ones, and the test knows which tasks a fault can have met: those fed before it.

use harness::{cluster::Cluster, process::Process, results::Results, wait::eventually};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// How many tasks are out at most: enough to keep the slots of a dozen workers busy.
pub(crate) const AHEAD: usize = 64;

/// A client that is being fed.
pub(crate) struct Feed {
    client: Process,
    books: Arc<Books>,
    most: usize,
}

/// What the threads that write tasks and read results tell each other and the test.
#[derive(Default)]
struct Books {
    pages: Mutex<Pages>,
    changed: Condvar,
}

#[derive(Default)]
struct Pages {
    fed: usize,
    /// No task is written any more.
    closed: bool,
    lines: Vec<String>,
    /// The tasks below this number all have their results,
    done_below: usize,
    /// and so have these.
    done: BTreeSet<usize>,
}

impl Books {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next task of `most`, once it may be written.
    fn next(&self, most: usize) -> Option<usize> {
        let full = |pages: &mut Pages| !pages.closed && pages.fed >= pages.lines.len() + AHEAD;
        let mut pages = self.changed.wait_while(self.pages(), full).unwrap_or_else(PoisonError::into_inner);
        if pages.closed || pages.fed == most {
            return None;
        }
        pages.fed += 1;
        Some(pages.fed - 1)
    }

    fn note(&self, line: &str) {
        // What is no result, or no task's, is found when the run is judged.
        let name = serde_json::from_str::<Value>(line).ok().map(|result| result["id"].clone());
        let index = name.as_ref().and_then(|name| name.as_str()?.strip_prefix('t')?.parse().ok());
        let mut pages = self.pages();
        pages.lines.push(line.to_owned());
        pages.done.extend::<Option<usize>>(index);
        while pages.done.first() == Some(&pages.done_below) {
            pages.done.pop_first();
            pages.done_below += 1;
        }
        self.changed.notify_all();
    }
}

impl Feed {
    /// Starts a client with options of `client run`, and feeds it tasks named `t0`, `t1`, ..., `most` at most.
    pub(crate) fn start(cluster: &Cluster, args: &[&str], most: usize, task: fn(usize) -> Value) -> Self {
        let books = Arc::<Books>::default();
        let mut client = {
            let books = Arc::clone(&books);
            cluster.client_observed(&[&["run", "-"], args].concat(), move |line| books.note(line))
        };
        let mut stdin = client.take_stdin();
        {
            let books = Arc::clone(&books);
            thread::spawn(move || {
                while let Some(index) = books.next(most)
                    && writeln!(stdin, "{}", task(index)).is_ok()
                {}
            });
        }
        Self { client, books, most }
    }

    /// How many tasks have been written.
    pub(crate) fn fed(&self) -> usize {
        self.books.pages().fed
    }

    /// How many results have come.
    pub(crate) fn results(&self) -> usize {
        self.books.pages().lines.len()
    }

    /// Waits until that many results have come, in all.
    pub(crate) fn wait_results(&self, count: usize) {
        let mut seen = self.results();
        while seen < count {
            seen = eventually(&format!("result {} of the {count} waited for", seen + 1), || {
                Some(self.results()).filter(|now| *now > seen)
            });
        }
    }

    /// Waits until the first so many tasks, of those that there will be, all have their results.
    pub(crate) fn wait_done_below(&self, count: usize) {
        let count = count.min(self.most);
        let below = || self.books.pages().done_below;
        let mut seen = below();
        while seen < count {
            seen = eventually(&format!("the result of t{seen}"), || Some(below()).filter(|now| *now > seen));
        }
    }

    /// Whether the first so many tasks, of those that there will be, all have their results.
    pub(crate) fn is_done_below(&self, count: usize) -> bool {
        self.books.pages().done_below >= count.min(self.most)
    }

    /// Feeds no more than there is, waits for the client's end, requires that it is a good one, and returns the
    /// results and the number of tasks.
    pub(crate) fn finish(self, cluster: &Cluster) -> (Results, usize) {
        let fed = {
            let mut pages = self.books.pages();
            pages.closed = true;
            self.books.changed.notify_all();
            pages.fed
        };
        cluster.finish(self.client).expect(0);
        let pages = self.books.pages();
        (Results::parse(pages.lines.iter().map(String::as_str)), fed)
    }
}
