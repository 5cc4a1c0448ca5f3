//! Traps by which requests get past the check: answered in front of it, or sent where the client says.

use super::pages::{Mutant, beside, page};
use super::*;

/// Mutations of our pages, as [`pages::MUTANTS`].
pub(super) const PAST: &[Mutant] = &[
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-cache-before-check",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-cache-before-check",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cache_v2.v3.CacheV2Config}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-cache-before-check",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cache_v2.v3.CacheV2Config}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-cache-before-check",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, providers: {a: {claim_to_headers: [{header_name: x-palisade-principal, claim_name: sub}]}}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-set",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, providers: {a: {claim_to_headers: [{header_name: x-palisade-principal, claim_name: sub}]}}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, providers: {a: {forward_payload_header: x_palisade_token}}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-set",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, providers: {a: {forward_payload_header: x_palisade_token}}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, providers: {a: {claim_to_headers: [{header_name: x-http-method-override, claim_name: m}]}}}\n                  - name: envoy.filters.http.router\n",
        "envoy-override-set",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, providers: {a: {claim_to_headers: [{header_name: x-http-method-override, claim_name: m}]}}}\n                  - name: envoy.filters.http.router\n",
        "envoy-override-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth, forward_username_header: x-palisade-principal}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-set",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth, forward_username_header: x-palisade-principal}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth, forwarding: {header: X-Palisade-Principal}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-set",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth, forwarding: {header: X-Palisade-Principal}}\n                  - name: envoy.filters.http.router\n",
        "envoy-identity-set",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector, overwrite: true}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-check-told",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector, overwrite: true}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-check-told",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-check-told",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-check-told",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.gcp_authn.v3.GcpAuthnFilterConfig}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-check-told",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.gcp_authn.v3.GcpAuthnFilterConfig}\n                  - name: envoy.filters.http.ext_authz\n",
        "envoy-check-told",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.aws_lambda.v3.Config}\n                  - name: envoy.filters.http.ext_authz\n",
        "not-checked",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.aws_lambda.v3.Config}\n                  - name: envoy.filters.http.ext_authz\n",
        "not-checked",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter}\n                  - name: envoy.filters.http.router\n",
        "not-checked",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter}\n                  - name: envoy.filters.http.router\n",
        "not-checked",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/my.http.router.Filter}\n                  - name: envoy.filters.http.ext_authz\n",
        "not-checked",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/my.http.router.Filter}\n                  - name: envoy.filters.http.router\n",
        "not-checked",
    ),
    ("envoy", "route: {cluster: app}", "route: {cluster_header: x-c}", "envoy-override-set"),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {weighted_clusters: {clusters: [{cluster_header: x-c, weight: 1}]}}",
        "envoy-override-set",
    ),
    (
        "envoy",
        "- name: app\n",
        "- name: app\n      original_dst_lb_config: {use_http_header: true}\n",
        "envoy-override-set",
    ),
    ("apache", "    ProxyPass", "    CacheEnable disk /\n    ProxyPass", "apache-cache-before-check"),
    ("apache", "    ProxyPass", "    CacheEnable socache \"/\"\n    ProxyPass", "apache-cache-before-check"),
    ("apache", "    ProxyPass", "    RequestHeader set Host \"expr=%{req:X-H}\"\n    ProxyPass", "apache-host-changed"),
    (
        "apache",
        "    ProxyPass",
        "    RewriteRule /(.*) http://%{HTTP:X-B}/$1 [P,L]\n    ProxyPass",
        "apache-host-changed",
    ),
    (
        "haproxy",
        "    http-request lua.palisade",
        "    http-request cache-use c\n    http-request lua.palisade",
        "haproxy-cache-before-check",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header Host %[req.hdr(x-h)] if { req.hdr(x-h) -m found }\n",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header host %[url_param(h),lower]\n",
        "haproxy-override-set",
    ),
    ("haproxy", "\nbackend app\n", "\nbackend app\n    http-request set-dst req.hdr(x-d)\n", "haproxy-override-set"),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-var(txn.h) req.cook(h)\n    http-request set-header Host %[var(txn.h)]\n",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "    http-request lua.palisade",
        "    http-request do-resolve(txn.ip,dns,ipv4) hdr(x-d)\n    http-request set-dst var(txn.ip)\n    http-request lua.palisade",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "    default_backend app",
        "    use_backend %[req.hdr(x-b)] if { req.hdr(x-b) -m found }\n    default_backend app",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "    http-request lua.palisade",
        "    http-request replace-header Authorization .* \"Bearer root\"\n    http-request lua.palisade",
        "haproxy-check-told",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {http.request.header.X-Tenant-Host}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {query.h}",
        "caddy-override-set",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {cookie.h}",
        "caddy-override-set",
    ),
    ("caddy", "reverse_proxy 127.0.0.1:9000 {", "reverse_proxy {query.b} {", "caddy-override-set"),
    ("caddy", "reverse_proxy 127.0.0.1:9000 {", "reverse_proxy {http.request.header.X-B}:80 {", "caddy-override-set"),
    ("caddy", "reverse_proxy 127.0.0.1:9000 {", "reverse_proxy {\n\t\t\tto {header.X-B}", "caddy-override-set"),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy {\n\t\t\tdynamic a {header.X-B} 80",
        "caddy-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\tvars b {header.X-B}\n\t\treverse_proxy {vars.b} {",
        "caddy-override-set",
    ),
    ("nginx", "proxy_set_header Host $host;", "proxy_set_header Host $http_x_h;", "nginx-host-changed"),
    ("nginx", "proxy_set_header Host $host;", "proxy_set_header Host $arg_h;", "nginx-host-changed"),
    ("nginx", "proxy_set_header Host $host;", "proxy_set_header Host $cookie_h;", "nginx-host-changed"),
    ("nginx", "proxy_set_header Host $host;", "proxy_set_header Host ${http_x_h}.test;", "nginx-host-changed"),
    ("nginx", "proxy_set_header Host $host;", "set $h $http_x_h; proxy_set_header Host $h;", "nginx-host-changed"),
    ("nginx", "proxy_pass http://service;", "proxy_pass http://$http_x_backend;", "nginx-host-changed"),
    ("nginx", "proxy_pass http://service;", "proxy_pass http://$arg_b:80;", "nginx-host-changed"),
    ("nginx", "proxy_pass http://service;", "proxy_pass $cookie_b;", "nginx-host-changed"),
    ("nginx", "proxy_pass http://service;", "set $b $http_x_b; proxy_pass http://$b;", "nginx-host-changed"),
    (
        "nginx",
        "    map $http_upgrade $service_upgrade {",
        "    map $http_x_b $service_connection { default $http_x_b; }\n    server { location / { proxy_pass http://$service_connection; auth_request /_palisade; } }\n    map $http_upgrade $service_upgrade {",
        "nginx-host-changed",
    ),
    (
        "nginx",
        "    map $http_upgrade $service_upgrade {",
        "    map $http_x_b $service_connection { ~^a-(.*)$ $1; default app; }\n    server { location / { proxy_pass http://$service_connection; auth_request /_palisade; } }\n    map $http_upgrade $service_upgrade {",
        "nginx-host-changed",
    ),
    (
        "nginx",
        "proxy_set_header X-Forwarded-For   $remote_addr;",
        "proxy_set_header X-Forwarded-For $http_cf_connecting_ip;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "proxy_set_header X-Forwarded-For   $remote_addr;",
        "proxy_set_header X-Forwarded-For $http_x_real_ip;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "proxy_set_header X-Forwarded-For   $remote_addr;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "proxy_set_header X-Forwarded-For   $remote_addr;",
        "set $ip $http_x_real_ip; proxy_set_header X-Forwarded-For $ip;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "proxy_set_header X-Original-Host   $host;",
        "proxy_set_header X-Original-Host $arg_h;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "proxy_set_header X-Original-Host   $host;",
        "proxy_set_header X-Original-Host $http_x_h;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "proxy_set_header X-Original-Host   $host;",
        "set $hh $http_x_h; proxy_set_header X-Original-Host $hh;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "proxy_set_header X-Original-Host   $host;",
        "set $hh $http_host; proxy_set_header X-Original-Host $hh;",
        "nginx-check-told",
    ),
    (
        "nginx",
        "internal;",
        "internal; set $a \"Bearer fixed\"; proxy_set_header Authorization $a;",
        "nginx-check-headers",
    ),
    ("traefik", "providers:\n", "providers:\n  ecs: {}\n", "not-checked"),
    ("traefik", "providers:\n", "providers:\n  nomad: {}\n", "not-checked"),
    ("traefik", "providers:\n", "providers:\n  consulCatalog: {exposedByDefault: false}\n", "not-checked"),
    ("traefik", "providers:\n", "providers:\n  redis: {endpoints: [a]}\n", "not-checked"),
    ("traefik", "providers:\n", "providers:\n  http: {endpoint: a}\n", "not-checked"),
    ("traefik", "providers:\n", "providers:\n  kubernetesIngress: {}\n", "not-checked"),
    ("traefik", "providers:\n", "providers:\n  kubernetesCRD: {}\n", "not-checked"),
    ("traefik", "providers:\n", "providers:\n  docker: {exposedByDefault: false}\n", "not-checked"),
    ("traefik", "providers:\n", "providers:\n  consulCatalog: {}\n", "traefik-exposed-by-default"),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend plain\n    bind :80\n    acl acme path_beg /.well-known/acme-challenge/\n    http-request redirect scheme https unless acme\n    use_backend app if acme\n\nbackend app\n",
        "haproxy-frontend-unchecked",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend plain\n    bind :80\n    acl acme path_beg /.well-known/acme-challenge/\n    http-request redirect scheme https unless acme\n    default_backend app\n\nbackend app\n",
        "haproxy-frontend-unchecked",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend plain\n    bind :80\n    acl acme path_beg /.well-known/acme-challenge/\n    http-request redirect scheme https unless acme\n    http-request allow if { src 10.0.0.0/8 }\n    use_backend acme if acme\n    default_backend app\n\nbackend acme\n    server acme 127.0.0.1:8402\n\nbackend app\n",
        "haproxy-frontend-unchecked",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend plain\n    bind :80\n    acl acme path_beg /\n    redirect scheme https unless acme\n    use_backend acme if acme\n\nbackend acme\n    server acme 127.0.0.1:8402\n\nbackend app\n",
        "haproxy-frontend-unchecked",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend plain\n    bind :80\n    acl acme path_beg /.well-known/acme-challenge/\n    redirect scheme https if !acme { path /x }\n    use_backend acme if acme\n    default_backend app\n\nbackend acme\n    server acme 127.0.0.1:8402\n\nbackend app\n",
        "haproxy-frontend-unchecked",
    ),
    ("nginx", "location / {\n", "location / {\n rewrite ^ /m.html break;\n", "nginx-path-rewritten"),
    (
        "nginx",
        "location / {\n",
        "location /m { root /srv; rewrite ^ /m.html last; }\n location / {\n",
        "nginx-path-rewritten",
    ),
    ("nginx", "internal;", "internal; proxy_intercept_errors on; error_page 405 =200 $uri;", "nginx-error-page"),
];

/// What is ordinary, and no finding.
const ORDINARY: &[(&str, &str, &str)] = &[
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, providers: {a: {claim_to_headers: [{header_name: x-user, claim_name: sub}]}}}\n                  - name: envoy.filters.http.router\n",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, providers: {a: {claim_to_headers: [{header_name: x-user, claim_name: sub}]}}}\n                  - name: envoy.filters.http.router\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector, overwrite: true}\n                  - name: envoy.filters.http.router\n",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.router\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector, overwrite: true}\n                  - name: envoy.filters.http.router\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.alternate_protocols_cache.v3.FilterConfig}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.alternate_protocols_cache.v3.FilterConfig}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.original_src.v3.OriginalSrc}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.original_src.v3.OriginalSrc}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.geoip.v3.Geoip}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.geoip.v3.Geoip}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    (
        "envoy-grpc",
        "                  - name: envoy.filters.http.ext_authz\n",
        "                  - name: f\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit}\n                  - name: envoy.filters.http.ext_authz\n",
    ),
    ("apache", "    ProxyPass", "    CacheQuickHandler off\n    CacheEnable disk /static\n    ProxyPass"),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header Host %[req.fhdr(host),map(/h.map,a.test)]\n    http-request set-header Host app.internal if { req.hdr(host) -i app.test }\n",
    ),
    (
        "haproxy",
        "    http-request lua.palisade",
        "    http-request replace-header Cookie \"(^|; )_ga=[^;]*\" \"\"\n    http-request replace-value Cookie ^a=.*$ \"\"\n    http-request lua.palisade",
    ),
    (
        "caddy",
        "reverse_proxy 127.0.0.1:9000 {",
        "reverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up Host {http.request.header.Host}",
    ),
    (
        "nginx",
        "proxy_set_header X-Forwarded-For   $remote_addr;",
        "proxy_set_header X-Forwarded-For $proxy_protocol_addr;",
    ),
    ("nginx", "internal;", "internal; set $a \"Bearer $cookie_t\"; proxy_set_header Authorization $a;"),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend plain\n    bind :80\n    acl acme path_beg /.well-known/acme-challenge/\n    http-request redirect scheme https unless acme\n    use_backend acme if acme\n    default_backend app\n\nbackend acme\n    server acme 127.0.0.1:8402\n    timeout connect 5s\n\nbackend app\n",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend plain\n    bind :80\n    acl acme path_beg /.well-known/acme-challenge/\n    redirect scheme https code 301 if !{ ssl_fc } !acme\n    use_backend acme if acme\n\nbackend acme\n    server acme 127.0.0.1:8402\n    timeout connect 5s\n\nbackend app\n",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend plain\n    bind :80\n    use_backend acme if { path_beg /.well-known/acme-challenge/ }\n    redirect scheme https code 301 if !{ path_beg -i /.well-known/acme-challenge/ }\n\nbackend acme\n    server acme 127.0.0.1:8402\n    timeout connect 5s\n\nbackend app\n",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nfrontend plain\n    bind :80\n    redirect scheme https code 301 if !{ ssl_fc }\n    default_backend app\n\nbackend acme\n    server acme 127.0.0.1:8402\n    timeout connect 5s\n\nbackend app\n",
    ),
    ("nginx", "location / {\n", "location @m { root /srv; rewrite ^ /m.html break; }\n location / {\n"),
    ("nginx", "location / {\n", "error_page 405 =200 $uri;\n location / {\n"),
];

#[test]
fn what_is_ordinary_has_no_finding() {
    for (name, from, to) in ORDINARY {
        let (gateway, mut sources) = page(name);
        assert!(sources.iter().any(|(_, text)| text.contains(from)), "{name} has no {from:?} any more");
        for (_, text) in &mut sources {
            *text = text.replacen(from, to, 1);
        }
        let found = lint(gateway, &sources, &beside);
        assert!(found.is_empty(), "{name}: {to}: {found:#?}");
    }
}

#[test]
fn a_directory_that_is_not_here_is_reported() {
    let files = |pattern: &str| if pattern.ends_with("/*") { Ok(Vec::new()) } else { alone(pattern) };
    let (gateway, sources) = page("traefik");
    let text: String = "providers: {file: {directory: /etc/traefik/conf.d}}\n".to_owned();
    let alone = lint(gateway, &[("traefik.yaml".to_owned(), text.clone())], &files);
    assert!(rules(&alone).contains("not-checked"), "{alone:#?}");
    let with = lint(gateway, &[("static.yaml".to_owned(), text), sources[1].clone()], &files);
    assert!(with.is_empty(), "{with:#?}");
}
