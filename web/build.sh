#!/usr/bin/env bash
# The whole page as static files in web/dist, from a machine with Rust and npm.
set -euo pipefail
cd "$(dirname "$0")"

if ! cmp -s package-lock.json node_modules/.package-lock.copy; then
    npm ci --no-audit --no-fund
    cp package-lock.json node_modules/.package-lock.copy
fi
./build-wasm.sh
npm run build

size() { find dist -type f -path "$1" -print0 | xargs -0 cat | wc -c; }
zipped() { find dist -type f -path "$1" -print0 | xargs -0 cat | gzip -9 | wc -c; }
echo "first visit: model $(size 'dist/model/*') bytes, wasm $(zipped '*.wasm') gzipped," \
    "page $(cat dist/index.html dist/service_worker.js dist/assets/*.js dist/assets/*.css | gzip -9 | wc -c) gzipped," \
    "examples $(size 'dist/concepts/*')"
