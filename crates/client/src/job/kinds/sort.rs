//! `sort` in task files: `{"values":[3,1,2],"order":"desc"}` gives `{"values":[3,2,1]}`.
//!
//! The keys are a list of integers, numbers or strings ([`values`]), a file `"npy":"x.npy"`, or `"random":1000`
//! with a `"seed"`, which the worker makes. `"order"` is `asc` or `desc`. `"output":"y.npy"` writes the sorted
//! numbers there and gives `{"npy":"y.npy","shape":[3]}`; `"return":"summary"` gives
//! `{"len":3,"first":1,"last":3,"sum":6}`, the sum for integers only.

use super::{ClientKind, Request, scalars, summary, write_double};
use crate::{
    giant::Whole,
    job::{
        answer::broken,
        fields::{Fields, either, whole, write_json, write_string},
        npy::{
            self, List,
            header::{MAGIC, Number},
        },
        replace::{Destination, located},
    },
    verify::{self, Check},
};
use sgdt_proto::{
    buffer::Buffer,
    kind::sort::{Input, KIND, Key, Keys, Output},
    payload::Payload,
    task::TaskError,
    worker::MAX_MESSAGE,
};
use std::{fs, io::Read, path::Path};

pub mod values;

/// `sort` as task files write it.
#[derive(Clone, Copy, Debug)]
pub struct Sort;

impl ClientKind for Sort {
    fn kind(&self) -> &str {
        KIND
    }

    fn encode(&self, fields: &Fields<'_>, base: &Path) -> Result<Request, TaskError> {
        fields.only(KIND, &["values", "npy", "random", "seed", "order", "output", "return"])?;
        let descending = match fields.get("order") {
            Some(order) => either("order", order, ["asc", "desc"])?,
            None => false,
        };
        let output =
            fields.get("output").map(|value| Destination::from_field("output", value, base)).transpose()?;
        let summary = summary(fields)?;
        if summary && output.is_some() {
            return Err(TaskError::invalid_input(
                "\"return\":\"summary\" leaves nothing to write to \"output\"",
            ));
        }
        let keys = keys(fields, base)?;
        let told = match output {
            Some(_) if matches!(keys, Keys::Text { .. }) => {
                return Err(TaskError::invalid_input(
                    "\"output\" takes numbers: a .npy file of strings is not supported",
                ));
            }
            Some(output) => Told::Npy(output),
            None if summary => Told::Summary,
            None => Told::Values,
        };
        request(keys, descending, told)
    }

    fn check(&self, input: &Payload) -> Option<Check> {
        verify::of::<Input>(input).ok().flatten()
    }

    fn whole(&self, input: &Payload) -> Option<Whole> {
        Whole::sort(input)
    }
}

/// One file sorted into another: the file's content.
#[derive(Debug)]
pub struct File {
    /// Numbers of a `.npy` file, or the lines of any other.
    pub keys: Keys,
    /// Where they go.
    pub output: Destination,
}

/// Reads a file to be sorted: a `.npy` file as numbers, any other by line.
///
/// # Errors
/// `invalid-input`, naming the file that cannot be read, or written.
pub fn file(input: &Path, output: &Path) -> Result<File, TaskError> {
    let output = Destination::new(output)?;
    // Before any of it is read. A pipe says that it has nothing.
    if fs::metadata(input).is_ok_and(|about| about.len() >= MAX_MESSAGE) {
        return Err(too_large(input));
    }
    if input.extension().is_some_and(|extension| extension == "npy") {
        return Ok(File { keys: numbers(npy::read_list(input)?), output: output.takes_bytes()? });
    }
    let mut text = Vec::new();
    // A pipe does not say how much will come.
    let read = fs::File::open(input).and_then(|file| file.take(MAX_MESSAGE).read_to_end(&mut text));
    read.map_err(|error| TaskError::invalid_input(format!("cannot read {}: {error}", input.display())))?;
    if text.len() as u64 >= MAX_MESSAGE {
        return Err(too_large(input));
    }
    refuse_npy(input, &text)?;
    // As sort(1) does, so that the last line can go before another.
    if text.last().is_some_and(|&last| last != b'\n') {
        text.push(b'\n');
    }
    Ok(File { keys: Keys::Lines(text.into()), output })
}

fn too_large(input: &Path) -> TaskError {
    TaskError::too_large(format!(
        "{} has more than one task can take ({MAX_MESSAGE} bytes): with --plan auto or local it is sorted here, through a \
         temporary file",
        input.display()
    ))
}

/// A list of numbers that were sorted as lines would be none any more.
///
/// # Errors
/// `invalid-input`: what was read of it is how a `.npy` file begins.
pub(crate) fn refuse_npy(name: &Path, read: &[u8]) -> Result<(), TaskError> {
    if read.starts_with(MAGIC) {
        return Err(TaskError::invalid_input(format!(
            "{} has the contents of a .npy file: numbers are sorted from files whose names end in .npy",
            name.display()
        )));
    }
    Ok(())
}

impl File {
    /// The whole sort as one task.
    ///
    /// # Errors
    /// None that these can cause.
    pub fn request(self, descending: bool) -> Result<Request, TaskError> {
        let Self { keys, output } = self;
        let told = if matches!(keys, Keys::Lines(_)) { Told::Lines(output) } else { Told::Npy(output) };
        request(keys, descending, told)
    }
}

/// How the sorted keys are told.
enum Told {
    Values,
    Summary,
    Npy(Destination),
    Lines(Destination),
}

fn request(keys: Keys, descending: bool, told: Told) -> Result<Request, TaskError> {
    if let (Told::Values, Keys::F64(buffer)) = (&told, &keys) {
        finite(bytemuck::try_cast_slice(buffer.as_bytes()).unwrap_or_default())?;
    }
    let input = Input { keys, descending, summary: matches!(told, Told::Summary) };
    Request::packed(&input, move |output: Output, json| match (output, told) {
        (Output::Sorted(keys), Told::Values) => values::write(keys, json),
        (Output::Sorted(keys), Told::Npy(output)) => save(keys, &output, json),
        (Output::Sorted(Keys::Lines(text)), Told::Lines(output)) => {
            output.write(&[text.as_bytes()])?;
            json.extend_from_slice(b"{\"file\":");
            write_string(json, output.shown());
            json.extend_from_slice(b",\"bytes\":");
            write_json(json, &text.len());
            json.push(b'}');
            Ok(())
        }
        (Output::Summary { len, first, last, sum }, Told::Summary) => {
            json.extend_from_slice(b"{\"len\":");
            write_json(json, &len);
            for (name, key) in [("first", first), ("last", last)] {
                if let Some(key) = key {
                    json.extend_from_slice(format!(",\"{name}\":").as_bytes());
                    write_key(json, &key);
                }
            }
            if let Some(sum) = sum {
                json.extend_from_slice(format!(",\"sum\":{sum}").as_bytes());
            }
            json.push(b'}');
            Ok(())
        }
        _ => Err(broken("the keys came back as something else")),
    })
}

/// The keys that a line names in one of three ways.
fn keys(fields: &Fields<'_>, base: &Path) -> Result<Keys, TaskError> {
    let sources = (fields.get("values"), fields.get("npy"), fields.get("random"));
    if sources.2.is_none() && fields.get("seed").is_some() {
        return Err(TaskError::invalid_input("\"seed\" goes with \"random\" alone"));
    }
    match sources {
        (Some(list), None, None) => values::read("values", list),
        (None, Some(file), None) => {
            let (_, path) = located("npy", file, base)?;
            Ok(numbers(npy::read_list(&path)?))
        }
        (None, None, Some(len)) => {
            Ok(Keys::Random { len: whole("random", len)?, seed: whole("seed", fields.require("seed")?)? })
        }
        (None, None, None) => Err(TaskError::invalid_input("\"values\", \"npy\" or \"random\" is missing")),
        _ => Err(TaskError::invalid_input("\"values\", \"npy\" and \"random\" exclude each other")),
    }
}

fn numbers(list: List) -> Keys {
    match list {
        List::Integers(keys) => Keys::I64(Buffer::from_scalars(keys)),
        List::Doubles(keys) => Keys::F64(Buffer::from_scalars(keys)),
    }
}

/// Makes sure that JSON can express these.
fn finite(keys: &[f64]) -> Result<(), TaskError> {
    match keys.iter().find(|x| !x.is_finite()) {
        Some(x) => Err(TaskError::invalid_input(format!(
            "a key is {x}, which JSON cannot express: give an \"output\":\"sorted.npy\""
        ))),
        None => Ok(()),
    }
}

fn save(keys: Keys, output: &Destination, json: &mut Vec<u8>) -> Result<(), TaskError> {
    let (number, buffer) = match keys {
        Keys::I64(buffer) => (Number::Integer, buffer),
        Keys::F64(buffer) => (Number::Double, buffer),
        _ => return Err(broken("the keys came back as something else")),
    };
    let bytes = buffer.as_bytes();
    if bytes.len() % 8 != 0 {
        return Err(broken(&format!("{} bytes are no 64-bit numbers", bytes.len())));
    }
    let shape = [bytes.len() as u64 / 8];
    npy::write(output, number, &shape, bytes)?;
    json.extend_from_slice(b"{\"npy\":");
    write_string(json, output.shown());
    json.extend_from_slice(b",\"shape\":");
    write_json(json, &shape);
    json.push(b'}');
    Ok(())
}

fn write_key(json: &mut Vec<u8>, key: &Key) {
    match key {
        Key::I64(key) => write_json(json, key),
        Key::F64(key) => write_double(json, *key),
        Key::Text(key) => write_string(json, key),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{encode, encode_at, tell};
    use super::*;
    use sgdt_proto::task::ErrorCode;

    fn i64s(keys: &[i64]) -> Keys {
        Keys::I64(Buffer::from_scalars(keys.to_vec()))
    }

    fn f64s(keys: &[f64]) -> Keys {
        Keys::F64(Buffer::from_scalars(keys.to_vec()))
    }

    fn input(request: &Request) -> Input {
        request.payload.clone().decode().unwrap()
    }

    #[test]
    fn a_list_goes_out_by_its_type_and_comes_back_as_a_list() {
        let request = encode(&Sort, r#"{"values":[3,1,2],"order":"desc"}"#).unwrap();
        assert_eq!(input(&request), Input { keys: i64s(&[3, 1, 2]), descending: true, summary: false });
        assert_eq!(tell(request, &Output::Sorted(i64s(&[3, 2, 1]))).unwrap(), r#"{"values":[3,2,1]}"#);
        let request = encode(&Sort, r#"{"values":["b","a"],"order":"asc"}"#).unwrap();
        let Input { keys, descending: false, .. } = input(&request) else { panic!("ascending") };
        assert_eq!(tell(request, &Output::Sorted(keys)).unwrap(), r#"{"values":["b","a"]}"#);
    }

    #[test]
    fn a_seed_travels_in_place_of_its_keys() {
        let request = encode(&Sort, r#"{"random":1000000,"seed":3,"return":"summary"}"#).unwrap();
        let keys = Keys::Random { len: 1_000_000, seed: 3 };
        assert_eq!(input(&request), Input { keys, descending: false, summary: true });
        let key = |key| Some(Key::I64(key));
        let output =
            Output::Summary { len: 2, first: key(i64::MIN), last: key(5), sum: Some(-9223372036854775803) };
        let expected = r#"{"len":2,"first":-9223372036854775808,"last":5,"sum":-9223372036854775803}"#;
        assert_eq!(tell(request, &output).unwrap(), expected);
    }

    #[test]
    fn a_summary_tells_what_there_is() {
        let told =
            |output| tell(encode(&Sort, r#"{"values":[],"return":"summary"}"#).unwrap(), &output).unwrap();
        assert_eq!(
            told(Output::Summary { len: 0, first: None, last: None, sum: Some(0) }),
            r#"{"len":0,"sum":0}"#
        );
        let (first, last) = (Some(Key::F64(-0.5)), Some(Key::F64(f64::NAN)));
        assert_eq!(
            told(Output::Summary { len: 2, first, last, sum: None }),
            r#"{"len":2,"first":-0.5,"last":"NaN"}"#
        );
        let (first, last) = (Some(Key::Text("a\"".to_owned())), Some(Key::Text("b".to_owned())));
        assert_eq!(
            told(Output::Summary { len: 2, first, last, sum: None }),
            r#"{"len":2,"first":"a\"","last":"b"}"#
        );
    }

    #[test]
    fn npy_files_go_in_and_come_out() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.npy");
        let to = Destination::new(&path).unwrap();
        npy::write(&to, Number::Double, &[3], bytemuck::cast_slice(&[f64::NAN, 1.0, f64::INFINITY])).unwrap();
        let request = encode_at(&Sort, r#"{"npy":"x.npy","output":"y.npy"}"#, home.path()).unwrap();
        let Input { keys, .. } = input(&request);
        assert_eq!(tell(request, &Output::Sorted(keys.clone())).unwrap(), r#"{"npy":"y.npy","shape":[3]}"#);
        assert_eq!(numbers(npy::read_list(&home.path().join("y.npy")).unwrap()), keys);
        let error = encode_at(&Sort, r#"{"npy":"x.npy"}"#, home.path()).unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid-input: a key is NaN, which JSON cannot express: give an \"output\":\"sorted.npy\""
        );
        assert!(encode_at(&Sort, r#"{"npy":"x.npy","return":"summary"}"#, home.path()).is_ok());
        let request = file(&path, &home.path().join("z.npy")).unwrap().request(true).unwrap();
        assert!(input(&request).descending);
        tell(request, &Output::Sorted(i64s(&[1]))).unwrap();
        assert_eq!(npy::read_list(&home.path().join("z.npy")).unwrap(), List::Integers(vec![1]));
    }

    #[test]
    fn a_text_file_goes_out_as_lines_that_all_have_an_end() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("in.txt"), home.path().join("out.txt"));
        for (text, lines) in [(&b"b\n\xff\na"[..], &b"b\n\xff\na\n"[..]), (b"", b""), (b"\n", b"\n")] {
            fs::write(&from, text).unwrap();
            let request = file(&from, &to).unwrap().request(false).unwrap();
            let Keys::Lines(sent) = input(&request).keys else { panic!("lines") };
            assert_eq!(sent.as_bytes(), lines);
            let json = tell(request, &Output::Sorted(Keys::Lines(sent))).unwrap();
            let expected = serde_json::json!({"file": to.to_str().unwrap(), "bytes": lines.len()});
            assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), expected);
            assert_eq!(fs::read(&to).unwrap(), lines);
        }
        let missing = home.path().join("missing.txt");
        let error = file(&missing, &to).unwrap_err().message;
        assert_eq!(
            error,
            format!("cannot read {}: No such file or directory (os error 2)", missing.display())
        );
    }

    #[test]
    fn what_is_wrong_with_a_line_is_named() {
        for (line, message) in [
            ("{}", r#""values", "npy" or "random" is missing"#),
            (r#"{"values":[1],"random":1,"seed":1}"#, r#""values", "npy" and "random" exclude each other"#),
            (r#"{"values":[1],"npy":"x.npy"}"#, r#""values", "npy" and "random" exclude each other"#),
            (r#"{"values":[1],"seed":1}"#, r#""seed" goes with "random" alone"#),
            (r#"{"random":1}"#, r#"the field "seed" is missing"#),
            (
                r#"{"values":[1],"oder":"desc"}"#,
                r#""oder" is not a field of sort, which takes values, npy, random, seed, order, output, return"#,
            ),
            (r#"{"values":[1],"order":"up"}"#, r#""order" takes "asc" or "desc", not "up""#),
            (r#"{"values":[1],"order":null}"#, r#""order" takes a string, not null"#),
            (r#"{"values":{}}"#, r#""values" takes a list, not {}"#),
            (r#"{"npy":7}"#, r#""npy" takes a string, not 7"#),
            (
                r#"{"random":-1,"seed":1}"#,
                r#""random" takes a whole number from 0 to 18446744073709551615, written in digits, not -1"#,
            ),
            (
                r#"{"values":["a"],"output":"y.npy"}"#,
                r#""output" takes numbers: a .npy file of strings is not supported"#,
            ),
            (
                r#"{"values":[1],"output":"y.npy","return":"summary"}"#,
                r#""return":"summary" leaves nothing to write to "output""#,
            ),
        ] {
            let error = encode(&Sort, line).unwrap_err();
            assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidInput, message), "{line}");
        }
    }

    #[test]
    fn an_answer_of_another_kind_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        for (line, output) in [
            (r#"{"values":[1]}"#, Output::Summary { len: 1, first: None, last: None, sum: None }),
            (r#"{"values":[1],"return":"summary"}"#, Output::Sorted(i64s(&[1]))),
            (r#"{"values":[1],"output":"y.npy"}"#, Output::Sorted(Keys::Lines(b"1\n".to_vec().into()))),
            (r#"{"values":[1],"output":"y.npy"}"#, Output::Sorted(Keys::I64(vec![0; 9].into()))),
            (r#"{"values":[1]}"#, Output::Sorted(Keys::Lines(b"1\n".to_vec().into()))),
        ] {
            let request = encode_at(&Sort, line, home.path()).unwrap();
            assert_eq!(tell(request, &output).unwrap_err().code, ErrorCode::Panicked, "{line}");
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing was written");
    }

    #[test]
    fn doubles_that_json_cannot_express_are_caught_on_the_way_back_too() {
        let request = encode(&Sort, r#"{"values":[1.5]}"#).unwrap();
        assert_eq!(
            tell(request, &Output::Sorted(f64s(&[f64::INFINITY]))).unwrap_err().code,
            ErrorCode::InvalidInput
        );
    }
}
