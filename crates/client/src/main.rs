//! The client with the built-in kinds.

use sgdt_client::job::kinds::ClientKinds;
use std::process::ExitCode;

fn main() -> ExitCode {
    sgdt_client::main(ClientKinds::builtin())
}
