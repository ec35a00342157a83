//! The bugs that `scripts/sim-mutants.sh` puts back must still fit the code that they are put back into.

use std::{fs, path::Path};

#[test]
fn every_mutant_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut patches = 0;
    for entry in fs::read_dir(root.join("tests/sim/mutants")).unwrap() {
        let path = entry.unwrap().path();
        let patch = fs::read_to_string(&path).unwrap();
        let mut target = None;
        for (file, hunk) in hunks(&patch) {
            let source = fs::read_to_string(root.join(file)).unwrap();
            assert!(source.contains(&hunk), "{}: {file} has no such lines:\n{hunk}", path.display());
            target = Some(file);
        }
        assert!(target.is_some(), "{} changes nothing", path.display());
        patches += 1;
    }
    assert!(patches >= 6, "{patches}");
}

/// What a patch in the unified format expects to find: for each hunk, in which file, and the lines.
fn hunks(patch: &str) -> Vec<(&str, String)> {
    let mut hunks = Vec::new();
    let mut file = "";
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path;
        } else if line.starts_with("@@") {
            hunks.push((file, String::new()));
        } else if let Some((_, lines)) = hunks.last_mut()
            && let Some(text) = line.strip_prefix([' ', '-'])
            && !line.starts_with("--- ")
        {
            lines.push_str(text);
            lines.push('\n');
        }
    }
    hunks
}
