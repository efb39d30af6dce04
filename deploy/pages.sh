#!/usr/bin/env bash
# Builds the pages (src/ui) when a source is newer than what was built.
#
#     deploy/pages.sh          a missing npm or registry is an error
#     deploy/pages.sh --maybe  it is said in words, and the box is built without pages
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../src/ui" 2>/dev/null || {
    echo "pages: there is no src/ui in this copy" >&2
    exit 1
}

go_without() {
    echo "pages: $1" >&2
    if [ "${maybe}" = yes ]; then
        echo "pages: going on without them; the box will say so at http://127.0.0.1:8000" >&2
        exit 0
    fi
    exit 1
}

maybe=no
[ "${1:-}" = "--maybe" ] && maybe=yes

built=dist/index.html
if [ -f "$built" ] && [ -z "$(find . \( -name node_modules -o -name dist \) -prune -o -type f -newer "$built" -print -quit)" ]; then
    echo "pages: up to date"
    exit 0
fi

command -v npm >/dev/null || go_without "npm is missing (on Debian: apt-get install nodejs npm)"

# npm writes this file last, so it is newer than the lock file only when the install came to its end.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    npm ci --no-audit --no-fund --loglevel=error || go_without "npm could not bring the packages of package-lock.json"
fi
npm run build
[ -f "$built" ] || { echo "pages: the build left no $built" >&2; exit 1; }
# A build that changes nothing must still count as newer than its sources.
touch "$built"
