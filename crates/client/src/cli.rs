//! The command line as people write it. What it means is said in `commands`.

#[cfg(test)]
mod tests;

use crate::{balance::Balance, giant::plan::Choice, job::place::is_stdout};
use clap::{
    Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    builder::{BoolishValueParser, PathBufValueParser, TypedValueParser},
    error::ErrorKind::ArgumentConflict,
    parser::ValueSource::{CommandLine, EnvVariable},
    value_parser,
};
use sgdt_proto::{id::WorkerName, join::token::Token, logging::LogFormat, size::ByteSize};
use std::{env, ffi::OsString, path::PathBuf, time::Duration};

/// Finds workers through a name server, and sends them tasks.
#[derive(Parser, Clone, PartialEq, Debug)]
#[command(name = "client", version, max_term_width = 110, args_override_self = true)]
pub struct Cli {
    /// What all commands have in common.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The options that may stand before or after the command.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Cluster options")]
pub struct Global {
    /// The name servers, as host:port; several are separated by commas [default: 127.0.0.1:7400]
    #[arg(long, global = true, env = "SGDT_NAMESERVER", value_name = "ADDR", value_delimiter = ',',
        value_parser = address)]
    pub nameserver: Vec<String>,

    /// Encrypt and authenticate everything, with the ca.pem, cert.pem and key.pem in this directory
    #[arg(long, global = true, env = "SGDT_TLS", value_name = "DIR")]
    pub tls: Option<PathBuf>,

    /// Start a name server and N workers in this process, and use them
    #[arg(long, global = true, env = "SGDT_LOCAL", value_name = "N", value_parser = value_parser!(u16).range(1..=256))]
    pub local: Option<u16>,

    /// Which worker gets the next task: round-robin, least-loaded or p2c
    #[arg(long, global = true, env = "SGDT_BALANCE", value_name = "POLICY", default_value_t)]
    pub balance: Balance,

    /// How often a task is tried before it is given up. One with which three workers have died is given up in any case
    #[arg(long, global = true, env = "SGDT_MAX_ATTEMPTS", value_name = "N", default_value_t = 5,
        value_parser = value_parser!(u32).range(1..))]
    pub max_attempts: u32,

    /// How long a task may run, such as 250ms or 5s [default: as long as it takes]
    #[arg(long, global = true, env = "SGDT_TASK_TIMEOUT", value_name = "DUR", value_parser = timeout)]
    pub task_timeout: Option<Duration>,

    /// How long to wait for a name server and a worker, at first and whenever there is none
    #[arg(long, global = true, env = "SGDT_WAIT_WORKERS", value_name = "DUR", default_value = "30s",
        value_parser = humantime::parse_duration)]
    pub wait_workers: Duration,

    /// Whether to show on standard error how far a job is, and a summary in the end
    #[arg(long, global = true, env = "SGDT_PROGRESS", value_name = "WHEN", default_value = "auto")]
    pub progress: ProgressMode,

    /// How log lines are written: text or json
    #[arg(long, global = true, env = "SGDT_LOG_FORMAT", value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
}

/// When to show how far a job is.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgressMode {
    /// A bar while the job runs if standard error is a terminal; a summary in any case
    Auto,
    /// The same, and lines where there is no terminal
    Always,
    /// Nothing
    Never,
}

/// What to do.
#[derive(Subcommand, Clone, PartialEq, Debug)]
pub enum Command {
    /// Run the tasks of a file, one JSON object a line
    Run(Run),
    /// Multiply two matrices in .npy files
    Matmul(Matmul),
    /// Compute factorials
    Factorial(Factorial),
    /// Sort a .npy file, or the lines of any other
    Sort(Sort),
    /// List the live workers
    Workers(Workers),
    /// Print a worker's address
    Lookup(Named),
    /// Measure the way to a worker and back, or to all of them
    Ping(Ping),
    /// Evict a worker: its name is free at once, its tasks go to others, and it leaves
    Remove(Named),
    /// Have a worker take no more tasks, finish what it runs, and leave
    Drain(Named),
    /// Measure the cluster with `echo` tasks, which workers serve on --diagnostics
    Bench(Bench),
    /// Get a certificate into the directory of --tls, with a token that `nameserver token create` has printed
    Join(Join),
}

/// `join`
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Join {
    /// The token
    #[arg(env = "SGDT_JOIN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Token,
    /// For whom, if the token does not say so
    #[arg(long, env = "SGDT_NAME")]
    pub name: Option<WorkerName>,
}

/// `run`
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Run {
    /// The task file; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub tasks: PathBuf,
    /// Where results go, one JSON object a line; - is standard output
    #[arg(short, long, env = "SGDT_OUTPUT", value_parser = output(), value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Write results in the order of the tasks, not as they finish. A file ends, if the run is interrupted, before
    /// the first task that has no result
    #[arg(long, env = "SGDT_ORDERED", value_parser = BoolishValueParser::new())]
    pub ordered: bool,
    /// Go on with the --output of an earlier run: tasks whose results are there are passed over
    #[arg(long, env = "SGDT_RESUME", value_parser = BoolishValueParser::new())]
    pub resume: bool,
    /// When a task fails, cancel all that are not finished
    #[arg(long, env = "SGDT_FAIL_FAST", value_parser = BoolishValueParser::new())]
    pub fail_fast: bool,
    /// Whether large tasks are computed in pieces
    #[command(flatten)]
    pub split: Split,
}

/// `matmul`
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Matmul {
    /// The left factor, a .npy file of doubles or of floats of 32 bits
    #[arg(value_name = "A.npy")]
    pub a: PathBuf,
    /// The right factor, of the same dtype
    #[arg(value_name = "B.npy")]
    pub b: PathBuf,
    /// Where the product goes; - is standard output
    #[arg(short, long, env = "SGDT_OUTPUT", value_parser = output(), value_name = "C.npy")]
    pub output: PathBuf,
    /// Where it is computed, and in how many pieces
    #[command(flatten)]
    pub split: Split,
}

/// `factorial`
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Factorial {
    /// Of which numbers
    #[arg(value_name = "N", required = true)]
    pub n: Vec<u64>,
    /// Where they go, one number a line; - is standard output, as is nothing
    #[arg(short, long, env = "SGDT_OUTPUT", value_parser = output(), value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How they are written
    #[arg(long, env = "SGDT_FORMAT", value_name = "FORMAT", default_value = "decimal")]
    pub format: NumberFormat,
    /// Where it is computed, and in how many pieces
    #[command(flatten)]
    pub split: Split,
}

/// How `factorial` writes a number.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum NumberFormat {
    /// In decimal
    Decimal,
    /// In hexadecimal
    Hex,
    /// One number as bytes, the least significant first
    Raw,
    /// Only how many decimal digits it has
    Digits,
}

/// `sort`
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Sort {
    /// What to sort: a .npy list of 64-bit integers, with or without a sign, or of doubles, or any file by line; - is
    /// standard input, by line
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// Where it goes; - is standard output
    #[arg(short, long, env = "SGDT_OUTPUT", value_parser = output(), value_name = "OUT")]
    pub output: PathBuf,
    /// The largest first
    #[arg(long, env = "SGDT_DESC", value_parser = BoolishValueParser::new())]
    pub desc: bool,
    /// Where it is computed, and in how many pieces
    #[command(flatten)]
    pub split: Split,
}

/// How a large task is split.
#[derive(Args, Clone, Copy, PartialEq, Debug)]
#[command(next_help_heading = "Plan options")]
pub struct Split {
    /// Where it is computed: auto (wherever that is fastest), local, one (worker), or split:N (into N pieces)
    #[arg(long, env = "SGDT_PLAN", value_name = "PLAN", default_value_t)]
    pub plan: Choice,
    /// Say what is planned, and how long it is predicted to take
    #[arg(long, env = "SGDT_EXPLAIN", value_parser = BoolishValueParser::new())]
    pub explain: bool,
    /// How many bytes of pieces there may be at a time. A file whose sort takes more is sorted here, through a temporary
    /// file in $TMPDIR, or else beside the output, unless the plan is one or split:N
    #[arg(long, env = "SGDT_MEMORY", value_name = "SIZE", default_value_t = ByteSize(256 << 20))]
    pub memory: ByteSize,
    /// Check results before they are accepted, and have wrong ones computed elsewhere
    #[arg(long, env = "SGDT_VERIFY", value_parser = BoolishValueParser::new())]
    pub verify: bool,
}

/// `workers`
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Workers {
    /// As JSON
    #[arg(long, env = "SGDT_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Again whenever a worker comes, goes or drains, until Ctrl-C
    #[arg(long, env = "SGDT_WATCH", value_parser = BoolishValueParser::new())]
    pub watch: bool,
}

/// A command on one worker.
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Named {
    /// The worker
    pub name: WorkerName,
}

/// `ping`
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Ping {
    /// The worker [default: all]
    pub name: Option<WorkerName>,
}

/// `bench`
#[derive(Args, Clone, PartialEq, Debug)]
pub struct Bench {
    /// What to measure
    #[arg(value_name = "WHAT")]
    pub measure: Measure,
    /// How many tasks [default: 1000000 for throughput, 10000 for latency, 32 for payload]
    #[arg(long, env = "SGDT_TASKS", value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub tasks: Option<u64>,
    /// How long the payloads are
    #[arg(long, env = "SGDT_SIZE", value_name = "SIZE", default_value = "64MiB")]
    pub size: ByteSize,
    /// As JSON
    #[arg(long, env = "SGDT_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// What `bench` measures.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// Tiny tasks, as many at a time as the client sends by itself
    Throughput,
    /// Tiny tasks, one after another
    Latency,
    /// Large payloads there and back, one after another
    Payload,
}

impl Cli {
    /// Reads the command line, and the environment for what it leaves open.
    ///
    /// # Errors
    /// It makes no sense, or asks for help.
    pub fn read(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let mut command =
            Self::command().mut_args(unless_empty).mut_subcommands(|command| command.mut_args(unless_empty));
        let matches = command.try_get_matches_from_mut(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        match (matches.value_source("local"), matches.value_source("nameserver")) {
            // Who usually works with one cluster may still ask for another just now.
            (Some(CommandLine), Some(EnvVariable)) => cli.global.nameserver.clear(),
            (Some(EnvVariable), Some(CommandLine)) => cli.global.local = None,
            (Some(_), Some(_)) => {
                let message = "--local starts a name server of its own: leave it or --nameserver out";
                return Err(command.error(ArgumentConflict, message));
            }
            _ => {}
        }
        match (matches.value_source("local"), matches.value_source("tls")) {
            (Some(CommandLine), Some(EnvVariable)) => cli.global.tls = None,
            (Some(EnvVariable), Some(CommandLine)) => cli.global.local = None,
            (Some(_), Some(_)) => {
                let message = "--local starts a cluster that nobody else can reach: leave it or --tls out";
                return Err(command.error(ArgumentConflict, message));
            }
            _ => {}
        }
        Ok(cli)
    }
}

/// A variable that is empty is as good as none: that is how a shell clears one for a single command.
fn unless_empty(arg: Arg) -> Arg {
    match arg.get_env().map(|name| env::var_os(name).is_some_and(|value| value.is_empty())) {
        Some(true) => arg.env(None::<&'static str>),
        _ => arg,
    }
}

/// Why a piece of text is no address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("write host:port, for example 127.0.0.1:7400")]
struct InvalidAddress;

/// A file to write. Every name of standard output is `-`.
fn output() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|path| if is_stdout(&path) { PathBuf::from("-") } else { path })
}

fn address(text: &str) -> Result<String, InvalidAddress> {
    let (host, port) = text.rsplit_once(':').ok_or(InvalidAddress)?;
    let valid = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_graphic())
        && port.parse::<u16>().is_ok_and(|port| port != 0);
    if valid { Ok(text.to_owned()) } else { Err(InvalidAddress) }
}

/// Why a piece of text is no time-out.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
enum InvalidTimeout {
    #[error("{0}; write it as 250ms or 5s")]
    Syntax(#[from] humantime::DurationError),
    #[error("no task is done in no time; leave the option out to let tasks run as long as they take")]
    Zero,
}

fn timeout(text: &str) -> Result<Duration, InvalidTimeout> {
    let timeout = humantime::parse_duration(text)?;
    if timeout.is_zero() { Err(InvalidTimeout::Zero) } else { Ok(timeout) }
}
