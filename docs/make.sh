#!/usr/bin/env bash
# Makes the pictures and the plot of the README by a real run.
set -euo pipefail
cd "$(dirname "$0")/.."
run=$(mktemp -d)/run
cargo run --release -- train --train-data-dir examples/concepts/blue-umbrella \
    --placeholder-token "<blue-umbrella>" --initializer-token umbrella --output-dir "$run"
cp "$run"/{samples_before.png,samples_after.png,curve.svg} docs/
