//! Identifiers. Each is a newtype, so that one cannot stand where another is meant.

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A task's number within its job.
    TaskId(u64)
);
number!(
    /// Which dispatch of a task this is, counted from 1.
    Attempt(u32)
);
number!(
    /// Moves whenever the set of members changes or can first be relied on, and at no other time.
    Revision(u64)
);

macro_rules! random {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Written as 16 hexadecimal digits for people, as eight bytes between machines.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// Draws a new one.
            pub fn random(rng: &mut impl rand::Rng) -> Self {
                Self(rng.random())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.to_le_bytes().serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    u64::from_str_radix(&text, 16).map(Self).map_err(de::Error::custom)
                } else {
                    Ok(Self(u64::from_le_bytes(<[u8; 8]>::deserialize(deserializer)?)))
                }
            }
        }
    };
}

random!(
    /// One start of one worker process. A restart is a new identity, even under the same name.
    WorkerId
);
random!(
    /// The tasks of one client run.
    JobId
);
random!(
    /// One start of one name server. A restart begins with an empty registry and a new epoch.
    Epoch
);

/// The fence around a result: it is accepted only for the attempt that is still wanted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The job that the task belongs to.
    pub job: JobId,
    /// The task within the job.
    pub task: TaskId,
    /// Which dispatch of the task.
    pub attempt: Attempt,
}

/// Why a piece of text cannot be a name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{text:?} is not a valid name: use 1 to {MAX_NAME} letters, digits, '.', '_' or '-', the first a letter or a digit"
)]
pub struct InvalidName {
    text: String,
}

/// The longest name, in bytes.
pub const MAX_NAME: usize = 64;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// One to [`MAX_NAME`] ASCII letters, digits, `.`, `_` and `-`, so that it can be printed, logged
        /// and used in a path as it is.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "CompactString", into = "CompactString")]
        pub struct $name(CompactString);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<CompactString> for $name {
            type Error = InvalidName;

            fn try_from(text: CompactString) -> Result<Self, InvalidName> {
                let valid = text.len() <= MAX_NAME
                    && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
                if valid { Ok(Self(text)) } else { Err(InvalidName { text: shorten(&text) }) }
            }
        }

        impl From<$name> for CompactString {
            fn from(name: $name) -> CompactString {
                name.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(CompactString::from(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// What people call a worker.
    WorkerName
);
name!(
    /// What a task computes: `matmul`, `sort`, or a user's own.
    Kind
);

/// Keeps an error message about a hostile name short.
fn shorten(text: &str) -> String {
    text.chars().take(MAX_NAME + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_to_print_and_to_use_in_paths() {
        for good in ["w1", "a", "gpu-node.7", "A_b", &"x".repeat(MAX_NAME)] {
            assert_eq!(good.parse::<WorkerName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-w", "a/b", "a b", "a\n", "\u{1b}[31m", "é", &"x".repeat(MAX_NAME + 1)] {
            assert!(bad.parse::<WorkerName>().is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<Kind>(&json).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn random_ids_are_hexadecimal_for_people_and_fixed_width_for_machines() {
        let id = WorkerId(0xab);
        assert_eq!(serde_json::to_string(&id).unwrap(), r#""00000000000000ab""#);
        assert_eq!(serde_json::from_str::<WorkerId>(r#""00000000000000ab""#).unwrap(), id);
        let bytes = postcard::to_stdvec(&id).unwrap();
        assert_eq!(bytes.len(), 8);
        assert_eq!(postcard::from_bytes::<WorkerId>(&bytes).unwrap(), id);
    }
}
