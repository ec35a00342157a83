#!/usr/bin/env bash
# A sort of a file that is larger than memory: `client sort --plan local` beside `LC_ALL=C sort`, with the same memory and
# two threads, in turns. The file is the same every time: the bits of a factorial in base 64, two of whose 64
# characters are made line feeds, another two for each part. Prints seconds, peak memory, and the ratio of each round.
#
# usage: scripts/bench-sort.sh [SIZE=4GiB] [MEMORY=512MiB] [ROUNDS=3]     (needs three times SIZE in $TMPDIR or /tmp)
source "$(dirname "$0")/cluster.bash" >&2

size=${1:-4GiB} memory=${2:-512MiB} rounds=${3:-3}
in_bytes() { numfmt --from=iec-i --suffix=B "$1" 2>/dev/null | tr -d B; }
bytes=$(in_bytes "$size") && limit=$(in_bytes "$memory") && [[ $bytes && $limit && $rounds =~ ^[1-9][0-9]*$ ]] ||
    { echo "usage: scripts/bench-sort.sh [SIZE=4GiB] [MEMORY=512MiB] [ROUNDS=3]" >&2; exit 2; }

"$bin/client" --progress never factorial 8000000 --plan local --format raw -o "$work/bits"
base64 -w 0 "$work/bits" >"$work/text"
alphabet=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/
parts() {
    local part
    for ((part = 0; ; part++)); do
        # Every 64 parts all characters have been line feeds; then the text begins elsewhere.
        tail -c "+$((part / 64 + 1))" "$work/text" |
            tr "${alphabet:part % 64}${alphabet:0:part % 64}" '\n\n'"${alphabet:2}"
    done
}
# It ends when nobody reads on.
head -c "$bytes" <(parts 2>/dev/null) >"$work/in"
rm "$work/bits" "$work/text"

# peak COMMAND... : runs it, and prints the seconds it took and the most memory it had, in MiB
peak() {
    local began process status=0 most=0 now
    began=$(date +%s%N)
    "$@" &
    process=$!
    while now=$(peak_now "$process"); do
        most=$now
        read -r -t 0.05 <>"$work/never" || true
    done
    wait "$process" || status=$?
    [[ $status == 0 ]] || fail "$1 ended with status $status"
    echo "$((($(date +%s%N) - began) / 1000000)) $((most / 1024))"
}
