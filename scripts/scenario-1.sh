#!/usr/bin/env bash
# Scenario 1: one client, many tasks, one worker.
source "$(dirname "$0")/cluster.bash"

start_nameserver
start_worker w1

say "120 tasks of three kinds, from one client to one worker"
for ((i = 1; i <= 40; i++)); do
    printf '{"id":"factorial-%d","task":"factorial","n":%d}\n' "$i" "$i"
    printf '{"id":"sort-%d","task":"sort","values":[%d,3,-%d,0.5]}\n' "$i" "$i" "$i"
    printf '{"id":"matmul-%d","task":"matmul","a":[[1,2],[3,4]],"b":[[%d,0],[0,%d]]}\n' "$i" "$i" "$i"
done >"$work/tasks.jsonl"

nothing() { :; }
run_job "$work/tasks.jsonl" nothing
expect_each_once "$work/tasks.jsonl"

expect() { grep -F "\"id\":\"$1\"" "$work/results.jsonl" | grep -qF "$2" || fail "$1 should have given $2"; }
expect factorial-20 '"output":{"digits":19,"value":"2432902008176640000"}'
expect sort-7 '"output":{"values":[-7.0,0.5,3.0,7.0]}'
expect matmul-2 '"output":{"c":[[2.0,4.0],[6.0,8.0]]}'
say "and they are right: 20! is 2432902008176640000, and so on"

say "asked to end, the worker finishes what it has, leaves, and exits with 0"
signal w1 TERM
expect_ended w1
