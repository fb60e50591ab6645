#!/usr/bin/env bash
# Replays the evidence of docs/evidence.md, layer by layer, and writes a report into target/evidence/: dates, seeds, counts,
# seconds; beside it a log of each layer. Stops at the first layer that fails, with what it said of promise, seed and replay,
# and the command that repeats it. What runs no test, or lacks a server or a tool, fails.
#
#   scripts/verify.sh [--long]
#
# --long goes further, to four users and three seats, millions of simulated worlds and mutants, in hours instead of minutes.
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
# What the last command said; the log of a layer has it all.
last=$evidence/last.log
log=
command=
mkdir -p "$evidence"

# Writes a line into the report, and shows it.
note() {
  printf '%s\n' "$*" | tee -a "$report"
}

# Begins a layer, named $1, whose log is $2.
layer() {
  log=$evidence/$2.log
  : >"$log"
  printf '\n## %s\n\n' "$1" | tee -a "$report"
  note "Begun $(date -u '+%H:%M:%S') UTC, log [\`$2.log\`]($2.log)."
  note ''
}

# Ends everything because of the last command: $1 says why. What is broken, and how to replay it, is what the command said of it.
fail() {
  note "- FAILED, $1: \`$command\`"
  # What tests said that passed, some of which are to panic, is left out.
  { sed -n '/^failures:$/,$p' "$last" | grep . || cat "$last"; } | awk '
    /panicked at|is broken|are broken|hangs, after/ { left = 12 }
    (left-- > 0 || /Replay it with|It is kept in/) && lines++ < 60 { print "    " $0 }' | tee -a "$report"
  printf '\nIts log: %s\nRepeat it with: cd %q && %s\n' "$log" "$root" "$command"
  exit 1
}

# Adds up what cargo said of the tests of the last command: $1 is `passed` or `ignored`.
tests() {
  sed -n "s/^test result: .* \([0-9][0-9]*\) $1;.*/\1/p" "$last" | awk '{ total += $1 } END { print total + 0 }'
}

# Runs a command of a layer, and keeps in the report what it counted: its tests, or else its last line.
run() {
  local began=$SECONDS outcome
  command=$(printf '%q ' "$@")
  command=${command% }
  : >"$last"
  printf '$ %s\n' "$command" | tee -a "$log"
  "$@" 2>&1 </dev/null | tee -a "$log" "$last" || fail "after $((SECONDS - began)) s"
  outcome=$(grep . "$last" | tail -n 1) || fail 'it said nothing'
  if [[ " $command " = *' cargo test '* ]]; then
    outcome="$(tests passed) tests passed"
    if [ "$(tests passed)" = 0 ] || grep -q '^running 0 tests$' "$last"; then fail 'it ran no test'; fi
    if [ "$(tests ignored)" != 0 ]; then fail 'it ignored a test'; fi
  fi
  note "- \`$command\`: $outcome ($((SECONDS - began)) s in all)"
}

# Keeps in the report what the last command counted: what a script of sed prints of it.
keep() {
  local kept
  kept=$(sed -n "$1" "$last" | grep .) || fail 'it counted nothing'
  printf '%s\n' "$kept" | sed 's/^ */  - /' | tee -a "$report"
}

# Runs tests of a package ($1) and a target ($2) by name, or by the beginning of several names; each has to find one.
named() {
  local package=$1 name
  local -a in=()
  read -r -a in <<<"$2"
  shift 2
  run cargo test --locked -p "$package" --all-features "${in[@]}" -- "$@"
  for name in "$@"; do
    grep -q "^test .*$name.* ok\$" "$last" || fail "no test is called $name"
  done
}

: >"$report"
printf '# Evidence, %s\n\n' "$(date -u '+%Y-%m-%d %H:%M UTC')" | tee -a "$report"
note "Commit $(git describe --always --dirty), $(nproc) cores, $(rustc --version)."
if [ -n "$long" ] && ! cargo mutants --version >/dev/null 2>&1; then
  note "FAILED: the layer \"Mutants\" lacks cargo-mutants. Install it with: cargo install --locked cargo-mutants"
  exit 1
fi

layer "The protocol as a model, every state" model
explore=(cargo run --quiet --locked --release -p bms-domain --features testing --example protocol --)
run cargo test --quiet --locked -p bms-domain --features testing --test protocol -- --show-output
keep '/: [0-9]* states, /p'
run "${explore[@]}" users=3 seats=2 payments=2
run "${explore[@]}" users=3 seats=2 hold_ttl=2
run "${explore[@]}" users=2 seats=1 losses=1 readers=1
run "${explore[@]}" users=3 seats=3
run "${explore[@]}" users=4 seats=2
if [ -n "$long" ]; then
  run "${explore[@]}" users=4 seats=3
fi

layer "The service in simulated worlds" simulation
simulate=(cargo run --quiet --locked --release -p bms-domain --features testing --example simulate --)
run cargo test --quiet --locked -p bms-domain --features testing --test simulation -- --show-output
keep '/^[0-9]* worlds, /p'
run "${simulate[@]}" seeds=20000..220000
keep '/^ *[0-9][0-9]*  /p'
if [ -n "$long" ]; then
  run "${simulate[@]}" seeds=220000..5000000
  keep '/^ *[0-9][0-9]*  /p'
fi

layer "The stores side by side, and histories of many clients" stores
times=5
if [ -n "$long" ]; then times=50; fi
stores=(env "BMS_EVIDENCE=$times" cargo test --quiet --locked -p bms-examples --all-features --test stores)
run env "BMS_EVIDENCE=$times" cargo test --quiet --locked -p bms-domain --all-features --test histories -- --show-output
keep '/ runs, /p; / of seeds* /p'
run "${stores[@]}" -- --show-output agree
keep '/ runs, /p; / of seeds* /p'
run "${stores[@]}" -- --show-output linear
keep '/ runs, /p; / of seeds* /p'

layer "Fuzzing" fuzzing
seconds=60
if [ -n "$long" ]; then seconds=600; fi
fuzz=(env "BMS_FUZZ_SECONDS=$seconds" cargo test --quiet --locked --all-features)
run "${fuzz[@]}" --workspace --test fuzz -- --show-output
keep '/ runs, /p'
run "${fuzz[@]}" -p bms-redis --lib fuzz -- --show-output
keep '/ runs, /p'

layer "Security" security
named bms-adapters-http '--test http' matrix:: races:: auth:: payments:: idempotency:: bad_input:: \
  somebody_elses_is_not_found who_asks_too_often_is_told_when_to_come_back a_panic_is_an_internal_error_that_tells_nothing \
  a_configuration_shows_no_secret_and_takes_no_weak_one
named bms-adapters-http '--test log' what_is_seen_of_a_request_has_nothing_of_the_customer
named bms-adapters-http '--test webhooks' nothing_that_is_secret_is_shown
named bms-domain '--test service' owners::
named bms-domain --lib debug_shows_no_secret_and_no_personal_data codes_and_secrets_are_drawn_from_the_alphabet
named bms-domain '--test conformance' holds orders idempotency_keys
named bms-redis '--test faults' what_fails_in_redis_names_no_user
named bms-redis '--test conformance' one_node_keeps_every_rule_of_a_hold_store
named bms-redis '--test idempotency' one_node_keeps_every_rule_of_a_store_of_keys
named bms-redis '--test rights' the_line_of_the_readme_is_enough_and_each_of_its_commands_is_needed
named bms-redis --lib a_configuration_prints_no_secret
named bms-postgres '--test faults' a_refused_row_is_told_to_nobody the_runtime_role_needs_no_right_to_change_tables
named bms-postgres '--test orders' constraints_refuse_what_a_promise_forbids each_broken_promise_is_found every_rule_of_an_order_store_is_kept
named bms-postgres '--test holds' every_rule_of_a_hold_store_is_kept
named bms-postgres '--test conformance' every_rule_of_an_idempotency_store_is_kept
named bms-postgres --lib urls_are_read_and_never_shown
named bms-adapters-lambda '--test adapter' authorizer::
named bms-adapters-lambda '--test functions' settings_that_make_no_sense_end_it_at_once_and_show_no_secret
named bms-examples '--bin bms-server' serve::tests:: secrets_are_not_shown
named bms-examples '--bin bms-gateway' arrival::
named bms-examples '--test gateway' passing:: refusing:: a_client_that_stalls_is_answered a_client_that_does_not_read \
  what_goes_wrong_is_logged_without_the_address
named bms-examples '--test server' what_a_client_says_of_its_address_counts_for_nothing \
  a_short_secret_is_refused_without_being_shown a_database_that_cannot_be_reached_is_said_without_its_password

layer "A fault campaign on real processes" campaign
run env BMS_CAMPAIGN_SEED=0-19 BMS_CAMPAIGN_SECONDS=60 \
  cargo test --quiet --locked -p bms-examples --all-features --test campaign -- --show-output
keep '/^campaign of seed /p; /^campaigns of seeds /,/^$/p'

layer "Known bugs, each put back and caught" bugs
run scripts/scoreboard.py --to "$evidence/scoreboard.md"
# The links are written for docs/.
{ echo; sed 's|](../|](../../|' "$evidence/scoreboard.md"; } >>"$report"

if [ -n "$long" ]; then
  layer "Mutants" mutants
  run cargo mutants -p bms-domain --output "$evidence"
fi

printf '\nAll is well after %d s.\n' "$SECONDS" | tee -a "$report"
printf 'The report: %s\n' "$report"
