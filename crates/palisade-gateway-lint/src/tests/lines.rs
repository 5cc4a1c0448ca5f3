//! Traps that are no replacement in a page of one text: whole files, and several changes.

use super::sites::Broken;
use super::*;

/// A page, what is replaced in it by what, and words of what is to be found.
type Changed = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// Pages with several changes.
const CHANGED: &[Changed] = &[
    (
        "caddy",
        &[(
            "\t\t\theader_up X-Forwarded-Host {http.request.hostport}\n\t\t}",
            "\t\t\ttrusted_proxies private_ranges\n\t\t}",
        )],
        "a trusted proxy says in `X-Forwarded-Host` which host the service goes by",
    ),
    (
        "caddy",
        &[(
            "\t\tforward_auth 127.0.0.1:8180 {\n\t\t\turi /gateway/forward?\n",
            "\t\treverse_proxy 127.0.0.1:8181 {\n\t\t\trewrite /gateway/forward?\n",
        )],
        "port 8181 is the admin listener",
    ),
    (
        "caddy",
        &[(
            "\t\tforward_auth 127.0.0.1:8180 {\n\t\t\turi /gateway/forward?\n",
            "\t\treverse_proxy 127.0.0.1:8180 {\n\t\t\trewrite /gateway/forward?\n",
        )],
        "what is done with its answers is not looked at",
    ),
    (
        "traefik",
        &[("  middlewares:\n", "  middlewares:\n    m: {plugin: {geoblock: {}}}\n"), ("[palisade]", "[palisade, m]")],
        "what the middleware `plugin` makes of a request is not known here",
    ),
    (
        "traefik",
        &[
            ("  middlewares:\n", "  middlewares:\n    m: {basicAuth: {users: [a], headerField: Content-Type}}\n"),
            ("[palisade]", "[palisade, m]"),
        ],
        "traefik-content-type-changed",
    ),
    (
        "traefik",
        &[
            (
                "  middlewares:\n",
                "  middlewares:\n    m: {headers: {customRequestHeaders: {X-Forwarded-Uri: /open}}}\n",
            ),
            ("[palisade]", "[m, palisade]"),
        ],
        "the sidecar may be asked about another request than the client's",
    ),
    (
        "traefik",
        &[("/etc/traefik/dynamic.yaml", "/etc/traefik/more.yaml")],
        "the dynamic configuration is not looked at: there is no such file",
    ),
    ("traefik", &[("filename: /etc/traefik/dynamic.yaml", "directory: /empty")], "there is nothing in `/empty` here"),
    (
        "traefik",
        &[(
            "        maxResponseBodySize: 65536\n",
            "        maxResponseBodySize: 65536\n        trustForwardHeaders: true\n",
        )],
        "`trustForwardHeaders` is no setting of `forwardAuth`",
    ),
    ("compose", &[("middlewares: p", "middlewares: ${MW}")], "which middlewares a router has is not known here"),
    ("compose", &[("services:\n", "include: [other.yml]\nservices:\n")], "what is included here is not looked at"),
    (
        "compose",
        &[("    image: app\n", "    image: app\n    extends: {file: base.yml, service: a}\n")],
        "takes from elsewhere (`extends`)",
    ),
    ("haproxy", &[("    bind 127.0.0.1:8080\n", "    bind \"127.0.0.1:8080\n")], "not a configuration of HAProxy: "),
    (
        "haproxy",
        &[(
            "    server app1 127.0.0.1:9000",
            "    use-fcgi-app php\n    server app1 127.0.0.1:9000\nfcgi-app php\n    set-param HTTP_X_USER %[lua.user]\n",
        )],
        "what this program makes of a request is not known here",
    ),
    (
        "nginx",
        &[("            proxy_set_header Upgrade           $http_upgrade;\n", "")],
        "the sidecar does not see an upgrade",
    ),
    (
        "envoy-grpc",
        &[
            ("                      grpc_service:\n", ""),
            ("                        envoy_grpc: {cluster_name: palisade}\n", ""),
            ("                        timeout: 0.5s\n", ""),
        ],
        "the filter names no service",
    ),
    (
        "envoy",
        &[(
            "authorization_response:\n",
            "authorization_response:\n                          allowed_upstream_headers_to_append: {patterns: [{exact: x-palisade-principal}]}\n",
        )],
        "the sidecar's header is added to the client's own",
    ),
    (
        "envoy",
        &[("- {exact: upgrade, ignore_case: true}", "- {exact: x-forwarded-client-cert}")],
        "Envoy takes the header of the certificate away",
    ),
    (
        "envoy",
        &[(
            "use_remote_address: true\n",
            "use_remote_address: true\n                forward_client_cert_details: SANITIZE_SET\n",
        )],
        "the header of the certificate has no name in it",
    ),
    (
        "envoy",
        &[(
            "use_remote_address: true\n",
            "use_remote_address: true\n                forward_client_cert_details: SANITIZE_SET\n                set_current_client_cert_details: {uri: true, dns: true}\n",
        )],
        "a URI with a DNS name behind it is refused",
    ),
    ("envoy", &[("ext_authz.v3.ExtAuthz", "ext_authz.v2.ExtAuthz")], "this is written for version 2 of Envoy's API"),
    (
        "nginx",
        &[("http {\n", "http {\n    include /loop.conf;\n")],
        "`/loop.conf` is not looked at: files include each other without end",
    ),
];

/// Whole files, and words of what is to be found.
fn files() -> Vec<(Gateway, String, &'static str)> {
    let snippets: String =
        (0..60).map(|n| format!("(s{n}) {{\n\timport s{0}\n\timport s{0}\n}}\n", (n + 1) % 60)).collect();
    vec![
        (Gateway::Caddy, ":80 {\n".to_owned(), "not a Caddyfile: "),
        (Gateway::Caddy, format!("{snippets}:80 {{\n\timport s0\n}}\n"), "it comes to too many directives"),
        (Gateway::Caddy, "{\"apps\": {\"http\": {}}}".to_owned(), "this is Caddy's JSON"),
        (
            Gateway::Apache,
            format!("LuaHookAccessChecker /a check early\n{}", "ErrorDocument 403 /a\n".repeat(4000)),
            "there are too many lines to look at this page for errors",
        ),
        (
            Gateway::Haproxy,
            format!("defaults\n mode http\n{}", " maxconn 1\n".repeat(20_001)),
            "there are too many lines",
        ),
        (Gateway::Haproxy, "maxconn 1\n".to_owned(), "this stands in no section"),
        (Gateway::Haproxy, "# nothing\n".to_owned(), "there is no section in it"),
        (Gateway::Nginx, "http {\n internal\n".to_owned(), "not a configuration of nginx: "),
        (Gateway::Nginx, "a;\n".repeat(50_001), "there are too many directives"),
    ]
}

/// The files that an `include` of these names.
pub(super) fn beside(pattern: &str) -> Result<Vec<Source>, String> {
    match pattern {
        "/loop.conf" => Ok(vec![(pattern.to_owned(), "include /loop.conf;\n".to_owned())]),
        "/empty/*" => Ok(Vec::new()),
        _ => pages::beside(pattern),
    }
}

/// The configurations in which something is to be found.
pub(super) fn broken() -> impl Iterator<Item = Broken> {
    let changed = CHANGED.iter().map(|(page, changes, expected)| {
        let (gateway, sources) = behind::changed(page, changes);
        (gateway, sources, (*expected).to_owned())
    });
    let whole = files()
        .into_iter()
        .map(|(gateway, text, expected)| (gateway, vec![("f".to_owned(), text)], expected.to_owned()));
    changed.chain(whole)
}

#[test]
fn whole_files_and_several_changes_are_found() {
    let mut wrong = Vec::new();
    for (gateway, sources, expected) in broken() {
        let found = lint(gateway, &sources, &beside);
        if !found.iter().any(|finding| finding.rule == Some(expected.as_str()) || finding.message.contains(&expected)) {
            wrong.push(format!("{expected}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
