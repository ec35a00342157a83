#!/usr/bin/env bash
# What SGDT does, beside what a plain tokio socket does on the same machine in the same minute: client, name server
# and workers of one slot are processes of their own. Prints medians, and ratios taken round by round.
#
# usage: scripts/bench.sh [ROUNDS=5]
source "$(dirname "$0")/cluster.bash" >&2

rounds=${1:-5}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/bench.sh [ROUNDS]" >&2; exit 2; }
[[ -n ${SGDT_BIN_DIR:-} ]] || cargo build --release --locked --quiet --workspace --examples

declare -A values # of each measure, one a round

# note MEASURE VALUE
note() { values[$1]+="$2 "; }

# bench FIELD MEASURE [FLAG...] : a field of the report
bench() {
    local field=$1
    shift
    client bench "$@" --json | sed -E "s/.*\"$field\":([0-9.]+).*/\1/"
}

# over_tls COMMAND... : the same on the cluster whose connections are encrypted
over_tls() { nameserver=$encrypted SGDT_TLS=$work/me "$@"; }

raw() { "$bin/examples/ceilings" "$1" "$ceilings" "$2"; }

median() { tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -g | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }

# ratio MEASURE OTHER : the median of the rounds' ratios
ratio() {
    local each
    each=$(paste <(tr ' ' '\n' <<<"${values[$1]}") <(tr ' ' '\n' <<<"${values[$2]}") | awk 'NF == 2 {print $1 / $2}')
    median "$each"
}

# row WHAT UNIT MEASURE [CEILING]
row() {
    local mine theirs=- share=-
    mine=$(median "${values[$3]}")
    if [[ -n ${4:-} ]]; then
        theirs=$(median "${values[$4]}")
        share=$(ratio "$3" "$4")
    fi
    awk -v what="$1 ($2)" -v mine="$mine" -v theirs="$theirs" -v share="$share" '
        function short(x) { return x == "-" ? x : x >= 1000 ? sprintf("%.0f", x) : sprintf("%.1f", x) }
        BEGIN { printf "| %-48s | %10s | %10s | %6s |\n", what, short(mine), short(theirs), share == "-" ? share : sprintf("%.2f", share) }'
}

microseconds() { echo $(($(date +%s%N) / 1000)); }

# pin CPUS : has every daemon, and what is started from here on, run on these.
pin() {
    local process
    for process in "${pid[@]}" $$; do
        taskset --all-tasks --cpu-list --pid "$1" "$process" >/dev/null
    done
}

memory() { awk '/^VmRSS/ {print $2 / 1024}' "/proc/${pid[$1]}/status"; }

# Launch: three daemons that are not there yet, to a result.
for ((round = 0; round < rounds; round++)); do
    began=$(microseconds)
    start_nameserver >&2
    start_worker first >&2
    start_worker second >&2
    client factorial 20 >/dev/null
    note launch "$(awk -v us=$(($(microseconds) - began)) 'BEGIN {print us / 1000}')"
    for name in nameserver first second; do
        kill -KILL "${pid[$name]}"
        wait "${pid[$name]}" 2>/dev/null || true
        unset "pid[$name]"
        rm "$work/$name.ready"
    done
done

start_nameserver >&2
start_worker w1 >&2
start ceilings "$bin/examples/ceilings" serve >&2
ceilings=${line##* }

for ((round = 0; round < rounds; round++)); do
    note one "$(bench tasks_per_s throughput --tasks 500000)"
done

# The same again, encrypted, and idle while the other is measured.
plain=$nameserver
"$bin/nameserver" ca init "$work/pki" 2>/dev/null
issue() { "$bin/nameserver" ca issue "$work/pki" --role "$1" --name "$2" -o "$work/$2" 2>/dev/null; }
issue nameserver ns
issue client me
start encrypted "$bin/nameserver" --listen 127.0.0.1:0 --tls "$work/ns" >&2
nameserver=${line##* } encrypted=${line##* }
for name in t1 t2; do
    issue worker "$name"
    start_worker "$name" --tls "$work/$name" >&2
done
nameserver=$plain

start_worker w2 >&2
client workers >/dev/null
note nameserver "$(memory nameserver)"
note worker "$(memory w2)"
awk 'BEGIN {for (n = 0; n < 1000000; n++) printf "{\"task\":\"echo\",\"value\":%d}\n", n}' >"$work/echo.jsonl"
for ((n = 0; n < 64; n++)); do
    factor() { printf '{"random":[512,512],"seed":%d}' "$1"; }
    printf '{"task":"matmul","a":%s,"b":%s,"return":"summary"}\n' "$(factor $n)" "$(factor $((n + 64)))"
done >"$work/products.jsonl"
for ((round = 0; round < rounds; round++)); do
    note raw_echo "$(raw echo 3000000)"
    note throughput "$(bench tasks_per_s throughput --tasks 1000000)"
    began=$(microseconds)
    client --progress never run "$work/echo.jsonl" --output /dev/null
    note lines "$(awk -v us=$(($(microseconds) - began)) 'BEGIN {print 1e12 / us}')"
    began=$(microseconds)
    client --progress never run "$work/products.jsonl" --output /dev/null
    note products "$(awk -v us=$(($(microseconds) - began)) 'BEGIN {print us / 1000}')"
    # Half of them on each of two cores, without anything around them.
    note raw_products "$(
        for core in 1 2; do "$bin/examples/kernels" matmul 512 1 & done | sort -g | awk 'END {print 32 * 1000 * $1}'
    )"
    note sort "$("$bin/examples/there_and_back" "$nameserver" 8000000 1)"
    note raw_pingpong "$(raw pingpong 5000)"
    note latency "$(bench p50 latency --tasks 5000)"
    note raw_stream "$(raw stream 4000)"
    note payload "$(bench mb_per_s payload --size 64MiB --tasks 16)"
    note tls_throughput "$(over_tls bench tasks_per_s throughput --tasks 1000000)"
    note tls_latency "$(over_tls bench p50 latency --tasks 5000)"
    note tls_payload "$(over_tls bench mb_per_s payload --size 64MiB --tasks 16)"
    if command -v taskset >/dev/null; then
        pin 0
        note raw_one_core "$(raw pingpong 5000)"
        note one_core "$(bench p50 latency --tasks 5000)"
        pin "0-$(($(nproc --all) - 1))"
    fi
done

for name in w3 w4; do start_worker "$name" >&2; done
for ((round = 0; round < rounds; round++)); do
    note four "$(bench tasks_per_s throughput --tasks 1000000)"
done
for name in w5 w6 w7 w8; do start_worker "$name" >&2; done
for ((round = 0; round < rounds; round++)); do
    note eight "$(bench tasks_per_s throughput --tasks 1000000)"
done

# table MINE THEIRS : the head of one
table() { printf '| %-48s | %10s | %10s | %6s |\n|---|---|---|---|\n' "medians of $rounds" "$1" "$2" ratio; }

table SGDT 'raw socket'
row 'tiny tasks, two workers' 'tasks/s; raw: frames/s' throughput raw_echo
row 'tiny tasks, one worker' 'tasks/s' one
row 'tiny tasks, four workers' 'tasks/s' four
row 'tiny tasks, eight workers' 'tasks/s' eight
row '`run` on a file of tiny tasks' 'lines/s' lines
row 'one task after another, p50' 'µs' latency raw_pingpong
[[ -z ${values[one_core]:-} ]] || row 'the same on one core, p50' 'µs' one_core raw_one_core
row 'payload of 64 MiB, each way' 'MB/s' payload raw_stream
row '64 products of 512x512; raw: the products alone' 'ms' products raw_products
row '8,000,000 integers there, sorted, and back' 'ms' sort
row 'launch of three daemons to a first result' 'ms' launch
row 'name server at rest' 'MiB' nameserver
row 'worker at rest' 'MiB' worker
echo
table 'with --tls' without
row 'tiny tasks, two workers' 'tasks/s' tls_throughput throughput
row 'one task after another, p50' 'µs' tls_latency latency
row 'payload of 64 MiB, each way' 'MB/s' tls_payload payload
