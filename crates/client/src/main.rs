//! The client with the built-in kinds.

use mimalloc::MiMalloc;
use sgdt_client::job::kinds::ClientKinds;
use std::process::ExitCode;

/// As in the worker, whose kernels run here, too: in an embedded cluster and in local plans.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    sgdt_client::main(ClientKinds::builtin())
}
