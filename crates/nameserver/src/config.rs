//! What a name server is told when it starts.

use std::{fmt, str::FromStr, time::Duration};

/// Where to listen and how long leases last. Valid by its types.
#[derive(Clone, PartialEq, Eq, Debug, clap::Args)]
pub struct Config {
    /// Where to listen, as HOST:PORT; port 0 picks a free one
    #[arg(long, value_name = "ADDR", env = "SGDT_LISTEN", default_value = DEFAULT_LISTEN)]
    pub listen: String,

    /// How long a worker is believed to live after its last sign of life
    #[arg(long, value_name = "DURATION", env = "SGDT_LEASE_TTL", default_value_t)]
    pub lease_ttl: LeaseTtl,

    /// Listen on other than loopback addresses, though nothing is encrypted and nobody is authenticated
    #[arg(long, env = "SGDT_INSECURE", value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure: bool,
}

const DEFAULT_LISTEN: &str = "127.0.0.1:7400";

impl Default for Config {
    fn default() -> Self {
        Self { listen: DEFAULT_LISTEN.to_owned(), lease_ttl: LeaseTtl::default(), insecure: false }
    }
}

/// How long a lease lives unless it is renewed: from [`LeaseTtl::MIN`] to [`LeaseTtl::MAX`].
///
/// Written as people write durations: `5s`, `1m 30s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LeaseTtl(Duration);

impl LeaseTtl {
    /// The shortest. Renewals come at a third of it, which must be well above a round trip.
    pub const MIN: Duration = Duration::from_millis(100);
    /// The longest. A worker that dies without a word keeps its name for as long.
    pub const MAX: Duration = Duration::from_secs(3600);

    /// The duration.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Default for LeaseTtl {
    fn default() -> Self {
        Self(Duration::from_secs(5))
    }
}

impl TryFrom<Duration> for LeaseTtl {
    type Error = InvalidLeaseTtl;

    fn try_from(ttl: Duration) -> Result<Self, InvalidLeaseTtl> {
        if (Self::MIN..=Self::MAX).contains(&ttl) {
            Ok(Self(ttl))
        } else {
            Err(InvalidLeaseTtl::Bounds { ttl })
        }
    }
}

impl FromStr for LeaseTtl {
    type Err = InvalidLeaseTtl;

    fn from_str(text: &str) -> Result<Self, InvalidLeaseTtl> {
        humantime::parse_duration(text).map_err(InvalidLeaseTtl::Syntax)?.try_into()
    }
}

impl fmt::Display for LeaseTtl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// Why something is no lease's duration.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum InvalidLeaseTtl {
    /// It is not a duration.
    #[error("{0}; write it as 500ms or 5s")]
    Syntax(humantime::DurationError),
    /// It is too short or too long.
    #[error("a lease of {} is not between {} and {}", humantime::format_duration(*.ttl), LeaseTtl(LeaseTtl::MIN), LeaseTtl(LeaseTtl::MAX))]
    Bounds {
        /// How long.
        ttl: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        config: Config,
    }

    fn parse(args: &[&str]) -> Result<Config, String> {
        let args = Args::try_parse_from(["nameserver"].iter().chain(args));
        args.map(|args| args.config).map_err(|error| error.to_string())
    }

    #[test]
    fn no_arguments_mean_the_defaults_that_embedding_has() {
        assert_eq!(parse(&[]).unwrap(), Config::default());
        assert_eq!(Config::default().lease_ttl.get(), Duration::from_secs(5));
    }

    #[test]
    fn leases_are_bounded_on_both_sides_and_the_error_says_by_what() {
        let ttl = |text: &str| parse(&["--lease-ttl", text]).map(|config| config.lease_ttl.get());
        assert_eq!(ttl("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(ttl("1h"), Ok(Duration::from_secs(3600)));
        for (bad, expected) in [
            ("99ms", "a lease of 99ms is not between 100ms and 1h"),
            ("1h 1s", "a lease of 1h 1s is not between"),
            ("0s", "a lease of 0s is not between"),
            ("5", "write it as 500ms or 5s"),
            ("soon", "write it as 500ms or 5s"),
            ("99999999999999999999999s", "write it as"),
        ] {
            let error = ttl(bad).unwrap_err();
            assert!(error.contains(expected) && error.contains(bad), "{error}");
        }
    }
}
