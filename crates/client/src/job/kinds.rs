//! The kinds that have a form of their own in task files. All others are JSON from end to end.
//!
//! A [`ClientKind`] turns a line's fields into a payload, and says how the output is told. A kind that nobody
//! has registered here needs no such thing: its line's fields go to the worker as one JSON object, and the
//! JSON that comes back is the output.

use super::{
    answer::{Answer, broken},
    fields::{Fields, shorten, write_json, write_string},
    files::JobFiles,
};
use crate::{giant::Whole, verify::Check};
use serde::{Serialize, de::DeserializeOwned};
use sgdt_proto::{
    buffer::{Buffer, Scalar},
    id::Kind,
    payload::{Format, Payload},
    task::TaskError,
};
use std::{collections::BTreeMap, fmt, sync::Arc};

pub mod factorial;
pub mod matmul;
pub mod sort;

/// How task files speak of one kind.
pub trait ClientKind: Send + Sync + 'static {
    /// The kind's name.
    fn kind(&self) -> &str;

    /// Tells `files` which of them a line's fields name, so that no line is in another's way. None, unless a kind says otherwise:
    /// one whose lines read or write files should. Nothing is read, and what makes no sense is passed over:
    /// [`encode`](Self::encode) refuses it.
    ///
    /// # Errors
    /// `invalid-input`: another line is in the way.
    fn name_files(&self, _fields: &Fields<'_>, _files: &mut JobFiles) -> Result<(), TaskError> {
        Ok(())
    }

    /// Reads a line's fields, less `id` and `task`. Where the files are that they name is asked of `files`. They are read
    /// here, and so this may block.
    ///
    /// # Errors
    /// `invalid-input`, naming the field and its value; `too-large`.
    fn encode(&self, fields: &Fields<'_>, files: &JobFiles) -> Result<Request, TaskError>;

    /// How answers to such an input are checked; `None` where they are not, and unless a kind says otherwise.
    fn check(&self, _input: &Payload) -> Option<Check> {
        None
    }

    /// The task of such an input as one that can be split, where it can, and unless a kind says otherwise.
    fn whole(&self, _input: &Payload) -> Option<Whole> {
        None
    }
}

/// A task's input, and what to do with its output.
#[derive(Debug)]
pub struct Request {
    /// The input.
    pub payload: Payload,
    /// How the output is told.
    pub answer: Answer,
}

impl Request {
    /// A typed input, and a function that tells the typed output: see [`Answer::with`].
    ///
    /// # Errors
    /// `invalid-input`: the input has a part that cannot travel.
    pub fn packed<I: Serialize, O: DeserializeOwned>(
        input: &I,
        tell: impl FnOnce(O, &mut Vec<u8>) -> Result<(), TaskError> + Send + 'static,
    ) -> Result<Self, TaskError> {
        let payload =
            Payload::encode(Format::Packed, input).map_err(|e| TaskError::invalid_input(e.to_string()))?;
        Ok(Self { payload, answer: Answer::with(tell) })
    }

    /// An object that goes out as it is, and whose answer comes back as it is.
    pub fn json(fields: &Fields<'_>) -> Self {
        let payload = Payload { format: Format::Json, head: fields.to_json().into(), buffers: Vec::new() };
        Self { payload, answer: Answer::as_is() }
    }
}

/// The kinds that a client knows more of than their names.
#[derive(Clone, Default)]
pub struct ClientKinds(BTreeMap<String, Arc<dyn ClientKind>>);

impl ClientKinds {
    /// None: every kind is JSON.
    pub fn none() -> Self {
        Self::default()
    }

    /// `matmul`, `sort` and `factorial`.
    pub fn builtin() -> Self {
        Self::none().with(matmul::MatMul::default()).with(sort::Sort).with(factorial::Factorial)
    }

    /// These and one more. It replaces an earlier one of the same name.
    #[must_use]
    pub fn with(mut self, kind: impl ClientKind) -> Self {
        self.0.insert(kind.kind().to_owned(), Arc::new(kind));
        self
    }

    /// Names the files of a line of this kind.
    ///
    /// # Errors
    /// Those of the kind.
    pub fn name_files(
        &self,
        kind: &Kind,
        fields: &Fields<'_>,
        files: &mut JobFiles,
    ) -> Result<(), TaskError> {
        self.0.get(kind.as_str()).map_or(Ok(()), |known| known.name_files(fields, files))
    }

    /// Reads the fields of a line of this kind.
    ///
    /// # Errors
    /// Those of the kind.
    pub fn encode(&self, kind: &Kind, fields: &Fields<'_>, files: &JobFiles) -> Result<Request, TaskError> {
        match self.0.get(kind.as_str()) {
            Some(known) => known.encode(fields, files),
            None => Ok(Request::json(fields)),
        }
    }

    /// How answers to an input of this kind are checked, where they can be.
    pub fn check(&self, kind: &Kind, input: &Payload) -> Option<Check> {
        self.0.get(kind.as_str())?.check(input)
    }

    /// The task of an input of this kind as one that can be split, where it can.
    pub fn whole(&self, kind: &Kind, input: &Payload) -> Option<Whole> {
        self.0.get(kind.as_str())?.whole(input)
    }
}

impl fmt::Debug for ClientKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether a line asks for sums and sizes in place of the data.
fn summary(fields: &Fields<'_>) -> Result<bool, TaskError> {
    match fields.get("return") {
        None => Ok(false),
        Some(r#""summary""#) => Ok(true),
        Some(other) => Err(TaskError::invalid_input(format!(
            "\"return\" takes \"summary\", and is left out where the data are wanted; it is {}",
            shorten(other)
        ))),
    }
}

/// The numbers in a worker's answer.
fn scalars<T: Scalar>(buffer: Buffer, count: u64) -> Result<Vec<T>, TaskError> {
    match buffer.into_scalars::<T>() {
        Ok(numbers) if numbers.len() as u64 == count => Ok(numbers),
        Ok(numbers) => Err(broken(&format!("{} numbers in place of {count}", numbers.len()))),
        Err(bytes) => Err(broken(&format!("{bytes} bytes are no 64-bit numbers"))),
    }
}

/// A double in a summary, where JSON has no word for one that is not finite.
fn write_double(json: &mut Vec<u8>, x: f64) {
    if x.is_finite() {
        write_json(json, &x);
    } else {
        write_string(json, &x.to_string());
    }
}

#[cfg(test)]
mod testing {
    use super::*;
    use std::path::Path;

    pub(super) fn encode(kind: &dyn ClientKind, line: &str) -> Result<Request, TaskError> {
        encode_at(kind, line, Path::new(""))
    }

    pub(super) fn encode_at(kind: &dyn ClientKind, line: &str, base: &Path) -> Result<Request, TaskError> {
        kind.encode(&Fields::parse(line).unwrap(), &JobFiles::relative_to(base))
    }

    /// What the request makes of this output.
    pub(super) fn tell(request: Request, output: &impl Serialize) -> Result<String, TaskError> {
        let mut json = Vec::new();
        let told = request.answer.tell(Payload::encode(Format::Packed, output).unwrap(), &mut json);
        told.map(|()| {
            let text = String::from_utf8(json).unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_goes_out_as_it_is_written() {
        let kind: Kind = "echo".parse().unwrap();
        let fields =
            Fields::parse(r#" {"value" : 1e400, "\u0061\"b":[ 1,2 ] , "x":{"a":1,"a":2}} "#).unwrap();
        let request = ClientKinds::builtin().encode(&kind, &fields, &JobFiles::default()).unwrap();
        assert_eq!(request.payload.format, Format::Json);
        assert_eq!(&*request.payload.head, br#"{"value":1e400,"a\"b":[ 1,2 ],"x":{"a":1,"a":2}}"#);
        assert!(!request.answer.is_work());
        assert_eq!(&*Request::json(&Fields::default()).payload.head, b"{}");
    }

    #[test]
    fn a_kind_of_ones_own_replaces_the_default() {
        struct Twice;
        impl ClientKind for Twice {
            fn kind(&self) -> &str {
                "twice"
            }
            fn encode(&self, fields: &Fields<'_>, _: &JobFiles) -> Result<Request, TaskError> {
                fields.only("twice", &[])?;
                Ok(Request::json(fields))
            }
        }
        let (kinds, kind) = (ClientKinds::none().with(Twice), "twice".parse().unwrap());
        let fields = Fields::parse(r#"{"x":1}"#).unwrap();
        assert!(kinds.encode(&kind, &fields, &JobFiles::default()).is_err());
        assert!(ClientKinds::none().encode(&kind, &fields, &JobFiles::default()).is_ok());
    }
}
