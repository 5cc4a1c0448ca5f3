//! The host that the service gets, where it is the same for requests for every host.

use super::Group;
use super::cases::Change;

const NGINX: &str = "nginx-host-changed";
const HAPROXY: &str = "haproxy-host-changed";
const ENVOY: &str = "envoy-host-changed";
const CADDY: &str = "caddy-host-changed";
const APACHE: &str = "apache-host-changed";
const ENVOYS: &[&str] = &["envoy", "envoy-grpc"];

/// What is found.
pub(super) const FOUND: &[Group] = &[
    Group {
        pages: &["nginx"],
        from: "proxy_set_header Host $host;",
        to: "<>",
        rule: NGINX,
        cases: &[
            "",
            "proxy_set_header Host app.internal;",
            "proxy_set_header Host $proxy_host;",
            "proxy_set_header Host $server_name;",
            "set $h app.internal; proxy_set_header Host $h;",
            "proxy_set_header Host $host; proxy_set_header Host app.internal;",
            "proxy_set_header Host $host; proxy_set_header X-Host app.internal;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_set_header X-Forwarded-Host $host;",
        to: "proxy_set_header <>;",
        rule: NGINX,
        cases: &["X-Forwarded-Host app.test", "X-Forwarded-Host $server_name", "X-Frappe-Site-Name app.test"],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_set_header Forwarded \"\";",
        to: "proxy_set_header Forwarded <>;",
        rule: NGINX,
        cases: &["\"proto=https;host=app.test\""],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<>",
        rule: NGINX,
        cases: &[
            "fastcgi_param HTTP_HOST app.test; fastcgi_pass service;",
            "uwsgi_param HTTP_HOST $host; uwsgi_param HTTP_X_FORWARDED_HOST app.test; uwsgi_pass service;",
            "grpc_pass grpc://service;",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "\nbackend app\n",
        to: "\nbackend app\n    <>\n",
        rule: HAPROXY,
        cases: &[
            "http-request set-header Host app.internal",
            "http-request set-header host %[srv_name]",
            "http-request set-header host %[req.hdr(x-h),map(/h.map,a.test)]",
            "http-request set-header Host app.internal if { path_beg /a }",
            "http-request set-header Host app.internal if { req.hdr(host) -m end .test }",
            "http-request set-header Host app.internal if { req.hdr(host) a.test b.test }",
            "http-request replace-header Host (.*)\\.test \\1.internal",
            "http-request replace-value Host .* app.internal",
            "http-request set-header X-Forwarded-Host app.test",
            "http-request add-header Forwarded proto=https;host=app.test",
            "http-send-name-header Host",
            "option forwarded host-expr str(app.test)",
            "use-fcgi-app php\n\nfcgi-app php\n    docroot /srv\n    set-param HTTP_HOST app.test",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "    default_backend app",
        to: "    http-request <>\n    default_backend app",
        rule: HAPROXY,
        cases: &["set-header Host app.internal"],
    },
    Group {
        pages: ENVOYS,
        from: "route: {cluster: app}",
        to: "route: {cluster: app, <>}",
        rule: ENVOY,
        cases: &["host_rewrite_literal: app.internal", "auto_host_rewrite: true", "host_rewrite: app.internal"],
    },
    Group {
        pages: ENVOYS,
        from: "route: {cluster: app}",
        to: "route: {weighted_clusters: {clusters: [{name: app, weight: 1, <>}]}}",
        rule: ENVOY,
        cases: &["host_rewrite_literal: app.internal"],
    },
    Group {
        pages: ENVOYS,
        from: "route: {cluster: app}",
        to: "route: {cluster: app}\n                          request_headers_to_add: [{header: {<>}}]",
        rule: ENVOY,
        cases: &[
            "key: x-forwarded-host, value: app.test",
            "key: X-Host, value: app.test",
            "key: x-forwarded-host, value: \"%ENVIRONMENT(H)%\"",
            "key: forwarded, value: host=app.test",
        ],
    },
    Group {
        pages: ENVOYS,
        from: r#"domains: ["*"]"#,
        to: "domains: [a.test, b.test]\n                      request_headers_to_add: [{header: {<>}}]",
        rule: ENVOY,
        cases: &["key: x-forwarded-host, value: app.test"],
    },
    Group {
        pages: ENVOYS,
        from: "                  - name: envoy.filters.http.router\n",
        to: "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {<>}}\n                  - name: envoy.filters.http.router\n",
        rule: ENVOY,
        cases: &["request_mutations: [{append: {header: {key: x-forwarded-host, value: app.test}}}]"],
    },
    Group {
        pages: &["caddy"],
        from: "reverse_proxy 127.0.0.1:9000 {",
        to: "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up <>",
        rule: CADDY,
        cases: &[
            "Host app.internal",
            "Host {upstream_hostport}",
            "Host {http.reverse_proxy.upstream.hostport}",
            "Host {env.HOST}",
            "+Host app.internal",
            "-Host",
            "Host (.+)\\.test $1.internal",
            "X-Host app.test",
            "Forwarded host=app.test",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "header_up X-Forwarded-Host {http.request.hostport}\n\t\t}\n\t}",
        to: "header_up X-Forwarded-Host <>\n\t\t}\n\t}",
        rule: CADDY,
        cases: &["app.test"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\t<> {",
        rule: CADDY,
        cases: &[
            "reverse_proxy https://app.internal",
            "php_fastcgi 127.0.0.1:9001 {\n\t\t\tenv HTTP_HOST app.internal\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000",
            "request_header Host app.internal\n\t\treverse_proxy 127.0.0.1:9000",
            "reverse_proxy app.internal:443 {\n\t\t\ttransport http {\n\t\t\t\ttls\n\t\t\t}\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000",
            "reverse_proxy 127.0.0.1:9000 {\n\t\t\ttransport http {\n\t\t\t\ttls_insecure_skip_verify\n\t\t\t}\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\t<> {",
        rule: "caddy-identity-set",
        cases: &[
            "php_fastcgi 127.0.0.1:9001 {\n\t\t\tenv HTTP_X_PALISADE_PRINCIPAL root\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000",
            "reverse_proxy 127.0.0.1:9001 {\n\t\t\ttransport fastcgi {\n\t\t\t\tenv HTTP_X_PALISADE_TOKEN a\n\t\t\t}\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000",
        ],
    },
    Group {
        pages: &["apache"],
        from: "    ProxyPass",
        to: "    <>\n    ProxyPass",
        rule: APACHE,
        cases: &[
            "RequestHeader set Host app.internal",
            "RequestHeader edit Host \\.test$ .internal",
            "RequestHeader set X-Forwarded-Host app.test",
            "RequestHeader append Forwarded host=app.test",
            "SetEnv HTTP_HOST app.test",
        ],
    },
];

/// What is ordinary, and no finding.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["nginx"],
        from: "proxy_set_header Host $host;",
        to: "<>",
        rule: NGINX,
        cases: &[
            "proxy_set_header Host $host:$server_port;",
            "proxy_set_header Host ${host};",
            "set $h $host; proxy_set_header Host $h;",
            "proxy_set_header Host $host; proxy_set_header X-Host \"\";",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "\nbackend app\n",
        to: "\nbackend app\n    http-request <>\n",
        rule: HAPROXY,
        cases: &[
            "set-header Host app.internal if { req.hdr(host) -i app.test app.test:8080 }",
            "set-header Host %[req.fhdr(host),lower]",
            "set-var(txn.h) req.fhdr(host),lower\n    http-request set-header Host app.internal if { var(txn.h) -m str app.test }",
            "set-header Host %[req.fhdr(host),map(/h.map,app.internal)]",
            "set-var(txn.h) req.fhdr(host)\n    http-request set-header X-Host %[var(txn.h)]",
            "replace-header Host (.*):.* \\1",
            "del-header X-Host",
        ],
    },
    Group {
        pages: ENVOYS,
        from: "route: {cluster: app}",
        to: "route: {cluster: app, <>}",
        rule: ENVOY,
        cases: &["auto_host_rewrite: false, append_x_forwarded_host: true", r#"host_rewrite: "%REQ(:authority)%""#],
    },
    Group {
        pages: &["caddy"],
        from: "reverse_proxy 127.0.0.1:9000 {",
        to: "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up <>",
        rule: CADDY,
        cases: &[
            "Host {host}",
            "Host {http.request.hostport}",
            "Host {labels.1}.internal",
            "Host (.*):.* $1",
            "X-Forwarded-Host {hostport}",
            "Forwarded proto=https",
        ],
    },
    Group {
        pages: &["apache"],
        from: "    ProxyPass",
        to: "    <>\n    ProxyPass",
        rule: APACHE,
        cases: &[
            "RequestHeader set Host app.internal early",
            "RequestHeader edit Host :[0-9]+$ \"\"",
            "RequestHeader unset X-Forwarded-Host",
        ],
    },
];

const NAMED: (&str, &str) = ("        listen 127.0.0.1:8080;", "        listen 127.0.0.1:8080; server_name app.test;");
const FIXED: (&str, &str) = ("proxy_set_header Host $host;", "proxy_set_header Host app.internal;");
const MAPS: &str = "    map $http_upgrade $service_upgrade {";
const LITERAL: (&str, &str) = ("route: {cluster: app}", "route: {cluster: app, host_rewrite_literal: app.internal}");
const UP: (&str, &str) =
    ("reverse_proxy 127.0.0.1:9000 {", "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host app.internal");
const SET: (&str, &str) = ("\nbackend app\n", "\nbackend app\n    http-request set-header Host app.internal\n");

/// Changes that are no finding where they are made together.
pub(super) const TOGETHER: &[Change] = &[
    // the first server for an address gets what no other one names
    ("nginx", &[("    server {\n", "    server { listen 127.0.0.1:8080; return 444; }\n    server {\n"), NAMED, FIXED]),
    (
        "nginx",
        &[
            ("    server {\n", "    server { listen 127.0.0.1:8080 default_server; return 444; }\n    server {\n"),
            NAMED,
            ("proxy_set_header Host $host;", ""),
            ("proxy_set_header X-Forwarded-Host $host;", "proxy_set_header X-Forwarded-Host app.test;"),
        ],
    ),
    (
        "nginx",
        &[
            (
                MAPS,
                "    map $host $h { a.test a.internal; default b.internal; }\n    map $http_upgrade $service_upgrade {",
            ),
            ("proxy_set_header Host $host;", "proxy_set_header Host $h;"),
        ],
    ),
    (
        "nginx",
        &[
            ("listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; server_name ~^(?<sub>.+)\\.test$;"),
            ("proxy_set_header Host $host;", "proxy_set_header Host $sub.internal;"),
        ],
    ),
    // nginx names the host itself in the target
    (
        "nginx",
        &[
            ("    server {\n", "    server { listen 127.0.0.1:8080 default_server; return 444; }\n    server {\n"),
            ("        listen 127.0.0.1:8080;", "        listen 127.0.0.1:8080; server_name app.test www.app.test;"),
            ("proxy_set_header Host $host;", ""),
            ("proxy_set_header X-Forwarded-Host $host;", ""),
            ("proxy_pass http://service;", "proxy_pass http://$host$request_uri;"),
        ],
    ),
    ("haproxy", &[("    default_backend app", "    use_backend app if { req.hdr(host) -i app.test }"), SET]),
    (
        "haproxy",
        &[
            (
                "    http-request lua.palisade\n",
                "    http-request deny unless { req.hdr(host) -i app.test }\n    http-request lua.palisade\n",
            ),
            SET,
        ],
    ),
    ("envoy", &[(r#"domains: ["*"]"#, "domains: [app.test, \"app.test:*\"]"), LITERAL]),
    (
        "envoy-grpc",
        &[
            (r#"domains: ["*"]"#, "domains: [app.test]"),
            (
                "route: {cluster: app}",
                "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: x-forwarded-host, value: app.test}}]",
            ),
        ],
    ),
    ("caddy", &[(":8080 {", "http://app.test:8080 {"), UP]),
    (
        "caddy",
        &[(
            "\t\treverse_proxy 127.0.0.1:9000 {",
            "\t\t@app host app.test\n\t\treverse_proxy @app 127.0.0.1:9000 {\n\t\t\theader_up Host app.internal",
        )],
    ),
    (
        "caddy",
        &[(
            "\t\treverse_proxy 127.0.0.1:9000 {",
            "\t\tmap {host} {to} {\n\t\t\ta.test a.internal\n\t\t\tdefault b.internal\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {to}",
        )],
    ),
    (
        "caddy",
        &[("reverse_proxy 127.0.0.1:9000 {", "reverse_proxy https://app.internal {\n\t\t\theader_up Host {hostport}")],
    ),
    (
        "apache",
        &[
            (
                "<VirtualHost 127.0.0.1:8080>\n",
                "<VirtualHost 127.0.0.1:8080>\nServerName none\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\nServerName app.test\n",
            ),
            ("    ProxyPreserveHost On\n", "    RequestHeader set Host app.internal\n"),
        ],
    ),
];

/// Changes that are a finding where they are made together.
pub(super) const BOTH: &[(&str, Change)] = &[
    // the first server gets every other name too, and so does one with two names
    (NGINX, ("nginx", &[NAMED, FIXED])),
    (
        NGINX,
        (
            "nginx",
            &[
                ("    server {\n", "    server { listen 127.0.0.1:8080; return 444; }\n    server {\n"),
                ("        listen 127.0.0.1:8080;", "        listen 127.0.0.1:8080; server_name a.test b.test;"),
                FIXED,
            ],
        ),
    ),
    (
        HAPROXY,
        (
            "haproxy",
            &[
                (
                    "    default_backend app",
                    "    use_backend app if { req.hdr(host) -i a.test }\n    use_backend app if { path_beg /b }",
                ),
                SET,
            ],
        ),
    ),
    (ENVOY, ("envoy", &[(r#"domains: ["*"]"#, "domains: [\"*.test\"]"), LITERAL])),
    (CADDY, ("caddy", &[(":8080 {", "http://a.test:8080, http://b.test:8080 {"), UP])),
    (CADDY, ("caddy", &[(":8080 {", "http://*.test:8080 {"), UP])),
    (
        APACHE,
        (
            "apache",
            &[
                (
                    "<VirtualHost 127.0.0.1:8080>\n",
                    "<VirtualHost 127.0.0.1:8080>\nServerName none\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\nServerName app.test\nServerAlias b.test\n",
                ),
                ("    ProxyPreserveHost On\n", ""),
            ],
        ),
    ),
];
