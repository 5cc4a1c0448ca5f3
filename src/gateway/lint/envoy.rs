//! Envoy with `ext_authz`.

use crate::gateway::lint::File;

/// Where Envoy tells of its client's certificate.
const CERTIFICATE: &str = "x-forwarded-client-cert";

pub(super) fn lint(file: &mut File<'_>) {
    let Some(filter) = file.find("envoy.filters.http.ext_authz") else {
        file.warn(
            None,
            "there is no `ext_authz`, so nothing asks the sidecar",
            "add the filter `envoy.filters.http.ext_authz`",
        );
        return;
    };
    for (line, text) in file.lines().collect::<Vec<_>>() {
        let says = |key: &str, value: &str| {
            text.split_once(key).is_some_and(|(_, rest)| rest.trim_start_matches(['"', ':', ' ']).starts_with(value))
        };
        if says("failure_mode_allow", "true") {
            file.warn(
                Some(line),
                "requests pass unchecked while the sidecar is down, slow or answers 5xx",
                "set `failure_mode_allow: false`",
            );
        }
        if says("allow_partial_message", "true") {
            file.warn(
                Some(line),
                "the sidecar gets a part of large bodies, and refuses routes that read them",
                "set `allow_partial_message: false`, so that Envoy answers 413",
            );
        }
        if says("clear_route_cache", "true") {
            file.warn(
                Some(line),
                "the route is chosen again after the check, so another service may get the request",
                "leave `clear_route_cache` out",
            );
        }
        if says("disabled", "true") {
            file.warn(
                Some(line),
                "a route without the check: with a path that is not normalised, `/open/../x` takes it",
                "make the route `public: true` in the route file instead",
            );
        }
        // the header of the certificate is Envoy's own where it is told to set it; see below
        let other = text.replace(CERTIFICATE, "");
        let listed = text.contains("allowed_headers") || text.contains("exact:") || text.contains("prefix:");
        if (listed && (other.contains("x-forwarded-") || other.contains("x-original-")))
            || (text.contains("allowed_headers") && text.contains("safe_regex"))
        {
            file.warn(
                Some(line),
                "headers that a client makes up are passed to the sidecar",
                "list `authorization` and what the routes read, exactly",
            );
        }
        if ["FORWARD_ONLY", "APPEND_FORWARD"].iter().any(|word| text.contains(word)) {
            file.warn(
                Some(line),
                "what a client says of its certificate is passed on, as if Envoy had seen it",
                "set `forward_client_cert_details: SANITIZE_SET`",
            );
        }
        if text.contains(CERTIFICATE) && listed && !file.has("SANITIZE_SET") {
            file.warn(
                Some(line),
                "Envoy takes the header of the certificate away, or passes a client's own on",
                "set `forward_client_cert_details: SANITIZE_SET`",
            );
        }
        if text.contains("prefix_rewrite") || text.contains("regex_rewrite") || text.contains("path_rewrite_policy") {
            file.warn(
                Some(line),
                "the service gets another path than was checked",
                "let the service have the path as it was sent, or name the rewritten one in the routes",
            );
        }
    }
    for (key, help, message) in [
        (
            "normalize_path: true",
            "set `normalize_path: true`",
            "dot segments reach the route table of Envoy as they were sent",
        ),
        ("merge_slashes: true", "set `merge_slashes: true`", "`//` reaches the route table of Envoy as it was sent"),
        (
            "path_with_escaped_slashes_action: REJECT_REQUEST",
            "set `path_with_escaped_slashes_action: REJECT_REQUEST`",
            "encoded slashes are passed on",
        ),
        (
            "headers_with_underscores_action: DROP_HEADER",
            "set `common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }`",
            "the underscore twin of an identity header (`x_user`) reaches the service",
        ),
    ] {
        let rejected = key.starts_with("headers_with") && file.has("headers_with_underscores_action: REJECT_REQUEST");
        if !file.has(key) && !rejected {
            file.warn(Some(filter), message, help);
        }
    }
    if file.has("SANITIZE_SET") && !file.has("uri: true") {
        file.warn(
            file.find("SANITIZE_SET"),
            "the header of the certificate has no name in it, so nobody is known by one",
            "set `set_current_client_cert_details: {uri: true}`",
        );
    }
    if file.has("SANITIZE_SET") && file.has("dns: true") {
        file.warn(
            file.find("dns: true"),
            "a URI with a DNS name behind it is refused, because it could go on there",
            "leave `dns: true` out",
        );
    }
    if let Some(body) = file.find("with_request_body") {
        if file.has("grpc_service") && !file.has("pack_as_bytes: true") {
            file.warn(
                Some(body),
                "a body that is no UTF-8 is changed on the way to the sidecar",
                "set `pack_as_bytes: true`",
            );
        }
        if file.has("http_service") && !file.has("exact: content-encoding") {
            file.warn(
                Some(body),
                "the sidecar gets the body, and does not see whether it is compressed",
                "add `{exact: content-encoding, ignore_case: true}` to `allowed_headers`",
            );
        }
    }
    if file.has("grpc_service") && !file.has("timeout:") {
        file.warn(
            Some(filter),
            "a check has 200 ms and no more, and a late one is a failure",
            "set `timeout: 0.5s` at the `grpc_service`",
        );
    }
    if file.has("http_service") && !file.has("allowed_upstream_headers") {
        file.warn(
            Some(filter),
            "identity headers of the sidecar do not reach the service, and the client's own do",
            "list them in `allowed_upstream_headers`",
        );
    }
    if file.has("grpc_service") && !file.has("validate_mutations: true") {
        file.warn(Some(filter), "header values of the sidecar are not validated", "set `validate_mutations: true`");
    }
}
