//! What each command does.
//!
//! ```text
//! cli: what was typed ─▶ setup: what was meant ─▶ one module a command ─▶ exit: a code
//! ```

mod bench;
mod drain;
mod factorial;
mod join;
mod lookup;
mod matmul;
mod name_servers;
mod ping;
mod planned;
mod remove;
mod run;
mod setup;
mod single;
mod sort;
mod workers;

use crate::{
    cli::{Cli, Command},
    client::{ConnectError, Disconnected},
    exit::ExitStatus,
    interrupt::{Interrupt, Interrupted},
    job::{kinds::ClientKinds, output::WriteError, reader::ReadError, replace::remove_unfinished},
    local::LocalError,
};
use bench::BenchError;
use name_servers::UnknownWorker;
use setup::Setup;
use sgdt_proto::{
    descriptors,
    join::enrol::EnrolError,
    logging,
    printable::Printable,
    task::{ErrorCode, TaskError},
    tls::credentials::CredentialsError,
};
use std::{
    env,
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use tokio::runtime;

/// The client program, whose task files may use these kinds in forms of their own: what `main` of a client
/// comes down to.
///
/// Reads the command line and the environment, does what they say, and returns the exit code: see
/// [`ExitStatus`]. Results go to standard output, everything else to standard error.
pub fn main(kinds: ClientKinds) -> ExitCode {
    let cli = match Cli::read(env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Where there is nobody to read it there is nothing more to do.
            let _ = error.print();
            return if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success }.into();
        }
    };
    logging::init(cli.global.log_format, "warn");
    descriptors::ask_for_more();
    // One thread for all calls: they only hand things on, and handing them to another thread costs more.
    let status = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let done = runtime.block_on(execute(cli, kinds));
            // Not waiting for a thread that waits for input, nor for one that still writes.
            runtime.shutdown_background();
            remove_unfinished();
            done
        }
        Err(error) => Err(CommandError::System(error)),
    };
    status
        .unwrap_or_else(|error| {
            if !matches!(error, CommandError::Interrupted(_)) {
                complain(&error);
            }
            error.status()
        })
        .into()
}

async fn execute(cli: Cli, kinds: ClientKinds) -> Result<ExitStatus, CommandError> {
    let interrupt = Interrupt::listen().map_err(CommandError::System)?;
    let setup = Setup::from(cli.global);
    let done = match cli.command {
        // It ends by itself when it is interrupted, because there may be results to write.
        Command::Run(args) => return run::run(&setup, args, kinds, &interrupt).await,
        Command::Matmul(args) => interrupt.unless(matmul::run(&setup, args)).await,
        // So does this one, and it goes on when one of its tasks fails.
        Command::Factorial(args) => return factorial::run(&setup, args, &interrupt).await,
        Command::Sort(args) => interrupt.unless(sort::run(&setup, args)).await,
        Command::Workers(args) => interrupt.unless(workers::run(&setup, args)).await,
        Command::Lookup(args) => interrupt.unless(lookup::run(&setup, &args.name)).await,
        Command::Ping(args) => interrupt.unless(ping::run(&setup, args.name.as_ref())).await,
        Command::Remove(args) => interrupt.unless(remove::run(&setup, &args.name)).await,
        Command::Bench(args) => interrupt.unless(bench::run(&setup, args)).await,
        Command::Drain(args) => interrupt.unless(drain::run(&setup, &args.name)).await,
        Command::Join(args) => interrupt.unless(join::run(&setup, args)).await,
    };
    done.map(|()| ExitStatus::Success)
}

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The system does not give the program what it needs.
    #[error("cannot start: {0}")]
    System(io::Error),
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Results cannot be written, and nothing was begun.
    #[error(transparent)]
    Output(WriteError),
    /// What the command line names is no input.
    #[error("{}", .0.message)]
    Input(TaskError),
    /// The client cannot prove who it is.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// It is not given the means to.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// A certificate would have no place to go.
    #[error("join makes the directory of --tls: say --tls DIR")]
    Nowhere,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// What was asked for is not allowed.
    #[error("{0}")]
    Denied(String),
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error(transparent)]
    Unknown(#[from] UnknownWorker),
    /// The one task that there was failed.
    #[error("{}", told(.0))]
    Task(TaskError),
    /// There is nobody to talk to.
    #[error("no worker is registered with {0}; start one with `worker --nameserver {0}`")]
    NoWorker(String),
    /// Nobody took the token in time.
    #[error(
        "no name server at {0} has let this machine join within {wait} (--wait-workers)",
        wait = humantime::format_duration(*.1)
    )]
    NotJoined(String, Duration),
    /// Workers are listed, and cannot be talked to.
    #[error("no answer from {0}")]
    Unanswered(String),
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl CommandError {
    fn status(&self) -> ExitStatus {
        match self {
            Self::Read(_)
            | Self::Output(_)
            | Self::Input(_)
            | Self::Credentials(_)
            | Self::Nowhere
            | Self::Bench(BenchError::Size { .. }) => ExitStatus::Usage,
            Self::Connect(_) | Self::NoWorker(_) | Self::NotJoined(..) => ExitStatus::Unreachable,
            Self::Interrupted(interrupted) => interrupted.0,
            Self::System(_)
            | Self::Local(_)
            | Self::Unknown(_)
            | Self::Enrol(_)
            | Self::Denied(_)
            | Self::Task(_)
            | Self::Disconnected(_)
            | Self::Bench(_)
            | Self::Unanswered(_)
            | Self::Stdout(_) => ExitStatus::Failure,
        }
    }
}

/// A task's error. That it was given up, where it is the only one, goes without saying, and it may be because of this machine.
fn told(error: &TaskError) -> String {
    match error.code {
        ErrorCode::GaveUp => error.message.clone(),
        _ => error.to_string(),
    }
}

/// Says on standard error what is wrong, in one line, whoever's words are in it.
fn complain(problem: &dyn Display) {
    let _ = writeln!(io::stderr(), "client: {}", Printable(problem));
}

/// Says on standard error what was done.
fn remark(text: &dyn Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes to standard output.
fn print(text: impl AsRef<[u8]>) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()).map_err(CommandError::Stdout)
}
