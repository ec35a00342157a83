//! Going on where an earlier run was broken off: what its results file holds already.
//!
//! Lines are written whole and in one stream, so whatever stopped the writer, the file is a prefix of what it
//! would have been: only its end can be torn, and only an end without a line feed is. That is cut off, and its
//! task runs again. A line with a line feed that tells no result means that this is some other file, and then
//! nothing is changed at all.
//!
//! Errors that are not the task's own (it was cancelled, or given up) are no reason to leave it undone: their lines
//! are struck out, and the tasks run again.

use super::{
    fields::shorten,
    id::{IdSet, LineId},
    output::{WriteError, go_on, open},
    replace::PartFile,
    writer::{Order, ResultWriter},
};
use rustc_hash::FxHashSet;
use serde::{Deserialize, de::IgnoredAny};
use sgdt_proto::task::ErrorCode;
use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// How every result line begins.
const BEGINNING: &[u8] = b"{\"id\":";

/// The task lines whose results are there already.
#[derive(Debug, Default)]
pub struct Done {
    ids: IdSet,
    /// Those that only their number tells apart.
    malformed: FxHashSet<u64>,
    count: u64,
    failed: u64,
    /// Lines to be struck out.
    unfinished: u64,
}

impl Done {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many of the results are errors.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Whether this one's is.
    pub fn contains(&self, id: &LineId) -> bool {
        match id {
            LineId::Malformed(line) => self.malformed.contains(line),
            LineId::Given(_) | LineId::Number(_) => self.count > 0 && self.ids.contains(&id.text()),
        }
    }
}

/// Why a file cannot be gone on with. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Reading it fails.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It holds something else.
    #[error("line {line} is not a result ({shown}); to begin anew, name another file or leave --resume out")]
    NotResults {
        /// The line, from 1.
        line: u64,
        /// How it begins.
        shown: String,
    },
}

/// Opens a results file to go on with it: cuts off a torn last line, and returns what is there, with a writer
/// that writes on behind it. A file that does not exist is made.
///
/// # Errors
/// The file cannot be read or written, is not a regular file, holds something else than results, or another
/// client is reading or writing it.
pub fn reopen(path: &Path, order: Order) -> Result<(ResultWriter<Box<dyn Write + Send>>, Done), WriteError> {
    let name = path.display().to_string();
    if path == Path::new("-") || (path.exists() && !path.is_file()) {
        return Err(WriteError::refused(
            path,
            "--resume takes the --output of an earlier run, a regular file",
        ));
    }
    let mut file = open(path)?;
    let (done, length) =
        scan(&mut BufReader::with_capacity(256 << 10, &file)).map_err(|error| match error {
            ScanError::Unreadable(error) => WriteError::new(&name, &error),
            other => WriteError::refused(path, other.to_string()),
        })?;
    if done.unfinished > 0 {
        file = strike_unfinished(path, &mut file, length).map_err(|error| WriteError::new(&name, &error))?;
    } else {
        file.set_len(length)
            .and_then(|()| file.seek(SeekFrom::Start(length)))
            .map_err(|error| WriteError::new(&name, &error))?;
    }
    Ok((go_on(file, &name, order), done))
}

/// Puts a file in place of this one that has its lines, up to `length`, but for those of tasks that are to run again.
fn strike_unfinished(path: &Path, file: &mut File, length: u64) -> io::Result<File> {
    let path = fs::canonicalize(path)?;
    // Locked before it can be found under its name, as any part is.
    let part = PartFile::beside(&path)?;
    part.file().set_permissions(file.metadata()?.permissions())?;
    file.rewind()?;
    let (mut lines, mut line) = (BufReader::with_capacity(256 << 10, file).take(length), Vec::new());
    let mut out = BufWriter::with_capacity(256 << 10, part.file());
    while lines.read_until(b'\n', &mut line)? > 0 {
        if !serde_json::from_slice::<Told<'_>>(&line).is_ok_and(|told| told.is_unfinished()) {
            out.write_all(&line)?;
        }
        line.clear();
    }
    out.flush()?;
    drop(out);
    part.take_place_of(&path)
}

/// Reads results. The second is how many bytes the whole lines take.
///
/// # Errors
/// See [`ScanError`].
pub fn scan(results: &mut impl BufRead) -> Result<(Done, u64), ScanError> {
    let (mut done, mut length, mut line) = (Done::default(), 0, Vec::new());
    for number in 1.. {
        line.clear();
        let read = results.read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            break;
        }
        let whole = line.last() == Some(&b'\n');
        match serde_json::from_slice::<Told<'_>>(&line) {
            Ok(told) if whole => done.add(&told),
            Ok(_) => break,
            Err(_) if whole && line.trim_ascii().is_empty() => {}
            Err(_) if !whole && is_torn(&line) => break,
            Err(_) => {
                let shown =
                    shorten(String::from_utf8_lossy(line.trim_ascii()).trim()).escape_debug().to_string();
                return Err(ScanError::NotResults { line: number, shown });
            }
        }
        length += read;
    }
    Ok((done, length))
}

/// Whether this is what a result line that was cut off looks like: its beginning, or the zeros that some file
/// systems leave after a power cut.
fn is_torn(tail: &[u8]) -> bool {
    let common = tail.len().min(BEGINNING.len());
    let torn =
        tail.get(..common) == BEGINNING.get(..common) && serde_json::from_slice::<IgnoredAny>(tail).is_err();
    torn || tail.iter().all(|&byte| byte == 0)
}

/// As much of a result line as tells which task it is of.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    line: Option<u64>,
    status: Status,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

impl Told<'_> {
    /// Whether another run may do better.
    fn is_unfinished(&self) -> bool {
        let again = [ErrorCode::Cancelled.as_str(), ErrorCode::GaveUp.as_str()];
        self.status == Status::Error && self.error.as_ref().is_some_and(|error| again.contains(&&*error.code))
    }
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Error,
}

impl Done {
    fn add(&mut self, told: &Told<'_>) {
        if told.is_unfinished() {
            self.unfinished += 1;
            return;
        }
        let new = match told.line {
            Some(line) => self.malformed.insert(line),
            None => self.ids.insert(&told.id),
        };
        self.count += u64::from(new);
        self.failed += u64::from(new && told.status == Status::Error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{kinds::ClientKinds, reader::TaskReader, result::TaskReport, ticket::TaskLine};
    use std::fs;

    const RESULTS: &str = concat!(
        "{\"id\":\"a\",\"task\":\"echo\",\"status\":\"ok\",\"worker\":\"w1\",\"attempts\":1,\"run_ms\":0.1,\"output\":{\"value\":[1,{\"id\":5}]}}\n",
        "{\"id\":\"2\",\"line\":2,\"status\":\"error\",\"attempts\":0,\"error\":{\"code\":\"invalid-input\",\"message\":\"line 2: no\"}}\n",
        "{\"id\":\"\\u00e9\\n\",\"task\":\"echo\",\"status\":\"ok\",\"attempts\":1,\"output\":null}\n",
    );

    fn given(id: &str) -> LineId {
        LineId::Given(id.into())
    }

    #[test]
    fn results_that_are_there_are_known_by_id_or_by_line() {
        let (done, length) = scan(&mut RESULTS.as_bytes()).unwrap();
        assert_eq!((done.count(), done.failed(), length), (3, 1, RESULTS.len() as u64));
        assert!(
            done.contains(&given("a"))
                && done.contains(&given("é\n"))
                && done.contains(&LineId::Malformed(2))
        );
        assert!(
            !done.contains(&given("2"))
                && !done.contains(&LineId::Number(2))
                && !done.contains(&LineId::Malformed(1))
        );
        let (done, _) = scan(&mut &b"{\"id\":\"4\",\"status\":\"ok\"}\n"[..]).unwrap();
        assert!(done.contains(&LineId::Number(4)) && done.contains(&given("4")));
    }

    #[test]
    fn a_file_cut_anywhere_keeps_its_whole_lines() {
        for cut in 0..=RESULTS.len() {
            let (done, length) = scan(&mut &RESULTS.as_bytes()[..cut]).unwrap();
            let whole = RESULTS[..cut].rfind('\n').map_or(0, |end| end + 1);
            assert_eq!(length, whole as u64, "cut at {cut}");
            assert_eq!(done.count(), RESULTS[..whole].lines().count() as u64);
        }
        let zeros = [RESULTS.as_bytes(), &[0; 100]].concat();
        assert_eq!(scan(&mut zeros.as_slice()).unwrap().1, RESULTS.len() as u64);
    }

    /// Runs a job of `echo` tasks whose results go behind those that are there, in an order of its own.
    fn run(tasks: &str, there: &[u8]) -> Vec<u8> {
        let (done, length) = scan(&mut &there[..]).unwrap();
        let mut results = there[..length as usize].to_vec();
        let reader = TaskReader::new(tasks.as_bytes(), "tasks", Path::new(""), ClientKinds::builtin());
        let mut lines: Vec<_> = reader.resuming(done).map(Result::unwrap).collect();
        lines.sort_by_key(|line| line.ticket.seq * 7 % 5);
        for TaskLine { ticket, request } in lines {
            let result = request.map(|(_, payload)| payload);
            let _ = TaskReport { ticket, worker: None, attempts: 1, run: None, result }.write(&mut results);
        }
        results
    }

    #[test]
    fn a_job_that_is_killed_at_any_byte_ends_with_the_same_results() {
        let tasks = r#"{"id":"a","task":"echo","value":1}
nonsense

{"task":"echo","value":"\n"}
{"id":"2","task":"echo"}
{"id":"a","task":"echo"}
{"id":"é","task":"sort","values":5}
{"id":"f"}
{"id":4,"task":"echo"}
{"id":"z","task":"echo"}"#;
        let sorted = |results: &[u8]| {
            let mut lines: Vec<_> = str::from_utf8(results).unwrap().lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        let undisturbed = run(tasks, b"");
        assert_eq!(sorted(&undisturbed).len(), 9);
        for cut in 0..undisturbed.len() {
            let resumed = run(tasks, &undisturbed[..cut]);
            assert_eq!(sorted(&resumed), sorted(&undisturbed), "killed at byte {cut}");
            let again = run(tasks, &resumed[..resumed.len() - cut.min(60)]);
            assert_eq!(sorted(&again), sorted(&undisturbed), "killed at byte {cut}, and again");
        }
    }

    #[test]
    fn another_file_is_refused_and_stays_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tasks.jsonl");
        for text in [
            "{\"id\":\"a\",\"task\":\"echo\"}\n",
            "{\"id\":\"a\",\"task\":\"echo\"}",
            "{\"id\":\"a\",\"status\":\"fine\"}\n",
            "{\"id\":5,\"status\":\"ok\"}\n",
            "{\"status\":\"ok\"}\n",
            "notes without a line feed",
            "notes\n",
            "[]\n",
            "\0\0\n",
            "\u{1b}[31m",
        ] {
            for text in [text.to_owned(), format!("{RESULTS}{text}")] {
                fs::write(&path, &text).unwrap();
                let error = reopen(&path, Order::AsRead).err().unwrap().to_string();
                assert!(
                    error.contains(" is not a result (") && !error.contains('\u{1b}'),
                    "{text:?}: {error}"
                );
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
            }
        }
        assert!(reopen(Path::new("-"), Order::AsRead).is_err());
        assert!(reopen(Path::new("/dev/null"), Order::AsRead).is_err());
        assert!(reopen(home.path(), Order::AsRead).is_err());
    }

    #[test]
    fn what_was_cancelled_or_given_up_is_struck_out_and_runs_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("results.jsonl");
        let error = |id: &str, code: &str| {
            format!(
                "{{\"id\":\"{id}\",\"status\":\"error\",\"attempts\":0,\"error\":{{\"code\":\"{code}\",\"message\":\"m\"}}}}\n"
            )
        };
        let (cancelled, given_up, own) =
            (error("c", "cancelled"), error("g", "gave-up"), error("t", "timeout"));
        fs::write(&path, format!("{cancelled}{RESULTS}{given_up}{own}{{\"id\":\"torn")).unwrap();
        let (mut writer, done) = reopen(&path, Order::AsFinished).unwrap();
        assert_eq!((done.count(), done.failed()), (4, 2));
        assert!(!done.contains(&given("c")) && !done.contains(&given("g")) && done.contains(&given("t")));
        assert!(reopen(&path, Order::AsFinished).is_err(), "another client is kept out all the same");
        writer.push(0, b"{\"id\":\"c\",\"status\":\"ok\"}\n".to_vec()).unwrap();
        writer.finish().unwrap();
        let expected = format!("{RESULTS}{own}{{\"id\":\"c\",\"status\":\"ok\"}}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_run_goes_on_behind_the_last_whole_line() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("results.jsonl");
        assert_eq!(
            reopen(&path, Order::AsRead).unwrap().1.count(),
            0,
            "a file that is not there yet is begun"
        );
        fs::write(&path, format!("{RESULTS}\n{{\"id\":\"torn")).unwrap();
        let (mut writer, done) = reopen(&path, Order::AsRead).unwrap();
        assert_eq!(done.count(), 3);
        assert!(
            reopen(&path, Order::AsRead)
                .err()
                .unwrap()
                .to_string()
                .contains("another client is reading or writing it")
        );
        writer.push(0, b"{\"id\":\"new\",\"status\":\"ok\"}\n".to_vec()).unwrap();
        writer.finish().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{RESULTS}\n{{\"id\":\"new\",\"status\":\"ok\"}}\n")
        );
        assert_eq!(reopen(&path, Order::AsRead).unwrap().1.count(), 4);
    }
}
