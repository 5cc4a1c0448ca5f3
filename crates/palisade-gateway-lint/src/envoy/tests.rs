//! Each trap of Envoy is reported where it is, and nothing else is reported.

use crate::tests::{ENVOY, ENVOY_HTTP, one};
use crate::{Gateway, Source};
use palisade_engine::model::Severity;

const ROUTER: &str = "- name: envoy.filters.http.router\n";

/// A whole file: a listener that asks over gRPC, and the cluster of the sidecar.
const WHOLE: &str = r#"static_resources:
  listeners:
    - filter_chains:
        - filters:
            - typed_config:
                use_remote_address: true
                normalize_path: true
                merge_slashes: true
                path_with_escaped_slashes_action: REJECT_REQUEST
                common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}
                http_filters:
                  - name: checks
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
                      encode_raw_headers: true
                      validate_mutations: true
                      grpc_service: {envoy_grpc: {cluster_name: palisade}, timeout: 0.5s}
                  - name: envoy.filters.http.router
  clusters:
    - name: palisade
      typed_extension_protocol_options: {a: {explicit_http_config: {http2_protocol_options: {}}}}
      load_assignment: {endpoints: [{address: 127.0.0.1, port_value: 9191}]}
"#;

/// A listener without the filter, which goes in front of the clusters of [`WHOLE`].
const OPEN: &str = r#"    - filter_chains:
        - filters:
            - typed_config:
                route_config: {virtual_hosts: [{routes: [{match: {prefix: /}, route: {cluster: app}}]}]}
                http_filters: [{name: envoy.filters.http.router}]
  clusters:
"#;

fn findings(text: &str, from: &str, to: &str) -> Vec<(usize, String)> {
    assert!(text.contains(from), "{from}");
    let findings = one(Gateway::Envoy, &text.replacen(from, to, 1)).into_iter();
    findings.map(|finding| (finding.line.unwrap_or(0), finding.message)).collect()
}

/// A text, what is replaced in it by what, the line of the finding, and words of its message.
type Trap = (&'static str, &'static str, String, usize, &'static str);

fn traps() -> Vec<Trap> {
    let before = format!("http_filters:\n{ROUTER}");
    let typed = OPEN.replace("route_config:", "\"@type\": a.HttpConnectionManager\n                x:");
    [
        (WHOLE, "  clusters:\n", OPEN, 21, "this listener, so its requests are not checked"),
        (WHOLE, "  clusters:\n", &typed.replace("http_filters: ", "y: "), 21, "are not checked"),
        (WHOLE, "                normalize_path: true\n", "", 11, "dot segments"),
        (ENVOY, "http_filters:\n", &before, 8, "behind the router"),
        (ENVOY, "timeout: 0.5s", "timeout: 0.05s", 10, "Envoy gives up before"),
        (ENVOY, "encode_raw_headers: true", "encode_raw_headers: false", 8, "not as the service gets them"),
        (ENVOY, "encode_raw", "allowed_headers: {patterns: [{exact: a}]}\n    encode_raw", 11, "over gRPC this hides"),
        (WHOLE, "http2_protocol_options", "http_protocol_options", 20, "gRPC needs HTTP/2"),
        (WHOLE, "port_value: 9191", "port_value: 8180", 22, "port 8180 is the decision listener"),
        (ENVOY_HTTP, "/gateway/envoy", "/gateway/evnoy", 38, "at `/gateway/envoy` alone"),
        (ENVOY_HTTP, "/gateway/envoy", "/gateway/envoy/", 38, "at `/gateway/envoy` alone"),
        (ENVOY_HTTP, "      path_prefix: /gateway/envoy\n", "", 36, "at `/gateway/envoy` alone"),
        (ENVOY_HTTP, "timeout: 0.5s", "timeout: 0.05s", 37, "Envoy gives up before"),
        (ENVOY_HTTP, "exact: authorization", "prefix: x-", 17, "`prefix` matches more"),
        (ENVOY_HTTP, "exact: authorization", "suffix: ion", 17, "`suffix` matches more"),
        (ENVOY_HTTP, "exact: authorization", "contains: auth", 17, "`contains` matches more"),
        (ENVOY_HTTP, "exact: authorization, ignore_case: true", "safe_regex: {regex: .*}", 17, "`safe_regex` matches"),
        (ENVOY_HTTP, "exact: authorization", "exact: x-original-uri", 17, "makes up"),
        (ENVOY_HTTP, "{exact: x-palisade-principal}, ", "", 40, "`x-palisade-principal` of the sidecar"),
        (ENVOY_HTTP, "{exact: x-palisade-auth-method}, ", "", 40, "`x-palisade-auth-method` of the sidecar"),
        (ENVOY_HTTP, ", {exact: x-palisade-token}", "", 40, "`x-palisade-token` of the sidecar"),
    ]
    .map(|(text, from, to, line, message)| (text, from, to.to_owned(), line, message))
    .to_vec()
}

/// The texts in which something is to be found.
pub(crate) fn broken() -> impl Iterator<Item = (Gateway, Vec<Source>, String)> {
    traps().into_iter().map(|(text, from, to, _, message)| {
        (Gateway::Envoy, vec![("f".to_owned(), text.replacen(from, &to, 1))], message.to_owned())
    })
}

#[test]
fn each_trap_is_reported_at_its_line() {
    let mut wrong = Vec::new();
    for (text, from, to, line, message) in traps() {
        let found = findings(text, from, &to);
        if !found.iter().any(|(at, said)| *at == line && said.contains(message)) {
            wrong.push(format!("{from:?} -> {to:?}: {line} {message}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_trap_is_not_reported() {
    let redirect = OPEN.replace("route: {cluster: app}", "redirect: {https_redirect: true}");
    for (text, from, to) in [
        (WHOLE, "", ""),
        (WHOLE, "  clusters:\n", redirect.as_str()),
        (WHOLE, "cluster_name: palisade", "cluster_name: elsewhere"),
        (ENVOY, "timeout: 0.5s", "timeout: 1s"),
        (
            ENVOY_HTTP,
            "http_filters:",
            "route_config: {virtual_hosts: [{routes: [{match: {prefix: /, grpc: {}}, direct_response: {status: 415}}, \
             {match: {prefix: /}, route: {cluster: a}}]}]}\nhttp_filters:",
        ),
        (
            ENVOY_HTTP,
            "[{exact: x-palisade-principal}, {exact: x-palisade-auth-method}, {exact: x-palisade-token}]",
            "[{prefix: x-palisade-}]",
        ),
    ] {
        assert_eq!(findings(text, from, to), [], "{from:?} -> {to:?}");
    }
}

#[test]
fn nothing_is_certain_where_something_is_elsewhere() {
    for (text, message) in [
        ("static_resources: {listeners: []}\n", "nothing asks the sidecar"),
        ("dynamic_resources: {lds_config: {}}\n", "unless what Envoy reads from elsewhere does"),
    ] {
        let found = findings(text, "", "");
        assert!(found[0].1.ends_with(message), "{text}: {found:?}");
    }
}

#[test]
fn what_is_no_configuration_is_an_error() {
    for (text, line) in [
        ("static_resources:\n  listeners: [\n", 3),
        ("http {\n  server {}\n}\n", 1),
        ("a: 1\n", 1),
        ("", 1),
        ("static_resources: {}\nstatic_resources: {}\n", 2),
    ] {
        let findings = one(Gateway::Envoy, text);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Error), "{text}");
        assert!(findings[0].line.is_some_and(|found| found.abs_diff(line) <= 1), "{text}: {findings:?}");
    }
}

#[test]
fn what_envoy_does_not_read_is_an_error() {
    let wrong = |from: &str, to: &str| {
        let found = one(Gateway::Envoy, &WHOLE.replacen(from, to, 1));
        assert!(
            matches!(&found[..], [one] if one.severity == Severity::Error && one.help.is_some()),
            "{to}: {found:#?}"
        );
        (found[0].line.unwrap_or(0), found[0].message.clone())
    };
    for (from, to, line) in [
        ("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", "envoy.config.filter.http.ext_authz.v2.ExtAuthz", 13),
        ("- name: envoy.filters.http.router", "- {name: envoy.router, config: {}}", 18),
        ("- typed_config:\n", "- name: envoy.http_connection_manager\n              config:\n", 5),
        ("- typed_config:\n", "- typed_config:\n                \"@type\": a/envoy.api.v2.HttpConnectionManager\n", 5),
    ] {
        let (at, message) = wrong(from, to);
        assert!(message.starts_with("this is written for version 2 of Envoy's API"), "{to}: {message}");
        assert_eq!(at, line, "{to}");
    }
    let policy = "# checks\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\nspec: {extAuth: {}}\n";
    for text in [policy.to_owned(), format!("{policy}---\n{policy}")] {
        let found = one(Gateway::Envoy, &text);
        assert!(matches!(&found[..], [one] if one.severity == Severity::Error && one.line == Some(3)), "{found:#?}");
        assert!(found[0].message.starts_with("`SecurityPolicy` is an object of Kubernetes, and not read"), "{found:?}");
    }
}
