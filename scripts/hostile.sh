#!/usr/bin/env bash
# Hostile peers against a name server and two workers while jobs run, without TLS and with it, for so long each: random
# bytes, truncated and oversized frames, a thousand half-open connections to each server, floods. Prints the resident memory
# and the descriptors of each server before, at the most, and after; fails when a job loses a result, or a server what is
# promised in SECURITY.md.
#
# usage: scripts/hostile.sh [SECONDS=600]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
[[ $# -le 1 && $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/hostile.sh [SECONDS]" >&2; exit 2; }

# A thousand to each of three servers.
ulimit -n "$(ulimit -H -n)"
export SGDT_HOSTILE_SECONDS=$seconds
exec cargo test --release --locked --workspace --test e2e -- --nocapture hostile::a_job_goes_on
