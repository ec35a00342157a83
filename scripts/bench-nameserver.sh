#!/usr/bin/env bash
# What a name server does with thousands of workers, hundreds of clients, and many that join at once.
#
# usage: scripts/bench-nameserver.sh [WORKERS=2000] [WATCHERS=200] [JOINS=500]
source "$(dirname "$0")/cluster.bash" >&2

[[ -n ${SGDT_BIN_DIR:-} ]] || cargo build --release --locked --quiet -p sgdt-nameserver --example scale
start_nameserver >&2
"$bin/examples/scale" "$nameserver" "${pid[nameserver]}" "$@"
