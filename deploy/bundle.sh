#!/usr/bin/env bash
# Builds what goes on a USB stick: program, models, sample data, installer, sums.
#
#     deploy/bundle.sh --binary FILE [--out DIR] [--zip] [--models DIR] [--part-size BYTES]
#     deploy/bundle.sh --verify DIR      check a stick after it was written
#
# A file larger than a FAT stick can hold is cut into NAME.part-000, NAME.part-001, …; the sums of
# the parts are in SHA256SUMS, those of the wholes in SHA256SUMS.whole.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repository="$(dirname "$here")"
binary="" out="" models="$repository/models" zip=no verify=""
# FAT32 holds 4 GiB less one byte; a little less keeps clear of it.
part_size=4000000000

fail() { echo "bundle: $1" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case "$1" in
        --binary) binary="$2"; shift ;;
        --out) out="$2"; shift ;;
        --models) models="$2"; shift ;;
        --part-size) part_size="$2"; shift ;;
        --zip) zip=yes ;;
        --verify) verify="$2"; shift ;;
        -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) echo "bundle: unknown option: $1" >&2; exit 2 ;;
    esac
    shift
done

# Every listed file is right, and no file is there that is not listed.
verify_bundle() {
    local folder="$1"
    [ -f "$folder/SHA256SUMS" ] || fail "$folder holds no SHA256SUMS"
    (cd "$folder" && sha256sum --check --strict --quiet SHA256SUMS) || fail "$folder is damaged"
    local extra
    extra="$(cd "$folder" && LC_ALL=C comm -13 <(cut -c67- SHA256SUMS | LC_ALL=C sort) \
        <(find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort))"
    [ -z "$extra" ] || fail "not in SHA256SUMS: $extra"
    echo "bundle: $folder is whole: $(wc -l <"$folder/SHA256SUMS") files, $(du -sh "$folder" | cut -f1)"
}

if [ -n "$verify" ]; then
    verify_bundle "$verify"
    exit 0
fi

[ -f "$binary" ] || fail "no program: give --binary FILE (make bundle builds it)"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/Cargo.toml" | head -1)"
name="ilot-$version-$(uname -m)"
out="${out:-$repository/target/bundle}"
folder="$out/$name"
mkdir -p "$out"
building="$(mktemp -d "$out/.building-XXXXXX")"
trap 'rm -rf "$building"' EXIT

install -m 0755 "$binary" "$building/ilot"
install -m 0755 "$here/install.sh" "$building/install.sh"
install -m 0644 "$here/ilot.service" "$building/ilot.service"
install -m 0644 "$here/stick-readme.txt" "$building/README.txt"
for text in LICENSE LICENSE-MIT LICENSE-APACHE NOTICE CHANGELOG.md; do
    [ ! -f "$repository/$text" ] || install -m 0644 "$repository/$text" "$building/$text"
done
mkdir -p "$building/demo"
cp -r "$here/demo/documents" "$here/demo/readers.json" "$here/demo/questions.json" "$here/demo/README.md" "$building/demo/"
# Programs of the site may have no other way to the client than the stick; what Python compiled stays here.
mkdir -p "$building/clients/python"
cp -r "$here/clients/python/src" "$here/clients/python/backend" "$here/clients/python/pyproject.toml" "$here/clients/python/README.md" "$building/clients/python/"
find "$building/clients" -depth \( -name __pycache__ -o -name '*.egg-info' \) -exec rm -r {} +

# Only models that are complete travel: a folder with a card alone is left out, and said.
for card in "$models"/*/card.toml; do
    model="$(dirname "$card")"
    if [ -z "$(find -L "$model" -maxdepth 1 -type f \( -name '*.safetensors' -o -name '*.gguf' \) -print -quit)" ]; then
        echo "bundle: ${model##*/} has no weights and is left out (make model brings them)" >&2
        continue
    fi
    mkdir -p "$building/models/${model##*/}"
    find -L "$model" -maxdepth 1 -type f ! -name '.*' -exec cp -L -t "$building/models/${model##*/}" {} +
done

cd "$building"
: >SHA256SUMS.whole
while IFS= read -r -d '' large; do
    sha256sum "${large#./}" >>SHA256SUMS.whole
    split --bytes="$part_size" --numeric-suffixes --suffix-length=3 "$large" "$large.part-"
    rm "$large"
done < <(find ./models -type f -size "+${part_size}c" -print0 2>/dev/null | sort -z)
[ -s SHA256SUMS.whole ] || rm SHA256SUMS.whole
find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS
chmod -R u=rwX,go=rX .
cd - >/dev/null

rm -rf "$folder"
mv "$building" "$folder"
verify_bundle "$folder"
if [ "$zip" = yes ]; then
    # The archive is for carrying over a network share; a stick takes the folder itself.
    (cd "$out" && python3 -m zipfile -c "$name.zip" "$name")
    [ "$(stat -c %s "$out/$name.zip")" -lt "$part_size" ] ||
        echo "bundle: $name.zip is larger than a FAT stick can hold; copy the folder instead" >&2
    (cd "$out" && sha256sum "$name.zip" >"$name.zip.sha256")
    echo "bundle: $out/$name.zip"
fi
