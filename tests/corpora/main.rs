//! Bytes that once were news to a fuzzer, or broke something: see `tests/fuzz`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test reports by failing")]

mod entry;

use std::{fs, path::Path};

#[test]
fn nothing_that_was_found_breaks_anything() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    for (name, run) in entry::ALL {
        let mut replayed = 0;
        for file in fs::read_dir(home.join(name)).unwrap() {
            let path = file.unwrap().path();
            // Shown when it fails: a panic does not say for which bytes.
            println!("{}", path.display());
            run(&fs::read(&path).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "the corpus {name} is empty");
    }
}
