//! `nameserver ca`: the certificate authority on the command line.

use super::{CaError, Host, Issued, Revoked, init, issue, list, revoke};
use clap::{Args, Subcommand};
use rand::{SeedableRng, rngs::StdRng};
use sgdt_proto::{
    id::WorkerName,
    identity::{Identity, Role},
};
use std::{fmt::Write, path::PathBuf, time::SystemTime};

/// What to do. Nothing here is taken from the environment: nobody is to become somebody by accident.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Make a certificate authority in a new directory, which is to be kept secret
    Init {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Make a certificate and its key, in a new directory that is ready for --tls
    Issue(Issue),
    /// Revoke certificates, and write the authority's list of those anew: crl.pem, to be copied into each --tls directory
    Revoke {
        /// The authority's directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// The name whose certificates and unused tokens to revoke, all of them; or the number of one certificate, as
        /// `list` shows it
        #[arg(value_name = "NAME|SERIAL")]
        whom: String,
    },
    /// List the certificates that were made, and which of them were revoked
    List {
        /// The authority's directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// `ca issue`
#[derive(Args, Clone, Debug)]
pub struct Issue {
    /// The authority's directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// What the certificate is for: nameserver, worker, client or admin
    #[arg(long)]
    role: Role,
    /// For whom: a worker registers under this name and no other
    #[arg(long)]
    name: WorkerName,
    /// A host name or address to put in as well, for other software; SGDT's own programs need none
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<Host>,
    /// The new directory
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

/// What a command has to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// For standard output.
    Data(String),
    /// For whoever looks on.
    Remark(String),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Files are in the way, missing, or cannot be written.
    pub fn run(self) -> Result<Done, CaError> {
        #[expect(clippy::disallowed_methods, reason = "certificates begin and end by the calendar")]
        let now = SystemTime::now();
        match self {
            Self::Init { directory } => {
                init(&directory, now)?;
                let directory = directory.display();
                Ok(Done::Remark(format!(
                    "{directory} holds a new CA; whoever can read {directory}/ca.key can become anybody"
                )))
            }
            Self::Issue(Issue { directory, role, name, hosts, output }) => {
                let identity = Identity { role, name };
                let issued = issue(&directory, identity, &hosts, &output, now, &mut StdRng::from_os_rng())?;
                let (out, identity, end) = (output.display(), &issued.identity, issued.end());
                Ok(Done::Remark(format!("{out} is ready for --tls: {identity}, until {end}")))
            }
            Self::Revoke { directory, whom } => {
                let Revoked { certificates, tokens } = revoke(&directory, &whom, now)?;
                let number = |issued: &Issued| format!("{} ({})", issued.identity, issued.number());
                let mut each: Vec<_> = certificates.iter().map(number).collect();
                match tokens {
                    0 => {}
                    1 => each.push(format!("an unused token for {whom}")),
                    _ => each.push(format!("{tokens} unused tokens for {whom}")),
                }
                let directory = directory.display();
                Ok(Done::Remark(format!(
                    "revoked {}; copy {directory}/crl.pem into every --tls directory: running programs take it up by themselves",
                    each.join(", ")
                )))
            }
            Self::List { directory } => Ok(Done::Data(table(&list(&directory)?))),
        }
    }
}

fn table(all: &[Issued]) -> String {
    let mut table = String::new();
    for issued in all {
        let Identity { role, name } = &issued.identity;
        // Writing to a string cannot fail.
        let _ = write!(table, "{role:<10} {name:<20} {} {}", issued.end(), issued.number());
        let _ = match issued.revoked() {
            Some(at) => writeln!(table, " revoked {at}"),
            None => writeln!(table),
        };
    }
    table
}
