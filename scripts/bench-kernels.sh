#!/usr/bin/env bash
# The kernels beside the libraries that others use for the same: NumPy with OpenBLAS, GMP and FLINT, on one thread and on
# two, in turns; each measurement is a process of its own, which warms up first. Prints medians and ratios of speeds,
# taken round by round. Needs python3, and installs the libraries to target/ from PyPI.
#
# usage: scripts/bench-kernels.sh [ROUNDS=5] [OPERATION...]
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-5}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/bench-kernels.sh [ROUNDS] [OPERATION...]" >&2; exit 2; }
shift || true

target=${CARGO_TARGET_DIR:-target}
cargo build --release --locked --quiet --workspace --example kernels
if [[ ! -e $target/yardsticks/complete ]]; then
    python3 -m venv "$target/yardsticks"
    "$target/yardsticks/bin/pip" install --quiet numpy gmpy2 python-flint
    touch "$target/yardsticks/complete"
fi
exec "$target/yardsticks/bin/python" scripts/bench-kernels.py "$target/release/examples/kernels" "$rounds" "$@"
