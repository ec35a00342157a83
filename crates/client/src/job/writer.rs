//! Where result lines go: as tasks finish, or in the order of the task file.
//!
//! Lines gather in memory and are written many at a time, always whole ones; whoever drives the job calls
//! [`ResultWriter::flush`] when there is nothing else to do, and every 100 ms or so. Once writing has failed
//! nothing more is written: a torn line is the last one, which is what `--resume` knows how to cut off.
//!
//! In order, a line waits for those before it. How many wait is [`ResultWriter::held`]. It is bounded by
//! whoever bounds the tasks that are out: only a line whose task was read can come, and none is read beyond
//! the bound while the first is missing.

use super::{output::WriteError, result::TaskReport};
use sgdt_proto::task::ErrorCode;
use std::{collections::BTreeMap, io::Write};

/// What is gathered before it is written unasked.
const BLOCK: usize = 64 << 10;
/// A buffer that one long line has made larger than this is given back.
const KEPT: usize = 1 << 20;

/// Which line is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The one that finishes next.
    AsFinished,
    /// The one that comes next in the task file.
    AsRead,
}

/// Writes result lines.
pub struct ResultWriter<W> {
    out: W,
    name: String,
    order: Order,
    /// Whole lines that are not written yet.
    pending: Vec<u8>,
    /// The next line, if they go in order.
    next: u64,
    /// Lines that wait for earlier ones.
    held: BTreeMap<u64, Vec<u8>>,
    /// Whether those are written that wait for a line that will not come.
    gaps: bool,
    failed: Option<WriteError>,
}

impl<W: Write> ResultWriter<W> {
    /// Writes to `out`, which errors call `name`.
    pub fn new(out: W, name: impl Into<String>, order: Order) -> Self {
        Self {
            out,
            name: name.into(),
            order,
            pending: Vec::new(),
            next: 0,
            held: BTreeMap::new(),
            gaps: true,
            failed: None,
        }
    }

    /// If the job is broken off, nothing is written after the first line that is missing, so that a later run can go
    /// on in order.
    #[must_use]
    pub fn without_gaps(mut self) -> Self {
        self.gaps = false;
        self
    }

    /// Writes a task's result line, or holds it until its turn. `Some` is the code of the error that it tells.
    ///
    /// # Errors
    /// Writing fails, or has failed.
    pub fn report(&mut self, report: TaskReport) -> Result<Option<ErrorCode>, WriteError> {
        self.check()?;
        let seq = report.ticket.seq;
        if self.order == Order::AsRead && seq != self.next {
            let mut line = Vec::new();
            let status = report.write(&mut line);
            self.push(seq, line)?;
            return Ok(status.err());
        }
        let status = report.write(&mut self.pending);
        self.advance()?;
        Ok(status.err())
    }

    /// Writes a result line that is there already, with its line feed, or holds it until its turn.
    ///
    /// # Errors
    /// Writing fails, or has failed.
    pub fn push(&mut self, seq: u64, line: Vec<u8>) -> Result<(), WriteError> {
        self.check()?;
        if self.order == Order::AsRead && seq != self.next {
            self.held.insert(seq, line);
            return Ok(());
        }
        self.pending.extend_from_slice(&line);
        self.advance()
    }

    /// How many lines wait for an earlier one.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether there are lines that a flush would write.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes what has gathered.
    ///
    /// # Errors
    /// Writing fails, or has failed.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.check()?;
        let written = self.out.write_all(&self.pending).and_then(|()| self.out.flush());
        if let Err(error) = written {
            let error = WriteError::new(&self.name, &error);
            self.failed = Some(error.clone());
            self.pending = Vec::new();
            self.held.clear();
            return Err(error);
        }
        self.pending.clear();
        if self.pending.capacity() > KEPT {
            self.pending = Vec::new();
        }
        Ok(())
    }

    /// Writes all there is. If the job was broken off in between, those that wait for a line that will not
    /// come are written too, in their order, unless gaps are not [wanted](Self::without_gaps).
    ///
    /// # Errors
    /// Writing fails, or has failed.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if self.gaps {
            for line in std::mem::take(&mut self.held).into_values() {
                self.pending.extend_from_slice(&line);
                self.flush_block()?;
            }
        }
        self.flush()?;
        Ok(self.out)
    }

    /// The next line is pending: those that it held up follow.
    fn advance(&mut self) -> Result<(), WriteError> {
        self.next = self.next.saturating_add(1);
        while let Some(line) = self.held.remove(&self.next) {
            self.pending.extend_from_slice(&line);
            self.next = self.next.saturating_add(1);
            self.flush_block()?;
        }
        self.flush_block()
    }

    fn flush_block(&mut self) -> Result<(), WriteError> {
        if self.pending.len() < BLOCK { Ok(()) } else { self.flush() }
    }

    fn check(&self) -> Result<(), WriteError> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{answer::Answer, id::LineId, output, ticket::Ticket};
    use sgdt_proto::task::TaskError;
    use std::{io, path::Path};

    fn line(seq: u64) -> Vec<u8> {
        format!("line {seq}\n").into_bytes()
    }

    fn text(writer: ResultWriter<Vec<u8>>) -> String {
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    /// Takes this many bytes, and then fails.
    struct Full(Vec<u8>, usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.1 - self.0.len());
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn as_finished_writes_as_they_come() {
        let mut writer = ResultWriter::new(Vec::new(), "memory", Order::AsFinished);
        for seq in [2, 0, 1] {
            writer.push(seq, line(seq)).unwrap();
        }
        assert_eq!(writer.held(), 0);
        assert_eq!(text(writer), "line 2\nline 0\nline 1\n");
    }

    #[test]
    fn as_read_holds_a_line_until_those_before_it_are_there() {
        let mut writer = ResultWriter::new(Vec::new(), "memory", Order::AsRead);
        for (seq, held, pending) in [(2, 1, false), (1, 2, false), (0, 0, true), (4, 1, false), (3, 0, true)]
        {
            writer.push(seq, line(seq)).unwrap();
            assert_eq!((writer.held(), writer.is_pending()), (held, pending), "{seq}");
            writer.flush().unwrap();
        }
        assert_eq!(text(writer), "line 0\nline 1\nline 2\nline 3\nline 4\n");
    }

    #[test]
    fn a_job_that_is_broken_off_still_writes_what_is_done() {
        let mut writer = ResultWriter::new(Vec::new(), "memory", Order::AsRead);
        for seq in [0, 5, 3] {
            writer.push(seq, line(seq)).unwrap();
        }
        assert_eq!(text(writer), "line 0\nline 3\nline 5\n");
    }

    #[test]
    fn where_a_later_run_goes_on_in_order_nothing_follows_a_gap() {
        let mut writer = ResultWriter::new(Vec::new(), "memory", Order::AsRead).without_gaps();
        for seq in [1, 0, 5, 3] {
            writer.push(seq, line(seq)).unwrap();
        }
        assert_eq!(text(writer), "line 0\nline 1\n");
    }

    #[test]
    fn a_report_is_written_in_its_turn_and_tells_its_code() {
        let mut writer = ResultWriter::new(Vec::new(), "memory", Order::AsRead);
        for seq in [1, 0] {
            let ticket = Ticket {
                seq,
                line: seq,
                id: LineId::Number(seq),
                kind: None,
                checked: false,
                answer: Answer::as_is(),
            };
            let report = TaskReport::unsent(ticket, TaskError::too_large("no"));
            assert_eq!(writer.report(report).unwrap(), Some(ErrorCode::TooLarge));
        }
        let written = text(writer);
        let ids: Vec<_> = written.lines().map(|line| &line[..8]).collect();
        assert_eq!(ids, [r#"{"id":"0"#, r#"{"id":"1"#]);
    }

    #[test]
    fn nothing_follows_a_torn_line() {
        let mut writer = ResultWriter::new(Full(Vec::new(), 10), "results.jsonl", Order::AsFinished);
        writer.push(0, line(0)).unwrap();
        writer.flush().unwrap();
        writer.push(1, line(1)).unwrap();
        let error = writer.flush().unwrap_err();
        assert!(error.to_string().starts_with("cannot write results to results.jsonl: "), "{error}");
        writer.out.1 = 1000;
        assert_eq!(writer.push(2, line(2)), Err(error.clone()));
        assert_eq!(writer.flush(), Err(error.clone()));
        assert_eq!(writer.out.0, b"line 0\nlin");
        assert_eq!(writer.finish().err(), Some(error));
    }

    #[test]
    fn many_lines_are_written_unasked_and_always_whole_ones() {
        struct Whole(usize);
        impl Write for Whole {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                assert!(bytes.ends_with(b"\n"));
                self.0 += bytes.len();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = ResultWriter::new(Whole(0), "memory", Order::AsFinished);
        for seq in 0..100_000 {
            writer.push(seq, line(seq)).unwrap();
            assert!(writer.pending.len() < BLOCK);
        }
        assert!(writer.out.0 > BLOCK);
    }

    #[test]
    fn a_full_disk_and_a_closed_pipe_are_told_apart() {
        let mut writer = output::create(Path::new("/dev/full"), Order::AsFinished).unwrap();
        writer.push(0, line(0)).unwrap();
        let error = writer.flush().unwrap_err();
        assert!(!error.is_closed_pipe() && error.to_string().contains("No space left on device"), "{error}");
        let (reader, pipe) = io::pipe().unwrap();
        drop(reader);
        let mut writer = ResultWriter::new(pipe, "standard output", Order::AsFinished);
        writer.push(0, line(0)).unwrap();
        let error = writer.flush().unwrap_err();
        assert!(error.is_closed_pipe());
        assert_eq!(error.to_string(), "cannot write results to standard output: nobody reads them any more");
    }
}
