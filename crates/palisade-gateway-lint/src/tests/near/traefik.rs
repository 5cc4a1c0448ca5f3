//! Traefik.

use super::Near;

const MORE: &str = "        maxResponseBodySize: 65536\n";
const DEFINED: &str = "  middlewares:\n";
const CHAIN: &str = "middlewares: [palisade]";

pub(super) const NEAR: &[Near] = &[
    (
        "traefik-body-method",
        "traefik",
        &[(
            MORE,
            "        maxResponseBodySize: 65536\n        forwardBody: true\n        maxBodySize: 65536\n        preserveRequestMethod: true\n",
        )],
    ),
    ("traefik-body-size", "traefik", &[(MORE, "        maxResponseBodySize: 65536\n        forwardBody: false\n")]),
    (
        "traefik-check-told",
        "traefik",
        &[
            (DEFINED, "  middlewares:\n    m: {headers: {customRequestHeaders: {Authorization: Basic abc}}}\n"),
            (CHAIN, "middlewares: [palisade, m]"),
        ],
    ),
    (
        "traefik-content-type-changed",
        "traefik",
        &[
            (DEFINED, "  middlewares:\n    m: {headers: {customResponseHeaders: {Content-Type: text/plain}}}\n"),
            (CHAIN, "middlewares: [palisade, m]"),
        ],
    ),
    (
        "traefik-errors-before-check",
        "traefik",
        &[
            (DEFINED, "  middlewares:\n    m: {errors: {status: [\"500-599\"], service: app, query: /oops}}\n"),
            (CHAIN, "middlewares: [palisade, m]"),
        ],
    ),
    (
        "traefik-exposed-by-default",
        "compose",
        &[(
            "services:\n",
            "services:\n  traefik:\n    image: traefik:v3\n    command: [--providers.docker=true, --providers.docker.exposedbydefault=false]\n",
        )],
    ),
    ("traefik-host-changed", "traefik", &[("        passHostHeader: true\n", "")]),
    (
        "traefik-identity-headers",
        "traefik",
        &[
            ("- X-Palisade-Principal\n", "- x-palisade-principal\n"),
            ("- X-Palisade-Token\n", "- \"x-palisade-token\"\n"),
        ],
    ),
    (
        "traefik-identity-set",
        "traefik",
        &[
            (DEFINED, "  middlewares:\n    m: {basicAuth: {users: [a], headerField: X-User}}\n"),
            (CHAIN, "middlewares: [palisade, m]"),
        ],
    ),
    ("traefik-no-check", "traefik", &[(CHAIN, "middlewares: [palisade@file]")]),
    (
        "traefik-override-set",
        "traefik",
        &[
            (
                DEFINED,
                "  middlewares:\n    m: {headers: {customRequestHeaders: {X-HTTP-Method-Override: \"\", X-Real-Method: a}}}\n",
            ),
            (CHAIN, "middlewares: [m, palisade]"),
        ],
    ),
    (
        "traefik-path-before-check",
        "traefik",
        &[
            (DEFINED, "  middlewares:\n    m: {redirectRegex: {regex: \"^/old\", replacement: /new}}\n"),
            (CHAIN, "middlewares: [m, palisade]"),
        ],
    ),
    ("traefik-path-rewritten", "traefik", &[("url: \"http://127.0.0.1:9000\"", "url: \"http://127.0.0.1:9000/\"")]),
    (
        "traefik-port-published",
        "compose",
        &[("    image: app\n", "    image: app\n    ports: [\"127.0.0.1:8080:80\"]\n    expose: [80]\n")],
    ),
    (
        "traefik-request-headers",
        "traefik",
        &[(MORE, "        maxResponseBodySize: 65536\n        authRequestHeaders: []\n")],
    ),
    (
        "traefik-response-regex",
        "traefik",
        &[(MORE, "        maxResponseBodySize: 65536\n        authResponseHeadersRegex: \"\"\n")],
    ),
    (
        "traefik-router-unchecked",
        "traefik",
        &[
            (DEFINED, "  middlewares:\n    tls: {redirectScheme: {scheme: https}}\n"),
            (
                "  routers:\n",
                "  routers:\n    plain: {rule: \"PathPrefix(`/`)\", entryPoints: [web], middlewares: [tls], service: noop@internal}\n",
            ),
        ],
    ),
    (
        "traefik-tcp-router",
        "traefik",
        &[(
            "http:\n",
            "tcp:\n  routers: {db: {rule: \"HostSNI(`*`)\", entryPoints: [db], service: db}}\n  services: {db: {loadBalancer: {servers: [{address: \"10.0.0.1:5432\"}]}}}\nhttp:\n",
        )],
    ),
    ("traefik-trust-forward-header", "traefik", &[("        trustForwardHeader: false\n", "")]),
    (
        "traefik-trusts-everybody",
        "traefik",
        &[(
            "    address: \"127.0.0.1:8080\"\n",
            "    address: \":8080\"\n    forwardedHeaders: {trustedIPs: [10.0.0.0/8]}\n    proxyProtocol: {trustedIPs: [10.0.0.1]}\n",
        )],
    ),
    ("traefik-upgrade", "traefik", &[("          - Upgrade\n", "          - upgrade\n")]),
    (
        "traefik-wrong-address",
        "traefik",
        &[("http://127.0.0.1:8180/gateway/forward", "http://palisade:8180/gateway/forward")],
    ),
];
