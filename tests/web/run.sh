#!/usr/bin/env bash
# Tests the built page (web/build.sh) in Chromium. DVAR names the command line program that must
# read what the page wrote; SCREENSHOTS=1 writes the pictures of docs/web again.
set -euo pipefail
cd "$(dirname "$0")"

export DVAR="${DVAR:-${CARGO_TARGET_DIR:-$PWD/../../target}/release/dvar}"
for needed in ../../web/dist/index.html "$DVAR"; do
    if [ ! -e "$needed" ]; then
        echo "$needed is missing: run web/build.sh and cargo build --release first" >&2
        exit 1
    fi
done
./setup
# one after the other: training takes a whole core
node --test --test-concurrency=1 --test-timeout=900000 --test-reporter=spec "${@:-*.test.js}"
