#!/bin/sh
# Runs every fuzz target for a while (default: 60 seconds each), from the seeds on. Needs cargo-fuzz, which it installs.
# usage: hack/fuzz.sh [SECONDS] [TARGET…]
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
[ $# -gt 0 ] || set -- request object patch text
for target in "$@"; do
    mkdir -p "fuzz/corpus/$target"
    echo "== $target for $seconds seconds"
    # libFuzzer's coverage needs no sanitizer, and so no other compiler.
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none --target-dir target/fuzz "$target" \
        "fuzz/corpus/$target" "fuzz/seeds/$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=5 -print_final_stats=1
done
