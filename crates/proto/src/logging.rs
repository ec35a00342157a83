//! Logs: to standard error, for people or for machines.

use std::{env, fmt, io, str::FromStr};
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// A line of text for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is neither \"text\" nor \"json\"")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Starts logging, filtered by `SGDT_LOG`, else `RUST_LOG`, else `default`, which is a level such as `info`.
/// Does nothing where logging has been started already.
pub fn init(format: LogFormat, default: &str) {
    let asked = ["SGDT_LOG", "RUST_LOG"].into_iter().find_map(|name| env::var(name).ok());
    // tarpc opens a span for every call at level info, which would cost more than the call. What is asked for
    // comes later and so wins.
    let filter = EnvFilter::new(format!("tarpc=off,{}", asked.as_deref().unwrap_or(default)));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    let started = match format {
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    drop(started);
}
