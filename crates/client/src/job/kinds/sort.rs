//! `sort` in task files: `{"values":[3,1,2],"order":"desc"}` gives `{"values":[3,2,1]}`.
//!
//! The keys are a list of integers, numbers or strings ([`values`]), a file `"npy":"x.npy"`, or `"random":1000`
//! with a `"seed"`, which the worker makes; `"dtype"` says of which type numbers are. `"order"` is `asc` or `desc`. `"output":"y.npy"` writes the sorted
//! numbers there and gives `{"npy":"y.npy","shape":[3]}`; `"return":"summary"` gives
//! `{"len":3,"first":1,"last":3,"sum":6}`, the sum for integers only.

use super::{ClientKind, Request, scalars, summary, write_double};
use crate::{
    giant::Whole,
    job::{
        answer::broken,
        fields::{Fields, either, one_of, whole, write_json, write_string},
        files::JobFiles,
        npy::{self, header::MAGIC},
        replace::Destination,
        text,
    },
    verify::{self, Check},
};
use sgdt_proto::{
    kind::sort::{Input, KIND, Key, Keys, Number, Output},
    payload::Payload,
    task::TaskError,
    worker::MAX_MESSAGE,
};
use std::{
    fs,
    io::{self, Read},
    path::Path,
};

pub mod values;

/// `sort` as task files write it.
#[derive(Clone, Copy, Debug)]
pub struct Sort;

impl ClientKind for Sort {
    fn kind(&self) -> &str {
        KIND
    }

    fn name_files(&self, fields: &Fields<'_>, files: &mut JobFiles) -> Result<(), TaskError> {
        fields.get("npy").map_or(Ok(()), |input| files.reads(input))?;
        fields.get("output").map_or(Ok(()), |output| files.writes(output))
    }

    fn encode(&self, fields: &Fields<'_>, files: &JobFiles) -> Result<Request, TaskError> {
        fields.only(KIND, &["values", "npy", "random", "seed", "dtype", "order", "output", "return"])?;
        let descending = match fields.get("order") {
            Some(order) => either("order", order, ["asc", "desc"])?,
            None => false,
        };
        let output = fields.get("output").map(|value| files.output("output", value)).transpose()?;
        let summary = summary(fields)?;
        if summary && output.is_some() {
            return Err(TaskError::invalid_input(
                "\"return\":\"summary\" leaves nothing to write to \"output\"",
            ));
        }
        let keys = keys(fields, files)?;
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
    if input.extension().is_some_and(|extension| extension == "npy") {
        if fs::metadata(input).is_ok_and(|about| about.len() >= MAX_MESSAGE) {
            return Err(too_large(input));
        }
        return Ok(File { keys: npy::read_list(input)?, output: output.takes_bytes()? });
    }
    let cannot =
        |error: io::Error| TaskError::invalid_input(format!("cannot read {}: {error}", input.display()));
    let file = text::open(input).map_err(cannot)?;
    // Before any of it is read. A pipe does not say how much will come.
    let left = text::left(&file).map_err(cannot)?;
    if left.is_some_and(|left| left >= MAX_MESSAGE) {
        return Err(too_large(input));
    }
    let mut text = Vec::new();
    // With room for the end of the last line: text that grows is there twice for a while.
    text.try_reserve_exact(left.unwrap_or_default() as usize + 1).map_err(|error| cannot(error.into()))?;
    text::Whole::new(file, left).take(MAX_MESSAGE).read_to_end(&mut text).map_err(cannot)?;
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
    if let (Told::Values, Keys::Numbers { number: Number::F64, buffer }) = (&told, &keys) {
        finite(&buffer.scalars().unwrap_or_default())?;
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
fn keys(fields: &Fields<'_>, files: &JobFiles) -> Result<Keys, TaskError> {
    let sources = (fields.get("values"), fields.get("npy"), fields.get("random"));
    if sources.2.is_none() && fields.get("seed").is_some() {
        return Err(TaskError::invalid_input("\"seed\" goes with \"random\" alone"));
    }
    let asked = fields.get("dtype").map(|name| one_of("dtype", name, Number::ALL, Number::name));
    let asked = asked.transpose()?;
    match sources {
        (Some(list), None, None) => values::read("values", list, asked),
        (None, Some(file), None) => match (npy::read_list(&files.input("npy", file)?)?, asked) {
            (Keys::Numbers { number, .. }, Some(asked)) if number != asked => {
                Err(TaskError::invalid_input(format!(
                    "\"dtype\" is {:?}, and the file of npy is of dtype {number}: convert the file, as with NumPy's \
                         astype, or leave \"dtype\" out",
                    asked.name()
                )))
            }
            (keys, _) => Ok(keys),
        },
        (None, None, Some(len)) => {
            let (len, seed) = (whole("random", len)?, whole("seed", fields.require("seed")?)?);
            Ok(Keys::Random { number: asked.unwrap_or(Number::I64), len, seed })
        }
        (None, None, None) => Err(TaskError::invalid_input("\"values\", \"npy\" or \"random\" is missing")),
        _ => Err(TaskError::invalid_input("\"values\", \"npy\" and \"random\" exclude each other")),
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
    let Keys::Numbers { number, buffer } = keys else {
        return Err(broken("the keys came back as something else"));
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
        Key::U64(key) => write_json(json, key),
        Key::F64(key) => write_double(json, *key),
        Key::Text(key) => write_string(json, key),
    }
}

#[cfg(test)]
mod tests;
