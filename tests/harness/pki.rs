//! A cluster's certificates, made by the program that makes them for everybody.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A certificate authority in a directory, and what it has issued beside it.
#[derive(Debug)]
pub struct Pki {
    nameserver: PathBuf,
    directory: PathBuf,
}

impl Pki {
    /// A new authority under `directory`, made by this name server program.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn init(nameserver: &Path, directory: PathBuf) -> Self {
        let pki = Self { nameserver: nameserver.to_owned(), directory };
        pki.run(&["init"], &[]);
        pki
    }

    /// Where the authority is.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("ca")
    }

    /// The directory of a certificate for this role and name, which is issued when it is first asked for.
    ///
    /// # Panics
    /// When it cannot be issued.
    pub fn issued(&self, role: &str, name: &str) -> PathBuf {
        let out = self.directory.join(format!("{role}-{name}"));
        if !out.exists() {
            let out = out.to_str().expect("a temporary directory's path is text");
            self.run(&["issue"], &["--role", role, "--name", name, "-o", out]);
        }
        out
    }

    fn run(&self, verb: &[&str], options: &[&str]) {
        let mut command = Command::new(&self.nameserver);
        command.arg("ca").args(verb).arg(self.authority()).args(options).stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
