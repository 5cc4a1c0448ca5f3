//! Bodies that a service reads otherwise than the sidecar was asked about, interfaces for administrators, and names that
//! stand for other texts.

use super::Group;
use super::cases::Change;

const PASS: &str = "proxy_pass http://service;";
const LUA: &str = "    http-request lua.palisade\n";
const SERVER: &str = "    server app1 127.0.0.1:9000";
const OPTIONS: &str = "\tadmin off\n";
const PROXY: &str = "\t\treverse_proxy 127.0.0.1:9000";
const COPIED: &str = "copy_headers X-Palisade-Principal X-Palisade-Auth-Method X-Palisade-Token";
const HOST: &str = "<VirtualHost 127.0.0.1:8080>\n";
const ROUTER: &str = "                  - name: envoy.filters.http.router\n";
const FILTER: &str = "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.<>}\n                  - name: envoy.filters.http.router\n";
const UPSTREAM: &str = "allowed_upstream_headers:\n                            patterns:\n";

const DEFINED_GRPC_WEB: (&str, &str) =
    ("  middlewares:\n", "  middlewares:\n    other:\n      grpcWeb: {allowOrigins: [\"*\"]}\n");
const DEFINED_SECOND: (&str, &str) = (
    "  middlewares:\n",
    "  middlewares:\n    other:\n      forwardAuth: {address: \"http://other.test/\", authResponseHeaders: [Content-Type]}\n",
);
const OPEN: (&str, &str) = ("127.0.0.1:8080", ":8080");
const BEHIND: (&str, &str) = ("middlewares: [palisade]", "middlewares: [palisade, other]");
const IN_FRONT: (&str, &str) = ("middlewares: [palisade]", "middlewares: [other, palisade]");

/// What is found.
pub(super) const FOUND: &[Group] = &[
    Group {
        pages: &["nginx"],
        from: PASS,
        to: "<> proxy_pass http://service;",
        rule: "nginx-content-type-changed",
        cases: &[
            "proxy_set_header Content-Length \"\";",
            "proxy_set_header Content-Length $http_content_length;",
            "proxy_set_header Content-Length 0;",
            "proxy_set_header Transfer-Encoding $http_transfer_encoding;",
            "proxy_request_buffering off; proxy_set_header Transfer-Encoding \"\";",
            "proxy_pass_request_body off;",
            "proxy_pass_request_body off; proxy_set_header Content-Length $content_length;",
            "proxy_request_buffering off; proxy_pass_request_body off; proxy_set_header Content-Length \"\";",
            "proxy_pass_request_headers off;",
            "proxy_pass_request_headers off; proxy_set_header Content-Type $content_type;",
            "proxy_set_body '{\"_method\": \"DELETE\"}';",
            "proxy_set_body $arg_body;",
        ],
    },
    Group {
        pages: &["traefik"],
        from: "          - Upgrade\n",
        to: "          - Upgrade\n          - <>\n",
        rule: "traefik-content-type-changed",
        cases: &["Content-Type", "content-encoding", "Content-Length", "Transfer-Encoding"],
    },
    Group {
        pages: &["envoy"],
        from: UPSTREAM,
        to: "allowed_upstream_headers:\n                            patterns:\n                              - {<>}\n",
        rule: "envoy-content-type-changed",
        cases: &["exact: content-type", "prefix: content-", "exact: Content-Length", "suffix: -encoding"],
    },
    Group {
        pages: &["caddy"],
        from: COPIED,
        to: "copy_headers X-Palisade-Principal X-Palisade-Auth-Method X-Palisade-Token <>",
        rule: "caddy-content-type-changed",
        cases: &["Content-Type", "X-Palisade-Type>Content-Type", "content-encoding"],
    },
    Group {
        pages: &["caddy"],
        from: PROXY,
        to: "\t\t<>\n\t\treverse_proxy 127.0.0.1:9000",
        rule: "caddy-content-type-changed",
        cases: &["request_body {\n\t\t\tset \"_method=DELETE\"\n\t\t}"],
    },
    Group {
        pages: &["caddy"],
        from: OPTIONS,
        to: "\tadmin <>\n",
        rule: "caddy-admin-open",
        cases: &["{$CADDY_ADMIN:0.0.0.0:2019}", "{$ADMIN::2019}", ":{$PORT}", "0.0.0.0:{$PORT:2019}", "{env.ADMIN}"],
    },
    Group {
        pages: &["caddy"],
        from: OPTIONS,
        to: "\tadmin <>\n",
        rule: "not-checked",
        cases: &["{$A}", "{$A}:2019", "tcp/{$A}"],
    },
    Group {
        pages: &["haproxy"],
        from: "    lua-load /etc/haproxy/palisade.lua\n",
        to: "    lua-load /etc/haproxy/palisade.lua\n    stats socket <>\n",
        rule: "haproxy-admin-open",
        cases: &[
            "/run/a.sock,0.0.0.0:9999 level admin",
            "127.0.0.1:9998,:9999 level admin",
            "0.0.0.0:9999 ssl crt /a.pem level admin",
            "0.0.0.0:9999",
            "*:9999 level operator",
            "ipv4@0.0.0.0:9999 mode 600 level user",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: SERVER,
        to: "    server app1 127.0.0.1:9000\nlisten pages\n    bind :8404\n    stats enable\n    <>\n",
        rule: "haproxy-admin-open",
        cases: &["stats admin if TRUE", "stats admin if { path_beg / }", "stats admin if { src 0.0.0.0/0 }"],
    },
    Group {
        pages: &["haproxy"],
        from: SERVER,
        to: "    <>\n    server app1 127.0.0.1:9000",
        rule: "haproxy-content-type-changed",
        cases: &[
            "compression direction request",
            "compression direction both",
            "filter comp-req",
            "http-send-name-header Content-Type",
            "http-request set-header content-type %[req.hdr(content-type)]",
            "http-request set-header content-type %[req.fhdr(x-type)]",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "lua-load /etc/haproxy/palisade.lua",
        to: "lua-load<>",
        rule: "not-checked",
        cases: &[" /etc/haproxy/auth.lua", "-per-thread /etc/haproxy/auth.lua"],
    },
    Group {
        pages: &["haproxy"],
        from: LUA,
        to: "    http-request <>\n",
        rule: "not-checked",
        cases: &["lua.mine", "lua.auth", "lua.palisade-two", "lua.set_allowed"],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<VirtualHost 127.0.0.1:8080>\n<>\n",
        rule: "apache-cgi",
        cases: &[
            "<Proxy \"balancer://app\">\nBalancerMember \"scgi://127.0.0.1:9001\"\n</Proxy>\nProxyPass \"/b/\" \"balancer://app/b/\" nocanon",
            "ProxyPass \"/b/\" \"balancer://app/b/\" nocanon\n<Proxy \"balancer://app\">\nBalancerMember \"unix:/run/a.sock|uwsgi://app\"\n</Proxy>",
            "BalancerMember balancer://app scgi://127.0.0.1:9001",
            "Define SVC scgi://127.0.0.1:9001\nProxyPass \"/b/\" \"${SVC}/b/\"",
            "Define P 9001\nDefine SVC scgi://127.0.0.1:${P}\nProxyPass \"/b/\" \"${SVC}/b/\"",
            "WSGIDaemonProcess a\nWSGIProcessGroup a\nWSGIScriptAlias /a /a.wsgi",
            "WSGIDaemonProcess a\nWSGIScriptAlias /a /a.wsgi process-group=a",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<VirtualHost 127.0.0.1:8080>\n<>\n",
        rule: "apache-content-type-changed",
        cases: &[
            "Define CT Content-Type\nRequestHeader set ${CT} a",
            "Define L \"set Content-Type a\"\nRequestHeader ${L}",
            "SetInputFilter INFLATE",
            "SetInputFilter DEFLATE;Sed",
            "AddInputFilter INFLATE gz",
            "CharsetSourceEnc ISO-8859-1",
            "SetEnv CONTENT_TYPE application/json",
            "ProxyFCGISetEnvIf \"true\" CONTENT_TYPE application/json",
            "ProxyFCGISetEnvIf \"true\" !CONTENT_TYPE",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<VirtualHost 127.0.0.1:8080>\n<>\n",
        rule: "apache-override-set",
        cases: &["Define M X-HTTP-Method-Override\nRequestHeader set ${M} DELETE"],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<VirtualHost 127.0.0.1:8080>\n<>\n",
        rule: "not-checked",
        cases: &["RequestHeader set ${NAME} a", "ProxyPass \"/b/\" \"${SVC}/b/\" nocanon", "SetInputFilter mine"],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "Listen 8081\n<VirtualHost *:8081>\n<Location \"/bm\">\nSetHandler balancer-manager\n<>\n</Location>\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\n",
        rule: "apache-admin-open",
        cases: &["", "Require all granted"],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: ROUTER,
        to: FILTER,
        rule: "envoy-content-type-changed",
        cases: &[
            "decompressor.v3.Decompressor",
            "compressor.v3.Compressor, request_direction_config: {}",
            "jwt_authn.v3.JwtAuthentication, providers: {a: {claim_to_headers: [{header_name: content-type, claim_name: t}]}}",
            "header_to_metadata.v3.Config, request_rules: [{header: content-type, on_header_present: {key: t}, remove: true}]",
            "api_key_auth.v3.ApiKeyAuth, forwarding: {header: content-type}",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: ROUTER,
        to: FILTER,
        rule: "envoy-identity-removed",
        cases: &[
            "header_to_metadata.v3.Config, request_rules: [{header: x-palisade-principal, on_header_present: {key: t}, remove: true}]",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "static_resources:\n",
        to: "admin: {<>}\nstatic_resources:\n",
        rule: "envoy-admin-open",
        cases: &[
            r#"address: {socket_address: {address: "::", port_value: 9901}}"#,
            "address: {socket_address: {address: 0.0.0.0, port_value: 9901}}, allow_paths: [{exact: /ready}, {prefix: /}]",
            "address: {socket_address: {address: 0.0.0.0, port_value: 9901}}, allow_paths: [{exact: /runtime_modify}]",
        ],
    },
];

/// What is found where both are changed.
pub(super) const BOTH: &[(&str, Change)] = &[
    ("traefik-content-type-changed", ("traefik", &[DEFINED_GRPC_WEB, BEHIND])),
    ("traefik-content-type-changed", ("traefik", &[DEFINED_SECOND, BEHIND])),
    (
        "traefik-api-open",
        ("traefik", &[OPEN, ("  routers:\n", "  routers:\n    own: {rule: Host(`a.test`), service: api@internal}\n")]),
    ),
    (
        "traefik-api-open",
        ("traefik", &[OPEN, ("  routers:\n", "  routers:\n    own: {rule: Host(`a.test`), service: rest@internal}\n")]),
    ),
];

/// What is ordinary where both are changed.
pub(super) const TOGETHER: &[Change] =
    &[("traefik", &[DEFINED_GRPC_WEB, IN_FRONT]), ("traefik", &[DEFINED_SECOND, IN_FRONT])];

/// What is ordinary.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["nginx"],
        from: PASS,
        to: "<> proxy_pass http://service;",
        rule: "nginx-content-type-changed",
        cases: &[
            "proxy_pass_request_body off; proxy_set_header Content-Length \"\";",
            "proxy_set_header Content-Length $content_length;",
            "proxy_request_buffering off;",
            "proxy_pass_request_headers off; proxy_set_header Content-Type $content_type; proxy_set_header Content-Encoding $http_content_encoding;",
            "proxy_set_body $request_body;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: PASS,
        to: "<>",
        rule: "nginx-content-type-changed",
        cases: &[
            "fastcgi_pass_request_headers off; fastcgi_param CONTENT_LENGTH $content_length; fastcgi_pass service;",
            "uwsgi_pass_request_headers off; uwsgi_param CONTENT_LENGTH $content_length; uwsgi_pass service;",
        ],
    },
    Group {
        pages: &["traefik"],
        from: "  routers:\n",
        to: "  routers:\n    own:\n      rule: Host(`a.test`)\n      entryPoints: [web]\n      <>\n",
        rule: "traefik-api-open",
        cases: &["service: api@internal\n      middlewares: [palisade]", "service: ping@internal"],
    },
    Group {
        pages: &["caddy"],
        from: PROXY,
        to: "\t\t<>\n\t\treverse_proxy 127.0.0.1:9000",
        rule: "caddy-content-type-changed",
        cases: &["request_body {\n\t\t\tmax_size 1MB\n\t\t}"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {\n",
        to: "\t\treverse_proxy 127.0.0.1:9000 {\n<>\n",
        rule: "caddy-content-type-changed",
        cases: &[
            "\t\t\thandle_response {\n\t\t\t\trequest_header Content-Type text/plain\n\t\t\t\tcopy_response\n\t\t\t}",
        ],
    },
    Group {
        pages: &["caddy"],
        from: OPTIONS,
        to: "\tadmin <>\n",
        rule: "caddy-admin-open",
        cases: &["{$ADMIN:localhost:2019}", "localhost:{$PORT}", "fd/4", "[::1]:2019", "unix//run/caddy.sock"],
    },
    Group {
        pages: &["haproxy"],
        from: "    lua-load /etc/haproxy/palisade.lua\n",
        to: "    lua-load /etc/haproxy/palisade.lua\n    stats socket <>\n",
        rule: "haproxy-admin-open",
        cases: &[
            "/run/a.sock,127.0.0.1:9999 level admin",
            "0.0.0.0:9999 ssl crt /a.pem ca-file /ca.pem verify required level admin",
            "ipv6@::1:9999 level admin",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: SERVER,
        to: "    server app1 127.0.0.1:9000\nlisten pages\n    bind <>\n",
        rule: "haproxy-admin-open",
        cases: &[
            ":8404\n    stats enable\n    stats auth a:b\n    stats admin if TRUE",
            ":8404\n    stats enable\n    stats admin if LOCALHOST",
            ":8404\n    stats enable\n    stats admin if { src 10.0.0.0/8 }",
            ":8404\n    stats enable\n    http-request deny unless { src 10.0.0.0/8 }\n    stats admin if TRUE",
            "127.0.0.1:8404\n    stats enable\n    stats admin if TRUE",
            ":8404\n    stats enable",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: SERVER,
        to: "    <>\n    server app1 127.0.0.1:9000",
        rule: "haproxy-content-type-changed",
        cases: &[
            "compression direction response",
            "filter comp-res",
            "http-request set-header content-type %[req.fhdr(content-type)]",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "lua-load /etc/haproxy/palisade.lua",
        to: "lua-load<>",
        rule: "not-checked",
        cases: &[
            " /opt/palisade/check.lua",
            "-per-thread /etc/haproxy/palisade.lua",
            " /etc/haproxy/metrics.lua\n    lua-load /etc/haproxy/palisade.lua",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<VirtualHost 127.0.0.1:8080>\n<>\n",
        rule: "apache-cgi",
        cases: &[
            "<Proxy \"balancer://app\">\nBalancerMember \"http://127.0.0.1:9001\"\n</Proxy>\nProxyPass \"/b/\" \"balancer://app/b/\" nocanon",
            "Define SVC http://127.0.0.1:9001\nProxyPass \"/b/\" \"${SVC}/b/\" nocanon",
            "Define X X-Request-Start\nRequestHeader set ${X} a",
            "ErrorLog ${APACHE_LOG_DIR}/error.log",
            "WSGIDaemonProcess a\nWSGIProcessGroup %{GLOBAL}\nWSGIScriptAlias /a /a.wsgi",
            "SetInputFilter reqtimeout",
            "ProxyFCGISetEnvIf \"true\" CONTENT_TYPE \"%{HTTP:Content-Type}\"",
            "<Location \"/bm\">\nSetHandler balancer-manager\n</Location>",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<>\n<VirtualHost 127.0.0.1:8080>\n",
        rule: "apache-admin-open",
        cases: &[
            "Listen 8081\n<VirtualHost *:8081>\n<Location \"/bm\">\nSetHandler balancer-manager\nRequire ip 10.0.0.0/8\n</Location>\n</VirtualHost>",
            "Listen 127.0.0.1:8081\n<VirtualHost *:8081>\n<Location \"/bm\">\nSetHandler balancer-manager\n</Location>\n</VirtualHost>",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: ROUTER,
        to: FILTER,
        rule: "envoy-content-type-changed",
        cases: &[
            "decompressor.v3.Decompressor, request_direction_config: {common_config: {enabled: {default_value: false, runtime_key: a}}}",
            "compressor.v3.Compressor",
            "compressor.v3.Compressor, request_direction_config: {common_config: {enabled: {default_value: false, runtime_key: a}}}",
            "jwt_authn.v3.JwtAuthentication, providers: {a: {claim_to_headers: [{header_name: x-claim, claim_name: t}]}}",
            "header_to_metadata.v3.Config, request_rules: [{header: content-type, on_header_present: {key: t}}]",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "static_resources:\n",
        to: "admin: {<>}\nstatic_resources:\n",
        rule: "envoy-admin-open",
        cases: &[
            r#"address: {socket_address: {address: "::1", port_value: 9901}}"#,
            r#"address: {socket_address: {address: "::FFFF:127.0.0.1", port_value: 9901}}"#,
            "address: {socket_address: {address: 0.0.0.0, port_value: 9901}}, allow_paths: [{exact: /ready}, {prefix: /stats}]",
        ],
    },
];
