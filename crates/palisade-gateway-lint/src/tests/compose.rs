//! Files of Docker Compose: ways to a service past the routers of HTTP that its labels make.

use super::*;

const CHECK: &str = "      traefik.http.middlewares.p.forwardauth.address: http://palisade:8180/gateway/forward\n      \
    traefik.http.middlewares.p.forwardauth.authResponseHeaders: X-Palisade-Principal,X-Palisade-Auth-Method,X-Palisade-Token,Upgrade\n";

/// A container `app` whose requests are checked, with further labels and other lines, and what is found.
const CASES: &[(&str, &str, &str)] = &[
    ("", "", ""),
    // routers of TCP, with and without lines about services
    ("traefik.tcp.routers.t.rule: HostSNI(`*`)", "", "traefik-tcp-router"),
    ("traefik.udp.routers.t.entrypoints: u", "", "traefik-tcp-router"),
    (
        "traefik.tcp.routers.t.rule: HostSNI(`*`)\n      traefik.tcp.routers.t.service: t\n      traefik.tcp.services.t.loadbalancer.server.port: 80",
        "",
        "traefik-tcp-router",
    ),
    (
        "traefik.tcp.routers.t.rule: HostSNI(`*`)\n      traefik.tcp.services.t.loadbalancer.server.port: 8080\n      traefik.http.services.a.loadbalancer.server.port: 8080",
        "",
        "traefik-tcp-router",
    ),
    (
        "traefik.tcp.routers.t.rule: HostSNI(`*`)\n      traefik.tcp.services.t.loadbalancer.server.port: 1883\n      traefik.http.services.a.loadbalancer.server.port: 8080",
        "",
        "",
    ),
    ("", "  db:\n    image: postgres\n    labels: [\"traefik.tcp.routers.d.rule=HostSNI(`*`)\"]\n", ""),
    (
        "",
        "  other:\n    image: x\n    labels: [\"traefik.tcp.routers.d.rule=HostSNI(`*`)\", traefik.tcp.routers.d.service=s@file]\n  file:\n    image: x\n    labels: [traefik.tcp.services.s.loadbalancer.server.port=1]\n",
        "",
    ),
    // ports that the container opens itself
    ("traefik.enable: true", "    ports: [\"8080:80\"]\n", "traefik-port-published"),
    ("traefik.enable: true", "    ports: [80]\n", "traefik-port-published"),
    ("traefik.enable: true", "    ports: [\"0.0.0.0:8080:80/tcp\"]\n", "traefik-port-published"),
    ("traefik.enable: true", "    ports: [{target: 80, published: 8080}]\n", "traefik-port-published"),
    ("traefik.enable: true", "    ports: [\"8000-8010:8000-8010\"]\n", "traefik-port-published"),
    ("traefik.enable: true", "    network_mode: host\n", "traefik-port-published"),
    ("traefik.enable: true", "    ports: [\"127.0.0.1:8080:80\"]\n", ""),
    ("traefik.enable: true", "    ports: [\"[::1]:8080:80\", \"53:53/udp\"]\n", ""),
    ("traefik.enable: true", "    ports: [{target: 80, published: 8080, host_ip: 127.0.0.1}]\n", ""),
    ("traefik.http.services.a.loadbalancer.server.port: 8080", "    ports: [\"1883:1883\"]\n", ""),
    ("traefik.http.services.a.loadbalancer.server.port: 8080", "    ports: [\"80:8080\"]\n", "traefik-port-published"),
    ("", "  db:\n    image: postgres\n    ports: [\"5432:5432\"]\n", ""),
    ("", "  traefik:\n    image: traefik:v3\n    ports: [\"80:80\"]\n", ""),
    // Traefik's own API, whose port its container opens or keeps
    (
        "",
        "  traefik:\n    image: traefik:v3\n    command: [--api.insecure=true]\n    ports: [\"80:80\", \"8080:8080\"]\n",
        "traefik-api-open",
    ),
    (
        "",
        "  traefik:\n    image: traefik:v3\n    command: [--api.insecure=true]\n    ports: [\"8000-8100:8000-8100\"]\n",
        "traefik-api-open",
    ),
    (
        "",
        "  traefik:\n    image: traefik:v3\n    command: [--api.insecure=true]\n    network_mode: host\n",
        "traefik-api-open",
    ),
    (
        "",
        "  traefik:\n    image: traefik:v3\n    command: [--api.insecure=true, --entrypoints.traefik.address=:9000]\n    ports: [\"9000:9000\"]\n",
        "traefik-api-open",
    ),
    (
        "",
        "  traefik:\n    image: traefik:v3\n    command: [--api.insecure=true]\n    ports: [\"80:80\", \"443:443\"]\n",
        "",
    ),
    (
        "",
        "  traefik:\n    image: traefik:v3\n    command: [--api.insecure=true]\n    ports: [\"80:80\", \"127.0.0.1:8080:8080\"]\n",
        "",
    ),
    // a host for requests for every host
    ("traefik.http.services.s.loadbalancer.passhostheader: false", "", "traefik-host-changed"),
    // settings of the check
    ("traefik.http.middlewares.p.forwardauth.fooBar: 1", "", "not-checked"),
    ("traefik.http.middlewares.p.forwardauth.trustForwardHeaders: true", "", "not-checked"),
    ("traefik.http.middlewares.p.forwardauth.tls.insecureSkipVerify: true", "", ""),
];

/// The files in which something is to be found, with its rule.
pub(super) fn broken() -> impl Iterator<Item = sites::Broken> {
    CASES.iter().filter(|case| !case.2.is_empty()).map(|(labels, more, rule)| {
        (Gateway::Traefik, vec![("compose.yml".to_owned(), self::text(labels, more))], (*rule).to_owned())
    })
}

/// The rules that are reported here.
pub(super) fn told() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.2).filter(|rule| !rule.is_empty())
}

/// The file with the container `app`.
pub(super) fn text(labels: &str, more: &str) -> String {
    // lines of the container itself stand deeper than other containers
    let (own, others) = if more.starts_with("    ") { (more, "") } else { ("", more) };
    let labels = if labels.is_empty() { String::new() } else { format!("      {labels}\n") };
    format!(
        "services:\n  app:\n    image: app\n{own}    labels:\n      traefik.http.routers.a.rule: PathPrefix(`/`)\n      \
         traefik.http.routers.a.middlewares: p\n{CHECK}{labels}{others}"
    )
}

#[test]
fn ways_past_the_routers_of_http_are_found() {
    let mut wrong = Vec::new();
    for (labels, more, rule) in CASES {
        let text = self::text(labels, more);
        let found = one(Gateway::Traefik, &text);
        let told: Vec<&str> = rules(&found).into_iter().collect();
        if told.join(" ") != *rule || found.iter().any(|finding| finding.line.is_none()) {
            wrong.push(format!("{text}: {rule:?}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A service may stand in a file of its own, and the container by another name.
#[test]
fn containers_are_known_by_all_their_names() {
    let dynamic = "http:\n  routers: {a: {rule: 'PathPrefix(`/`)', service: a, middlewares: [p]}}\n  services: {a: {loadBalancer: \
                   {servers: [{url: 'http://web:9000/'}]}}}\n  middlewares: {p: {forwardAuth: {address: \
                   'http://palisade:8180/gateway/forward', authResponseHeaders: [X-Palisade-Principal, \
                   X-Palisade-Auth-Method, X-Palisade-Token, Upgrade]}}}\n";
    for (container, rule) in [
        ("image: app, container_name: web, ports: ['9000:9000']", "traefik-port-published"),
        ("image: app, hostname: web, ports: ['8000:9000']", "traefik-port-published"),
        ("image: app, container_name: web, labels: ['traefik.tcp.routers.t.rule=HostSNI(`*`)']", "traefik-tcp-router"),
        ("image: app, container_name: web, ports: ['9001:9001']", ""),
        ("image: app, ports: ['9000:9000']", ""),
    ] {
        let compose = format!("services:\n  app: {{{container}}}\n");
        let sources = [("dynamic.yaml".to_owned(), dynamic.to_owned()), ("compose.yml".to_owned(), compose)];
        let found = lint(Gateway::Traefik, &sources, &alone);
        let told: Vec<&str> = rules(&found).into_iter().collect();
        assert_eq!(told.join(" "), rule, "{container}: {found:#?}");
    }
}

/// A fixed host is one for requests for one host alone where the router takes no others.
#[test]
fn a_fixed_host_is_free_behind_a_router_for_one() {
    let (gateway, sources) = pages::page("traefik");
    for (rule, free) in [
        ("PathPrefix(`/`)", false),
        ("Host(`a.test`)", true),
        ("Host(`a.test`) && PathPrefix(`/api`)", true),
        ("Host(`a.test`, `b.test`)", false),
        ("Host(`a.test`) || Host(`b.test`)", false),
        ("Host(`a.test`) || PathPrefix(`/`)", false),
        ("!Host(`a.test`)", false),
        ("HostRegexp(`.+`)", false),
        ("HostSNI(`a.test`)", false),
    ] {
        for (from, to) in [
            ("passHostHeader: true", "passHostHeader: false"),
            (
                "  middlewares:\n",
                "  middlewares:\n    m: {headers: {customRequestHeaders: {Host: app.internal, Forwarded: host=a}}}\n",
            ),
        ] {
            let mut sources = sources.clone();
            for (_, text) in &mut sources {
                *text =
                    text.replace("PathPrefix(`/`)", rule).replacen(from, to, 1).replace("[palisade]", "[palisade, m]");
                if !text.contains("    m: ") {
                    *text = text.replace("[palisade, m]", "[palisade]");
                }
            }
            let found = lint(gateway, &sources, &pages::beside);
            assert_eq!(found.is_empty(), free, "{rule}: {to}: {found:#?}");
            assert!(found.iter().all(|finding| finding.rule == Some("traefik-host-changed")), "{rule}: {found:#?}");
        }
    }
}

/// Names that are not known are shown as they are written.
#[test]
fn unknown_settings_are_shown_as_they_are_written() {
    let found = one(Gateway::Traefik, &text("traefik.http.middlewares.p.forwardauth.trustForwardHeaders: true", ""));
    let expected = "`trustForwardHeaders` is no setting of `forwardAuth` that is known here";
    assert!(found.iter().any(|finding| finding.message == expected), "{found:#?}");
}
