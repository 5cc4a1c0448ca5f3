//! What may hand a request to a service, and is not known: it is reported at every place where that may be.

use super::pages::{Mutant, beside, page};
use super::*;

const LUA: &str = "    http-request lua.palisade\n";
const BACKEND: &str = "    default_backend app\n";
const SERVER: &str = "    server app1 127.0.0.1:9000";
const LOCATION: &str = "        location / {\n";
const PASS: &str = "            proxy_pass http://service; ";
const HOST: &str = "<VirtualHost 127.0.0.1:8080>\n";
const LISTENERS: &str = "  listeners:\n";
const APP: &str = "    - name: app\n";

/// Mutations of our pages, as [`pages::MUTANTS`]: `<>` stands for what is replaced.
pub(super) const UNKNOWN: &[Mutant] = &[
    // ---- HAProxy: programs, and what they answer
    ("haproxy", LUA, "    http-request use-service lua.files if { path_beg /f }\n<>", "not-checked"),
    ("haproxy", LUA, "    http-request lua.other\n<>", "not-checked"),
    ("haproxy", LUA, "<>    http-request lua.other\n", "not-checked"),
    ("haproxy", LUA, "<>    http-request lua.palisade-two\n", "not-checked"),
    ("haproxy", LUA, "    tcp-request content use-service lua.x\n<>", "not-checked"),
    ("haproxy", LUA, "    tcp-request content lua.x\n<>", "not-checked"),
    ("haproxy", LUA, "    tcp-request session attach-srv app/app1\n<>", "not-checked"),
    ("haproxy", LUA, "    http-request frobnicate x\n<>", "not-checked"),
    ("haproxy", LUA, "    http-request set-header X-A %[lua.a]\n<>", "not-checked"),
    ("haproxy", BACKEND, "    filter lua.other\n<>", "not-checked"),
    ("haproxy", BACKEND, "    use_backend %[lua.choose]\n<>", "not-checked"),
    ("haproxy", BACKEND, "    default_backend app\n    http-request use-service lua.x if { path /x }\n", "not-checked"),
    ("haproxy", SERVER, "    http-request lua.other\n<>", "not-checked"),
    ("haproxy", SERVER, "    reqrep ^([^\\ :]*)\\ /(.*) \\1\\ /x/\\2\n<>", "not-checked"),
    ("haproxy", "    mode http\n", "<>    http-request lua.other\n", "not-checked"),
    (
        "haproxy",
        "frontend web\n",
        "frontend two\n    bind :81\n    http-request use-service lua.app\n<>",
        "not-checked",
    ),
    ("haproxy", SERVER, "    option transparent\n<>", "haproxy-override-set"),
    ("haproxy", SERVER, "    http-send-name-header X-Palisade-Principal\n<>", "haproxy-identity-set"),
    ("haproxy", SERVER, "    unique-id-header X-HTTP-Method-Override\n<>", "haproxy-override-set"),
    ("haproxy", SERVER, "    option forwarded host-expr req.hdr(x-h)\n<>", "haproxy-override-set"),
    ("haproxy", LUA, "    tcp-request content set-dst req.hdr_ip(x-d)\n<>", "haproxy-override-set"),
    // ---- HAProxy: what a service over FastCGI gets
    ("haproxy", SERVER, "    use-fcgi-app php\n<>", "not-checked"),
    (
        "haproxy",
        SERVER,
        "    use-fcgi-app php\n<>\nfcgi-app php\n    set-param HTTP_X_PALISADE_PRINCIPAL %[req.hdr(x-u)]\n",
        "haproxy-identity-set",
    ),
    (
        "haproxy",
        SERVER,
        "    use-fcgi-app php\n<>\nfcgi-app php\n    set-param REQUEST_METHOD %[req.hdr(x-m)]\n",
        "haproxy-method-changed",
    ),
    (
        "haproxy",
        SERVER,
        "    use-fcgi-app php\n<>\nfcgi-app php\n    set-param REQUEST_URI %[req.hdr(x-p)]\n",
        "haproxy-path-rewritten",
    ),
    (
        "haproxy",
        SERVER,
        "    use-fcgi-app php\n<>\nfcgi-app php\n    set-param SCRIPT_NAME %[req.hdr(x-s)]\n",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        SERVER,
        "    use-fcgi-app php\n<>\nfcgi-app php\n    set-param HTTP_X_HTTP_METHOD_OVERRIDE %[url_param(m)]\n",
        "haproxy-override-set",
    ),
    ("haproxy", SERVER, "    use-fcgi-app php\n<>\nfcgi-app php\n    frobnicate x\n", "not-checked"),
    ("haproxy", LUA, "    http-request set-src hdr(x-f) if { src 0.0.0.0/0 }\n<>", "haproxy-trusts-everybody"),
    ("haproxy", LUA, "    http-request set-src hdr(x-f) if { src ::/0 }\n<>", "haproxy-trusts-everybody"),
    ("haproxy", LUA, "    http-request set-src hdr(x-f) if { hdr(x-f) -m found }\n<>", "haproxy-trusts-everybody"),
    ("haproxy", LUA, "    http-request set-src hdr(x-f) unless { src 10.1.1.1 }\n<>", "haproxy-trusts-everybody"),
    ("haproxy", LUA, "    http-request set-src hdr(x-f) if { src -m found }\n<>", "haproxy-trusts-everybody"),
    ("haproxy", LUA, "    tcp-request content set-src hdr(x-f)\n<>", "haproxy-trusts-everybody"),
    // ---- nginx: handlers of modules
    ("nginx", LOCATION, "location /o { root /a; passenger_enabled on; }\n<>", "nginx-unchecked"),
    ("nginx", LOCATION, "passenger_enabled on; location /o { root /a; }\n<>", "nginx-unchecked"),
    ("nginx", "    server {\n", "server { listen 81; root /a; passenger_enabled on; }\n<>", "nginx-unchecked"),
    ("nginx", LOCATION, "location /o { ajp_pass 127.0.0.1:9000; }\n<>", "nginx-unchecked"),
    ("nginx", LOCATION, "location /o { memcached_pass 127.0.0.1:9000; }\n<>", "nginx-unchecked"),
    ("nginx", LOCATION, "location /o { redis2_query get $arg_k; redis2_pass 127.0.0.1:6379; }\n<>", "nginx-unchecked"),
    ("nginx", LOCATION, "location /o { any_other_pass x; }\n<>", "nginx-unchecked"),
    ("nginx", LOCATION, "location /o { root /a; dav_methods PUT DELETE; }\n<>", "nginx-unchecked"),
    ("nginx", LOCATION, "location /o { auth_request /_palisade; unit_pass x; }\n<>", "not-checked"),
    ("nginx", LOCATION, "location /o { proxy_wasm f; }\n<>", "not-checked"),
    ("nginx", LOCATION, "location /o { echo_location /x; }\n<>", "not-checked"),
    ("nginx", LOCATION, "proxy_connect;\n<>", "not-checked"),
    ("nginx", LOCATION, "<>srcache_fetch GET /memc $uri;\n", "not-checked"),
    ("nginx", LOCATION, "<>more_set_input_headers \"X-HTTP-Method-Override: $arg_m\";\n", "not-checked"),
    ("nginx", LOCATION, "<>passenger_set_header X-Palisade-Principal $arg_m;\n", "not-checked"),
    ("nginx", LOCATION, "<>ssi on;\n", "not-checked"),
    ("nginx", "http {\n", "<>frobnicate on;\n", "not-checked"),
    ("nginx", "http {\n", "<>any_pass on;\n", "not-checked"),
    ("nginx", LOCATION, "<>if ($arg_a) { frobnicate on; }\n", "not-checked"),
    ("nginx", "http {\n", "rtmp { server { listen 1935; } }\n<>", "not-checked"),
    // ---- nginx: another path of the service
    ("nginx", "            proxy_ignore_headers X-Accel-Redirect;\n", "", "nginx-accel-redirect"),
    ("nginx", "X-Accel-Redirect;", "X-Accel-Expires;", "nginx-accel-redirect"),
    (
        "nginx",
        "            proxy_ignore_headers X-Accel-Redirect;\n",
        "            proxy_set_header X-Accel-Mapping $http_x_accel_mapping;\n            proxy_set_header X-Sendfile-Type \"\";\n",
        "nginx-accel-redirect",
    ),
    ("nginx", PASS, "            grpc_pass grpc://service; ", "nginx-accel-redirect"),
    // ---- Apache: handlers in a host without a check
    ("apache", HOST, "<VirtualHost *:81>\nWSGIScriptAlias / /a.wsgi\n</VirtualHost>\n<>", "apache-host-unchecked"),
    ("apache", HOST, "<VirtualHost *:81>\nPassengerEnabled on\n</VirtualHost>\n<>", "apache-host-unchecked"),
    ("apache", HOST, "<VirtualHost *:81>\nJkMount /* w1\n</VirtualHost>\n<>", "apache-host-unchecked"),
    ("apache", HOST, "<VirtualHost *:81>\nScriptAlias / /srv/app.cgi/\n</VirtualHost>\n<>", "apache-host-unchecked"),
    (
        "apache",
        HOST,
        "<VirtualHost *:81>\n<FilesMatch \\.php$>\nSetHandler application/x-httpd-php\n</FilesMatch>\n</VirtualHost>\n<>",
        "apache-host-unchecked",
    ),
    ("apache", HOST, "<VirtualHost *:81>\nAddHandler fcgid-script .fcgi\n</VirtualHost>\n<>", "apache-host-unchecked"),
    ("apache", HOST, "<VirtualHost *:81>\nSetHandler weblogic-handler\n</VirtualHost>\n<>", "apache-host-unchecked"),
    ("apache", HOST, "<VirtualHost *:81>\nSetHandler any-other\n</VirtualHost>\n<>", "apache-host-unchecked"),
    (
        "apache",
        HOST,
        "<VirtualHost *:81>\nAddType application/x-httpd-php .php\n</VirtualHost>\n<>",
        "apache-host-unchecked",
    ),
    (
        "apache",
        HOST,
        "<VirtualHost *:81>\nRewriteRule .* - [H=cgi-script]\n</VirtualHost>\n<>",
        "apache-host-unchecked",
    ),
    (
        "apache",
        HOST,
        "<VirtualHost *:81>\n<Location /s>\nDAV svn\n</Location>\n</VirtualHost>\n<>",
        "apache-host-unchecked",
    ),
    ("apache", HOST, "<VirtualHost *:81>\nProxyRequests On\n</VirtualHost>\n<>", "apache-host-unchecked"),
    (
        "apache",
        HOST,
        "AddHandler application/x-httpd-php .php\n<VirtualHost *:81>\nDocumentRoot /srv\n</VirtualHost>\n<>",
        "apache-host-unchecked",
    ),
    ("apache", HOST, "<>ProxyRequests On\n", "apache-host-changed"),
    ("apache", HOST, "<>JkMount /* w1\n", "not-checked"),
    ("apache", HOST, "<>Frobnicate on\n", "not-checked"),
    ("apache", HOST, "<Frobnicate a>\n</Frobnicate>\n<>", "not-checked"),
    ("apache", HOST, "<>SetEnv HTTP_X_PALISADE_PRINCIPAL root\n", "apache-identity-set"),
    ("apache", HOST, "<>SetEnvIf X-U (.*) HTTP_X_PALISADE_PRINCIPAL=$1\n", "apache-identity-set"),
    ("apache", HOST, "<>ProxyFCGISetEnvIf true REQUEST_METHOD DELETE\n", "apache-override-set"),
    ("apache", HOST, "<>RewriteRule .* - [E=HTTP_X_HTTP_METHOD_OVERRIDE:%{HTTP:X-M}]\n", "apache-override-set"),
    // ---- Envoy: what leads elsewhere
    (
        "envoy",
        LISTENERS,
        "<>    - filter_chains: [{filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, value: {cluster: app}}}]}]\n",
        "envoy-tcp-proxy",
    ),
    (
        "envoy",
        LISTENERS,
        "<>    - filter_chains: [{filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, value: {http_filters: [{name: envoy.filters.http.router}]}}}]}]\n",
        "envoy-listener-unchecked",
    ),
    (
        "envoy",
        LISTENERS,
        "<>    - filter_chains: [{filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm}}]}]\n",
        "not-checked",
    ),
    (
        "envoy",
        LISTENERS,
        "<>    - filter_chains: [{filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy}}]}]\n",
        "not-checked",
    ),
    (
        "envoy",
        LISTENERS,
        "<>    - filter_chains: [{filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/any.Other}}]}]\n",
        "not-checked",
    ),
    (
        "envoy",
        LISTENERS,
        "<>    - default_filter_chain: {filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/any.Other}}]}\n",
        "not-checked",
    ),
    (
        "envoy",
        LISTENERS,
        "<>    - listener_filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig}}]\n",
        "not-checked",
    ),
    (
        "envoy",
        APP,
        "<>      typed_extension_protocol_options: {a: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, http_filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/any.Other}}]}}\n",
        "not-checked",
    ),
    ("envoy", "route: {cluster: app}", "route: {cluster_specifier_plugin: a}", "not-checked"),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {inline_cluster_specifier_plugin: {extension: {name: a}}}",
        "not-checked",
    ),
    // ---- a host by another name
    ("nginx", PASS, "            proxy_set_header X-Frappe-Site-Name $arg_s;\n<>", "nginx-override-set"),
    ("haproxy", BACKEND, "    http-request set-header X-Frappe-Site-Name %[url_param(s)]\n<>", "haproxy-override-set"),
    ("apache", HOST, "<>RequestHeader set X-Frappe-Site-Name \"expr=%{QUERY_STRING}\"\n", "apache-override-set"),
    ("caddy", "\t\treverse_proxy 127", "\t\trequest_header X-Frappe-Site-Name {query.s}\n<>", "caddy-override-set"),
    (
        "envoy",
        "route: {cluster: app}",
        "<>\n                          request_headers_to_add: [{header: {key: x-frappe-site-name, value: \"%QUERY_PARAM(s)%\"}}]",
        "envoy-override-set",
    ),
];

/// What is ordinary, and no finding.
const ORDINARY: &[(&str, &str, &str)] = &[
    ("haproxy", LUA, "    http-request use-service prometheus-exporter if { path /metrics }\n<>"),
    ("haproxy", LUA, "    http-request track-sc0 src\n    http-request wait-for-body time 1s\n<>"),
    ("haproxy", LUA, "    http-request set-src hdr(x-f) if { src 10.0.0.0/8 }\n<>"),
    ("haproxy", LUA, "    acl lb src 10.0.0.1 10.0.0.2\n    http-request set-src hdr(x-f) if lb\n<>"),
    ("haproxy", LUA, "    tcp-request inspect-delay 5s\n    tcp-request content accept if HTTP\n<>"),
    ("haproxy", LUA, "    tcp-request connection expect-proxy layer4 if { src 10.0.0.1 }\n<>"),
    ("haproxy", LUA, "    monitor-uri /up\n    option forwardfor\n    no log\n    unique-id-header X-Request-ID\n<>"),
    ("haproxy", BACKEND, "    filter compression\n    compression algo gzip\n<>"),
    ("haproxy", SERVER, "    stick-table type ip size 1m\n    option httpchk GET /up\n    cookie SRV insert\n<>"),
    (
        "haproxy",
        SERVER,
        "    use-fcgi-app php\n<>\nfcgi-app php\n    docroot /srv\n    index index.php\n    path-info ^(/.+\\.php)(/.*)?$\n    no option \
         keep-conn\n    set-param SCRIPT_FILENAME /srv/index.php\n    set-param REQUEST_METHOD %[method]\n",
    ),
    (
        "nginx",
        "http {\n",
        "<>brotli on; more_set_headers \"Server: x\"; vhost_traffic_status_zone; geoip2 /a.mmdb { $c country; }\n",
    ),
    (
        "nginx",
        "http {\n",
        "<>lua_package_path a; sendfile on; ssl_protocols TLSv1.3; gzip on; types_hash_max_size 9; log_format a b;\n",
    ),
    ("nginx", "http {\n", "load_module a.so;\n<>split_clients $a $b { 1% x; } geo $g { default 0; 10.0.0.0/8 1; }\n"),
    ("nginx", LOCATION, "passenger_enabled off;\n<>"),
    (
        "nginx",
        LOCATION,
        "<>proxy_buffering off; proxy_ssl_verify on; client_max_body_size 9m; limit_req zone=a; expires 1d;\n",
    ),
    (
        "nginx",
        "            proxy_ignore_headers X-Accel-Redirect;\n",
        "            proxy_set_header X-Accel-Mapping \"\";\n            proxy_set_header X-Sendfile-Type \"\";\n",
    ),
    ("nginx", "X-Accel-Redirect;", "Set-Cookie X-Accel-Redirect;"),
    ("apache", HOST, "<VirtualHost *:81>\nDocumentRoot /srv\nDirectoryIndex a\nOptions -Indexes\n</VirtualHost>\n<>"),
    ("apache", HOST, "<VirtualHost *:81>\n<Location /s>\nSetHandler server-status\n</Location>\n</VirtualHost>\n<>"),
    ("apache", HOST, "AddHandler application/x-httpd-php .php\nAddHandler type-map var\nPassengerRoot /a\n<>"),
    ("apache", HOST, "<>WSGIScriptAlias /a /a.wsgi\nWSGIDaemonProcess a\n"),
    ("apache", HOST, "<>DAV Off\nProxyRequests Off\nSetEnv APP_ENV production\nSetEnvIf User-Agent bot bot=1\n"),
    (
        "apache",
        HOST,
        "<>SSLProtocol all\nHeader always set X-A b\nErrorDocument 404 gone\nCustomLog a combined\nKeepAlive On\n",
    ),
    (
        "envoy",
        APP,
        "<>      typed_extension_protocol_options: {a: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, http_filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec}}]}}\n",
    ),
    (
        "envoy",
        LISTENERS,
        "<>    - listener_filters: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}]\n",
    ),
    (
        "envoy",
        LISTENERS,
        "<>    - filter_chains: [{filters: [{name: envoy.filters.network.rbac}, {name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, cluster: database}}]}]\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [{object_key: envoy.network.transport_socket.original_dst_address, format_string: {text_format_source: {inline_string: \"10.0.0.1:80\"}}}]}\n                  - name: envoy.filters.http.router\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config, on_request_headers: [{object_key: my.object, format_string: {text_format_source: {inline_string: \"%REQ(x-dest)%\"}}}]}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
];

/// What comes in the place of `from`, which stands for `<>` in it.
pub(super) fn filled(from: &str, to: &str) -> String {
    to.replacen("<>", from, 1)
}

#[test]
fn what_is_ordinary_is_known() {
    let mut wrong = Vec::new();
    for (name, from, to) in ORDINARY {
        let (gateway, mut sources) = page(name);
        assert!(sources.iter().any(|(_, text)| text.contains(from)), "{name} has no {from:?} any more");
        for (_, text) in &mut sources {
            *text = text.replacen(from, &filled(from, to), 1);
        }
        let found = lint(gateway, &sources, &beside);
        if !found.is_empty() {
            wrong.push(format!("{name}: {from:?} -> {to:?}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names count whatever their case, and are shown as they are written.
#[test]
fn names_are_shown_as_they_are_written() {
    let compose = "services:\n  app:\n    image: app\n    labels:\n      traefik.http.routers.o.rule: PathPrefix(`/`)\n      \
                   traefik.http.routers.o.middlewares: ${MW}, Other@file\n      \
                   traefik.http.middlewares.a.forwardauth.address: http://127.0.0.1:8180/gateway/forward\n";
    let found = one(Gateway::Traefik, compose);
    for name in ["${MW}", "Other@file"] {
        let expected = format!("the middleware `{name}` is not defined in what was read");
        assert!(found.iter().any(|finding| finding.message.starts_with(&expected)), "{name}: {found:#?}");
    }
}
