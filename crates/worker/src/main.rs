//! The worker with the built-in kinds.

use sgdt_worker::kernel::Kinds;
use std::process::ExitCode;

fn main() -> ExitCode {
    sgdt_worker::main(Kinds::builtin())
}
