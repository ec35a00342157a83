//! `factorial` in task files: `{"n":20}` gives `{"digits":19,"value":"2432902008176640000"}`.
//!
//! `"return":"summary"` leaves the value out.

use super::{ClientKind, Request, summary};
use crate::{
    giant::Whole,
    job::{
        answer::broken,
        fields::{Fields, whole, write_json},
        files::JobFiles,
    },
    verify::{self, Check},
};
use sgdt_proto::{
    kind::factorial::{Input, KIND, Output},
    payload::Payload,
    task::TaskError,
};

/// `factorial` as task files write it.
#[derive(Clone, Copy, Debug)]
pub struct Factorial;

impl ClientKind for Factorial {
    fn kind(&self) -> &str {
        KIND
    }

    fn encode(&self, fields: &Fields<'_>, _: &JobFiles) -> Result<Request, TaskError> {
        fields.only(KIND, &["n", "return"])?;
        of(whole("n", fields.require("n")?)?, summary(fields)?)
    }

    fn check(&self, input: &Payload) -> Option<Check> {
        verify::of::<Input>(input).ok().flatten()
    }

    fn whole(&self, input: &Payload) -> Option<Whole> {
        Whole::factorial(input)
    }
}

/// The factorial of `n`, or only how many digits it has.
///
/// # Errors
/// None that an input of this type can cause.
pub fn of(n: u64, summary: bool) -> Result<Request, TaskError> {
    Request::packed(&Input { n, summary }, move |output: Output, json| {
        json.extend_from_slice(b"{\"digits\":");
        write_json(json, &output.digits);
        match &output.decimal {
            Some(decimal) => {
                let digits = decimal.as_bytes();
                if !digits.iter().all(u8::is_ascii_digit) {
                    return Err(broken("its digits are no digits"));
                }
                json.extend_from_slice(b",\"value\":\"");
                json.extend_from_slice(digits);
                json.push(b'"');
            }
            None if summary => {}
            None => return Err(broken("its digits are missing")),
        }
        json.push(b'}');
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{encode, tell};
    use super::*;
    use sgdt_proto::{buffer::Buffer, task::ErrorCode};

    fn output(text: Option<&str>) -> Output {
        Output { digits: 19, decimal: text.map(|text| Buffer::from(text.as_bytes().to_vec())) }
    }

    #[test]
    fn a_line_becomes_an_input_and_the_output_a_value() {
        let request = encode(&Factorial, r#"{"n":20}"#).unwrap();
        assert_eq!(request.payload.clone().decode::<Input>().unwrap(), Input { n: 20, summary: false });
        let json = tell(request, &output(Some("2432902008176640000"))).unwrap();
        assert_eq!(json, r#"{"digits":19,"value":"2432902008176640000"}"#);
        let request = encode(&Factorial, r#"{"n":18446744073709551615,"return":"summary"}"#).unwrap();
        assert_eq!(request.payload.clone().decode::<Input>().unwrap(), Input { n: u64::MAX, summary: true });
        assert_eq!(tell(request, &output(None)).unwrap(), r#"{"digits":19}"#);
    }

    #[test]
    fn anything_but_a_whole_number_is_named() {
        for n in [
            "1.5",
            "20.0",
            "-1",
            "-0",
            r#""x""#,
            r#""20""#,
            "1e3",
            "18446744073709551616",
            "null",
            "[1]",
            "1e400",
        ] {
            let error = encode(&Factorial, &format!(r#"{{"n":{n}}}"#)).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidInput);
            assert_eq!(
                error.message,
                format!(
                    r#""n" takes a whole number from 0 to 18446744073709551615, written in digits, not {n}"#
                )
            );
        }
    }

    #[test]
    fn fields_that_are_missing_or_unknown_are_named() {
        for (line, message) in [
            ("{}", r#"the field "n" is missing"#),
            (r#"{"N":1}"#, r#""N" is not a field of factorial, which takes n, return"#),
            (
                r#"{"n":1,"return":"sum"}"#,
                r#""return" takes "summary", and is left out where the data are wanted; it is "sum""#,
            ),
            (
                r#"{"n":1,"return":null}"#,
                r#""return" takes "summary", and is left out where the data are wanted; it is null"#,
            ),
        ] {
            assert_eq!(encode(&Factorial, line).unwrap_err().message, message);
        }
    }

    #[test]
    fn an_answer_that_is_no_factorial_is_an_error() {
        for bad in [None, Some("12\",\"x\":\"")] {
            let request = encode(&Factorial, r#"{"n":20}"#).unwrap();
            assert_eq!(tell(request, &output(bad)).unwrap_err().code, ErrorCode::Panicked, "{bad:?}");
        }
    }
}
