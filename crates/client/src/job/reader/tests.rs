use super::*;
use crate::job::resume;

fn reader(text: &[u8]) -> TaskReader<&[u8]> {
    TaskReader::new(text, "tasks.jsonl", Path::new(""), ClientKinds::builtin())
}

/// Each line's place, number, id, and its kind or error.
fn summary(reader: &mut TaskReader<&[u8]>) -> Vec<(u64, u64, String, String)> {
    reader
        .map(Result::unwrap)
        .map(|TaskLine { ticket, request }| {
            let what = match request {
                Ok((kind, _)) => kind.to_string(),
                Err(error) => error.to_string(),
            };
            (ticket.seq, ticket.line, ticket.id.text().into_owned(), what)
        })
        .collect()
}

fn entry(seq: u64, line: u64, id: &str, what: &str) -> (u64, u64, String, String) {
    (seq, line, id.to_owned(), what.to_owned())
}

#[test]
fn blank_lines_line_ends_and_a_byte_order_mark_make_no_difference() {
    let text = b"\xef\xbb\xbf{\"task\":\"echo\"}\r\n\r\n \t\n{\"task\":\"echo\",\"id\":\"a\"}\n\n{\"task\":\"spin\"}";
    let expected = [entry(0, 1, "1", "echo"), entry(1, 4, "a", "echo"), entry(2, 6, "6", "spin")];
    let mut reader = reader(text);
    assert_eq!(summary(&mut reader), expected);
    assert_eq!(reader.bytes_read(), text.len() as u64);
    for nothing in [&b""[..], b"\n", b"\xef\xbb\xbf", b" \r\n\n"] {
        assert_eq!(summary(&mut self::reader(nothing)), []);
    }
}

#[test]
fn a_bad_line_is_an_error_and_the_next_one_runs() {
    let text =
        b"{\"task\":\"echo\"\n\xff\n{\"task\":\"factorial\",\"n\":-1,\"id\":\"f\"}\n{\"task\":\"echo\"}\n";
    let lines = summary(&mut reader(text));
    let ids: Vec<_> = lines.iter().map(|(_, _, id, _)| id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "f", "4"]);
    assert!(lines[0].3.starts_with("invalid-input: line 1: "), "{lines:?}");
    assert!(lines[1].3.starts_with("invalid-input: line 2: not UTF-8"), "{lines:?}");
    assert!(lines[2].3.starts_with("invalid-input: line 3: \"n\" takes a whole number"), "{lines:?}");
    assert_eq!(lines[3].3, "echo");
}

#[test]
fn a_taken_id_is_an_error_on_the_later_line_which_goes_by_its_number() {
    let text = br#"{"id":"a","task":"echo"}
{"id":"5","task":"echo"}
{"id":"a","task":"echo"}
{"task":"echo"}
{"task":"echo"}
{"id":4,"task":"echo"}
{"id":"a"}
"#;
    let expected = [
        entry(0, 1, "a", "echo"),
        entry(1, 2, "5", "echo"),
        entry(2, 3, "3", "invalid-input: line 3: the id \"a\" is that of an earlier line"),
        entry(3, 4, "4", "echo"),
        entry(4, 5, "5", "invalid-input: line 5: it has no id, and an earlier line has 5 for its id"),
        entry(
            5,
            6,
            "6",
            "invalid-input: line 6: the id \"4\" is the number of an earlier line, which has no id and so goes by it",
        ),
        entry(6, 7, "7", "invalid-input: line 7: the id \"a\" is that of an earlier line"),
    ];
    assert_eq!(summary(&mut reader(text)), expected);
}

#[test]
fn a_line_too_long_is_passed_over_without_being_kept() {
    let text = format!(
        "{{\"task\":\"echo\",\"x\":\"{}\"}}\n{{\"task\":\"echo\"}}\n{}",
        "x".repeat(5000),
        " ".repeat(300)
    );
    let mut reader = reader(text.as_bytes()).max_line(100);
    let lines = summary(&mut reader);
    assert_eq!(lines[0].3, "too-large: line 1: it has more than 100 bytes: put the numbers into .npy files");
    assert_eq!(lines[1], entry(1, 2, "2", "echo"));
    assert!(lines[2].3.starts_with("too-large: line 3: "), "{lines:?}");
    assert!(reader.buffer.capacity() < 1000);
    assert_eq!(reader.bytes_read(), text.len() as u64);
    let exact = format!("{:<100}\n", "{\"task\":\"echo\"}");
    assert_eq!(summary(&mut self::reader(exact.as_bytes()).max_line(100))[0].3, "echo");
    assert!(summary(&mut self::reader(exact.as_bytes()).max_line(99))[0].3.starts_with("too-large"));
}

#[test]
fn lines_whose_results_are_there_are_passed_over_but_keep_their_ids() {
    let text = br#"{"id":"a","task":"echo"}
nonsense
{"task":"echo"}
{"id":"a","task":"echo"}
{"id":"2","task":"echo"}
also nonsense
"#;
    let there = br#"{"id":"a","status":"ok"}
{"id":"2","line":2,"status":"error"}
{"id":"3","status":"ok"}
"#;
    let mut reader = reader(text).resuming(resume::scan(&mut &there[..]).unwrap().0);
    let lines: Vec<_> = summary(&mut reader).into_iter().map(|(seq, line, id, _)| (seq, line, id)).collect();
    let expected = [(0, 4, "4".to_owned()), (1, 5, "2".to_owned()), (2, 6, "6".to_owned())];
    assert_eq!((lines.as_slice(), reader.skipped()), (expected.as_slice(), 3));
}

#[test]
fn an_unreadable_file_is_named() {
    let home = tempfile::tempdir().unwrap();
    let open = |path: &Path| TaskReader::open(path, ClientKinds::builtin()).err().unwrap().to_string();
    let missing = home.path().join("missing.jsonl");
    let expected =
        format!("cannot read the task file {}: No such file or directory (os error 2)", missing.display());
    assert_eq!(open(&missing), expected);
    assert_eq!(
        open(home.path()),
        format!("cannot read the task file {}: is a directory", home.path().display())
    );
}

#[test]
fn an_error_in_the_middle_ends_the_file_after_what_was_read() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let input = BufReader::new(b"{\"task\":\"echo\"}\n{\"ta".chain(Broken));
    let mut reader = TaskReader::new(input, "pipe", Path::new(""), ClientKinds::builtin());
    assert!(reader.next().unwrap().is_ok());
    assert_eq!(
        reader.next().unwrap().unwrap_err().to_string(),
        "cannot read the task file pipe after line 1: gone"
    );
    assert!(reader.next().is_none());
}

#[test]
fn paths_are_relative_to_the_task_file() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tasks.jsonl");
    std::fs::write(&path, r#"{"task":"sort","values":[1.5],"output":"sorted.npy"}"#).unwrap();
    let mut reader = TaskReader::open(&path, ClientKinds::builtin()).unwrap();
    let TaskLine { ticket, request } = reader.next().unwrap().unwrap();
    let (_, payload) = request.unwrap();
    let sgdt_proto::kind::sort::Input { keys, .. } = payload.decode().unwrap();
    let output = sgdt_proto::kind::sort::Output::Sorted(keys);
    let output = sgdt_proto::payload::Payload::encode(sgdt_proto::payload::Format::Packed, &output).unwrap();
    ticket.answer.tell(output, &mut Vec::new()).unwrap();
    assert!(home.path().join("sorted.npy").is_file());
}

#[test]
fn a_long_file_is_read_with_little_memory() {
    /// A file that is made while it is read.
    struct Endless(std::ops::Range<u32>, Vec<u8>);
    impl Read for Endless {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            while self.1.is_empty() {
                let Some(i) = self.0.next() else { return Ok(0) };
                self.1 = format!("{{\"task\":\"echo\",\"value\":{i}}}\n").into_bytes();
            }
            let count = self.1.len().min(out.len());
            out[..count].copy_from_slice(&self.1[..count]);
            self.1.drain(..count);
            Ok(count)
        }
    }
    let input = BufReader::new(Endless(0..50_000, Vec::new()));
    let mut reader = TaskReader::new(input, "endless", Path::new(""), ClientKinds::builtin());
    let mut count = 0;
    for (place, line) in reader.by_ref().enumerate() {
        let (_, payload) = line.unwrap().request.unwrap();
        assert_eq!(&*payload.head, format!("{{\"value\":{place}}}").as_bytes());
        count += 1;
    }
    assert_eq!(count, 50_000);
    assert!(reader.buffer.capacity() < 1000);
}
