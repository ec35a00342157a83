#!/usr/bin/env bash
# What --verify costs a job: products of matrices from .npy files, on two workers of one slot, with it and without, in turns.
# Prints medians in seconds, and that of the ratio.
#
# usage: scripts/bench-verify.sh [ROUNDS=7] [SIZE...]
source "$(dirname "$0")/cluster.bash" >&2
export LC_ALL=C # a point in decimal fractions

rounds=${1:-7}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/bench-verify.sh [ROUNDS] [SIZE...]" >&2; exit 2; }
shift || true
[[ $# -gt 0 ]] || set -- 512 1024 2048

start_nameserver >&2
start_worker w1 >&2
start_worker w2 >&2

# line ID DTYPE A B OUTPUT: a product as a task.
line() { printf '{"id":"%s","task":"matmul","dtype":"%s","a":%s,"b":%s,"output":"%s"}\n' "$@"; }

# seconds TASKS [FLAG]: how long a job takes.
seconds() {
    local begun=$EPOCHREALTIME
    client run "$1" --output "$work/results.jsonl" "${@:2}" 2>"$work/client.log" || fail "client run $* failed"
    awk -v begun="$begun" -v ended="$EPOCHREALTIME" 'BEGIN { print ended - begun }'
}

median() { sort -g | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

echo "| products | without --verify, s | with it, s | times as long |"
echo "|---|---|---|---|"
for size; do
    # As many as take about as long as 200 of 512 rows do.
    count=$((200 * 512 * 512 * 512 / (size * size * size) + 1))
    for dtype in f64 f32; do
        for seed in 1 2 3 4; do
            random="{\"random\":[$size,$size],\"seed\":$seed}"
            line "$seed" "$dtype" "$random" "$random" "$work/factor-$seed.npy"
        done >"$work/factors.jsonl"
        seconds "$work/factors.jsonl" >/dev/null
        factor() { printf '{"npy":"%s"}' "$work/factor-$(($1 % 4 + 1)).npy"; }
        for ((task = 0; task < count; task++)); do
            line "$task" "$dtype" "$(factor "$task")" "$(factor $((task / 4)))" "$work/product-$task.npy"
        done >"$work/tasks.jsonl"
        seconds "$work/tasks.jsonl" >/dev/null
        for ((round = 0; round < rounds; round++)); do
            without=$(seconds "$work/tasks.jsonl")
            with=$(seconds "$work/tasks.jsonl" --verify)
            echo "$without $with"
        done >"$work/took"
        without=$(cut -d' ' -f1 "$work/took" | median)
        with=$(cut -d' ' -f2 "$work/took" | median)
        ratio=$(awk '{ print $2 / $1 }' "$work/took" | median)
        echo "| $count of $size rows, $dtype | $without | $with | $ratio |"
    done
done
