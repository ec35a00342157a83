//! How a task's output is told: the way back from a payload to JSON.

use super::fields::reason;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sgdt_proto::{
    payload::{Format, Payload},
    task::{ErrorCode, TaskError},
};
use std::fmt;

/// What is to be done with a task's output when it arrives. It is made when the task is encoded, so that it
/// knows what the task's line asked for.
#[derive(Default)]
pub struct Answer(Option<Box<Decode>>);

type Decode = dyn FnOnce(Payload, &mut Vec<u8>) -> Result<(), TaskError> + Send;

impl Answer {
    /// The output is JSON already, and told as it is.
    pub fn as_is() -> Self {
        Self(None)
    }

    /// `tell` appends one JSON value that tells the output, and writes the files that the task's line asked
    /// for. When it fails, what it has appended is dropped.
    pub fn with<T: DeserializeOwned>(
        tell: impl FnOnce(T, &mut Vec<u8>) -> Result<(), TaskError> + Send + 'static,
    ) -> Self {
        Self(Some(Box::new(move |output: Payload, json: &mut Vec<u8>| {
            tell(output.decode().map_err(|error| broken(&error.message))?, json)
        })))
    }

    /// Whether telling it may take long: numbers are formatted, or files are written.
    pub fn is_work(&self) -> bool {
        self.0.is_some()
    }

    /// Appends the output to `json`, as one value without a line break.
    ///
    /// # Errors
    /// The output is not what the kind promises, cannot be expressed in JSON, or a file cannot be written.
    /// `json` is then as it was.
    pub fn tell(self, output: Payload, json: &mut Vec<u8>) -> Result<(), TaskError> {
        let start = json.len();
        let told = match self.0 {
            Some(decode) => decode(output, json),
            None => copy(&output, json),
        };
        if told.is_err() {
            json.truncate(start);
        }
        told
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_work() { "Answer(decoded)" } else { "Answer(as it is)" })
    }
}

/// The error of a worker whose answer is not what its kind promises: it ran, and what came out is no output.
pub fn broken(what: &str) -> TaskError {
    TaskError::new(ErrorCode::Panicked, format!("the worker's answer is no output of this kind: {what}"))
}

fn copy(output: &Payload, json: &mut Vec<u8>) -> Result<(), TaskError> {
    if output.format != Format::Json {
        return Err(broken("it is packed where JSON was asked for"));
    }
    // Looked through but not taken apart: a result line must stay one line of JSON whatever a worker says.
    let value: &RawValue = serde_json::from_slice(&output.head).map_err(|error| broken(&reason(&error)))?;
    let start = json.len();
    json.extend_from_slice(value.get().as_bytes());
    // Within JSON a bare line break can only stand between tokens.
    for byte in &mut json[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(head: &'static [u8]) -> Payload {
        Payload { format: Format::Json, head: head.into(), buffers: Vec::new() }
    }

    fn told(answer: Answer, output: Payload) -> Result<String, TaskError> {
        let mut out = b"before ".to_vec();
        let result = answer.tell(output, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(result.is_ok() || text == "before ", "{text}");
        result.map(|()| text["before ".len()..].to_owned())
    }

    #[test]
    fn json_is_told_as_it_is_on_one_line() {
        for (head, text) in [
            (&br#"{"value":1e400}"#[..], r#"{"value":1e400}"#),
            (b" [1,\r\n 2]\n", "[1,   2]"),
            (br#""a\nb""#, r#""a\nb""#),
        ] {
            assert_eq!(told(Answer::as_is(), json(head)).unwrap(), text);
        }
    }

    #[test]
    fn an_answer_that_would_break_the_line_is_an_error() {
        for head in [&b""[..], b"1}\n{", b"{\"a\":", b"\"\xff\"", b"1,2"] {
            assert_eq!(told(Answer::as_is(), json(head)).unwrap_err().code, ErrorCode::Panicked, "{head:?}");
        }
        let packed = Payload { format: Format::Packed, ..json(b"1") };
        assert_eq!(told(Answer::as_is(), packed).unwrap_err().code, ErrorCode::Panicked);
    }

    #[test]
    fn a_decoded_answer_leaves_nothing_behind_when_it_fails() {
        let answer = |fails| {
            Answer::with(move |n: u64, out: &mut Vec<u8>| {
                out.extend(format!("<{n}>").into_bytes());
                if fails { Err(TaskError::invalid_input("no")) } else { Ok(()) }
            })
        };
        let output = || Payload::encode(Format::Packed, &7u64).unwrap();
        assert_eq!(told(answer(false), output()).unwrap(), "<7>");
        assert_eq!(told(answer(true), output()).unwrap_err().message, "no");
        let error = told(answer(false), Payload::encode(Format::Packed, &()).unwrap()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Panicked);
    }
}
