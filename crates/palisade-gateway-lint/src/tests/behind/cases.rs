//! The cases.

use super::Group;

/// What is found.
pub(super) const FOUND: &[Group] = &[
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "failure_mode_allow: false",
        to: "failure_mode_allow: false\n                      decoder_header_mutation_rules: {<>}",
        rule: "envoy-identity-headers",
        cases: &[
            "disallow_all: true",
            r#"disallow_expression: {google_re2: {}, regex: "x-.*"}"#,
            r#"disallow_expression: {regex: "x-palisade-(principal|token)"}"#,
            r#"disallow_all: true, allow_expression: {regex: "x-foo"}"#,
            r#"disallow_all: true, allow_expression: {regex: "x-palisade-principal"}"#,
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "route: {cluster: app}",
        to: "route: {cluster: app}\n                          request_headers_to_add: [{header: {<>}}]",
        rule: "envoy-override-set",
        cases: &[
            r#"key: x-forwarded-host, value: "%REQUEST_HEADER(x-foo)%""#,
            r#"key: x-forwarded-host, value: "%QUERY_PARAM(m)%""#,
            r#"key: x-original-url, value: "%QUERY_PARAM(m)%""#,
            r#"key: x-forwarded-host, value: "%REQUESTED_SERVER_NAME%""#,
            r#"key: x-forwarded-proto, value: "%QUERY_PARAM(m)%""#,
            r#"key: x-forwarded-proto, value: "%REQ(x-foo)%""#,
            r#"key: x-forwarded-prefix, value: "/%REQ(x-foo)%""#,
            r#"key: x-forwarded-port, value: "%QUERY_PARAM(p)%""#,
            "key: x-http-method-override, raw_value: REVMRVRF",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "                  - name: envoy.filters.http.router\n",
        to: "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {<>}}\n                  - name: envoy.filters.http.router\n",
        rule: "envoy-path-rewritten",
        cases: &[
            r#"query_parameter_mutations: [{append: {record: {key: id, value: "%REQ(x-d)%"}}}]"#,
            r#"request_mutations: [{append: {header: {key: ":path", value: "%REQ(x-p)%"}}}]"#,
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "                  - name: envoy.filters.http.router\n",
        to: "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {<>}}\n                  - name: envoy.filters.http.router\n",
        rule: "envoy-override-set",
        cases: &[
            r#"request_mutations: [{append: {header: {key: ":method", value: "DELETE"}}}]"#,
            r#"request_mutations: [{append: {header: {key: ":authority", value: "%REQ(x-h)%"}}}]"#,
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "                  - name: envoy.filters.http.router\n",
        to: "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {<>}}\n                  - name: envoy.filters.http.router\n",
        rule: "envoy-identity-removed",
        cases: &[
            "request_mutations: [{remove: X-Palisade-Principal}]",
            "request_mutations: [{remove_on_match: {key_matcher: {prefix: x-pal}}}]",
            "request_mutations: [{remove_on_match: {key_matcher: {suffix: -token}}}]",
            "request_mutations: [{remove_on_match: {key_matcher: {contains: palisade}}}]",
            "request_mutations: [{remove_on_match: {key_matcher: {exact: x-palisade-token}}}]",
            r#"request_mutations: [{remove_on_match: {key_matcher: {safe_regex: {regex: "x-.*"}}}}]"#,
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "route: {cluster: app}",
        to: "route: {cluster: app}\n                          typed_per_filter_config: {m: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {<>}}}",
        rule: "envoy-path-rewritten",
        cases: &[
            r#"query_parameter_mutations: [{append: {record: {key: id, value: "%REQ(x-d)%"}}}]"#,
            r#"request_mutations: [{append: {header: {key: ":path", value: "%REQ(x-p)%"}}}]"#,
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "route: {cluster: app}",
        to: "route: {cluster: app}\n                          typed_per_filter_config: {m: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {<>}}}",
        rule: "envoy-override-set",
        cases: &[
            r#"request_mutations: [{append: {header: {key: ":method", value: "DELETE"}}}]"#,
            r#"request_mutations: [{append: {header: {key: ":authority", value: "%REQ(x-h)%"}}}]"#,
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "route: {cluster: app}",
        to: "route: {cluster: app}\n                          typed_per_filter_config: {m: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute, mutations: {<>}}}",
        rule: "envoy-identity-removed",
        cases: &[
            "request_mutations: [{remove: X-Palisade-Principal}]",
            "request_mutations: [{remove_on_match: {key_matcher: {prefix: x-pal}}}]",
            "request_mutations: [{remove_on_match: {key_matcher: {suffix: -token}}}]",
            "request_mutations: [{remove_on_match: {key_matcher: {contains: palisade}}}]",
            "request_mutations: [{remove_on_match: {key_matcher: {exact: x-palisade-token}}}]",
            r#"request_mutations: [{remove_on_match: {key_matcher: {safe_regex: {regex: "x-.*"}}}}]"#,
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "route: {cluster: app}",
        to: "route: {cluster: app}\n                          request_headers_to_remove: [<>]",
        rule: "envoy-identity-removed",
        cases: &["x-palisade-principal", "a, X-Palisade-Token"],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: r#"domains: ["*"]"#,
        to: "domains: [\"*\"]\n                      request_headers_to_remove: [<>]",
        rule: "envoy-identity-removed",
        cases: &["x-palisade-auth-method"],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "route: {cluster: app}",
        to: "route: {cluster: app, <>}",
        rule: "envoy-override-set",
        cases: &[r#"host_rewrite_path_regex: {pattern: {regex: "^/(.+)/.+$"}, substitution: a}"#],
    },
    Group {
        pages: &["envoy"],
        from: "path_prefix: /gateway/envoy\n",
        to: "path_prefix: /gateway/envoy\n                        authorization_request: {headers_to_add: [{<>}]}\n",
        rule: "envoy-check-told",
        cases: &["key: host, value: app.test", r#"key: ":path", value: /open"#],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "proxy_pass_request_headers off; <> proxy_pass http://service;",
        rule: "nginx-identity-set",
        cases: &["proxy_set_header X-Palisade-Token $http_x_t;"],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_set_header X-Forwarded-Host $host;",
        to: "<>",
        rule: "nginx-override-set",
        cases: &[
            "proxy_set_header X-Forwarded-Host $http_host;",
            "set $h $http_host; proxy_set_header X-Forwarded-Host $h;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<>",
        rule: "nginx-host-changed",
        cases: &[
            "proxy_pass http://$http_host$request_uri;",
            "set $up $http_host; proxy_pass http://$up$request_uri;",
            "fastcgi_pass service;",
            "fastcgi_param HTTP_HOST $http_host; fastcgi_pass service;",
            "grpc_set_header Host $http_host; grpc_pass service;",
            "if ($http_x_b) { set $b $http_x_b; } proxy_pass http://$b;",
            "if ($http_x_b ~ (.+)) { set $b $1; } proxy_pass http://$b;",
            r#"if ($http_x_b ~* "^(?<b>.+)$") { set $c 1; } proxy_pass http://$b;"#,
            "proxy_pass https://$ssl_server_name;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_set_header Host $host;",
        to: "<>",
        rule: "nginx-host-changed",
        cases: &["set $h $http_host; proxy_set_header Host $h;"],
    },
    Group {
        pages: &["nginx"],
        from: "    map $http_upgrade $service_upgrade {",
        to: "    map <> }\n    server { location / { proxy_set_header Host $h; proxy_pass http://service; auth_request /_palisade; } }\n    map $http_upgrade $service_upgrade {",
        rule: "nginx-host-changed",
        cases: &[
            "$http_host $h { default $http_host;",
            "$http_host $h { ~^(.+)$ $1;",
            r#"$http_x_h $y { "~(?<h>.+)" 1;"#,
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "fastcgi_param HTTP_HOST $host; <> fastcgi_pass service;",
        rule: "nginx-override-set",
        cases: &["fastcgi_param REQUEST_URI $arg_u;", "fastcgi_param SERVER_NAME $http_host;"],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "fastcgi_param HTTP_HOST $host; <> fastcgi_pass service;",
        rule: "nginx-method-changed",
        cases: &["fastcgi_param REQUEST_METHOD POST;", "fastcgi_param REQUEST_METHOD $http_x_m;"],
    },
    Group {
        pages: &["nginx"],
        from: "auth_request /_palisade;",
        to: "auth_request /_palisade; <>",
        rule: "nginx-path-rewritten",
        cases: &[
            r#"set $args "$args&id=$http_x_dev";"#,
            r#"set $args "";"#,
            "auth_request_set $args $upstream_http_x_args;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "listen 127.0.0.1:8080;",
        to: "listen 127.0.0.1:8080; <>",
        rule: "nginx-path-rewritten",
        cases: &[r#"if ($http_x_dev) { set $args "id=$http_x_dev"; }"#],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_set_header X-Forwarded-Proto $scheme;",
        to: "<>",
        rule: "nginx-override-set",
        cases: &[
            "proxy_set_header X-Forwarded-Proto $arg_p;",
            "set $p $http_x_p; proxy_set_header X-Forwarded-Proto $p;",
            "proxy_set_header X-Forwarded-Port $http_x_forwarded_proto;",
            "proxy_set_header X-Forwarded-Prefix $cookie_p;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "internal;",
        to: "internal; <>",
        rule: "nginx-check-headers",
        cases: &["proxy_set_header X-Forwarded-Port 443;", r#"proxy_set_header X-Scheme "";"#],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_set_header X-Original-Host   $host;",
        to: "<>",
        rule: "nginx-check-told",
        cases: &[
            "proxy_set_header X-Original-Host $server_name;",
            "proxy_set_header X-Original-Host app.test;",
            "set $hh app.test; proxy_set_header X-Original-Host $hh;",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\t<>\n\t\treverse_proxy {be} {",
        rule: "caddy-override-set",
        cases: &[
            "map {header.X-B} {be} {\n~(.*) ${1}\ndefault 127.0.0.1:9000\n}",
            "map {query.b} {be} {\n~^(?P<x>.+)$ ${x}\n}",
            "map {path} {be} {\ndefault {header.X-B}\n}",
            "map {header.X-B} {a} {\n~(.+) ${1}\n}\nvars b {a}\nmap {vars.b} {be} {\n~(.+) ${1}\n}",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\t<>\n\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {be}",
        rule: "caddy-override-set",
        cases: &[
            "map {header.X-B} {be} {\n~(.*) ${1}\ndefault 127.0.0.1:9000\n}",
            "map {query.b} {be} {\n~^(?P<x>.+)$ ${x}\n}",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\t@b <>\n\t\treverse_proxy {re.b.1} {",
        rule: "caddy-override-set",
        cases: &["header_regexp b X-B (.+)", "{\nheader_regexp X-B (.+)\n}"],
    },
    Group {
        pages: &["caddy"],
        from: "reverse_proxy 127.0.0.1:9000 {",
        to: "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up <>",
        rule: "caddy-override-set",
        cases: &[
            "X-Forwarded-Proto {query.p}",
            "X-Forwarded-Proto {header.X-P}",
            "X-Forwarded-Proto {header.X-Forwarded-Proto}",
            "X-Forwarded-Prefix {http.request.cookie.p}",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "reverse_proxy 127.0.0.1:9000 {",
        to: "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up <>",
        rule: "caddy-identity-removed",
        cases: &["-X-*", "-*", "-x-palisade-*", "-*-Token"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\trequest_header <>\n\t\treverse_proxy 127.0.0.1:9000 {",
        rule: "caddy-identity-removed",
        cases: &["-X-*"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\trequest_header <>\n\t\treverse_proxy 127.0.0.1:9000 {",
        rule: "caddy-identity-set",
        cases: &["* * a root"],
    },
    Group {
        pages: &["caddy"],
        from: "reverse_proxy 127.0.0.1:9000 {",
        to: "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up <>",
        rule: "caddy-identity-set",
        cases: &["* a root"],
    },
    Group {
        pages: &["haproxy"],
        from: "\nbackend app\n",
        to: "\nbackend app\n    http-request <>\n",
        rule: "haproxy-override-set",
        cases: &[
            "set-header Host %[req.hdr(x-h),map_regm(/h.map,a.test)]",
            "set-header Host %[req.hdr(x-a),map(/h.map)].%[req.hdr(x-b)]",
            "set-header Host %[req.hdr(host-override)]",
            "set-header x-forwarded-proto %[req.hdr(x-p)]",
            "set-header x-forwarded-prefix %[url_param(p)]",
            "set-header x-forwarded-proto %[query]",
            "set-var(txn.p) req.cook(p)\n    http-request set-header X-Scheme %[var(txn.p)]",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "\nbackend app\n",
        to: "\nbackend app\n    http-request <>\n",
        rule: "haproxy-identity-removed",
        cases: &[
            "del-header X-Palisade-Principal",
            "del-header x-palisade -m beg",
            "del-header -token -m end",
            "del-header palisade -m sub",
            "del-header ^x-pal.* -m reg",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "    default_backend app",
        to: "    <>\n    default_backend app",
        rule: "haproxy-override-set",
        cases: &["use_backend %[ssl_fc_sni]"],
    },
    Group {
        pages: &["haproxy"],
        from: "    default_backend app",
        to: "    <>\n    default_backend app",
        rule: "haproxy-identity-removed",
        cases: &["http-request del-header X-Palisade-Token if { path /x }"],
    },
    Group {
        pages: &["haproxy"],
        from: "    http-request deny deny_status 503",
        to: "    http-request <> if { req.hdr(x-in) -m found }\n    http-request deny deny_status 503",
        rule: "haproxy-answer-ignored",
        cases: &["set-var-fmt(txn.palisade_allowed) 1", "set-var(txn.palisade_allowed,ifnotexists) bool(true)"],
    },
    Group {
        pages: &["apache"],
        from: "    ProxyPass",
        to: "    <>\n    ProxyPass",
        rule: "apache-host-changed",
        cases: &[
            "RewriteCond %{HTTP:X-B} (.+)\n    RewriteRule ^/(.*) http://%1/$1 [P]",
            "SetEnvIf X-B (.+) BE=$1\n    RewriteRule ^/(.*) http://%{ENV:BE}/$1 [P]",
            "RewriteRule ^ - [E=BE:%{HTTP:X-B}]\n    RewriteRule ^/(.*) http://%{ENV:BE}/$1 [P]",
        ],
    },
    Group {
        pages: &["apache"],
        from: "    ProxyPass",
        to: "    <>\n    ProxyPass",
        rule: "apache-override-set",
        cases: &[
            r#"RequestHeader set X-Forwarded-Proto "expr=%{QUERY_STRING}""#,
            r#"RequestHeader set X-Forwarded-Proto "expr=%{req:X-P}""#,
            "SetEnvIf X-P (.+) P=$1\n    RequestHeader set X-Forwarded-Prefix \"%{P}e\"",
        ],
    },
];

/// What is ordinary, and no finding.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "failure_mode_allow: false",
        to: "failure_mode_allow: false\n                      decoder_header_mutation_rules: {<>}",
        rule: "envoy-identity-headers",
        cases: &[
            r#"disallow_all: true, allow_expression: {regex: "x-palisade-.*"}"#,
            r#"disallow_expression: {regex: "x-internal-.*"}"#,
            "disallow_all: false",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "route: {cluster: app}",
        to: "route: {cluster: app}\n                          request_headers_to_add: [{header: {<>}}]",
        rule: "envoy-override-set",
        cases: &[
            r#"key: x-forwarded-host, value: "%REQ(:AUTHORITY)%""#,
            r#"key: x-original-url, value: "%REQ(:PATH)%""#,
            r#"key: x-forwarded-proto, value: "%REQ(x-forwarded-proto)%""#,
            r#"key: x-forwarded-prefix, value: "/api""#,
            r#"key: x-user, value: "%REQ(x-foo)%""#,
            r#"key: x-forwarded-port, value: "%DOWNSTREAM_LOCAL_PORT%""#,
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "route: {cluster: app}",
        to: "route: {cluster: app}\n                          request_headers_to_remove: [<>]",
        rule: "envoy-identity-removed",
        cases: &["x_palisade_principal, x-debug"],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "                  - name: envoy.filters.http.ext_authz\n",
        to: "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {<>}}\n                  - name: envoy.filters.http.ext_authz\n",
        rule: "envoy-path-rewritten",
        cases: &[
            r#"request_mutations: [{remove: x-palisade-principal}, {remove_on_match: {key_matcher: {prefix: x-pal}}}], query_parameter_mutations: [{append: {record: {key: id, value: "%REQ(x-d)%"}}}]"#,
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_set_header X-Forwarded-Proto $scheme;",
        to: "<>",
        rule: "nginx-override-set",
        cases: &[
            "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;",
            "proxy_set_header X-Forwarded-Proto $http_x_scheme;",
            "set $p $scheme; if ($http_x_forwarded_proto) { set $p $http_x_forwarded_proto; } proxy_set_header X-Forwarded-Proto $p;",
            "proxy_set_header X-Forwarded-Prefix /api; proxy_set_header X-Forwarded-Port $server_port;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "listen 127.0.0.1:8080;",
        to: "listen 127.0.0.1:8080; <>",
        rule: "nginx-path-rewritten",
        cases: &[
            r#"if ($arg_old) { set $args ""; rewrite ^ /new permanent; }"#,
            r#"if ($arg_old) { set $args ""; return 301 /new; }"#,
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<>",
        rule: "nginx-override-set",
        cases: &[
            "fastcgi_pass_request_headers off; fastcgi_pass service;",
            "set $up service; if ($arg_x) { set $up service2; } proxy_pass http://$up;",
            "if ($request_method ~ ^(GET)$) { set $b $1; } proxy_set_header X-M $b; proxy_pass http://service;",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\tmap <>\n}\n\t\treverse_proxy {be} {",
        rule: "caddy-override-set",
        cases: &[
            "{header.X-B} {be} {\na 127.0.0.1:9001\n~^b 127.0.0.1:9002\ndefault 127.0.0.1:9000",
            "{host} {be} {\n~^(.+)\\.test$ ${1}:80",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "reverse_proxy 127.0.0.1:9000 {",
        to: "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up <>",
        rule: "caddy-override-set",
        cases: &["X-Forwarded-Prefix /api", "X-Forwarded-Port {http.request.header.X-Forwarded-Port}", "-X-Debug*"],
    },
    Group {
        pages: &["haproxy"],
        from: "\nbackend app\n",
        to: "\nbackend app\n    http-request <>\n",
        rule: "haproxy-override-set",
        cases: &[
            "set-header x-forwarded-proto %[req.hdr(x-forwarded-proto)]",
            "set-var(txn.p) req.hdr(x-forwarded-proto)\n    http-request set-header x-forwarded-proto %[var(txn.p)]",
            "set-header x-forwarded-port %[dst_port]",
            "del-header x-debug -m beg\n    http-request del-header ^x-internal -m reg\n    http-request del-header server",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "    http-request lua.palisade",
        to: "    http-request <>\n    http-request lua.palisade",
        rule: "haproxy-answer-ignored",
        cases: &["del-header X-Palisade-Principal\n    http-request set-var-fmt(txn.palisade_allowed) 0"],
    },
    Group {
        pages: &["apache"],
        from: "    ProxyPass",
        to: "    <>\n    ProxyPass",
        rule: "apache-override-set",
        cases: &[
            r#"RequestHeader set X-Forwarded-Proto "expr=%{REQUEST_SCHEME}""#,
            r#"RequestHeader set X-Forwarded-Proto "expr=%{req:X-Forwarded-Proto}""#,
            "SetEnvIf X-Forwarded-Proto (https?) P=$1\n    RequestHeader set X-Forwarded-Proto \"%{P}e\"",
            "RewriteCond %{HTTP:X-B} (.+)\n    RewriteRule ^/x - [F]",
        ],
    },
];

/// A page, and what of it is replaced by what.
pub(super) type Change = (&'static str, &'static [(&'static str, &'static str)]);

/// Changes that are no finding where they are made together.
pub(super) const TOGETHER: &[Change] = &[
    (
        "nginx",
        &[
            (
                "proxy_set_header X-Forwarded-Proto $scheme;",
                "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;",
            ),
            ("internal;", "internal; proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;"),
        ],
    ),
    (
        "nginx",
        &[
            (
                "proxy_set_header X-Forwarded-Proto $scheme;",
                "proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Forwarded-Proto $scheme;",
            ),
            (
                "internal;",
                "internal; proxy_set_header X-Forwarded-Port 443; proxy_set_header X-Forwarded-Proto $scheme;",
            ),
        ],
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
];
