//! The files that the lines of a job name, so that no line is in another's way.
//!
//! Tasks run in any order, and some of them again when a job is gone on with. A file that one line writes is therefore no
//! other line's: of two that write it the one that ends last would have it, and one that reads it would read now what
//! was there before and now what came after. A line may write what it has read itself.
//!
//! A file costs 16 bytes here, and some for the table, whatever it is called: see [`id`](super::id).

use super::{
    fields::{shorten, string},
    id::Digest,
    replace::Destination,
    text,
};
use rustc_hash::FxHashMap;
use sgdt_proto::task::TaskError;
use std::path::{Path, PathBuf};

/// The files that were named so far, and where those are that the next line names.
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
    /// The line that names it first, or that writes it.
    line: u64,
    is_written: bool,
}

impl JobFiles {
    /// Relative names are relative to `base`.
    pub fn relative_to(base: &Path) -> Self {
        Self { base: base.to_owned(), ..Self::default() }
    }

    /// What is named from here on is named by line `number`.
    pub fn begin(&mut self, number: u64) {
        self.line = number;
    }

    /// A file that the line reads: the string in the field `name`.
    ///
    /// # Errors
    /// `invalid-input`: it is no string, or an empty one, or another line writes this file.
    pub fn input(&mut self, name: &str, value: &str) -> Result<PathBuf, TaskError> {
        let (shown, path) = self.located(name, value)?;
        // What is no regular file, or not there, has no result of another line in it.
        if let Some(file) = path.canonicalize().ok().filter(|file| file.is_file()) {
            let line = self.line;
            let known = self.uses.entry(self.digest.of(&file)).or_insert(Use { line, is_written: false });
            if known.is_written && known.line != line {
                return Err(TaskError::invalid_input(format!(
                    "{shown:?} is what line {} writes, and tasks run in any order: leave it to another job, after this one",
                    known.line
                )));
            }
        }
        Ok(path)
    }

    /// A file that the line writes: the string in the field `name`.
    ///
    /// # Errors
    /// `invalid-input`: it is no string, or no file that can be written (see [`Destination::new`]), or it is `-`, because
    /// standard output is where result lines go; or another line reads or writes this file.
    pub fn output(&mut self, name: &str, value: &str) -> Result<Destination, TaskError> {
        let (shown, path) = self.located(name, value)?;
        if shown == "-" || text::is_stdout(&path) {
            return Err(TaskError::invalid_input(format!(
                "{name:?} is a file, not standard output, where result lines go: leave it out to have the result in its \
                 line, or write \"./-\" for a file of that name"
            )));
        }
        let output = Destination::file(shown.clone(), &path)?;
        if let Some(file) = output.target() {
            let line = self.line;
            let written = Use { line, is_written: true };
            let known = self.uses.entry(self.digest.of(file)).or_insert(written);
            if known.line != line {
                let verb = if known.is_written { "writes" } else { "reads" };
                return Err(TaskError::invalid_input(format!(
                    "the output {shown:?} is what line {} {verb}, and tasks run in any order: name another",
                    known.line
                )));
            }
            *known = written;
        }
        Ok(output)
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

    /// Line 1 reads, line 2 writes, and so on.
    fn named(
        files: &mut JobFiles,
        line: u64,
        access: fn(&mut JobFiles, &str) -> Option<TaskError>,
        name: &str,
    ) -> String {
        files.begin(line);
        access(files, &format!("{name:?}")).map(|error| error.message).unwrap_or_default()
    }

    fn read(files: &mut JobFiles, name: &str) -> Option<TaskError> {
        files.input("npy", name).err()
    }

    fn write(files: &mut JobFiles, name: &str) -> Option<TaskError> {
        files.output("output", name).err()
    }

    #[test]
    fn what_one_line_writes_is_no_other_lines() {
        let home = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            fs::write(home.path().join(name), name).unwrap();
        }
        symlink("new", home.path().join("link")).unwrap();
        let mut files = JobFiles::relative_to(home.path());
        let mut named = |line, access, name| named(&mut files, line, access, name);
        // Many may read one file, and a line may write what it reads.
        assert_eq!([named(1, read, "a"), named(2, read, "a"), named(2, read, "b")], [""; 3]);
        assert_eq!([named(2, write, "b"), named(3, write, "new"), named(4, write, "/dev/null")], [""; 3]);
        assert_eq!(named(5, write, "/dev/null"), "");
        let written = "the output \"./new\" is what line 3 writes, and tasks run in any order: name another";
        assert_eq!(named(5, write, "./new"), written);
        assert_eq!(named(6, write, "link"), written.replace("./new", "link"));
        let read_before = "the output \"a\" is what line 1 reads, and tasks run in any order: name another";
        assert_eq!(named(7, write, "a"), read_before);
        assert_eq!(
            named(8, read, "b"),
            "\"b\" is what line 2 writes, and tasks run in any order: leave it to another job, after this one"
        );
        // The refused ones have not become those of another line.
        assert_eq!([named(9, read, "a"), named(9, write, "c")], [""; 2]);
        assert_eq!(named(10, write, "a"), read_before);
    }

    #[test]
    fn a_name_is_a_string_and_relative_to_the_jobs_directory() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("d")).unwrap();
        let mut files = JobFiles::relative_to(home.path());
        let good = files.output("output", r#""d/c.npy""#).unwrap();
        good.write(&[b"x"]).unwrap();
        let written = home.path().join("d/c.npy");
        assert_eq!((good.shown(), fs::read(&written).unwrap()), ("d/c.npy", b"x".to_vec()));
        assert_eq!(files.input("npy", r#""d/c.npy""#).unwrap(), written);
        for (value, message) in [
            ("5", r#"invalid-input: "output" takes a string, not 5"#),
            (r#""""#, r#"invalid-input: "output" is no file's name: """#),
            (r#""\u0000""#, r#"invalid-input: "output" is no file's name: "\u0000""#),
            (r#""..""#, r#"invalid-input: the output ".." is no file's name"#),
            (r#""d""#, r#"invalid-input: the output "d" is no file's name"#),
        ] {
            assert_eq!(files.output("output", value).unwrap_err().to_string(), message);
        }
        for value in [r#""-""#, r#""/dev/stdout""#] {
            let error = files.output("output", value).unwrap_err().message;
            assert!(error.starts_with("\"output\" is a file, not standard output"), "{error}");
        }
        let error = files.output("output", r#""no/c.npy""#).unwrap_err().to_string();
        assert!(
            error.starts_with("invalid-input: cannot write no/c.npy: the directory ")
                && error.ends_with("no does not exist"),
            "{error}"
        );
    }
}
