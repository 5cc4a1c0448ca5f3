//! Each header by which a service takes another request: the sidecar's list is the one that the lint knows for every gateway,
//! and our pages show the sidecar each, or take it away.

use palisade_routes::overrides::{Asks, headers};

use super::behind::mutated;
use super::pages::{block, page};
use super::*;
use crate::headers::is_mount;
use crate::pattern::may_match;

/// What our pages say in the place of the client's own where the sidecar is asked, and how they keep that from the service.
const TOLD: &[(&str, &str, &str)] = &[
    // the page, what stands there for each name, and what must stand there too
    ("nginx", "            proxy_set_header <> ", "            proxy_set_header <> "),
    ("caddy", "X-Forwarded-Uri X-Forwarded-Host", "request_header -<>\n|header_up <> "),
    ("haproxy", "headers[\"<>\"] = {", "http-request del-header <>\n|http-request set-header <> "),
    ("apache", "headers[\"<>\"] = ", "r.headers_in[\"<>\"] = "),
];

/// Every block of a page, in small letters.
fn shown(name: &str) -> String {
    let both = if matches!(name, "haproxy" | "apache") { block(name, 1) } else { String::new() };
    (block(name, 0) + &both).to_ascii_lowercase()
}

#[test]
fn each_page_shows_the_sidecar_what_it_refuses_or_takes_it_away() {
    let mut kept = Vec::new();
    for (name, told, gone) in TOLD {
        let text = shown(name);
        let (service, check) = text.split_once("location = /_palisade").unwrap_or((&text, &text));
        for (header, _) in headers() {
            let fill = |pattern: &str| pattern.to_ascii_lowercase().replace("<>", header);
            let replaced = if told.contains("<>") {
                check.contains(&fill(told))
            } else {
                told.split(' ').any(|own| own.eq_ignore_ascii_case(header))
            };
            if !replaced {
                continue;
            }
            kept.push(format!("{name}: {header}"));
            let away = gone.split('|').any(|gone| service.contains(&fill(gone)));
            assert!(away, "{name}: the sidecar gets another `{header}` than the service");
        }
    }
    assert_eq!(
        kept,
        [
            "nginx: x-original-uri",
            "nginx: x-original-host",
            "caddy: x-forwarded-uri",
            "caddy: x-forwarded-host",
            "haproxy: x-forwarded-uri",
            "haproxy: x-forwarded-host",
            "apache: x-forwarded-uri",
            "apache: x-forwarded-host",
        ]
    );
    // Envoy shows what is listed
    let page = block("envoy", 0);
    let list = page.split("patterns:").nth(1).unwrap();
    for (header, _) in headers() {
        for twin in [header.to_owned(), header.replace('-', "."), header.replace('-', "_")] {
            let exact = list.contains(&format!("{{exact: {twin}, "));
            let mut patterns = list.split("regex: \"").skip(1).filter_map(|rest| rest.split('"').next());
            assert!(exact || patterns.any(|regex| may_match(regex, &twin)), "envoy: `{twin}` is not shown");
        }
    }
}

#[test]
fn each_name_is_missed_where_the_sidecar_does_not_see_it() {
    let mut wrong = Vec::new();
    for (header, _) in headers() {
        // the gateway or the page writes these for the service
        let of_nginx = ["x-original-uri", "x-original-host", "x-forwarded-host", "x-forwarded-proto", "forwarded"];
        let of_caddy = ["x-forwarded-proto", "forwarded"];
        let hidden = format!("internal; proxy_set_header {header} \"\";");
        let up = format!("\t\t\theader_up -{header}\n\t\t\turi /gateway");
        let list = format!(
            "failure_mode_allow: false\n                      disallowed_headers: {{patterns: [{{exact: {header}}}]}}\n"
        );
        let cases = [
            ("nginx", !of_nginx.contains(&header), ("internal;", hidden.as_str()), "nginx-check-headers"),
            ("caddy", !of_caddy.contains(&header), ("\t\t\turi /gateway", &up), "caddy-check-told"),
            (
                "envoy-grpc",
                header != "x-forwarded-proto",
                ("failure_mode_allow: false\n", &list),
                "envoy-hidden-headers",
            ),
        ];
        for (name, concerned, change, rule) in cases {
            let found = mutated(name, &[change]);
            if rules(&found).contains(rule) != concerned {
                wrong.push(format!("{name}: {header}: {found:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where a gateway writes a header behind the check: the page, what stands there, what comes in its place with `<H>` for the name,
/// `<P>` for that of its parameter and `<V>` for the value, a value of the client's, and the rule.
const WRITTEN: &[(&str, &str, &str, &str, &str)] = &[
    (
        "nginx",
        "proxy_pass http://service;",
        "proxy_set_header <H> <V>; proxy_pass http://service;",
        "$arg_a",
        "nginx-override-set",
    ),
    (
        "caddy",
        "\t\treverse_proxy 127.0.0.1:9000 {",
        "\t\treverse_proxy 127.0.0.1:9000 {\n\t\t\theader_up <H> <V>",
        "{query.a}",
        "caddy-override-set",
    ),
    (
        "haproxy",
        "\nbackend app\n",
        "\nbackend app\n    http-request set-header <H> <V>\n",
        "%[url_param(a)]",
        "haproxy-override-set",
    ),
    (
        "haproxy",
        "    server app1 127.0.0.1:9000",
        "    use-fcgi-app php\n    server app1 127.0.0.1:9000\nfcgi-app php\n    docroot /srv\n    set-param HTTP_<P> <V>\n",
        "%[url_param(a)]",
        "haproxy-override-set",
    ),
    (
        "apache",
        "    ProxyPass \"/\"",
        "    RequestHeader set <H> <V>\n    ProxyPass \"/\"",
        "expr=%{QUERY_STRING}",
        "apache-override-set",
    ),
    (
        "envoy",
        "route: {cluster: app}",
        "route: {cluster: app}\n                          request_headers_to_add: [{header: {key: <H>, value: \"<V>\"}}]",
        "%REQ(x-a)%",
        "envoy-override-set",
    ),
];

/// Whether a rule is broken where a gateway gives a header this value.
fn is_found(header: &str, value: &str, (name, from, to, _, rule): &(&str, &str, &str, &str, &str)) -> bool {
    let parameter = header.to_ascii_uppercase().replace('-', "_");
    let to = to.replace("<H>", header).replace("<P>", &parameter).replace("<V>", value);
    rules(&mutated(name, &[(from, &to)])).contains(rule)
}

#[test]
fn each_name_is_found_where_the_client_writes_it_behind_the_check() {
    for (header, _) in headers() {
        for place in WRITTEN {
            assert!(is_found(header, place.3, place), "{place:?}: {header}");
        }
    }
}

/// What is fixed is the author's own, but for a method, a function and a path.
#[test]
fn each_name_of_another_request_is_found_where_the_gateway_writes_it() {
    let mut wrong = Vec::new();
    for (header, asks) in headers() {
        let expected = match asks {
            Asks::Method | Asks::Function => true,
            Asks::Path | Asks::Target => !is_mount(header),
            Asks::Host | Asks::Server | Asks::Url => false,
        };
        for place in WRITTEN.iter().filter(|place| is_found(header, "/x", place) != expected) {
            wrong.push(format!("{place:?}: {header}"));
        }
        let set = format!("  middlewares:\n    m: {{headers: {{customRequestHeaders: {{{header}: abc}}}}}}\n");
        let found = mutated("traefik", &[("  middlewares:\n", &set), ("[palisade]", "[palisade, m]")]);
        let of_host = asks == Asks::Host;
        let rule = if of_host { "traefik-host-changed" } else { "traefik-override-set" };
        // `Forwarded` may name no host
        if rules(&found).contains(rule) != (expected || (of_host && header != "forwarded")) {
            wrong.push(format!("traefik: {header}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_line_of_the_pages_for_these_names_is_asked_for() {
    let mut lines: Vec<(&str, String, &str)> = vec![
        ("nginx", "            proxy_set_header X-Original-URI \"\";\n".to_owned(), "nginx-check-headers"),
        ("nginx", "            proxy_set_header X-Original-Host \"\";\n".to_owned(), "nginx-check-headers"),
        ("caddy", "\t\trequest_header -X-Forwarded-Uri\n".to_owned(), "caddy-check-told"),
        ("haproxy", "    http-request del-header x-forwarded-uri\n".to_owned(), "haproxy-check-told"),
    ];
    let (_, sources) = page("envoy");
    for line in sources[0].1.lines().filter(|line| line.contains("safe_regex:")) {
        lines.push(("envoy", format!("{line}\n"), "envoy-allowed-headers"));
    }
    assert!(lines.len() > 12, "{lines:?}");
    for (name, line, rule) in lines {
        let found = mutated(name, &[(&line, "")]);
        assert!(rules(&found).contains(rule), "{name}: {line}: {found:#?}");
    }
}

#[test]
fn what_names_the_target_itself_is_no_finding() {
    let mut wrong = Vec::new();
    for (header, _) in headers().filter(|(_, asks)| *asks == Asks::Target) {
        for (name, from, to) in [
            (
                "nginx",
                "proxy_pass http://service;",
                format!("proxy_set_header {header} $request_uri; proxy_pass http://service;"),
            ),
            (
                "caddy",
                "\t\treverse_proxy 127.0.0.1:9000 {",
                format!("\t\treverse_proxy 127.0.0.1:9000 {{\n\t\t\theader_up {header} {{uri}}"),
            ),
            ("haproxy", "\nbackend app\n", format!("\nbackend app\n    http-request set-header {header} %[pathq]\n")),
            (
                "envoy",
                "route: {cluster: app}",
                format!(
                    "route: {{cluster: app}}\n                          request_headers_to_add: [{{header: {{key: {header}, value: \"%REQ(:path)%\"}}}}]"
                ),
            ),
        ] {
            let found = mutated(name, &[(from, &to)]);
            if !found.is_empty() {
                wrong.push(format!("{name}: {header}: {found:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
