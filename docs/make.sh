#!/usr/bin/env bash
# Makes the pictures and the plot of the README by a real run.
set -euo pipefail
cd "$(dirname "$0")/.."
run=$(mktemp -d)/run
cargo run --release -- train examples/concepts/blue-umbrella --output-dir "$run"
cp "$run"/{samples_before.png,samples_after.png,curve.svg} docs/
