//! `nameserver token`: join tokens on the command line.

use super::create;
use crate::ca::{CaError, command::Done};
use clap::{Args, Subcommand};
use rand::{SeedableRng, rngs::StdRng};
use sgdt_proto::{id::WorkerName, identity::Role};
use std::{path::PathBuf, str::FromStr, time::Duration, time::SystemTime};

/// What to do. As with `ca`, nothing is taken from the environment.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Make a token, and print it: with it one machine gets one certificate, from a name server that is started with --ca
    Create(Create),
}

/// `token create`
#[derive(Args, Clone, Debug)]
pub struct Create {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// What the certificate is to be for: worker or client
    #[arg(long, value_parser = role)]
    role: Role,
    /// For whom [default: whoever joins says so, but can be nobody who is there]
    #[arg(long)]
    name: Option<WorkerName>,
    /// How long it is good for
    #[arg(long, value_name = "DURATION", default_value_t)]
    ttl: Ttl,
}

/// How long a token is good for: from a second to thirty days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ttl(Duration);

impl Ttl {
    const MOST: Duration = Duration::from_secs(30 * 24 * 3600);
}

impl Default for Ttl {
    fn default() -> Self {
        Self(Duration::from_secs(3600))
    }
}

impl std::fmt::Display for Ttl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl FromStr for Ttl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ttl =
            humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 30m or 1h"))?;
        if (Duration::from_secs(1)..=Self::MOST).contains(&ttl) {
            Ok(Self(ttl))
        } else {
            Err(format!("a token is good for a second at least, and for {} at most", Self(Self::MOST)))
        }
    }
}

fn role(text: &str) -> Result<Role, String> {
    match text.parse() {
        Ok(role @ (Role::Worker | Role::Client)) => Ok(role),
        Ok(role) => Err(format!(
            "tokens are not for the role {role}: write worker or client, or use `nameserver ca issue`"
        )),
        Err(error) => Err(error.to_string()),
    }
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// There is no authority, or its directory cannot be written to.
    pub fn run(self) -> Result<Done, CaError> {
        #[expect(clippy::disallowed_methods, reason = "tokens end by the calendar")]
        let now = SystemTime::now();
        let Self::Create(Create { directory, role, name, ttl }) = self;
        let token = create(&directory, role, name, ttl.0, now, &mut StdRng::from_os_rng())?;
        Ok(Done::Data(format!("{token}\n")))
    }
}
