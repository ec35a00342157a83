#!/usr/bin/env bash
# A long storm over the real programs: `scripts/chaos.sh [KILLS=1000] [SEED]`. Without a seed a new one is drawn; a
# storm that breaks a promise ends with the line that replays it.
set -euo pipefail
cd "$(dirname "$0")/.."

kills=${1:-1000}
seed=${2:-$((RANDOM << 15 | RANDOM))}
if [[ $# -gt 2 || ! $kills =~ ^[1-9][0-9]*$ || ! $seed =~ ^[0-9]+$ ]]; then
    echo "usage: scripts/chaos.sh [KILLS] [SEED]" >&2
    exit 2
fi

printf -- '--- %s kills, seed %s\n' "$kills" "$seed"
export SGDT_CHAOS_KILLS=$kills SGDT_CHAOS_SEED=$seed
exec cargo test --release --locked -p sgdt-tests --test chaos -- --nocapture --exact storm::no_task_is_lost_in_a_storm
