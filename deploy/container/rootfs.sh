#!/usr/bin/env bash
# Lays out everything that the image holds: the binary, the few shared libraries that it names, the CA certificates
# of this machine, and a user without rights. There is no shell, no package manager and nothing else in it.
#
#   deploy/container/rootfs.sh [BINARY] [DIRECTORY]     (target/release/palisade, target/container)
#   buildah build -f deploy/container/Containerfile -t palisade target/container
#
# The libraries are this machine's, so build where the binary was built; glibc 2.34 or newer resolves names without further files.
# DIRECTORY/rootfs is written from scratch.
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=$(realpath "${1:-target/release/palisade}")
context=$(mkdir -p "${2:-target/container}" && cd "${2:-target/container}" && pwd)
root=$context/rootfs
rm -rf "$root"

if command -v objcopy >/dev/null; then
    # the debug information stays beside the image: DIRECTORY/palisade.debug
    deploy/strip.sh "$binary" "$context"
    install -D -m 0755 "$context/palisade" "$root/usr/bin/palisade"
    rm "$context/palisade"
else
    install -D -m 0755 "$binary" "$root/usr/bin/palisade"
fi

# `libc.so.6 => /lib/…/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`; a library that is not found has no path
libraries=$(ldd "$binary")
if grep "not found" <<<"$libraries" >&2; then exit 1; fi
grep -o '/[^ ]*' <<<"$libraries" | while read -r library; do install -D -m 0755 "$library" "$root$library"; done

# key sets are fetched over HTTPS: names are resolved by libc, certificates are checked against these
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -e "$bundle" ]; then
        install -D -m 0644 "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"
        break
    fi
done
[ -e "$root/etc/ssl/certs/ca-certificates.crt" ] || echo "no CA certificates here: the image trusts no HTTPS server" >&2
echo "hosts: files dns" >"$root/etc/nsswitch.conf"
echo "palisade:x:65532:65532:Palisade:/:/sbin/nologin" >"$root/etc/passwd"
echo "palisade:x:65532:" >"$root/etc/group"

# where the bundle and the sockets are mounted
mkdir -p "$root/etc/palisade" "$root/run/palisade" "$root/tmp"
find "$root" -type d -exec chmod 0755 {} +
chmod 0644 "$root"/etc/{nsswitch.conf,passwd,group}
chmod 1777 "$root/tmp"
