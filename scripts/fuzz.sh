#!/usr/bin/env bash
# Fuzzes what strangers' bytes reach first: each target for so long, one after the other, at the lowest priority. What is
# new goes to target/fuzz/corpus; what breaks something ends the script, and its bytes are in target/fuzz/artifacts.
# Needs a nightly compiler and a C++ compiler. The same targets run under `cargo fuzz --fuzz-dir tests/fuzz`.
#
# usage: scripts/fuzz.sh [SECONDS=1200] [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-1200}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/fuzz.sh [SECONDS] [TARGET...]" >&2; exit 2; }
shift || true
targets=("$@")
((${#targets[@]})) || targets=(wire handshake lines npy identity)

work=${CARGO_TARGET_DIR:-target}/fuzz
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# What cargo-fuzz passes: coverage for libFuzzer, and the address sanitizer for the dependencies' sake.
flags=(--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1)
RUSTFLAGS="${flags[*]}" cargo +nightly build --release --locked --quiet --manifest-path tests/fuzz/Cargo.toml \
    --target "$host" --target-dir "$work"

for target in "${targets[@]}"; do
    mkdir -p "$work/corpus/$target" "$work/artifacts/$target"
    echo "== $target, $seconds s"
    # No input here has a right to more than 64 MiB at once. Time is by the clock on the wall, and others may have the machine.
    nice -n 19 "$work/$host/release/$target" "$work/corpus/$target" "tests/corpora/$target" \
        -max_total_time="$seconds" -max_len=4096 -malloc_limit_mb=64 -rss_limit_mb=1024 -timeout=120 \
        -artifact_prefix="$work/artifacts/$target/" -print_final_stats=1 -verbosity=1 \
        2>"$work/$target.log" || { tail -n 40 "$work/$target.log"; exit 1; }
    grep -E '^#[0-9]+.*DONE' "$work/$target.log"
    grep -E '^stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)' "$work/$target.log"
done
