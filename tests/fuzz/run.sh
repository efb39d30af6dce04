#!/usr/bin/env bash
# Lets libFuzzer loose on the parsers, each target for its share of the time, from the stored corpus on.
#
#   run.sh [--keep] [SECONDS [TARGET…]]   60 seconds in all and every target without arguments
#
# --keep adds what led to new places in the code to the stored corpus. An input that fails lies in
# artifacts/ and is said with the command that tries it again.
#
# The compiler is the box's own, a stable one: the instrumentation of libFuzzer (coverage, comparisons)
# needs flags that are stable, and only the address sanitizer would need a nightly. It would find little:
# these parsers are safe Rust, and what they do wrong shows as a panic or a failed assertion.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/../.."

keep=false
if [ "${1:-}" = --keep ]; then keep=true; shift; fi
seconds="${1:-60}"
[ "$#" -eq 0 ] || shift
targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
    for file in "$here"/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
share=$((seconds / ${#targets[@]}))
[ "$share" -gt 0 ] || share=1

built="${CARGO_TARGET_DIR:-target}/fuzz"
cargo fetch --quiet --locked --manifest-path "$here/Cargo.toml"
fuzz() {
    local verb="$1"
    shift
    CARGO_NET_OFFLINE=true cargo fuzz "$verb" --fuzz-dir "$here" --target-dir "$built" --sanitizer none "$@"
}

fuzz build 2>&1 | tail -n 3
for target in "${targets[@]}"; do
    stored="$here/corpus/$target" found="$built/corpus/$target"
    rm -rf "$found"
    mkdir -p "$stored" "$found"
    log="$built/$target.log"
    # The first folder takes what is found; the stored one is only read.
    if ! fuzz run "$target" "$found" "$stored" -- -max_total_time="$share" -max_len=4096 -timeout=10 \
        -print_final_stats=1 >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        echo "error: $target fails; the input lies below ${here#"$PWD"/}/artifacts/$target" >&2
        exit 1
    fi
    runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    echo "$target: ${runs:-no} inputs in $share s, $(find "$stored" -type f | wc -l) of them stored, none fails"
    # A target that was not fed would pass as well.
    [ "${runs:-0}" -gt 1000 ] || { echo "error: $target tried hardly anything" >&2; exit 1; }
    # By places alone: how often each was passed would store hundreds.
    if $keep; then fuzz run "$target" "$stored" "$found" -- -merge=1 -use_counters=0 >"$log" 2>&1; fi
done
