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

fn matrix<T: Real>(rows: u64, columns: u64, elements: &[T]) -> Matrix {
    Matrix { element: T::ELEMENT, rows, columns, elements: Buffer::from_scalars(elements.to_vec()) }
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
    for (product, json) in
        [(matrix::<f64>(0, 3, &[]), r#"{"c":[]}"#), (matrix::<f64>(2, 0, &[]), r#"{"c":[[],[]]}"#)]
    {
        let request = encode(&MatMul::default(), &format!(r#"{{"a":{ONES},"b":{ONES}}}"#)).unwrap();
        assert_eq!(tell(request, &Output::Product(product)).unwrap(), json);
    }
}

#[test]
fn files_and_seeds_are_factors_too() {
    let home = tempfile::tempdir().unwrap();
    let to = Destination::new(&home.path().join("a.npy")).unwrap();
    npy::write(&to, Element::F64, &[1, 2], bytemuck::cast_slice(&[5.0, 6.0])).unwrap();
    let line = r#"{"a":{"npy":"a.npy"},"b":{"random":[4000000000,512],"seed":7},"output":"c.npy"}"#;
    let request = encode_at(&MatMul::default(), line, home.path()).unwrap();
    let input: Input = request.payload.clone().decode().unwrap();
    assert_eq!(input.a, Operand::Dense(matrix(1, 2, &[5.0, 6.0])));
    assert_eq!(input.b, Operand::Random { element: Element::F64, shape: [4_000_000_000, 512], seed: 7 });
    let json = tell(request, &Output::Product(matrix(1, 2, &[f64::INFINITY, 2.0]))).unwrap();
    assert_eq!(json, r#"{"npy":"c.npy","shape":[1,2]}"#);
    let written = npy::read_matrix(&home.path().join("c.npy")).unwrap();
    assert_eq!(written.elements, Buffer::from_scalars(vec![f64::INFINITY, 2.0]));
}

#[test]
fn floats_are_asked_for_by_name_and_come_back_in_their_shortest_text() {
    let line = r#"{"a":[[0.1,16777217]],"b":{"random":[2,2],"seed":7},"dtype":"f32"}"#;
    let request = encode(&MatMul::default(), line).unwrap();
    let input: Input = request.payload.clone().decode().unwrap();
    assert_eq!(input.a, Operand::Dense(matrix(1, 2, &[0.1f32, 16_777_216.0])));
    assert_eq!(input.b, Operand::Random { element: Element::F32, shape: [2, 2], seed: 7 });
    let json = tell(request, &Output::Product(matrix(1, 2, &[0.1f32, -0.0]))).unwrap();
    assert_eq!(json, r#"{"c":[[0.1,-0.0]]}"#);
    let request = encode(&MatMul::default(), line).unwrap();
    assert!(tell(request, &Output::Product(matrix(1, 2, &[0.1f64, 0.2]))).is_err(), "doubles came back");
}

#[test]
fn a_file_decides_what_its_line_is_made_of() {
    let home = tempfile::tempdir().unwrap();
    for (name, element) in [("short.npy", Element::F32), ("long.npy", Element::F64)] {
        let to = Destination::new(&home.path().join(name)).unwrap();
        npy::write(&to, element, &[1, 1], &vec![0; element.size()]).unwrap();
    }
    let read = |line: &str| encode_at(&MatMul::default(), line, home.path());
    for (line, element) in [
        (r#"{"a":{"npy":"short.npy"},"b":[[1]],"output":"c.npy"}"#, Element::F32),
        (r#"{"a":[[1]],"b":{"npy":"short.npy"},"dtype":"f32","output":"c.npy"}"#, Element::F32),
        (r#"{"a":{"random":[1,1],"seed":1},"b":{"npy":"long.npy"},"output":"c.npy"}"#, Element::F64),
    ] {
        let request = read(line).unwrap();
        let Input { a, b, .. } = request.payload.clone().decode().unwrap();
        assert_eq!((a.element(), b.element()), (element, element), "{line}");
        tell(request, &Output::Product(Matrix { element, ..matrix(1, 0, &[0.0f32; 0]) })).unwrap();
        assert_eq!(npy::read_matrix(&home.path().join("c.npy")).unwrap().element, element);
    }
    for (line, message) in [
        (
            r#"{"a":{"npy":"short.npy"},"b":{"npy":"long.npy"}}"#,
            "a is of dtype f32 and b of f64: both factors must be of one; convert either, as with NumPy's astype",
        ),
        (
            r#"{"a":[[1]],"b":{"npy":"long.npy"},"dtype":"f32"}"#,
            "\"dtype\" is \"f32\", and the file of b is of dtype f64: convert the file, as with NumPy's astype, or leave \"dtype\" out",
        ),
    ] {
        let error = read(line).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidInput, message));
    }
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
            r#""c" is not a field of matmul, which takes a, b, dtype, output, return"#,
        ),
        (r#"{"a":[[1],[1,2]],"b":[[1]]}"#, "rows differ in length: a[1] has 2 elements, and the first row 1"),
        (r#"{"a":[[1]],"b":[[1,2],[]]}"#, "rows differ in length: b[1] has 0 elements, and the first row 2"),
        (r#"{"a":[[1],2],"b":[[1]]}"#, r#""a[1]" takes a list, not 2"#),
        (r#"{"a":[[1,"2"]],"b":[[1]]}"#, r#"a[0][1] is "2", not a number that a double can hold"#),
        (r#"{"a":[[1e400]],"b":[[1]]}"#, "a[0][0] is 1e400, not a number that a double can hold"),
        (
            r#"{"a":[[1],[1e39]],"b":[[1]],"dtype":"f32"}"#,
            "a[1][0] is 1e39, not a number that an f32 can hold",
        ),
        (r#"{"a":[[1]],"b":[[1]],"dtype":"f16"}"#, r#""dtype" takes "f64" or "f32", not "f16""#),
        (r#"{"a":[[1]],"b":[[1]],"dtype":32}"#, r#""dtype" takes a string, not 32"#),
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
        (r#"{"a":{"random":[1,2,3],"seed":1},"b":[[1]]}"#, r#""a.random" takes [rows,columns], not [1,2,3]"#),
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
    let told =
        |output| tell(encode(&MatMul::default(), &format!(r#"{{"a":{ONES},"b":{ONES}}}"#)).unwrap(), &output);
    let error = told(Output::Product(matrix(2, 2, &[1.0, 2.0, 3.0, f64::NEG_INFINITY]))).unwrap_err();
    let expected = "invalid-input: c[1][1] is -inf, which JSON cannot express: give an \"output\":\"c.npy\"";
    assert_eq!(error.to_string(), expected);
    assert_eq!(told(Output::Product(matrix::<f64>(u64::MAX, 0, &[]))).unwrap_err().code, ErrorCode::TooLarge);
}

#[test]
fn a_product_whose_shape_is_a_lie_is_an_error() {
    // Of another type, and as many bytes.
    let floats = Matrix { element: Element::F32, ..matrix(1, 2, &[1.0]) };
    for lie in [matrix(2, 2, &[1.0]), matrix(u64::MAX, u64::MAX, &[1.0]), matrix::<f64>(1, 1, &[]), floats] {
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

    #[test]
    fn floats_go_out_and_come_back_to_the_bit(bits: [u32; 3]) {
        let floats = bits.map(f32::from_bits).map(|x| if x.is_finite() { x } else { -0.0 });
        let rows = serde_json::to_string(&[floats]).unwrap();
        let line = format!(r#"{{"a":{rows},"b":[[1]],"dtype":"f32"}}"#);
        let request = encode(&MatMul::default(), &line).unwrap();
        let input: Input = request.payload.clone().decode().unwrap();
        let Operand::Dense(sent) = input.a else { panic!("dense") };
        let back = sent.elements.clone().into_scalars::<f32>().unwrap();
        prop_assert_eq!(back.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), floats.map(f32::to_bits));
        prop_assert_eq!(tell(request, &Output::Product(sent)).unwrap(), format!(r#"{{"c":{rows}}}"#));
    }
}
