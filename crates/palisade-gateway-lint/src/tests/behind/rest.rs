//! The same of HAProxy, Caddy and Traefik: upgrades, answers, content types, paths, and interfaces for administrators.

use super::Group;
use super::cases::Change;

const UPGRADE: &str = "    http-request deny deny_status 403 if { req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -m str -i websocket }\n";
const LUA: &str = "    http-request lua.palisade\n";
const ALLOWED: &str = "unless { var(txn.palisade_allowed) -m bool }";
const BIND: &str = "    bind 127.0.0.1:8080\n";
const PATTERN: &str = "not header_regexp Upgrade (?i)^websocket$";
const PROXY: &str = "\t\treverse_proxy 127.0.0.1:9000";

/// What is found.
pub(super) const FOUND: &[Group] = &[
    Group {
        pages: &["haproxy"],
        from: UPGRADE,
        to: "    http-request deny if <>\n",
        rule: "haproxy-upgrade",
        cases: &[
            "{ req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -m sub -i websocket }",
            "{ req.hdr(upgrade) -i h2c }",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: ALLOWED,
        to: "<>",
        rule: "haproxy-answer-ignored",
        cases: &[
            "unless { var(txn.palisade_allowed,bool(1)) -m bool }",
            "unless { var(txn.palisade_allowed) -m int 0:1 }",
            "unless { var(txn.palisade_allowed) -m int ge 0 }",
            "unless { var(txn.palisade_allowed) -m bool 0 1 }",
            "unless { var(txn.palisade_allowed),not -m bool }",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: LUA,
        to: "    <>\n    http-request lua.palisade\n",
        rule: "haproxy-answer-ignored",
        cases: &[
            "http-request set-var(txn.palisade_allowed) bool(true)",
            "http-request set-var(txn.palisade_allowed) bool(true) if { path_beg /open }",
            "tcp-request content set-var(txn.palisade_allowed) bool(true)",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: BIND,
        to: "    bind 127.0.0.1:8080\n    bind <>\n",
        rule: "haproxy-trailers",
        cases: &["quic4@:443 ssl crt a alpn h3", ":443,quic6@:443 ssl crt a alpn h3"],
    },
    Group {
        pages: &["haproxy"],
        from: ALLOWED,
        to: "unless { var(txn.palisade_allowed) -m bool }\n    http-request <>",
        rule: "haproxy-content-type-changed",
        cases: &[
            "set-header content-type application/json",
            "del-header Content-Type",
            "del-header content- -m beg",
            "replace-header Content-Type ^text(.*) application\\1",
            "del-header content-encoding if { path /x }",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: ALLOWED,
        to: "unless { var(txn.palisade_allowed) -m bool }\n    http-request <>",
        rule: "haproxy-override-set",
        cases: &["set-header X-Original-URL %[path,url_dec]"],
    },
    Group {
        pages: &["haproxy"],
        from: "global\n",
        to: "global\n    stats socket <>\n",
        rule: "haproxy-admin-open",
        cases: &[
            "ipv4@0.0.0.0:9999 level admin",
            "*:9999 user a level admin",
            ":9999 level admin",
            "10.0.0.5:9999 level admin",
        ],
    },
    Group {
        pages: &["caddy"],
        from: PATTERN,
        to: "<>",
        rule: "caddy-upgrade",
        cases: &[
            "not header_regexp Upgrade (?i)websocket",
            "not header_regexp Upgrade (?i)^websocket",
            "not header Upgrade *websocket*",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "header Upgrade *\n",
        to: "<>\n",
        rule: "caddy-upgrade",
        cases: &["header Upgrade h2c", "header_regexp Upgrade (?i)h2c"],
    },
    Group {
        pages: &["caddy"],
        from: PROXY,
        to: "\t\trequest_header <>\n\t\treverse_proxy 127.0.0.1:9000",
        rule: "caddy-content-type-changed",
        cases: &[
            "Content-Type application/json",
            "-Content-Type",
            "-Content-*",
            "+Content-Encoding gzip",
            "?Content-Type {header.X-Type}",
        ],
    },
    Group {
        pages: &["caddy"],
        from: PROXY,
        to: "\t\trequest_header <>\n\t\treverse_proxy 127.0.0.1:9000",
        rule: "caddy-override-set",
        cases: &["X-Original-URL {path}", "X-Rewrite-URL {http.request.uri.path}"],
    },
    Group {
        pages: &["caddy"],
        from: PROXY,
        to: "\t\tphp_fastcgi 127.0.0.1:9001 {\n\t\t\tenv <>\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000",
        rule: "caddy-content-type-changed",
        cases: &["CONTENT_TYPE application/json", "HTTP_CONTENT_ENCODING gzip"],
    },
    Group {
        pages: &["traefik"],
        from: "global:\n",
        to: "api: {<>}\n\nglobal:\n",
        rule: "traefik-api-open",
        cases: &["insecure: true", "dashboard: true, insecure: true"],
    },
    Group {
        pages: &["caddy"],
        from: "\tadmin off\n",
        to: "\tadmin <>\n",
        rule: "caddy-admin-open",
        cases: &[":2019", "0.0.0.0:2019", "tcp/10.0.0.5:2019", "[::]:2019"],
    },
];

/// A middleware of Traefik behind the check.
macro_rules! behind {
    ($rule:literal, $what:literal) => {
        (
            $rule,
            (
                "traefik",
                &[
                    ("middlewares: [palisade]", "middlewares: [palisade, m]"),
                    ("    palisade:\n", concat!("    m: {", $what, "}\n    palisade:\n")),
                ],
            ),
        )
    };
}

/// Changes that are one where they are made together.
pub(super) const BOTH: &[(&str, Change)] = &[
    behind!("traefik-path-rewritten", "stripPrefix: {prefixes: [/api]}"),
    behind!("traefik-path-rewritten", "replacePath: {path: /x}"),
    behind!("traefik-path-rewritten", "replacePathRegex: {regex: \"^/a/(.*)\", replacement: \"/$1\"}"),
    behind!("traefik-path-rewritten", "addPrefix: {prefix: /x}"),
    behind!("traefik-path-rewritten", "stripPrefixRegex: {regex: [\"/a[0-9]\"]}"),
    behind!("traefik-path-rewritten", "chain: {middlewares: [n]}}\n    n: {stripPrefix: {prefixes: [/api]}"),
    behind!("traefik-content-type-changed", "headers: {customRequestHeaders: {Content-Type: application/json}}"),
    behind!("traefik-content-type-changed", "headers: {customRequestHeaders: {Content-Type: \"\"}}"),
    behind!("traefik-content-type-changed", "headers: {customRequestHeaders: {content-encoding: \"\"}}"),
    (
        "traefik-path-rewritten",
        (
            "traefik",
            &[(
                "- url: \"http://127.0.0.1:9000\"",
                "- url: \"http://127.0.0.1:9000/x\"\n            preservePath: true",
            )],
        ),
    ),
];

/// What is ordinary.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["haproxy"],
        from: UPGRADE,
        to: "    http-request deny if <>\n",
        rule: "haproxy-upgrade",
        cases: &["{ req.hdr(upgrade) -m found } !{ req.fhdr(upgrade) -i websocket }", "{ req.hdr(upgrade) -m found }"],
    },
    Group {
        pages: &["haproxy"],
        from: ALLOWED,
        to: "<>",
        rule: "haproxy-answer-ignored",
        cases: &[
            "unless { var(txn.palisade_allowed,bool(0)) -m bool }",
            "unless { var(txn.palisade_allowed) -m int 1 }",
            "unless { var(txn.palisade_allowed) -m int gt 0 }",
            "unless { var(txn.palisade_allowed) -m bool true }",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: LUA,
        to: "    <>\n    http-request lua.palisade\n",
        rule: "haproxy-answer-ignored",
        cases: &[
            "http-request set-var(txn.palisade_allowed) bool(false)",
            "http-request unset-var(txn.palisade_allowed)",
            "http-request del-header content-type",
            "http-request set-header content-type text/plain",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: ALLOWED,
        to: "unless { var(txn.palisade_allowed) -m bool }\n    http-request <>",
        rule: "haproxy-content-type-changed",
        cases: &["set-header x-content-type a", "del-header content-language", "set-header X-Original-URL %[pathq]"],
    },
    Group {
        pages: &["haproxy"],
        from: "global\n",
        to: "global\n    stats socket <>\n",
        rule: "haproxy-admin-open",
        cases: &["/run/haproxy.sock level admin", "ipv4@127.0.0.1:9999 level admin", "unix@/run/h.sock level admin"],
    },
    Group {
        pages: &["caddy"],
        from: "\tadmin off\n",
        to: "\tadmin <>\n",
        rule: "caddy-admin-open",
        cases: &["localhost:2019", "127.0.0.1:2019", "unix//run/caddy.sock"],
    },
    Group {
        pages: &["caddy"],
        from: PATTERN,
        to: "<>",
        rule: "caddy-upgrade",
        cases: &["not header Upgrade websocket", "not header_regexp u Upgrade (?i)^websocket$"],
    },
    Group {
        pages: &["caddy"],
        from: PROXY,
        to: "\t\trequest_header <>\n\t\treverse_proxy 127.0.0.1:9000",
        rule: "caddy-content-type-changed",
        cases: &["Content-Type {http.request.header.Content-Type}", "-X-Content-Type", "X-Path {path}"],
    },
    Group {
        pages: &["traefik"],
        from: "global:\n",
        to: "api: {<>}\n\nglobal:\n",
        rule: "traefik-api-open",
        cases: &["dashboard: true", "insecure: false"],
    },
];

/// Changes that are no finding where they are made together.
pub(super) const TOGETHER: &[Change] = &[
    (
        "traefik",
        &[
            ("middlewares: [palisade]", "middlewares: [palisade, m]"),
            (
                "    palisade:\n",
                "    m: {headers: {customRequestHeaders: {X-Content-Type: a}, customResponseHeaders: {Content-Type: b}}}\n    palisade:\n",
            ),
        ],
    ),
    ("traefik", &[("- url: \"http://127.0.0.1:9000\"", "- url: \"http://127.0.0.1:9000/x\"")]),
    (
        "traefik",
        &[("- url: \"http://127.0.0.1:9000\"", "- url: \"http://127.0.0.1:9000\"\n            preservePath: true")],
    ),
    (
        "traefik",
        &[
            ("global:\n", "api: {insecure: true}\n\nglobal:\n"),
            ("entryPoints:\n", "entryPoints:\n  traefik: {address: \"127.0.0.1:8082\"}\n"),
        ],
    ),
    (
        "haproxy",
        &[
            (BIND, "    bind quic4@:443 ssl crt a alpn h3\n"),
            ("{ req.ver 2.0 } !{ req.hdr(content-length)", "{ req.ver 2.0 3.0 } !{ req.hdr(content-length)"),
            ("{ req.ver 2.0 } !{ req.hdr(content-length)", "{ req.ver 2.0 3.0 } !{ req.hdr(content-length)"),
        ],
    ),
    (
        "haproxy",
        &[
            ("    http-request deny deny_status 400 if { req.hdr(transfer-encoding) -m found }\n", ""),
            ("option http-restrict", "option http-drop-request-trailers\n    option http-restrict"),
        ],
    ),
];
