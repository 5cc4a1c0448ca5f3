#!/usr/bin/env bash
# The packages as they would be published: none lacks a file that it needs, and no version in Cargo.lock was withdrawn.
set -euo pipefail
cd "$(dirname "$0")/.."
said=$(mktemp)
trap 'rm -f "$said"' EXIT
cargo package --workspace --locked --allow-dirty --no-verify --target-dir target 2>&1 | tee "$said"
if grep -i 'yanked' "$said"; then exit 1; fi

# `cargo package` would compile everything once more. Unpacked into a workspace of their own, with our profiles and our
# lock, they share what the lints have compiled.
unpacked=target/package/unpacked
rm -rf "$unpacked"
mkdir -p "$unpacked"
{
    printf '[workspace]\nmembers = ["palisade*"]\nresolver = "3"\n\n[patch.crates-io]\n'
    for manifest in Cargo.toml crates/*/Cargo.toml; do
        name=$(sed -n '/^name = /{s/.*"\(.*\)"/\1/p;q}' "$manifest")
        version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
        # as new as the copy: cargo would take what an earlier copy compiled for this one's
        tar xzmf "target/package/$name-$version.crate" -C "$unpacked"
        if [ "$name" != palisade ]; then printf '%s = { path = "%s-%s" }\n' "$name" "$name" "$version"; fi
    done
    printf '\n'
    awk '/^\[/ { profile = /^\[profile/ } profile' Cargo.toml
} >"$unpacked/Cargo.toml"
cp Cargo.lock "$unpacked"
cargo check --workspace --locked --manifest-path "$unpacked/Cargo.toml" --target-dir target
