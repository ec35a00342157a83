#!/usr/bin/env bash
# A product of two matrices of doubles, from the client's buffers to its buffer, split over two workers of one slot, beside
# the same client with one of them, in turns. Prints medians in milliseconds, and that of the ratio.
#
# usage: scripts/bench-split.sh [ROUNDS=3] [SIZE...]
source "$(dirname "$0")/cluster.bash" >&2

rounds=${1:-3}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/bench-split.sh [ROUNDS] [SIZE...]" >&2; exit 2; }
shift || true
[[ -n ${SGDT_BIN_DIR:-} ]] || cargo build --release --locked --quiet --workspace --examples

start_nameserver >&2
both=$nameserver
start one "$bin/nameserver" --listen 127.0.0.1:0 >&2
one=${line##* }
start_worker w1 --nameserver "$one" >&2
start_worker w2 >&2
client workers >/dev/null
echo "| rows | pieces | one worker, ms | two, ms | times as fast |"
echo "|---|---|---|---|---|"
[[ $# -gt 0 ]] || set -- 2048 4096
for size; do
    for pieces in 2 4 16; do
        read -r alone split ratio < <("$bin/examples/split" "$one" "$both" "$size" "$pieces" "$rounds")
        echo "| $size | $pieces | $alone | $split | $ratio |"
    done
done
