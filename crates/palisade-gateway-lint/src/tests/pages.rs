//! The configurations of our own pages, whole and with one thing broken.

use super::sites::Broken;
use super::*;

/// The gateway and page, what is replaced, by what, and the rule that must be reported.
pub(super) type Mutant = (&'static str, &'static str, &'static str, &'static str);

/// The block of a page, counted from 0.
pub(super) fn block(page: &str, number: usize) -> String {
    let page = text(&format!("docs/gateways/{page}.md"));
    let mut parts = page.split("\n```").skip(1).step_by(2);
    let part = parts.nth(number).unwrap_or_else(|| panic!("no block {number}"));
    part.split_once('\n').unwrap().1.to_owned() + "\n"
}

pub(super) fn page(name: &str) -> (Gateway, Vec<Source>) {
    let one = |page: &str, number: usize| vec![(page.to_owned(), block(page, number))];
    match name {
        "nginx" => (Gateway::Nginx, one("nginx", 0)),
        "caddy" => (Gateway::Caddy, one("caddy", 0)),
        "traefik" => (Gateway::Traefik, [one("traefik", 0), one("traefik", 1)].concat()),
        "haproxy" => (Gateway::Haproxy, one("haproxy", 0)),
        "apache" => (Gateway::Apache, one("apache", 0)),
        "envoy" => (Gateway::Envoy, one("envoy", 0)),
        "envoy-grpc" => (Gateway::Envoy, one("envoy", 1)),
        "compose" => (Gateway::Traefik, vec![(name.to_owned(), compose::text("", ""))]),
        other => panic!("{other} is no page"),
    }
}

/// No other files, but those that the static configuration of Traefik names are here.
pub(super) fn beside(pattern: &str) -> Result<Vec<Source>, String> {
    if pattern.ends_with("dynamic.yaml") { Ok(Vec::new()) } else { alone(pattern) }
}

#[test]
fn the_pages_have_no_findings() {
    for name in ["nginx", "caddy", "traefik", "haproxy", "apache", "envoy", "envoy-grpc"] {
        let (gateway, sources) = page(name);
        let found = lint(gateway, &sources, &beside);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

/// All mutations of pages that break a rule.
pub(super) fn mutants() -> impl Iterator<Item = &'static Mutant> {
    MUTANTS.iter().chain(told::TOLD).chain(past::PAST).chain(chosen::CHOSEN).chain(unknown::UNKNOWN)
}

/// The page of a mutation, with what is broken.
pub(super) fn broken((name, from, to, rule): &Mutant) -> Broken {
    let (gateway, mut sources) = page(name);
    assert!(sources.iter().any(|(_, text)| text.contains(from)), "{name} has no {from:?} any more");
    for (_, text) in &mut sources {
        for (_, line) in told::TWICE.iter().filter(|(twice, _)| twice == rule) {
            assert!(text.contains(line), "{name} has no {line:?} any more");
            *text = text.replacen(line, "", 1);
        }
        *text = text.replacen(from, &unknown::filled(from, to), 1);
    }
    (gateway, sources, (*rule).to_owned())
}

#[test]
fn each_mutation_of_a_page_is_found() {
    let mut wrong = Vec::new();
    for mutant @ (name, from, to, rule) in mutants() {
        let (gateway, sources, _) = broken(mutant);
        let found = lint(gateway, &sources, &beside);
        if !rules(&found).contains(rule) {
            wrong.push(format!("{name}: {from:?} -> {to:?}: no {rule} in {found:#?}"));
        }
        assert!(
            found
                .iter()
                .all(|finding| finding.rule != Some(rule) || finding.line.is_some() || rule.ends_with("-no-check")),
            "{name}: {rule} without a line"
        );
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), mutants().count(), wrong.join("\n"));
}

/// The mutations.
pub(super) const MUTANTS: &[Mutant] = &[
    // ---- Traefik
    ("traefik", "      middlewares: [palisade]\n", "", "traefik-router-unchecked"),
    ("traefik", "middlewares: [palisade]", "middlewares: [other]", "traefik-router-unchecked"),
    (
        "traefik",
        "  services:\n",
        "    more:\n      rule: \"PathPrefix(`/more`)\"\n      service: app\n  services:\n",
        "traefik-router-unchecked",
    ),
    ("traefik", "middlewares: [palisade]", "middlewares: [strip, palisade]", "not-checked"),
    ("traefik", "trustForwardHeader: false", "trustForwardHeader: true", "traefik-trust-forward-header"),
    ("traefik", "          - X-Palisade-Principal\n", "", "traefik-identity-headers"),
    ("traefik", "          - X-Palisade-Auth-Method\n", "", "traefik-identity-headers"),
    ("traefik", "          - X-Palisade-Token\n", "", "traefik-identity-headers"),
    ("traefik", "          - Upgrade\n", "", "traefik-upgrade"),
    (
        "traefik",
        "        maxResponseBodySize",
        "        authResponseHeadersRegex: \"^X-\"\n        maxResponseBodySize",
        "traefik-response-regex",
    ),
    (
        "traefik",
        "        maxResponseBodySize",
        "        authRequestHeaders: [Authorization]\n        maxResponseBodySize",
        "traefik-request-headers",
    ),
    (
        "traefik",
        "        maxResponseBodySize",
        "        forwardBody: true\n        preserveRequestMethod: true\n        maxResponseBodySize",
        "traefik-body-size",
    ),
    (
        "traefik",
        "        maxResponseBodySize",
        "        forwardBody: true\n        maxBodySize: 9\n        maxResponseBodySize",
        "traefik-body-method",
    ),
    ("traefik", "/gateway/forward", "/gateway/nginx", "traefik-wrong-address"),
    ("traefik", "127.0.0.1:8180", "127.0.0.1:8181", "traefik-wrong-address"),
    ("traefik", "passHostHeader: true", "passHostHeader: false", "traefik-host-changed"),
    (
        "traefik",
        "    address: \"127.0.0.1:8080\"\n",
        "    address: \"127.0.0.1:8080\"\n    forwardedHeaders: {insecure: true}\n",
        "traefik-trusts-everybody",
    ),
    (
        "traefik",
        "    address: \"127.0.0.1:8080\"\n",
        "    address: \"127.0.0.1:8080\"\n    forwardedHeaders: {trustedIPs: [0.0.0.0/0]}\n",
        "traefik-trusts-everybody",
    ),
    (
        "traefik",
        "    address: \"127.0.0.1:8080\"\n",
        "    address: \"127.0.0.1:8080\"\n    proxyProtocol: {insecure: true}\n",
        "traefik-trusts-everybody",
    ),
    ("traefik", "providers:\n", "providers:\n  docker: {}\n", "traefik-exposed-by-default"),
    ("traefik", "      forwardAuth:\n", "      basicAuth:\n", "traefik-no-check"),
    // ---- Envoy
    (
        "envoy",
        "http_filters:\n",
        "http_filters:\n                  - name: envoy.filters.http.router\n",
        "envoy-check-behind-router",
    ),
    ("envoy", "failure_mode_allow: false", "failure_mode_allow: true", "envoy-failure-mode-allow"),
    ("envoy", "failure_mode_allow: false", "failureModeAllow: true", "envoy-failure-mode-allow"),
    ("envoy", "validate_mutations: true", "filter_enabled: {default_value: {numerator: 50}}", "envoy-filter-enabled"),
    (
        "envoy",
        "validate_mutations: true",
        "filterEnabled: {defaultValue: {numerator: 100, denominator: MILLION}}",
        "envoy-filter-enabled",
    ),
    (
        "envoy",
        "validate_mutations: true",
        "filter_enabled_metadata: {filter: a, path: [{key: b}], value: {present_match: true}}",
        "envoy-filter-enabled",
    ),
    ("envoy", "validate_mutations: true", "clear_route_cache: true", "envoy-clear-route-cache"),
    (
        "envoy",
        "validate_mutations: true",
        "with_request_body: {max_request_bytes: 9, allow_partial_message: true}",
        "envoy-partial-body",
    ),
    ("envoy", "upgrade_type: websocket", "upgrade_type: h2c", "envoy-upgrade"),
    ("envoy", "upgrade_type: websocket", "upgrade_type: CONNECT", "envoy-upgrade"),
    ("envoy", "upgrade_configs: [{upgrade_type: websocket}]", "upgradeConfigs: [{upgradeType: h2c}]", "envoy-upgrade"),
    (
        "envoy",
        "{upgrade_type: websocket}",
        "{upgrade_type: websocket, filters: [{name: envoy.filters.http.router}]}",
        "envoy-upgrade-filters",
    ),
    ("envoy", "route: {cluster: app}", "route: {cluster: app, prefix_rewrite: /x}", "envoy-path-rewritten"),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app, upgrade_configs: [{upgrade_type: CONNECT}]}",
        "envoy-upgrade",
    ),
    (
        "envoy",
        "                        - match: {prefix: \"/\"}\n",
        "                        - match: {connect_matcher: {}}\n                          route: {cluster: app}\n                        - match: {prefix: \"/\"}\n",
        "envoy-upgrade",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-palisade-principal, value: a}}]",
        "envoy-identity-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          requestHeadersToAdd: [{header: {key: X-Palisade-Token, value: a}}]",
        "envoy-identity-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          typed_per_filter_config: {envoy.filters.http.ext_authz: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}",
        "envoy-route-unchecked",
    ),
    ("envoy", "- {exact: upgrade, ignore_case: true}\n", "- {exact: x-a}\n", "envoy-allowed-headers"),
    ("envoy", "- {exact: content-type, ignore_case: true}\n", "- {exact: x-a}\n", "envoy-allowed-headers"),
    ("envoy", "validate_mutations: true", "validate_mutations: false", "envoy-validate-mutations"),
    (
        "envoy",
        "http_filters:\n",
        "http_filters:\n                  - name: a\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}\n",
        "not-checked",
    ),
    ("envoy", "- {exact: forwarded, ignore_case: true}\n", "- {exact: x-a}\n", "envoy-allowed-headers"),
    ("envoy", "- safe_regex: {regex: \"x[^a-z0-9].*\"}\n", "- {exact: x-a}\n", "envoy-allowed-headers"),
    ("envoy", "- {exact: authorization, ignore_case: true}", "- {prefix: a}", "envoy-allowed-headers"),
    ("envoy", "- {exact: x-palisade-principal}", "- {exact: x-nothing}", "envoy-identity-headers"),
    ("envoy", "allowed_upstream_headers:", "allowed_upstream_headers_to_append:", "envoy-identity-headers"),
    ("envoy", "path_prefix: /gateway/envoy", "path_prefix: /nonsense", "envoy-wrong-address"),
    ("envoy", "timeout: 0.5s}", "timeout: 0.05s}", "envoy-timeout"),
    ("envoy", "normalize_path: true", "normalize_path: false", "envoy-normalize-path"),
    ("envoy", "merge_slashes: true", "merge_slashes: false", "envoy-merge-slashes"),
    ("envoy", "REJECT_REQUEST", "UNESCAPE_AND_FORWARD", "envoy-escaped-slashes"),
    ("envoy", "DROP_HEADER", "ALLOW", "envoy-underscores"),
    (
        "envoy",
        "                        - match: {prefix: \"/\", grpc: {}}\n                          direct_response: {status: 415}\n",
        "",
        "envoy-grpc-passes",
    ),
    ("envoy", "use_remote_address: true", "forward_client_cert_details: FORWARD_ONLY", "envoy-client-certificate"),
    (
        "envoy",
        "static_resources:\n",
        "layered_runtime: {layers: [{name: a, static_layer: {envoy.reloadable_features.http_reject_path_with_fragment: false}}]}\nstatic_resources:\n",
        "envoy-fragment",
    ),
    (
        "envoy",
        "name: envoy.filters.http.ext_authz",
        "name: envoy.filters.http.ext_authz\n                    disabled: true",
        "envoy-filter-enabled",
    ),
    (
        "envoy",
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "envoy.extensions.filters.http.buffer.v3.Buffer",
        "envoy-no-check",
    ),
    ("envoy", "route_config:", "rds:", "not-checked"),
    ("envoy-grpc", "use_remote_address: true\n", "xff_num_trusted_hops: 1\n", "envoy-trusts-everybody"),
    ("envoy-grpc", "encode_raw_headers: true", "encode_raw_headers: false", "envoy-raw-headers"),
    ("envoy-grpc", "validate_mutations: true", "validate_mutations: false", "envoy-validate-mutations"),
    ("envoy-grpc", "timeout: 0.5s", "retry_policy: {}", "envoy-timeout"),
    (
        "envoy-grpc",
        "encode_raw_headers: true",
        "encode_raw_headers: true\n                      allowed_headers: {patterns: [{exact: a}]}",
        "envoy-hidden-headers",
    ),
    (
        "envoy-grpc",
        "encode_raw_headers: true",
        "encode_raw_headers: true\n                      with_request_body: {max_request_bytes: 9}",
        "envoy-body-bytes",
    ),
    (
        "envoy-grpc",
        "explicit_http_config: {http2_protocol_options: {}}",
        "explicit_http_config: {http_protocol_options: {}}",
        "envoy-cluster-http2",
    ),
    ("envoy-grpc", "port_value: 9191", "port_value: 8180", "envoy-wrong-address"),
    ("envoy-grpc", "failure_mode_allow: false", "failure_mode_allow: true", "envoy-failure-mode-allow"),
    // ---- Caddy
    ("caddy", "\t\t\turi /gateway/forward?\n", "", "caddy-check-uri"),
    ("caddy", "forward?", "forward", "caddy-check-uri"),
    ("caddy", "/gateway/forward?", "/gateway/nginx?", "caddy-check-uri"),
    ("caddy", "forward_auth 127.0.0.1:8180", "forward_auth 127.0.0.1:8181", "caddy-wrong-address"),
    ("caddy", "forward_auth 127", "forward_auth /api/* 127", "caddy-check-matcher"),
    ("caddy", "forward_auth 127", "@api path /api/*\n\t\tforward_auth @api 127", "caddy-check-matcher"),
    (
        "caddy",
        "\t\tforward_auth 127",
        "\t\thandle /open/* {\n\t\t\treverse_proxy 127.0.0.1:9000\n\t\t}\n\t\tforward_auth 127",
        "caddy-unchecked",
    ),
    (
        "caddy",
        "\tbind 127.0.0.1\n",
        "\tbind 127.0.0.1\n\thandle_errors {\n\t\treverse_proxy 127.0.0.1:9000\n\t}\n",
        "caddy-error-route",
    ),
    ("caddy", ":8080 {\n", "open.example {\n\treverse_proxy 127.0.0.1:9000\n}\n\n:8080 {\n", "caddy-unchecked"),
    ("caddy", "copy_headers X-Palisade-Principal", "copy_headers", "caddy-identity-headers"),
    ("caddy", " X-Palisade-Token\n\t\t\ttransport", "\n\t\t\ttransport", "caddy-identity-headers"),
    ("caddy", "\t\trequest_header -X-Palisade-Token\n", "", "caddy-identity-spoofed"),
    ("caddy", "\t\trequest_header -X-Palisade-Principal\n", "", "caddy-identity-spoofed"),
    ("caddy", "\troute {\n", "\thandle {\n", "caddy-identity-removed"),
    ("caddy", "\troute {\n", "\troute /api/* {\n\t\treverse_proxy 127.0.0.1:9000\n\t}\n\troute {\n", "caddy-unchecked"),
    ("caddy", "\t\t\t\tkeepalive off\n", "", "caddy-check-keepalive"),
    ("caddy", "keepalive off", "keepalive 30s", "caddy-check-keepalive"),
    ("caddy", "\t\t\t\tresponse_header_timeout 1s\n", "", "caddy-check-timeout"),
    ("caddy", "\t\t\t\tdial_timeout 500ms\n", "", "caddy-check-timeout"),
    ("caddy", "\t\terror @upgrade 403\n", "", "caddy-upgrade"),
    ("caddy", "\t\treverse_proxy 127", "\t\turi strip_prefix /api\n\t\treverse_proxy 127", "caddy-path-rewritten"),
    ("caddy", "\t\treverse_proxy 127", "\t\trewrite * /x{uri}\n\t\treverse_proxy 127", "caddy-path-rewritten"),
    ("caddy", "\t\tforward_auth 127", "\t\tmethod GET\n\t\tforward_auth 127", "caddy-path-rewritten"),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {\n",
        "\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\tmethod GET\n",
        "caddy-path-rewritten",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {\n",
        "\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up X-Palisade-Principal root\n",
        "caddy-identity-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127",
        "\t\trequest_header X-Palisade-Principal root\n\t\treverse_proxy 127",
        "caddy-identity-set",
    ),
    ("caddy", "\t\t\turi /g", "\t\t\theader_up X-Forwarded-Uri /open\n\t\t\turi /g", "caddy-check-told"),
    ("caddy", "\t\t\turi /g", "\t\t\thandle_response {\n\t\t\t}\n\t\t\turi /g", "caddy-check-response"),
    (
        "caddy",
        "\t\t\theader_up X-Forwarded-Host {http.request.hostport}\n\t\t\tcopy",
        "\t\t\ttrusted_proxies private_ranges\n\t\t\tcopy",
        "caddy-forwarded-host",
    ),
    (
        "caddy",
        "\tadmin off\n",
        "\tadmin off\n\tservers {\n\t\ttrusted_proxies static 0.0.0.0/0\n\t}\n",
        "caddy-trusts-everybody",
    ),
    ("caddy", "\t\treverse_proxy 127", "\t\tmagic\n\t\treverse_proxy 127", "not-checked"),
    ("caddy", "forward_auth 127.0.0.1:8180 {", "templates {", "caddy-no-check"),
    // ---- HAProxy
    (
        "haproxy",
        "    http-request deny deny_status 503 unless { var(txn.palisade_allowed) -m bool }\n",
        "",
        "haproxy-answer-ignored",
    ),
    (
        "haproxy",
        "unless { var(txn.palisade_allowed) -m bool }",
        "unless { var(txn.palisade_allowed) -m found }",
        "haproxy-answer-ignored",
    ),
    (
        "haproxy",
        "unless { var(txn.palisade_allowed) -m bool }",
        "if !{ var(txn.palisade_allowed) -m bool } { path_beg /api }",
        "haproxy-answer-ignored",
    ),
    (
        "haproxy",
        "unless { var(txn.palisade_allowed) -m bool }",
        "unless { var(txn.palisade_allowed) -m bool } || { src 10.0.0.0/8 }",
        "haproxy-answer-ignored",
    ),
    (
        "haproxy",
        "    http-request deny deny_status 503",
        "    http-request set-var(txn.palisade_allowed) bool(true) if { path /x }\n    http-request deny deny_status 503",
        "haproxy-answer-ignored",
    ),
    (
        "haproxy",
        "http-request lua.palisade",
        "http-request lua.palisade if { path_beg /api }",
        "haproxy-check-conditional",
    ),
    (
        "haproxy",
        "    http-request lua.palisade",
        "    http-request allow if { path_beg /open }\n    http-request lua.palisade",
        "haproxy-allow",
    ),
    (
        "haproxy",
        "    http-request lua.palisade",
        "    http-request replace-uri ^/a/(.*) /\\1\n    http-request lua.palisade",
        "haproxy-path-rewritten",
    ),
    (
        "haproxy",
        "    default_backend app",
        "    http-request set-path /x\n    default_backend app",
        "haproxy-path-rewritten",
    ),
    ("haproxy", "\nbackend app\n", "\nbackend app\n    http-request set-path /x%[path]\n", "haproxy-path-rewritten"),
    (
        "haproxy",
        "    http-request lua.palisade",
        "    http-request set-method GET\n    http-request lua.palisade",
        "haproxy-method-changed",
    ),
    (
        "haproxy",
        "    default_backend app",
        "    http-request set-header X-Palisade-Principal root\n    default_backend app",
        "haproxy-identity-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend open\n    bind :8081\n    default_backend app\nbackend app\n",
        "haproxy-frontend-unchecked",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nlisten open\n    bind :8081\n    server app1 127.0.0.1:9000\nbackend app\n",
        "haproxy-frontend-unchecked",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend open\n    mode tcp\n    bind :8081\n    default_backend app\nbackend app\n",
        "haproxy-tcp",
    ),
    ("haproxy", "    mode http\n", "", "haproxy-mode"),
    ("haproxy", "    option http-restrict-req-hdr-names delete\n", "", "haproxy-header-names"),
    ("haproxy", "hdr-names delete", "hdr-names preserve", "haproxy-header-names"),
    (
        "haproxy",
        "    mode http\n",
        "    mode http\n    option accept-invalid-http-request\n",
        "haproxy-invalid-requests",
    ),
    ("haproxy", "    timeout server 30s\n", "", "haproxy-timeout"),
    ("haproxy", "    timeout client 30s\n", "", "haproxy-timeout"),
    ("haproxy", "    http-request deny deny_status 403 if { req.hdr(upgrade)", "    #", "haproxy-upgrade"),
    ("haproxy", "    http-request deny deny_status 400 unless { url_beg / }", "    #", "haproxy-whole-url"),
    ("haproxy", " { req.ver 2.0 } { url_beg http:// https:// }", " { req.ver 2.0 }", "haproxy-whole-url"),
    ("haproxy", "    http-request deny deny_status 400 if { req.hdr(transfer-encoding)", "    #", "haproxy-trailers"),
    ("haproxy", "    http-request deny deny_status 400 if { req.ver 2.0 }", "    #", "haproxy-trailers"),
    ("haproxy", "    http-request del-header forwarded\n", "", "haproxy-forwarded-host"),
    ("haproxy", "    http-request del-header x-forwarded-uri\n", "", "haproxy-check-told"),
    ("haproxy", "    http-request set-header x-forwarded-host %[req.fhdr(host)]\n", "", "haproxy-forwarded-host"),
    (
        "haproxy",
        "http-request lua.palisade",
        "http-request lua.auth-intercept be /auth GET * x-user -",
        "haproxy-copied-headers",
    ),
    ("haproxy", "http-request lua.palisade", "http-request lua.auth-request be /auth", "haproxy-identity-spoofed"),
    ("haproxy", "http-request lua.palisade", "http-request send-spoe-group a b", "haproxy-spoe"),
    ("haproxy", "    http-request lua.palisade\n", "", "haproxy-no-check"),
    ("haproxy", "    default_backend app", "    .if defined(X)\n    default_backend app\n    .endif", "not-checked"),
    (
        "haproxy",
        "    default_backend app",
        "    http-request set-src req.hdr_ip(x-forwarded-for)\n    default_backend app",
        "haproxy-trusts-everybody",
    ),
    // ---- nginx
    ("nginx", "proxy_pass http://service;", "proxy_pass http://service/;", "nginx-pass-uri"),
    ("nginx", "proxy_pass http://service;", "proxy_pass http://service$uri;", "nginx-pass-uri"),
    ("nginx", "proxy_pass http://service;", "proxy_pass http://service$uri$is_args$args;", "nginx-pass-uri"),
    ("nginx", "proxy_pass http://service;", "proxy_pass http://service$path;", "nginx-pass-uri"),
    ("nginx", "proxy_pass http://service;", "set $to http://service/x; proxy_pass $to;", "nginx-pass-uri"),
    ("nginx", "proxy_pass http://service;", "proxy_method POST; proxy_pass http://service;", "nginx-method-changed"),
    ("nginx", "$request_uri", "$uri", "nginx-check-told"),
    ("nginx", "            proxy_set_header X-Original-Method $request_method;\n", "", "nginx-check-told"),
    ("nginx", "            internal;\n", "", "nginx-check-reachable"),
    ("nginx", "internal;", "internal; proxy_pass_request_headers off;", "nginx-check-headers"),
    ("nginx", "internal;", "internal; error_page 500 =200 /ok;", "nginx-error-page"),
    (
        "nginx",
        "listen 127.0.0.1:8080;",
        "listen 127.0.0.1:8080; error_page 500 =200 @open; location @open { proxy_pass http://service; }",
        "nginx-error-page",
    ),
    ("nginx", "internal;", "internal; proxy_cache c;", "nginx-check-cached"),
    ("nginx", "listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; ignore_invalid_headers off;", "nginx-invalid-headers"),
    ("nginx", "listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; underscores_in_headers on;", "nginx-underscores"),
    ("nginx", "listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; set_real_ip_from 0.0.0.0/0;", "nginx-trusts-everybody"),
    ("nginx", "listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; set_real_ip_from ::/0;", "nginx-trusts-everybody"),
    ("nginx", "auth_request /_palisade;", "", "nginx-no-check"),
    ("nginx", "auth_request /_palisade;", "auth_request /_other;", "nginx-check-lost"),
    ("nginx", "auth_request /_palisade;", "auth_request /_palisade; satisfy any;", "nginx-satisfy-any"),
    ("nginx", "auth_request /_palisade;", "auth_request /_palisade; rewrite ^/a /b break;", "nginx-path-rewritten"),
    (
        "nginx",
        "        location / {",
        "        location /open { proxy_pass http://service; }\n        location / {",
        "nginx-unchecked",
    ),
    ("nginx", "            proxy_set_header X-Palisade-Token       $palisade_token;\n", "", "nginx-identity-headers"),
    (
        "nginx",
        "proxy_set_header X-Palisade-Token       $palisade_token;",
        "proxy_set_header X-Palisade-Token a;",
        "nginx-identity-set",
    ),
    ("nginx", "proxy_set_header Host $host;", "proxy_set_header Host $http_host;", "nginx-host-changed"),
    ("nginx", "$service_upgrade;\n            proxy", "$http_upgrade;\n            proxy", "nginx-upgrade"),
    ("nginx", "/gateway/nginx", "/gateway/forward", "nginx-check-elsewhere"),
    ("nginx", "            proxy_read_timeout    1s;\n", "", "nginx-check-timeout"),
    ("nginx", "            proxy_pass_request_body off;\n", "", "nginx-check-body"),
    ("nginx", "            proxy_set_header Connection \"\";\n", "", "nginx-check-keepalive"),
    ("nginx", "http {\n", "stream { server { listen 9; proxy_pass 127.0.0.1:9000; } }\nhttp {\n", "nginx-stream"),
    ("nginx", "proxy_pass http://palisade/gateway/nginx;", "proxy_pass $ask;", "not-checked"),
    // ---- Apache
    ("apache", " early", "", "apache-check-late"),
    ("apache", " nocanon", "", "apache-nocanon"),
    ("apache", "    AllowEncodedSlashes NoDecode\n", "", "apache-encoded-slashes"),
    ("apache", "NoDecode", "On", "apache-encoded-slashes"),
    ("apache", "    ProxyPreserveHost On\n", "", "apache-host-changed"),
    ("apache", "upgrade=websocket", "upgrade=ANY", "apache-upgrade"),
    (
        "apache",
        "ProxyPass \"/\" \"http://127.0.0.1:9000/\"",
        "ProxyPass \"/\" \"http://127.0.0.1:9000/x/\"",
        "apache-path-rewritten",
    ),
    ("apache", "    ProxyPass", "    RewriteRule ^/a /b\n    ProxyPass", "apache-path-rewritten"),
    (
        "apache",
        "    ProxyPass",
        "    ProxyPassMatch ^/(a.*)$ http://127.0.0.1:9000/$1\n    ProxyPass",
        "apache-path-rewritten",
    ),
    (
        "apache",
        "    LuaHookAccessChecker /etc/apache2/palisade.lua check early\n",
        "    <Location /api>\n    LuaHookAccessChecker /etc/apache2/palisade.lua check early\n    </Location>\n",
        "apache-check-conditional",
    ),
    (
        "apache",
        "    LuaHookAccessChecker /etc/apache2/palisade.lua check early\n",
        "    <IfModule lua_module>\n    LuaHookAccessChecker /etc/apache2/palisade.lua check early\n    </IfModule>\n",
        "apache-check-conditional",
    ),
    (
        "apache",
        "    ProxyPass",
        "    <Location /a>\n    LuaInherit none\n    </Location>\n    ProxyPass",
        "apache-check-conditional",
    ),
    (
        "apache",
        "<VirtualHost 127",
        "<VirtualHost *:81>\nProxyPass / http://127.0.0.1:9000/ nocanon\n</VirtualHost>\n<VirtualHost 127",
        "apache-host-unchecked",
    ),
    ("apache", "    ProxyPass", "    Satisfy Any\n    ProxyPass", "apache-satisfy-any"),
    ("apache", "    ProxyPass", "    HttpProtocolOptions Unsafe\n    ProxyPass", "apache-unsafe"),
    (
        "apache",
        "    ProxyPass",
        "    RequestHeader set X-Palisade-Principal root\n    ProxyPass",
        "apache-identity-set",
    ),
    (
        "apache",
        "    ProxyPass",
        "    RequestHeader unset X-Palisade-Principal\n    ProxyPass",
        "apache-identity-removed",
    ),
    ("apache", "    ProxyPass", "    RemoteIPHeader X-Forwarded-For\n    ProxyPass", "apache-trusts-everybody"),
    (
        "apache",
        "    ProxyPass",
        "    RemoteIPHeader X-Forwarded-For\n    RemoteIPInternalProxy 0.0.0.0/0\n    ProxyPass",
        "apache-trusts-everybody",
    ),
    ("apache", "    LuaHookAccessChecker /etc/apache2/palisade.lua check early\n", "", "apache-no-check"),
    ("apache", "    ProxyPass", "    Use Something\n    ProxyPass", "not-checked"),
];
