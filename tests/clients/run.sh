#!/bin/sh
# Tries the Python client: alone, then against the main program, Plan B on a data folder, and Plan B on
# a base directory of the original, one after the other.
# ILOT_BIN names the binary; without it the one built last under target/ (or CARGO_TARGET_DIR) is taken.
# Exit code 3: this machine has no Python. MYPY names a mypy, where the types are to be looked at too.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
target=${CARGO_TARGET_DIR:-$root/target}
python=${PYTHON:-python3}
client=$root/deploy/clients/python
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
if ! command -v "$python" >/dev/null; then
  echo "run.sh: python3 is missing (on Debian: apt-get install python3)" >&2
  exit 3
fi

work=$(mktemp -d)
box=
leave() {
  if [ -n "$box" ]; then
    kill "$box" 2>/dev/null || true
    wait "$box" 2>/dev/null || true
    box=
  fi
}
finish() {
  code=$?
  trap - EXIT INT TERM
  leave
  if [ "$code" -ne 0 ] && [ -f "$work/box.log" ]; then
    echo "run.sh: the last words of what it talked to:" >&2
    tail -n 40 "$work/box.log" >&2 || true
  fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT INT TERM

# Neither the bytecode nor the key of whoever runs this has a place here.
PYTHONDONTWRITEBYTECODE=1
PYTHONPATH=$client/src:$client
export PYTHONDONTWRITEBYTECODE PYTHONPATH
unset ARCHIPEL_PLANB_KEY

# against NAME HOME KEY_FILE AWAY COMMAND…: starts the command on a free port (the word PORT in it), waits
# until it answers, and lets the client talk to it.
against() {
  name=$1 home=$2 key_file=$3 away=$4
  shift 4
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  for word in "$@"; do
    shift
    case $word in PORT) word=$port ;; *:PORT) word=${word%PORT}$port ;; esac
    set -- "$@" "$word"
  done
  echo "-- $name"
  "$bin" "$@" >"$work/box.log" 2>&1 &
  box=$!
  ILOT_PLANB_URL=http://127.0.0.1:$port
  waited=0
  until "$python" -c "from archipel.plan_b.client import PlanBClient; PlanBClient('$ILOT_PLANB_URL', tries=1).health()" 2>/dev/null; do
    if ! kill -0 "$box" 2>/dev/null || [ "$waited" -ge 100 ]; then
      echo "run.sh: $name does not answer" >&2
      exit 1
    fi
    sleep 0.2
    waited=$((waited + 1))
  done
  ILOT_PLANB_KEY=$(cat "$key_file")
  ILOT_PLANB_HOME=$home
  ILOT_PLANB_AWAY=$away
  export ILOT_PLANB_URL ILOT_PLANB_KEY ILOT_PLANB_HOME ILOT_PLANB_AWAY
  "$python" -m unittest tests.test_server
  leave
}

cd "$client"
echo "-- alone"
"$python" -m unittest tests.test_alone
echo "-- installed without a network into an empty environment"
if "$python" -c 'import venv, ensurepip' 2>/dev/null && "$python" -m venv "$work/empty" >"$work/venv.log" 2>&1; then
  # Python of 3.12 and later puts no setuptools there; older ones must not be helped by theirs.
  "$work/empty/bin/python" -m pip uninstall --quiet --yes setuptools wheel >/dev/null 2>&1 || true
  (
    unset PYTHONPATH
    cd "$work"
    env -u PIP_FIND_LINKS "$work/empty/bin/python" -m pip install --quiet --no-index --no-cache-dir --disable-pip-version-check "$client"
    "$work/empty/bin/python" -c 'import archipel.plan_b.client as c; assert "site-packages" in c.__file__, c.__file__'
    "$work/empty/bin/python" -c 'from importlib.metadata import files, version; assert version("archipel-plan-b") and any(f.name == "py.typed" for f in files("archipel-plan-b"))'
  )
else
  echo "run.sh: skipped: this Python has no venv or ensurepip (on Debian: apt-get install python3-venv)"
fi
if [ -n "${MYPY:-}" ]; then "$MYPY" --cache-dir "$work/types"; fi

mkdir "$work/data" "$work/base"
against "the main program" "$work/data" "$work/data/planb/api_key.txt" "" \
  serve --data "$work/data" --http 127.0.0.1:0 --https off --planb 127.0.0.1:PORT
against "Plan B, without a database" "$work/data" "$work/data/planb/api_key.txt" yes \
  planb --data "$work/data" --http 127.0.0.1:0 --https off --host 127.0.0.1 --port PORT
against "Plan B, as the original lays it out" "$work/base" "$work/base/.runtime/api_key.txt" yes \
  planb --base-dir "$work/base" --port PORT
