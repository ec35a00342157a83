#!/usr/bin/env bash
# A cluster to play with: `scripts/cluster.sh 3` runs a name server and three workers until Ctrl-C.
source "$(dirname "$0")/cluster.bash"

count=${1:-2}
[[ $count =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/cluster.sh [WORKERS]" >&2; exit 2; }

start_nameserver
for ((i = 1; i <= count; i++)); do
    start_worker "w$i"
done
cat <<TXT

In another terminal:
    export SGDT_NAMESERVER=$nameserver
    $bin/client workers
    $bin/client run crates/client/examples/mixed.jsonl
    $bin/client drain w1
or kill some: $(for ((i = 1; i <= count; i++)); do printf 'w%d is %d  ' "$i" "${pid[w$i]}"; done)
Ctrl-C here ends it all.
TXT
wait "${pid[nameserver]}" || true
