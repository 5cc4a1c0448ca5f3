//! nginx.

use super::Near;

pub(super) const NEAR: &[Near] = &[
    (
        "not-checked",
        "nginx",
        &[("http {\n", "http {\n    include mime.types;\n    sendfile on;\n    gzip on;\n    server_tokens off;\n")],
    ),
    (
        "nginx-accel-redirect",
        "nginx",
        &[("proxy_ignore_headers X-Accel-Redirect;", "proxy_ignore_headers Expires \"X-Accel-Redirect\";")],
    ),
    (
        "nginx-cache-shared",
        "nginx",
        &[(
            "proxy_pass http://service;",
            "proxy_cache c; proxy_cache_key $scheme$host$request_uri$http_authorization$http_cookie; proxy_pass http://service;",
        )],
    ),
    (
        "nginx-check-body",
        "nginx",
        &[("proxy_set_header Content-Length \"\";", "client_max_body_size 0; proxy_set_header content-length '';")],
    ),
    ("nginx-check-cached", "nginx", &[("internal;", "internal; proxy_cache off;")]),
    ("nginx-check-elsewhere", "nginx", &[("http://palisade/gateway/nginx", "http://127.0.0.1:8180/gateway/nginx")]),
    ("nginx-check-headers", "nginx", &[("internal;", "internal; proxy_pass_request_headers on;")]),
    ("nginx-check-keepalive", "nginx", &[("proxy_set_header Connection \"\";", "proxy_set_header connection '';")]),
    ("nginx-check-lost", "nginx", &[("location = /_palisade {", "location ^~ /_palisade {")]),
    (
        "nginx-check-reachable",
        "nginx",
        &[("            internal;\n", ""), ("proxy_send_timeout    1s;", "proxy_send_timeout 1s; internal;")],
    ),
    ("nginx-check-timeout", "nginx", &[("proxy_read_timeout    1s;", "proxy_read_timeout 1500ms;")]),
    ("nginx-check-told", "nginx", &[("X-Forwarded-For   $remote_addr;", "X-Forwarded-For \"${remote_addr}\";")]),
    (
        "nginx-error-page",
        "nginx",
        &[(
            "auth_request /_palisade;",
            "auth_request /_palisade; error_page 401 /login.html; error_page 500 502 503 504 /50x.html;",
        )],
    ),
    (
        "nginx-identity-headers",
        "nginx",
        &[(
            "proxy_set_header X-Palisade-Token       $palisade_token;",
            "proxy_set_header x-palisade-token \"$palisade_token\";",
        )],
    ),
    (
        "nginx-identity-set",
        "nginx",
        &[(
            "proxy_set_header Host $host;",
            "proxy_set_header Host $host; proxy_set_header X_Palisade_Token $palisade_token; proxy_set_header X-User $palisade_principal;",
        )],
    ),
    (
        "nginx-invalid-headers",
        "nginx",
        &[("listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; ignore_invalid_headers on;")],
    ),
    (
        "nginx-method-changed",
        "nginx",
        &[("proxy_pass http://service;", "limit_except GET POST { deny all; } proxy_pass http://service;")],
    ),
    (
        "nginx-no-check",
        "nginx",
        &[
            ("            auth_request /_palisade;\n", ""),
            ("http {\n", "http {\n    auth_request /_palisade;\n"),
            ("internal;", "internal; auth_request off;"),
        ],
    ),
    (
        "nginx-override-set",
        "nginx",
        &[(
            "proxy_set_header X-Forwarded-Proto $scheme;",
            "proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Real-IP $remote_addr;",
        )],
    ),
    ("nginx-pass-uri", "nginx", &[("proxy_pass http://service;", "proxy_pass http://service$request_uri;")]),
    (
        "nginx-path-rewritten",
        "nginx",
        &[("listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; rewrite ^/old/(.*)$ /new/$1 permanent;")],
    ),
    (
        "nginx-satisfy-any",
        "nginx",
        &[("auth_request /_palisade;", "auth_request /_palisade; satisfy all; allow 10.0.0.0/8; deny all;")],
    ),
    (
        "nginx-stream",
        "nginx",
        &[(
            "http {\n",
            "stream {\n    upstream db { server 10.0.0.1:5432; }\n    server { listen 5432; proxy_pass db; }\n}\nhttp {\n",
        )],
    ),
    (
        "nginx-trusts-everybody",
        "nginx",
        &[(
            "listen 127.0.0.1:8080;",
            "listen 127.0.0.1:8080; set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;",
        )],
    ),
    (
        "nginx-unchecked",
        "nginx",
        &[(
            "        location / {\n",
            "        location /static/ { root /srv; }\n        location = /healthz { return 200; }\n        location / {\n",
        )],
    ),
    ("nginx-underscores", "nginx", &[("listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; underscores_in_headers off;")]),
    (
        "nginx-upgrade",
        "nginx",
        &[("~*^websocket$ websocket;", "websocket websocket;"), ("~*^websocket$ upgrade;", "websocket upgrade;")],
    ),
];
