//! How long a kernel takes by itself, for `scripts/bench-kernels.sh`: once to warm up, and once more, which is told in
//! seconds.
//!
//! ```text
//! kernels matmul|matmul-f32|sort-i64|sort-u64|sort-f64|factorial|decimal SIZE THREADS
//! ```

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
    cores::Cores,
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
        _ => return usage(),
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
    eprintln!("usage: kernels matmul|matmul-f32|sort-i64|sort-u64|sort-f64|factorial|decimal SIZE THREADS");
    ExitCode::from(2)
}

/// Of a task that is alone on a worker of so many slots.
fn timed<I: Clone, O>(
    threads: u32,
    input: &I,
    run: impl Fn(I, &Cancel) -> Result<O, TaskError>,
) -> Result<Duration, TaskError> {
    let cores = Cores::new(threads);
    let _core = cores.occupy();
    let cancel = Cancel::new().helped_by(&cores);
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
    let cores = Cores::new(threads);
    let _core = cores.occupy();
    let cancel = Cancel::new().helped_by(&cores);
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

/// n! without its twos and fives.
fn core(n: u64, cancel: &Cancel) -> Result<Factored, TaskError> {
    let count = |p: u64| {
        std::iter::successors(Some(n / p), |quotient| Some(quotient / p)).take_while(|q| *q > 0).sum()
    };
    let limbs = Part.run(natural::Part { n, above: 0, up_to: n }, cancel)?;
    let core = limbs.into_scalars().map_err(|len| TaskError::invalid_input(format!("{len} bytes")))?;
    Ok(Factored { core, twos: count(2), fives: count(5) })
}

fn factorial(n: u64, threads: u32) -> Result<Duration, TaskError> {
    timed(threads, &n, |n, cancel| {
        let mut bytes = Vec::new();
        let keep = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        core(n, cancel)?.write(Form::Raw, cancel, keep)?;
        Ok(bytes)
    })
}

fn decimal(n: u64, threads: u32) -> Result<Duration, TaskError> {
    timed(threads, &core(n, &Cancel::new())?, |number, cancel| {
        let mut text = Vec::new();
        let keep = |piece: &[u8]| {
            text.extend_from_slice(piece);
            Ok(())
        };
        number.write(Form::Decimal, cancel, keep)?;
        Ok(text)
    })
}
