#!/usr/bin/env bash
# Builds the functions for AWS Lambda and puts each into deploy/build/NAME, from where `sam deploy` takes it.
#
#   deploy/build.sh [arm64|x86_64] [NAME…]
#
# For arm64 unless told, and all functions unless some are named. With cargo-lambda (`pip install cargo-lambda`, which
# brings the cross compiler zig) it builds for either on any machine; without it plain cargo builds for this machine's
# kind, if that is a Linux no newer than the functions'.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
architecture=arm64
largest=15000000
case ${1:-} in
  arm64 | x86_64) architecture=$1 && shift ;;
esac
names=("$@")
[ "$#" -gt 0 ] || names=(movies holds orders seats sweeper relay notify)

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# Aurora's certificates are signed by a CA that no system knows.
certificate=deploy/database-ca.pem
if [ ! -s "$certificate" ]; then
  fail "$certificate is missing: the CA that has signed the database's certificate. That of Aurora and RDS is had with:" \
    "curl -fsSo $certificate https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
fi

case $architecture in
  arm64) triple=aarch64-unknown-linux-gnu ;;
  x86_64) triple=x86_64-unknown-linux-gnu ;;
esac
arguments=(--locked --profile lambda -p bms-adapters-lambda --features functions --target "$triple")
for name in "${names[@]}"; do arguments+=(--bin "bms-lambda-$name"); done
target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

if cargo lambda --version >/dev/null 2>&1; then
  # Its own optimisations would end the process at a panic, which is to end a request only.
  cargo lambda build "${arguments[@]}" --disable-optimizations --lambda-dir "$target/functions"
  program() { echo "$target/functions/bms-lambda-$1/bootstrap"; }
elif rustc -vV | grep -qx "host: $triple"; then
  cargo build "${arguments[@]}"
  program() { echo "$target/$triple/lambda/bms-lambda-$1"; }
else
  fail "This machine cannot build for $architecture by itself. Run: pip install cargo-lambda && rustup target add $triple"
fi

for name in "${names[@]}"; do
  folder=deploy/build/$name
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$(program "$name")" "$folder/bootstrap"
  chmod 755 "$folder/bootstrap"
  # The newest version of the C library that it asks for; provided.al2023 has 2.34.
  asked=$(grep -aoE 'GLIBC_2\.[0-9]+' "$folder/bootstrap" | sort -Vu | tail -n 1)
  if [ "$(printf '%s\n' GLIBC_2.34 "$asked" | sort -V | tail -n 1)" != GLIBC_2.34 ]; then
    rm -rf "$folder"
    fail "bms-lambda-$name was linked for $asked, which provided.al2023 does not have. Run: pip install cargo-lambda"
  fi
  cp "$certificate" "$folder/database-ca.pem"
  # So that each build is a new version, and with it whatever else has changed: a parameter, or a secret.
  date -u +%FT%TZ >"$folder/built"
  size=$(wc -c <"$folder/bootstrap")
  printf '%-8s %s, %.1f MB\n' "$name" "$architecture" "$(awk "BEGIN { print $size / 1e6 }")"
  # A large program is fetched and started slowly.
  if [ "$size" -gt "$largest" ]; then
    fail "bms-lambda-$name has $size bytes; $largest are allowed. See what grew: cargo install cargo-bloat && cargo bloat --crates"
  fi
done
