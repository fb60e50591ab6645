#!/usr/bin/env bash
# Runs the deployment on AWS on this machine: the functions under an emulator of Lambda, the gateway, Postgres, Redis, SQS
# and SNS. Prints the addresses and lines that buy a seat; Ctrl-C ends all of it, and nothing is kept.
#
#   scripts/local-cloud.sh [--release] [OPTIONS]
#
# Builds what it runs, with --release as it would be deployed. OPTIONS are those of `bms-cloud` (--help): --listen,
# --catalogue, --without-queue and others. Needs Redis and Postgres: apt-get install -y redis-server postgresql.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
profile=debug
build=(--locked -p bms-examples -p bms-adapters-lambda --features 'bms-examples/cloud,bms-adapters-lambda/functions' --bins)
if [ "${1:-}" = --release ]; then
  shift
  profile=release
  build+=(--release)
fi

target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
venv=$target/venv
if [[ " $* " != *" --without-queue "* ]] && [ -z "${BMS_MOTO:-}" ] && [ ! -x "$venv/bin/moto_server" ]; then
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
fi

cargo build "${build[@]}"
exec "$target/$profile/bms-cloud" "$@"
