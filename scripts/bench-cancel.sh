#!/usr/bin/env bash
# How long a task goes on, at most, after it is cancelled: each kind, on one thread and on two, cancelled at sixteen times spread
# over all that it takes, from its input to its output. Prints milliseconds; 100 are promised. Takes ten minutes and more.
#
# usage: scripts/bench-cancel.sh [OPERATION...]
set -euo pipefail
cd "$(dirname "$0")/.."

# Each operation, its size, and what it is.
cases=(
    "matmul 6000 product of 6000 x 6000, both made"
    "tall 5000000 product of 5,000,000 x 16 and 16 x 16"
    "deep 5000000 product of 16 x 5,000,000 and 5,000,000 x 16"
    "sort-i64 50000000 sort of 50,000,000 integers, made"
    "sort-f64 50000000 sort of 50,000,000 doubles"
    "sort-lines 500000000 sort of 500 MB of lines"
    "sort-text 500000000 sort of 500 MB of strings"
    "factorial 20000000 factorial of 20,000,000, with its digits"
    "part 20000000 factorial-part of all primes up to 20,000,000"
    "multiply 3000000 multiply of two numbers of 24 MB"
)
wanted=" $* "

cargo build --release --locked --quiet --workspace --example kernels
kernels=${CARGO_TARGET_DIR:-target}/release/examples/kernels
milliseconds() { awk -v seconds="$("$kernels" "cancel-$1" "$2" "$3")" 'BEGIN { printf "%.1f", 1000 * seconds }'; }

echo "| cancelled | one thread, ms | two threads, ms |"
echo "|---|---|---|"
for case in "${cases[@]}"; do
    read -r operation size what <<< "$case"
    [[ $# == 0 || $wanted == *" $operation "* ]] || continue
    echo "| $what | $(milliseconds "$operation" "$size" 1) | $(milliseconds "$operation" "$size" 2) |"
done
