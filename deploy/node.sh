# shellcheck shell=bash
# Sourced by what runs npm: puts a Node.js first in PATH that the pages' tools accept.
#
# Debian's own is often too old for them. npm itself can bring a newer one as a package; it is kept
# outside the clone and found again the next time.

# The oldest that will do, as src/ui/package.json says it ("engines").
node_wanted="$(sed -n 's/.*"node": *">=\([0-9.]*\)".*/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../src/ui/package.json" 2>/dev/null || true)"
node_brought=22

node_new_enough() {
    local found
    found="$(node --version 2>/dev/null)" || return 1
    [ "$(printf '%s\n' "${node_wanted:-0}" "${found#v}" | sort -V | head -1)" = "${node_wanted:-0}" ]
}

# Returns 1 with a sentence on standard error when there is no npm, or no Node.js that will do.
node_ready() {
    command -v npm >/dev/null || { echo "npm is missing (on Debian: apt-get install nodejs npm)" >&2; return 1; }
    local own="${XDG_CACHE_HOME:-$HOME/.cache}/ilot/node"
    node_new_enough && return 0
    [ -x "$own/node_modules/.bin/node" ] || {
        echo "Node.js $(node --version 2>/dev/null || echo none) is older than $node_wanted; npm brings version $node_brought …" >&2
        npm install --prefix "$own" --no-audit --no-fund --loglevel=error "node@$node_brought" >&2 || true
    }
    PATH="$own/node_modules/.bin:$PATH"
    node_new_enough || { echo "Node.js $node_wanted or later is needed and npm could not bring it" >&2; return 1; }
}
