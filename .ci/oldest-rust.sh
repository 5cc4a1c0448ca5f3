#!/usr/bin/env bash
# The oldest Rust that Cargo.toml promises: no dependency needs a newer one. (That our own code needs none is for clippy's
# `incompatible_msrv` to say, and for the compiler of that version, where it is installed.)
set -euo pipefail
cd "$(dirname "$0")/.."
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

cargo metadata --locked --format-version 1 | python3 -c '
import json, sys
number = lambda text: tuple(int(part) for part in text.split("."))
oldest = sys.argv[1]
newer = [
    " ".join([package["name"], package["version"], "needs Rust", package["rust_version"]])
    for package in json.load(sys.stdin)["packages"]
    if package["rust_version"] and number(package["rust_version"])[:2] > number(oldest)[:2]
]
sys.exit("\n".join([f"Cargo.toml promises Rust {oldest}:", *newer]) if newer else 0)
' "$oldest"

if rustup run "$oldest" rustc --version 2>/dev/null; then
    rustup run "$oldest" cargo check --locked --all-targets
else
    echo "Rust $oldest is not installed here, so only the dependencies were looked at"
fi
