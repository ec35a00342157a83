//! The files that the lines of a job name, so that no line is in another's way.
//!
//! Tasks run in any order, and some of them again when a job is gone on with. A file that a line writes is therefore named
//! by no other line: of two that write it the one that ends last would have it, and one that reads it would read now what
//! was there before and now what came after. Nor does the line read it itself, as it would read its own result when it
//! runs again. A line that can be read counts whatever becomes of it, unless its id is another's, so that a job that is gone on with
//! refuses what it refused before. Pipes and devices are everybody's.
//!
//! A file costs 32 bytes here, and some for the table, whatever it is called: see [`id`](super::id).

use super::{
    fields::{shorten, string},
    id::Digest,
    place::{identity, is_stdout},
    replace::Destination,
};
use rustc_hash::FxHashMap;
use sgdt_proto::task::TaskError;
use std::{
    collections::hash_map::Entry,
    path::{Path, PathBuf},
};

/// The files that were named so far, and where those are that lines name.
#[derive(Debug, Default)]
pub struct JobFiles {
    base: PathBuf,
    line: u64,
    digest: Digest,
    uses: FxHashMap<u128, Use>,
}

/// What a file is to the job.
#[derive(Clone, Copy, Debug)]
struct Use {
    /// The line that names it first.
    line: u64,
    is_written: bool,
}

impl JobFiles {
    /// Relative names are relative to `base`.
    pub fn relative_to(base: &Path) -> Self {
        Self { base: base.to_owned(), ..Self::default() }
    }

    /// What is named from here on is named by line `number`.
    pub(super) fn begin(&mut self, number: u64) {
        self.line = number;
    }

    /// The line reads a file. What is no file's name is passed over: [`input`](Self::input) refuses it.
    ///
    /// # Errors
    /// `invalid-input`: an earlier line writes this file.
    pub fn reads(&mut self, value: &str) -> Result<(), TaskError> {
        let Ok((shown, path)) = self.located("", value) else { return Ok(()) };
        let Some(file) = identity(&path) else { return Ok(()) };
        let used = Use { line: self.line, is_written: false };
        let known = self.uses.entry(self.digest.of(file)).or_insert(used);
        if known.is_written {
            return Err(TaskError::invalid_input(format!(
                "{shown:?} is the output of line {}, and tasks run in any order: read it in another job, after this one",
                known.line
            )));
        }
        Ok(())
    }

    /// The line writes a file. What is no file's name is passed over: [`output`](Self::output) refuses it.
    ///
    /// # Errors
    /// `invalid-input`: this line or an earlier one reads this file, or an earlier one writes it.
    pub fn writes(&mut self, value: &str) -> Result<(), TaskError> {
        let Ok((shown, path)) = self.located("", value) else { return Ok(()) };
        let is_device = path.metadata().is_ok_and(|about| !about.is_file());
        let Some(file) = identity(&path).filter(|_| !is_device) else { return Ok(()) };
        let Use { line, is_written } = match self.uses.entry(self.digest.of(file)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                free.insert(Use { line: self.line, is_written: true });
                return Ok(());
            }
        };
        Err(TaskError::invalid_input(if line == self.line {
            format!(
                "the output {shown:?} is what the task reads, and if the job is gone on with it may read its own result: \
                 name another"
            )
        } else {
            let what = if is_written { "output" } else { "input" };
            format!(
                "the output {shown:?} is line {line}'s {what}, too, and tasks run in any order: name another"
            )
        }))
    }

    /// The place of a file to be read: the string in the field `name`.
    ///
    /// # Errors
    /// `invalid-input`: it is no string, or an empty one.
    pub fn input(&self, name: &str, value: &str) -> Result<PathBuf, TaskError> {
        self.located(name, value).map(|(_, path)| path)
    }

    /// A file to be written: the string in the field `name`.
    ///
    /// # Errors
    /// `invalid-input`: it is no string, or no file's name, or it is `-`, because standard output is where result lines go;
    /// others as of [`Destination::new`].
    pub fn output(&self, name: &str, value: &str) -> Result<Destination, TaskError> {
        let (shown, path) = self.located(name, value)?;
        if shown == "-" || is_stdout(&path) {
            return Err(TaskError::invalid_input(format!(
                "{name:?} is a file, not standard output, where result lines go: leave it out to have the result in its \
                 line, or write \"./-\" for a file of that name"
            )));
        }
        Destination::file(shown, &path)
    }

    /// A name as it was given, and the file's place.
    fn located(&self, name: &str, value: &str) -> Result<(String, PathBuf), TaskError> {
        let shown = string(name, value)?.into_owned();
        if shown.is_empty() || shown.contains('\0') {
            return Err(TaskError::invalid_input(format!("{name:?} is no file's name: {}", shorten(value))));
        }
        let path = self.base.join(&shown);
        Ok((shown, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn what_one_line_writes_is_named_by_no_other_line() {
        let home = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::write(home.path().join(name), name).unwrap();
        }
        symlink("new", home.path().join("link")).unwrap();
        let mut files = JobFiles::relative_to(home.path());
        let mut refused = |line, verb: &str, name: &str| {
            files.begin(line);
            let value = format!("{name:?}");
            let done = if verb == "reads" { files.reads(&value) } else { files.writes(&value) };
            done.err().map(|error| error.message).unwrap_or_default()
        };
        // Many may read one file, and a device is everybody's.
        for (line, verb, name) in [
            (1, "reads", "a"),
            (2, "reads", "a"),
            (2, "reads", "later"),
            (3, "writes", "new"),
            (4, "writes", "/dev/null"),
            (5, "writes", "/dev/null"),
            (5, "reads", "/dev/null"),
        ] {
            assert_eq!(refused(line, verb, name), "", "{line} {verb} {name}");
        }
        let written =
            "the output \"./new\" is line 3's output, too, and tasks run in any order: name another";
        assert_eq!(refused(6, "writes", "./new"), written);
        assert_eq!(refused(6, "writes", "link"), written.replace("./new", "link"));
        let read = "the output \"a\" is line 1's input, too, and tasks run in any order: name another";
        // Also when another one was refused it meanwhile, and whether or not it is there.
        assert_eq!([refused(7, "writes", "a"), refused(8, "writes", "a")], [read; 2]);
        assert!(refused(7, "writes", "later").contains("is line 2's input"));
        let written = "\"new\" is the output of line 3, and tasks run in any order: read it in another job, after this one";
        assert_eq!(refused(8, "reads", "new"), written);
        assert_eq!([refused(9, "reads", "a"), refused(9, "reads", "b")], [""; 2]);
        let own = refused(9, "writes", "b");
        assert!(own.starts_with("the output \"b\" is what the task reads"), "{own}");
        for nothing in ["5", "\"\"", "\"missing/c\"", "\"..\""] {
            assert!(files.reads(nothing).is_ok() && files.writes(nothing).is_ok(), "{nothing}");
        }
    }

    #[test]
    fn a_name_is_a_string_and_relative_to_the_jobs_directory() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("d")).unwrap();
        let files = JobFiles::relative_to(home.path());
        let good = files.output("output", r#""d/c.npy""#).unwrap();
        good.write(&[b"x"]).unwrap();
        let written = home.path().join("d/c.npy");
        assert_eq!((good.shown(), fs::read(&written).unwrap()), ("d/c.npy", b"x".to_vec()));
        assert_eq!(files.input("npy", r#""d/c.npy""#).unwrap(), written);
        for (value, message) in [
            ("5", r#"invalid-input: "output" takes a string, not 5"#),
            (r#""""#, r#"invalid-input: "output" is no file's name: """#),
            (r#""\u0000""#, r#"invalid-input: "output" is no file's name: "\u0000""#),
            (r#""..""#, r#"invalid-input: the output ".." is a directory: name a file in it"#),
            (r#""d""#, r#"invalid-input: the output "d" is a directory: name a file in it"#),
            (r#""c/""#, r#"invalid-input: the output "c/" is no file's name"#),
        ] {
            assert_eq!(files.output("output", value).unwrap_err().to_string(), message);
        }
        for value in [r#""-""#, r#""/dev/stdout""#] {
            let error = files.output("output", value).unwrap_err().message;
            assert!(error.starts_with("\"output\" is a file, not standard output"), "{error}");
        }
        // It may well be there when the job is gone on with.
        let error = files.output("output", r#""no/c.npy""#).unwrap_err().to_string();
        assert!(
            error.starts_with("gave-up: cannot write no/c.npy: the directory ")
                && error.ends_with("no does not exist"),
            "{error}"
        );
    }
}
