#!/bin/sh
# Starts a box with a small language model and lets the official openai client of Python talk to it.
# ILOT_BIN names the binary; without it the one built last under target/ (or CARGO_TARGET_DIR) is taken.
# Exit code 3: something this machine cannot bring is missing (the model's file, Python, the network).
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
target=${CARGO_TARGET_DIR:-$root/target}
python=${PYTHON:-python3}
shared=${ILOT_SHARED:-$root/../shared}
model=$shared/data/stories260K-f16.gguf
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
missing() {
  echo "run.sh: $1" >&2
  exit 3
}
[ -f "$model" ] || missing "the small model is not here: shared/data/stories260K-f16.gguf"
"$python" -m pip --version >/dev/null 2>&1 || missing "python3 with pip is missing (on Debian: apt-get install python3-pip)"

# The client's packages lie in a folder of their own, named after what they were made from.
packages=$target/openai-client-$(cksum "$here/requirements.txt" | cut -d ' ' -f 1)
if [ ! -f "$packages/complete" ]; then
  rm -rf "$packages"
  "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --no-warn-conflicts \
    --target "$packages" --requirement "$here/requirements.txt" ||
    missing "the openai package cannot be had: PyPI is not reached"
  : >"$packages/complete"
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

# The model that embeds, where this copy has one; the client says what it could not look at.
mkdir "$data/models"
if [ -f "$root/models/all-minilm-l6-v2/model.safetensors" ]; then
  cp -rL "$root/models/all-minilm-l6-v2" "$data/models/"
fi
: >"$data/box.log"
ILOT_MODELS=$data/models ILOT_ASSISTANT_QUEUE_MAX_PER_USER=3 \
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
ILOT_TEST_MODEL=$model
export ILOT_URL ILOT_SETUP_LINK ILOT_TEST_MODEL
PYTHONPATH=$packages "$python" "$here/client.py" --verbose
