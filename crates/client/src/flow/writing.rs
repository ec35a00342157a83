//! The writer's side: results meet their tickets, and become lines.

use super::{Counters, Filed, News, Tally, reading::cancelled, window::Window};
use crate::{
    dispatch::TaskResult,
    job::{output::WriteError, reader::ReadError, result::TaskReport, ticket::Ticket, writer::ResultWriter},
};
use rustc_hash::FxHashMap;
use sgdt_proto::payload::Payload;
use std::{io::Write, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::{UnboundedReceiver, error::TryRecvError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// How long a result may wait to be written while others keep coming.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Writing {
    results: ResultWriter<Box<dyn Write + Send>>,
    news: UnboundedReceiver<News>,
    window: Arc<Window>,
    counters: Arc<Counters>,
    /// To be told of the first failure.
    fail_fast: Option<CancellationToken>,
    /// Those of the lines that were sent and are not finished, each by its number among all that were sent. There
    /// are no more than the window lets in.
    tickets: FxHashMap<u64, Ticket>,
    sent: u64,
    /// Whether what is filed is cancelled at once.
    cancelling: bool,
    /// How many lines have got their results.
    finished: u64,
    tally: Tally,
}

/// What has been written.
pub(super) struct Written {
    pub(super) tally: Tally,
    /// How reading ended, if the end was seen.
    pub(super) read: Option<Result<(), ReadError>>,
    pub(super) written: Result<(), WriteError>,
    /// Whether unfinished tasks were left for another time.
    pub(super) left: bool,
}

/// How the news ended.
enum End {
    /// By themselves.
    Closed,
    Cancel,
    Leave,
}

impl Writing {
    pub(super) fn new(
        results: ResultWriter<Box<dyn Write + Send>>,
        news: UnboundedReceiver<News>,
        window: Arc<Window>,
        counters: Arc<Counters>,
        fail_fast: Option<CancellationToken>,
    ) -> Self {
        Self {
            results,
            news,
            window,
            counters,
            fail_fast,
            tickets: FxHashMap::default(),
            sent: 0,
            cancelling: false,
            finished: 0,
            tally: Tally::default(),
        }
    }

    /// Writes what comes until nothing more will, or nothing more can be written.
    pub(super) fn run(mut self) -> Written {
        let mut read = None;
        let ended = self.write_all(&mut read);
        let left = matches!(ended, Ok(End::Leave));
        let written = ended.and_then(|end| match end {
            End::Leave => Ok(()),
            End::Closed | End::Cancel => self.cancel_rest(),
        });
        self.counters.wrote(&self.tally);
        let Self { results, tally, .. } = self;
        let written = written.and_then(|()| results.finish().map(drop));
        Written { tally, read, written, left }
    }

    fn write_all(&mut self, read: &mut Option<Result<(), ReadError>>) -> Result<End, WriteError> {
        let mut flushed = Instant::now();
        loop {
            let news = match self.news.try_recv() {
                Ok(news) => Some(news),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    // Whoever reads along is not kept waiting while there is nothing else to do.
                    self.results.flush()?;
                    flushed = Instant::now();
                    self.news.blocking_recv()
                }
            };
            match news {
                Some(News::Read(lines)) => self.file(lines)?,
                Some(News::Done(results)) => self.finish(results)?,
                Some(News::End(end)) => *read = Some(end),
                Some(News::CancelFiled) => {
                    self.cancelling = true;
                    self.cancel_rest()?;
                    self.let_more_in([]);
                }
                Some(News::Cancel) => return Ok(End::Cancel),
                Some(News::Leave) => return Ok(End::Leave),
                None => return Ok(End::Closed),
            }
            if flushed.elapsed() >= FLUSH_EVERY {
                self.results.flush()?;
                flushed = Instant::now();
            }
        }
    }

    fn file(&mut self, lines: Vec<Filed>) -> Result<(), WriteError> {
        let mut unsent = false;
        for line in lines {
            match line {
                Filed::Sent(ticket) if self.cancelling => {
                    unsent = true;
                    self.report(TaskReport::unsent(ticket, cancelled()))?;
                }
                Filed::Sent(ticket) => {
                    self.tickets.insert(self.sent, ticket);
                    self.sent += 1;
                }
                Filed::Unsent(ticket, error) => {
                    unsent = true;
                    self.report(TaskReport::unsent(ticket, error))?;
                }
            }
        }
        if unsent {
            self.let_more_in([]);
        }
        Ok(())
    }

    fn finish(&mut self, results: Vec<(u64, TaskResult)>) -> Result<(), WriteError> {
        let mut sizes = Vec::with_capacity(results.len());
        for (number, TaskResult { worker, attempts, run, output: result, .. }) in results {
            // One result a task is the client's promise.
            let Some(ticket) = self.tickets.remove(&number) else { continue };
            sizes.push(result.as_ref().map_or(0, Payload::size));
            // What no worker has answered, no kernel has run.
            let run = worker.is_some().then_some(run);
            self.report(TaskReport { ticket, worker, attempts, run, result })?;
        }
        self.let_more_in(sizes);
        Ok(())
    }

    fn report(&mut self, report: TaskReport) -> Result<(), WriteError> {
        let (worker, attempts) = (report.worker.clone(), report.attempts);
        let code = self.results.report(report)?;
        self.finished += 1;
        self.tally.add(worker, attempts, code);
        if let (Some(_), Some(failed)) = (code, &self.fail_fast) {
            failed.cancel();
        }
        Ok(())
    }

    /// Tells the window which lines are written, or about to be: those that wait for their turn are not.
    fn let_more_in(&self, sizes: impl IntoIterator<Item = usize>) {
        self.window.leave(self.finished - self.results.held() as u64, sizes);
        self.counters.wrote(&self.tally);
    }

    /// Gives every line that has none its result.
    fn cancel_rest(&mut self) -> Result<(), WriteError> {
        let mut rest: Vec<_> = self.tickets.drain().map(|(_, ticket)| ticket).collect();
        rest.sort_unstable_by_key(|ticket| ticket.seq);
        rest.into_iter().try_for_each(|ticket| self.report(TaskReport::unsent(ticket, cancelled())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{answer::Answer, id::LineId, writer::Order};
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn what_is_cancelled_makes_room_for_the_lines_that_are_still_to_be_read() {
        let (inbox, news) = unbounded_channel();
        let (window, counters) = (Arc::new(Window::default()), Arc::<Counters>::default());
        let results = ResultWriter::new(Box::new(std::io::sink()) as _, "nowhere", Order::AsRead);
        let writing = Writing::new(results, news, window.clone(), counters.clone(), None);
        let ticket = |seq| Ticket {
            seq,
            line: seq,
            id: LineId::Number(seq),
            kind: None,
            checked: false,
            answer: Answer::as_is(),
        };
        window.enter(64);
        inbox.send(News::Read((0..64).map(ticket).map(Filed::Sent).collect())).unwrap();
        inbox.send(News::CancelFiled).unwrap();
        drop(inbox);
        let written = writing.run();
        assert!(written.written.is_ok() && written.read.is_none() && !written.left);
        assert_eq!((written.tally.done, written.tally.failures(), counters.failed()), (64, 64, 64));
        assert_eq!(format!("{window:?}"), "Window(0 of 64)");
    }
}
