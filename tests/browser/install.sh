#!/usr/bin/env bash
# Fetches a headless Chromium for the test of the admin API against web pages, into a directory of its own: nothing is
# installed on the machine. A browser that is installed is used instead. Rights are needed only where apt has no
# lists of packages yet.
#
#   tests/browser/install.sh [DIRECTORY]     (target/browser)
#
# What cannot be installed is reported, and is not a failure: the test says that it was skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
dir=$(mkdir -p "${1:-target/browser}" && cd "${1:-target/browser}" && pwd)
program=usr/lib/chromium/chromium-headless-shell

for installed in chromium chromium-headless-shell chromium-browser google-chrome; do
    if command -v "$installed" >/dev/null; then exit 0; fi
done
if [ -x "$dir/debian/$program" ]; then exit 0; fi

if command -v apt-get >/dev/null; then
    mkdir -p "$dir/debs/partial"
    # no lock is taken and nothing is installed: the package and the libraries that are missing are only downloaded
    apt=(apt-get -qq -y -o Debug::NoLocking=1 -o "Dir::Cache::archives=$dir/debs/" -o APT::Sandbox::User=
        -o APT::Install-Recommends=false --download-only --reinstall install)
    if ! "${apt[@]}" chromium-headless-shell >/dev/null 2>"$dir/apt.log"; then
        apt-get -qq update >/dev/null 2>&1
        "${apt[@]}" chromium-headless-shell >/dev/null 2>>"$dir/apt.log"
    fi
    for deb in "$dir"/debs/*.deb; do [ -e "$deb" ] && dpkg-deb -x "$deb" "$dir/debian"; done
    rm -rf "$dir/debs"
else
    echo "apt-get is not here: no packages from Debian"
fi
[ -x "$dir/debian/$program" ] || echo "MISSING: chromium-headless-shell of Debian (see $dir/apt.log)"
exit 0
