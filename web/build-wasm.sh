#!/usr/bin/env bash
# The trainer as WebAssembly, to web/page/pkg, and what the page loads beside it, to web/public.
# Needs Rust and npm; everything else is fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-target}"
triple=wasm32-unknown-unknown
pkg=web/page/pkg
wasm=$pkg/dvar_web_bg.wasm

rustup target list --installed | grep -qx $triple || rustup target add $triple
# exactly the version of the crate: the two halves of the glue must fit
version=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/"/, "", $3); print $3 }' Cargo.lock)
tools="$target/tools"
bindgen=$(PATH="$tools/bin:$PATH" command -v wasm-bindgen || true)
if [ "$("${bindgen:-false}" --version 2>/dev/null)" != "wasm-bindgen $version" ]; then
    cargo install wasm-bindgen-cli --version "$version" --root "$tools" --force
    bindgen="$tools/bin/wasm-bindgen"
fi
optimize=web/node_modules/.bin/wasm-opt
if [ ! -x $optimize ]; then
    (cd web && npm ci --no-audit --no-fund)
fi

cargo build --profile web --target $triple -p dvar-web
"$bindgen" --target web --remove-name-section --remove-producers-section --out-dir $pkg \
    "$target/$triple/web/dvar_web.wasm"
# npm's wasm-opt takes minutes, and more than -O1 many of them: only when the wasm changed
sum=$(cksum < $wasm)
if [ "$(cat "$tools/optimized.sum" 2>/dev/null)" != "$sum" ] || [ ! -f "$tools/optimized.wasm" ]; then
    mkdir -p "$tools"
    $optimize -O1 --enable-simd --enable-bulk-memory --enable-nontrapping-float-to-int \
        --enable-sign-ext --enable-mutable-globals --enable-reference-types --enable-multivalue \
        $wasm -o "$tools/optimized.wasm"
    echo "$sum" > "$tools/optimized.sum"
fi
before=$(wc -c < $wasm)
cp "$tools/optimized.wasm" $wasm

node web/public-files.mjs
after=$(wc -c < $wasm)
zipped=$(gzip -9 -c $wasm | wc -c)
echo "wasm: $before bytes built, $after optimized, $zipped gzipped"
