#!/usr/bin/env bash
# Fuzzes the example server's API from its own OpenAPI document: no 5xx, no answer that the document does not name, no
# bad request taken, no route that forgets to ask for a token.
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
touch "$work/greeting" "$work/log"

# Nothing of the caller's settings: demo mode on the embedded stores.
settings=()
while read -r name; do settings+=(-u "$name"); done < <(compgen -e | grep -E '^(BMS_|REDIS_URL$|DATABASE_URL$)' || true)
env "${settings[@]}" NO_COLOR=1 BMS_PAYMENT_WEBHOOK_SECRET=not-a-secret-only-for-the-fuzzer \
  "$target/debug/bms-server" --listen 127.0.0.1:0 >"$work/greeting" 2>"$work/log" &
server=$!

# Kills the server however this ends.
finish() {
  kill -KILL "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
}
trap finish EXIT

# Says what is wrong, with the end of the server's log.
give_up() {
  printf '%s\n\nThe end of %s:\n' "$1" "$work/log" >&2
  tail -n 30 "$work/log" >&2
  exit 1
}

# The server greets with its address on its first line.
url=
for attempt in $(seq 150); do
  url=$(sed -n '1s/.* \(http:[^ ]*\)$/\1/p' "$work/greeting")
  if [ -n "$url" ] && curl -fsS --max-time 2 -o /dev/null "$url/healthz" 2>/dev/null; then break; fi
  kill -0 "$server" 2>/dev/null || give_up "bms-server ended before it was ready."
  [ "$attempt" -lt 150 ] || give_up "bms-server was not ready within 30 seconds."
  sleep 0.2
done

# `ask METHOD PATH [BODY]` prints the answer's body.
token=
ask() {
  curl -fsS --max-time 5 -X "$1" -H "Authorization: Bearer $token" ${3:+-H 'Content-Type: application/json' -d "$3"} "$url$2"
}

# Generated names exist by chance only. So that requests get past "not found", the fuzzer mixes in names that do exist:
# films, a show and its seats, a hold, an order that waits and one that is paid.
token=$(ask POST /api/v1/demo/token '{"userId":"fuzz","admin":true}' | jq -er .token) || give_up "bms-server gave no token."
movies=$(ask GET /movies | jq -ec '[.movies[].movieId]') || give_up "bms-server lists no films."
show=$(ask GET "/movies/$(jq -r '.[0]' <<<"$movies")/shows" | jq -er '[.shows[] | select(.status == "ON_SALE")][-1].showId') ||
  give_up "The first film has no show on sale."
seats=$(ask GET "/api/v1/shows/$show/seatmap" | jq -ec '[.layout.sections[].rows[].seats[].seatId][:12]') ||
  give_up "The show has no seats."

# `hold N` holds the show's seat number N and prints the hold's id.
hold() {
  ask POST /api/v1/holds "$(jq -nc --arg show "$show" --argjson seats "$seats" --argjson n "$1" \
    '{showId: $show, seatIds: [$seats[$n]]}')" | jq -er .holdId
}
# `order HOLD` makes an order of a hold and prints its id.
customer=nobody-to-be-logged@example.org
order() {
  ask POST /api/v1/orders "$(jq -nc --arg hold "$1" --arg email "$customer" \
    '{holdId: $hold, customer: {name: "Fuzz", email: $email}}')" | jq -er .orderId
}
if ! { held=$(hold 0) && ordered=$(hold 1) && bought=$(hold 2) && waiting=$(order "$ordered") && paid=$(order "$bought"); }; then
  give_up "bms-server did not take the holds and orders."
fi
ticket=$(ask POST "/api/v1/orders/$paid/confirm" '{"paymentReference":"pay_ok_fuzz"}' | jq -er .ticketCode) ||
  give_up "bms-server did not confirm the order."

cat >"$work/schemathesis.toml" <<TOML
headers = { Authorization = "Bearer $token" }
request-timeout = 10.0
# The live seat map never ends: its first event will do.
max-stream-events = 1
warnings = false
# All checks but two: what fits the document may well be refused, such as a payment of another order; and a released
# hold or an order given up can still be read, with its state.
checks.positive_data_acceptance.enabled = false
checks.use_after_free.enabled = false
[dictionaries]
movies = { values = $movies }
shows = { values = ["$show"] }
seats = { values = $seats }
holds = { values = ["$held", "$ordered", "$bought"] }
orders = { values = ["$waiting", "$paid"] }
tickets = { values = ["$ticket"] }
payments = { values = ["pay_ok_1", "pay_declined_1", "pay_pending_1"] }
[parameters]
"path.movieId" = { dictionary = "movies", probability = 0.7 }
"path.showId" = { dictionary = "shows", probability = 0.7 }
"path.holdId" = { dictionary = "holds", probability = 0.7 }
"path.orderId" = { dictionary = "orders", probability = 0.7 }
"path.ticketCode" = { dictionary = "tickets", probability = 0.7 }
"body.showId" = { dictionary = "shows", probability = 0.9 }
"body.seatIds[*]" = { dictionary = "seats", probability = 0.9 }
"body.holdId" = { dictionary = "holds", probability = 0.7 }
"body.orderId" = { dictionary = "orders", probability = 0.7 }
"body.paymentReference" = { dictionary = "payments", probability = 0.7 }
# OpenAPI 3.1 can describe a stream as a whole only, and the fuzzer holds each event against that.
[[operations]]
include-operation-id = "watchSeatMap"
checks.response_schema_conformance.enabled = false
TOML

# The document itself, against the specification of OpenAPI 3.1.
ask GET /api/v1/openapi.json >"$work/openapi.json" || give_up "bms-server gave no OpenAPI document."
"$venv/bin/openapi-spec-validator" --schema 3.1 "$work/openapi.json" || give_up "The OpenAPI document is not valid (above)."

# In a folder of its own, for what the fuzzer leaves behind.
status=0
(
  cd "$work"
  "$venv/bin/schemathesis" run "$url/api/v1/openapi.json" \
    --phases examples,coverage,fuzzing,stateful \
    --max-examples "$examples" \
    --seed "$seed" \
    --generation-database none \
    --suppress-health-check too_slow \
    --continue-on-failure
) || status=$?

[ "$status" = 0 ] || give_up "The fuzzer found faults (above). The same requests again: scripts/fuzz-api.sh $examples $seed"
kill -0 "$server" 2>/dev/null || give_up "bms-server ended while it was fuzzed."
if grep -q 'panicked at' "$work/log"; then give_up "bms-server panicked."; fi
if grep -qFe "$token" -e "$customer" "$work/log"; then give_up "A token or a customer's data is in bms-server's log."; fi
