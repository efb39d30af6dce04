#!/usr/bin/env bash
# Builds the pages (src/ui) when their sources are not those of the last build.
#
#     deploy/pages.sh          a missing npm or registry is an error
#     deploy/pages.sh --maybe  it is said in words, and the box is built without pages
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=deploy/node.sh
. deploy/node.sh

maybe=no
[ "${1:-}" = "--maybe" ] && maybe=yes

go_without() {
    echo "pages: $1" >&2
    [ "$maybe" = yes ] || exit 1
    echo "pages: going on without them; the box says so where they would be" >&2
    exit 0
}

# What the pages are made of, the API document included: names and contents, not times, so that a
# fresh clone over an old cache, or a file that was written again unchanged, builds nothing.
sources() {
    find src/ui tests/golden/openapi.json \( -name node_modules -o -name dist \) -prune -o -type f -print0 2>/dev/null |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}

[ -f src/ui/package.json ] || go_without "there is no src/ui in this copy"
stamp=src/ui/node_modules/.ilot-built
if [ -f src/ui/dist/index.html ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(sources)" ]; then
    echo "pages: up to date"
    exit 0
fi

node_ready || go_without "they cannot be built on this machine"
# npm writes this file last, so it is newer than the lock file only when the install came to its end.
if [ ! src/ui/node_modules/.package-lock.json -nt src/ui/package-lock.json ]; then
    npm --prefix src/ui ci --no-audit --no-fund --loglevel=error ||
        go_without "npm could not bring the packages of package-lock.json"
fi
npm --prefix src/ui run build
[ -f src/ui/dist/index.html ] || { echo "pages: the build left no dist/index.html" >&2; exit 1; }
mkdir -p "$(dirname "$stamp")"
sources >"$stamp"
echo "pages: built"
