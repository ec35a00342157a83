//! The worker with the built-in kinds.

use mimalloc::MiMalloc;
use sgdt_worker::kernel::Kinds;
use std::process::ExitCode;

/// The system's own gives the memory of large inputs and outputs back after every task, and clearing it again takes
/// as long as many a task.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    sgdt_worker::main(Kinds::builtin())
}
