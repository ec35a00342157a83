use super::super::testing::{encode, encode_at, tell};
use super::*;
use sgdt_proto::{buffer::Buffer, task::ErrorCode};

fn i64s(keys: &[i64]) -> Keys {
    Keys::Numbers { number: Number::I64, buffer: Buffer::from_scalars(keys.to_vec()) }
}

fn f64s(keys: &[f64]) -> Keys {
    Keys::Numbers { number: Number::F64, buffer: Buffer::from_scalars(keys.to_vec()) }
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
    let random = |number| Keys::Random { number, len: 1_000_000, seed: 3 };
    let (keys, descending, summary) = (random(Number::I64), false, true);
    assert_eq!(input(&request), Input { keys, descending, summary });
    for number in Number::ALL {
        let line = format!(r#"{{"random":1000000,"seed":3,"return":"summary","dtype":"{number}"}}"#);
        let keys = random(number);
        assert_eq!(input(&encode(&Sort, &line).unwrap()), Input { keys, descending, summary });
    }
    let key = |key| Some(Key::I64(key));
    let output =
        Output::Summary { len: 2, first: key(i64::MIN), last: key(5), sum: Some(-9223372036854775803) };
    let expected = r#"{"len":2,"first":-9223372036854775808,"last":5,"sum":-9223372036854775803}"#;
    assert_eq!(tell(request, &output).unwrap(), expected);
}

#[test]
fn a_summary_tells_what_there_is() {
    let told = |output| tell(encode(&Sort, r#"{"values":[],"return":"summary"}"#).unwrap(), &output).unwrap();
    assert_eq!(
        told(Output::Summary { len: 0, first: None, last: None, sum: Some(0) }),
        r#"{"len":0,"sum":0}"#
    );
    let (first, last) = (Some(Key::U64(1)), Some(Key::U64(u64::MAX)));
    assert_eq!(
        told(Output::Summary { len: 2, first, last, sum: Some(1 << 64) }),
        r#"{"len":2,"first":1,"last":18446744073709551615,"sum":18446744073709551616}"#
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
    npy::write(&to, Number::F64, &[3], bytemuck::cast_slice(&[f64::NAN, 1.0, f64::INFINITY])).unwrap();
    let request = encode_at(&Sort, r#"{"npy":"x.npy","output":"y.npy"}"#, home.path()).unwrap();
    let Input { keys, .. } = input(&request);
    assert_eq!(tell(request, &Output::Sorted(keys.clone())).unwrap(), r#"{"npy":"y.npy","shape":[3]}"#);
    assert_eq!(npy::read_list(&home.path().join("y.npy")).unwrap(), keys);
    let error = encode_at(&Sort, r#"{"npy":"x.npy"}"#, home.path()).unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid-input: a key is NaN, which JSON cannot express: give an \"output\":\"sorted.npy\""
    );
    assert!(encode_at(&Sort, r#"{"npy":"x.npy","return":"summary"}"#, home.path()).is_ok());
    let request = file(&path, &home.path().join("z.npy")).unwrap().request(true).unwrap();
    assert!(input(&request).descending);
    tell(request, &Output::Sorted(i64s(&[1]))).unwrap();
    assert_eq!(npy::read_list(&home.path().join("z.npy")).unwrap(), i64s(&[1]));
    let line = r#"{"npy":"x.npy","output":"y.npy","dtype":"f64"}"#;
    assert!(encode_at(&Sort, line, home.path()).is_ok());
    let error = encode_at(&Sort, &line.replace("f64", "u64"), home.path()).unwrap_err().to_string();
    let expected = "invalid-input: \"dtype\" is \"u64\", and the file of npy is of dtype f64: convert";
    assert!(error.starts_with(expected), "{error}");
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
    assert_eq!(error, format!("cannot read {}: No such file or directory (os error 2)", missing.display()));
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
            r#""oder" is not a field of sort, which takes values, npy, random, seed, dtype, order, output, return"#,
        ),
        (r#"{"values":[1],"dtype":"i32"}"#, r#""dtype" takes "i64" or "u64" or "f64", not "i32""#),
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
        (
            r#"{"values":[1],"output":"y.npy"}"#,
            Output::Sorted(Keys::Numbers { number: Number::I64, buffer: vec![0; 9].into() }),
        ),
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
