//! One line of a task file, taken apart as far as all kinds have in common: `id`, `task`, and the other fields.

use super::{
    fields::{Fields, reason, shorten, string},
    id::LineId,
};
use sgdt_proto::{id::Kind, task::TaskError};

/// The longest id, in bytes.
pub const MAX_ID: usize = 4096;

/// A line that is understood as far as it can be: whatever is wrong with it, its result has a name.
#[derive(Debug)]
pub struct Line<'a> {
    /// What its result calls it.
    pub id: LineId,
    /// What to compute, where that could be read.
    pub kind: Option<Kind>,
    /// What to compute, and the fields other than `id` and `task`. Or what is wrong, line number first.
    pub task: Result<(Kind, Fields<'a>), TaskError>,
}

/// Takes line `number` apart.
pub fn parse(number: u64, bytes: &[u8]) -> Line<'_> {
    let malformed =
        |kind, error| Line { id: LineId::Malformed(number), kind, task: Err(at_line(number, error)) };
    let mut fields = match object(bytes) {
        Ok(fields) => fields,
        Err(error) => return malformed(None, error),
    };
    let kind = match fields.remove("task") {
        Some(task) => kind(task),
        None => Err(TaskError::invalid_input("the field \"task\" is missing")),
    };
    let id = match fields.remove("id").map(id).transpose() {
        Ok(Some(id)) => LineId::Given(id),
        Ok(None) => LineId::Number(number),
        Err(error) => return malformed(kind.ok(), error),
    };
    match kind {
        Ok(kind) => Line { id, kind: Some(kind.clone()), task: Ok((kind, fields)) },
        Err(error) => Line { id, kind: None, task: Err(at_line(number, error)) },
    }
}

/// The same error, with the line's number before it.
pub fn at_line(number: u64, error: TaskError) -> TaskError {
    TaskError { message: format!("line {number}: {}", error.message), ..error }
}

fn object(bytes: &[u8]) -> Result<Fields<'_>, TaskError> {
    let text = str::from_utf8(bytes).map_err(|error| {
        TaskError::invalid_input(format!(
            "not UTF-8 from column {} on",
            error.valid_up_to().saturating_add(1)
        ))
    })?;
    if !text.trim_ascii_start().starts_with('{') {
        return Err(TaskError::invalid_input(format!("a task is one JSON object, not {}", shorten(text))));
    }
    Fields::parse(text).map_err(|error| {
        let reason = reason(&error);
        TaskError::invalid_input(if error.is_data() {
            // JSON, but not what is wanted. It was all read before that was known, so there is no place to name.
            reason
        } else {
            format!("not JSON: {reason} at column {}", error.column())
        })
    })
}

fn kind(value: &str) -> Result<Kind, TaskError> {
    let name = string("task", value)?;
    name.parse().map_err(|error| TaskError::invalid_input(format!("\"task\": {error}")))
}

/// A string, or an integer, which stands for its digits.
fn id(value: &str) -> Result<Box<str>, TaskError> {
    let integer = value.strip_prefix('-').unwrap_or(value).bytes().all(|b| b.is_ascii_digit());
    let id = if value.starts_with('"') {
        string("id", value)?
    } else if integer {
        value.into()
    } else {
        let message = format!("\"id\" takes a string or an integer, not {}", shorten(value));
        return Err(TaskError::invalid_input(message));
    };
    if id.len() > MAX_ID {
        return Err(TaskError::invalid_input(format!(
            "\"id\" has {} bytes, and may have {MAX_ID}",
            id.len()
        )));
    }
    Ok(id.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sgdt_proto::task::ErrorCode;

    fn given(text: &str) -> LineId {
        LineId::Given(text.into())
    }

    #[test]
    fn id_and_task_are_taken_out_and_the_rest_is_kept_as_it_is_written() {
        for (line, id, rest) in [
            (r#"{"id":"f20","task":"echo","n":20}"#, given("f20"), r#"{"n":20}"#),
            (r#" { "n" : [1, 2] , "task" : "echo" } "#, LineId::Number(7), r#"{"n":[1, 2]}"#),
            (r#"{"id":12,"task":"echo"}"#, given("12"), "{}"),
            (r#"{"id":-1,"task":"echo"}"#, given("-1"), "{}"),
            (r#"{"id":99999999999999999999999,"task":"echo"}"#, given("99999999999999999999999"), "{}"),
            (r#"{"id":"","task":"echo"}"#, given(""), "{}"),
            (r#"{"id":"\u0000\u001b[31m","task":"echo"}"#, given("\0\u{1b}[31m"), "{}"),
            (r#"{"\u0069d":"x","t\u0061sk":"ec\u0068o","\u00e9":1,"\"":2}"#, given("x"), r#"{"é":1,"\"":2}"#),
            (r#"{"task":"echo","value":{"id":1,"id":2}}"#, LineId::Number(7), r#"{"value":{"id":1,"id":2}}"#),
        ] {
            let parsed = parse(7, line.as_bytes());
            let (kind, fields) = parsed.task.unwrap();
            assert_eq!((parsed.id, kind.as_str(), parsed.kind), (id, "echo", Some(kind.clone())), "{line}");
            assert_eq!(String::from_utf8(fields.to_json()).unwrap(), rest, "{line}");
        }
    }

    #[test]
    fn a_malformed_line_is_told_by_its_number_and_what_is_wrong() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(99_999));
        let long = format!(r#"{{"id":"{}","task":"echo"}}"#, "x".repeat(MAX_ID + 1));
        for (line, message) in [
            (&b"{"[..], "not JSON: EOF while parsing an object at column 1"),
            (b"nonsense", "a task is one JSON object, not nonsense"),
            (b"5", "a task is one JSON object, not 5"),
            (b"null", "a task is one JSON object, not null"),
            (b"\"x\"", "a task is one JSON object, not \"x\""),
            (b"[1,2]", "a task is one JSON object, not [1,2]"),
            (br#"{"task":"echo"} {"#, "not JSON: trailing characters at column 17"),
            (br#"{"task":"echo",}"#, "not JSON: trailing comma at column 16"),
            (br#"{"task":"echo","value":}"#, "not JSON: expected value at column 24"),
            (br#"{"task":"echo","value":01}"#, "not JSON: invalid number at column 25"),
            (br#"{"task":"echo","value":NaN}"#, "not JSON: expected value at column 24"),
            (
                b"{\"task\":\"echo\",\"value\":\"a\tb\"}",
                "not JSON: control character (\\u0000-\\u001F) found while parsing a string at column 25",
            ),
            (br#"{"id":"a","id":"b","task":"echo"}"#, "the field \"id\" is given twice"),
            (br#"{"task":"echo","x":1,"\u0078":1}"#, "the field \"x\" is given twice"),
            (b"{\"task\":\"\xff\"}", "not UTF-8 from column 10 on"),
            (b"\xff\xfe{\0}\0", "not UTF-8 from column 1 on"),
            (br#"{"id":1.5,"task":"echo"}"#, "\"id\" takes a string or an integer, not 1.5"),
            (br#"{"id":1e3,"task":"echo"}"#, "\"id\" takes a string or an integer, not 1e3"),
            (br#"{"id":null,"task":"echo"}"#, "\"id\" takes a string or an integer, not null"),
            (br#"{"id":["a"],"task":"echo"}"#, "\"id\" takes a string or an integer, not [\"a\"]"),
            (
                br#"{"id":"\ud800","task":"echo"}"#,
                "\"id\" is \"\\ud800\", which cannot be read: unexpected end of hex escape",
            ),
            (long.as_bytes(), "\"id\" has 4097 bytes, and may have 4096"),
            (
                deep.as_bytes(),
                &format!("a task is one JSON object, not {}... (199999 bytes)", "[".repeat(60)),
            ),
        ] {
            let parsed = parse(7, line);
            let error = parsed.task.unwrap_err();
            assert_eq!(error.message, format!("line 7: {message}"), "{}", String::from_utf8_lossy(line));
            assert_eq!((error.code, parsed.id), (ErrorCode::InvalidInput, LineId::Malformed(7)));
        }
    }

    #[test]
    fn a_line_without_a_usable_task_keeps_its_id() {
        for (line, message) in [
            (r#"{"id":"x"}"#, "the field \"task\" is missing"),
            (r#"{"id":"x","task":5}"#, "\"task\" takes a string, not 5"),
            (r#"{"id":"x","task":null}"#, "\"task\" takes a string, not null"),
            (r#"{"id":"x","Task":"echo"}"#, "the field \"task\" is missing"),
        ] {
            let parsed = parse(7, line.as_bytes());
            assert_eq!(parsed.task.unwrap_err().message, format!("line 7: {message}"), "{line}");
            assert_eq!((parsed.id, parsed.kind), (given("x"), None));
        }
        let parsed = parse(7, br#"{"id":"x","task":"a b"}"#);
        assert!(parsed.task.unwrap_err().message.contains(r#""a b" is not a valid name"#));
        let parsed = parse(7, br#"{"id":{},"task":"echo"}"#);
        assert_eq!((parsed.id, parsed.kind), (LineId::Malformed(7), "echo".parse().ok()));
    }

    #[test]
    fn depth_costs_no_stack() {
        let depth = 1_000_000;
        let line = format!(r#"{{"task":"echo","value":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let (_, fields) = parse(1, line.as_bytes()).task.unwrap();
        assert_eq!(fields.get("value").map(str::len), Some(2 * depth));
    }

    #[test]
    fn many_fields_are_checked_for_repetition_too() {
        let fields: Vec<String> = (0..5000).map(|i| format!(r#""f{i}":0"#)).collect();
        assert!(parse(1, format!(r#"{{"task":"echo",{}}}"#, fields.join(",")).as_bytes()).task.is_ok());
        let error = parse(1, format!(r#"{{"task":"echo",{},"f17":1}}"#, fields.join(",")).as_bytes())
            .task
            .unwrap_err();
        assert_eq!(error.message, r#"line 1: the field "f17" is given twice"#);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_every_error_names_the_line(bytes: Vec<u8>) {
            if let Err(error) = parse(42, &bytes).task {
                prop_assert!(error.message.starts_with("line 42: "));
            }
        }

        #[test]
        fn nor_does_text_that_looks_like_a_task(text in r#"\{("(id|task)":("[a-z\\u0]*"|[0-9.e-]{0,4}|\[|\{\}),?){0,4}\}?"#) {
            let _ = parse(1, text.as_bytes());
        }
    }
}
