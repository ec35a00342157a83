#!/usr/bin/env bash
# A sort of the lines of a file that is larger than memory: `client sort --plan local` beside `LC_ALL=C sort`, each with
# that much memory and a thread for each core, in turns. Prints seconds, peak memory, and the ratio of each round.
#
# The file is the same every time: the bits of a factorial in base 64, of whose characters two are made line feeds, another
# two for each part of the file, so that lines have 31 characters on average, and up to some hundreds.
#
# usage: scripts/bench-sort.sh [SIZE=4GiB] [MEMORY=512MiB] [ROUNDS=3]     (takes four times SIZE in $TMPDIR, or /tmp)
source "$(dirname "$0")/cluster.bash" >&2

usage() {
    echo "usage: scripts/bench-sort.sh [SIZE=4GiB] [MEMORY=512MiB] [ROUNDS=3]" >&2
    exit 2
}
size=${1:-4GiB} memory=${2:-512MiB} rounds=${3:-3}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || usage
bytes=$(numfmt --from=iec-i --suffix=B "$size") && limit=$(numfmt --from=iec-i --suffix=B "$memory") || usage
bytes=${bytes%B} limit=${limit%B}

# An eighth of it are zeros.
"$bin/client" --progress never factorial 8000000 --plan local --format raw | tail -c +1000001 | base64 -w 0 >"$work/text"
parts() {
    local characters=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/ part
    # Every 64 parts all characters have been line feeds; the text then begins one later.
    for ((part = 0; ; part++)); do
        tail -c "+$((part / 64 + 1))" "$work/text" |
            tr "${characters:part % 64}${characters:0:part % 64}" $'\n\n'"${characters:2}" || return 0
    done
}
# Whoever writes ends when nobody reads on.
head -c "$bytes" <(parts 2>/dev/null) >"$work/in"
say "$(wc -l <"$work/in") lines in $bytes bytes, with $memory of memory"

# measure NAME COMMAND... : runs it; its milliseconds go to $milliseconds[NAME], its peak memory in KiB to $peak[NAME]
declare -A milliseconds peak
measure() {
    local name=$1 began process key value
    shift
    began=$(date +%s%N)
    "$@" &
    process=$!
    pid[$name]=$process
    # The high-water mark only grows, so that the last one seen is it, but for what the last 50 ms changed.
    while kill -0 "$process" 2>/dev/null; do
        while read -r key value _; do
            [[ $key != VmHWM: ]] || peak[$name]=$value
        done <"/proc/$process/status" || true
        read -r -t 0.05 -u "$never" || true
    done 2>/dev/null
    wait "$process" || fail "$name ended with status $?"
    milliseconds[$name]=$((($(date +%s%N) - began) / 1000000))
    unset "pid[$name]"
}
# Nothing ever comes from here.
mkfifo "$work/never"
exec {never}<>"$work/never"

row() { printf '| %5s | %8s | %8s | %6s | %8s | %8s |\n' "$@"; }
row round SGDT sort ratio SGDT sort
row '' s s '' MiB MiB
echo '|---|---|---|---|---|---|'
seconds() { printf '%d.%02d' "$(($1 / 1000))" "$(($1 % 1000 / 10))"; }
for ((round = 1; round <= rounds; round++)); do
    rm -f "$work/ours" "$work/theirs"
    measure ours "$bin/client" --progress never sort "$work/in" -o "$work/ours" --plan local --memory "$limit"
    measure theirs env LC_ALL=C sort --parallel="$(nproc)" -S "${limit}b" -T "$work" "$work/in" -o "$work/theirs"
    cmp "$work/ours" "$work/theirs" || fail "the outputs differ"
    ratio=$((milliseconds[theirs] * 100 / milliseconds[ours]))
    row "$round" "$(seconds "${milliseconds[ours]}")" "$(seconds "${milliseconds[theirs]}")" \
        "$((ratio / 100)).$(printf %02d $((ratio % 100)))" "$((peak[ours] / 1024))" "$((peak[theirs] / 1024))"
done
