//! Traps of Envoy by which a client chooses where its request leads.

use super::pages::Mutant;

/// Mutations of our pages, as [`super::pages::MUTANTS`].
pub(super) const CHOSEN: &[Mutant] = &[
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [{object_key: envoy.network.transport_socket.original_dst_address, format_string: {text_format_source: {inline_string: \"%REQ(x-dest)%\"}}}]}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [{object_key: envoy.network.transport_socket.original_dst_address, format_string: {text_format_source: {inline_string: \"%REQ(x-dest)%\"}}}]}\n                  - name: envoy.filters.http.router\n",
        "envoy-override-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [{object_key: envoy.upstream.dynamic_host, format_string: {text_format: \"%REQ(:authority)%\"}}]}\n                  - name: envoy.filters.http.router\n",
        "envoy-override-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [{object_key: envoy.upstream.dynamic_port, format_string: {text_format_source: {inline_string: \"%QUERY_PARAM(p)%\"}}}]}\n                  - name: envoy.filters.http.router\n",
        "envoy-override-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [{object_key: envoy.tcp_proxy.cluster, format_string: {text_format_source: {filename: /f}}}]}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-override-set",
    ),
    (
        "envoy",
        "            - name: envoy.filters.network.http_connection_manager\n",
        "            - name: f\n              typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config, on_new_connection: [{object_key: envoy.tcp_proxy.cluster, format_string: {text_format: \"%REQUESTED_SERVER_NAME%\"}}]}\n            - name: envoy.filters.network.http_connection_manager\n",
        "envoy-override-set",
    ),
    (
        "envoy",
        "- name: app\n",
        "- name: app\n      original_dst_lb_config: {metadata_key: {key: a, path: [{key: b}]}}\n",
        "not-checked",
    ),
];
