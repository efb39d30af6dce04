#!/bin/sh
# Starts a box in an empty folder, lets the browser tests visit it, and stops it again.
# ILOT_BIN names the binary; without it the one built last under target/ (or CARGO_TARGET_DIR) is taken.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
target=${CARGO_TARGET_DIR:-$root/target}
bin=${ILOT_BIN:-}
if [ -z "$bin" ]; then
  for profile in release debug; do
    if [ -x "$target/$profile/ilot" ]; then bin=$target/$profile/ilot; break; fi
  done
fi
if [ -z "$bin" ] || [ ! -x "$bin" ]; then
  echo "run.sh: no binary: build it with cargo, or name it in ILOT_BIN" >&2
  exit 2
fi
if [ ! -d "$root/src/ui/node_modules" ]; then
  echo "run.sh: run 'npm ci' in src/ui first" >&2
  exit 2
fi

data=$(mktemp -d)
box=
finish() {
  code=$?
  trap - EXIT INT TERM
  if [ -n "$box" ]; then
    kill "$box" 2>/dev/null || true
    wait "$box" 2>/dev/null || true
  fi
  if [ "$code" -ne 0 ]; then
    echo "run.sh: the box's last words:" >&2
    tail -n 40 "$data/box.log" >&2 || true
  fi
  rm -rf "$data"
  exit "$code"
}
trap finish EXIT INT TERM

: >"$data/box.log"
"$bin" serve --data "$data/box" --http 127.0.0.1:0 --https off --planb off >"$data/box.log" 2>&1 &
box=$!

# The addresses come before the doors open, the link once nobody is set up: both, within half a minute.
waited=0
until [ -s "$data/box/run/addresses.json" ] && [ -s "$data/box/run/setup-link" ]; do
  if ! kill -0 "$box" 2>/dev/null || [ "$waited" -ge 300 ]; then
    echo "run.sh: the box did not open" >&2
    exit 1
  fi
  sleep 0.1
  waited=$((waited + 1))
done

address=$(sed -n 's/.*"http" *: *"\([^"]*\)".*/\1/p' "$data/box/run/addresses.json" | head -n 1)
if [ -z "$address" ]; then
  echo "run.sh: no HTTP address in addresses.json" >&2
  exit 1
fi
ILOT_URL=http://$address
ILOT_SETUP_LINK=$(head -n 1 "$data/box/run/setup-link" | tr -d '\r')
ILOT_BIN=$bin
export ILOT_URL ILOT_SETUP_LINK ILOT_BIN
node --test --test-reporter=spec "$here"/*.test.mjs
