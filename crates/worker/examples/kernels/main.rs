//! How long a kernel takes by itself, for `scripts/bench-kernels.sh`: once to warm up, and once more, which is told in
//! seconds. And how long a task goes on at most after it is cancelled, for `scripts/bench-cancel.sh`. Sizes are rows, keys,
//! bytes of text, the number whose factorial it is, or limbs.
//!
//! ```text
//! kernels matmul|matmul-f32|sort-i64|sort-u64|sort-f64|factorial|decimal SIZE THREADS
//! kernels cancel-matmul|cancel-tall|cancel-deep|cancel-sort-i64|cancel-sort-f64|cancel-sort-lines|cancel-sort-text|
//!         cancel-factorial|cancel-part|cancel-multiply SIZE THREADS
//! ```

mod cancel;

use mimalloc::MiMalloc;
use sgdt_proto::{
    buffer::Buffer,
    kind::{
        matmul::{self, Matrix, Operand, Real},
        natural,
        sort::{self, Keys, Number},
    },
    task::TaskError,
};
use sgdt_worker::{
    cancel::Cancel,
    cores::{Busy, Cores},
    kernel::{
        Kernel,
        factorial::{
            pieces::Part,
            written::{Factored, Form},
        },
        matmul::MatMul,
        sort::Sort,
    },
};
use std::{env, hint::black_box, process::ExitCode};
use tokio::time::{Duration, Instant};

/// As in the worker.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [operation, size, threads] = args.as_slice() else { return usage() };
    let (Ok(size), Ok(threads @ 1..)) = (size.parse(), threads.parse()) else { return usage() };
    let took = match operation.as_str() {
        "matmul" => product::<f64>(size, threads),
        "matmul-f32" => product::<f32>(size, threads),
        "sort-i64" => sort_keys(size, threads, Number::I64),
        "sort-u64" => sort_keys(size, threads, Number::U64),
        "sort-f64" => sort_keys(size, threads, Number::F64),
        "factorial" => factorial(size, threads),
        "decimal" => decimal(size, threads),
        _ => match operation.strip_prefix("cancel-").and_then(|of| cancel::longest(of, size, threads)) {
            Some(longest) => longest,
            None => return usage(),
        },
    };
    match took {
        Ok(took) => {
            println!("{}", took.as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("kernels: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: kernels [cancel-]matmul|sort-i64|sort-f64|factorial SIZE THREADS");
    eprintln!(
        "       kernels matmul-f32|sort-u64|decimal|cancel-tall|cancel-deep|cancel-sort-lines|cancel-sort-text SIZE THREADS"
    );
    eprintln!("       kernels cancel-part|cancel-multiply SIZE THREADS");
    ExitCode::from(2)
}

/// For a task that is alone on a worker of so many slots, and has its core while it is held.
fn helped(threads: u32) -> (Cancel, Busy) {
    let cores = Cores::new(threads);
    (Cancel::new().helped_by(&cores), cores.occupy())
}

fn timed<I: Clone, O>(
    threads: u32,
    input: &I,
    run: impl Fn(I, &Cancel) -> Result<O, TaskError>,
) -> Result<Duration, TaskError> {
    let (cancel, _core) = helped(threads);
    black_box(run(input.clone(), &cancel)?);
    let input = input.clone();
    let begun = Instant::now();
    let output = run(input, &cancel)?;
    let took = begun.elapsed();
    black_box(output);
    Ok(took)
}

fn product<T: Real>(n: u64, threads: u32) -> Result<Duration, TaskError> {
    let made = |seed| {
        let elements: Vec<T> = (0..n * n).map(|index| T::unit(seed, index)).collect();
        let elements = Buffer::from_scalars(elements);
        Operand::Dense(Matrix { element: T::ELEMENT, rows: n, columns: n, elements })
    };
    let input = matmul::Input { a: made(1), b: made(2), summary: false };
    timed(threads, &input, |input, cancel| MatMul.run(input, cancel))
}

fn sort_keys(len: u64, threads: u32, number: Number) -> Result<Duration, TaskError> {
    let words: Vec<u64> = (0..len).map(|index| number.random(1, index)).collect();
    let (cancel, _core) = helped(threads);
    let mut took = Duration::ZERO;
    for _ in 0..2 {
        // Sorted where it lies, so each time a copy that nobody else holds.
        let keys = Keys::Numbers { number, buffer: Buffer::from_scalars(words.clone()) };
        let begun = Instant::now();
        black_box(Sort.run(sort::Input { keys, descending: false, summary: false }, &cancel)?);
        took = begun.elapsed();
    }
    Ok(took)
}

/// n! without its twos and, if that is said, without as many fives, which are zeros in decimal.
fn core(n: u64, without_fives: bool, cancel: &Cancel) -> Result<Factored, TaskError> {
    let limbs = Part.run(natural::Part { n, above: 0, up_to: n, without_fives }, cancel)?;
    let core = limbs.into_scalars().map_err(|len| TaskError::invalid_input(format!("{len} bytes")))?;
    Ok(Factored { core, twos: if without_fives { count(n, 2) - count(n, 5) } else { count(n, 2) } })
}

/// How often p divides n!.
fn count(n: u64, p: u64) -> u64 {
    std::iter::successors(Some(n / p), |quotient| Some(quotient / p)).take_while(|q| *q > 0).sum()
}

fn factorial(n: u64, threads: u32) -> Result<Duration, TaskError> {
    timed(threads, &n, |n, cancel| {
        let mut bytes = Vec::new();
        let keep = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        core(n, false, cancel)?.write(Form::Raw, cancel, keep)?;
        Ok(bytes)
    })
}

fn decimal(n: u64, threads: u32) -> Result<Duration, TaskError> {
    timed(threads, &core(n, true, &Cancel::new())?, |number, cancel| {
        let mut text = Vec::new();
        let keep = |piece: &[u8]| {
            text.extend_from_slice(piece);
            Ok(())
        };
        number.write(Form::Decimal { zeros: count(n, 5) }, cancel, keep)?;
        Ok(text)
    })
}
