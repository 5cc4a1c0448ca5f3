#!/usr/bin/env bash
# Fetches what the tests of `deploy/` run into a directory of its own: Prometheus and promtool, buildah, logrotate, and the
# Kubernetes schemas. Nothing is installed on the machine. A program that is installed is used instead. Rights are needed
# only where apt has no lists of packages yet.
#
#   tests/deploy/install.sh [DIRECTORY]     (target/deploy)
#
# Debian's packages are unpacked into DIRECTORY/debian, the wheel into DIRECTORY/wheels. What cannot be had is reported,
# and is not a failure: the tests name what is missing as skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
dir=$(mkdir -p "${1:-target/deploy}" && cd "${1:-target/deploy}" && pwd)
PATH=$PATH:/usr/sbin:/sbin

# a package, and the program of it that the tests run
declare -A programs=([prometheus]=promtool [buildah]=buildah [logrotate]=logrotate [systemd]=systemd-analyze)
# pinned: other schemas are other Kubernetes versions
wheel="kubernetes-validate==1.37.0"

here() {
    command -v "$1" >/dev/null || [ -x "$dir/debian/usr/bin/$1" ] || [ -x "$dir/debian/usr/sbin/$1" ] ||
        [ -x "$dir/debian/bin/$1" ]
}
missing=()
for package in "${!programs[@]}"; do here "${programs[$package]}" || missing+=("$package"); done

if [ ${#missing[@]} -gt 0 ]; then
    if command -v apt-get >/dev/null; then
        mkdir -p "$dir/debs/partial"
        # no lock is taken and nothing is installed: the packages and the libraries that are missing are only downloaded
        apt=(apt-get -qq -y -o Debug::NoLocking=1 -o "Dir::Cache::archives=$dir/debs/" -o APT::Sandbox::User=
            -o APT::Install-Recommends=false --download-only --reinstall install)
        if ! "${apt[@]}" "${missing[@]}" >/dev/null 2>"$dir/apt.log"; then
            apt-get -qq update >/dev/null 2>&1
            # one by one, so that one that is not to be had takes none with it
            for package in "${missing[@]}"; do "${apt[@]}" "$package" >/dev/null 2>>"$dir/apt.log"; done
        fi
        for deb in "$dir"/debs/*.deb; do [ -e "$deb" ] && dpkg-deb -x "$deb" "$dir/debian"; done
        rm -rf "$dir/debs"
    else
        echo "apt-get is not here: no packages from Debian"
    fi
fi

if [ "$(cat "$dir/wheels/.version" 2>/dev/null)" != "$wheel" ]; then
    rm -rf "$dir/wheels"
    if python3 -m pip install -q --no-compile --disable-pip-version-check --root-user-action ignore \
        --target "$dir/wheels" "$wheel" 2>"$dir/pip.log"; then
        echo "$wheel" >"$dir/wheels/.version"
    else
        echo "$wheel could not be fetched: $(tail -n 1 "$dir/pip.log")"
    fi
fi

for package in "${!programs[@]}"; do
    here "${programs[$package]}" || echo "MISSING: ${programs[$package]} of Debian's $package (see $dir/apt.log)"
done
[ -e "$dir/wheels/.version" ] || echo "MISSING: $wheel"
exit 0
