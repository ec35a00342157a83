#!/usr/bin/env bash
# Scenario 2: several workers, tasks spread over them, one added and one drained in the middle.
source "$(dirname "$0")/cluster.bash"

start_nameserver
for i in 1 2 3; do start_worker "w$i"; done

say "300 tasks of 20 ms on three workers"
for ((i = 1; i <= 300; i++)); do
    printf '{"id":"t%d","task":"sleep","ms":20}\n' "$i"
done >"$work/tasks.jsonl"

in_the_middle() {
    case $1 in
    60)
        say "after 60 results a fourth worker joins"
        start_worker w4
        ;;
    120)
        say "after 120 results w1 is drained: it finishes what it runs, gives back what it does not, and leaves"
        client drain w1
        ;;
    esac
}
run_job "$work/tasks.jsonl" in_the_middle
expect_each_once "$work/tasks.jsonl"
expect_ended w1

for i in 1 2 3 4; do
    say "w$i did $(share "w$i")"
    (($(share "w$i") > 0)) || fail "w$i did nothing"
done
again=$(grep -vc '"attempts":1,' "$work/results.jsonl" || true)
[[ $again == 0 ]] || fail "$again tasks were tried twice, though no worker failed"
say "nothing was run twice: neither joining nor leaving in good order costs an attempt"
