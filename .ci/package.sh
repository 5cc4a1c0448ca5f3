#!/usr/bin/env bash
# The package as it would be published: it builds by itself, and no version in Cargo.lock was withdrawn.
set -euo pipefail
cd "$(dirname "$0")/.."
said=$(mktemp)
trap 'rm -f "$said"' EXIT
cargo package --locked --allow-dirty --target-dir target 2>&1 | tee "$said"
! grep -i 'yanked' "$said"
