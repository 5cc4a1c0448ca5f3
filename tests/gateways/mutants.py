#!/usr/bin/env python3
"""Breaks one setting of a gateway's page at a time, and reports which mistakes the tests do not notice.

    tests/gateways/mutants.py [NAME]        (of a page or of a test)

The pages are read when the tests run, so nothing is built again. Each page is put back as it was.
"""

import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# page, test, what, by what; or, where a second wall holds what the first lets pass, all the changes at once
MUTANTS = [
    ("nginx", "nginx_of_debian", "proxy_pass http://service;", "proxy_pass http://service/;"),
    ("nginx", "nginx_of_debian", "$request_uri", "$uri"),
    ("nginx", "nginx_of_debian", "X-Original-Method $request_method", "X-Original-Method GET"),
    ("nginx", "nginx_of_debian", "X-Original-Host   $host", "X-Original-Host   gw.test"),
    ("nginx", "nginx_of_debian", "proxy_set_header Host $host;", "proxy_set_header Host $http_host;"),
    ("nginx", "nginx_of_debian", "proxy_set_header X-Palisade-Principal   $palisade_principal;", ""),
    ("nginx", "nginx_of_debian", "proxy_set_header X-Palisade-Token       $palisade_token;", ""),
    ("nginx", "nginx_of_debian", "proxy_read_timeout    1s;", ""),
    ("nginx", "nginx_of_debian", "listen 127.0.0.1:8080;", "listen 127.0.0.1:8080; error_page 500 =200 @open; "
     "location @open { proxy_pass http://service; }"),
    ("caddy", "caddy_of_today", "copy_headers X-Palisade-Principal", "copy_headers"),
    ("caddy", "caddy_of_today", "response_header_timeout 1s", ""),
    ("caddy", "caddy_of_today", "reverse_proxy 127.0.0.1:9000", "rewrite * /x{uri}\n\t\treverse_proxy 127.0.0.1:9000"),
    ("traefik", "traefik", "        maxResponseBodySize: 65536", "        authRequestHeaders: [Authorization]"),
    ("traefik", "traefik", "          - X-Palisade-Token\n", ""),
    ("traefik", "traefik", "      middlewares: [palisade]\n", ""),
    ("traefik", "traefik", "passHostHeader: true", "passHostHeader: false"),
    ("haproxy", "haproxy", "headers[\"x-forwarded-uri\"] = { txn.sf:pathq() }", "headers[\"x-forwarded-uri\"] = { txn.sf:path() }"),
    ("haproxy", "haproxy", " unless { url_beg / } || { req.ver 2.0 } { url_beg http:// https:// }", " if FALSE"),
    ("haproxy", "haproxy", "txn:done(reply)", ""),
    ("haproxy", "haproxy", "txn.http:req_del_header(name)", ""),
    ("apache", "apache", " nocanon", ""),
    ("apache", "apache", "    ProxyPreserveHost On\n", ""),
    ("apache", "apache", "if value ~= \"\" then r.headers_in[name] = value end", ""),
    ("apache", "apache", "for _, name in ipairs(OWNED) do r.headers_in[name] = nil end", ""),
    ("apache", "apache", "[\"x-forwarded-uri\"] = target", "[\"x-forwarded-uri\"] = r.uri"),
    ("envoy", "envoy_over_http", "- {exact: x-palisade-principal}\n", "- {exact: x-nothing}\n"),
    ("envoy", "envoy_over", "failure_mode_allow: false", "failure_mode_allow: true"),
    ("envoy", "envoy_over", "timeout: 0.5s", "timeout: 50s"),
    ("envoy", "envoy_over", "route: {cluster: app}", "route: {cluster: app, prefix_rewrite: /x}"),
    # ---- upgrades, hosts, trailers, schemes, gRPC
    # the sidecar refuses an upgrade that it is told of, so it is told of WebSockets alone here
    ("nginx", "nginx_of_debian", [
        ("~*^websocket$ websocket;", "~*^websocket$ websocket; h2c h2c;"),
        ("~*^websocket$ upgrade;\n    }\n", "~*^websocket$ upgrade; h2c upgrade;\n    }\n"
         "    map $http_upgrade $told_upgrade { default \"\"; ~*^websocket$ websocket; }\n"),
        ("proxy_set_header Upgrade           $http_upgrade;", "proxy_set_header Upgrade $told_upgrade;"),
    ]),
    ("nginx", "nginx_of_debian", "proxy_set_header Upgrade           $http_upgrade;", ""),
    ("nginx", "nginx_of_debian", "            proxy_set_header X-Original-Host \"\";\n", ""),
    ("nginx", "nginx_of_debian", "            proxy_set_header X-Original-URI \"\";\n", ""),
    ("caddy", "caddy_of_today", "\t\trequest_header -X-Forwarded-Uri\n", ""),
    ("haproxy", "haproxy", "    http-request del-header x-forwarded-uri\n", ""),
    ("apache", "apache", "        r.headers_in[\"X-Forwarded-Uri\"] = nil\n", ""),
    # the sidecar refuses a client's own that names another host, so it does not see that here
    ("nginx", "nginx_of_debian", [
        ("proxy_set_header X-Forwarded-Host $host;", ""),
        ("proxy_set_header X-Original-Host   $host;",
         "proxy_set_header X-Original-Host   $host; proxy_set_header X-Forwarded-Host \"\";"),
    ]),
    ("nginx", "nginx_of_debian", "proxy_ignore_headers X-Accel-Redirect;", ""),
    ("caddy", "caddy_of_today_that", "\t\t\theader_up X-Forwarded-Host {http.request.hostport}\n\t\t\tcopy_headers", "\t\t\tcopy_headers"),
    ("caddy", "caddy_of_debian_that", "\t\t\theader_up X-Forwarded-Host {http.request.hostport}\n\t\t\tcopy_headers", "\t\t\tcopy_headers"),
    ("traefik", "traefik", "          - Upgrade\n", ""),
    ("haproxy", "haproxy", "    http-request deny deny_status 400 if { req.hdr(transfer-encoding) -m found }\n", ""),
    ("haproxy", "haproxy", "{ req.ver 2.0 } { url_beg http:// https:// }", "{ req.ver 2.0 }"),
    ("haproxy", "haproxy", "    http-request set-header x-forwarded-host %[req.fhdr(host)]\n", ""),
    ("envoy", "envoy_over_http", "- match: {prefix: \"/\", grpc: {}}\n                          direct_response: {status: 415}\n", ""),
    ("envoy", "envoy_over_http", "- {exact: upgrade, ignore_case: true}\n", "- {exact: x-nothing}\n"),
    ("envoy", "envoy_over_http", "- safe_regex: {regex: \"x[^a-z0-9].*\"}", "- {exact: x-nothing}"),
    # ---- bodies
    ("traefik", "bodies_through_traefik", "        forwardBody: true\n", ""),
    ("traefik", "bodies_through_traefik", "        maxBodySize: 65536\n", ""),
    ("traefik", "bodies_through_traefik", "        maxBodySize: 65536\n", "        maxBodySize: 65535\n"),
    ("envoy", "bodies_through_envoy", "max_request_bytes: 65536", "max_request_bytes: 65535"),
    ("envoy", "bodies_through_envoy", "allow_partial_message: false", "allow_partial_message: true"),
    ("envoy", "bodies_through_envoy_over_grpc", ", pack_as_bytes: true", ""),
    # the pattern for twins matches the name itself too
    ("envoy", "bodies_through_envoy_over_http", [
        ("- {exact: content-type, ignore_case: true}", "- {exact: x-nothing}"),
        ("- safe_regex: {regex: \"content[^a-z0-9]type\"}", "- {exact: x-nothing}"),
    ]),
    ("envoy", "bodies_through_envoy_over_http", [
        ("- {exact: content-encoding, ignore_case: true}", "- {exact: x-nothing}"),
        ("- safe_regex: {regex: \"content[^a-z0-9]encoding\"}", "- {exact: x-nothing}"),
    ]),
    # ---- what of a body comes to the service
    ("nginx", "nginx_of_debian", "proxy_pass http://service;", "proxy_set_header Content-Length \"\"; proxy_pass http://service;"),
    ("nginx", "nginx_of_debian", "proxy_pass http://service;", "proxy_set_body \"\"; proxy_pass http://service;"),
    ("nginx", "nginx_of_debian", "proxy_pass http://service;", "proxy_pass_request_headers off; proxy_pass http://service;"),
    ("traefik", "bodies_through_traefik", "          - Upgrade\n", "          - Upgrade\n          - Content-Type\n"),
    ("haproxy", "haproxy", "    default_backend app\n", "    http-request set-header content-type text/plain\n    default_backend app\n"),
    # ---- what the lint alone can see, through the program: each of these rules is held by the test of the pages
    *[(page, "the_configurations_of_the_pages", old, new) for page, old, new in [
        # lengths, types and bodies
        ("nginx", "proxy_pass http://service;", "proxy_pass_request_body off; proxy_pass http://service;"),
        ("nginx", "proxy_pass http://service;", "proxy_set_header Transfer-Encoding $http_transfer_encoding; proxy_pass http://service;"),
        ("nginx", "proxy_pass http://service;", "proxy_set_body $arg_b; proxy_pass http://service;"),
        ("nginx", "            internal;\n", "            internal;\n            proxy_set_header Content-Type text/plain;\n"),
        ("traefik", "          - Upgrade\n", "          - Upgrade\n          - Content-Encoding\n"),
        ("envoy", "                              - {exact: x-palisade-token}\n",
         "                              - {exact: x-palisade-token}\n                              - {prefix: content-}\n"),
        ("caddy", "copy_headers X-Palisade-Principal", "copy_headers Content-Type X-Palisade-Principal"),
        ("caddy", "\t\treverse_proxy 127.0.0.1:9000", "\t\trequest_body {\n\t\t\tset x\n\t\t}\n\t\treverse_proxy 127.0.0.1:9000"),
        ("caddy", "\t\t\turi /gateway/forward?\n", "\t\t\turi /gateway/forward?\n\t\t\theader_up Content-Type text/plain\n"),
        ("haproxy", "    default_backend app\n", "    filter comp-req\n    default_backend app\n"),
        ("envoy", "                  - name: envoy.filters.http.router\n",
         "                  - name: d\n                    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http."
         "decompressor.v3.Decompressor}\n                  - name: envoy.filters.http.router\n"),
        # interfaces for administrators
        ("haproxy", "global\n", "global\n    stats socket 0.0.0.0:9999\n"),
        ("haproxy", "\nbackend app\n", "\nlisten pages\n    bind :8404\n    stats enable\n    stats admin if TRUE\n\nbackend app\n"),
        ("caddy", "\tadmin off\n", "\tadmin {$ADMIN::2019}\n"),
        ("envoy", "static_resources:\n", "admin: {address: {socket_address: {address: 0.0.0.0, port_value: 9901}}}\nstatic_resources:\n"),
        ("apache", "<VirtualHost 127.0.0.1:8080>\n", "Listen 8081\n<VirtualHost *:8081>\n<Location /bm>\nSetHandler balancer-manager\n"
         "</Location>\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\n"),
        # Apache: names for other texts, balancers, SCGI, filters, pages for errors, trailers
        ("apache", "    ProxyPass \"/\"", "    Define M X-HTTP-Method-Override\n    RequestHeader set ${M} DELETE\n    ProxyPass \"/\""),
        ("apache", "    ProxyPass \"/\"", "    BalancerMember balancer://b scgi://127.0.0.1:9001\n    ProxyPass \"/\""),
        ("apache", "\"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n", "\"balancer://b/\" nocanon\n"
         "    <Proxy balancer://b>\n    BalancerMember http://127.0.0.1:9000/app\n    </Proxy>\n"),
        ("apache", "    ProxyPass \"/\"", "    SetInputFilter INFLATE\n    ProxyPass \"/\""),
        ("apache", "    ProxyPass \"/\"", "    ErrorDocument 403 /denied\n    ProxyPass \"/\""),
        ("apache", "    ProxyPass \"/\"", "    MergeTrailers On\n    ProxyPass \"/f/\" \"fcgi://127.0.0.1:9001/f/\"\n    ProxyPass \"/\""),
        ("apache", "    ProxyPass \"/\"", "    <Location \"/*\">\n    ErrorDocument 403 /denied?x\n    </Location>\n    ProxyPass \"/\""),
        ("apache", "    ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n",
         "    WSGIScriptAlias / /srv/x.wsgi\n    ErrorDocument 403 /denied\n"),
        ("apache", "    ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n",
         "    <FilesMatch \".+\\.ph(?:ar|p|tml)$\">\n    SetHandler application/x-httpd-php\n    </FilesMatch>\n    ErrorDocument 403 /denied.php\n"),
        ("apache", "    ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n", "    ForceType \"proxy:http://127.0.0.1:9000\"\n"),
        ("apache", "    ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n",
         "    <Location \"/\">\n    SetHandler \"proxy:ajp://127.0.0.1:8009\"\n    </Location>\n"),
        # a path that the gateway writes
        ("nginx", "proxy_pass http://service;", "proxy_set_header X-Original-URL /x; proxy_pass http://service;"),
        ("caddy", "\t\treverse_proxy 127.0.0.1:9000 {", "\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up X-Original-URL /x"),
        ("haproxy", "\nbackend app\n", "\nbackend app\n    http-request set-header X-Original-URL /x\n"),
        ("caddy", "\tadmin off\n", "\tadmin off\n\tservers {\n\t\ttimeouts {\n\t\t\tfoo 1s\n\t\t}\n\t}\n"),
        # grpcWeb, Lua, trailers, copies, bytes
        ("haproxy", "lua-load /etc/haproxy/palisade.lua", "lua-load /etc/haproxy/auth.lua"),
        ("haproxy", "    http-request deny deny_status 400 if { req.hdr(transfer-encoding) -m found }\n", ""),
        ("nginx", "        location / {\n", "        location = /m { internal; proxy_pass http://127.0.0.1:9001$request_uri; proxy_set_header Host "
         "$host; }\n        location / {\n            mirror /m;\n"),
        ("caddy", "\tadmin off\n", "\tadmin off\n\tlayer4 {\n\t\t:5000 {\n\t\t\troute {\n\t\t\t\tproxy 127.0.0.1:9000\n\t\t\t}\n\t\t}\n\t}\n"),
    ]],
    ("traefik", "the_configurations_of_the_pages", [
        ("      middlewares: [palisade]\n", "      middlewares: [palisade, web]\n"),
        ("  middlewares:\n", "  middlewares:\n    web: {grpcWeb: {allowOrigins: [\"*\"]}}\n"),
    ]),
    ("traefik", "the_configurations_of_the_pages", [
        ("      middlewares: [palisade]\n", "      middlewares: [palisade, path]\n"),
        ("  middlewares:\n", "  middlewares:\n    path: {headers: {customRequestHeaders: {X-Original-URL: /x}}}\n"),
    ]),
    # ---- certificates
    ("envoy", "certificates_through_envoy", "require_client_certificate: true", "require_client_certificate: false"),
    ("envoy", "certificates_through_envoy", "trusted_ca: {filename: /etc/envoy/clients.pem}",
     "trust_chain_verification: ACCEPT_UNTRUSTED"),
    ("envoy", "certificates_through_envoy", "{san_type: URI, matcher", "{san_type: DNS, matcher"),
    ("envoy", "certificates_through_envoy_over_http", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"),
    ("envoy", "certificates_through_envoy_over_http", "SANITIZE_SET", "FORWARD_ONLY"),
    ("envoy", "certificates_through_envoy_over_http", "SANITIZE_SET", "APPEND_FORWARD"),
    ("envoy", "certificates_through_envoy_over_http", "{uri: true}", "{subject: true}"),
    ("envoy", "certificates_through_envoy_over_http", [
        ("- {exact: x-forwarded-client-cert, ignore_case: true}", "- {exact: x-nothing}"),
        ("- safe_regex: {regex: \"x[^a-z0-9].*\"}", "- {exact: x-nothing}"),
    ]),
]


def changes(mutant):
    """Of a mutant: what is replaced by what."""
    return mutant[2] if isinstance(mutant[2], list) else [(mutant[2], mutant[3])]


def fails(test):
    command = ["cargo", "test", "--test", "it", "gateways::" + test]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode != 0


def main():
    # a signal restores the pages too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    survivors = 0
    mutants = [mutant for mutant in MUTANTS if wanted in mutant[0] or wanted in mutant[1]]
    for test in sorted({mutant[1] for mutant in mutants}):
        assert not fails(test), test + " fails as it is"
    for mutant in mutants:
        name, test = mutant[:2]
        page = ROOT / "docs" / "gateways" / (name + ".md")
        text = page.read_text()
        broken = text
        for old, new in changes(mutant):
            assert old in broken, (name, old)
            broken = broken.replace(old, new)
        try:
            page.write_text(broken)
            caught = fails(test)
        finally:
            page.write_text(text)
        survivors += not caught
        print("caught  " if caught else "SURVIVED", name, changes(mutant), flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
