//! A cluster's certificates, made by the program that makes them for everybody.

use std::{
    fs,
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
        pki.ca("init", &[]);
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
            self.ca("issue", &["--role", role, "--name", name, "-o", out]);
        }
        out
    }

    /// Issues another certificate for this role and name, into a directory of this name; the old one stays good.
    ///
    /// # Panics
    /// When it cannot be issued.
    pub fn issued_anew(&self, role: &str, name: &str, directory: &str) -> PathBuf {
        let out = self.directory.join(directory);
        let path = out.to_str().expect("a temporary directory's path is text");
        self.ca("issue", &["--role", role, "--name", name, "-o", path]);
        out
    }

    /// Makes a join token for this role.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn token(&self, role: &str, options: &[&str]) -> String {
        let line = self.program("token", "create", &[&["--role", role], options].concat());
        line.trim_end().to_owned()
    }

    /// The numbers of the certificates that were issued to this name, in order.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub fn serials(&self, name: &str) -> Vec<String> {
        let lines = self.ca("list", &[]);
        let rows = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row.get(1) == Some(&name)).map(|row| row[3].to_owned()).collect()
    }

    /// Revokes what was issued to this name, or under this number, and puts the list into these directories.
    ///
    /// # Panics
    /// When nothing was, or it cannot be written.
    pub fn revoke(&self, whom: &str, tell: &[&Path]) {
        self.ca("revoke", &[whom]);
        for directory in tell {
            // In one step: the one that is there may be read meanwhile.
            let (new, list) = (directory.join("crl.new"), directory.join("crl.pem"));
            fs::copy(self.authority().join("crl.pem"), &new).expect("there is a list");
            fs::rename(new, list).expect("the directory can be written to");
        }
    }

    fn ca(&self, verb: &str, options: &[&str]) -> String {
        self.program("ca", verb, options)
    }

    fn program(&self, what: &str, verb: &str, options: &[&str]) -> String {
        let mut command = Command::new(&self.nameserver);
        command.args([what, verb]).arg(self.authority()).args(options).stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the program says text")
    }
}
