//! Caddy.

use super::Near;

const CHECK: &str = "\t\tforward_auth 127.0.0.1:8180 {\n";
const PROXY: &str = "\t\treverse_proxy 127.0.0.1:9000 {\n";

pub(super) const NEAR: &[Near] = &[
    (
        "caddy-check-keepalive",
        "caddy",
        &[("\t\t\t\tkeepalive off\n", ""), ("\t\t\t\tdial_timeout", "\t\t\t\tkeepalive off\n\t\t\t\tdial_timeout")],
    ),
    ("caddy-check-matcher", "caddy", &[(CHECK, "\t\tforward_auth * 127.0.0.1:8180 {\n")]),
    (
        "caddy-check-response",
        "caddy",
        &[(PROXY, "\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\thandle_response {\n\t\t\t\tcopy_response\n\t\t\t}\n")],
    ),
    (
        "caddy-check-timeout",
        "caddy",
        &[("dial_timeout 500ms", "dial_timeout 0.5s"), ("response_header_timeout 1s", "response_header_timeout 2s")],
    ),
    (
        "caddy-check-told",
        "caddy",
        &[("\t\t\turi /gateway", "\t\t\theader_up X-Real-IP {remote_host}\n\t\t\turi /gateway")],
    ),
    ("caddy-check-uri", "caddy", &[("uri /gateway/forward?", "uri \"/gateway/forward?\"")]),
    (
        "caddy-error-route",
        "caddy",
        &[("\tbind 127.0.0.1\n", "\tbind 127.0.0.1\n\thandle_errors {\n\t\trespond \"{err.status_code}\"\n\t}\n")],
    ),
    (
        "caddy-forwarded-host",
        "caddy",
        &[("\t\t\turi /gateway", "\t\t\ttrusted_proxies private_ranges\n\t\t\turi /gateway")],
    ),
    (
        "caddy-identity-headers",
        "caddy",
        &[(
            "copy_headers X-Palisade-Principal X-Palisade-Auth-Method X-Palisade-Token\n",
            "copy_headers {\n\t\t\t\tX-Palisade-Principal\n\t\t\t\tX-Palisade-Auth-Method\n\t\t\t\tX-Palisade-Token\n\t\t\t}\n",
        )],
    ),
    (
        "caddy-identity-removed",
        "caddy",
        &[(PROXY, "\t\trequest_header -X-Debug\n\t\treverse_proxy 127.0.0.1:9000 {\n")],
    ),
    ("caddy-identity-set", "caddy", &[(PROXY, "\t\trequest_header X-User a\n\t\treverse_proxy 127.0.0.1:9000 {\n")]),
    (
        "caddy-identity-spoofed",
        "caddy",
        &[
            ("request_header -X-Palisade-Principal", "request_header -X-Palisade-*"),
            ("\t\trequest_header -X-Palisade-Auth-Method\n", ""),
            ("\t\trequest_header -X-Palisade-Token\n", ""),
        ],
    ),
    ("caddy-no-check", "caddy", &[(CHECK, "\t\tforward_auth http://127.0.0.1:8180 {\n")]),
    (
        "caddy-override-set",
        "caddy",
        &[(PROXY, "\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up X-Real-IP {remote_host}\n")],
    ),
    (
        "caddy-path-rewritten",
        "caddy",
        &[(PROXY, "\t\tredir /old /new permanent\n\t\treverse_proxy 127.0.0.1:9000 {\n")],
    ),
    (
        "caddy-trusts-everybody",
        "caddy",
        &[("\tadmin off\n", "\tadmin off\n\tservers {\n\t\ttrusted_proxies static private_ranges\n\t}\n")],
    ),
    (
        "caddy-unchecked",
        "caddy",
        &[
            (":8080 {\n", "http://old.example {\n\tredir https://new.example{uri}\n}\n\n:8080 {\n"),
            (
                CHECK,
                "\t\thandle /static/* {\n\t\t\troot * /srv\n\t\t\tfile_server\n\t\t}\n\t\tforward_auth 127.0.0.1:8180 {\n",
            ),
        ],
    ),
    ("caddy-wrong-address", "caddy", &[(CHECK, "\t\tforward_auth unix//run/palisade/decisions.sock {\n")]),
];
