//! See `entry::identity`.
#![no_main]

#[path = "../../corpora/entry.rs"]
#[allow(dead_code, reason = "each target takes one")]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::identity(bytes));
