#!/usr/bin/env bash
# The package as it would be published: it lacks no file that it needs, and no version in Cargo.lock was withdrawn.
set -euo pipefail
cd "$(dirname "$0")/.."
said=$(mktemp)
trap 'rm -f "$said"' EXIT
cargo package --locked --allow-dirty --no-verify --target-dir target 2>&1 | tee "$said"
if grep -i 'yanked' "$said"; then exit 1; fi

# `cargo package` would compile everything once more; checked like this, it shares what the lints have compiled
name=$(sed -n '/^name = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)-$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
rm -rf "target/package/$name"
tar xzf "target/package/$name.crate" -C target/package
cargo check --locked --manifest-path "target/package/$name/Cargo.toml" --target-dir target
