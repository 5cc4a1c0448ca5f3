#!/usr/bin/env bash
# Parts a binary from its debug information, which is four fifths of a release: what is installed keeps the names of its
# functions, and a debugger finds the lines in the file beside it.
#
#   deploy/strip.sh [BINARY] [DIRECTORY]     (target/release/palisade, target/stripped)
#
# Writes DIRECTORY/palisade and DIRECTORY/palisade.debug. Needs `objcopy` of binutils.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:-target/release/palisade}")
mkdir -p "${2:-target/stripped}"
cd "${2:-target/stripped}"

objcopy --only-keep-debug "$binary" palisade.debug
chmod 0644 palisade.debug
objcopy --strip-debug --add-gnu-debuglink=palisade.debug "$binary" palisade
chmod 0755 palisade
