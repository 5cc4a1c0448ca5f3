//! Who answers the check, what it gets of the request, and what is set behind it: traps, and ordinary lines.

use super::pages::{Mutant, beside, page};
use super::*;

/// Middlewares of Traefik in front of the check or behind it, and the rule that they break.
pub(super) const MIDDLEWARES: &[(&str, bool, &str)] = &[
    ("headers: {customRequestHeaders: {Host: other.test}}", false, "traefik-host-changed"),
    ("headers: {customRequestHeaders: {X-Forwarded-Host: other.test}}", false, "traefik-host-changed"),
    ("headers: {customRequestHeaders: {X-HTTP-Method-Override: DELETE}}", false, "traefik-override-set"),
    ("headers: {customRequestHeaders: {Authorization: Bearer root}}", true, "traefik-check-told"),
    ("headers: {customRequestHeaders: {X_Palisade_Principal: root}}", false, "traefik-identity-set"),
    ("errors: {status: ['401-403'], service: app, query: /login}", true, "traefik-errors-before-check"),
    ("basicAuth: {users: [a], headerField: X-Palisade-Principal}", false, "traefik-identity-set"),
    ("digestAuth: {users: [a], headerField: X-Palisade-Principal}", false, "traefik-identity-set"),
    (
        "forwardAuth: {address: 'http://a:9/v', authResponseHeaders: [X-Palisade-Principal]}",
        false,
        "traefik-identity-set",
    ),
    ("forwardAuth: {address: 'http://a:9/v', authResponseHeadersRegex: '^X-'}", false, "traefik-identity-set"),
];

/// The page of Traefik with a middleware in front of the check or behind it.
fn around(middleware: &str, before: bool) -> (Gateway, Vec<Source>) {
    let (gateway, mut sources) = page("traefik");
    let chain = if before { "[m, palisade]" } else { "[palisade, m]" };
    for (_, text) in &mut sources {
        *text = text.replace("  middlewares:\n", &format!("  middlewares:\n    m: {{{middleware}}}\n"));
        *text = text.replace("[palisade]", chain);
    }
    (gateway, sources)
}

/// The pages in which something is to be found, with its rule.
pub(super) fn broken() -> impl Iterator<Item = sites::Broken> {
    MIDDLEWARES.iter().map(|(middleware, before, rule)| {
        let (gateway, sources) = around(middleware, *before);
        (gateway, sources, (*rule).to_owned())
    })
}

#[test]
fn middlewares_around_the_check_are_looked_at() {
    let found = |middleware: &str, before: bool| {
        let (gateway, sources) = around(middleware, before);
        lint(gateway, &sources, &beside)
    };
    for (middleware, before, rule) in MIDDLEWARES {
        let told = found(middleware, *before);
        assert!(rules(&told).contains(rule), "{middleware}: {told:#?}");
    }
    for (middleware, before) in [
        ("headers: {customRequestHeaders: {X-Forwarded-Host: ''}}", false),
        ("headers: {customRequestHeaders: {Authorization: Bearer root}}", false),
        ("headers: {customRequestHeaders: {X-HTTP-Method-Override: ''}}", true),
        ("basicAuth: {users: [a], headerField: X-User}", false),
        ("errors: {status: ['500-599'], service: app, query: /oops}", false),
        ("forwardAuth: {address: 'http://a:9/v', authResponseHeaders: [Authorization]}", true),
        ("forwardAuth: {address: 'http://a:9/v', authResponseHeaders: [X-User]}", false),
    ] {
        let told = found(middleware, before);
        assert!(told.is_empty(), "{middleware}: {told:#?}");
    }
}

/// What is ordinary in each configuration, and no finding.
const ORDINARY: &[(&str, &str, &str)] = &[
    ("nginx", "server 127.0.0.1:8180;", "server 10.0.0.1:8180; server 10.0.0.2:8180 backup;"),
    ("nginx", "internal;", "internal; proxy_set_header X-Forwarded-Host $host;"),
    ("nginx", "internal;", "internal; proxy_set_header Authorization \"Bearer $cookie_token\";"),
    ("nginx", "internal;", "internal; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header Accept \"\";"),
    ("nginx", "internal;", "internal; if ($http_x_debug) { return 403; }"),
    ("nginx", "proxy_set_header Forwarded", "proxy_set_header X-Forwarded-Prefix /app; proxy_set_header Forwarded"),
    ("nginx", "auth_request /_palisade;", "auth_request /_palisade; header_filter_by_lua_block { x = \"}\" }"),
    ("nginx", "http {\n", "http {\n init_by_lua_block { require \"x\" }\n log_by_lua_file a.lua;\n js_import a.js;\n"),
    ("nginx", "~*^websocket$ websocket;", "~*^websocket$ $http_upgrade;"),
    ("envoy", "failure_mode_allow: false", "disallowed_headers: {patterns: [{exact: x-request-id}]}"),
    (
        "envoy",
        "- {exact: authorization, ignore_case: true}",
        "- {exact: user-agent}\n                          - safe_regex: {regex: \"tenant[^a-z0-9]id\"}",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-prefix, value: /a}}]",
    ),
    ("caddy", "forward_auth 127.0.0.1:8180", "forward_auth 10.0.0.1:8180 10.0.0.2:8180"),
    ("caddy", "\t\t\turi /g", "\t\t\theader_up -X-Palisade-Principal\n\t\t\theader_up -Accept-Encoding\n\t\t\turi /g"),
    ("caddy", "\t\t\turi /g", "\t\t\theader_up X-Real-IP {remote_host}\n\t\t\turi /g"),
    (
        "caddy",
        "\t\tforward_auth 127",
        "\t\trequest_header Authorization \"Bearer {http.request.cookie.t}\"\n\t\tforward_auth 127",
    ),
    (
        "haproxy",
        "    http-request lua.palisade",
        "    http-request set-var(txn.host) req.hdr(host)\n    http-request lua.palisade",
    ),
    (
        "haproxy",
        "http-request set-header x-forwarded-host %[req.fhdr(host)]",
        "http-request deny if { req.fhdr(host) -m sub , }\n    http-request set-header x-forwarded-host %[req.hdr(host)]",
    ),
    ("apache", "    ProxyPass", "    RequestHeader set X-Forwarded-Proto https\n    ProxyPass"),
    ("apache", "    ProxyPass", "    RequestHeader set X-Forwarded-Host \"%{HTTP_HOST}e\"\n    ProxyPass"),
    ("apache", "    ProxyPass", "    ProxyPass /ws/ ws://127.0.0.1:9000/ws/ nocanon\n    ProxyPass"),
];

#[test]
fn what_is_ordinary_is_no_finding() {
    for (name, from, to) in ORDINARY {
        let (gateway, mut sources) = page(name);
        assert!(sources.iter().any(|(_, text)| text.contains(from)), "{name} has no {from:?} any more");
        for (_, text) in &mut sources {
            *text = text.replacen(from, to, 1);
        }
        let found = lint(gateway, &sources, &beside);
        assert!(found.is_empty(), "{name}: {from:?} -> {to:?}: {found:#?}");
    }
}

/// Mutations of our pages.
pub(super) const TOLD: &[Mutant] = &[
    ("nginx", "internal;", "internal; if ($request_method = OPTIONS) { return 204; }", "nginx-check-elsewhere"),
    ("nginx", "internal;", "internal; if ($http_x_debug) { return 200 ok; }", "nginx-check-elsewhere"),
    ("nginx", "internal;", "internal; return 204;", "nginx-check-elsewhere"),
    ("nginx", "internal;", "internal; try_files /maintenance.html @none;", "nginx-check-elsewhere"),
    ("nginx", "internal;", "internal; limit_except GET { proxy_pass http://service; }", "nginx-check-elsewhere"),
    (
        "nginx",
        "server 127.0.0.1:8180;",
        "server 127.0.0.1:8180; server 127.0.0.1:9000 backup;",
        "nginx-check-elsewhere",
    ),
    ("nginx", "server 127.0.0.1:8180;", "server 127.0.0.1:8180; server 10.0.0.9:80;", "nginx-check-elsewhere"),
    ("nginx", "server 127.0.0.1:8180;", "server localhost:9000;", "nginx-check-elsewhere"),
    ("nginx", "http://palisade/gateway/nginx", "http://service/gateway/nginx", "nginx-check-elsewhere"),
    ("nginx", "internal;", "internal; proxy_set_header X-HTTP-Method-Override \"\";", "nginx-check-headers"),
    ("nginx", "internal;", "internal; proxy_set_header X-Original-URL \"\";", "nginx-check-headers"),
    ("nginx", "internal;", "internal; proxy_set_header X.Palisade.Principal \"\";", "nginx-check-headers"),
    ("nginx", "internal;", "internal; proxy_set_header Content-Type \"\";", "nginx-check-headers"),
    ("nginx", "internal;", "internal; proxy_set_header X-Host $host;", "nginx-check-headers"),
    ("nginx", "internal;", "internal; proxy_set_header Authorization \"Bearer abc\";", "nginx-check-headers"),
    ("nginx", "internal;", "internal; proxy_set_header Cookie session=abc;", "nginx-check-headers"),
    (
        "nginx",
        "proxy_set_header Forwarded",
        "proxy_set_header X-HTTP-Method-Override $arg_m; proxy_set_header Forwarded",
        "nginx-override-set",
    ),
    ("nginx", "X-Forwarded-Host $host", "X-Forwarded-Host $http_x_forwarded_host", "nginx-override-set"),
    (
        "nginx",
        "auth_request /_palisade;",
        "auth_request /_palisade; rewrite_by_lua_block { ngx.req.set_header(\"X\", \"}\") }",
        "not-checked",
    ),
    ("nginx", "auth_request /_palisade;", "auth_request /_palisade; access_by_lua_file /a.lua;", "not-checked"),
    (
        "nginx",
        "        location / {",
        "        location /js { js_content main.hello; }\n        location / {",
        "not-checked",
    ),
    ("nginx", "        location / {", "        location /p { perl X::handler; }\n        location / {", "not-checked"),
    ("nginx", "internal;", "internal; header_filter_by_lua_block { ngx.status = 200 }", "not-checked"),
    ("nginx", "Upgrade    $service_upgrade;", "Upgrade    $up; set $up $http_upgrade;", "nginx-upgrade"),
    (
        "nginx",
        "        default      \"\";\n        ~*^websocket$ websocket;",
        "        default      $http_upgrade;",
        "nginx-upgrade",
    ),
    ("nginx", "        ~*^websocket$ websocket;", "        ~*websocket websocket; ~*h2c h2c;", "nginx-upgrade"),
    ("nginx", "        ~*^websocket$ websocket;", "        ~*(?<u>.*) $u;", "nginx-upgrade"),
    (
        "envoy",
        "failure_mode_allow: false",
        "disallowed_headers: {patterns: [{prefix: x-http, ignore_case: true}]}",
        "envoy-hidden-headers",
    ),
    (
        "envoy-grpc",
        "failure_mode_allow: false",
        "disallowed_headers: {patterns: [{exact: x.palisade-principal}]}",
        "envoy-hidden-headers",
    ),
    (
        "envoy",
        "path_prefix: /gateway/envoy",
        "path_prefix: /gateway/envoy\n                        authorization_request: {headers_to_add: [{key: authorization, value: Bearer a}]}",
        "envoy-check-told",
    ),
    (
        "envoy",
        "use_remote_address: true",
        "early_header_mutation_extensions: [{typed_config: {mutations: [{append: {header: {key: authorization, value: Bearer a}}}]}}]",
        "envoy-check-told",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-http-method-override, value: \"%REQ(x-m)%\"}}]",
        "envoy-override-set",
    ),
    ("envoy", "route: {cluster: app}", "route: {cluster: app, host_rewrite_header: x-h}", "envoy-override-set"),
    (
        "envoy",
        "common_http_protocol_options:",
        "http_protocol_options: {enable_trailers: true}\n                common_http_protocol_options:",
        "envoy-trailers",
    ),
    ("envoy", "cluster: palisade, timeout", "cluster: app, timeout", "envoy-wrong-address"),
    ("envoy", "port_value: 8180", "port_value: 9000", "envoy-wrong-address"),
    ("envoy-grpc", "cluster_name: palisade}", "cluster_name: app}", "envoy-wrong-address"),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          typed_per_filter_config: {envoy.filters.http.ext_authz: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, check_settings: {http_service: {server_uri: {uri: \"http://127.0.0.1:9000\", cluster: app, timeout: 0.5s}, path_prefix: /gateway/envoy}}}}",
        "envoy-wrong-address",
    ),
    ("envoy", "- {exact: authorization, ignore_case: true}", "- {exact: tenant-id}", "envoy-allowed-headers"),
    ("caddy", "forward_auth 127.0.0.1:8180", "forward_auth 127.0.0.1:8180 127.0.0.1:9000", "caddy-wrong-address"),
    (
        "caddy",
        "forward_auth 127.0.0.1:8180 {",
        "forward_auth {\n\t\t\tto 127.0.0.1:8180 10.0.0.9:80",
        "caddy-wrong-address",
    ),
    ("caddy", "\t\t\turi /g", "\t\t\theader_up Authorization \"Bearer root\"\n\t\t\turi /g", "caddy-check-told"),
    ("caddy", "\t\t\turi /g", "\t\t\theader_up -X-HTTP-Method-Override\n\t\t\turi /g", "caddy-check-told"),
    ("caddy", "\t\t\turi /g", "\t\t\theader_up -X.Palisade.Principal\n\t\t\turi /g", "caddy-check-told"),
    ("caddy", "\t\t\turi /g", "\t\t\theader_up -X-*\n\t\t\turi /g", "caddy-check-told"),
    ("caddy", "X-Forwarded-Host {http.request.hostport}", "X-Forwarded-Host open.test", "caddy-check-told"),
    (
        "caddy",
        "\t\tforward_auth 127",
        "\t\trequest_header Authorization \"Bearer root\"\n\t\tforward_auth 127",
        "caddy-check-told",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127",
        "\t\trequest_header X-HTTP-Method-Override {query.m}\n\t\treverse_proxy 127",
        "caddy-override-set",
    ),
    (
        "haproxy",
        "    http-request lua.palisade",
        "    http-request set-header authorization \"Bearer root\"\n    http-request lua.palisade",
        "haproxy-check-told",
    ),
    (
        "haproxy",
        "    default_backend app",
        "    http-request set-header x-original-url %[url_param(u)]\n    default_backend app",
        "haproxy-override-set",
    ),
    ("haproxy", "lua.palisade", "lua.auth-request app /gateway/forward", "haproxy-check-elsewhere"),
    ("haproxy", "%[req.fhdr(host)]", "%[req.hdr(host)]", "haproxy-host-list"),
    ("haproxy", "%[req.fhdr(host)]", "%[hdr(host),lower]", "haproxy-host-list"),
    ("haproxy", "    http-request lua.palisade", "    http-request lua.palisade req.hdr(Host)", "haproxy-host-list"),
    (
        "haproxy",
        "http-request set-header x-forwarded-host %[req.fhdr(host)]",
        "http-request set-var(txn.host) req.hdr(host)\n    http-request set-header x-forwarded-host %[var(txn.host)]",
        "haproxy-host-list",
    ),
    (
        "apache",
        "    ProxyPass",
        "    RequestHeader set Authorization \"Bearer root\" early\n    ProxyPass",
        "apache-check-told",
    ),
    (
        "apache",
        "    ProxyPass",
        "    RequestHeader set X-HTTP-Method-Override \"expr=%{QUERY_STRING}\"\n    ProxyPass",
        "apache-override-set",
    ),
    ("apache", "    ProxyPass", "    ProxyPass \"/ws/\" \"ws://127.0.0.1:9000/ws/\"\n    ProxyPass", "apache-nocanon"),
    (
        "apache",
        "    ProxyPass",
        "    RewriteRule /(.*) ws://127.0.0.1:9000/$1 [P,L]\n    ProxyPass",
        "apache-path-rewritten",
    ),
    ("apache", "    LuaScope", "    LuaHookTranslateName /x.lua t early\n    LuaScope", "not-checked"),
    ("traefik", "http://127.0.0.1:8180/gateway", "http://127.0.0.1:9000/gateway", "traefik-wrong-address"),
];

/// What a page says besides that holds without the other: taken out where the mutation is about the rule.
pub(super) const TWICE: &[(&str, &str)] =
    &[("haproxy-host-list", "    http-request deny deny_status 400 if { req.hdr_cnt(host) gt 1 }\n")];
