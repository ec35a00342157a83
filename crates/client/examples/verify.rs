//! What it costs to check products: how long one thread takes for the product of two square
//! matrices, how long the check of it takes, and the ratio of both, medians of some rounds.
//!
//! ```text
//! verify f64|f32 SIZE ROUNDS
//! ```

use mimalloc::MiMalloc;
use sgdt_client::{TaskSpec, local::LocalKernels, verify};
use sgdt_proto::{
    buffer::Buffer,
    kind::matmul::{Input, KIND, Matrix, Operand, Real},
};
use std::{env, error::Error, num::NonZeroU32};
use tokio::time::Instant;

/// As in the client.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [element, size, rounds] = args.as_slice() else {
        return Err("usage: verify f64|f32 SIZE ROUNDS".into());
    };
    let (size, rounds) = (size.parse()?, rounds.parse()?);
    match element.as_str() {
        "f64" => measure::<f64>(size, rounds),
        "f32" => measure::<f32>(size, rounds),
        other => Err(format!("{other} is neither f64 nor f32").into()),
    }
}

fn measure<T: Real>(size: u64, rounds: usize) -> Result<(), Box<dyn Error>> {
    let made = |seed| {
        let elements: Vec<T> = (0..size * size).map(|index| T::unit(seed, index)).collect();
        Operand::Dense(Matrix {
            element: T::ELEMENT,
            rows: size,
            columns: size,
            elements: Buffer::from_scalars(elements),
        })
    };
    let spec = TaskSpec::packed(KIND.parse()?, &Input { a: made(1), b: made(2), summary: false })?;
    let check = verify::of::<Input>(&spec.payload)?.ok_or("a product can be checked")?;
    let kernels = LocalKernels::with_threads(NonZeroU32::MIN);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut took = Vec::new();
    // The first is not counted: it finds everything cold.
    for _ in 0..=rounds {
        let result = runtime.block_on(kernels.run(spec.clone()));
        let output = result.output?;
        let begun = Instant::now();
        check.judge(output)?;
        took.push((result.run.as_secs_f64(), begun.elapsed().as_secs_f64()));
    }
    let counted = took.split_off(1);
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = counted.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(rounds / 2).copied().unwrap_or_default()
    };
    let (product, check, ratio) =
        (median(|took| took.0), median(|took| took.1), median(|took| took.1 / took.0));
    println!("{product} {check} {ratio}");
    Ok(())
}
