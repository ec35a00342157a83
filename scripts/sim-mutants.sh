#!/usr/bin/env bash
# Puts bugs back, one at a time, into a copy of the tree, and shows whether the simulation finds them, in how many
# seeds, and what it says. `--check` only sees whether each patch still applies.
#
# usage: scripts/sim-mutants.sh [--check] [SEEDS=200] [MUTANT...]
set -euo pipefail
cd "$(dirname "$0")/.."

check=
if [[ ${1:-} == --check ]]; then
    check=yes
    shift
fi
seeds=200
if [[ ${1:-} =~ ^[1-9][0-9]*$ ]]; then
    seeds=$1
    shift
fi
mutants=("$@")
if ((${#mutants[@]} == 0)); then
    for patch in tests/sim/mutants/*.patch; do
        mutants+=("$(basename "$patch" .patch)")
    done
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
# What is tracked, and what is new and not ignored.
git ls-files --cached --others --exclude-standard -z | tar --null --files-from=- -cf - | tar -xf - -C "$work/tree"
export CARGO_TARGET_DIR=${SGDT_MUTANTS_TARGET:-$work/target}

# All seeds are run, and not only until the first that fails.
simulate() {
    SGDT_SIM_SEEDS=0..$seeds SGDT_SIM_ENOUGH=$seeds \
        cargo test --release --locked --quiet -p sgdt-tests --test sim -- no_seed --nocapture
}

cd "$work/tree"
[[ -n $check ]] || printf '| bug put back | seeds of %s that find it | first | what the oracle says there |\n|---|---|---|---|\n' "$seeds"
missed=0
for mutant in "${mutants[@]}"; do
    patch=tests/sim/mutants/$mutant.patch
    patch --quiet --strip=1 --forward --dry-run <"$patch" >"$work/log" || {
        echo "$patch does not apply any more:" >&2
        cat "$work/log" >&2
        exit 1
    }
    [[ -z $check ]] || continue
    patch --quiet --strip=1 --no-backup-if-mismatch <"$patch"
    if simulate >"$work/log" 2>&1; then
        printf '| %s | **0** | | |\n' "$mutant"
        missed=$((missed + 1))
    elif ! grep -q '^seed ' "$work/log"; then
        echo "$mutant does not build or run:" >&2
        tail -n 40 "$work/log" >&2
        exit 1
    else
        found=$(grep -c '^seed ' "$work/log")
        # The lowest seed, whichever was through first.
        first=$(grep '^seed ' "$work/log" | tr -dc '0-9\n' | sort -n | head -n 1)
        said=$(grep -A 1 "^seed $first:" "$work/log" | tail -n 1 | sed 's/^ *//; s/|/\\|/g' | cut -c -160)
        printf '| %s | %s | %s | %s |\n' "$mutant" "$found" "$first" "$said"
    fi
    patch --quiet --strip=1 --reverse --no-backup-if-mismatch <"$patch"
done
[[ -z $check ]] || echo "every patch applies"
exit $((missed > 0))
