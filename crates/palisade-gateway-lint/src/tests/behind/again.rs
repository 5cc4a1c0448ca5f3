//! What opens again what a page closes: content types, subrequests, variables in the URL of a service, later lines.

use super::Group;

const PROXY: &str = "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n";
const SCHEME: &str = "proxy_set_header X-Forwarded-Proto $scheme;";
const CHECK: &str = "                  - name: envoy.filters.http.ext_authz\n";
const ROUTE: &str = "route: {cluster: app}";

/// What is found.
pub(super) const FOUND: &[Group] = &[
    Group {
        pages: &["envoy"],
        from: CHECK,
        to: "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.<>}\n                  - name: envoy.filters.http.ext_authz\n",
        rule: "envoy-grpc-passes",
        cases: &[
            "grpc_web.v3.GrpcWeb",
            "grpc_http1_bridge.v3.Config",
            "connect_grpc_bridge.v3.FilterConfig",
            "grpc_json_transcoder.v3.GrpcJsonTranscoder",
            "lua.v3.Lua, default_source_code: {inline_string: \"h:replace('Content-Type', 'application/grpc')\"}",
            "header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: content-type, value: application/grpc}}}]}",
        ],
    },
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "<>\n",
        rule: "apache-host-changed",
        cases: &[
            "ProxyPassInterpolateEnv On\nSetEnvIf X-Backend \"(.*)\" BE=$1\nProxyPass \"/\" \"http://${BE}/\" nocanon interpolate",
            "SetEnvIf Request_URI \"^/([^/]+)\" BE=$1\nProxyPass \"/\" \"http://${BE}/\" nocanon interpolate",
            "SetEnvIfExpr \"req('X-B') =~ /(.+)/\" BE=$1\nProxyPass \"/\" \"http://${BE}:80/\" nocanon interpolate",
            "RewriteRule ^/([^/]+) - [E=BE:$1]\nProxyPass \"/\" \"http://${BE}/\" nocanon interpolate",
            "RewriteRule ^ - [E=BE:%{HTTP:X-B}]\nProxyPass \"/\" \"${BE}\" nocanon interpolate",
            "RewriteCond %{HTTP:X-B} (.+)\nRewriteRule ^ - [E=BE:%1]\nProxyPass \"/\" \"http://${BE}/\" nocanon interpolate",
            "RewriteRule ^/([^/]+) - [E=BE:$1]\nRewriteRule ^ http://%{ENV:BE}/ [P]",
            "RewriteRule ^/([^/]+)/ http://$1/ [P]",
            "RewriteRule ^ %{HTTP:X-B} [P]",
            "ProxyPassMatch ^/([^/]+)$ http://$1/ nocanon",
        ],
    },
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n<>\n",
        rule: "apache-includes",
        cases: &[
            "SetOutputFilter INCLUDES",
            "<Location \"/\">\nOptions +Includes\nSetOutputFilter DEFLATE;Includes\n</Location>",
            "AddOutputFilter INCLUDES .shtml",
            "AddOutputFilterByType INCLUDES text/html",
            "FilterProvider f INCLUDES true",
            "AddHandler server-parsed .html",
            "XBitHack full",
        ],
    },
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "<>\n",
        rule: "apache-upgrade",
        cases: &[
            "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\nProxySet \"http://127.0.0.1:9000/\" upgrade=ANY",
            "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\n<Proxy \"http://127.0.0.1:9000/\">\nProxySet Upgrade=any\n</Proxy>",
            "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\n<Proxy \"http://127.0.0.1:9000/\" upgrade=ANY>\n</Proxy>",
            "ProxyPass \"/\" \"balancer://b/\" nocanon\n<Proxy \"balancer://b\">\nBalancerMember http://127.0.0.1:9000 upgrade=ANY\n</Proxy>",
        ],
    },
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\n<>\n",
        rule: "apache-cgi",
        cases: &[
            "ProxyPass \"/s\" \"scgi://127.0.0.1:9001/s\"",
            "ProxyPass \"/u\" \"UWSGI://127.0.0.1:9001/u\"",
            "ScriptAlias /cgi-bin/ /srv/cgi/",
            "ScriptAliasMatch ^/c /srv/cgi/c",
            "AddHandler cgi-script .cgi",
            "<Location /s>\nSetHandler \"proxy:scgi://127.0.0.1:9001\"\n</Location>",
        ],
    },
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\nRequestHeader <>\n",
        rule: "apache-content-type-changed",
        cases: &[
            "set Content-Type application/json",
            "unset content-type",
            "setifempty Content-Type text/plain",
            "edit Content-Type ^text application",
            "unset Content-Encoding",
            "set Content_Type text/plain",
        ],
    },
    Group {
        pages: &["nginx"],
        from: SCHEME,
        to: "proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header <>;",
        rule: "nginx-content-type-changed",
        cases: &[
            "Content-Type application/json",
            "Content-Type \"\"",
            "content-type $http_x_type",
            "Content-Encoding \"\"",
            "Content-Length 10",
            "Transfer-Encoding $http_x_t",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<>",
        rule: "nginx-content-type-changed",
        cases: &[
            "fastcgi_param CONTENT_TYPE application/json; fastcgi_pass service;",
            "uwsgi_param HTTP_CONTENT_ENCODING \"\"; uwsgi_pass service;",
            "grpc_set_header Content-Type $http_a; grpc_pass service;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: SCHEME,
        to: "proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header <>;",
        rule: "nginx-identity-set",
        cases: &[
            "X_Palisade_Principal $http_x_u",
            "X.Palisade.Principal admin",
            "x_palisade-token $arg_t",
            "X-Palisade_Auth_Method $remote_user",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<>",
        rule: "nginx-identity-set",
        cases: &[
            "fastcgi_param HTTP_X.PALISADE.PRINCIPAL $http_x_u; fastcgi_pass service;",
            "uwsgi_param HTTP_X-PALISADE-PRINCIPAL $http_x_u; uwsgi_pass service;",
            "grpc_set_header X_Palisade_Principal $http_x_u; grpc_pass service;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<>",
        rule: "nginx-method-changed",
        cases: &[
            "fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_METHOD GET; fastcgi_pass service;",
            "scgi_param REQUEST_METHOD $request_method; scgi_param REQUEST_METHOD $http_x_m; scgi_pass service;",
        ],
    },
    Group {
        pages: &["nginx"],
        from: SCHEME,
        to: "proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header <>;",
        rule: "nginx-override-set",
        cases: &[
            "X-Original-URL $uri",
            "X-Rewrite-URL $document_uri$is_args$args",
            "X-Original-URL $scheme://$host$uri",
            "X-MS-Original-URL $arg_u",
            "X-Astro-Path $http_x_p",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "    server {",
        to: "    server {\n        location = /m { proxy_pass http://service; <> }\n",
        rule: "nginx-unchecked",
        cases: &[
            "",
            "internal;",
            "internal; } location /a { mirror /m; auth_request off; return 200;",
            "internal; } error_page 404 /m; location /a { mirror /m; auth_request /_palisade; root /srv;",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: ROUTE,
        to: "route: {cluster: app}\n                          <>",
        rule: "envoy-content-type-changed",
        cases: &[
            "request_headers_to_add: [{header: {key: content-type, value: application/json}}]",
            "request_headers_to_add: [{header: {key: Content-Encoding, value: \"%REQ(x-e)%\"}}]",
            "request_headers_to_remove: [content-type]",
            "request_headers_to_remove: [Content-Encoding]",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "                  - name: envoy.filters.http.router\n",
        to: "                  - name: m\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation, mutations: {request_mutations: [<>]}}\n                  - name: envoy.filters.http.router\n",
        rule: "envoy-content-type-changed",
        cases: &[
            "{append: {header: {key: content-type, value: text/plain}}}",
            "{remove: content-type}",
            "{remove_on_match: {key_matcher: {prefix: content-}}}",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "static_resources:\n",
        to: "admin: {address: {socket_address: {address: <>, port_value: 9901}}}\nstatic_resources:\n",
        rule: "envoy-admin-open",
        cases: &["0.0.0.0", "\"::\"", "10.0.0.5"],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "- name: app\n",
        to: "- name: app\n      typed_extension_protocol_options: {a: {<>}}\n",
        rule: "envoy-trailers",
        cases: &[
            "explicit_http_config: {http2_protocol_options: {}}",
            "use_downstream_protocol_config: {http2_protocol_options: {}}",
            "auto_config: {}",
        ],
    },
];

/// What is ordinary.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["envoy"],
        from: CHECK,
        to: "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.<>}\n                  - name: envoy.filters.http.ext_authz\n",
        rule: "envoy-grpc-passes",
        cases: &[
            "cors.v3.Cors",
            "header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: x-a, value: b}}}]}",
            "compressor.v3.Compressor, response_direction_config: {common_config: {content_type: [application/grpc]}}",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "                  - name: envoy.filters.http.router\n",
        to: "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.<>}\n                  - name: envoy.filters.http.router\n",
        rule: "envoy-grpc-passes",
        cases: &["grpc_web.v3.GrpcWeb"],
    },
    Group {
        pages: &["envoy-grpc"],
        from: CHECK,
        to: "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.<>}\n                  - name: envoy.filters.http.ext_authz\n",
        rule: "envoy-grpc-passes",
        cases: &[
            "grpc_web.v3.GrpcWeb",
            "header_mutation.v3.HeaderMutation, mutations: {request_mutations: [{append: {header: {key: content-type, value: a/b}}}]}",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "static_resources:\n",
        to: "admin: {address: <>}\nstatic_resources:\n",
        rule: "envoy-admin-open",
        cases: &["{socket_address: {address: 127.0.0.1, port_value: 9901}}", "{pipe: {path: /run/envoy.sock}}"],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: ROUTE,
        to: "route: {cluster: app}\n                          <>",
        rule: "envoy-content-type-changed",
        cases: &[
            "request_headers_to_add: [{header: {key: content-type, value: \"%REQ(content-type)%\"}}]",
            "request_headers_to_remove: [x-content-type]",
            "response_headers_to_add: [{header: {key: content-type, value: text/plain}}]",
        ],
    },
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "<>\n",
        rule: "apache-content-type-changed",
        cases: &[
            "SetEnvIf X-Backend \"(.*)\" BE=$1\nProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon interpolate",
            "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\nOptions +Includes",
            "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\nAddOutputFilterByType DEFLATE text/html\nXBitHack off",
            "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\nProxySet \"http://127.0.0.1:9000/\" upgrade=websocket timeout=5",
            "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\nRequestHeader unset Content-Type early",
            "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\nRequestHeader set X-Content-Type a\nHeader set Content-Type text/plain",
            "ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon\nProxyPass \"/f\" \"fcgi://127.0.0.1:9001/f\"",
        ],
    },
    Group {
        pages: &["nginx"],
        from: SCHEME,
        to: "proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header <>;",
        rule: "nginx-content-type-changed",
        cases: &[
            "Content-Type $content_type",
            "Content-Type $http_content_type",
            "Content-Length $content_length",
            "Transfer-Encoding \"\"",
            "X_Palisade_Principal \"\"",
            "X_Palisade_Principal $palisade_principal",
            "X-Original-URL \"\"",
            "X-Original-URL $request_uri",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "    server {",
        to: "    server {\n        location = /m { internal; proxy_pass http://service; proxy_set_header Host $host; proxy_set_header X-Palisade-Principal \"\"; proxy_set_header X-Palisade-Auth-Method \"\"; proxy_set_header X-Palisade-Token \"\"; proxy_set_header X-Original-URI \"\"; proxy_set_header X-Original-Host \"\"; } location /a { mirror /m; auth_request /_palisade; <> }\n",
        rule: "nginx-unchecked",
        cases: &["root /srv;"],
    },
];
