//! Envoy.

use super::Near;

const CHECK: &str = "                  - name: envoy.filters.http.ext_authz\n";
const ROUTER: &str = "                  - name: envoy.filters.http.router\n";
const MUTATIONS: &str = "validate_mutations: true\n";
const ROUTES: &str = "                      routes:\n";

pub(super) const NEAR: &[Near] = &[
    (
        "envoy-allowed-headers",
        "envoy",
        &[(
            "- {exact: authorization, ignore_case: true}",
            "- {exact: Authorization, ignore_case: true}\n                          - {exact: cookie}",
        )],
    ),
    (
        "envoy-body-bytes",
        "envoy-grpc",
        &[(
            MUTATIONS,
            "validate_mutations: true\n                      with_request_body: {max_request_bytes: 65536, pack_as_bytes: true}\n",
        )],
    ),
    (
        "envoy-body-encoding",
        "envoy",
        &[(
            MUTATIONS,
            "validate_mutations: true\n                      with_request_body: {max_request_bytes: 65536}\n",
        )],
    ),
    (
        "envoy-cache-before-check",
        "envoy",
        &[(
            ROUTER,
            "                  - name: c\n                    disabled: true\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig}\n                  - name: envoy.filters.http.router\n",
        )],
    ),
    (
        "envoy-check-behind-router",
        "envoy",
        &[(
            ROUTER,
            "                  - name: envoy.filters.http.cors\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}\n                  - name: envoy.filters.http.router\n",
        )],
    ),
    (
        "envoy-check-told",
        "envoy-grpc",
        &[(
            CHECK,
            "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: x-request-start, value: \"%START_TIME%\"}}}]}}\n                  - name: envoy.filters.http.ext_authz\n",
        )],
    ),
    (
        "envoy-clear-route-cache",
        "envoy-grpc",
        &[(MUTATIONS, "validate_mutations: true\n                      clear_route_cache: false\n")],
    ),
    (
        "envoy-client-certificate",
        "envoy",
        &[
            (
                "                use_remote_address: true\n",
                "                use_remote_address: true\n                forward_client_cert_details: SANITIZE_SET\n                set_current_client_cert_details: {uri: true}\n",
            ),
            (
                "- {exact: upgrade, ignore_case: true}",
                "- {exact: upgrade, ignore_case: true}\n                          - {exact: x-forwarded-client-cert, ignore_case: true}",
            ),
        ],
    ),
    (
        "envoy-client-certificate",
        "envoy-grpc",
        &[(
            "use_remote_address: true\n",
            "use_remote_address: true\n                forward_client_cert_details: SANITIZE\n",
        )],
    ),
    (
        "envoy-cluster-http2",
        "envoy-grpc",
        &[
            ("      typed_extension_protocol_options:\n", "      http2_protocol_options: {}\n"),
            ("        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n", ""),
            ("          \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n", ""),
            ("          explicit_http_config: {http2_protocol_options: {}}\n", ""),
        ],
    ),
    (
        "envoy-escaped-slashes",
        "envoy-grpc",
        &[("slashes_action: REJECT_REQUEST", "slashes_action: UNESCAPE_AND_REDIRECT")],
    ),
    ("envoy-failure-mode-allow", "envoy", &[("                      failure_mode_allow: false\n", "")]),
    (
        "envoy-filter-enabled",
        "envoy",
        &[(
            MUTATIONS,
            "validate_mutations: true\n                      filter_enabled: {default_value: {numerator: 1000000, denominator: MILLION}}\n",
        )],
    ),
    (
        "envoy-fragment",
        "envoy",
        &[(
            "static_resources:\n",
            "layered_runtime: {layers: [{name: a, static_layer: {envoy.reloadable_features.http_reject_path_with_fragment: true}}]}\nstatic_resources:\n",
        )],
    ),
    (
        "envoy-grpc-passes",
        "envoy",
        &[(
            "- match: {prefix: \"/\", grpc: {}}",
            "- match: {prefix: \"/\", headers: [{name: content-type, string_match: {prefix: application/grpc}}]}",
        )],
    ),
    (
        "envoy-hidden-headers",
        "envoy-grpc",
        &[(
            MUTATIONS,
            "validate_mutations: true\n                      disallowed_headers: {patterns: [{exact: x-request-id}]}\n",
        )],
    ),
    ("envoy-identity-headers", "envoy", &[("- {exact: x-palisade-principal}\n", "- {prefix: x-palisade-}\n")]),
    (
        "envoy-identity-removed",
        "envoy-grpc",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_remove: [x-debug, x-palisade-debug]",
        )],
    ),
    (
        "envoy-identity-set",
        "envoy-grpc",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-user, value: a}}]",
        )],
    ),
    (
        "envoy-listener-unchecked",
        "envoy",
        &[(
            "  listeners:\n",
            "  listeners:\n    - name: plain\n      filter_chains: [{filters: [{typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, route_config: {virtual_hosts: [{name: a, domains: [\"*\"], routes: [{match: {prefix: /}, redirect: {https_redirect: true}}]}]}, http_filters: [{name: envoy.filters.http.router}]}}]}]\n",
        )],
    ),
    ("envoy-merge-slashes", "envoy", &[("merge_slashes: true", "mergeSlashes: true")]),
    ("envoy-no-check", "envoy", &[("name: envoy.filters.http.ext_authz\n", "name: palisade\n")]),
    ("envoy-normalize-path", "envoy", &[("normalize_path: true", "normalizePath: true")]),
    (
        "envoy-partial-body",
        "envoy",
        &[(
            MUTATIONS,
            "validate_mutations: true\n                      with_request_body: {max_request_bytes: 65536, allow_partial_message: false}\n",
        )],
    ),
    (
        "envoy-path-rewritten",
        "envoy",
        &[(
            ROUTES,
            "                      routes:\n                        - match: {path: /old}\n                          redirect: {path_redirect: /new}\n",
        )],
    ),
    ("envoy-raw-headers", "envoy-grpc", &[("encode_raw_headers: true", "encodeRawHeaders: true")]),
    (
        "envoy-route-unchecked",
        "envoy",
        &[(
            ROUTES,
            "                      routes:\n                        - match: {path: /ping}\n                          direct_response: {status: 200}\n                          typed_per_filter_config: {envoy.filters.http.ext_authz: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}\n",
        )],
    ),
    (
        "envoy-tcp-proxy",
        "envoy",
        &[(
            "  listeners:\n",
            "  listeners:\n    - filter_chains: [{filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, cluster: database}}]}]\n",
        )],
    ),
    ("envoy-timeout", "envoy-grpc", &[("timeout: 0.5s\n", "timeout: 2s\n")]),
    (
        "envoy-trailers",
        "envoy",
        &[(
            "                merge_slashes: true\n",
            "                merge_slashes: true\n                http_protocol_options: {enable_trailers: false}\n",
        )],
    ),
    ("envoy-trusts-everybody", "envoy-grpc", &[("use_remote_address: true\n", "use_remote_address: false\n")]),
    ("envoy-underscores", "envoy", &[("DROP_HEADER", "REJECT_REQUEST")]),
    ("envoy-upgrade", "envoy", &[("upgrade_type: websocket", "upgrade_type: WebSocket")]),
    (
        "envoy-upgrade-filters",
        "envoy",
        &[("{upgrade_type: websocket}", "{upgrade_type: websocket, enabled: true, filters: []}")],
    ),
    ("envoy-validate-mutations", "envoy", &[("validate_mutations: true", "validateMutations: true")]),
    ("envoy-wrong-address", "envoy", &[("uri: \"http://127.0.0.1:8180\"", "uri: \"http://palisade:8180\"")]),
];
