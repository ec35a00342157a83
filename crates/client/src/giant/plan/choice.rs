//! What people may ask for: `auto`, `local`, `one` or `split:N`.

use std::{fmt, num::NonZeroU32, str::FromStr};

/// Where a task is to be computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Choice {
    /// Wherever is predicted to be fastest.
    #[default]
    Auto,
    /// In this process.
    Local,
    /// As a whole on one worker.
    One,
    /// In at least so many pieces on the workers.
    Split(NonZeroU32),
}

/// Why a piece of text is no choice.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("write auto, local, one, or split:N with N from 1 to {MOST}")]
pub struct InvalidChoice;

const MOST: u32 = 4096;

impl FromStr for Choice {
    type Err = InvalidChoice;

    fn from_str(text: &str) -> Result<Self, InvalidChoice> {
        match text {
            "auto" => Ok(Self::Auto),
            "local" => Ok(Self::Local),
            "one" => Ok(Self::One),
            _ => {
                let pieces = text.strip_prefix("split:").and_then(|pieces| pieces.parse().ok());
                let pieces = pieces.filter(|pieces: &NonZeroU32| pieces.get() <= MOST);
                pieces.map(Self::Split).ok_or(InvalidChoice)
            }
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Local => f.write_str("local"),
            Self::One => f.write_str("one"),
            Self::Split(pieces) => write!(f, "split:{pieces}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_written_as_they_are_read() {
        for text in ["auto", "local", "one", "split:1", "split:4096"] {
            assert_eq!(text.parse::<Choice>().unwrap().to_string(), text);
        }
        for text in ["", "Auto", "split", "split:", "split:0", "split:4097", "split:-1", "one:2"] {
            assert_eq!(text.parse::<Choice>(), Err(InvalidChoice), "{text}");
        }
    }
}
