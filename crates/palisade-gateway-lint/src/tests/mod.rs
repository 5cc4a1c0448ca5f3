//! Good configurations have no finding, each trap has its rule, and what is not understood is said so.

mod behind;
mod bounds;
mod chosen;
mod compose;
mod corpus;
mod kubernetes;
mod lines;
mod names;
mod near;
mod pages;
mod past;
pub(super) mod sites;
mod told;
mod unknown;

use std::collections::BTreeSet;
use std::fs;

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
      proxy_set_header X-Original-URI ""; proxy_set_header X-Original-Host ""; proxy_set_header Host $host; proxy_ignore_headers X-Accel-Redirect; proxy_pass http://127.0.0.1:9000;
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

pub(super) const ENVOY: &str = r#"use_remote_address: true
normalize_path: true
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
    validate_mutations: true
    with_request_body: {max_request_bytes: 65536, allow_partial_message: false}
    allowed_headers:
      patterns:
        - {exact: authorization, ignore_case: true}
        - {exact: content-type, ignore_case: true}
        - {exact: content-encoding, ignore_case: true}
        - {exact: x-forwarded-client-cert, ignore_case: true}
        - {exact: upgrade, ignore_case: true}
        - {exact: forwarded, ignore_case: true}
        - safe_regex: {regex: "x[^a-z0-9].*"}
        - safe_regex: {regex: "content[^a-z0-9]type"}
        - safe_regex: {regex: "content[^a-z0-9]encoding"}
        - safe_regex: {regex: "script[^a-z0-9]name"}
        - safe_regex: {regex: "path[^a-z0-9]info"}
        - safe_regex: {regex: "daphne[^a-z0-9]root[^a-z0-9]path"}
        - safe_regex: {regex: "atg[^a-z0-9]rest[^a-z0-9]http[^a-z0-9]method"}
        - safe_regex: {regex: "cloudfront[^a-z0-9]forwarded[^a-z0-9]proto"}
        - safe_regex: {regex: "front[^a-z0-9]end[^a-z0-9]https"}
        - safe_regex: {regex: "next[^a-z0-9]action"}
        - safe_regex: {regex: "rsc[^a-z0-9]action[^a-z0-9]id"}
        - safe_regex: {regex: "rsc[^a-z0-9]action"}
        - safe_regex: {regex: "react[^a-z0-9]server[^a-z0-9]action"}
    http_service:
      server_uri: {uri: "http://127.0.0.1:8180", cluster: palisade, timeout: 0.5s}
      path_prefix: /gateway/envoy
      authorization_response:
        allowed_upstream_headers:
          patterns: [{exact: x-palisade-principal}, {exact: x-palisade-auth-method}, {exact: x-palisade-token}]
"#;

/// There are no other files.
pub(super) fn alone(_: &str) -> Result<Vec<Source>, String> {
    Err("there is no such file".to_owned())
}

/// The findings in one file.
pub(super) fn one(gateway: Gateway, text: &str) -> Vec<Diagnostic> {
    lint(gateway, &[("f".to_owned(), text.to_owned())], &alone)
}

/// The rules that findings are of.
fn rules(findings: &[Diagnostic]) -> BTreeSet<&'static str> {
    findings.iter().map(|finding| finding.rule.expect("each finding has a rule")).collect()
}

fn project(path: &str) -> String {
    format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn each_rule_has_a_section_and_each_section_a_rule() {
    let page = text("docs/lint.md");
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(sections, RULES.to_vec(), "docs/lint.md and rules.rs do not list the same rules in the same order");
}

#[test]
fn each_rule_is_broken_in_some_test() {
    let broken: BTreeSet<&str> = corpus::expected()
        .iter()
        .flat_map(|(_, rules)| rules.clone())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|rule| *RULES.iter().find(|known| **known == rule).unwrap_or_else(|| panic!("no rule is called {rule}")))
        .chain(pages::mutants().map(|mutant| mutant.3))
        .chain(behind::told())
        .chain(compose::told())
        .chain(told::MIDDLEWARES.iter().map(|middleware| middleware.2))
        .collect();
    let unbroken: Vec<_> =
        RULES.iter().filter(|rule| !broken.contains(**rule) && !rule.starts_with("route-")).collect();
    assert!(unbroken.is_empty(), "{unbroken:?}");
}

#[test]
fn an_empty_configuration_is_one_finding() {
    for gateway in [Gateway::Nginx, Gateway::Envoy, Gateway::Caddy, Gateway::Traefik, Gateway::Haproxy, Gateway::Apache]
    {
        let found = one(gateway, "");
        assert_eq!(found.len(), 1, "{gateway:?}: {found:?}");
    }
}
