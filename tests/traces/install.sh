#!/usr/bin/env bash
# Fetches a real collector of traces into a directory of its own, for the test that exports through it: Rotel, from
# PyPI, whose wheel is a program and needs no Python. Nothing is installed, and no daemon is started.
#
#   tests/traces/install.sh [DIRECTORY]     (target/collector)
#
# What cannot be had is reported, and is not a failure: the test says that it was skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
dir=$(mkdir -p "${1:-target/collector}" && cd "${1:-target/collector}" && pwd)

# the version is pinned: another one is another collector, to be looked at first
wheel="rotel==0.0.1a15"

if [ "$(cat "$dir/.version" 2>/dev/null)" != "$wheel" ]; then
    rm -rf "$dir/rotel"
    if python3 -m pip install -q --no-deps --no-compile --disable-pip-version-check --root-user-action ignore \
        --target "$dir" --upgrade "$wheel" 2>"$dir/pip.log"; then
        echo "$wheel" >"$dir/.version"
    fi
fi
[ -x "$dir/rotel/rotel-agent" ] || echo "MISSING: $wheel ($(tail -n 1 "$dir/pip.log" 2>/dev/null))"
exit 0
