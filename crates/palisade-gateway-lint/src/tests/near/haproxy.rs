//! HAProxy.

use super::Near;

const LUA: &str = "    http-request lua.palisade\n";
const ALLOWED: &str = "    http-request deny deny_status 503 unless { var(txn.palisade_allowed) -m bool }\n";
const BACKEND: &str = "    default_backend app\n";
const SECTION: &str = "\nbackend app\n";

/// The ready-made script in place of that of the page.
const READY: (&str, &str) = (
    LUA,
    "    http-request del-header x-palisade-principal\n    http-request del-header x-palisade-auth-method\n    http-request del-header x-palisade-token\n    http-request lua.auth-intercept palisade /gateway/forward GET cookie,authorization x-palisade-* -\n",
);
const READY_DENY: (&str, &str) =
    (ALLOWED, "    http-request deny deny_status 503 unless { var(txn.auth_response_successful) -m bool }\n");
const READY_ASKED: (&str, &str) = (SECTION, "\nbackend palisade\n    server palisade 127.0.0.1:8180\n\nbackend app\n");

pub(super) const NEAR: &[Near] = &[
    (
        "haproxy-allow",
        "haproxy",
        &[(BACKEND, "    http-request allow if { path_beg /open }\n    default_backend app\n")],
    ),
    (
        "haproxy-cache-before-check",
        "haproxy",
        &[
            (BACKEND, "    http-request cache-use c if { path_beg /static/ }\n    default_backend app\n"),
            (SECTION, "\ncache c\n    total-max-size 4\n\nbackend app\n"),
        ],
    ),
    (
        "haproxy-check-conditional",
        "haproxy",
        &[(LUA, "    http-request set-log-level silent if { path /healthz }\n    http-request lua.palisade\n")],
    ),
    ("haproxy-check-elsewhere", "haproxy", &[READY, READY_DENY, READY_ASKED]),
    (
        "haproxy-check-told",
        "haproxy",
        &[(
            LUA,
            "    http-request set-header authorization \"Bearer %[req.cook(token)]\" if { req.cook(token) -m found }\n    http-request lua.palisade\n",
        )],
    ),
    ("haproxy-copied-headers", "haproxy", &[READY, READY_DENY, READY_ASKED]),
    (
        "haproxy-forwarded-host",
        "haproxy",
        &[
            ("del-header forwarded", "del-header Forwarded"),
            ("set-header x-forwarded-host", "set-header X-Forwarded-Host"),
        ],
    ),
    (
        "haproxy-frontend-unchecked",
        "haproxy",
        &[(
            SECTION,
            "\nfrontend plain\n    bind :80\n    http-request redirect scheme https\n    default_backend app\n\nlisten stats\n    bind 127.0.0.1:8404\n    stats enable\n\nbackend app\n",
        )],
    ),
    ("haproxy-header-names", "haproxy", &[("hdr-names delete", "hdr-names reject")]),
    (
        "haproxy-host-list",
        "haproxy",
        &[(
            "set-header x-forwarded-host %[req.fhdr(host)]",
            "deny if { req.fhdr(host) -m sub , }\n    http-request set-header x-forwarded-host %[req.hdr(host)]",
        )],
    ),
    (
        "haproxy-identity-removed",
        "haproxy",
        &[(LUA, "    http-request del-header X-Palisade-Principal\n    http-request lua.palisade\n")],
    ),
    (
        "haproxy-identity-set",
        "haproxy",
        &[(BACKEND, "    http-request set-header X-User a\n    default_backend app\n")],
    ),
    ("haproxy-identity-spoofed", "haproxy", &[READY, READY_DENY, READY_ASKED]),
    (
        "haproxy-invalid-requests",
        "haproxy",
        &[(
            "    mode http\n",
            "    mode http\n    no option accept-invalid-http-request\n    option accept-invalid-http-response\n",
        )],
    ),
    (
        "haproxy-method-changed",
        "haproxy",
        &[(LUA, "    http-request deny if METH_TRACE\n    http-request lua.palisade\n")],
    ),
    (
        "haproxy-mode",
        "haproxy",
        &[
            ("    mode http\n", ""),
            ("frontend web\n", "frontend web\n    mode http\n"),
            (SECTION, "\nbackend app\n    mode http\n"),
        ],
    ),
    (
        "haproxy-no-check",
        "haproxy",
        &[
            (LUA, ""),
            (ALLOWED, ""),
            (
                SECTION,
                "\nbackend app\n    http-request lua.palisade\n    http-request deny deny_status 503 unless { var(txn.palisade_allowed) -m bool }\n",
            ),
        ],
    ),
    (
        "haproxy-path-rewritten",
        "haproxy",
        &[(LUA, "    http-request redirect location /new code 301 if { path /old }\n    http-request lua.palisade\n")],
    ),
    (
        "haproxy-spoe",
        "haproxy",
        &[
            (
                LUA,
                "    http-request del-header x-palisade-principal\n    http-request del-header x-palisade-auth-method\n    http-request del-header x-palisade-token\n    filter spoe engine palisade config /etc/haproxy/spoe.cfg\n    http-request send-spoe-group palisade check\n",
            ),
            ("var(txn.palisade_allowed) -m bool", "var(txn.palisade.allowed) -m bool"),
        ],
    ),
    (
        "haproxy-tcp",
        "haproxy",
        &[(SECTION, "\nlisten db\n    mode tcp\n    bind :5432\n    server db 10.0.0.1:5432\n\nbackend app\n")],
    ),
    (
        "haproxy-timeout",
        "haproxy",
        &[
            ("    timeout client 30s\n", ""),
            ("    timeout server 30s\n", ""),
            ("frontend web\n", "frontend web\n    timeout client 10s\n"),
            (SECTION, "\nbackend app\n    timeout server 10000\n"),
        ],
    ),
    (
        "haproxy-trailers",
        "haproxy",
        &[
            ("    http-request deny deny_status 400 if { req.hdr(transfer-encoding) -m found }\n", ""),
            ("    option http-restrict", "    option http-drop-request-trailers\n    option http-restrict"),
        ],
    ),
    (
        "haproxy-trusts-everybody",
        "haproxy",
        &[(
            LUA,
            "    http-request set-src req.hdr_ip(x-forwarded-for) if { src 10.0.0.0/8 }\n    http-request lua.palisade\n",
        )],
    ),
    (
        "haproxy-whole-url",
        "haproxy",
        &[(
            "http-request deny deny_status 400 unless { url_beg / } || { req.ver 2.0 } { url_beg http:// https:// }",
            "acl origin url_beg /\n    acl whole url_beg http:// https://\n    http-request deny unless origin || { req.ver 2.0 } whole",
        )],
    ),
];
