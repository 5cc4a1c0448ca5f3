//! Files without end, and what is no configuration at all: each ends soon, and with a finding.

use super::*;
use palisade_engine::model::Severity;

const ALL: [Gateway; 6] =
    [Gateway::Nginx, Gateway::Envoy, Gateway::Caddy, Gateway::Traefik, Gateway::Haproxy, Gateway::Apache];

#[test]
fn what_is_no_configuration_is_never_good() {
    let deep = |open: &str, close: &str| open.repeat(3_000) + &close.repeat(3_000);
    for gateway in ALL {
        for text in [
            deep("a {\n", "}\n"),
            deep("<Location /a>\n", "</Location>\n"),
            format!("http: {}", deep("[", "]")),
            format!("static_resources: {}", deep("{a: ", "}")),
            (0..3000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
            "a: &a [1,1,1,1,1,1,1,1,1]\n".to_owned()
                + &(1..7)
                    .map(|n| {
                        format!(
                            "a{n}: &a{n} [{}]\n",
                            vec![format!("*a{}", if n == 1 { String::new() } else { (n - 1).to_string() }); 9]
                                .join(",")
                        )
                    })
                    .collect::<String>(),
            "\u{0}\u{1}\u{fffd}".repeat(1000),
            "{\"apps\": {\"http\": {}}}".to_owned(),
            "\"".to_owned(),
            "a \"b".to_owned(),
            "}".to_owned(),
            "</VirtualHost>".to_owned(),
            "`".to_owned(),
            "<<X\n".to_owned(),
            "x".repeat(MOST_BYTES + 1),
        ] {
            let found = one(gateway, &text);
            assert!(!found.is_empty(), "{gateway:?}: {:.60}", text);
            rules(&found);
        }
    }
}

#[test]
fn what_is_too_large_is_reported() {
    for gateway in ALL {
        let found = one(gateway, &" ".repeat(MOST_BYTES + 1));
        assert_eq!(
            (found.len(), found[0].severity, found[0].rule),
            (1, Severity::Error, Some(NOT_CHECKED)),
            "{gateway:?}"
        );
    }
}

#[test]
fn an_include_that_cannot_be_read_is_reported() {
    for (gateway, text) in [
        (Gateway::Nginx, "http { include sites/*.conf; }\n"),
        (Gateway::Caddy, ":80 {\n\timport sites/*\n}\n"),
        (Gateway::Caddy, "import sites/*\n"),
        (Gateway::Apache, "Include sites/*.conf\n"),
        (Gateway::Traefik, "providers: {file: {directory: sites}}\n"),
    ] {
        let found = one(gateway, text);
        assert!(found.iter().any(|f| f.rule == Some(NOT_CHECKED) && f.line.is_some()), "{gateway:?} {text}: {found:?}");
        // one that includes itself, and one that comes to more and more
        for inner in [text.to_owned(), text.repeat(40)] {
            let files = |_: &str| Ok(vec![("a".to_owned(), inner.clone()), ("b".to_owned(), inner.clone())]);
            assert!(!lint(gateway, &[("f".to_owned(), text.to_owned())], &files).is_empty(), "{gateway:?} {text}");
        }
    }
    // snippets that import each other
    let mut text = String::from("(s0) {\n\timport s1\n\timport s1\n}\n");
    for n in 1..60 {
        text += &format!("(s{n}) {{\n\timport s{}\n\timport s{}\n}}\n", n + 1, (n + 1) % 60);
    }
    let found = one(Gateway::Caddy, &format!("{text}:80 {{\n\timport s0\n\treverse_proxy :9\n}}\n"));
    assert!(rules(&found).contains(NOT_CHECKED), "{found:?}");
}

#[test]
fn what_is_left_out_is_reported() {
    let many = "location /a { proxy_pass http://a/; }\n".repeat(1500);
    let nginx = format!("server {{\n{many}location /b {{ auth_request /c; }} location = /c {{ internal; }} }}\n");
    let chains: String =
        (0..20).map(|n| format!("    c{n}: {{chain: {{middlewares: [c{0}, c{0}, c{0}]}}}}\n", n + 1)).collect();
    let traefik = format!(
        "http:\n  middlewares:\n{chains}    p: {{forwardAuth: {{address: x}}}}\n  routers:\n    r: {{service: a, middlewares: [c0]}}\n"
    );
    let haproxy = format!("defaults\n mode http\n{}", "# a\n maxconn 1\n".repeat(15_000));
    for (gateway, text) in [(Gateway::Nginx, nginx), (Gateway::Traefik, traefik), (Gateway::Haproxy, haproxy)] {
        assert!(rules(&one(gateway, &text)).contains(NOT_CHECKED), "{gateway:?}");
    }
}

/// A directory that is not there may hold anything where the gateway runs; an empty one is common, and no finding.
#[test]
fn an_include_by_pattern_is_reported_where_its_directory_is_not_there() {
    let gone = |pattern: &str| Err(format!("{NO_DIRECTORY} `{pattern}` here"));
    let empty = |_: &str| Ok(Vec::new());
    for (name, from, to) in [
        ("nginx", "http {\n", "http {\n    include /none/*.conf;\n"),
        ("apache", "<VirtualHost 127", "Include /none/dir/*.conf\n<VirtualHost 127"),
        ("apache", "    ProxyPass", "    IncludeOptional none/*.conf\n    ProxyPass"),
        ("caddy", "\troute {", "\timport /none/*.caddy\n\troute {"),
        ("caddy", ":8080 {", "import /none/*\n\n:8080 {"),
    ] {
        let (gateway, mut sources) = pages::page(name);
        sources[0].1 = sources[0].1.replacen(from, to, 1);
        let found = lint(gateway, &sources, &gone);
        assert_eq!(Vec::from_iter(rules(&found)), ["not-checked"], "{name}: {found:#?}");
        assert!(lint(gateway, &sources, &empty).is_empty(), "{name}");
    }
}

/// Texts that are cut anywhere end soon as well, and without a panic.
#[test]
fn pages_that_are_cut_are_read_to_their_end() {
    for (gateway, page, block) in [
        (Gateway::Nginx, "nginx", 0),
        (Gateway::Caddy, "caddy", 0),
        (Gateway::Traefik, "traefik", 1),
        (Gateway::Haproxy, "haproxy", 0),
        (Gateway::Apache, "apache", 0),
        (Gateway::Envoy, "envoy", 0),
    ] {
        let text = pages::block(page, block);
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end) && end % 211 == 0) {
            rules(&one(gateway, &text[..end]));
            rules(&one(gateway, &text[end..]));
        }
    }
}
