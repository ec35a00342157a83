use super::*;
use proptest::prelude::*;

fn i64s(keys: &[i64]) -> Keys {
    Keys::Numbers { number: Number::I64, buffer: Buffer::from_scalars(keys.to_vec()) }
}

fn u64s(keys: &[u64]) -> Keys {
    Keys::Numbers { number: Number::U64, buffer: Buffer::from_scalars(keys.to_vec()) }
}

fn f64s(keys: &[f64]) -> Keys {
    Keys::Numbers { number: Number::F64, buffer: Buffer::from_scalars(keys.to_vec()) }
}

fn text(keys: &[&str]) -> Keys {
    let lengths = keys.iter().map(|key| key.len() as u64).collect();
    Keys::Text { bytes: keys.concat().into_bytes().into(), lengths: Buffer::from_scalars::<u64>(lengths) }
}

#[test]
fn the_whole_list_decides_its_type() {
    for (list, keys) in [
        ("[]", i64s(&[])),
        ("[ ]", i64s(&[])),
        ("[3, -1,0]", i64s(&[3, -1, 0])),
        ("[-0]", i64s(&[0])),
        ("[9223372036854775807,-9223372036854775808]", i64s(&[i64::MAX, i64::MIN])),
        ("[9223372036854775808]", u64s(&[1 << 63])),
        ("[1,18446744073709551615,0,-0]", u64s(&[1, u64::MAX, 0, 0])),
        ("[1.0]", f64s(&[1.0])),
        ("[1,2.5,-0.0,3e2]", f64s(&[1.0, 2.5, -0.0, 300.0])),
        ("[9007199254740992,0.5]", f64s(&[9007199254740992.0, 0.5])),
        ("[9223372036854775808,0.5]", f64s(&[9223372036854775808.0, 0.5])),
        ("[0.5,-1000000000000000000000]", f64s(&[0.5, -1e21])),
        ("[1e-400]", f64s(&[0.0])),
        (r#"[ "b","","a\u00e9\n"]"#, text(&["b", "", "aé\n"])),
    ] {
        assert_eq!(read("values", list, None).unwrap(), keys, "{list}");
    }
}

#[test]
fn a_type_that_is_asked_for_is_the_lists() {
    for (list, keys) in [
        ("[]", u64s(&[])),
        ("[2,1]", u64s(&[2, 1])),
        ("[18446744073709551615]", u64s(&[u64::MAX])),
        ("[]", f64s(&[])),
        ("[2,-1,0.5]", f64s(&[2.0, -1.0, 0.5])),
        ("[]", i64s(&[])),
        ("[2,-1]", i64s(&[2, -1])),
    ] {
        let Keys::Numbers { number, .. } = keys else { panic!("numbers") };
        assert_eq!(read("values", list, Some(number)).unwrap(), keys, "{list}");
    }
    for (number, list, message) in [
        (
            Number::U64,
            "[1,-1]",
            "values[1] is -1: \"dtype\":\"u64\" takes integers of 64 bits, without a sign",
        ),
        (
            Number::U64,
            "[1.0]",
            "values[0] is 1.0: \"dtype\":\"u64\" takes integers of 64 bits, without a sign",
        ),
        (
            Number::U64,
            "[18446744073709551616]",
            "values[0] is 18446744073709551616: \"dtype\":\"u64\" takes integers of 64 bits, without a sign",
        ),
        (
            Number::I64,
            "[9223372036854775808]",
            "values[0] is 9223372036854775808: \"dtype\":\"i64\" takes integers of 64 bits, with a sign",
        ),
        (
            Number::I64,
            "[1,1e0]",
            "values[1] is 1e0: \"dtype\":\"i64\" takes integers of 64 bits, with a sign",
        ),
        (
            Number::F64,
            "[9007199254740993]",
            "values[0] is 9007199254740993: no double is equal to this integer",
        ),
        (Number::F64, r#"["a"]"#, r#"values[0] is "a": a "dtype" is one of numbers"#),
    ] {
        assert_eq!(read("values", list, Some(number)).unwrap_err().message, message);
    }
}

#[test]
fn a_stranger_in_a_list_is_named_with_its_place() {
    for (list, message) in [
        ("5", r#""values" takes a list, not 5"#),
        ("null", r#""values" takes a list, not null"#),
        (r#""abc""#, r#""values" takes a list, not "abc""#),
        (r#"[1,"a"]"#, r#"values[1] is "a": a list has integers, other numbers, or strings"#),
        (r#"[1.5,1,"a"]"#, r#"values[2] is "a": a list has integers, other numbers, or strings"#),
        (r#"["a",1]"#, "values[1] is 1: a list that begins with a string has only strings"),
        ("[1,null]", "values[1] is null: a list has integers, other numbers, or strings"),
        ("[true]", "values[0] is true: a list has integers, other numbers, or strings"),
        ("[[1]]", "values[0] is [1]: a list has integers, other numbers, or strings"),
        ("[{}]", "values[0] is {}: a list has integers, other numbers, or strings"),
        (
            "[9223372036854775808,-1]",
            "values[0] is 9223372036854775808: a list with a negative number in it has integers of 64 bits with a sign",
        ),
        (
            "[-1,18446744073709551615]",
            "values[1] is 18446744073709551615: a list with a negative number in it has integers of 64 bits with a sign",
        ),
        (
            "[1,18446744073709551616,9223372036854775808]",
            "values[1] is 18446744073709551616: integers have 64 bits, with a sign or without one",
        ),
        ("[1.5,1e400]", "values[1] is 1e400: no double is that large"),
        (
            "[9007199254740993,0.5]",
            "values[0] is 9007199254740993: a list with a fraction in it has doubles, and none is equal to this integer",
        ),
        (
            "[0.5,18446744073709551617]",
            "values[1] is 18446744073709551617: a list with a fraction in it has doubles, and none is equal to this integer",
        ),
        (r#"["\ud800"]"#, r#""values[0]" is "\ud800", which cannot be read: unexpected end of hex escape"#),
    ] {
        let error = read("values", list, None).unwrap_err();
        assert_eq!(error.message, message, "{list}");
    }
}

#[test]
fn strings_that_do_not_add_up_are_no_answer() {
    for (bytes, lengths) in
        [(&b"ab"[..], vec![1u64]), (b"ab", vec![3]), (b"ab", vec![u64::MAX, 1]), (b"\xff", vec![1])]
    {
        let keys = Keys::Text { bytes: bytes.to_vec().into(), lengths: Buffer::from_scalars(lengths) };
        assert!(write(keys, &mut Vec::new()).is_err());
    }
    let odd = Keys::Numbers { number: Number::I64, buffer: vec![0; 7].into() };
    assert!(write(odd, &mut Vec::new()).is_err());
    assert!(write(Keys::Random { number: Number::I64, len: 1, seed: 1 }, &mut Vec::new()).is_err());
    assert!(write(f64s(&[f64::NAN]), &mut Vec::new()).unwrap_err().message.contains("a key is NaN"));
}

fn round_trip(list: &str) -> String {
    let mut json = Vec::new();
    write(read("values", list, None).unwrap(), &mut json).unwrap();
    let text = String::from_utf8(json).unwrap();
    text.strip_prefix("{\"values\":").unwrap().strip_suffix('}').unwrap().to_owned()
}

proptest! {
    #[test]
    fn integers_survive(keys: Vec<i64>) {
        let list = serde_json::to_string(&keys).unwrap();
        prop_assert_eq!(round_trip(&list), list);
    }

    #[test]
    fn integers_without_a_sign_survive(keys: Vec<u64>) {
        let list = serde_json::to_string(&keys).unwrap();
        prop_assert_eq!(read("values", &list, Some(Number::U64)).unwrap(), u64s(&keys));
        prop_assert_eq!(round_trip(&list), list);
    }

    #[test]
    fn doubles_survive_to_the_bit(bits: Vec<u64>) {
        let keys: Vec<f64> = bits.into_iter().map(f64::from_bits).filter(|x| x.is_finite()).collect();
        let list = serde_json::to_string(&keys).unwrap();
        if !keys.is_empty() {
            prop_assert_eq!(read("values", &list, None).unwrap(), f64s(&keys));
        }
        prop_assert_eq!(round_trip(&list), list);
    }

    #[test]
    fn strings_survive(keys in proptest::collection::vec(any::<String>(), 0..20)) {
        let list = serde_json::to_string(&keys).unwrap();
        prop_assert_eq!(round_trip(&list), list);
    }

    #[test]
    fn an_integer_becomes_a_double_only_if_it_stays_itself(integer: i128) {
        let text = integer.to_string();
        match exact(&text) {
            Some(x) => prop_assert_eq!(format!("{x:.0}"), text),
            None => prop_assert_ne!(format!("{:.0}", integer as f64), text),
        }
    }
}
