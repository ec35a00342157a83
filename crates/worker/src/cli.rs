//! The program: arguments in, exit code out.

use crate::{
    config::{Args, Config, ConfigError},
    error::Error,
    kernel::Kinds,
    stop::Stop,
    worker::Worker,
};
use clap::Parser;
use rand::{SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    descriptors,
    identity::Role,
    join::enrol::enrol,
    logging,
    net::{Network, Tcp},
    printable::Printable,
    tls::Tls,
};
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};
use tracing::info;

/// A worker program that serves these kinds: what `main` of a worker with kinds of its own comes down to.
///
/// ```no_run
/// use sgdt_worker::kernel::Kinds;
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     sgdt_worker::main(Kinds::builtin())
/// }
/// ```
///
/// Reads the command line and the environment, prints one line once it listens, and returns when the worker
/// has left: with 0 when it was told to, 2 when the command line makes no sense, and 1 when it failed.
pub fn main(kinds: Kinds) -> ExitCode {
    let args = Args::parse();
    logging::init(args.log_format, "info");
    descriptors::ask_for_more();
    match start(args, kinds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where there is nobody to read it there is nothing more to do.
            drop(writeln!(io::stderr(), "worker: {}", Printable(&error)));
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

fn start(mut args: Args, kinds: Kinds) -> Result<(), Error> {
    let kinds = if args.diagnostics { kinds.with_diagnostics() } else { kinds };
    let kinds = match args.wrong_answers {
        Some(share) => kinds.wrong_answers(share),
        None => kinds,
    };
    // One thread for all calls: they only hand things on, and handing them to another thread costs more.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::System { what: "start the runtime", source })?;
    let worker = runtime.block_on(async {
        args.check_addresses()?;
        let network = network(&mut args).await?;
        Worker::bind(Config::try_from(args)?, kinds, network).await
    })?;
    let leader = worker.leader();
    let started = leader.block_on(runtime, run(worker));
    started.map_err(|source| Error::System { what: "start the threads that serve calls", source })?
}

/// The network that is meant, on which a worker is called what its certificate says. Within a runtime.
async fn network(args: &mut Args) -> Result<Arc<dyn Network>, Error> {
    let Some(directory) = args.tls.clone() else { return Ok(Arc::new(Tcp)) };
    if let Some(token) = &args.join {
        let (name, rng) = (args.name.as_ref(), &mut SmallRng::from_os_rng());
        enrol(&args.nameserver, token, Role::Worker, name, &directory, rng).await?;
    }
    let tls = Tls::load(&directory)?.expect(&directory, &[Role::Worker], "a worker's role is worker")?;
    let certified = tls.identity().name.clone();
    let name = args.name.get_or_insert_with(|| certified.clone()).clone();
    if name != certified {
        return Err(ConfigError::Certified { name, certified, directory }.into());
    }
    Ok(Arc::new(tls.follow()))
}

async fn run(worker: Worker) -> Result<(), Error> {
    let stop = Stop::new();
    let mut signals =
        Signals::new().map_err(|source| Error::System { what: "listen for signals", source })?;
    announce(&worker).map_err(|source| Error::System { what: "write to standard output", source })?;
    let told = async {
        signals.next().await;
        info!("told to leave; once more to stop at once");
        stop.drain();
        signals.next().await;
        stop.now();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = worker.run(stop.clone()) => result,
        () = told => Ok(()),
    }
}

fn announce(worker: &Worker) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "worker {} listening on {}", worker.name(), worker.local_addr())?;
    stdout.flush()
}

/// The ways in which a system tells a program to end.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
