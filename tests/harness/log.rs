//! What the processes of a test have said.
//!
//! Each process has a [`Log`], filled by one thread for each of its streams; a [`Journal`] knows the logs of
//! all the processes of a test, so that whoever fails can show all of them.

use crate::wait::STEP;
use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// How many lines of each stream a failure shows.
const SHOWN: usize = 40;

/// How long a failure waits for them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One of the two streams of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Data.
    Stdout,
    /// Talk.
    Stderr,
}

/// Takes each line in place of the log, which then keeps the last few only.
pub type Observer = Box<dyn FnMut(&str) + Send>;

/// The lines of one process so far.
#[derive(Debug)]
pub struct Log {
    name: String,
    streams: Mutex<[Lines; 2]>,
    changed: Condvar,
}

/// The lines of one stream so far.
#[derive(Clone, Default, Debug)]
pub struct Lines {
    /// The lines that were kept: all of them, unless an observer takes them.
    pub kept: Vec<String>,
    /// How many lines there were, kept or not.
    pub seen: usize,
    /// The stream has ended.
    pub closed: bool,
}

impl Log {
    /// The process's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lines of a stream so far.
    pub fn lines(&self, stream: Stream) -> Lines {
        self.lock()[stream as usize].clone()
    }

    /// Waits until `find` finds what it looks for in the lines of a stream. `None` after `patience`, or when
    /// the stream has ended without it.
    pub fn wait<T>(
        &self,
        stream: Stream,
        patience: Duration,
        mut find: impl FnMut(&Lines) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut streams = self.lock();
        loop {
            let lines = &streams[stream as usize];
            if let Some(found) = find(lines) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.closed || left.is_zero() {
                return None;
            }
            streams = self.changed.wait_timeout(streams, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until both streams have ended; false when they have not within `patience`.
    pub fn wait_closed(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let closed = |stream| {
            let left = deadline.saturating_duration_since(Instant::now());
            self.wait(stream, left, |lines| lines.closed.then_some(())).is_some()
        };
        closed(Stream::Stdout) && closed(Stream::Stderr)
    }

    fn lock(&self) -> MutexGuard<'_, [Lines; 2]> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, stream: Stream, line: String, keep: usize) {
        let lines = &mut self.lock()[stream as usize];
        lines.seen += 1;
        lines.kept.push(line);
        if lines.kept.len() > keep {
            lines.kept.remove(0);
        }
        self.changed.notify_all();
    }

    fn close(&self, stream: Stream) {
        self.lock()[stream as usize].closed = true;
        self.changed.notify_all();
    }
}

/// Reads a stream to its end into the log, on a thread of its own.
pub fn follow(
    log: &Arc<Log>,
    stream: Stream,
    from: impl Read + Send + 'static,
    mut observer: Option<Observer>,
) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        let keep = if observer.is_some() { SHOWN } else { usize::MAX };
        while matches!(from.read_until(b'\n', &mut bytes), Ok(1..)) {
            let line = String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned();
            if let Some(observe) = &mut observer {
                observe(&line);
            }
            log.append(stream, line, keep);
            bytes.clear();
        }
        log.close(stream);
    });
}

/// The logs of all the processes of a test.
#[derive(Clone, Default, Debug)]
pub struct Journal(Arc<Entries>);

#[derive(Default, Debug)]
struct Entries {
    logs: Mutex<Vec<Arc<Log>>>,
    shown: AtomicBool,
}

impl Journal {
    /// A new process's log.
    pub fn open(&self, name: &str) -> Arc<Log> {
        let log = Arc::new(Log { name: name.to_owned(), streams: Mutex::default(), changed: Condvar::new() });
        self.0.logs.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&log));
        log
    }

    /// All logs, in the order in which their processes were started.
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.0.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a failure has shown the logs already.
    pub fn shown(&self) -> bool {
        self.0.shown.load(Ordering::Relaxed)
    }

    /// The last lines of every process, for the message of a failure.
    pub fn show(&self) -> String {
        self.0.shown.store(true, Ordering::Relaxed);
        let mut text = String::new();
        for log in self.logs() {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let Lines { kept, seen, closed } = log.lines(stream);
                let end = if closed { ", ended" } else { "" };
                let _ = writeln!(text, "--- {} {stream:?}: {seen} lines{end}", log.name);
                for line in kept.iter().skip(kept.len().saturating_sub(SHOWN)) {
                    let _ = writeln!(text, "    {line}");
                }
            }
        }
        text
    }

    /// Waits for something in a log.
    ///
    /// # Panics
    /// When it does not come within [`STEP`] or cannot come any more; the message shows every log.
    pub fn require<T>(
        &self,
        log: &Log,
        stream: Stream,
        what: &str,
        find: impl FnMut(&Lines) -> Option<T>,
    ) -> T {
        log.wait(stream, STEP, find).unwrap_or_else(|| {
            // A process that is dying has its last words on the other stream: let them be read.
            log.wait_closed(LAST_WORDS);
            panic!("{} never had {what} on {stream:?}\n{}", log.name, self.show())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn lines_are_kept_as_they_come_whatever_bytes_they_hold() {
        let log = Journal::default().open("x");
        follow(&log, Stream::Stdout, Cursor::new(b"one\n\xff\nlast"), None);
        log.wait(Stream::Stdout, STEP, |lines| lines.closed.then_some(())).unwrap();
        let lines = log.lines(Stream::Stdout);
        assert_eq!(lines.kept, ["one", "\u{fffd}", "last"]);
        assert_eq!(lines.seen, 3);
    }

    #[test]
    fn an_observer_sees_every_line_and_the_log_stays_small() {
        let log = Journal::default().open("x");
        let bytes: Vec<u8> = (0..1000).flat_map(|i| format!("{i}\n").into_bytes()).collect();
        let sum = Arc::new(Mutex::new(0u32));
        let observer = {
            let sum = Arc::clone(&sum);
            Box::new(move |line: &str| *sum.lock().unwrap() += line.parse::<u32>().unwrap())
        };
        follow(&log, Stream::Stdout, Cursor::new(bytes), Some(observer));
        log.wait(Stream::Stdout, STEP, |lines| (lines.closed && lines.seen == 1000).then_some(())).unwrap();
        assert_eq!(*sum.lock().unwrap(), 499_500);
        assert_eq!(log.lines(Stream::Stdout).kept.len(), SHOWN);
    }

    #[test]
    fn a_wait_ends_at_once_when_the_stream_ends_without_the_line() {
        let log = Journal::default().open("x");
        follow(&log, Stream::Stdout, Cursor::new(b"one\n"), None);
        let begun = Instant::now();
        assert_eq!(log.wait(Stream::Stdout, STEP, |_| None::<()>), None);
        assert!(begun.elapsed() < STEP / 2);
    }
}
