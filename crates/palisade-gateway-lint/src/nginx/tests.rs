//! Each trap of nginx is reported where it is, and nothing else is reported.

use super::*;
use crate::tests::{NGINX, alone};
use crate::{Gateway, Source};
use palisade_engine::model::Severity;

const AUTH: &str = "auth_request /_palisade;";
const CHECK: &str = "location = /_palisade {";
const SERVER: &str = "  server {\n    location / {";
const TOKEN: &str = "proxy_set_header X-Palisade-Token $palisade_token;";
const PASS: &str = "proxy_pass http://127.0.0.1:9000;";
const ASK: &str = "http://palisade/gateway/nginx";
/// What the location of the service sets, line by line as it stands there.
const SETS: [&str; 3] = [
    "      proxy_set_header X-Palisade-Principal $palisade_principal;\n",
    "      proxy_set_header X-Palisade-Auth-Method $palisade_auth_method;\n",
    "      proxy_set_header X-Palisade-Token $palisade_token;\n",
];

/// The good configuration with `from` replaced.
fn with(from: &str, to: &str) -> String {
    assert!(NGINX.contains(from), "{from}");
    NGINX.replacen(from, to, 1)
}

fn found(text: &str) -> Vec<(usize, String)> {
    let findings = lint("f", text, &alone);
    findings.into_iter().map(|finding| (finding.line.unwrap_or(0), finding.message)).collect()
}

/// What is replaced in the good configuration by what, the line of the finding, and words of its message.
const TRAPS: &[(&str, &str, usize, &str)] = &[
    // unchecked
    (CHECK, "location /api/ { proxy_pass http://a; }\nlocation = /_palisade {", 14, "here reach the service unchecked"),
    (CHECK, "location /api/ { if ($a) { grpc_pass b; } }\nlocation = /_palisade {", 14, "service unchecked"),
    (CHECK, "location /a { limit_except GET { fastcgi_pass b; } }\nlocation = /_palisade {", 14, "service unchecked"),
    (CHECK, "location @a { uwsgi_pass b; }\nlocation = /_palisade {", 14, "sent here by `error_page`"),
    (CHECK, "location /a { internal; scgi_pass b; }\nlocation = /_palisade {", 14, "sent here by `error_page`"),
    (CHECK, "location /a { auth_request off; proxy_pass http://a; }\nlocation = /_palisade {", 14, "is not checked"),
    (
        SERVER,
        "  server { location / { proxy_pass http://a; } }\n  server {\n    location / {",
        3,
        "nothing asks the sidecar about",
    ),
    (
        SERVER,
        "server { location / { proxy_pass http://a; }\nlocation /b { proxy_pass http://a; } }\nserver {\nlocation / {",
        3,
        "of this server",
    ),
    (
        AUTH,
        "auth_request /_palisade; satisfy any; allow 127.0.0.1; deny all;",
        5,
        "lets requests pass that the sidecar denied",
    ),
    (SERVER, "satisfy any;\nserver {\n location / {", 3, "`satisfy any`"),
    // who asks is the client's to say
    (SETS[0], "", 11, "a client's own `X-Palisade-Principal` reaches the service"),
    (SETS[1], "", 11, "a client's own `X-Palisade-Auth-Method`"),
    (SETS[2], "", 11, "a client's own `X-Palisade-Token`"),
    (TOKEN, "proxy_set_header X-Palisade-Token $http_x_palisade_token;", 11, "no `auth_request_set` takes"),
    (TOKEN, "proxy_set_header X-Palisade-Token $upstream_http_x_palisade_token;", 11, "no `auth_request_set` takes"),
    (TOKEN, "proxy_set_header X-Palisade-Token $palisade_principal;", 11, "`X-Palisade-Token` is set to what"),
    (PASS, "proxy_set_header X-Palisade-Token a; proxy_pass http://a;", 12, "`X-Palisade-Token` is set to what"),
    (
        "auth_request_set $palisade_principal $upstream_http_x_palisade_principal;",
        "",
        9,
        "`X-Palisade-Principal` is set to what",
    ),
    (
        PASS,
        "grpc_pass grpc://127.0.0.1:9000;",
        12,
        "a client's own `X-Palisade-Principal`, `X-Palisade-Auth-Method`, `X-P",
    ),
    (PASS, "fastcgi_pass 127.0.0.1:9000; fastcgi_param HTTP_X_PALISADE_TOKEN $palisade_token;", 12, "nothing active"),
    (
        PASS,
        "location /b {\n proxy_set_header A b; proxy_pass http://127.0.0.1:9000; }",
        13,
        "of the blocks around it do not count",
    ),
    // another location answers
    (AUTH, "auth_request /_palisde;", 5, "no location of this server is `/_palisde`"),
    (AUTH, "auth_request /;", 12, "asked at the check's own path"),
    (CHECK, "location = /_other {", 5, "no location of this server is `/_palisade`"),
    (
        SERVER,
        "auth_request /_palisade;\nserver { location / { proxy_pass http://a; } }\n  server {\n    location / {",
        3,
        "no location",
    ),
    // the check asks somewhere else
    (ASK, "http://palisade/gateway/ngnix", 16, "asked at `/gateway/ngnix`"),
    (ASK, "http://palisade/gateway/nginx/", 16, "asked at `/gateway/nginx/`"),
    (ASK, "http://palisade/gateway/nginx?a", 16, "asked at `/gateway/nginx?a`"),
    (ASK, "http://palisade/gateway/forward", 16, "asked at `/gateway/forward`"),
    (ASK, "http://palisade", 16, "asked at the check's own path"),
    (ASK, "http://unix:/run/p.sock:/gateway", 16, "asked at `/gateway`"),
    (ASK, "http://127.0.0.1:8181/gateway/nginx", 16, "the admin listener"),
    ("server 127.0.0.1:8180;", "server 127.0.0.1:8181;", 16, "the admin listener"),
    ("server 127.0.0.1:8180;", "server 127.0.0.1:9191;", 16, "the listener for gRPC"),
    ("proxy_pass http://palisade/gateway/nginx;", "return 204;", 14, "does not ask the sidecar"),
    // what the check says and how long it waits
    ("$remote_addr", "$proxy_add_x_forwarded_for", 22, "own `X-Forwarded-For`"),
    ("proxy_set_header X-Forwarded-For   $remote_addr;", "", 14, "does not get the client's address"),
    ("$request_method", "GET", 20, "another method"),
    ("proxy_set_header Content-Length \"\";", "", 14, "waits for a body"),
    ("proxy_read_timeout 1s", "proxy_read_timeout 50ms", 23, "gives up before the sidecar"),
    ("internal;", "internal; proxy_cache c;", 15, "is kept"),
    // what the service gets
    (SERVER, "underscores_in_headers on;\nserver {\n location / {", 3, "names with `_` reach the service"),
    (PASS, "proxy_set_header Host $http_host; proxy_pass http://a;", 12, "another host"),
    (AUTH, "auth_request /_palisade; rewrite ^/a/(.*) /$1 break;", 5, "another path"),
    (AUTH, "auth_request /_palisade; error_page 403 = @open;", 5, "must not become"),
    // what cannot be read
    (SERVER, "include sites/a.conf;\nserver {\n location / {", 3, "there is no such file"),
];

/// The configurations in which something is to be found.
pub(crate) fn broken() -> impl Iterator<Item = (Gateway, Vec<Source>, String)> {
    TRAPS
        .iter()
        .map(|(from, to, _, message)| (Gateway::Nginx, vec![("f".to_owned(), with(from, to))], (*message).to_owned()))
}

#[test]
fn each_trap_is_reported_at_its_line() {
    let mut wrong = Vec::new();
    for (from, to, line, message) in TRAPS {
        let found = found(&with(from, to));
        if !found.iter().any(|(at, said)| at == line && said.contains(message)) {
            wrong.push(format!("{from:?} -> {to:?}: {line} {message}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_trap_is_not_reported() {
    let inherited = with(SERVER, &format!("  {AUTH}\n{SERVER}")).replacen(&format!("      {AUTH}\n"), "", 1);
    for text in [
        with(CHECK, "location /ok { return 200; }\nlocation = /_palisade {"),
        with(CHECK, "location /ok { auth_request off; return 200; }\nlocation = /_palisade {"),
        with(CHECK, "location /s { root /srv; }\nlocation = /_palisade {"),
        with(CHECK, "location /_palisade {"),
        with(CHECK, "location ^~ /_pal {"),
        with(CHECK, "location ~ ^/_palisade$ {"),
        with(
            SERVER,
            "server { listen 80; rewrite ^ https://$host$request_uri permanent; }\n  server {\n    location / {",
        ),
        with(SERVER, "server { listen 80; return 301 https://$host$request_uri; }\n  server {\n    location / {"),
        with(AUTH, "auth_request /_palisade; error_page 500 502 /50x.html;"),
        with(AUTH, "auth_request /_palisade; if ($arg_debug) { proxy_pass http://a; }"),
        with(TOKEN, "proxy_set_header x-palisade-token ${palisade_token};"),
        with(ASK, "http://unix:/run/palisade/decisions.sock:/gateway/nginx"),
        with(ASK, "http://$palisade/gateway/nginx"),
        NGINX.replace("$host;", "api.example.com;"),
        inherited.clone(),
        inherited.replacen("internal;", "internal; auth_request off;", 1),
        format!("{NGINX}stream {{ server {{ proxy_pass a:1; }} }}\n"),
        // a server, and locations, as they stand in a file that another one includes
        NGINX.lines().skip(2).take(23).collect::<Vec<_>>().join("\n"),
        NGINX.lines().skip(3).take(21).collect::<Vec<_>>().join("\n"),
    ] {
        let found: Vec<_> = found(&text).into_iter().filter(|(_, said)| !said.contains("auth_request_set")).collect();
        assert_eq!(found, [], "{text}");
    }
}

#[test]
fn a_value_that_is_not_set_is_as_good_if_it_is_removed() {
    let text = with("      auth_request_set $palisade_token $upstream_http_x_palisade_token;\n", "");
    assert_eq!(found(&text.replace("X-Palisade-Token $palisade_token", "X-Palisade-Token \"\"")), []);
}

#[test]
fn a_check_without_its_location_comes_first_and_alone() {
    let text = with(AUTH, "auth_request /_palisde;").replacen("http {", "http {\nunderscores_in_headers on;", 1);
    let found = found(&text);
    assert!(found[0].1.contains("each 2xx of it lets a request pass"), "{found:#?}");
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn what_is_included_is_looked_at() {
    let site = NGINX.lines().skip(2).take(23).collect::<Vec<_>>().join("\n");
    let main = "http {\n  upstream palisade { server 127.0.0.1:8180; }\n  include sites/*.conf;\n}\n";
    let told = |site: &str, main: &str| {
        let files = |pattern: &str| match pattern {
            "sites/*.conf" => Ok(vec![("sites/a.conf".to_owned(), site.to_owned())]),
            "none/*" => Ok(Vec::new()),
            _ => Err(format!("cannot read `{pattern}`")),
        };
        let findings = lint("nginx.conf", main, &files).into_iter();
        findings.map(|f| format!("{}:{} {}", f.origin, f.line.unwrap_or(0), f.message)).collect::<Vec<_>>()
    };
    assert_eq!(told(&site, main), [""; 0]);
    for (site, main, expected) in [
        (site.replace(":9000;", ":9000/;"), main.to_owned(), &["sites/a.conf:10 a URI"][..]),
        (site.clone(), main.replace("8180", "8181"), &["sites/a.conf:14 port 8181"]),
        (
            site.clone(),
            main.replace("sites/", "nowhere/"),
            &["there is no `auth_request`", "nginx.conf:3 what is incl"],
        ),
        (site.clone(), main.replace("sites/", "nowhere/"), &["so nothing asks the sidecar, unless files"]),
        (site.clone(), main.replace("sites/*.conf", "none/*"), &["so nothing asks the sidecar, unless files"]),
        (
            format!("{site} include sites/*.conf;"),
            main.to_owned(),
            &["sites/a.conf:23 `sites/a.conf` is not looked at"],
        ),
        (site.replace("internal;", "internal"), main.to_owned(), &["sites/a.conf:13 not a configuration"]),
    ] {
        let found = told(&site, &main);
        for words in expected {
            assert!(found.iter().any(|said| said.contains(words)), "{words}: {found:#?}");
        }
    }
}

#[test]
fn what_is_no_configuration_is_an_error() {
    for (text, line) in [
        (with("internal;", "internal"), 15),
        (with("    location = /_palisade {", "    }\nlocation = /_palisade {"), 27),
        ("static_resources:\n  listeners:\n    - name: web\n".to_owned(), 1),
        ("a: {b: c}\n".to_owned(), 1),
    ] {
        let findings = lint("f", &text, &alone);
        assert_eq!(findings[0].severity, Severity::Error, "{text}");
        assert_eq!((findings.len(), findings[0].line), (1, Some(line)), "{text}: {findings:?}");
    }
}
