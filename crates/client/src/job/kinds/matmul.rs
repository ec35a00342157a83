//! `matmul` in task files: `{"a":[[1,2],[3,4]],"b":[[5,6],[7,8]]}` gives `{"c":[[19.0,22.0],[43.0,50.0]]}`.
//!
//! A factor is a list of rows, a file `{"npy":"a.npy"}`, or `{"random":[rows,columns],"seed":1}`, which the
//! worker makes. `"output":"c.npy"` writes the product there and gives `{"npy":"c.npy","shape":[2,2]}`;
//! `"return":"summary"` gives `{"shape":[2,2],"sum":134.0,"trace":69.0}`.

mod recent;

use super::{ClientKind, Request, scalars, summary, write_double};
use crate::{
    giant::Whole,
    job::{
        answer::broken,
        fields::{Fields, each, reason, shorten, whole, write_json, write_string},
        npy::{self, header::Number},
        replace::{Destination, located},
    },
    verify::{self, Check},
};
use recent::Recent;
use sgdt_proto::{
    buffer::Buffer,
    kind::matmul::{Input, KIND, Matrix, Operand, Output},
    payload::Payload,
    task::TaskError,
};
use std::path::Path;

/// `matmul` as task files write it.
#[derive(Debug, Default)]
pub struct MatMul {
    files: Recent,
}

impl ClientKind for MatMul {
    fn kind(&self) -> &str {
        KIND
    }

    fn encode(&self, fields: &Fields<'_>, base: &Path) -> Result<Request, TaskError> {
        fields.only(KIND, &["a", "b", "output", "return"])?;
        let output =
            fields.get("output").map(|value| Destination::from_field("output", value, base)).transpose()?;
        let summary = summary(fields)?;
        let a = operand("a", fields.require("a")?, base, &self.files)?;
        let b = operand("b", fields.require("b")?, base, &self.files)?;
        product(a, b, summary, output)
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
/// `invalid-input`, naming the file that cannot be read, or written.
pub fn files(a: &Path, b: &Path, output: &Path) -> Result<Files, TaskError> {
    let output = Destination::new(output)?.takes_bytes()?;
    Ok(Files { a: dense(npy::read_matrix(a)?), b: dense(npy::read_matrix(b)?), output })
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
    Request::packed(&Input { a, b, summary }, move |told: Output, json| match (told, output) {
        (Output::Product(c), Some(output)) => save(c, &output, json),
        (Output::Product(c), None) if !summary => write_product(c, json),
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

fn operand(name: &str, value: &str, base: &Path, files: &Recent) -> Result<Operand, TaskError> {
    let refused = || {
        TaskError::invalid_input(format!(
            "{name:?} takes rows, {{\"npy\":\"file.npy\"}} or {{\"random\":[rows,columns],\"seed\":1}}, not {}",
            shorten(value)
        ))
    };
    if value.starts_with('[') {
        return rows(name, value).map(Operand::Dense);
    }
    if !value.starts_with('{') {
        return Err(refused());
    }
    let source = Fields::parse(value)
        .map_err(|error| TaskError::invalid_input(format!("{name:?}: {}", reason(&error))))?;
    match (source.get("npy"), source.get("random")) {
        (Some(file), None) => {
            source.only(name, &["npy"])?;
            let (_, path) = located(&format!("{name}.npy"), file, base)?;
            Ok(Operand::Dense(files.matrix(&path)?))
        }
        (None, Some(lengths)) => {
            source.only(name, &["random", "seed"])?;
            let shape = shape(&format!("{name}.random"), lengths)?;
            let seed = whole(&format!("{name}.seed"), source.require("seed")?)?;
            Ok(Operand::Random { shape, seed })
        }
        _ => Err(refused()),
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

fn rows(name: &str, value: &str) -> Result<Matrix, TaskError> {
    let mut elements = Vec::new();
    let (mut rows, mut columns) = (0, 0);
    each(name, value, |row, list| {
        let name = format!("{name}[{row}]");
        let before = elements.len();
        each(&name, list, |column, text| {
            elements.push(double(text).ok_or_else(|| {
                TaskError::invalid_input(format!(
                    "{name}[{column}] is {}, not a number that a double can hold",
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
    Ok(Matrix { rows, columns: columns as u64, elements: Buffer::from_scalars(elements) })
}

/// The double nearest to a number's text.
fn double(text: &str) -> Option<f64> {
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

fn dense(matrix: npy::Matrix) -> Matrix {
    Matrix { rows: matrix.rows, columns: matrix.columns, elements: Buffer::from_scalars(matrix.elements) }
}

/// The elements of a worker's product, if there are as many as its shape says.
fn elements(c: Matrix) -> Result<Vec<f64>, TaskError> {
    match c.rows.checked_mul(c.columns) {
        Some(count) => scalars(c.elements, count),
        None => Err(broken("its shape has no end")),
    }
}

fn save(c: Matrix, output: &Destination, json: &mut Vec<u8>) -> Result<(), TaskError> {
    let shape = [c.rows, c.columns];
    npy::write(output, Number::Double, &shape, bytemuck::cast_slice(&elements(c)?))?;
    json.extend_from_slice(b"{\"npy\":");
    write_string(json, output.shown());
    json.extend_from_slice(b",\"shape\":");
    write_json(json, &shape);
    json.push(b'}');
    Ok(())
}

fn write_product(c: Matrix, json: &mut Vec<u8>) -> Result<(), TaskError> {
    /// Rows without columns take no memory, and three bytes each when they are written out.
    const MOST_EMPTY_ROWS: u64 = 1 << 20;

    let (rows, columns) = (c.rows, c.columns);
    let elements = elements(c)?;
    if elements.is_empty() && rows > MOST_EMPTY_ROWS {
        return Err(TaskError::too_large(format!(
            "the product is {rows} empty rows: give an \"output\":\"c.npy\""
        )));
    }
    if let Some(place) = elements.iter().position(|x| !x.is_finite()) {
        let (row, column) = (place as u64 / columns, place as u64 % columns);
        return Err(TaskError::invalid_input(format!(
            "c[{row}][{column}] is {}, which JSON cannot express: give an \"output\":\"c.npy\"",
            elements[place]
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
mod tests {
    use super::super::testing::{encode, encode_at, tell};
    use super::*;
    use proptest::prelude::*;
    use sgdt_proto::task::ErrorCode;

    const ONES: &str = r#"[[1,1],[1,1]]"#;

    fn message(line: &str) -> String {
        let error = encode(&MatMul::default(), line).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInput, "{error}");
        error.message
    }

    fn matrix(rows: u64, columns: u64, elements: &[f64]) -> Matrix {
        Matrix { rows, columns, elements: Buffer::from_scalars(elements.to_vec()) }
    }

    #[test]
    fn rows_travel_as_one_buffer_and_the_product_comes_back_as_rows() {
        let request = encode(&MatMul::default(), r#"{"a":[[1,2],[3,-0.5]],"b":[[1e2],[6]]}"#).unwrap();
        let input: Input = request.payload.clone().decode().unwrap();
        assert_eq!(input.a, Operand::Dense(matrix(2, 2, &[1.0, 2.0, 3.0, -0.5])));
        assert_eq!(input.b, Operand::Dense(matrix(2, 1, &[100.0, 6.0])));
        let json = tell(request, &Output::Product(matrix(2, 2, &[19.0, 22.0, 0.1, -0.0]))).unwrap();
        assert_eq!(json, r#"{"c":[[19.0,22.0],[0.1,-0.0]]}"#);
    }

    #[test]
    fn empty_matrices_have_a_shape_too() {
        for (rows, shape) in [("[]", [0, 0]), ("[[],[]]", [2, 0])] {
            let request = encode(&MatMul::default(), &format!(r#"{{"a":{rows},"b":{ONES}}}"#)).unwrap();
            let input: Input = request.payload.decode().unwrap();
            assert_eq!(input.a.shape(), shape);
        }
        for (product, json) in [(matrix(0, 3, &[]), r#"{"c":[]}"#), (matrix(2, 0, &[]), r#"{"c":[[],[]]}"#)] {
            let request = encode(&MatMul::default(), &format!(r#"{{"a":{ONES},"b":{ONES}}}"#)).unwrap();
            assert_eq!(tell(request, &Output::Product(product)).unwrap(), json);
        }
    }

    #[test]
    fn files_and_seeds_are_factors_too() {
        let home = tempfile::tempdir().unwrap();
        let to = Destination::new(&home.path().join("a.npy")).unwrap();
        npy::write(&to, Number::Double, &[1, 2], bytemuck::cast_slice(&[5.0, 6.0])).unwrap();
        let line = r#"{"a":{"npy":"a.npy"},"b":{"random":[4000000000,512],"seed":7},"output":"c.npy"}"#;
        let request = encode_at(&MatMul::default(), line, home.path()).unwrap();
        let input: Input = request.payload.clone().decode().unwrap();
        assert_eq!(input.a, Operand::Dense(matrix(1, 2, &[5.0, 6.0])));
        assert_eq!(input.b, Operand::Random { shape: [4_000_000_000, 512], seed: 7 });
        let json = tell(request, &Output::Product(matrix(1, 2, &[f64::INFINITY, 2.0]))).unwrap();
        assert_eq!(json, r#"{"npy":"c.npy","shape":[1,2]}"#);
        let written = npy::read_matrix(&home.path().join("c.npy")).unwrap();
        assert_eq!(written.elements, [f64::INFINITY, 2.0]);
    }

    #[test]
    fn a_summary_has_sums_in_place_of_the_product() {
        let line = format!(r#"{{"a":{ONES},"b":{ONES},"return":"summary"}}"#);
        let summary = |sum| Output::Summary { shape: [2, 2], sum, trace: 4.0 };
        let told = |output| tell(encode(&MatMul::default(), &line).unwrap(), &output);
        assert_eq!(told(summary(8.0)).unwrap(), r#"{"shape":[2,2],"sum":8.0,"trace":4.0}"#);
        assert_eq!(told(summary(f64::NAN)).unwrap(), r#"{"shape":[2,2],"sum":"NaN","trace":4.0}"#);
        assert_eq!(told(Output::Product(matrix(1, 1, &[1.0]))).unwrap_err().code, ErrorCode::Panicked);
    }

    #[test]
    fn what_is_wrong_with_a_line_is_named() {
        for (line, expected) in [
            (r#"{"b":[[1]]}"#, r#"the field "a" is missing"#),
            (r#"{"a":[[1]]}"#, r#"the field "b" is missing"#),
            (
                r#"{"a":[[1]],"b":[[1]],"c":1}"#,
                r#""c" is not a field of matmul, which takes a, b, output, return"#,
            ),
            (
                r#"{"a":[[1],[1,2]],"b":[[1]]}"#,
                "rows differ in length: a[1] has 2 elements, and the first row 1",
            ),
            (
                r#"{"a":[[1]],"b":[[1,2],[]]}"#,
                "rows differ in length: b[1] has 0 elements, and the first row 2",
            ),
            (r#"{"a":[[1],2],"b":[[1]]}"#, r#""a[1]" takes a list, not 2"#),
            (r#"{"a":[[1,"2"]],"b":[[1]]}"#, r#"a[0][1] is "2", not a number that a double can hold"#),
            (r#"{"a":[[1e400]],"b":[[1]]}"#, "a[0][0] is 1e400, not a number that a double can hold"),
            (r#"{"a":[[null]],"b":[[1]]}"#, "a[0][0] is null, not a number that a double can hold"),
            (r#"{"a":[[[1]]],"b":[[1]]}"#, "a[0][0] is [1], not a number that a double can hold"),
            (
                r#"{"a":5,"b":[[1]]}"#,
                r#""a" takes rows, {"npy":"file.npy"} or {"random":[rows,columns],"seed":1}, not 5"#,
            ),
            (
                r#"{"a":{},"b":[[1]]}"#,
                r#""a" takes rows, {"npy":"file.npy"} or {"random":[rows,columns],"seed":1}, not {}"#,
            ),
            (r#"{"a":{"npy":1},"b":[[1]]}"#, r#""a.npy" takes a string, not 1"#),
            (r#"{"a":{"npy":"x","npy":"y"},"b":[[1]]}"#, r#""a": the field "npy" is given twice"#),
            (r#"{"a":{"npy":"x","seed":1},"b":[[1]]}"#, r#""seed" is not a field of a, which takes npy"#),
            (r#"{"a":{"random":[1,2]},"b":[[1]]}"#, r#"the field "seed" is missing"#),
            (r#"{"a":{"random":[1],"seed":1},"b":[[1]]}"#, r#""a.random" takes [rows,columns], not [1]"#),
            (
                r#"{"a":{"random":[1,2,3],"seed":1},"b":[[1]]}"#,
                r#""a.random" takes [rows,columns], not [1,2,3]"#,
            ),
            (r#"{"a":{"random":3,"seed":1},"b":[[1]]}"#, r#""a.random" takes a list, not 3"#),
            (
                r#"{"a":{"random":[1,-2],"seed":1},"b":[[1]]}"#,
                r#""a.random" takes a whole number from 0 to 18446744073709551615, written in digits, not -2"#,
            ),
            (
                r#"{"a":{"random":[1,2],"seed":1.5},"b":[[1]]}"#,
                r#""a.seed" takes a whole number from 0 to 18446744073709551615, written in digits, not 1.5"#,
            ),
            (
                r#"{"a":[[1]],"b":[[1]],"output":"c.npy","return":"summary"}"#,
                r#""return":"summary" leaves nothing to write to "output""#,
            ),
        ] {
            assert_eq!(message(line), expected, "{line}");
        }
        let missing = message(r#"{"a":{"npy":"missing.npy"},"b":[[1]]}"#);
        assert!(missing.ends_with("missing.npy: No such file or directory (os error 2)"), "{missing}");
    }

    #[test]
    fn a_product_that_json_cannot_express_asks_for_a_file() {
        let told = |output| {
            tell(encode(&MatMul::default(), &format!(r#"{{"a":{ONES},"b":{ONES}}}"#)).unwrap(), &output)
        };
        let error = told(Output::Product(matrix(2, 2, &[1.0, 2.0, 3.0, f64::NEG_INFINITY]))).unwrap_err();
        let expected =
            "invalid-input: c[1][1] is -inf, which JSON cannot express: give an \"output\":\"c.npy\"";
        assert_eq!(error.to_string(), expected);
        assert_eq!(told(Output::Product(matrix(u64::MAX, 0, &[]))).unwrap_err().code, ErrorCode::TooLarge);
    }

    #[test]
    fn a_product_whose_shape_is_a_lie_is_an_error() {
        for lie in [matrix(2, 2, &[1.0]), matrix(u64::MAX, u64::MAX, &[1.0]), matrix(1, 1, &[])] {
            let request = encode(&MatMul::default(), &format!(r#"{{"a":{ONES},"b":{ONES}}}"#)).unwrap();
            assert_eq!(tell(request, &Output::Product(lie)).unwrap_err().code, ErrorCode::Panicked);
        }
    }

    proptest! {
        #[test]
        fn doubles_go_out_and_come_back_to_the_bit(bits: [u64; 6]) {
            let doubles = bits.map(f64::from_bits).map(|x| if x.is_finite() { x } else { -0.0 });
            let [a, b, c, d, e, f] = doubles;
            let rows = serde_json::to_string(&[[a, b, c], [d, e, f]]).unwrap();
            let request = encode(&MatMul::default(), &format!(r#"{{"a":{rows},"b":[[1]]}}"#)).unwrap();
            let input: Input = request.payload.clone().decode().unwrap();
            let Operand::Dense(sent) = input.a else { panic!("dense") };
            prop_assert_eq!(sent.elements.clone().into_scalars::<u64>().unwrap(), doubles.map(f64::to_bits));
            prop_assert_eq!(tell(request, &Output::Product(sent)).unwrap(), format!(r#"{{"c":{rows}}}"#));
        }
    }
}
