# Sourced by the scripts beside it: builds the programs, starts them as processes of their own on free ports,
# and leaves none of them, and no file, behind.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=${SGDT_BIN_DIR:-}
if [[ -z $bin ]]; then
    cargo build --release --locked --quiet --bins
    bin=${CARGO_TARGET_DIR:-target}/release
fi

work=$(mktemp -d)
declare -A pid # of every daemon, by name
nameserver=    # where it listens

say() { printf '%s\n' "--- $*"; }

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    tail -n 20 "$work"/*.log >&2 || true
    exit 1
}

leave_nothing_behind() {
    local status=$?
    trap - EXIT
    # The shell tells of jobs that were killed; whoever ended this knows.
    exec 2>/dev/null
    for name in "${!pid[@]}"; do
        kill -KILL "${pid[$name]}" || true
    done
    wait || true
    rm -rf "$work"
    exit "$status"
}
trap leave_nothing_behind EXIT
trap 'exit 130' INT TERM

# start NAME COMMAND... : runs a daemon, waits for the line that says where it listens, and puts that in $line.
start() {
    local name=$1
    shift
    mkfifo "$work/$name.ready"
    "$@" >"$work/$name.ready" 2>"$work/$name.log" &
    pid[$name]=$!
    # Opened for both, so that neither side waits for, or is ended by, the other.
    exec {ready}<>"$work/$name.ready"
    read -r -t 20 -u "$ready" line || fail "$name did not say within 20 s where it listens"
    say "$line   (process ${pid[$name]})"
}

start_nameserver() {
    start nameserver "$bin/nameserver" --listen 127.0.0.1:0 "$@"
    nameserver=${line##* }
}

# start_worker NAME [FLAG...]
start_worker() {
    local name=$1
    shift
    start "$name" "$bin/worker" --nameserver "$nameserver" --name "$name" --slots 1 --diagnostics "$@"
}

client() { "$bin/client" --nameserver "$nameserver" "$@"; }

# signal NAME SIGNAL
signal() {
    kill "-$2" "${pid[$1]}"
    if [[ $2 == KILL ]]; then
        # Taken note of here, so that the shell does not report it in the middle of something else.
        wait "${pid[$1]}" 2>/dev/null || true
        unset "pid[$1]"
    fi
}

# expect_ended NAME : waits for a daemon that was asked to end, and checks that it ended well.
expect_ended() {
    wait "${pid[$1]}" || fail "$1 ended with status $?"
    unset "pid[$1]"
}

# run_job TASKS HOOK : runs a task file, puts the result lines in $work/results.jsonl, and calls HOOK with the number
# of results so far after each, so that things can be made to happen in the middle of the job and not at some time.
run_job() {
    local tasks=$1 hook=$2 count=0 status
    : >"$work/results.jsonl"
    exec {job}< <(client run "$tasks" 2>"$work/client.log"; echo "exit status $?")
    while read -r -u "$job" result; do
        if [[ $result == "exit status "* ]]; then
            status=${result##* }
            break
        fi
        printf '%s\n' "$result" >>"$work/results.jsonl"
        count=$((count + 1))
        "$hook" "$count"
    done
    exec {job}<&-
    sed 's/^/    /' "$work/client.log"
    [[ $status == 0 ]] || fail "the client ended with status $status"
}

# expect_each_once TASKS : every task has exactly one result, and it is ok.
expect_each_once() {
    local ids='s/.*"id":"\([^"]*\)".*/\1/'
    sed "$ids" "$1" | sort >"$work/wanted"
    grep '"status":"ok"' "$work/results.jsonl" | sed "$ids" | sort >"$work/got"
    diff "$work/wanted" "$work/got" >"$work/difference" || fail "not each task has one good result: $(cat "$work/difference")"
    say "$(wc -l <"$work/got") tasks, $(wc -l <"$work/got") results, each exactly once"
}

# share NAME : how many results came from that worker.
share() { grep -c "\"worker\":\"$1\"" "$work/results.jsonl" || true; }
