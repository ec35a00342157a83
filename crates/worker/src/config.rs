//! What a worker can be told: the command line, and the configuration that comes of it.

use crate::machine;
use clap::Parser;
use rand::{SeedableRng, rngs::SmallRng};
use sgdt_proto::{
    id::{InvalidName, WorkerId, WorkerName},
    join::token::Token,
    logging::LogFormat,
    name_server::limits,
    size::ByteSize,
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Registers with name servers and runs the tasks that clients send.
#[derive(Parser, Clone, Debug)]
#[command(name = "worker", version, args_override_self = true)]
pub struct Args {
    /// The name servers to register with, as host:port; several are separated by commas
    #[arg(
        long,
        env = "SGDT_NAMESERVER",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "127.0.0.1:7400"
    )]
    pub nameserver: Vec<String>,
    /// Where to listen for clients; port 0 picks a free one
    #[arg(long, env = "SGDT_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// Where clients reach this worker, if that is not where it listens
    #[arg(long, env = "SGDT_ADVERTISE", value_name = "ADDR")]
    pub advertise: Option<String>,
    /// What to call this worker [default: the name in its certificate, else the machine's and four random hexadecimal digits]
    #[arg(long, env = "SGDT_NAME")]
    pub name: Option<WorkerName>,
    /// How many tasks run at a time [default: one for each core]
    #[arg(long, env = "SGDT_SLOTS", value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::SLOTS)))]
    pub slots: Option<u32>,
    /// How many tasks, of all clients together, may wait for a slot; their inputs at most in a quarter of the memory
    #[arg(long, env = "SGDT_QUEUE", value_name = "N", default_value_t = Config::QUEUE)]
    pub queue: usize,
    /// The most memory that a task may need [default: the machine's, divided by the slots]
    #[arg(long, env = "SGDT_TASK_MEMORY", value_name = "SIZE")]
    pub task_memory: Option<ByteSize>,
    /// The most memory for inputs that many tasks have and clients send once; 0 for none [default: an eighth of the
    /// machine's]
    #[arg(long, env = "SGDT_BLOB_MEMORY", value_name = "SIZE")]
    pub blob_memory: Option<ByteSize>,
    /// A label for people to tell workers apart by; may be given several times
    #[arg(long = "tag", env = "SGDT_TAG", value_name = "K=V", value_delimiter = ',', value_parser = parse_tag)]
    pub tags: Vec<(String, String)>,
    /// How long running tasks may go on when the worker is asked to leave
    #[arg(long, env = "SGDT_DRAIN_TIMEOUT", value_name = "DUR", default_value = "30s",
        value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,
    /// Serve the diagnostic kinds, too: echo, sleep, spin, panic and abort
    #[arg(long, env = "SGDT_DIAGNOSTICS", value_parser = clap::builder::BoolishValueParser::new())]
    pub diagnostics: bool,
    /// Answer wrongly: this share of all tasks, from 0 to 1. For trying out the client's --verify
    #[arg(long, env = "SGDT_WRONG_ANSWERS", value_name = "SHARE", requires = "diagnostics", hide = true,
        value_parser = share)]
    pub wrong_answers: Option<f64>,
    /// Encrypt and authenticate everything, with the ca.pem, cert.pem and key.pem in this directory, which is read anew
    /// when it changes
    #[arg(long, env = "SGDT_TLS", value_name = "DIR")]
    pub tls: Option<PathBuf>,
    /// Get the certificate first, if there is none in the directory of --tls: with a token that `nameserver token create` has
    /// printed
    #[arg(long, env = "SGDT_JOIN", value_name = "TOKEN", requires = "tls", hide_env_values = true)]
    pub join: Option<Token>,
    /// Without --tls: let everybody who can reach this machine run tasks on it
    #[arg(long, env = "SGDT_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure: bool,
    /// How log lines are written: text or json
    #[arg(long, env = "SGDT_LOG_FORMAT", value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
}

/// Why a piece of text is no share.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("write a number from 0 to 1, such as 0.1")]
struct InvalidShare;

fn share(text: &str) -> Result<f64, InvalidShare> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or(InvalidShare)
}

/// Why a command line makes no worker.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not an address.
    #[error("--{flag} {value:?} is no address; write host:port, for example 127.0.0.1:7400")]
    Address {
        /// The flag that was given.
        flag: &'static str,
        /// Its value.
        value: String,
    },
    /// Two values for one tag.
    #[error("--tag {key} is given twice; give each tag once")]
    Tag {
        /// The tag.
        key: String,
    },
    /// It is to be called other than its certificate says.
    #[error("--name {name} is not the name in {}, which is {certified}; leave --name out, or issue a certificate for it", directory.display())]
    Certified {
        /// What was asked for.
        name: WorkerName,
        /// What the certificate says.
        certified: WorkerName,
        /// Where the certificate is.
        directory: PathBuf,
    },
    /// The machine's name cannot be a worker's.
    #[error("{0}; give the worker a --name")]
    Name(#[from] InvalidName),
}

/// A worker to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which start of a worker this is: drawn at random, and what its other randomness is drawn from.
    pub id: WorkerId,
    /// What people call it.
    pub name: WorkerName,
    /// Where to register, each as `host:port`. With none the worker serves those who know its address.
    pub nameservers: Vec<String>,
    /// Where to listen, as `host:port`; port 0 picks a free one.
    pub listen: String,
    /// Where clients reach it, as `host:port`, if that is not where it listens.
    pub advertise: Option<String>,
    /// How many tasks run at a time; at least one.
    pub slots: u32,
    /// How many tasks may wait while all slots are busy. Their inputs may take a quarter of the machine's memory.
    pub queue: usize,
    /// The most memory that a task may need, in bytes.
    pub task_memory: u64,
    /// The most memory that blobs, inputs that clients send once, may take, in bytes.
    pub blob_memory: u64,
    /// Labels for people.
    pub tags: BTreeMap<String, String>,
    /// How long running tasks may go on once the worker is asked to leave.
    pub drain_timeout: Duration,
    /// Whether to listen where other machines can connect.
    pub insecure: bool,
}

impl Config {
    /// How many tasks may wait, unless said otherwise.
    pub const QUEUE: usize = 4096;
    /// How long running tasks may go on at a drain, unless said otherwise.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

    /// A worker on this machine's loopback, with a slot for each core and the defaults of the command line.
    pub fn new(id: WorkerId, name: WorkerName, nameservers: Vec<String>) -> Self {
        let slots = machine::cores();
        Self {
            id,
            name,
            nameservers,
            listen: "127.0.0.1:0".to_owned(),
            advertise: None,
            slots,
            queue: Self::QUEUE,
            task_memory: machine::memory() / u64::from(slots),
            blob_memory: machine::memory() / 8,
            tags: BTreeMap::new(),
            drain_timeout: Self::DRAIN_TIMEOUT,
            insecure: false,
        }
    }
}

impl Args {
    /// Makes sure that what should be addresses are.
    pub(crate) fn check_addresses(&self) -> Result<(), ConfigError> {
        for nameserver in &self.nameserver {
            check_address("nameserver", nameserver, false)?;
        }
        check_address("listen", &self.listen, true)?;
        match &self.advertise {
            Some(address) => check_address("advertise", address, false),
            None => Ok(()),
        }
    }
}

impl TryFrom<Args> for Config {
    type Error = ConfigError;

    fn try_from(args: Args) -> Result<Self, ConfigError> {
        args.check_addresses()?;
        let id = WorkerId::random(&mut SmallRng::from_os_rng());
        let name = match args.name {
            Some(name) => name,
            None => format!("{}-{:04x}", machine::hostname(), id.0 & 0xffff).parse()?,
        };
        let mut config = Self::new(id, name, args.nameserver);
        config.listen = args.listen;
        config.advertise = args.advertise;
        config.slots = args.slots.unwrap_or(config.slots);
        config.queue = args.queue;
        config.task_memory =
            args.task_memory.map_or_else(|| machine::memory() / u64::from(config.slots), |size| size.0);
        config.blob_memory = args.blob_memory.map_or(config.blob_memory, |size| size.0);
        for (key, value) in args.tags {
            if config.tags.insert(key.clone(), value).is_some() {
                return Err(ConfigError::Tag { key });
            }
        }
        config.drain_timeout = args.drain_timeout;
        config.insecure = args.insecure;
        Ok(config)
    }
}

fn check_address(flag: &'static str, value: &str, any_port: bool) -> Result<(), ConfigError> {
    let fine = value.len() <= limits::ADDRESS
        && value.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| any_port || port != 0)
        });
    if fine { Ok(()) } else { Err(ConfigError::Address { flag, value: value.chars().take(300).collect() }) }
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a tag as key=value, for example rack=7".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn config(args: &[&str]) -> Result<Config, String> {
        let args = Args::try_parse_from(std::iter::once(&"worker").chain(args)).map_err(|e| e.to_string())?;
        Config::try_from(args).map_err(|e| e.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_manual_and_every_flag_has_its_variable() {
        let defaults = config(&[]).unwrap();
        assert_eq!(defaults.nameservers, ["127.0.0.1:7400"]);
        assert_eq!((defaults.listen.as_str(), defaults.queue), ("127.0.0.1:0", 4096));
        assert_eq!(defaults.drain_timeout, Duration::from_secs(30));
        assert!(defaults.slots >= 1 && defaults.task_memory > 0);
        let digits = format!("{:016x}", defaults.id.0);
        assert!(defaults.name.as_str().ends_with(&format!("-{}", &digits[12..])), "{}", defaults.name);
        Args::command().debug_assert();
        for arg in
            Args::command().get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
        {
            let flag = arg.get_long().unwrap().replace('-', "_").to_uppercase();
            assert_eq!(arg.get_env().unwrap().to_str().unwrap(), format!("SGDT_{flag}"));
        }
    }

    #[test]
    fn what_is_given_is_taken() {
        let given = config(&[
            "--nameserver=a:1,b:2",
            "--listen=0.0.0.0:9",
            "--advertise=w.example:9",
            "--name=w1",
            "--slots=3",
            "--queue=0",
            "--task-memory=64MiB",
            "--blob-memory=3GiB",
            "--tag=rack=7",
            "--tag=gpu=",
            "--drain-timeout=1m 30s",
            "--insecure",
        ])
        .unwrap();
        assert_eq!(given.nameservers, ["a:1", "b:2"]);
        assert_eq!((given.name.as_str(), given.slots, given.queue), ("w1", 3, 0));
        assert_eq!((given.task_memory, given.blob_memory), (64 << 20, 3 << 30));
        assert_eq!(given.tags, BTreeMap::from([("gpu".into(), "".into()), ("rack".into(), "7".into())]));
        assert_eq!(given.drain_timeout, Duration::from_secs(90));
        assert!(given.insecure);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        for (arg, expected) in [
            ("--nameserver=localhost", "--nameserver \"localhost\" is no address"),
            ("--nameserver=localhost:0", "localhost:0"),
            ("--nameserver=", "no address"),
            ("--listen=:7400", ":7400"),
            ("--advertise=h:99999", "h:99999"),
            ("--name=a/b", "a/b"),
            ("--slots=0", "0"),
            ("--slots=65537", "65537"),
            ("--task-memory=64XB", "64XB"),
            ("--tag=rack", "key=value"),
            ("--tag=a=1,a=2", "--tag a is given twice"),
            ("--drain-timeout=soon", "soon"),
            ("--log-format=xml", "xml"),
        ] {
            let error = config(&[arg]).unwrap_err();
            assert!(error.contains(expected), "{arg}: {error}");
        }
    }
}
