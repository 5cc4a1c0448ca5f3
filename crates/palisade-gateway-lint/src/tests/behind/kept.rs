//! Answers that a gateway keeps behind the check, values of the sidecar's answer that go nowhere, and ports beside HTTP.

use super::Group;

const ROUTER: &str = "                  - name: envoy.filters.http.router\n";
const CACHE: &str = "                  - name: f\n                    <>\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig}\n                  - name: envoy.filters.http.router\n";

/// What is found.
pub(super) const FOUND: &[Group] = &[
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<> proxy_pass http://service;",
        rule: "nginx-cache-shared",
        cases: &[
            "proxy_cache c;",
            "proxy_cache c; proxy_cache_key $host$request_uri;",
            "proxy_cache c; proxy_cache_key $request_uri$http_authorization;",
            "proxy_cache c; proxy_cache_key $host$request_uri$palisade_auth_method;",
            "proxy_cache $zone; proxy_cache_key \"$scheme$host$request_uri\";",
            "slice 1m; proxy_cache c; proxy_cache_key $uri$is_args$args$slice_range;",
            "proxy_cache c; proxy_cache_key $host$request_uri; proxy_no_cache $http_authorization;",
            "proxy_cache c; proxy_cache_key $host$request_uri; proxy_no_cache $arg_x; proxy_cache_bypass $arg_x;",
            "if ($arg_x) { set $skip 1; } proxy_cache c; proxy_cache_key $host$request_uri; proxy_no_cache $skip; proxy_cache_bypass $skip;",
            "proxy_store on;",
            "proxy_store /var/www$uri;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<>",
        rule: "nginx-cache-shared",
        cases: &[
            "fastcgi_cache c; fastcgi_cache_key $host$request_uri; fastcgi_pass service;",
            "uwsgi_cache c; uwsgi_pass service;",
            "scgi_cache c; scgi_pass service;",
            "scgi_store on; scgi_pass service;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "http {\n",
        to: "http {\n    proxy_cache c;\n    <>\n",
        rule: "nginx-cache-shared",
        cases: &["proxy_cache_key $host$request_uri;"],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: ROUTER,
        to: CACHE,
        rule: "envoy-cache-shared",
        cases: &["", "disabled: false"],
    },
    Group {
        pages: &["haproxy"],
        from: "    default_backend app",
        to: "    <>\n    default_backend app",
        rule: "haproxy-cache-shared",
        cases: &["http-request cache-use c", "http-request cache-use c\n    http-response cache-store c"],
    },
    Group {
        pages: &["haproxy"],
        from: "\nbackend app\n",
        to: "\nbackend app\n    <>\n",
        rule: "haproxy-cache-shared",
        cases: &["http-request cache-use c\n    http-response cache-store c"],
    },
    Group {
        pages: &["apache"],
        from: "    ProxyPass",
        to: "    CacheQuickHandler off\n    <>\n    ProxyPass",
        rule: "apache-cache-shared",
        cases: &[
            "CacheEnable disk /",
            "CacheEnable disk",
            "CacheEnable disk http://",
            "<Location />\n    CacheEnable disk\n    </Location>",
            "CacheStorePrivate on\n    CacheEnable disk /static",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\t<>\n\t\treverse_proxy 127.0.0.1:9000 {",
        rule: "not-checked",
        cases: &["cache", "cache {\n\t\t\tttl 1h\n\t\t}"],
    },
    Group {
        pages: &["nginx"],
        from: "auth_request /_palisade;",
        to: "auth_request /_palisade; <>",
        rule: "nginx-identity-headers",
        cases: &[
            "auth_request_set $p $upstream_http_x_palisade_principal;",
            "auth_request_set $p ${upstream_http_x_palisade_token};",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "http {\n",
        to: "stream {\n    <>\n}\nhttp {\n",
        rule: "nginx-stream",
        cases: &[
            "map $ssl_preread_server_name $b { a.test 127.0.0.1:9000; default 127.0.0.1:9443; } server { listen 1; ssl_preread on; proxy_pass $b; }",
            "map $ssl_preread_server_name $b { hostnames; a.test app; } upstream app { server localhost:9000; } server { listen 1; proxy_pass $b; }",
            "map $a $b { x $c; } map $d $c { default 9000; } server { listen 1; proxy_pass 127.0.0.1:$b; }",
            "split_clients $remote_addr $b { 50% 127.0.0.1:9000; * 10.0.0.1:1; } server { listen 1; proxy_pass $b; }",
            "server { listen 1; set $b 127.0.0.1:9000; proxy_pass ${b}; }",
            "geo $b { default 127.0.0.1:9000; } server { listen 1; proxy_pass $b; }",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "http {\n",
        to: "stream {\n    <>\n}\nhttp {\n",
        rule: "not-checked",
        cases: &[
            "server { listen 1; ssl_preread on; proxy_pass $ssl_preread_server_name:443; }",
            "js_set $b f.b; server { listen 1; proxy_pass $b; }",
            "map $a $b { default $b; } server { listen 1; proxy_pass $b; }",
            "map $a $b { ~(.+) $1; } server { listen 1; proxy_pass $b; }",
        ],
    },
    Group {
        pages: &["traefik"],
        from: "        maxResponseBodySize",
        to: "        <>\n        maxResponseBodySize",
        rule: "not-checked",
        cases: &[
            "fooBar: 1",
            "trustForwardHeaders: true",
            "skipAuthWhen: [a]",
            "tls: {insecureSkipVerification: true}",
        ],
    },
];

/// What is ordinary, and no finding.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<> proxy_pass http://service;",
        rule: "nginx-cache-shared",
        cases: &[
            "proxy_cache off; proxy_store off;",
            "proxy_cache c; proxy_cache_key $scheme$host$request_uri$http_authorization;",
            "proxy_cache c; proxy_cache_key $http_host$request_uri$cookie_session;",
            "proxy_cache c; proxy_cache_key $host$request_uri$palisade_principal;",
            "set $k $host$request_uri; proxy_cache c; proxy_cache_key $k$http_x_api_key;",
            "proxy_cache c; proxy_cache_key $host$request_uri; proxy_no_cache $cookie_s $http_authorization; proxy_cache_bypass $http_authorization;",
            "set $skip 0; if ($http_authorization) { set $skip 1; } proxy_cache c; proxy_cache_key $host$request_uri; proxy_no_cache $skip; proxy_cache_bypass $skip;",
            "proxy_store /var/www/$host/$http_authorization$uri;",
            "proxy_cache_path /a keys_zone=c:1m; proxy_cache_valid 200 1m;",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: ROUTER,
        to: CACHE,
        rule: "envoy-cache-shared",
        cases: &["disabled: true"],
    },
    Group {
        pages: &["haproxy"],
        from: "    default_backend app",
        to: "    <>\n    default_backend app",
        rule: "haproxy-cache-shared",
        cases: &[
            "http-request cache-use c if { path_beg /static/ }",
            "http-request cache-use c\n    http-response cache-store c if { res.hdr(x-open) -m found }",
        ],
    },
    Group {
        pages: &["apache"],
        from: "    ProxyPass",
        to: "    CacheQuickHandler off\n    <>\n    ProxyPass",
        rule: "apache-cache-shared",
        cases: &["CacheEnable disk /static/", "<Location /static>\n    CacheEnable disk\n    </Location>"],
    },
    Group {
        pages: &["nginx"],
        from: "auth_request /_palisade;",
        to: "auth_request /_palisade; <>",
        rule: "nginx-identity-set",
        cases: &[
            "auth_request_set $auth_status $upstream_status;",
            "auth_request_set $t $upstream_response_time;",
            "auth_request_set $u $request_uri;",
            "auth_request_set $e $upstream_http_x_error;",
            "auth_request_set $c $upstream_http_set_cookie;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "http {\n",
        to: "stream {\n    <>\n}\nhttp {\n",
        rule: "nginx-stream",
        cases: &[
            "map $ssl_preread_server_name $b { a.test 127.0.0.1:9443; default db; } upstream db { server 10.0.0.1:5432; } server { listen 1; ssl_preread on; proxy_pass $b; }",
            "map $a $b { hostnames; volatile; x $c; } map $d $c { default 1; } server { listen 1; proxy_pass 10.0.0.1:$b; }",
        ],
    },
    Group {
        pages: &["traefik"],
        from: "        maxResponseBodySize",
        to: "        <>\n        maxResponseBodySize",
        rule: "not-checked",
        cases: &[
            "addAuthCookiesToResponse: [a]",
            "tls: {ca: /a, insecureSkipVerify: true}",
            "preserveLocationHeader: true",
        ],
    },
];
