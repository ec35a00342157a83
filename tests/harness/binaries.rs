//! Where the programs under test are.
//!
//! They are built once per test process, in the profile and the target directory of the test itself, so that
//! `cargo test --release` tests release binaries. Several test processes may ask at once: cargo's lock on the
//! target directory lines them up. `SGDT_BIN_DIR` names a directory that already holds them instead.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The three programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `nameserver`.
    pub nameserver: PathBuf,
    /// `worker`.
    pub worker: PathBuf,
    /// `client`.
    pub client: PathBuf,
}

/// The three programs, built when first asked for.
///
/// # Panics
/// When they do not build; the message has cargo's words.
pub fn programs() -> &'static Binaries {
    static PROGRAMS: OnceLock<Built<Binaries>> = OnceLock::new();
    let packages = ["-p", "sgdt-nameserver", "-p", "sgdt-worker", "-p", "sgdt-client", "--bins"];
    told(PROGRAMS.get_or_init(|| {
        let directory = prebuilt_or_built(&packages)?;
        let at = |name| existing(directory.join(name));
        Ok(Binaries { nameserver: at("nameserver")?, worker: at("worker")?, client: at("client")? })
    }))
}

/// The example of a user's own worker, built when first asked for.
///
/// # Panics
/// When it does not build; the message has cargo's words.
pub fn pi_worker() -> &'static Path {
    static PI: OnceLock<Built<PathBuf>> = OnceLock::new();
    let built = PI.get_or_init(|| {
        // Of the whole workspace, as its tests are built: its libraries need not be built once more for it.
        let directory = prebuilt_or_built(&["--workspace", "--example", "pi"])?;
        existing(directory.join("examples/pi"))
    });
    told::<PathBuf>(built)
}

/// A build is tried once, also when it fails: every test that wants it is then told why.
type Built<T> = Result<T, String>;

fn told<T>(built: &Built<T>) -> &T {
    built.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

fn existing(path: PathBuf) -> Built<PathBuf> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("no program at {}: build it, or correct SGDT_BIN_DIR", path.display()))
    }
}

/// The directory that holds the selected programs.
fn prebuilt_or_built(selection: &[&str]) -> Built<PathBuf> {
    if let Some(directory) = env::var_os("SGDT_BIN_DIR") {
        return Ok(directory.into());
    }
    let test = env::current_exe().expect("a running test has a path");
    let (target, profile) = target_and_profile(&test);
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--locked", "--quiet", "--target-dir"])
        .arg(&target)
        .args(["--profile", if profile == "debug" { "dev" } else { &profile }])
        .args(selection)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if built.status.success() {
        Ok(target.join(profile))
    } else {
        let words = String::from_utf8_lossy(&built.stderr);
        Err(format!("cargo could not build {selection:?}:\n{words}"))
    }
}

/// Splits the path of a test, `TARGET/PROFILE/deps/NAME-HASH`.
fn target_and_profile(test: &Path) -> (PathBuf, String) {
    let parts = || {
        let profile = test.ancestors().find(|path| path.ends_with("deps"))?.parent()?;
        Some((profile.parent()?.to_path_buf(), profile.file_name()?.to_str()?.to_owned()))
    };
    parts().unwrap_or_else(|| {
        panic!(
            "{} is not in cargo's target directory: name the programs' directory in SGDT_BIN_DIR",
            test.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_of_the_test_is_the_profile_of_the_programs() {
        let split = |path| target_and_profile(Path::new(path));
        assert_eq!(split("/w/target/debug/deps/e2e-0f"), ("/w/target".into(), "debug".into()));
        assert_eq!(split("/w/deps/t/release/deps/e2e-0f"), ("/w/deps/t".into(), "release".into()));
    }

    #[test]
    fn the_running_test_is_where_cargo_put_it() {
        let (target, profile) = target_and_profile(&env::current_exe().unwrap());
        assert!(target.join(profile).join("deps").is_dir());
    }
}
