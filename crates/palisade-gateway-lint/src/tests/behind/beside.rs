//! What hosts take over from what stands around them, copies of requests, and checks of others beside the sidecar's.

use super::Group;
use super::cases::Change;

const PROXY: &str = "    ProxyPass \"/\"";
const HOST: &str = "<VirtualHost 127.0.0.1:8080>\n";
const PASS: &str = "    ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n";
const LOCATION: &str = "        location / {\n";
const SERVER: &str = "        listen 127.0.0.1:8080;\n";
const SITE: &str = ":8080 {\n";
const OPTION: &str = "\tadmin off\n";
const CHECK: &str = "                  - name: envoy.filters.http.ext_authz\n";
const SET_AT_CHECK: &str = "internal; proxy_set_header <>;";
const FASTCGI: &str =
    "    use-fcgi-app php\n    server app1 127.0.0.1:9000\nfcgi-app php\n    docroot /srv\n    set-param <>\n";

/// What is found.
pub(super) const FOUND: &[Group] = &[
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "    <>\n    ProxyPass \"/\"",
        rule: "apache-error-document",
        cases: &[
            "ProxyPass /err/ !\n    Alias /err/ /srv/err/\n    ErrorDocument 403 /err/%{HTTP:X-Lang}.html",
            "ProxyPass /err/ !\n    ErrorDocument 403 /err%{REQUEST_URI}",
            "ProxyPass /err/ !\n    ErrorDocument 401 \"/err/%{tolower:%{req:Accept-Language}}\"",
            "<Location /api>\n    ErrorDocument 503 /api/sorry\n    </Location>",
            "ErrorDocument 403 /err/x\n    ProxyPassMatch ^/errors/ !",
            "ErrorDocument 403 /denied.html\n    ProxyPassMatch ^/.*\\.png$ !",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "LuaHookAccessChecker /etc/apache2/palisade.lua check early\nAllowEncodedSlashes NoDecode\nProxyPreserveHost On\nProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\n<VirtualHost *:81>\nServerName b.test\n<>\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\n",
        rule: "apache-error-document",
        cases: &["ErrorDocument 403 /denied", "ErrorDocument 401 /denied\nProxyPass /errors/ !"],
    },
    Group {
        pages: &["apache"],
        from: PASS,
        to: "<>\n",
        rule: "apache-path-rewritten",
        cases: &[
            "<Location \"/\">\nSetHandler \"proxy:http://127.0.0.1:9000\"\n</Location>",
            "<Location \"/api\">\nSetHandler proxy:https://127.0.0.1:9000/api\n</Location>",
            "<LocationMatch ^/>\nSetHandler \"proxy:unix:/run/a.sock|http://localhost\"\n</LocationMatch>",
            "<Location \"/\">\nSetHandler \"proxy:balancer://c/\"\n</Location>\n<Proxy balancer://c>\nBalancerMember http://127.0.0.1:9000/app\n</Proxy>",
            "AddHandler \"proxy:http://127.0.0.1:9000\" .do",
            "RewriteRule ^ - [H=proxy:http://127.0.0.1:9000]",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<VirtualHost *:81>\nDocumentRoot /srv/a/public\n<>\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\n",
        rule: "apache-host-unchecked",
        cases: &[
            "PassengerRuby /x\n<Location /wp>\nPassengerEnabled off\n</Location>",
            "PassengerAppRoot /x\n<Directory /srv/a/public/static>\nPassengerEnabled off\n</Directory>",
            "AddHandler proxy:fcgi://127.0.0.1:9001 .php",
            "RewriteRule \\.php$ - [H=proxy:fcgi://127.0.0.1:9001]",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<>\n<VirtualHost *:81>\nDocumentRoot /srv/a/public\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\n",
        rule: "apache-host-unchecked",
        cases: &[
            "LoadModule passenger_module /m/mod_passenger.so\nPassengerRoot /x\nPassengerDefaultRuby /y",
            "<IfModule mod_passenger.c>\nPassengerRoot /x\n</IfModule>",
            "PassengerRoot /x\n<Location /wp>\nPassengerEnabled off\n</Location>",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "internal;",
        to: SET_AT_CHECK,
        rule: "nginx-check-headers",
        cases: &[
            "Content-Type \"text/plain; $content_type\"",
            "Content-Type \"$http_content_type; charset=x\"",
            "X-Original-URL \"\"",
        ],
    },
    Group {
        pages: &["nginx"],
        from: LOCATION,
        to: "<>\n        location / {\n",
        rule: "nginx-unchecked",
        cases: &[
            // it is copied of what no one asks about, too
            "mirror /m; location = /m { internal; proxy_pass http://127.0.0.1:9001; }\n        location /static/ { root /srv; }",
            "location ~ ^/mm { internal; proxy_pass http://127.0.0.1:9001; }\n        location = /x { proxy_pass http://service; mirror /mm1; }",
            "location /mm { proxy_pass http://127.0.0.1:9001; }",
            // another check guards the same service
            "location /b/ { auth_request /other; proxy_pass http://service; }\n        location = /other { internal; proxy_pass http://127.0.0.1:4180/oauth2/auth; }",
            "location /b/ { auth_request /other; proxy_pass http://$to; }\n        location = /other { internal; proxy_pass http://127.0.0.1:4180/oauth2/auth; }",
        ],
    },
    Group {
        pages: &["nginx"],
        from: LOCATION,
        to: "<>\n        location / {\n",
        rule: "not-checked",
        cases: &[
            "location /b/ { auth_request /oauth2/auth; proxy_pass http://10.0.0.9:80; }\n        location /oauth2/ { proxy_pass http://127.0.0.1:4180; }\n        location = /oauth2/auth { internal; proxy_pass http://127.0.0.1:4180; }",
        ],
    },
    Group {
        pages: &["caddy"],
        from: OPTION,
        to: "\tadmin off\n\t<>\n",
        rule: "not-checked",
        cases: &[
            "servers {\n\t\tfoo bar\n\t}",
            "servers {\n\t\ttimeouts {\n\t\t\tfoo 1s\n\t\t}\n\t}",
            "servers {\n\t\tmetrics {\n\t\t\tper_path\n\t\t}\n\t}",
            "servers {\n\t\tpacket_conn_wrappers {\n\t\t\tmine\n\t\t}\n\t}",
            "servers :443 {\n\t\ttimeouts {\n\t\t\tidle 1m\n\t\t}\n\t\tmine\n\t}",
        ],
    },
    Group {
        pages: &["caddy"],
        from: OPTION,
        to: "\tadmin off\n\tlayer4 {\n\t\t:5000 {\n\t\t\troute {\n\t\t\t\tproxy <>\n\t\t\t}\n\t\t}\n\t}\n",
        rule: "caddy-layer4",
        cases: &["0.0.0.0:9000", "[::]:9000", "127.0.0.1:8999-9002", "tcp4/localhost:9000"],
    },
    Group {
        pages: &["caddy"],
        from: SITE,
        to: "g.test:8080 {\n\tforward_auth authelia:9091 {\n\t\turi /api/authz/forward-auth\n\t}\n\treverse_proxy <>\n}\n:8080 {\n",
        rule: "not-checked",
        cases: &["grafana:3000"],
    },
    Group {
        pages: &["caddy"],
        from: SITE,
        to: "g.test:8080 {\n\tforward_auth authelia:9091 {\n\t\turi /api/authz/forward-auth\n\t}\n\treverse_proxy <>\n}\n:8080 {\n",
        rule: "caddy-unchecked",
        cases: &["{env.SERVICE}", "{\n\t\tdynamic a app 80\n\t}"],
    },
    Group {
        pages: &["caddy"],
        from: SITE,
        to: "g.test:8080 {\n\tforward_auth <> {\n\t\turi /api/authz/forward-auth\n\t}\n\treverse_proxy localhost:9000\n}\n:8080 {\n",
        rule: "caddy-unchecked",
        cases: &["authelia:9091", "/api/* authelia:9091"],
    },
    Group {
        pages: &["caddy"],
        from: SITE,
        to: "g.test:8080 {\n\t<>\n\treverse_proxy grafana:3000\n}\n:8080 {\n",
        rule: "caddy-unchecked",
        cases: &["encode gzip", "forward_auth /api/* authelia:9091 {\n\t\turi /api/authz/forward-auth\n\t}"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\t\turi /gateway",
        to: "\t\t\theader_up <>\n\t\t\turi /gateway",
        rule: "caddy-check-told",
        cases: &[">Content-Type text/plain", ">X-HTTP-Method-Override GET"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\tforward_auth 127.0.0.1:4180 {\n\t\t\turi /oauth2/auth\n\t\t\tcopy_headers <>\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000 {",
        rule: "caddy-identity-set",
        cases: &["X-Palisade-Principal", "X-Auth-Request-User>X-Palisade-Principal"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up <>",
        rule: "caddy-override-set",
        cases: &[">X-Original-URL {query.a}", ">X-HTTP-Method-Override DELETE"],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: CHECK,
        to: "                  - name: other\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz, <>}\n                  - name: envoy.filters.http.ext_authz\n",
        rule: "not-checked",
        cases: &[
            "grpc_service: {envoy_grpc: {cluster_name: opa}}",
            "http_service: {server_uri: {uri: \"http://127.0.0.1:4180\", cluster: oauth2, timeout: 1s}, path_prefix: /oauth2/auth}",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "    server app1 127.0.0.1:9000",
        to: FASTCGI,
        rule: "haproxy-path-rewritten",
        cases: &[
            "SCRIPT_FILENAME /srv%[path,url_dec]",
            "PATH_INFO %[path,regsub(^/a,/b)]",
            "SCRIPT_NAME %[path,field(2,/)]",
        ],
    },
];

const MIDDLEWARES: &str = "  middlewares:\n";
const OTHER: &str = "  middlewares:\n    authelia: {forwardAuth: {address: \"http://authelia:9091/api/authz/forward-auth\", authResponseHeaders: [Remote-User]}}\n";
const ROUTERS: &str = "  routers:\n";
const SERVICES: &str = "  services:\n";

/// What is found where all are changed.
pub(super) const BOTH: &[(&str, Change)] = &[
    (
        "not-checked",
        (
            "traefik",
            &[
                (MIDDLEWARES, OTHER),
                (
                    ROUTERS,
                    "  routers:\n    g: {rule: \"Host(`g.test`)\", entryPoints: [web], middlewares: [authelia], service: g}\n",
                ),
                (SERVICES, "  services:\n    g: {loadBalancer: {servers: [{url: \"http://grafana:3000\"}]}}\n"),
            ],
        ),
    ),
    // the service is that of the sidecar, under its own name or another
    (
        "traefik-router-unchecked",
        (
            "traefik",
            &[
                (MIDDLEWARES, OTHER),
                (
                    ROUTERS,
                    "  routers:\n    g: {rule: \"Host(`g.test`)\", entryPoints: [web], middlewares: [authelia], service: app}\n",
                ),
            ],
        ),
    ),
    (
        "traefik-router-unchecked",
        (
            "traefik",
            &[
                (MIDDLEWARES, OTHER),
                (
                    ROUTERS,
                    "  routers:\n    g: {rule: \"Host(`g.test`)\", entryPoints: [web], middlewares: [authelia], service: g}\n",
                ),
                (SERVICES, "  services:\n    g: {loadBalancer: {servers: [{url: \"http://localhost:9000\"}]}}\n"),
            ],
        ),
    ),
    (
        "traefik-router-unchecked",
        (
            "traefik",
            &[
                (MIDDLEWARES, OTHER),
                (ROUTERS, "  routers:\n    g: {rule: \"Host(`g.test`)\", entryPoints: [web], service: g}\n"),
                (SERVICES, "  services:\n    g: {loadBalancer: {servers: [{url: \"http://grafana:3000\"}]}}\n"),
            ],
        ),
    ),
    // what it is made of is
    (
        "traefik-router-unchecked",
        (
            "traefik",
            &[
                (MIDDLEWARES, OTHER),
                (
                    ROUTERS,
                    "  routers:\n    g: {rule: \"Host(`g.test`)\", entryPoints: [web], middlewares: [authelia], service: g}\n",
                ),
                (
                    SERVICES,
                    "  services:\n    g: {weighted: {services: [{name: h, weight: 1}]}}\n    h: {failover: {service: app@file, fallback: x}}\n",
                ),
            ],
        ),
    ),
    (
        "traefik-router-unchecked",
        (
            "traefik",
            &[
                (MIDDLEWARES, OTHER),
                (
                    ROUTERS,
                    "  routers:\n    g: {rule: \"Host(`g.test`)\", entryPoints: [web], middlewares: [authelia], service: elsewhere}\n",
                ),
            ],
        ),
    ),
    // the page for signing in is one of the service
    (
        "nginx-error-page",
        (
            "nginx",
            &[
                (LOCATION, "        location /oauth2/ { proxy_pass http://service; }\n        location / {\n"),
                ("auth_request /_palisade;", "auth_request /_palisade; error_page 401 = /oauth2/sign_in;"),
            ],
        ),
    ),
];

/// What is ordinary where all are changed.
pub(super) const TOGETHER: &[Change] = &[
    // the program of another check has a router and a site of its own
    (
        "traefik",
        &[
            (MIDDLEWARES, OTHER),
            (ROUTERS, "  routers:\n    a: {rule: \"Host(`auth.test`)\", entryPoints: [web], service: a}\n"),
            (SERVICES, "  services:\n    a: {loadBalancer: {servers: [{url: \"http://authelia:9091\"}]}}\n"),
        ],
    ),
    // copies of all that a server gets: `/_palisade` is asked by nginx itself, and nothing is copied of it
    (
        "nginx",
        &[
            (SERVER, "        listen 127.0.0.1:8080;\n        mirror /m;\n"),
            (
                LOCATION,
                "        location = /m { internal; proxy_pass http://127.0.0.1:9001$request_uri; proxy_set_header Host $host; proxy_set_header X-Palisade-Principal \"\"; proxy_set_header X-Palisade-Auth-Method \"\"; proxy_set_header X-Palisade-Token \"\"; proxy_set_header X-Original-URI \"\"; proxy_set_header X-Original-Host \"\"; }\n        location = /healthz { return 200; }\n        location / {\n",
            ),
        ],
    ),
];

/// What is ordinary.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "    <>\n    ProxyPass \"/\"",
        rule: "apache-error-document",
        cases: &[
            "ProxyPassMatch ^/err/ !\n    ErrorDocument 403 /err/403.html",
            "ProxyPass /err/403.html !\n    ErrorDocument 403 /err/403.html?x=1",
            "ProxyPass /err/ !\n    ErrorDocument 403 /err/%{REQUEST_STATUS}.html",
            "<Location /api>\n    ErrorDocument 503 /sorry\n    </Location>",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "ErrorDocument 403 /error/HTTP_FORBIDDEN.html.var\nProxyPass /error/ !\nLuaHookAccessChecker /etc/apache2/palisade.lua check early\nAllowEncodedSlashes NoDecode\nProxyPreserveHost On\nProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\n<VirtualHost *:81>\nServerName b.test\n<>\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\nProxyPass /error/ !\n",
        rule: "apache-error-document",
        cases: &["ErrorDocument 403 /errors/x\nProxyPass /errors/ !", "ErrorDocument 404 \"nothing here\""],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<>\n<VirtualHost 127.0.0.1:8080>\n",
        rule: "apache-host-unchecked",
        cases: &[
            "PassengerRoot /x\nPassengerEnabled off\n<VirtualHost *:81>\nDocumentRoot /srv/a/public\n</VirtualHost>",
            "PassengerRoot /x\n<VirtualHost *:81>\nDocumentRoot /srv/a/public\n<Directory /srv/a/public>\nPassengerEnabled off\n</Directory>\n</VirtualHost>",
            "PassengerRoot /x\n<VirtualHost *:81>\nDocumentRoot /var/www/html\n</VirtualHost>",
            "<VirtualHost *:81>\nDocumentRoot /srv/a/public\n</VirtualHost>",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "http {\n",
        to: "http {\n    <>\n",
        rule: "nginx-content-type-changed",
        cases: &["map $content_type $ct { default $content_type; \"\" \"\"; }"],
    },
    Group {
        pages: &["nginx"],
        from: LOCATION,
        to: "        location <> { internal; proxy_pass http://127.0.0.1:9001$request_uri; proxy_set_header Host $host; proxy_set_header X-Palisade-Principal \"\"; proxy_set_header X-Palisade-Auth-Method \"\"; proxy_set_header X-Palisade-Token \"\"; proxy_set_header X-Original-URI \"\"; proxy_set_header X-Original-Host \"\"; }\n        location / {\n            mirror /mm1;\n",
        rule: "nginx-unchecked",
        cases: &["= /mm1", "/mm", "^~ /mm", "~ ^/mm", "~* ^/MM"],
    },
    Group {
        pages: &["caddy"],
        from: SITE,
        to: "auth.test:8080 {\n\treverse_proxy <>\n}\n(other) {\n\tforward_auth authelia:9091 {\n\t\turi /api/authz/forward-auth\n\t}\n}\n:8080 {\n\timport other\n",
        rule: "caddy-unchecked",
        cases: &["authelia:9091"],
    },
    Group {
        pages: &["caddy"],
        from: OPTION,
        to: "\tadmin off\n\tservers {\n\t\t<>\n\t}\n",
        rule: "not-checked",
        cases: &[
            "protocols h1 h2 h3",
            "timeouts {\n\t\t\tread_body 10s\n\t\t\tread_header 5s\n\t\t\twrite 30s\n\t\t\tidle 2m\n\t\t}\n\t\tmetrics {\n\t\t\tper_host\n\t\t}\n\t\tmax_header_size 16kb",
            "name https\n\t\ttrace\n\t\tstrict_sni_host on\n\t\tclient_ip_headers X-Forwarded-For",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\tforward_auth 127.0.0.1:4180 {\n\t\t\turi /oauth2/auth\n\t\t\tcopy_headers <>\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000 {",
        rule: "caddy-identity-set",
        cases: &["X-Auth-Request-User X-Auth-Request-Email", "Remote-User Remote-Groups"],
    },
    Group {
        pages: &["haproxy"],
        from: "    server app1 127.0.0.1:9000",
        to: FASTCGI,
        rule: "haproxy-path-rewritten",
        cases: &["SCRIPT_FILENAME /srv/public/index.php", "PATH_INFO %[path]", "SCRIPT_NAME /index.php"],
    },
];
