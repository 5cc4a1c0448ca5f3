//! PROXY protocol, by which a client names its own address unless the proxies in front are named.

use super::Group;
use super::cases::Change;

/// What is found.
pub(super) const FOUND: &[Group] = &[
    Group {
        pages: &["haproxy"],
        from: "frontend web\n",
        to: "frontend web\n    <>\n",
        rule: "haproxy-trusts-everybody",
        cases: &[
            "bind :81 accept-proxy",
            "bind *:81,127.0.0.1:82 ssl crt /a.pem accept-proxy",
            "bind :81 accept-netscaler-cip 0x1",
            "bind :81\n    tcp-request connection expect-proxy layer4",
            "bind :81\n    tcp-request connection expect-proxy layer4 if { src 0.0.0.0/0 }",
            "bind :81 accept-proxy\n    tcp-request content reject if !{ src 10.0.0.0/8 }",
            "bind :81 accept-proxy\n    tcp-request connection reject if { src 10.0.0.0/8 }",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n",
        to: "address: {socket_address: {address: 0.0.0.0, port_value: 8080}}\n      listener_filters: [{<>}]\n",
        rule: "envoy-trusts-everybody",
        cases: &[
            "name: envoy.filters.listener.proxy_protocol",
            "name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}",
        ],
    },
];

/// What is ordinary, and no finding.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["haproxy"],
        from: "frontend web\n",
        to: "frontend web\n    <>\n",
        rule: "haproxy-trusts-everybody",
        cases: &[
            "bind 127.0.0.1:81 accept-proxy",
            "bind /run/haproxy.sock accept-proxy",
            "bind unix@/run/haproxy.sock,[::1]:81 accept-proxy",
            "bind :81 accept-proxy\n    tcp-request connection reject if !{ src 10.0.0.0/8 }",
            "bind :81 accept-proxy\n    tcp-request connection reject unless { src 10.0.0.0/8 }",
            "bind :81\n    tcp-request connection expect-proxy layer4 if { src 10.0.0.0/8 }",
        ],
    },
    Group {
        pages: &["envoy", "envoy-grpc"],
        from: "address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n",
        to: "address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n      listener_filters: [{<>}]\n",
        rule: "envoy-trusts-everybody",
        cases: &["name: envoy.filters.listener.proxy_protocol"],
    },
];

const OPEN: (&str, &str) = (
    "address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n",
    "address: {socket_address: {address: 0.0.0.0, port_value: 8080}}\n      listener_filters: [{name: envoy.filters.listener.proxy_protocol}]\n",
);
const BIND: (&str, &str) = ("\tbind 127.0.0.1\n", "");
const LISTEN: (&str, &str) = ("Listen 127.0.0.1:8080", "Listen 8080");
const PROXY: (&str, &str) = ("    ProxyPass", "    RemoteIPProxyProtocol On\n    ProxyPass");
const ADDRESS: (&str, &str) =
    ("proxy_set_header X-Forwarded-For   $remote_addr;", "proxy_set_header X-Forwarded-For $proxy_protocol_addr;");

/// Changes that are no finding where they are made together.
pub(super) const TOGETHER: &[Change] = &[
    (
        "envoy",
        &[
            OPEN,
            (
                "        - filters:\n",
                "        - filter_chain_match: {direct_source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}\n          filters:\n",
            ),
        ],
    ),
    (
        "caddy",
        &[
            (
                "\tadmin off\n",
                "\tadmin off\n\tservers {\n\t\tlistener_wrappers {\n\t\t\tproxy_protocol {\n\t\t\t\tallow 10.0.0.0/8\n\t\t\t}\n\t\t\ttls\n\t\t}\n\t}\n",
            ),
            BIND,
        ],
    ),
    (
        "caddy",
        &[("\tadmin off\n", "\tadmin off\n\tservers {\n\t\tlistener_wrappers {\n\t\t\tproxy_protocol\n\t\t}\n\t}\n")],
    ),
    ("apache", &[PROXY]),
    ("apache", &[LISTEN, ("<VirtualHost 127.0.0.1:8080>", "<VirtualHost *:8080>")]),
    ("nginx", &[("listen 127.0.0.1:8080;", "listen 127.0.0.1:8080 proxy_protocol;"), ADDRESS]),
    (
        "nginx",
        &[(
            "listen 127.0.0.1:8080;",
            "listen 80 proxy_protocol; real_ip_header proxy_protocol; set_real_ip_from 10.0.0.0/8;",
        )],
    ),
];

/// Changes that are a finding where they are made together.
pub(super) const BOTH: &[(&str, Change)] = &[
    (
        "caddy-trusts-everybody",
        (
            "caddy",
            &[
                (
                    "\tadmin off\n",
                    "\tadmin off\n\tservers {\n\t\tlistener_wrappers {\n\t\t\tproxy_protocol\n\t\t}\n\t}\n",
                ),
                BIND,
            ],
        ),
    ),
    (
        "caddy-trusts-everybody",
        (
            "caddy",
            &[
                (
                    "\tadmin off\n",
                    "\tadmin off\n\tservers :8080 {\n\t\tlistener_wrappers {\n\t\t\tproxy_protocol {\n\t\t\t\tallow 10.0.0.0/8\n\t\t\t\tfallback_policy use\n\t\t\t}\n\t\t}\n\t}\n",
                ),
                BIND,
            ],
        ),
    ),
    (
        "caddy-trusts-everybody",
        (
            "caddy",
            &[
                (
                    "\tadmin off\n",
                    "\tadmin off\n\tservers {\n\t\tlistener_wrappers {\n\t\t\tproxy_protocol {\n\t\t\t\tallow 0.0.0.0/0\n\t\t\t}\n\t\t}\n\t}\n",
                ),
                BIND,
            ],
        ),
    ),
    ("apache-trusts-everybody", ("apache", &[PROXY, LISTEN, ("<VirtualHost 127.0.0.1:8080>", "<VirtualHost *:8080>")])),
    (
        "apache-trusts-everybody",
        ("apache", &[("<VirtualHost 127", "RemoteIPProxyProtocol On\n<VirtualHost 127"), LISTEN]),
    ),
    ("nginx-trusts-everybody", ("nginx", &[("listen 127.0.0.1:8080;", "listen 80 proxy_protocol;"), ADDRESS])),
];
