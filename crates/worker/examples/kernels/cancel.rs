//! How long kernels go on after they are cancelled.

use crate::helped;
use sgdt_proto::{
    buffer::Buffer,
    kind::{
        factorial,
        matmul::{self, Element, Operand},
        natural, random,
        sort::{self, Keys, Number},
    },
    payload::{Format, Payload},
    task::{ErrorCode, TaskError},
};
use sgdt_worker::{cancel::Cancel, kernel::Kinds};
use std::{hint::black_box, thread};
use tokio::time::{Duration, Instant};

/// How often each is cancelled, at times that are spread over all that it takes.
const TIMES: u32 = 16;

/// The longest time from the cancel to the end of a task, as workers run it.
pub(crate) fn longest(of: &str, size: u64, threads: u32) -> Option<Result<Duration, TaskError>> {
    let summary = true;
    let product = |[m, k, n]: [u64; 3]| {
        // Made by the kernel, and summed in the end.
        let operand = |shape, seed| Operand::Random { element: Element::F64, shape, seed };
        let input = matmul::Input { a: operand([m, k], 1), b: operand([k, n], 2), summary };
        after(threads, matmul::KIND, || Payload::encode(Format::Packed, &input))
    };
    let sorted = |summary, keys: &dyn Fn() -> Keys| {
        let input = || sort::Input { keys: keys(), descending: false, summary };
        after(threads, sort::KIND, || Payload::encode(Format::Packed, &input()))
    };
    let limbs =
        |seed| Buffer::from_scalars::<u64>((0..size).map(|index| random::word(seed, index)).collect());
    Some(match of {
        "matmul" => product([size; 3]),
        "tall" => product([size, 16, 16]),
        "deep" => product([16, size, 16]),
        "sort-i64" => sorted(true, &|| Keys::Random { number: Number::I64, len: size, seed: 1 }),
        "sort-f64" => {
            let units: Vec<f64> = (0..size).map(|index| random::unit(1, index)).collect();
            let buffer = || Buffer::from_scalars(units.clone());
            sorted(false, &|| Keys::Numbers { number: Number::F64, buffer: buffer() })
        }
        "sort-lines" => {
            let text = text(size);
            sorted(false, &|| Keys::Lines(text.clone().into()))
        }
        "sort-text" => {
            let (text, lengths) = (text(size), vec![LINE; (size / LINE) as usize]);
            let lengths = || Buffer::from_scalars::<u64>(lengths.clone());
            sorted(false, &|| Keys::Text { bytes: text.clone().into(), lengths: lengths() })
        }
        "factorial" => {
            let input = factorial::Input { n: size, summary: false };
            after(threads, factorial::KIND, || Payload::encode(Format::Packed, &input))
        }
        "part" => {
            let input = natural::Part { n: size, above: 0, up_to: size, without_fives: true };
            after(threads, natural::PART, || Payload::encode(Format::Packed, &input))
        }
        "multiply" => {
            let input = natural::Multiply { left: limbs(1), right: limbs(2) };
            after(threads, natural::MULTIPLY, || Payload::encode(Format::Packed, &input))
        }
        _ => return None,
    })
}

/// How many bytes a line of text has, with its line feed.
const LINE: u64 = 17;

fn text(bytes: u64) -> Vec<u8> {
    (0..bytes / LINE).flat_map(|index| format!("{:016x}\n", random::word(1, index)).into_bytes()).collect()
}

fn after<E: ToString>(
    threads: u32,
    kind: &str,
    input: impl Fn() -> Result<Payload, E>,
) -> Result<Duration, TaskError> {
    let invalid = |error: String| TaskError::invalid_input(error);
    let kinds = Kinds::builtin();
    let kind = kind.parse().map_err(|error: sgdt_proto::id::InvalidName| invalid(error.to_string()))?;
    // Each time an input that nobody else holds, as it comes to a worker.
    let input = || input().map_err(|error| invalid(error.to_string()));
    let whole = {
        let (input, (cancel, _core)) = (input()?, helped(threads));
        let begun = Instant::now();
        black_box(kinds.run(&kind, input, &cancel)?);
        begun.elapsed()
    };
    let mut longest = Duration::ZERO;
    for time in 0..TIMES {
        let (input, (cancel, _core)) = (input()?, helped(threads));
        let wait = whole * (2 * time + 1) / (2 * TIMES);
        let canceller = cancel.clone();
        let cancelling = thread::spawn(move || {
            Cancel::new().wait(wait)?;
            let now = Instant::now();
            canceller.cancel();
            Ok::<_, TaskError>(now)
        });
        let ended = match kinds.run(&kind, input, &cancel) {
            // It was faster this time.
            Ok(_) => continue,
            Err(error) if error.code == ErrorCode::Cancelled => Instant::now(),
            Err(error) => return Err(error),
        };
        let cancelled = cancelling.join().map_err(|_| invalid("nobody has cancelled it".to_owned()))??;
        longest = longest.max(ended.saturating_duration_since(cancelled));
    }
    Ok(longest)
}
