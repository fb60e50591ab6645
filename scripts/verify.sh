#!/usr/bin/env bash
# Replays the evidence of docs/evidence.md, layer by layer, and writes a report into target/evidence/: dates, counts,
# seconds. Stops at the first layer that fails, with the command that repeats it.
#
#   scripts/verify.sh [--long]
#
# --long goes further, to four users and three seats and millions of simulated worlds, in hours instead of minutes.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
case ${1:-} in
  '') long= ;;
  --long) long=yes ;;
  *) echo "usage: scripts/verify.sh [--long]" >&2; exit 2 ;;
esac

target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
evidence=$target/evidence
report=$evidence/report.md
mkdir -p "$evidence"

# Writes a line into the report, and shows it.
note() {
  printf '%s\n' "$*" | tee -a "$report"
}

# Begins a layer, named $1.
layer() {
  printf '\n## %s\n\n' "$1" | tee -a "$report"
}

# Runs a command of a layer, and keeps its last line in the report: what it counted.
run() {
  local command began=$SECONDS log=$evidence/last.log
  command=$(printf '%q ' "$@")
  printf '$ %s\n' "${command% }"
  if ! "$@" 2>&1 </dev/null | tee "$log"; then
    note "FAILED after $((SECONDS - began)) s: \`${command% }\`"
    printf '\nRepeat it with: cd %q && %s\n' "$root" "${command% }"
    exit 1
  fi
  note "- \`${command% }\`: $(grep . "$log" | tail -n 1) ($((SECONDS - began)) s in all)"
}

# Keeps what the tests of the last command counted.
counted() {
  if ! grep ' runs, ' "$evidence/last.log" | sed 's/^/  - /' | tee -a "$report"; then
    note "FAILED: the last command counted nothing"
    exit 1
  fi
}

: >"$report"
printf '# Evidence, %s\n\n' "$(date -u '+%Y-%m-%d %H:%M UTC')" | tee -a "$report"
note "Commit $(git describe --always --dirty), $(nproc) cores, $(rustc --version)."

layer "The protocol as a model, every state"
explore=(cargo run --quiet --locked --release -p bms-domain --features testing --example protocol --)
run cargo test --quiet --locked -p bms-domain --features testing --test protocol -- --show-output
run "${explore[@]}" users=3 seats=2 payments=2
run "${explore[@]}" users=3 seats=2 hold_ttl=2
run "${explore[@]}" users=2 seats=1 losses=1 readers=1
run "${explore[@]}" users=3 seats=3
run "${explore[@]}" users=4 seats=2
if [ -n "$long" ]; then
  run "${explore[@]}" users=4 seats=3
fi

layer "The service in simulated worlds"
simulate=(cargo run --quiet --locked --release -p bms-domain --features testing --example simulate --)
run cargo test --quiet --locked -p bms-domain --features testing --test simulation
run "${simulate[@]}" seeds=20000..220000
if [ -n "$long" ]; then
  run "${simulate[@]}" seeds=220000..5000000
fi

layer "The stores side by side, and histories of many clients"
times=5
if [ -n "$long" ]; then times=50; fi
stores=(env "BMS_EVIDENCE=$times" cargo test --quiet --locked -p bms-examples --all-features --test stores)
run env "BMS_EVIDENCE=$times" cargo test --quiet --locked -p bms-domain --all-features --test histories -- --show-output
counted
run "${stores[@]}" -- --show-output agree
counted
run "${stores[@]}" -- --show-output linear
counted

layer "Fuzzing"
seconds=60
if [ -n "$long" ]; then seconds=600; fi
fuzz=(env "BMS_FUZZ_SECONDS=$seconds" cargo test --quiet --locked --all-features)
run "${fuzz[@]}" --workspace --test fuzz -- --show-output
counted
run "${fuzz[@]}" -p bms-redis --lib fuzz -- --show-output
counted

layer "A fault campaign on real processes"
run env BMS_CAMPAIGN_SEED=0-19 BMS_CAMPAIGN_SECONDS=60 \
  cargo test --quiet --locked -p bms-examples --all-features --test campaign -- --show-output

layer "Known bugs, each put back and caught"
run scripts/scoreboard.py --to "$evidence/scoreboard.md"
# The links are written for docs/.
{ echo; sed 's|](../|](../../|' "$evidence/scoreboard.md"; } >>"$report"

printf '\nAll is well after %d s.\n' "$SECONDS" | tee -a "$report"
printf 'The report: %s\n' "$report"
