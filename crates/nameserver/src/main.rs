//! The `nameserver` program.

use anyhow::Context;
use clap::{Parser, Subcommand};
use rand::{SeedableRng, rngs::StdRng};
use sgdt_nameserver::{
    BindError, Nameserver,
    ca::{
        check,
        command::{self as ca, Done},
        token::command as token,
    },
    config::Config,
};
use sgdt_proto::{
    descriptors,
    identity::Role,
    logging,
    net::{Network, Tcp},
    printable::Printable,
    tls::{Tls, credentials::CredentialsError},
};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Keeps the registry of workers: workers announce themselves here, and clients watch them.
#[derive(Parser)]
#[command(name = "nameserver", version, args_override_self = true)]
struct Args {
    #[command(flatten)]
    config: Config,

    /// Encrypt and authenticate everything, with the ca.pem, cert.pem and key.pem in this directory, which is read anew
    /// when it changes
    #[arg(long, value_name = "DIR", env = "SGDT_TLS")]
    tls: Option<PathBuf>,

    /// With --tls: issue certificates to whoever has a join token of the authority in this directory
    #[arg(long, value_name = "DIR", env = "SGDT_CA", requires = "tls")]
    ca: Option<PathBuf>,

    /// How log lines are written: text or json
    #[arg(long, value_name = "FORMAT", env = "SGDT_LOG_FORMAT", default_value_t)]
    log_format: logging::LogFormat,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Make the certificates that --tls takes
    Ca {
        #[command(subcommand)]
        command: ca::Command,
    },
    /// Make join tokens, with which a machine gets its certificate by itself
    Token {
        #[command(subcommand)]
        command: token::Command,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    logging::init(args.log_format, "info");
    descriptors::ask_for_more();
    let done = match args.command {
        Some(Command::Ca { command }) => command.run().map_err(Into::into).and_then(tell),
        Some(Command::Token { command }) => command.run().map_err(Into::into).and_then(tell),
        None => serve(&args.config, args.tls.as_deref(), args.ca).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let bind = error.downcast_ref::<BindError>();
            // Errors of our own say themselves what caused them.
            let message = if error.is::<io::Error>() { format!("{error:#}") } else { error.to_string() };
            // There is nobody left to tell if this fails.
            drop(writeln!(io::stderr(), "nameserver: {}", Printable(&message)));
            let usage = bind.is_some_and(BindError::is_usage) || error.is::<CredentialsError>();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

/// What the certificate authority has to say.
fn tell(done: Done) -> anyhow::Result<()> {
    match done {
        Done::Data(text) => {
            io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
        }
        Done::Remark(text) => writeln!(io::stderr(), "{text}").context("cannot write to standard error"),
    }
}

/// The network that is meant: only one whose certificate is a name server's can be served to anybody. Within a runtime.
fn network(tls: Option<&Path>, strangers: bool) -> Result<Box<dyn Network>, CredentialsError> {
    let Some(directory) = tls else { return Ok(Box::new(Tcp)) };
    let tls = Tls::load(directory)?;
    let tls = tls.expect(directory, &[Role::Nameserver], "a name server's role is nameserver")?;
    let tls = if strangers { tls.admitting_strangers()? } else { tls };
    Ok(Box::new(tls.follow()))
}

async fn serve(config: &Config, tls: Option<&Path>, ca: Option<PathBuf>) -> anyhow::Result<()> {
    if let Some(ca) = &ca {
        // Said now, and not to whoever has a token.
        check(ca, tls)?;
    }
    let network = network(tls, ca.is_some())?;
    let mut nameserver = Nameserver::bind(config, &*network, &mut StdRng::from_os_rng()).await?;
    if let Some(ca) = ca {
        nameserver = nameserver.issuing(ca);
    }
    // Before the line below: who has read it may send a signal.
    let stop = stop_on_signal()?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "nameserver listening on {}", nameserver.local_addr())
        .and_then(|()| stdout.flush())
        .context("cannot say on standard output where it listens")?;
    drop(stdout);
    nameserver.run(stop).await;
    Ok(())
}

/// A token that SIGTERM and Ctrl-C cancel.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}
