#!/usr/bin/env bash
# Everything that must hold before a change lands. Writes nothing outside target/ and the temporary directory.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

step cargo fmt --all --check
step cargo clippy --locked --release --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --locked --release --workspace --no-deps
if cargo deny --version >/dev/null 2>&1; then
    # It looks at what other platforms need, too, which a build has not fetched.
    step cargo fetch --locked
    step cargo deny --offline --locked check bans licenses sources
fi
step cargo test --release --workspace --locked
for script in scripts/scenario-*.sh; do
    step "$script"
done
printf '\nall checks passed\n'
