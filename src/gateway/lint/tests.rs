//! A good configuration of each gateway has no finding, and each trap is found where it is.

use super::*;

pub(super) const NGINX: &str = r#"http {
  upstream palisade { server 127.0.0.1:8180; keepalive 32; }
  server {
    location / {
      auth_request /_palisade;
      auth_request_set $palisade_principal $upstream_http_x_palisade_principal;   # empty => header removed
      auth_request_set $palisade_auth_method $upstream_http_x_palisade_auth_method;
      auth_request_set $palisade_token $upstream_http_x_palisade_token;
      proxy_set_header X-Palisade-Principal $palisade_principal;
      proxy_set_header X-Palisade-Auth-Method $palisade_auth_method;
      proxy_set_header X-Palisade-Token $palisade_token;
      proxy_pass http://127.0.0.1:9000;
    }
    location = /_palisade {
      internal;
      proxy_pass http://palisade/gateway/nginx;
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_pass_request_body off; proxy_set_header Content-Length "";
      proxy_set_header X-Original-URI    $request_uri;
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Original-Host   $host;
      proxy_set_header X-Forwarded-For   $remote_addr;
      proxy_connect_timeout 500ms; proxy_read_timeout 1s;
    }
  }
}
"#;

pub(super) const ENVOY: &str = r#"normalize_path: true
merge_slashes: true
path_with_escaped_slashes_action: REJECT_REQUEST
common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }
http_filters:
- name: envoy.filters.http.ext_authz
  typed_config:
    transport_api_version: V3
    grpc_service: { envoy_grpc: { cluster_name: authz_grpc }, timeout: 0.5s }
    encode_raw_headers: true
    failure_mode_allow: false
    validate_mutations: true
"#;

/// Envoy over HTTP, with bodies and with certificates.
pub(super) const ENVOY_HTTP: &str = r#"use_remote_address: true
forward_client_cert_details: SANITIZE_SET
set_current_client_cert_details: {uri: true}
normalize_path: true
merge_slashes: true
path_with_escaped_slashes_action: REJECT_REQUEST
common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }
http_filters:
- name: envoy.filters.http.ext_authz
  typed_config:
    transport_api_version: V3
    failure_mode_allow: false
    with_request_body: {max_request_bytes: 65536, allow_partial_message: false}
    allowed_headers:
      patterns:
        - {exact: authorization, ignore_case: true}
        - {exact: content-type, ignore_case: true}
        - {exact: content-encoding, ignore_case: true}
        - {exact: x-forwarded-client-cert, ignore_case: true}
        - {exact: upgrade, ignore_case: true}
        - safe_regex: {regex: "x[^a-z0-9].*"}
    http_service:
      server_uri: {uri: "http://127.0.0.1:8180", cluster: palisade, timeout: 0.5s}
      path_prefix: /gateway/envoy
      authorization_response:
        allowed_upstream_headers:
          patterns: [{exact: x-palisade-principal}, {exact: x-palisade-auth-method}, {exact: x-palisade-token}]
"#;

const CADDY: &str = "route {\n  request_header -Upgrade\n  request_header -X-User\n  forward_auth 127.0.0.1:8180 {\n    uri /gateway/forward?\n    copy_headers X-User\n    transport http {\n      dial_timeout 500ms\n      response_header_timeout 1s\n    }\n  }\n  reverse_proxy 127.0.0.1:9000\n}\n";

const TRAEFIK: &str = r#"http:
  middlewares:
    authz:
      forwardAuth:
        address: "http://127.0.0.1:8180/gateway/forward"
        trustForwardHeader: false
        authResponseHeaders: ["X-User", "Upgrade"]
  routers:
    all: { rule: "PathPrefix(`/`)", middlewares: [authz], service: app }
"#;

const HAPROXY: &str = "defaults\n  timeout connect 1s\n  timeout client 10s\n  timeout server 10s\nfrontend in\n  http-request del-header upgrade\n  http-request del-header X-User\n  http-request lua.authz http://127.0.0.1:8180/gateway/forward\n  http-request deny deny_status 403 if !{ var(txn.authz_ok) -m bool }\n  default_backend app\n";

const APACHE: &str = "LuaHookAccessChecker /etc/palisade.lua check early\nAllowEncodedSlashes NoDecode\nProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\n";

/// There are no other files.
pub(super) fn alone(_: &str) -> Result<Vec<(String, String)>, String> {
    Err("there is no such file".to_owned())
}

/// The findings of `text` with `from` replaced by `to`: line and message.
pub(super) fn findings(gateway: Gateway, text: &str, from: &str, to: &str) -> Vec<(Option<usize>, String)> {
    assert!(text.contains(from), "{from}");
    let text = text.replace(from, to);
    lint(gateway, "f", &text, &alone).into_iter().map(|finding| (finding.line, finding.message)).collect()
}

#[test]
fn good_configurations_have_no_findings() {
    for (gateway, text) in [
        (Gateway::Nginx, NGINX),
        (Gateway::Envoy, ENVOY),
        (Gateway::Envoy, ENVOY_HTTP),
        (Gateway::Caddy, CADDY),
        (Gateway::Traefik, TRAEFIK),
        (Gateway::Haproxy, HAPROXY),
        (Gateway::Apache, APACHE),
    ] {
        assert_eq!(findings(gateway, text, "", ""), [], "{gateway:?}");
        assert_eq!(lint(gateway, "f", "", &alone).len(), 1, "{gateway:?}: nothing asks the sidecar");
    }
}

#[test]
fn each_trap_is_found() {
    for (gateway, text, from, to, message) in [
        (Gateway::Nginx, NGINX, "http://127.0.0.1:9000;", "http://127.0.0.1:9000/;", "a URI in `proxy_pass`"),
        (Gateway::Nginx, NGINX, "$request_uri", "$uri", "another target"),
        (Gateway::Nginx, NGINX, "proxy_set_header X-Original-URI    $request_uri;", "", "not told the target"),
        (Gateway::Nginx, NGINX, "proxy_set_header X-Original-Method $request_method;", "", "not told the method"),
        (Gateway::Nginx, NGINX, "$host", "$http_host", "`$http_host`"),
        (Gateway::Nginx, NGINX, "internal;", "", "clients can reach"),
        (Gateway::Nginx, NGINX, "proxy_read_timeout 1s;", "", "60 seconds"),
        (Gateway::Nginx, NGINX, "proxy_set_header Connection \"\";", "", "a connection of its own"),
        (Gateway::Nginx, NGINX, "proxy_pass_request_body off;", "", "waits for a body"),
        (Gateway::Nginx, NGINX, "proxy_set_header X-Palisade-Token $palisade_token;", "", "goes nowhere"),
        (Gateway::Nginx, NGINX, "internal;", "internal; error_page 500 =200 /ok;", "an error of the check"),
        (Gateway::Envoy, ENVOY, "failure_mode_allow: false", "failure_mode_allow: true", "pass unchecked"),
        (Gateway::Envoy, ENVOY, "normalize_path: true\n", "", "dot segments"),
        (Gateway::Envoy, ENVOY, "merge_slashes: true\n", "", "`//`"),
        (Gateway::Envoy, ENVOY, "REJECT_REQUEST", "KEEP_UNCHANGED", "encoded slashes"),
        (Gateway::Envoy, ENVOY, "DROP_HEADER", "ALLOW", "underscore twin"),
        (Gateway::Envoy, ENVOY, ", timeout: 0.5s", "", "200 ms"),
        (
            Gateway::Envoy,
            ENVOY,
            "validate_mutations: true",
            "clear_route_cache: true\n    validate_mutations: true",
            "chosen again",
        ),
        (
            Gateway::Envoy,
            ENVOY,
            "validate_mutations: true",
            "with_request_body: {allow_partial_message: false}\n    validate_mutations: true",
            "no UTF-8",
        ),
        (Gateway::Envoy, ENVOY_HTTP, "message: false", "message: true", "a part of large bodies"),
        (Gateway::Envoy, ENVOY_HTTP, "        - {exact: content-encoding, ignore_case: true}\n", "", "compressed"),
        (Gateway::Envoy, ENVOY_HTTP, "SANITIZE_SET", "ALWAYS_FORWARD_ONLY", "what a client says of its certificate"),
        (Gateway::Envoy, ENVOY_HTTP, "SANITIZE_SET", "FORWARD_ONLY", "what a client says of its certificate"),
        (Gateway::Envoy, ENVOY_HTTP, "SANITIZE_SET", "APPEND_FORWARD", "what a client says of its certificate"),
        (Gateway::Envoy, ENVOY_HTTP, "forward_client_cert_details: SANITIZE_SET\n", "", "takes the header"),
        (Gateway::Envoy, ENVOY_HTTP, "{uri: true}", "{subject: true}", "nobody is known"),
        (Gateway::Envoy, ENVOY_HTTP, "{uri: true}", "{uri: true, dns: true}", "a DNS name behind it"),
        (Gateway::Envoy, ENVOY_HTTP, "exact: x-forwarded-client-cert", "exact: x-forwarded-uri", "makes up"),
        (Gateway::Envoy, ENVOY_HTTP, "exact: x-forwarded-client-cert", "prefix: x-forwarded-", "makes up"),
        (Gateway::Caddy, CADDY, "forward?", "forward", "query is appended"),
        (Gateway::Caddy, CADDY, "      response_header_timeout 1s\n", "", "for ever"),
        (Gateway::Caddy, CADDY, "  request_header -X-User\n", "", "2.11.1"),
        (Gateway::Caddy, CADDY, "    copy_headers X-User\n", "", "do not reach the service"),
        (Gateway::Caddy, CADDY, "route {", "{", "are sorted"),
        (Gateway::Caddy, CADDY, "  reverse_proxy", "  uri strip_prefix /api\n  reverse_proxy", "rewritten"),
        (Gateway::Traefik, TRAEFIK, "trustForwardHeader: false", "trustForwardHeader: true", "X-Forwarded-"),
        (Gateway::Traefik, TRAEFIK, "middlewares: [authz], ", "", "not checked"),
        (
            Gateway::Traefik,
            TRAEFIK,
            "        authResponseHeaders",
            "        authRequestHeaders: [\"Authorization\"]\n        authResponseHeaders",
            "only where it sees them",
        ),
        (
            Gateway::Traefik,
            TRAEFIK,
            "        authResponseHeaders: [\"X-User\", \"Upgrade\"]\n",
            "",
            "do not reach the service",
        ),
        (
            Gateway::Traefik,
            TRAEFIK,
            "        authResponseHeaders",
            "        forwardBody: true\n        preserveRequestMethod: true\n        authResponseHeaders",
            "of any size",
        ),
        (
            Gateway::Traefik,
            TRAEFIK,
            "        authResponseHeaders",
            "        forwardBody: true\n        maxBodySize: 65536\n        authResponseHeaders",
            "`GET` with a body",
        ),
        (
            Gateway::Traefik,
            TRAEFIK,
            "  routers:",
            "    s: { stripPrefix: { prefixes: [/a] } }\n  routers:",
            "rewritten",
        ),
        (
            Gateway::Haproxy,
            HAPROXY,
            "  http-request deny deny_status 403 if !{ var(txn.authz_ok) -m bool }\n",
            "",
            "the request passes",
        ),
        (
            Gateway::Nginx,
            NGINX,
            "      proxy_pass http://127.0.0.1:9000;",
            "proxy_set_header Upgrade $http_upgrade; proxy_pass http://127.0.0.1:9000;",
            "any upgrade",
        ),
        (
            Gateway::Nginx,
            NGINX,
            "      proxy_pass http://127.0.0.1:9000;",
            "proxy_set_header Upgrade $up; proxy_pass http://127.0.0.1:9000;",
            "not told of an upgrade",
        ),
        (Gateway::Caddy, CADDY, "  request_header -Upgrade\n", "", "any upgrade"),
        (
            Gateway::Caddy,
            CADDY,
            "route {",
            "{\n  servers {\n    trusted_proxies static 10.0.0.0/8\n  }\n}\nroute {",
            "which host's routes",
        ),
        (Gateway::Traefik, TRAEFIK, ", \"Upgrade\"", "", "any upgrade"),
        (Gateway::Haproxy, HAPROXY, "  http-request del-header upgrade\n", "", "any upgrade"),
        (Gateway::Envoy, ENVOY_HTTP, "        - safe_regex: {regex: \"x[^a-z0-9].*\"}\n", "", "x.palisade.principal"),
        (Gateway::Envoy, ENVOY_HTTP, "        - {exact: upgrade, ignore_case: true}\n", "", "asks for an upgrade"),
        (
            Gateway::Envoy,
            ENVOY_HTTP,
            "http_filters:",
            "route_config: {virtual_hosts: [{routes: [{match: {prefix: /}, route: {cluster: a}}]}]}\nhttp_filters:",
            "a gRPC call passes",
        ),
        (
            Gateway::Envoy,
            ENVOY_HTTP,
            "http_filters:",
            "route_config: {virtual_hosts: [{routes: [{match: {prefix: /x, grpc: {}}, direct_response: {status: 415}}, {match: {prefix: /}, route: {cluster: a}}]}]}\nhttp_filters:",
            "a gRPC call passes",
        ),
        (Gateway::Apache, APACHE, " early", "", "other modules"),
        (Gateway::Apache, APACHE, " nocanon", "", "writes the path anew"),
        (Gateway::Apache, APACHE, "NoDecode", "On", "an encoded slash"),
        (Gateway::Apache, APACHE, "ProxyPass", "RewriteRule ^/a /b\nProxyPass", "rewritten"),
        (Gateway::Haproxy, HAPROXY, "  timeout server 10s\n", "", "no `timeout server`"),
        (
            Gateway::Haproxy,
            HAPROXY,
            "lua.authz http://127.0.0.1:8180/gateway/forward",
            "lua.auth-intercept be /auth GET * x-user -",
            "hangs it",
        ),
        (Gateway::Haproxy, HAPROXY, "  default_backend", "  http-request set-path /x\n  default_backend", "rewritten"),
    ] {
        let found = findings(gateway, text, from, to);
        assert!(found.iter().any(|(_, said)| said.contains(message)), "{gateway:?} {from:?} -> {to:?}: {found:?}");
    }
    let found = findings(Gateway::Nginx, NGINX, "http://127.0.0.1:9000;", "http://127.0.0.1:9000/;");
    assert_eq!(found[0].0, Some(12));
}
