//! The one door by which kinds enter, the built-in ones and a user's own alike.
//!
//! A [`Kernel`] computes one kind. [`Kinds`] is the set that a worker serves; it erases their types, so that
//! admission, the pool and the service move payloads without knowing what is in them.

use crate::cancel::Cancel;
use serde::{Serialize, de::DeserializeOwned};
use sgdt_proto::{
    id::Kind,
    payload::{Format, Payload},
    task::{ErrorCode, TaskError},
};
use std::{collections::BTreeMap, fmt, sync::Arc};
use wrong::Spoiler;

mod diagnostics;
pub mod factorial;
#[doc(hidden)]
pub mod fetch;
pub mod matmul;
pub mod sort;
mod wrong;
mod zeros;

/// The code that computes one kind.
///
/// It is a pure function of its input: a task may run more than once, and then every run must give the same.
pub trait Kernel: Send + Sync + 'static {
    /// What a task brings. A JSON task file's line decodes into it, less `id` and `task`.
    type Input: DeserializeOwned;
    /// What it gives.
    type Output: Serialize;

    /// The kind's name: what a task file's lines give as `task`.
    fn kind(&self) -> &str;

    /// What running this input will take, before anything is allocated for it. Unless a kernel says otherwise:
    /// next to nothing.
    ///
    /// # Errors
    /// `invalid-input` or `too-large`, when it can be told without running it.
    fn cost(&self, _input: &Self::Input) -> Result<Cost, TaskError> {
        Ok(Cost::default())
    }

    /// Computes the output. Runs on a thread of its own, may use it for as long as it takes, and asks `cancel`
    /// every few milliseconds whether to go on.
    ///
    /// # Errors
    /// The task's own error, which is final: the task is not tried elsewhere. A panic is caught and becomes one.
    fn run(&self, input: Self::Input, cancel: &Cancel) -> Result<Self::Output, TaskError>;
}

/// What running a task will take.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Cost {
    /// Seconds of one core, roughly.
    pub seconds: f64,
    /// Peak memory beside the input, in bytes.
    pub memory: u64,
}

/// The kinds that a worker serves.
#[derive(Clone, Default)]
pub struct Kinds {
    kernels: BTreeMap<Kind, Arc<dyn Erased>>,
    memory_limit: Option<u64>,
    wrong_answers: Option<Arc<Spoiler>>,
}

impl Kinds {
    /// No kinds at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// `matmul`, `sort` and `factorial`, and those that a large factorial is made of.
    pub fn builtin() -> Self {
        use factorial::{Factorial, pieces};
        let kinds = Self::none().with(matmul::MatMul).with(sort::Sort).with(Factorial);
        kinds.with(pieces::Part).with(pieces::Multiply)
    }

    /// These and one more. A kernel replaces an earlier one of the same kind.
    ///
    /// # Panics
    /// When the kernel's kind is no valid name: a mistake in the program that no input can cause.
    #[expect(clippy::expect_used, reason = "kinds are registered when a program starts, by the program")]
    #[must_use]
    pub fn with(mut self, kernel: impl Kernel) -> Self {
        let kind = kernel.kind().parse().expect("a kernel's kind is a valid name");
        self.kernels.insert(kind, Arc::new(kernel));
        self
    }

    /// These and `echo`, `sleep`, `spin`, `panic` and `abort`, for whoever measures a cluster or breaks it on
    /// purpose.
    #[must_use]
    pub fn with_diagnostics(self) -> Self {
        diagnostics::register(self)
    }

    /// Tasks that would need more than this many bytes are `too-large`.
    #[must_use]
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// This share of all outputs that carry buffers is spoilt on their way out, for whoever tries out what catches
    /// wrong answers.
    #[must_use]
    pub fn wrong_answers(mut self, share: f64) -> Self {
        self.wrong_answers = Some(Arc::new(Spoiler::new(share)));
        self
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<Kind> {
        self.kernels.keys().cloned().collect()
    }

    /// Runs one task on this thread.
    ///
    /// # Errors
    /// The task's own, or `unsupported-task`, or `too-large`.
    pub fn run(&self, kind: &Kind, payload: Payload, cancel: &Cancel) -> Result<Payload, TaskError> {
        let kernel = self.kernels.get(kind).ok_or_else(|| {
            let served: Vec<_> = self.kernels.keys().map(Kind::as_str).collect();
            TaskError::new(
                ErrorCode::UnsupportedTask,
                format!("this worker does not serve {kind:?}; it serves {}", served.join(", ")),
            )
        })?;
        let output = kernel.run(payload, self.memory_limit, cancel)?;
        Ok(match &self.wrong_answers {
            Some(spoiler) => spoiler.pass(output),
            None => output,
        })
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kernels.keys()).finish()
    }
}

/// A kernel without its types.
trait Erased: Send + Sync {
    fn run(&self, payload: Payload, memory_limit: Option<u64>, cancel: &Cancel)
    -> Result<Payload, TaskError>;
}

impl<K: Kernel> Erased for K {
    fn run(
        &self,
        payload: Payload,
        memory_limit: Option<u64>,
        cancel: &Cancel,
    ) -> Result<Payload, TaskError> {
        let format = payload.format;
        let input = payload.decode()?;
        // A big input takes long to read, and a big output to write: whoever gave up meanwhile is heard between.
        cancel.check()?;
        let cost = self.cost(&input)?;
        if let Some(limit) = memory_limit
            && cost.memory > limit
        {
            return Err(TaskError::too_large(format!(
                "the task would need {} bytes, and a task may have at most {limit} here",
                cost.memory
            )));
        }
        let output = Kernel::run(self, input, cancel)?;
        cancel.check()?;
        encode(format, &output)
    }
}

fn encode(format: Format, output: &impl Serialize) -> Result<Payload, TaskError> {
    Payload::encode(format, output).map_err(|error| {
        TaskError::new(ErrorCode::Panicked, format!("the kernel's output is no value: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use sgdt_proto::kind;

    /// Doubles a number, and says that it takes as much memory as the number.
    struct Double;

    #[derive(Deserialize)]
    struct Number {
        n: u64,
    }

    impl Kernel for Double {
        type Input = Number;
        type Output = u64;

        fn kind(&self) -> &str {
            "double"
        }

        fn cost(&self, input: &Number) -> Result<Cost, TaskError> {
            Ok(Cost { seconds: 0.0, memory: input.n })
        }

        fn run(&self, input: Number, _: &Cancel) -> Result<u64, TaskError> {
            Ok(2 * input.n)
        }
    }

    fn json(text: &str) -> Payload {
        Payload { format: Format::Json, head: text.to_owned().into(), buffers: Vec::new() }
    }

    fn run(kinds: &Kinds, kind: &str, payload: Payload) -> Result<Payload, TaskError> {
        kinds.run(&kind.parse().unwrap(), payload, &Cancel::new())
    }

    #[test]
    fn an_output_comes_in_the_format_of_its_input() {
        let kinds = Kinds::none().with(Double);
        let output = run(&kinds, "double", json(r#"{"n":21}"#)).unwrap();
        assert_eq!((output.format, output.head.as_ref()), (Format::Json, b"42".as_slice()));
        let output = run(&kinds, "double", Payload::encode(Format::Packed, &21u64).unwrap()).unwrap();
        assert_eq!((output.format, output.decode::<u64>()), (Format::Packed, Ok(42)));
    }

    #[test]
    fn what_needs_more_memory_than_a_task_may_have_is_refused() {
        let kinds = Kinds::none().with(Double).memory_limit(100);
        assert!(run(&kinds, "double", json(r#"{"n":100}"#)).is_ok());
        let error = run(&kinds, "double", json(r#"{"n":101}"#)).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooLarge);
        assert!(error.message.contains("101") && error.message.contains("100"), "{error}");
    }

    #[test]
    fn every_builtin_kind_refuses_what_would_not_fit_before_it_runs() {
        let kinds = Kinds::builtin().memory_limit(1 << 30);
        let random = |seed| kind::matmul::Operand::Random {
            element: kind::matmul::Element::F64,
            shape: [1 << 20, 1 << 20],
            seed,
        };
        let (a, b) = (random(1), random(2));
        let keys = kind::sort::Keys::Random { number: kind::sort::Number::I64, len: 1 << 40, seed: 1 };
        let packed = |payload: Result<Payload, _>| payload.unwrap();
        for (kind, payload) in [
            ("matmul", Payload::encode(Format::Packed, &kind::matmul::Input { a, b, summary: true })),
            (
                "sort",
                Payload::encode(
                    Format::Packed,
                    &kind::sort::Input { keys, descending: false, summary: true },
                ),
            ),
            (
                "factorial",
                Payload::encode(Format::Packed, &kind::factorial::Input { n: 1 << 31, summary: false }),
            ),
        ] {
            assert_eq!(run(&kinds, kind, packed(payload)).unwrap_err().code, ErrorCode::TooLarge, "{kind}");
        }
    }

    #[test]
    fn a_kind_that_is_not_served_is_told_with_those_that_are() {
        let error = run(&Kinds::builtin(), "pi", json("{}")).unwrap_err();
        assert_eq!(error.code, ErrorCode::UnsupportedTask);
        assert!(
            error.message.contains("\"pi\"")
                && error.message.contains("factorial, factorial-part, matmul, multiply, sort"),
            "{error}"
        );
    }

    #[test]
    fn garbage_is_an_invalid_input_to_every_kind() {
        let kinds = Kinds::builtin().with_diagnostics();
        assert_eq!(kinds.names().len(), 10);
        for kind in kinds.names().iter().map(Kind::as_str).filter(|&kind| kind != "panic" && kind != "abort")
        {
            for payload in [
                json(""),
                json("[]"),
                json("{\"value\""),
                json("\u{1b}"),
                Payload { format: Format::Packed, head: vec![0xff; 40].into(), buffers: Vec::new() },
            ] {
                assert_eq!(run(&kinds, kind, payload).unwrap_err().code, ErrorCode::InvalidInput, "{kind}");
            }
        }
    }

    /// Is told to stop when all it has left to do is to say what it found.
    struct Late;

    impl Kernel for Late {
        type Input = u64;
        type Output = Unspeakable;

        fn kind(&self) -> &str {
            "late"
        }

        fn run(&self, _: u64, cancel: &Cancel) -> Result<Unspeakable, TaskError> {
            cancel.cancel();
            Ok(Unspeakable)
        }
    }

    struct Unspeakable;

    impl Serialize for Unspeakable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("encoded in vain")
        }
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_encoded() {
        let kinds = Kinds::none().with(Late);
        assert_eq!(run(&kinds, "late", json("1")).unwrap_err().code, ErrorCode::Cancelled);
    }

    #[test]
    fn a_task_cancelled_before_it_starts_does_not_run() {
        let cancel = Cancel::new();
        cancel.cancel();
        let result = Kinds::none().with(Double).run(&"double".parse().unwrap(), json(r#"{"n":1}"#), &cancel);
        assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
    }
}
