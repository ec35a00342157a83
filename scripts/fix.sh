#!/usr/bin/env bash
# Rewrites what can be rewritten by itself: formatting, and the lints that have a mechanical mend.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
cargo fmt --all
