#!/usr/bin/env bash
# Checks everything, on a fresh Debian or Ubuntu machine with Rust: format, borders, licences, lints, tests, docs,
# examples, benchmarks (each once), the template for AWS and the API under a fuzzer. Installs what it needs with apt, or
# says which line does.
# Stops at the first failure with the command that repeats it; the last line counts the tests.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
steps=13
step=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ -t 1 ]; then export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always}; fi

# Adds up what cargo said of tests so far: $1 is `passed`, `failed` or `ignored`.
count() {
  sed -n "s/^.*test result: .* \([0-9][0-9]*\) $1;.*$/\1/p" "$log" | awk '{ total += $1 } END { print total + 0 }'
}

elapsed() {
  printf '%02d:%02d' $((SECONDS / 60)) $((SECONDS % 60))
}

# Ends the run: $1 says what failed, $2 how to go on.
fail() {
  local failed
  failed=$(count failed)
  printf '\nFAILED after %s: %s\n%s\n\n' "$(elapsed)" "$1" "$2"
  # A step that failed without a test failing counts as one.
  printf '%d passed, %d failed\n' "$(count passed)" $((failed > 0 ? failed : 1))
  exit 1
}

# Begins the next step, named $1.
begin() {
  step=$((step + 1))
  printf '\n[%2d/%d] %s (%s)\n' "$step" "$steps" "$1" "$(elapsed)"
}

# Runs a command, shown as it is to be typed.
run() {
  local command
  command=$(printf '%q ' "$@")
  printf '        $ %s\n' "${command% }"
  "$@" 2>&1 </dev/null | tee -a "$log" || fail "step $step" "Repeat it with: cd $(printf '%q' "$root") && ${command% }"
}

# The first Python that is new enough and can make an environment.
find_python() {
  local name
  for name in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
    if "$name" -c 'import ensurepip, tomllib, venv' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# Prints the folder of the newest Postgres; Debian keeps the versions apart from each other and off the path.
postgres_folder() {
  local on_path newest
  newest=$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | sort -V | tail -n 1) || true
  on_path=$(command -v postgres) || true
  if [ -n "$newest" ]; then dirname "$newest"; elif [ -n "$on_path" ]; then dirname "$on_path"; else return 1; fi
}

# Prints the apt packages that are missing.
missing_packages() {
  local tool
  for tool in curl jq; do
    command -v "$tool" >/dev/null || echo "$tool"
  done
  command -v cc >/dev/null || echo build-essential
  # A sentinel is the server's program, too.
  command -v redis-server >/dev/null || echo redis-server
  if ! command -v redis-cli >/dev/null || ! command -v redis-benchmark >/dev/null; then echo redis-tools; fi
  compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || echo libfaketime
  if ! postgres_folder >/dev/null || ! command -v psql >/dev/null; then echo postgresql; fi
  command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || echo pgbouncer
  if ! find_python >/dev/null; then
    if command -v python3 >/dev/null && ! python3 -c 'import tomllib' 2>/dev/null; then
      echo python3.11 python3.11-venv
    else
      echo python3 python3-venv
    fi
  fi
}

install_packages() {
  local missing as_root=()
  missing=$(missing_packages | xargs)
  [ -n "$missing" ] || return 0
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  if ! command -v apt-get >/dev/null; then
    fail "this machine lacks: $missing" "Install them with the system's package manager and run scripts/test.sh again."
  fi
  if [ "${#as_root[@]}" -gt 0 ] && ! sudo -n true 2>/dev/null; then
    fail "this machine lacks: $missing" "Run: sudo apt-get update && sudo apt-get install -y $missing"
  fi
  # shellcheck disable=SC2086 # one word a package
  run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
  if [[ " $missing " = *" postgresql "* ]]; then
    # The package makes a cluster for the whole machine, and starts it. The tests make their own.
    run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql-common
    run "${as_root[@]}" sed -i 's/^#\?create_main_cluster = .*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  fi
  # shellcheck disable=SC2086
  run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
  # These packages bring up a server for the whole machine. It was not there before, and the tests start their own.
  local server
  for server in redis-server pgbouncer; do
    if [[ " $missing " != *" $server "* ]]; then continue; fi
    if [ -d /run/systemd/system ]; then
      run "${as_root[@]}" systemctl disable --now "$server.service"
    elif [ -x "/etc/init.d/$server" ]; then
      run "${as_root[@]}" "/etc/init.d/$server" stop
    fi
  done
}

# Redis 7.0 is the oldest that will do.
check_redis() {
  local found
  found=$(redis-server --version | sed -n 's/.* v=\([0-9.]*\) .*/\1/p')
  if [ "$(printf '%s\n' 7.0 "$found" | sort -V | head -n 1)" != 7.0 ]; then
    fail "Redis $found is too old, 7.0 is the oldest that will do" "Install the package redis-server of Debian 12, Ubuntu 24.04 or later."
  fi
  echo "        Redis $found"
}

# Postgres 15 is the oldest that will do.
check_postgres() {
  local folder found
  folder=$(postgres_folder) || fail "Postgres is not installed" "Run: apt-get install -y postgresql"
  found=$("$folder/postgres" --version | sed -n 's/.*(PostgreSQL) \([0-9.]*\).*/\1/p')
  if [ "${found%%.*}" -lt 15 ]; then
    fail "Postgres $found is too old, 15 is the oldest that will do" "Install the package postgresql of Debian 12, Ubuntu 24.04 or later."
  fi
  echo "        Postgres $found"
}

check_rust() {
  local wanted found
  command -v cargo >/dev/null || fail "cargo is not installed" "Install Rust, then run scripts/test.sh again."
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
  found=$(rustc --version | cut -d ' ' -f 2)
  if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    fail "Rust $found is too old, $wanted is the oldest that will do" "Run: rustup update stable"
  fi
  if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    command -v rustup >/dev/null || fail "rustfmt or clippy is missing" "Install both with the system's package manager."
    run rustup component add rustfmt clippy
  fi
  echo "        Rust $found"
}

# Makes the environment $1 of what the file $2 lists, unless it is there and can import $3.
install_environment() {
  local folder=$1 wanted=$2 module=$3
  if ! cmp -s "$wanted" "$folder/requirements.txt" || ! "$folder/bin/python" -c "import $module" 2>/dev/null; then
    run "$python" -m venv --clear "$folder"
    run "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$folder/requirements.txt"
  fi
}

# One selection of packages and features for everything that compiles the whole workspace, so that cargo builds the
# dependencies once: a selection without examples or tests would leave out what their dependencies switch on, and build
# half the tree anew.
whole=(--locked --workspace --all-features)

begin "Tools that the tests need"
check_rust
install_packages
check_redis
check_postgres
python=$(find_python) || fail "no Python 3.11 or later with venv" "Install one and run scripts/test.sh again."
target=$(cargo metadata --locked --no-deps --format-version 1 | "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
venv=$target/venv
deploy_venv=$target/venv-deploy
install_environment "$venv" scripts/requirements.txt "moto, schemathesis"
install_environment "$deploy_venv" scripts/requirements-deploy.txt samcli
echo "        $("$venv/bin/python" --version), $("$venv/bin/schemathesis" --version), $("$deploy_venv/bin/cfn-lint" --version)"

begin "Format, and that known bugs can be put back"
run cargo fmt --all --check
run "$venv/bin/python" scripts/scoreboard.py --self-test
run "$venv/bin/python" scripts/scoreboard.py --check

begin "Dependency borders"
run "$venv/bin/python" scripts/borders.py --self-test
run "$venv/bin/python" scripts/borders.py

begin "Licences"
run "$venv/bin/python" scripts/licences.py --self-test
run "$venv/bin/python" scripts/licences.py

begin "Lints, every target and feature"
run cargo clippy "${whole[@]}" --all-targets -- -D warnings

begin "Lints, each library crate with each feature alone, as another program would build it"
feature_sets=$("$venv/bin/python" scripts/feature-sets.py) || fail "step $step" "Repeat it with: scripts/feature-sets.py"
while read -r -a arguments; do
  run cargo clippy --locked "${arguments[@]}" -- -D warnings
done <<<"$feature_sets"
# Its tests are built on other features of what it depends on, and only looked at: with every feature they are all run.
feature_sets=$("$venv/bin/python" scripts/feature-sets.py --bare) || fail "step $step" "Repeat it with: scripts/feature-sets.py --bare"
while read -r -a arguments; do
  run cargo clippy --locked "${arguments[@]}" --tests -- -D warnings
done <<<"$feature_sets"

begin "Programs and examples"
run cargo build "${whole[@]}" --bins --examples

begin "The template for AWS"
run "$deploy_venv/bin/python" scripts/check-deploy.py --self-test
run "$deploy_venv/bin/python" scripts/check-deploy.py

begin "Tests"
# Each target of the fuzzers has half a minute; without this it has a second. What is drawn at random is drawn from one seed, so
# that the same code gets the same answer: verify.sh draws anew.
run env BMS_FUZZ_SECONDS=30 "PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}" cargo test "${whole[@]}" --tests

begin "Tests in the documentation"
run cargo test "${whole[@]}" --doc

begin "Benchmarks, each once, unmeasured"
run cargo test "${whole[@]}" --bench '*'

begin "Documentation"
run env RUSTDOCFLAGS='-D warnings' cargo doc "${whole[@]}" --no-deps --lib --bins --examples

begin "The API under a fuzzer"
run scripts/fuzz-api.sh

ignored=$(count ignored)
printf '\nAll is well after %s.' "$(elapsed)"
[ "$ignored" = 0 ] || printf ' %d tests are marked to be ignored.' "$ignored"
printf '\n\n%d passed, %d failed\n' "$(count passed)" "$(count failed)"
