//! What the service gets behind the check, and the sidecar does not: by formats, captures, variables and removals.

use super::pages::{Mutant, beside, page};
use super::*;

/// Mutations of our pages, as [`pages::MUTANTS`].
pub(super) const BEHIND: &[Mutant] = &[
    // ---- what the sidecar says is not done
    (
        "envoy",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: true}",
        "envoy-identity-headers",
    ),
    (
        "envoy",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_expression: {google_re2: {}, regex: \"x-.*\"}}",
        "envoy-identity-headers",
    ),
    (
        "envoy",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_expression: {regex: \"x-palisade-(principal|token)\"}}",
        "envoy-identity-headers",
    ),
    (
        "envoy",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: true, allow_expression: {regex: \"x-foo\"}}",
        "envoy-identity-headers",
    ),
    (
        "envoy",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: true, allow_expression: {regex: \"x-palisade-principal\"}}",
        "envoy-identity-headers",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%REQUEST_HEADER(x-foo)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%QUERY_PARAM(m)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-original-url, value: \"%QUERY_PARAM(m)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%REQUESTED_SERVER_NAME%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-proto, value: \"%QUERY_PARAM(m)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-proto, value: \"%REQ(x-foo)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-prefix, value: \"/%REQ(x-foo)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-port, value: \"%QUERY_PARAM(p)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-http-method-override, raw_value: REVMRVRF}}]",
        "envoy-override-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {query_parameter_mutations: [{append: {record: {key: device_id, value: \"%REQ(x-d)%\"}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-path-rewritten",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          typed_per_filter_config: {m: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {query_parameter_mutations: [{append: {record: {key: device_id, value: \"%REQ(x-d)%\"}}}]}}}",
        "envoy-path-rewritten",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: \":path\", value: \"%REQ(x-p)%\"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-path-rewritten",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: \":method\", value: \"DELETE\"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-override-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: \":authority\", value: \"%REQ(x-h)%\"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-override-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove: X-Palisade-Principal}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {prefix: x-pal}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {suffix: -token}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {contains: palisade}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {exact: x-palisade-token}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {safe_regex: {regex: \"x-.*\"}}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          typed_per_filter_config: {m: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{remove: x-palisade-token}]}}}",
        "envoy-identity-removed",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_remove: [x-palisade-principal]",
        "envoy-identity-removed",
    ),
    (
        "envoy",
        "domains: [\"*\"]",
        "domains: [\"*\"]\n                      request_headers_to_remove: [a, X-Palisade-Token]",
        "envoy-identity-removed",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app, host_rewrite_path_regex: {pattern: {regex: \"^/(.+)/.+$\"}, substitution: \"\\\\1\"}}",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: true}",
        "envoy-identity-headers",
    ),
    (
        "envoy-grpc",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_expression: {google_re2: {}, regex: \"x-.*\"}}",
        "envoy-identity-headers",
    ),
    (
        "envoy-grpc",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_expression: {regex: \"x-palisade-(principal|token)\"}}",
        "envoy-identity-headers",
    ),
    (
        "envoy-grpc",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: true, allow_expression: {regex: \"x-foo\"}}",
        "envoy-identity-headers",
    ),
    (
        "envoy-grpc",
        "failure_mode_allow: false",
        "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: true, allow_expression: {regex: \"x-palisade-principal\"}}",
        "envoy-identity-headers",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%REQUEST_HEADER(x-foo)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%QUERY_PARAM(m)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-original-url, value: \"%QUERY_PARAM(m)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%REQUESTED_SERVER_NAME%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-proto, value: \"%QUERY_PARAM(m)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-proto, value: \"%REQ(x-foo)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-prefix, value: \"/%REQ(x-foo)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-port, value: \"%QUERY_PARAM(p)%\"}}]",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-http-method-override, raw_value: REVMRVRF}}]",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {query_parameter_mutations: [{append: {record: {key: device_id, value: \"%REQ(x-d)%\"}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-path-rewritten",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          typed_per_filter_config: {m: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {query_parameter_mutations: [{append: {record: {key: device_id, value: \"%REQ(x-d)%\"}}}]}}}",
        "envoy-path-rewritten",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: \":path\", value: \"%REQ(x-p)%\"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-path-rewritten",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: \":method\", value: \"DELETE\"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: \":authority\", value: \"%REQ(x-h)%\"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove: X-Palisade-Principal}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {prefix: x-pal}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {suffix: -token}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {contains: palisade}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {exact: x-palisade-token}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove_on_match: {key_matcher: {safe_regex: {regex: \"x-.*\"}}}}]}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-removed",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          typed_per_filter_config: {m: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{remove: x-palisade-token}]}}}",
        "envoy-identity-removed",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_remove: [x-palisade-principal]",
        "envoy-identity-removed",
    ),
    (
        "envoy-grpc",
        "domains: [\"*\"]",
        "domains: [\"*\"]\n                      request_headers_to_remove: [a, X-Palisade-Token]",
        "envoy-identity-removed",
    ),
    (
        "envoy-grpc",
        "route: {cluster: app}",
        "route: {cluster: app, host_rewrite_path_regex: {pattern: {regex: \"^/(.+)/.+$\"}, substitution: \"\\\\1\"}}",
        "envoy-override-set",
    ),
    (
        "envoy",
        "path_prefix: /gateway/envoy\n",
        "path_prefix: /gateway/envoy\n                        authorization_request: {headers_to_add: [{key: host, value: app.test}]}\n",
        "envoy-check-told",
    ),
    // ---- a host that the client wrote
    (
        "nginx",
        "proxy_set_header X-Forwarded-Host $host;",
        "proxy_set_header X-Forwarded-Host $http_host;",
        "nginx-override-set",
    ),
    (
        "nginx",
        "proxy_set_header X-Forwarded-Host $host;",
        "set $h $http_host; proxy_set_header X-Forwarded-Host $h;",
        "nginx-override-set",
    ),
    ("nginx", "proxy_pass http://service;", "proxy_pass http://$http_host$request_uri;", "nginx-host-changed"),
    (
        "nginx",
        "proxy_pass http://service;",
        "set $up $http_host; proxy_pass http://$up$request_uri;",
        "nginx-host-changed",
    ),
    ("nginx", "proxy_set_header Host $host;", "set $h $http_host; proxy_set_header Host $h;", "nginx-host-changed"),
    (
        "nginx",
        "    map $http_upgrade $service_upgrade {",
        "    map $http_host $h { default $http_host; }\n    server { location / { proxy_set_header Host $h; proxy_pass http://service; auth_request /_palisade; } }\n    map $http_upgrade $service_upgrade {",
        "nginx-host-changed",
    ),
    (
        "nginx",
        "    map $http_upgrade $service_upgrade {",
        "    map $http_host $h { ~^(.+)$ $1; }\n    server { location / { proxy_set_header Host $h; proxy_pass http://service; auth_request /_palisade; } }\n    map $http_upgrade $service_upgrade {",
        "nginx-host-changed",
    ),
    ("nginx", "proxy_pass http://service;", "fastcgi_pass service;", "nginx-host-changed"),
    (
        "nginx",
        "proxy_pass http://service;",
        "fastcgi_param HTTP_HOST $http_host; fastcgi_pass service;",
        "nginx-host-changed",
    ),
    (
        "nginx",
        "proxy_pass http://service;",
        "uwsgi_param HTTP_HOST $host; uwsgi_param REQUEST_URI $arg_u; uwsgi_pass service;",
        "nginx-override-set",
    ),
    (
        "nginx",
        "proxy_pass http://service;",
        "scgi_param HTTP_HOST $host; scgi_param SERVER_NAME $http_host; scgi_pass service;",
        "nginx-override-set",
    ),
    (
        "nginx",
        "proxy_pass http://service;",
        "fastcgi_param HTTP_HOST $host; fastcgi_param REQUEST_METHOD POST; fastcgi_pass service;",
        "nginx-method-changed",
    ),
    // ---- what patterns take from the client
    (
        "nginx",
        "proxy_pass http://service;",
        "if ($http_x_b) { set $b $http_x_b; } proxy_pass http://$b;",
        "nginx-host-changed",
    ),
    (
        "nginx",
        "proxy_pass http://service;",
        "if ($http_x_b ~ (.+)) { set $b $1; } proxy_pass http://$b;",
        "nginx-host-changed",
    ),
    (
        "nginx",
        "proxy_pass http://service;",
        "if ($http_x_b ~* \"^(?<b>.+)$\") { set $c 1; } proxy_pass http://$b;",
        "nginx-host-changed",
    ),
    (
        "nginx",
        "    map $http_upgrade $service_upgrade {",
        "    map $http_x_b $y { \"~(?<b>.+)\" 1; }\n    server { location / { proxy_pass http://$b; auth_request /_palisade; } }\n    map $http_upgrade $service_upgrade {",
        "nginx-host-changed",
    ),
    ("nginx", "proxy_pass http://service;", "proxy_pass https://$ssl_server_name;", "nginx-host-changed"),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {header.X-B} {be} {\n\t\t\tdefault 127.0.0.1:9000\n\t\t\t~(.*) ${1}\n\t\t}\n\t\treverse_proxy {be} {",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {header.X-B} {be} {\n\t\t\tdefault 127.0.0.1:9000\n\t\t\t~(.*) ${1}\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {be}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {http.request.header.X-B} {be} {\n\t\t\t~(.+) ${1}\n\t\t}\n\t\treverse_proxy {be} {",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {http.request.header.X-B} {be} {\n\t\t\t~(.+) ${1}\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {be}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {query.b} {be} {\n\t\t\t~^(?P<x>.+)$ ${x}\n\t\t}\n\t\treverse_proxy {be} {",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {query.b} {be} {\n\t\t\t~^(?P<x>.+)$ ${x}\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {be}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {path} {be} {\n\t\t\tdefault {header.X-B}\n\t\t}\n\t\treverse_proxy {be} {",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {path} {be} {\n\t\t\tdefault {header.X-B}\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {be}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {header.X-B} {a} {\n\t\t\t~(.+) ${1}\n\t\t}\n\t\tvars b {a}\n\t\tmap {vars.b} {be} {\n\t\t\t~(.+) ${1}\n\t\t}\n\t\treverse_proxy {be} {",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tmap {header.X-B} {a} {\n\t\t\t~(.+) ${1}\n\t\t}\n\t\tvars b {a}\n\t\tmap {vars.b} {be} {\n\t\t\t~(.+) ${1}\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {be}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\t@b header_regexp b X-B (.+)\n\t\treverse_proxy {re.b.1} {",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\t@b {\n\t\t\theader_regexp X-B (.+)\n\t\t}\n\t\treverse_proxy {http.regexp.b.1} {",
        "caddy-override-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header Host %[req.hdr(x-h),map_regm(/h.map,a.test)]\n",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header Host %[req.hdr(x-a),map(/h.map)].%[req.hdr(x-b)]\n",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header Host %[req.hdr(host-override)]\n",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "    default_backend app",
        "    use_backend %[ssl_fc_sni]\n    default_backend app",
        "haproxy-override-set",
    ),
    (
        "apache",
        "    ProxyPass",
        "    RewriteCond %{HTTP:X-B} (.+)\n    RewriteRule ^/(.*) http://%1/$1 [P]\n    ProxyPass",
        "apache-host-changed",
    ),
    (
        "apache",
        "    ProxyPass",
        "    SetEnvIf X-B (.+) BE=$1\n    RewriteRule ^/(.*) http://%{ENV:BE}/$1 [P]\n    ProxyPass",
        "apache-host-changed",
    ),
    (
        "apache",
        "    ProxyPass",
        "    RewriteRule ^ - [E=BE:%{HTTP:X-B}]\n    RewriteRule ^/(.*) http://%{ENV:BE}/$1 [P]\n    ProxyPass",
        "apache-host-changed",
    ),
    // ---- a query that is written again
    (
        "nginx",
        "auth_request /_palisade;",
        "auth_request /_palisade; set $args \"$args&device_id=$http_x_dev\";",
        "nginx-path-rewritten",
    ),
    ("nginx", "auth_request /_palisade;", "auth_request /_palisade; set $args \"\";", "nginx-path-rewritten"),
    (
        "nginx",
        "auth_request /_palisade;",
        "auth_request /_palisade; auth_request_set $args $upstream_http_x_args;",
        "nginx-path-rewritten",
    ),
    (
        "nginx",
        "listen 127.0.0.1:8080;",
        "listen 127.0.0.1:8080; if ($http_x_dev) { set $args \"device_id=$http_x_dev\"; }",
        "nginx-path-rewritten",
    ),
    // ---- of which services put a URL together
    (
        "nginx",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header X-Forwarded-Proto $arg_p;",
        "nginx-override-set",
    ),
    (
        "nginx",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "set $p $http_x_p; proxy_set_header X-Forwarded-Proto $p;",
        "nginx-override-set",
    ),
    (
        "nginx",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header X-Forwarded-Port $http_x_forwarded_proto;",
        "nginx-override-set",
    ),
    (
        "nginx",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header X-Forwarded-Prefix $cookie_p;",
        "nginx-override-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header x-forwarded-proto %[req.hdr(x-p)]\n",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header x-forwarded-prefix %[url_param(p)]\n",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header x-forwarded-proto %[query]\n",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-var(txn.p) req.cook(p)\n    http-request set-header X-Scheme %[var(txn.p)]\n",
        "haproxy-override-set",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up X-Forwarded-Proto {query.p}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up X-Forwarded-Proto {header.X-P}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up X-Forwarded-Proto {header.X-Forwarded-Proto}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up X-Forwarded-Prefix {http.request.cookie.p}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\trequest_header X-Forwarded-Prefix {query}\n\t\treverse_proxy 127.0.0.1:9000 {",
        "caddy-override-set",
    ),
    (
        "apache",
        "    ProxyPass",
        "    RequestHeader set X-Forwarded-Proto \"expr=%{QUERY_STRING}\"\n    ProxyPass",
        "apache-override-set",
    ),
    (
        "apache",
        "    ProxyPass",
        "    RequestHeader set X-Forwarded-Proto \"expr=%{req:X-P}\"\n    ProxyPass",
        "apache-override-set",
    ),
    (
        "apache",
        "    ProxyPass",
        "    SetEnvIf X-P (.+) P=$1\n    RequestHeader set X-Forwarded-Prefix \"%{P}e\"\n    ProxyPass",
        "apache-override-set",
    ),
    // ---- a host that is fixed for the sidecar alone
    (
        "nginx",
        "proxy_set_header X-Original-Host   $host;",
        "proxy_set_header X-Original-Host $server_name;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "proxy_set_header X-Original-Host   $host;",
        "proxy_set_header X-Original-Host app.test;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "proxy_set_header X-Original-Host   $host;",
        "set $hh app.test; proxy_set_header X-Original-Host $hh;",
        "nginx-check-told",
    ),
    // ---- what the sidecar says is taken away
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request del-header X-Palisade-Principal\n",
        "haproxy-identity-removed",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request del-header x-palisade -m beg\n",
        "haproxy-identity-removed",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request del-header -token -m end\n",
        "haproxy-identity-removed",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request del-header palisade -m sub\n",
        "haproxy-identity-removed",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request del-header ^x-pal.* -m reg\n",
        "haproxy-identity-removed",
    ),
    (
        "haproxy",
        "    default_backend app",
        "    http-request del-header X-Palisade-Token if { path /x }\n    default_backend app",
        "haproxy-identity-removed",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up -X-*",
        "caddy-identity-removed",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up -*",
        "caddy-identity-removed",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up -x-palisade-*",
        "caddy-identity-removed",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up -*-Token",
        "caddy-identity-removed",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\trequest_header -X-*\n\t\treverse_proxy 127.0.0.1:9000 {",
        "caddy-identity-removed",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\trequest_header * a root\n\t\treverse_proxy 127.0.0.1:9000 {",
        "caddy-identity-set",
    ),
    (
        "haproxy",
        "    http-request deny deny_status 503",
        "    http-request set-var-fmt(txn.palisade_allowed) 1 if { req.hdr(x-in) -m found }\n    http-request deny deny_status 503",
        "haproxy-answer-ignored",
    ),
    (
        "haproxy",
        "    http-request deny deny_status 503",
        "    http-request set-var(txn.palisade_allowed,ifnotexists) bool(true) if { req.hdr(x-in) -m found }\n    http-request deny deny_status 503",
        "haproxy-answer-ignored",
    ),
];

/// A page, and what of it is replaced by what.
type Change = (&'static str, &'static [(&'static str, &'static str)]);

/// What is ordinary, and no finding.
const ORDINARY: &[Change] = &[
    (
        "envoy",
        &[(
            "failure_mode_allow: false",
            "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: true, allow_expression: {regex: \"x-palisade-.*\"}}",
        )],
    ),
    (
        "envoy",
        &[(
            "failure_mode_allow: false",
            "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_expression: {regex: \"x-internal-.*\"}}",
        )],
    ),
    (
        "envoy",
        &[(
            "failure_mode_allow: false",
            "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: false}",
        )],
    ),
    (
        "envoy",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%REQ(:AUTHORITY)%\"}}]",
        )],
    ),
    (
        "envoy",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-original-url, value: \"%REQ(:PATH)%\"}}]",
        )],
    ),
    (
        "envoy",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-proto, value: \"%REQ(x-forwarded-proto)%\"}}]",
        )],
    ),
    (
        "envoy",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-prefix, value: \"/api\"}}]",
        )],
    ),
    (
        "envoy",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-user, value: \"%REQ(x-foo)%\"}}]",
        )],
    ),
    (
        "envoy",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-port, value: \"%DOWNSTREAM_LOCAL_PORT%\"}}]",
        )],
    ),
    (
        "envoy",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_remove: [x_palisade_principal, x-debug]",
        )],
    ),
    (
        "envoy",
        &[(
            "                  - name: envoy.filters.http.ext_authz\n",
            "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove: x-palisade-principal}, {remove_on_match: {key_matcher: {prefix: x-pal}}}], query_parameter_mutations: [{append: {record: {key: device_id, value: \"%REQ(x-d)%\"}}}]}}\n                  - name: envoy.filters.http.ext_authz\n",
        )],
    ),
    (
        "envoy",
        &[
            (
                "                  - name: envoy.filters.http.ext_authz\n",
                "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: []}}\n                  - name: envoy.filters.http.ext_authz\n",
            ),
            (
                "route: {cluster: app}",
                "route: {cluster: app}\n                          typed_per_filter_config: {m: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{remove: x-palisade-token}]}}}",
            ),
        ],
    ),
    (
        "envoy-grpc",
        &[(
            "failure_mode_allow: false",
            "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: true, allow_expression: {regex: \"x-palisade-.*\"}}",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "failure_mode_allow: false",
            "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_expression: {regex: \"x-internal-.*\"}}",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "failure_mode_allow: false",
            "failure_mode_allow: false\n                      decoder_header_mutation_rules: {disallow_all: false}",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-host, value: \"%REQ(:AUTHORITY)%\"}}]",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-original-url, value: \"%REQ(:PATH)%\"}}]",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-proto, value: \"%REQ(x-forwarded-proto)%\"}}]",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-prefix, value: \"/api\"}}]",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-user, value: \"%REQ(x-foo)%\"}}]",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-port, value: \"%DOWNSTREAM_LOCAL_PORT%\"}}]",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "route: {cluster: app}",
            "route: {cluster: app}\n                          request_headers_to_remove: [x_palisade_principal, x-debug]",
        )],
    ),
    (
        "envoy-grpc",
        &[(
            "                  - name: envoy.filters.http.ext_authz\n",
            "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{remove: x-palisade-principal}, {remove_on_match: {key_matcher: {prefix: x-pal}}}], query_parameter_mutations: [{append: {record: {key: device_id, value: \"%REQ(x-d)%\"}}}]}}\n                  - name: envoy.filters.http.ext_authz\n",
        )],
    ),
    (
        "envoy-grpc",
        &[
            (
                "                  - name: envoy.filters.http.ext_authz\n",
                "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: []}}\n                  - name: envoy.filters.http.ext_authz\n",
            ),
            (
                "route: {cluster: app}",
                "route: {cluster: app}\n                          typed_per_filter_config: {m: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {request_mutations: [{remove: x-palisade-token}]}}}",
            ),
        ],
    ),
    (
        "nginx",
        &[(
            "proxy_set_header X-Forwarded-Proto $scheme;",
            "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;",
        )],
    ),
    ("nginx", &[("proxy_set_header X-Forwarded-Proto $scheme;", "proxy_set_header X-Forwarded-Proto $http_x_scheme;")]),
    (
        "nginx",
        &[(
            "proxy_set_header X-Forwarded-Proto $scheme;",
            "set $p $scheme; if ($http_x_forwarded_proto) { set $p $http_x_forwarded_proto; } proxy_set_header X-Forwarded-Proto $p;",
        )],
    ),
    (
        "nginx",
        &[
            (
                "    map $http_upgrade $service_upgrade {",
                "    map $http_x_forwarded_proto $p { default $http_x_forwarded_proto; \"\" $scheme; }\n    map $http_upgrade $service_upgrade {",
            ),
            ("proxy_set_header X-Forwarded-Proto $scheme;", "proxy_set_header X-Forwarded-Proto $p;"),
        ],
    ),
    (
        "nginx",
        &[(
            "proxy_set_header X-Forwarded-Proto $scheme;",
            "proxy_set_header X-Forwarded-Prefix /api; proxy_set_header X-Forwarded-Port $server_port;",
        )],
    ),
    ("nginx", &[("proxy_set_header X-Forwarded-Host $host;", "proxy_set_header X-Forwarded-Host $host;")]),
    (
        "nginx",
        &[
            ("proxy_set_header X-Original-Host   $host;", "proxy_set_header X-Original-Host app.test;"),
            ("proxy_set_header Host $host;", "proxy_set_header Host app.test;"),
            ("proxy_set_header X-Forwarded-Host $host;", "proxy_set_header X-Forwarded-Host app.test;"),
        ],
    ),
    (
        "nginx",
        &[
            ("    server {\n", "    server { listen 127.0.0.1:8080 default_server; return 444; }\n    server {\n"),
            ("        listen 127.0.0.1:8080;", "        listen 127.0.0.1:8080; server_name gw.test;"),
            ("proxy_set_header X-Original-Host   $host;", "proxy_set_header X-Original-Host $server_name;"),
        ],
    ),
    (
        "nginx",
        &[
            ("    server {\n", "    server { listen 127.0.0.1:8080 default_server; return 444; }\n    server {\n"),
            ("        listen 127.0.0.1:8080;", "        listen 127.0.0.1:8080; server_name gw.test;"),
            ("proxy_set_header X-Original-Host   $host;", "proxy_set_header X-Original-Host gw.test;"),
        ],
    ),
    (
        "nginx",
        &[(
            "listen 127.0.0.1:8080;",
            "listen 127.0.0.1:8080; if ($arg_old) { set $args \"\"; rewrite ^ /new permanent; }",
        )],
    ),
    (
        "nginx",
        &[("listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; if ($arg_old) { set $args \"\"; return 301 /new; }")],
    ),
    (
        "nginx",
        &[("proxy_pass http://service;", "set $up service; if ($arg_x) { set $up service2; } proxy_pass http://$up;")],
    ),
    (
        "nginx",
        &[(
            "proxy_pass http://service;",
            "if ($request_method ~ ^(GET)$) { set $b $1; } proxy_set_header X-M $b; proxy_pass http://service;",
        )],
    ),
    (
        "caddy",
        &[(
            "\t\treverse_proxy 127.0.0.1:9000 {",
            "\t\tmap {header.X-B} {be} {\n\t\t\ta 127.0.0.1:9001\n\t\t\t~^b 127.0.0.1:9002\n\t\t\tdefault 127.0.0.1:9000\n\t\t}\n\t\treverse_proxy {be} {",
        )],
    ),
    (
        "caddy",
        &[(
            "\t\treverse_proxy 127.0.0.1:9000 {",
            "\t\tmap {host} {be} {\n\t\t\t~^(.+)\\.test$ ${1}:80\n\t\t}\n\t\treverse_proxy {be} {",
        )],
    ),
    (
        "caddy",
        &[(
            "reverse_proxy 127.0.0.1:9000 {",
            "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up X-Forwarded-Prefix /api\n\t\t\theader_up X-Forwarded-Port {http.request.header.X-Forwarded-Port}\n\t\t\theader_up -X-Debug*",
        )],
    ),
    (
        "haproxy",
        &[(
            "\nbackend app\n",
            "\nbackend app\n    http-request set-header x-forwarded-proto %[req.hdr(x-forwarded-proto)]\n",
        )],
    ),
    (
        "haproxy",
        &[(
            "\nbackend app\n",
            "\nbackend app\n    http-request set-var(txn.p) req.hdr(x-forwarded-proto)\n    http-request set-header x-forwarded-proto %[var(txn.p)]\n",
        )],
    ),
    ("haproxy", &[("\nbackend app\n", "\nbackend app\n    http-request set-header x-forwarded-port %[dst_port]\n")]),
    (
        "haproxy",
        &[(
            "\nbackend app\n",
            "\nbackend app\n    http-request del-header x-debug -m beg\n    http-request del-header ^x-internal -m reg\n    http-request del-header server\n",
        )],
    ),
    (
        "haproxy",
        &[(
            "    http-request lua.palisade",
            "    http-request del-header X-Palisade-Principal\n    http-request set-var-fmt(txn.palisade_allowed) 0\n    http-request lua.palisade",
        )],
    ),
    (
        "apache",
        &[("    ProxyPass", "    RequestHeader set X-Forwarded-Proto \"expr=%{REQUEST_SCHEME}\"\n    ProxyPass")],
    ),
    (
        "apache",
        &[(
            "    ProxyPass",
            "    RequestHeader set X-Forwarded-Proto \"expr=%{req:X-Forwarded-Proto}\"\n    ProxyPass",
        )],
    ),
    (
        "apache",
        &[(
            "    ProxyPass",
            "    SetEnvIf X-Forwarded-Proto (https?) P=$1\n    RequestHeader set X-Forwarded-Proto \"%{P}e\"\n    ProxyPass",
        )],
    ),
    ("apache", &[("    ProxyPass", "    RewriteCond %{HTTP:X-B} (.+)\n    RewriteRule ^/x - [F]\n    ProxyPass")]),
];

#[test]
fn what_the_sidecar_sees_too_has_no_finding() {
    let mut wrong = Vec::new();
    for (name, changes) in ORDINARY {
        let (gateway, mut sources) = page(name);
        for (from, to) in *changes {
            assert!(sources.iter().any(|(_, text)| text.contains(from)), "{name} has no {from:?} any more");
            for (_, text) in &mut sources {
                *text = text.replacen(from, to, 1);
            }
        }
        let found = lint(gateway, &sources, &beside);
        if !found.is_empty() {
            wrong.push(format!("{name}: {changes:?}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
