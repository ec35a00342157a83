#!/usr/bin/env bash
# Scenario 3: a worker is killed and another one hangs in the middle; every task still gets exactly one result.
source "$(dirname "$0")/cluster.bash"

start_nameserver
for i in 1 2 3; do start_worker "w$i"; done

say "150 tasks of 50 ms on three workers"
for ((i = 1; i <= 150; i++)); do
    printf '{"id":"t%d","task":"sleep","ms":50}\n' "$i"
done >"$work/tasks.jsonl"

in_the_middle() {
    case $1 in
    30)
        say "after 30 results: kill -9 w1. Its connection breaks, and its tasks go to others at once"
        signal w1 KILL
        ;;
    60)
        say "after 60 results: kill -STOP w2. Its connection stays, but pings go unanswered; within 5 s its tasks move"
        signal w2 STOP
        ;;
    esac
}
run_job "$work/tasks.jsonl" in_the_middle
expect_each_once "$work/tasks.jsonl"

for i in 1 2 3; do say "w$i did $(share "w$i")"; done
moved=$(grep -c '"attempts":2,' "$work/results.jsonl" || true)
((moved >= 2)) || fail "only $moved tasks were moved: some from each lost worker should have been"
say "$moved tasks were moved to another worker and say so: \"attempts\":2"
say "w2 wakes up. What it still has to say about its old tasks is not listened to"
signal w2 CONT
