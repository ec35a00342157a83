//! A worker with a kind of its own: `pi`, estimated by throwing darts.
//!
//! ```text
//! cargo run --release --example pi -- --name pi
//! echo '{"task":"pi","samples":1000000,"seed":1}' | client run -
//! ```

use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};
use sgdt_proto::task::TaskError;
use sgdt_worker::{
    cancel::Cancel,
    kernel::{Cost, Kernel, Kinds},
};
use std::process::ExitCode;

/// The kind: a point in the unit square lies in the quarter of a circle with probability pi / 4.
struct Pi;

/// What a line of a task file brings. A field that is none of these is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    samples: u64,
    seed: u64,
}

#[derive(Serialize)]
struct Output {
    pi: f64,
    inside: u64,
}

/// How many darts are thrown between two looks at whether anybody still wants to know: about a millisecond's.
const THROWS: u64 = 250_000;

impl Kernel for Pi {
    type Input = Input;
    type Output = Output;

    fn kind(&self) -> &str {
        "pi"
    }

    fn cost(&self, input: &Input) -> Result<Cost, TaskError> {
        if input.samples == 0 {
            return Err(TaskError::invalid_input("samples is 0; throw at least one dart"));
        }
        Ok(Cost { seconds: input.samples as f64 * 4e-9, memory: 0 })
    }

    fn run(&self, input: Input, cancel: &Cancel) -> Result<Output, TaskError> {
        let mut rng = SmallRng::seed_from_u64(input.seed);
        let (mut thrown, mut inside) = (0, 0);
        while thrown < input.samples {
            cancel.check()?;
            let throws = THROWS.min(input.samples - thrown);
            for _ in 0..throws {
                let (x, y): (f64, f64) = rng.random();
                inside += u64::from(x * x + y * y < 1.0);
            }
            thrown += throws;
        }
        Ok(Output { pi: 4.0 * inside as f64 / input.samples as f64, inside })
    }
}

fn main() -> ExitCode {
    sgdt_worker::main(Kinds::builtin().with(Pi))
}
