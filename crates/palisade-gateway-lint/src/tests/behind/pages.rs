//! What comes to a service past the check, or to another one: pages for errors, copies, trailers, members of balancers.

use super::Group;
use super::cases::Change;

const PROXY: &str = "    ProxyPass \"/\"";
const HOST: &str = "<VirtualHost 127.0.0.1:8080>\n";
const SERVER: &str = "    server app1 127.0.0.1:9000";
const LOCATION: &str = "        location / {\n";
const MIRROR: &str = "        location = /m { internal; proxy_pass http://127.0.0.1:9001$request_uri; proxy_set_header Host $host; proxy_set_header X-Original-URI \"\"; proxy_set_header X-Original-Host \"\"; <> }\n        location / {\n            mirror /m;\n";
const PASS_NGINX: &str = "proxy_pass http://service;";
const BACKEND: &str = "\nbackend app\n";
const PASS: &str = "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n";

/// What is found.
pub(super) const FOUND: &[Group] = &[
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "    <>\n    ProxyPass \"/\"",
        rule: "apache-error-document",
        cases: &[
            "ErrorDocument 403 /denied",
            "ErrorDocument 401 \"/login?from=gateway\"",
            "ErrorDocument 404 /errors/404.html\n    ProxyPass /error !",
            "ErrorDocument 400 /x.php\n    <FilesMatch \\.php$>\n    SetHandler proxy:fcgi://127.0.0.1:9001\n    </FilesMatch>",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "ErrorDocument 403 /denied\n<VirtualHost 127.0.0.1:8080>\n<>",
        rule: "apache-error-document",
        cases: &[""],
    },
    Group {
        pages: &["apache"],
        from: PASS,
        to: "<>\n",
        rule: "apache-path-rewritten",
        cases: &[
            "ProxyPass \"/\" \"balancer://c/\" nocanon\n<Proxy balancer://c>\nBalancerMember http://127.0.0.1:9000/app\n</Proxy>",
            "ProxyPass \"/\" \"balancer://c/\" nocanon\nBalancerMember balancer://c http://127.0.0.1:9000/app",
            "ProxyPass \"/app/\" \"balancer://c/\" nocanon\n<Proxy balancer://c>\nBalancerMember http://127.0.0.1:9000\n</Proxy>",
            "ProxyPass \"/a/\" \"balancer://c/\" nocanon\n<Proxy balancer://c>\nBalancerMember http://h:9000/a\nBalancerMember http://h:9001/b\n</Proxy>",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<VirtualHost *:81>\nDocumentRoot /srv/a/public\n<>\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\n",
        rule: "apache-host-unchecked",
        cases: &[
            "PassengerRuby /usr/bin/ruby",
            "PassengerAppRoot /srv/a",
            "PassengerAppType node\nPassengerStartupFile app.js",
            "<Directory /srv/a/public>\nPassengerPython /usr/bin/python3\n</Directory>",
        ],
    },
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "    MergeTrailers On\n    ProxyPass \"/f/\" \"fcgi://127.0.0.1:9001/f/\"\n    <>\n    ProxyPass \"/\"",
        rule: "apache-trailers",
        cases: &[""],
    },
    Group {
        pages: &["nginx"],
        from: "internal;",
        to: "internal; proxy_set_header <>;",
        rule: "nginx-check-headers",
        cases: &["Content-Type application/json", "Content-Type $arg_type", "content-encoding identity"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\t\turi /gateway",
        to: "\t\t\theader_up <>\n\t\t\turi /gateway",
        rule: "caddy-check-told",
        cases: &["Content-Type text/plain", "X-HTTP-Method-Override GET", "X-Original-URL {uri}", "+Content-Type a/b"],
    },
    Group {
        pages: &["haproxy"],
        from: SERVER,
        to: "    use-fcgi-app php\n    server app1 127.0.0.1:9000\nfcgi-app php\n    docroot /srv\n    set-param <>\n",
        rule: "haproxy-content-type-changed",
        cases: &["CONTENT_TYPE application/json", "CONTENT_LENGTH 0", "HTTP_CONTENT_ENCODING gzip"],
    },
    Group {
        pages: &["caddy"],
        from: "\tadmin off\n",
        to: "\tadmin off\n\t<>\n",
        rule: "caddy-layer4",
        cases: &[
            "layer4 {\n\t\t:5000 {\n\t\t\troute {\n\t\t\t\tproxy 127.0.0.1:9000\n\t\t\t}\n\t\t}\n\t}",
            "layer4 {\n\t\t:5000 {\n\t\t\troute {\n\t\t\t\ttls\n\t\t\t\tproxy {\n\t\t\t\t\tupstream tcp/localhost:9000\n\t\t\t\t}\n\t\t\t}\n\t\t}\n\t}",
            "servers {\n\t\tlistener_wrappers {\n\t\t\tlayer4 {\n\t\t\t\troute {\n\t\t\t\t\tproxy 127.0.0.1:9000\n\t\t\t\t}\n\t\t\t}\n\t\t}\n\t}",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\tadmin off\n",
        to: "\tadmin off\n\t<>\n",
        rule: "not-checked",
        cases: &[
            "foo {\n\t\tbar\n\t}",
            "layer4 {\n\t\t:5000 {\n\t\t\troute {\n\t\t\t\tproxy {l4.tls.server_name}:443\n\t\t\t}\n\t\t}\n\t}",
            "servers {\n\t\tlistener_wrappers {\n\t\t\tmine\n\t\t}\n\t}",
        ],
    },
    Group {
        pages: &["nginx"],
        from: LOCATION,
        to: MIRROR,
        rule: "nginx-identity-headers",
        cases: &["", "proxy_set_header X-Palisade-Principal $palisade_principal;", "auth_request /_palisade;"],
    },
    Group {
        pages: &["nginx"],
        from: LOCATION,
        to: MIRROR,
        rule: "nginx-identity-set",
        cases: &["proxy_set_header X-Palisade-Principal $http_x_palisade_principal;"],
    },
    Group {
        pages: &["envoy-grpc"],
        from: "use_remote_address: true\n",
        to: "use_remote_address: true\n                <>\n",
        rule: "envoy-trusts-everybody",
        cases: &["xff_num_trusted_hops: 1", "original_ip_detection_extensions: [{name: a}]"],
    },
    Group {
        pages: &["nginx"],
        from: PASS_NGINX,
        to: "<>",
        rule: "nginx-host-changed",
        cases: &[
            "proxy_pass http://$host;",
            "proxy_pass http://$host:9000;",
            "set $to $host; proxy_pass http://$to.internal;",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\treverse_proxy <> {",
        rule: "caddy-override-set",
        cases: &["{host}:9000", "{http.request.host}:80", "{labels.1}.internal:80"],
    },
    Group {
        pages: &["haproxy"],
        from: BACKEND,
        to: "\nbackend app\n    http-request <>\n",
        rule: "haproxy-override-set",
        cases: &[
            "do-resolve(txn.ip,dns) hdr(Host),lower\n    http-request set-dst var(txn.ip)",
            "set-dst-port req.hdr(host),port_only",
            "set-var(txn.h) req.fhdr(host)\n    http-request do-resolve(txn.ip,dns) var(txn.h)\n    http-request set-dst var(txn.ip)",
        ],
    },
];

/// What is found where both are changed.
pub(super) const BOTH: &[(&str, Change)] = &[(
    "nginx-host-changed",
    (
        "nginx",
        &[
            ("listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; server_name ~^(?<sub>.+)\\.test$;"),
            ("proxy_pass http://service;", "proxy_pass http://$sub.internal;"),
        ],
    ),
)];

/// What is ordinary where both are changed.
pub(super) const TOGETHER: &[Change] = &[(
    "caddy",
    &[(":8080 {", "a.test:8080, b.test:8080 {"), ("reverse_proxy 127.0.0.1:9000 {", "reverse_proxy {host}:9000 {")],
)];

/// What is ordinary.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "    <>\n    ProxyPass \"/\"",
        rule: "apache-error-document",
        cases: &[
            "ErrorDocument 403 \"this is not for you\"",
            "ErrorDocument 401 https://login.test/",
            "ErrorDocument 503 /errors/sorry.html\n    ProxyPass \"/errors/\" !",
            "ErrorDocument 503 /errors/sorry.html\n    <Location /errors>\n    ProxyPass !\n    </Location>",
            "ErrorDocument 403 default",
        ],
    },
    Group {
        pages: &["apache"],
        from: PASS,
        to: "<>\n",
        rule: "apache-error-document",
        cases: &[
            "ProxyPass \"/api/\" \"http://127.0.0.1:9000/api/\" nocanon\nErrorDocument 403 /denied.html",
            "ProxyPass \"/api\" \"http://127.0.0.1:9000/api\" nocanon\nErrorDocument 403 /api-denied.html",
        ],
    },
    Group {
        pages: &["apache"],
        from: PASS,
        to: "<>\n",
        rule: "apache-path-rewritten",
        cases: &[
            "ProxyPass \"/\" \"balancer://c/\" nocanon\n<Proxy balancer://c>\nBalancerMember http://127.0.0.1:9000/\n</Proxy>",
            "ProxyPass \"/app/\" \"balancer://c/\" nocanon\n<Proxy balancer://c>\nBalancerMember http://127.0.0.1:9000/app\nBalancerMember http://127.0.0.1:9001/app/\n</Proxy>",
            "ProxyPass \"/app/\" \"balancer://c/app/\" nocanon\nBalancerMember balancer://c http://127.0.0.1:9000\nBalancerMember balancer://d http://127.0.0.1:9000/x",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<VirtualHost *:81>\nDocumentRoot /srv\n<>\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\n",
        rule: "apache-host-unchecked",
        cases: &[
            "PassengerEnabled off\nPassengerRuby /usr/bin/ruby",
            "PassengerRoot /a\nPassengerDefaultRuby /usr/bin/ruby",
        ],
    },
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "    <>\n    ProxyPass \"/\"",
        rule: "apache-trailers",
        cases: &["MergeTrailers On", "MergeTrailers Off\n    ProxyPass \"/f/\" \"fcgi://127.0.0.1:9001/f/\""],
    },
    Group {
        pages: &["nginx"],
        from: "internal;",
        to: "internal; proxy_set_header <>;",
        rule: "nginx-check-headers",
        cases: &["Content-Type $http_content_type", "Content-Type $content_type", "X-Content-Type a"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\t\turi /gateway",
        to: "\t\t\theader_up <>\n\t\t\turi /gateway",
        rule: "caddy-check-told",
        cases: &["Content-Type {http.request.header.Content-Type}", "Content-Type {header.Content-Type}", "X-Type a"],
    },
    Group {
        pages: &["haproxy"],
        from: SERVER,
        to: "    use-fcgi-app php\n    server app1 127.0.0.1:9000\nfcgi-app php\n    docroot /srv\n    set-param <>\n",
        rule: "haproxy-content-type-changed",
        cases: &["CONTENT_TYPE %[req.fhdr(content-type)]", "APP_ENV production"],
    },
    Group {
        pages: &["caddy"],
        from: "\tadmin off\n",
        to: "\tadmin off\n\t<>\n",
        rule: "caddy-layer4",
        cases: &[
            "layer4 {\n\t\t:5432 {\n\t\t\troute {\n\t\t\t\tproxy 10.0.0.1:5432\n\t\t\t}\n\t\t}\n\t}",
            "debug\n\tgrace_period 5s\n\tservers {\n\t\tlistener_wrappers {\n\t\t\thttp_redirect\n\t\t\ttls\n\t\t}\n\t}",
        ],
    },
    Group {
        pages: &["nginx"],
        from: LOCATION,
        to: MIRROR,
        rule: "nginx-identity-headers",
        cases: &[
            "proxy_set_header X-Palisade-Principal $palisade_principal; proxy_set_header X-Palisade-Auth-Method $palisade_auth_method; proxy_set_header X-Palisade-Token $palisade_token;",
            "proxy_set_header X-Palisade-Principal \"\"; proxy_set_header X-Palisade-Auth-Method \"\"; proxy_set_header X-Palisade-Token \"\";",
        ],
    },
    Group {
        pages: &["envoy-grpc"],
        from: "use_remote_address: true\n",
        to: "<>\n",
        rule: "envoy-trusts-everybody",
        cases: &["use_remote_address: false", "use_remote_address: true\n                xff_num_trusted_hops: 0"],
    },
    Group {
        pages: &["nginx"],
        from: PASS_NGINX,
        to: "<>",
        rule: "nginx-host-changed",
        cases: &[
            "set $to service; if ($host = b.test) { set $to service2; } proxy_pass http://$to;",
            "proxy_pass http://$server_addr:9000;",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: BACKEND,
        to: "\nbackend app\n    http-request <>\n",
        rule: "haproxy-override-set",
        cases: &["set-dst req.fhdr(host),map_ip(/h.map)", "set-dst-port int(8080)", "set-var(txn.h) req.fhdr(host)"],
    },
];
