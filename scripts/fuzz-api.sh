#!/usr/bin/env bash
# Fuzzes the example server's API from its own OpenAPI document: no 5xx, and no answer that the document does not name.
#
#   scripts/fuzz-api.sh [EXAMPLES] [SEED]
#
# EXAMPLES is the number of generated requests an operation and phase (25), SEED what they are drawn from (1). Expects
# the fuzzer where scripts/test.sh puts it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
examples=${1:-25}
seed=${2:-1}

target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
venv=$target/venv
if [ ! -x "$venv/bin/schemathesis" ]; then
  echo "The fuzzer is not installed. Run: python3 -m venv '$venv' && '$venv/bin/pip' install -r scripts/requirements.txt" >&2
  exit 1
fi
# The same selection as in scripts/test.sh, so that nothing is built again.
cargo build --quiet --locked --workspace --all-features --bins --examples

work=$target/fuzz
rm -rf "$work"
mkdir -p "$work"
port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port

# Nothing of the caller's settings: demo mode on the embedded stores.
settings=()
while read -r name; do settings+=(-u "$name"); done < <(compgen -e | grep -E '^(BMS_|REDIS_URL$|DATABASE_URL$)' || true)
env "${settings[@]}" "$target/debug/bms-server" --listen "127.0.0.1:$port" --demo >"$work/server.log" 2>&1 &
server=$!

# Kills the server however this ends.
finish() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
}
trap finish EXIT

# Says what is wrong, with the end of the server's log.
give_up() {
  printf '%s\n\nThe end of %s:\n' "$1" "$work/server.log" >&2
  tail -n 30 "$work/server.log" >&2
  exit 1
}

for attempt in $(seq 150); do
  if curl -fsS --max-time 2 -o /dev/null "$url/healthz" 2>/dev/null; then break; fi
  kill -0 "$server" 2>/dev/null || give_up "bms-server ended before it was ready."
  [ "$attempt" -lt 150 ] || give_up "bms-server was not ready within 30 seconds."
  sleep 0.2
done

token=$(curl -fsS --max-time 5 -H 'Content-Type: application/json' -d '{"userId":"fuzz","admin":true}' "$url/api/v1/demo/token" |
  jq -er .token) || give_up "bms-server gave no demo token."

checks=not_a_server_error,status_code_conformance,content_type_conformance
checks+=,response_headers_conformance,response_schema_conformance
# The live seat map never ends; a test of its own reads it.
status=0
"$venv/bin/schemathesis" run "$url/api/v1/openapi.json" \
  --header "Authorization: Bearer $token" \
  --exclude-path-regex '/seatmap/events$' \
  --phases examples,coverage,fuzzing,stateful \
  --checks "$checks" \
  --max-examples "$examples" \
  --seed "$seed" \
  --generation-database none \
  --request-timeout 10 \
  --continue-on-failure || status=$?

[ "$status" = 0 ] || give_up "The fuzzer found faults (above); the same requests again: scripts/fuzz-api.sh $examples $seed"
kill -0 "$server" 2>/dev/null || give_up "bms-server ended while it was fuzzed."
! grep -q 'panicked at' "$work/server.log" || give_up "bms-server panicked."
