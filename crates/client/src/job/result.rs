//! Result lines.
//!
//! ```text
//! {"id":"f20","task":"factorial","status":"ok","worker":"w1","attempts":1,"run_ms":0.02,"output":{...}}
//! {"id":"7","line":7,"status":"error","attempts":0,"error":{"code":"invalid-input","message":"line 7: ..."}}
//! ```
//!
//! What is not known is left out: the worker and the run time of a task that never ran, the kind of a line
//! that could not be read. `line` is there when the line's number is all that tells the result apart.

use super::{
    fields::{write_json, write_string},
    id::LineId,
    ticket::Ticket,
};
use sgdt_proto::{
    id::WorkerName,
    payload::Payload,
    task::{ErrorCode, TaskError},
};
use std::{io::Write, time::Duration};

/// What has become of a task.
#[derive(Debug)]
pub struct TaskReport {
    /// What the reader left for it.
    pub ticket: Ticket,
    /// Who ran it last.
    pub worker: Option<WorkerName>,
    /// How often it was dispatched.
    pub attempts: u32,
    /// How long the kernel ran, if one did.
    pub run: Option<Duration>,
    /// Its output, or its error.
    pub result: Result<Payload, TaskError>,
}

impl TaskReport {
    /// The report of a task that never left.
    pub fn unsent(ticket: Ticket, error: TaskError) -> Self {
        Self { ticket, worker: None, attempts: 0, run: None, result: Err(error) }
    }

    /// Appends the result line, with its line feed, and returns the error's code if it tells an error. Writes
    /// the files that the task's line asked for; when that fails, it is the task that has failed.
    pub fn write(self, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let Self { ticket: Ticket { id, kind, checked, answer, .. }, worker, attempts, run, result } = self;
        let start = out.len();
        let head = |out: &mut Vec<u8>, status: &str| {
            write_id(out, &id);
            if let Some(kind) = &kind {
                // A kind's name needs no escapes.
                push(out, &[",\"task\":\"", kind.as_str(), "\""]);
            }
            push(out, &[",\"status\":\"", status, "\""]);
            if let Some(worker) = &worker {
                push(out, &[",\"worker\":\"", worker.as_str(), "\""]);
            }
            push(out, &[",\"attempts\":"]);
            write_json(out, &attempts);
            if let Some(run) = run {
                push(out, &[",\"run_ms\":"]);
                write_milliseconds(out, run.as_micros());
            }
        };
        let told = result.and_then(|output| {
            // Written on the assumption that the answer can be told: it goes straight to its place.
            head(out, "ok");
            if checked {
                push(out, &[",\"verified\":true"]);
            }
            push(out, &[",\"output\":"]);
            answer.tell(output, out)
        });
        let status = match told {
            Ok(()) => Ok(()),
            Err(TaskError { code, message }) => {
                out.truncate(start);
                head(out, "error");
                push(out, &[",\"error\":{\"code\":\"", code.as_str(), "\",\"message\":"]);
                write_string(out, &message);
                out.push(b'}');
                Err(code)
            }
        };
        out.extend_from_slice(b"}\n");
        status
    }
}

fn write_id(out: &mut Vec<u8>, id: &LineId) {
    push(out, &["{\"id\":"]);
    write_string(out, &id.text());
    if let LineId::Malformed(line) = id {
        push(out, &[",\"line\":"]);
        write_json(out, line);
    }
}

/// Thousandths as they are, without the rounding of a double: `0.02`, `13000.0`.
fn write_milliseconds(out: &mut Vec<u8>, micros: u128) {
    let (whole, mut rest, mut width) = (micros / 1000, micros % 1000, 3);
    while rest % 10 == 0 && width > 1 {
        rest /= 10;
        width -= 1;
    }
    // Writing to a vector does not fail.
    let _ = write!(out, "{whole}.{rest:0width$}");
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::answer::Answer;
    use sgdt_proto::payload::Format;

    fn ticket(id: LineId, kind: Option<&str>) -> Ticket {
        let kind = kind.map(|kind| kind.parse().unwrap());
        Ticket { seq: 0, line: 7, id, kind, checked: false, answer: Answer::as_is() }
    }

    fn line(report: TaskReport) -> (String, Result<(), ErrorCode>) {
        let mut out = b"earlier\n".to_vec();
        let status = report.write(&mut out);
        let text = String::from_utf8(out).unwrap();
        let line = text.strip_prefix("earlier\n").unwrap().strip_suffix('\n').unwrap().to_owned();
        assert!(serde_json::from_str::<serde_json::Value>(&line).unwrap().is_object());
        (line, status)
    }

    fn done(result: Result<Payload, TaskError>) -> TaskReport {
        TaskReport {
            ticket: ticket(LineId::Given("f20".into()), Some("echo")),
            worker: "w1".parse().ok(),
            attempts: 2,
            run: Some(Duration::from_micros(20)),
            result,
        }
    }

    fn json(head: &'static [u8]) -> Payload {
        Payload { format: Format::Json, head: head.into(), buffers: Vec::new() }
    }

    #[test]
    fn a_result_has_all_that_is_known_in_this_order() {
        let expected = r#"{"id":"f20","task":"echo","status":"ok","worker":"w1","attempts":2,"run_ms":0.02,"output":{"value":1}}"#;
        assert_eq!(line(done(Ok(json(br#"{"value":1}"#)))), (expected.to_owned(), Ok(())));
        let expected = r#"{"id":"f20","task":"echo","status":"error","worker":"w1","attempts":2,"run_ms":0.02,"error":{"code":"panicked","message":"a \"b\"\n"}}"#;
        let error = TaskError::new(ErrorCode::Panicked, "a \"b\"\n");
        assert_eq!(line(done(Err(error))), (expected.to_owned(), Err(ErrorCode::Panicked)));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let error = || TaskError::invalid_input("line 7: no");
        let report = TaskReport::unsent(ticket(LineId::Malformed(7), None), error());
        let expected = r#"{"id":"7","line":7,"status":"error","attempts":0,"error":{"code":"invalid-input","message":"line 7: no"}}"#;
        assert_eq!(line(report).0, expected);
        let report = TaskReport::unsent(ticket(LineId::Number(7), Some("sort")), error());
        let expected = r#"{"id":"7","task":"sort","status":"error","attempts":0,"error":{"code":"invalid-input","message":"line 7: no"}}"#;
        assert_eq!(line(report).0, expected);
    }

    #[test]
    fn an_output_that_cannot_be_told_is_an_error_line() {
        let (text, status) = line(done(Ok(json(b"{\"torn\":"))));
        assert_eq!(status, Err(ErrorCode::Panicked));
        assert!(text.starts_with(r#"{"id":"f20","task":"echo","status":"error","worker":"w1","#), "{text}");
        assert!(!text.contains("torn"), "{text}");
    }

    #[test]
    fn an_id_is_written_as_json_whatever_is_in_it() {
        let report = TaskReport::unsent(
            ticket(LineId::Given("\u{1b}[31m\n\"".into()), None),
            TaskError::invalid_input(""),
        );
        assert!(line(report).0.starts_with(r#"{"id":"\u001b[31m\n\"","#));
    }

    #[test]
    fn milliseconds_are_exact() {
        for (micros, text) in [
            (0, "0.0"),
            (20, "0.02"),
            (1, "0.001"),
            (1500, "1.5"),
            (13_000_000, "13000.0"),
            (u64::MAX.into(), "18446744073709551.615"),
        ] {
            let mut out = Vec::new();
            write_milliseconds(&mut out, micros);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
