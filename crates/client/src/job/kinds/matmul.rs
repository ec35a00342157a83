//! `matmul` in task files: `{"a":[[1,2],[3,4]],"b":[[5,6],[7,8]]}` gives `{"c":[[19.0,22.0],[43.0,50.0]]}`.
//!
//! A factor is a list of rows, a file `{"npy":"a.npy"}`, or `{"random":[rows,columns],"seed":1}`, which the
//! worker makes. `"dtype":"f32"` makes floats of 32 bits of rows and of what the worker makes, where there is no file that
//! decides; without either they are doubles. `"output":"c.npy"` writes the product there and gives `{"npy":"c.npy","shape":[2,2]}`;
//! `"return":"summary"` gives `{"shape":[2,2],"sum":134.0,"trace":69.0}`.

mod recent;

use super::{ClientKind, Request, summary, write_double};
use crate::{
    giant::Whole,
    job::{
        answer::broken,
        fields::{Fields, each, one_of, reason, shorten, whole, write_json, write_string},
        files::JobFiles,
        npy,
        replace::Destination,
    },
    verify::{self, Check},
};
use recent::Recent;
use serde::Serialize;
use sgdt_proto::{
    buffer::Buffer,
    kind::matmul::{Element, Input, KIND, Matrix, Operand, Output, Real},
    payload::Payload,
    task::TaskError,
};
use std::{borrow::Cow, path::Path, str::FromStr};

/// `matmul` as task files write it.
#[derive(Debug, Default)]
pub struct MatMul {
    recent: Recent,
}

impl ClientKind for MatMul {
    fn kind(&self) -> &str {
        KIND
    }

    fn name_files(&self, fields: &Fields<'_>, files: &mut JobFiles) -> Result<(), TaskError> {
        for factor in ["a", "b"].into_iter().filter_map(|name| fields.get(name)) {
            let source = if factor.starts_with('{') { Fields::parse(factor).ok() } else { None };
            source.and_then(|source| source.get("npy")).map_or(Ok(()), |input| files.reads(input))?;
        }
        fields.get("output").map_or(Ok(()), |output| files.writes(output))
    }

    fn encode(&self, fields: &Fields<'_>, files: &JobFiles) -> Result<Request, TaskError> {
        fields.only(KIND, &["a", "b", "dtype", "output", "return"])?;
        let output = fields.get("output").map(|value| files.output("output", value)).transpose()?;
        let summary = summary(fields)?;
        let asked = fields.get("dtype").map(|name| one_of("dtype", name, Element::ALL, Element::name));
        let a = Factor::read("a", fields.require("a")?, files, &self.recent)?;
        let b = Factor::read("b", fields.require("b")?, files, &self.recent)?;
        let element = element(asked.transpose()?, &a, &b)?;
        product(a.operand("a", element)?, b.operand("b", element)?, summary, output)
    }

    fn check(&self, input: &Payload) -> Option<Check> {
        verify::of::<Input>(input).ok().flatten()
    }

    fn whole(&self, input: &Payload) -> Option<Whole> {
        Whole::product(input)
    }
}

/// The product of two `.npy` files, written to a third: the files' contents.
#[derive(Debug)]
pub struct Files {
    /// The left factor.
    pub a: Matrix,
    /// The right factor.
    pub b: Matrix,
    /// Where the product goes.
    pub output: Destination,
}

/// Reads the factors.
///
/// # Errors
/// `invalid-input`, naming the file that cannot be read, or written; or the factors do not fit.
pub fn files(a: &Path, b: &Path, output: &Path) -> Result<Files, TaskError> {
    let output = Destination::new(output)?.takes_bytes()?;
    if [a, b].contains(&Path::new("-")) {
        return Err(TaskError::invalid_input(
            "a factor is -, and factors are not read from standard input: name a .npy file, or write ./- for one of that name",
        ));
    }
    let (a, b) = (npy::read_matrix(a)?, npy::read_matrix(b)?);
    a.times(&b)?;
    Ok(Files { a, b, output })
}

impl Files {
    /// The whole product as one task.
    ///
    /// # Errors
    /// None that these can cause.
    pub fn request(self) -> Result<Request, TaskError> {
        product(Operand::Dense(self.a), Operand::Dense(self.b), false, Some(self.output))
    }
}

fn product(a: Operand, b: Operand, summary: bool, output: Option<Destination>) -> Result<Request, TaskError> {
    if summary && output.is_some() {
        return Err(TaskError::invalid_input("\"return\":\"summary\" leaves nothing to write to \"output\""));
    }
    let element = a.element();
    Request::packed(&Input { a, b, summary }, move |told: Output, json| match (told, output) {
        (Output::Product(c), _) if c.element != element || !c.is_whole() => Err(broken(&format!(
            "{} bytes are not {} x {} of {element}",
            c.elements.len(),
            c.rows,
            c.columns
        ))),
        (Output::Product(c), Some(output)) => save(&c, &output, json),
        (Output::Product(c), None) if !summary => match element {
            Element::F64 => write_product::<f64>(&c, json),
            Element::F32 => write_product::<f32>(&c, json),
        },
        (Output::Summary { shape, sum, trace }, _) if summary => {
            json.extend_from_slice(b"{\"shape\":");
            write_json(json, &shape);
            json.extend_from_slice(b",\"sum\":");
            write_double(json, sum);
            json.extend_from_slice(b",\"trace\":");
            write_double(json, trace);
            json.push(b'}');
            Ok(())
        }
        _ => Err(broken("a summary came for a product, or a product for a summary")),
    })
}

/// A factor as it is written, before it is known what it is made of.
enum Factor<'a> {
    Rows(&'a str),
    File(Matrix),
    Random { shape: [u64; 2], seed: u64 },
}

impl<'a> Factor<'a> {
    fn read(name: &str, value: &'a str, files: &JobFiles, recent: &Recent) -> Result<Self, TaskError> {
        let refused = || {
            TaskError::invalid_input(format!(
                "{name:?} takes rows, {{\"npy\":\"file.npy\"}} or {{\"random\":[rows,columns],\"seed\":1}}, not {}",
                shorten(value)
            ))
        };
        if value.starts_with('[') {
            return Ok(Self::Rows(value));
        }
        if !value.starts_with('{') {
            return Err(refused());
        }
        let source = Fields::parse(value)
            .map_err(|error| TaskError::invalid_input(format!("{name:?}: {}", reason(&error))))?;
        match (source.get("npy"), source.get("random")) {
            (Some(file), None) => {
                source.only(name, &["npy"])?;
                let path = files.input(&format!("{name}.npy"), file)?;
                Ok(Self::File(recent.matrix(&path)?))
            }
            (None, Some(lengths)) => {
                source.only(name, &["random", "seed"])?;
                let shape = shape(&format!("{name}.random"), lengths)?;
                let seed = whole(&format!("{name}.seed"), source.require("seed")?)?;
                Ok(Self::Random { shape, seed })
            }
            _ => Err(refused()),
        }
    }

    /// What it is made of, where that is already so.
    fn element(&self) -> Option<Element> {
        match self {
            Self::File(matrix) => Some(matrix.element),
            Self::Rows(_) | Self::Random { .. } => None,
        }
    }

    fn operand(self, name: &str, element: Element) -> Result<Operand, TaskError> {
        match (self, element) {
            (Self::Rows(value), Element::F64) => rows::<f64>(name, value).map(Operand::Dense),
            (Self::Rows(value), Element::F32) => rows::<f32>(name, value).map(Operand::Dense),
            (Self::File(matrix), _) => Ok(Operand::Dense(matrix)),
            (Self::Random { shape, seed }, element) => Ok(Operand::Random { element, shape, seed }),
        }
    }
}

/// What a line's factors are made of: what its files have, or else what it asks for.
fn element(asked: Option<Element>, a: &Factor<'_>, b: &Factor<'_>) -> Result<Element, TaskError> {
    if let (Some(a), Some(b)) = (a.element(), b.element()) {
        Element::common(a, b)?;
    }
    let files = [("a", a.element()), ("b", b.element())];
    let found = files.into_iter().find_map(|(name, element)| Some((name, element?)));
    match (asked, found) {
        (Some(asked), Some((name, found))) if asked != found => Err(TaskError::invalid_input(format!(
            "\"dtype\" is {:?}, and the file of {name} is of dtype {found}: convert the file, as with NumPy's astype, or \
             leave \"dtype\" out",
            asked.name()
        ))),
        (_, Some((_, element))) | (Some(element), None) => Ok(element),
        (None, None) => Ok(Element::F64),
    }
}

fn shape(name: &str, value: &str) -> Result<[u64; 2], TaskError> {
    let mut lengths = Vec::with_capacity(2);
    each(name, value, |_, length| {
        // Of a longer list, no more is kept than shows that it is too long.
        if lengths.len() < 3 {
            lengths.push(whole(name, length)?);
        }
        Ok(())
    })?;
    lengths.try_into().map_err(|_| {
        TaskError::invalid_input(format!("{name:?} takes [rows,columns], not {}", shorten(value)))
    })
}

fn rows<T: Real + FromStr>(name: &str, value: &str) -> Result<Matrix, TaskError> {
    let mut elements = Vec::new();
    let (mut rows, mut columns) = (0, 0);
    each(name, value, |row, list| {
        let name = format!("{name}[{row}]");
        let before = elements.len();
        each(&name, list, |column, text| {
            elements.push(number::<T>(text).ok_or_else(|| {
                let holder = match T::ELEMENT {
                    Element::F64 => "a double",
                    Element::F32 => "an f32",
                };
                TaskError::invalid_input(format!(
                    "{name}[{column}] is {}, not a number that {holder} can hold",
                    shorten(text)
                ))
            })?);
            Ok(())
        })?;
        let length = elements.len() - before;
        if row == 0 {
            columns = length;
        } else if columns != length {
            return Err(TaskError::invalid_input(format!(
                "rows differ in length: {name} has {length} elements, and the first row {columns}"
            )));
        }
        rows += 1;
        Ok(())
    })?;
    let elements = Buffer::from_scalars(elements);
    Ok(Matrix { element: T::ELEMENT, rows, columns: columns as u64, elements })
}

/// The one nearest to a number's text.
fn number<T: Real + FromStr>(text: &str) -> Option<T> {
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&x: &T| x.into().is_finite())
}

fn save(c: &Matrix, output: &Destination, json: &mut Vec<u8>) -> Result<(), TaskError> {
    let shape = [c.rows, c.columns];
    npy::write(output, c.element, &shape, c.elements.as_bytes())?;
    json.extend_from_slice(b"{\"npy\":");
    write_string(json, output.shown());
    json.extend_from_slice(b",\"shape\":");
    write_json(json, &shape);
    json.push(b'}');
    Ok(())
}

fn write_product<T: Real + Serialize>(c: &Matrix, json: &mut Vec<u8>) -> Result<(), TaskError> {
    /// Rows without columns take no memory, and three bytes each when they are written out.
    const MOST_EMPTY_ROWS: u64 = 1 << 20;

    let (rows, columns) = (c.rows, c.columns);
    let elements: Cow<'_, [T]> = c.elements.scalars().map_err(|_| broken("its elements are no numbers"))?;
    if elements.is_empty() && rows > MOST_EMPTY_ROWS {
        return Err(TaskError::too_large(format!(
            "the product is {rows} empty rows: give an \"output\":\"c.npy\""
        )));
    }
    if let Some((place, x)) = elements.iter().map(|&x| x.into()).enumerate().find(|(_, x)| !x.is_finite()) {
        let (row, column) = (place as u64 / columns, place as u64 % columns);
        return Err(TaskError::invalid_input(format!(
            "c[{row}][{column}] is {x}, which JSON cannot express: give an \"output\":\"c.npy\""
        )));
    }
    json.extend_from_slice(b"{\"c\":[");
    for row in 0..rows as usize {
        if row > 0 {
            json.push(b',');
        }
        write_json(json, &elements[row * columns as usize..][..columns as usize]);
    }
    json.extend_from_slice(b"]}");
    Ok(())
}

#[cfg(test)]
mod tests;
