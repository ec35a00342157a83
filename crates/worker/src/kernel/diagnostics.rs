//! The kinds that a worker serves on `--diagnostics`: for measuring a cluster, and for breaking it on purpose.
//!
//! | kind | input | output |
//! |---|---|---|
//! | `echo` | `{"value": anything}` | `{"value": the same}` |
//! | `sleep` | `{"ms": 50}` of wall time | `{"ms": 50}` |
//! | `spin` | `{"ms": 50}` of CPU time of the thread | `{"ms": 50}` |
//! | `panic` | `{"message": "..."}`, or nothing | none: the kernel panics |
//! | `abort` | nothing | none: the worker process ends |
//!
//! They speak JSON, like a user's own kinds; `echo` also takes a packed [`Buffer`] and returns it, so that the data
//! plane can be measured. None takes memory beside its input.

use super::{Cost, Kernel, Kinds};
use crate::cancel::Cancel;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use sgdt_proto::{buffer::Buffer, kind::random, task::TaskError};
use std::{hint::black_box, time::Duration};

/// Adds the kinds of this module.
pub(super) fn register(kinds: Kinds) -> Kinds {
    kinds.with(Echo).with(Sleep).with(Spin).with(Panic).with(Abort)
}

struct Echo;

/// What comes back as it is.
enum Echoed {
    Json(Value),
    Packed(Buffer),
}

/// Any JSON value, which passes as the text that it is.
#[derive(Serialize, Deserialize)]
struct Value {
    value: Box<RawValue>,
}

impl<'de> Deserialize<'de> for Echoed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Value::deserialize(deserializer).map(Self::Json)
        } else {
            Buffer::deserialize(deserializer).map(Self::Packed)
        }
    }
}

impl Serialize for Echoed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(value) => value.serialize(serializer),
            Self::Packed(buffer) => buffer.serialize(serializer),
        }
    }
}

impl Kernel for Echo {
    type Input = Echoed;
    type Output = Echoed;

    fn kind(&self) -> &str {
        "echo"
    }

    fn run(&self, input: Echoed, _: &Cancel) -> Result<Echoed, TaskError> {
        Ok(input)
    }
}

/// A time in milliseconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Time {
    ms: u64,
}

struct Sleep;

impl Kernel for Sleep {
    type Input = Time;
    type Output = Time;

    fn kind(&self) -> &str {
        "sleep"
    }

    fn cost(&self, input: &Time) -> Result<Cost, TaskError> {
        Ok(Cost { seconds: input.ms as f64 / 1e3, memory: 0 })
    }

    fn run(&self, input: Time, cancel: &Cancel) -> Result<Time, TaskError> {
        cancel.wait(Duration::from_millis(input.ms))?;
        Ok(input)
    }
}

struct Spin;

/// How many steps are spun between two looks at the clock: some ten microseconds.
const STEPS: u64 = 10_000;

impl Kernel for Spin {
    type Input = Time;
    type Output = Time;

    fn kind(&self) -> &str {
        "spin"
    }

    fn cost(&self, input: &Time) -> Result<Cost, TaskError> {
        Ok(Cost { seconds: input.ms as f64 / 1e3, memory: 0 })
    }

    fn run(&self, input: Time, cancel: &Cancel) -> Result<Time, TaskError> {
        let end = thread_cpu_time().saturating_add(Duration::from_millis(input.ms));
        while thread_cpu_time() < end {
            cancel.check()?;
            black_box((0..STEPS).fold(0, random::word));
        }
        Ok(input)
    }
}

/// The CPU time that this thread has used so far.
fn thread_cpu_time() -> Duration {
    // A clock that runs backwards before its start would be the kernel's bug; zero lets the spin go on.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

struct Panic;

#[derive(Deserialize)]
struct Message {
    message: Option<String>,
}

impl Kernel for Panic {
    type Input = Message;
    type Output = ();

    fn kind(&self) -> &str {
        "panic"
    }

    #[expect(clippy::panic, reason = "what the task asks for")]
    fn run(&self, input: Message, _: &Cancel) -> Result<(), TaskError> {
        panic!("{}", input.message.as_deref().unwrap_or("the task asked for it"))
    }
}

struct Abort;

#[derive(Deserialize)]
struct Nothing {}

impl Kernel for Abort {
    type Input = Nothing;
    type Output = ();

    fn kind(&self) -> &str {
        "abort"
    }

    fn run(&self, _: Nothing, _: &Cancel) -> Result<(), TaskError> {
        std::process::abort()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sgdt_proto::{
        payload::{Format, Payload},
        task::ErrorCode,
    };

    fn run(kind: &str, json: &str, cancel: &Cancel) -> Result<String, TaskError> {
        let payload = Payload { format: Format::Json, head: json.to_owned().into(), buffers: Vec::new() };
        let output = Kinds::none().with_diagnostics().run(&kind.parse().unwrap(), payload, cancel)?;
        Ok(String::from_utf8(output.head.to_vec()).unwrap())
    }

    #[test]
    fn echo_returns_the_text_that_it_got() {
        for value in ["null", "1.10", r#"{"a":[1, 2,{"b":"\u00e9"}]}"#, "123456789012345678901234567890"] {
            let json = format!(r#"{{"value":{value}}}"#);
            assert_eq!(run("echo", &json, &Cancel::new()).unwrap(), json);
        }
        assert_eq!(run("echo", "{}", &Cancel::new()).unwrap_err().code, ErrorCode::InvalidInput);
        assert_eq!(run("echo", r#"{"value":}"#, &Cancel::new()).unwrap_err().code, ErrorCode::InvalidInput);
    }

    #[test]
    fn echo_returns_a_buffer_without_moving_it_and_no_other_packed_value() {
        let echo =
            |payload| Kinds::none().with_diagnostics().run(&"echo".parse().unwrap(), payload, &Cancel::new());
        let sent = Buffer::from_scalars(vec![1u64, 2, 3]);
        let output = echo(Payload::encode(Format::Packed, &sent).unwrap()).unwrap();
        let came: Buffer = output.decode().unwrap();
        assert_eq!(came.as_bytes().as_ptr(), sent.as_bytes().as_ptr());
        let error = echo(Payload::encode(Format::Packed, &(1u8, 2u8)).unwrap()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInput);
    }

    #[test]
    fn a_spin_uses_the_cpu_time_that_it_was_given() {
        let before = thread_cpu_time();
        assert_eq!(run("spin", r#"{"ms":5}"#, &Cancel::new()).unwrap(), r#"{"ms":5}"#);
        assert!(thread_cpu_time() - before >= Duration::from_millis(5));
    }

    #[test]
    fn endless_sleeps_and_spins_end_when_they_are_cancelled() {
        for kind in ["sleep", "spin"] {
            let cancel = Cancel::new();
            let task = std::thread::spawn({
                let cancel = cancel.clone();
                move || run(kind, r#"{"ms":18446744073709551615}"#, &cancel)
            });
            cancel.cancel();
            assert_eq!(task.join().unwrap().unwrap_err().code, ErrorCode::Cancelled, "{kind}");
        }
    }

    #[test]
    fn a_sleep_longer_than_its_time_out_times_out() {
        let cancel = Cancel::new().started(Some(Duration::from_millis(1)));
        assert_eq!(run("sleep", r#"{"ms":3600000}"#, &cancel).unwrap_err().code, ErrorCode::Timeout);
    }

    #[test]
    fn times_that_are_no_times_are_invalid() {
        for json in [r#"{"ms":-1}"#, r#"{"ms":1.5}"#, r#"{"ms":18446744073709551616}"#, r#"{"ms":"1"}"#, "{}"]
        {
            assert_eq!(
                run("sleep", json, &Cancel::new()).unwrap_err().code,
                ErrorCode::InvalidInput,
                "{json}"
            );
        }
    }

    #[test]
    #[should_panic(expected = "for science")]
    fn panic_panics_with_its_message() {
        let _ = run("panic", r#"{"message":"for science"}"#, &Cancel::new());
    }
}
