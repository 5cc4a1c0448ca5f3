//! nginx with `auth_request`.

use crate::gateway::lint::File;

pub(super) fn lint(file: &mut File<'_>) {
    let statements = statements(file);
    let find = |head: &str| statements.iter().find(|s| s.text.starts_with(head)).map(|s| s.line);
    if find("auth_request ").is_none() {
        file.warn(
            None,
            "there is no `auth_request`, so nothing asks the sidecar",
            "add `auth_request /_authz;` to the location",
        );
        return;
    }
    let in_check = |s: &&Statement| {
        s.location.as_deref().is_some_and(|location| {
            statements.iter().any(|other| {
                other.text.strip_prefix("auth_request ").is_some_and(|target| location.ends_with(target.trim()))
            })
        })
    };
    let check: Vec<&Statement> = statements.iter().filter(in_check).collect();
    let first = check.first().map(|s| s.line);
    let has = |word: &str| check.iter().any(|s| s.text.starts_with(word));
    let sets = |name: &str| {
        check.iter().find(|s| {
            let mut words = s.text.split_whitespace();
            words.next() == Some("proxy_set_header") && words.next().is_some_and(|w| w.eq_ignore_ascii_case(name))
        })
    };
    if !has("internal") {
        file.warn(first, "clients can reach the location that asks the sidecar", "add `internal;`");
    }
    if !has("proxy_read_timeout") || !has("proxy_connect_timeout") {
        file.warn(
            first,
            "a sidecar that hangs holds every request for 60 seconds",
            "set `proxy_connect_timeout 500ms; proxy_read_timeout 1s;`",
        );
    }
    if !sets("Connection").is_some_and(|s| s.text.contains("\"\"")) || !has("proxy_http_version") {
        file.warn(
            first,
            "before nginx 1.29.7 every check opens a connection of its own",
            "set `proxy_http_version 1.1; proxy_set_header Connection \"\";`, and `keepalive` in the upstream",
        );
    }
    if !has("proxy_pass_request_body off") {
        file.warn(
            first,
            "the check waits for a body that `auth_request` does not send",
            "set `proxy_pass_request_body off; proxy_set_header Content-Length \"\";`",
        );
    }
    match sets("X-Original-URI") {
        None => file.warn(
            first,
            "the sidecar is not told the target, and a client may name one",
            "set `proxy_set_header X-Original-URI $request_uri;`",
        ),
        Some(s) if !s.text.contains("$request_uri") => {
            file.warn(
                Some(s.line),
                "the sidecar is told another target than the client sent",
                "use `$request_uri`; `$uri` is decoded and has its dots resolved",
            );
        }
        Some(_) => {}
    }
    if sets("X-Original-Method").is_none() {
        file.warn(
            first,
            "the sidecar is not told the method, and a client may name one",
            "set `proxy_set_header X-Original-Method $request_method;`",
        );
    }
    match sets("X-Original-Host") {
        None => file.warn(
            first,
            "the sidecar is not told the host, and a client may name one",
            "set `proxy_set_header X-Original-Host $host;`",
        ),
        Some(s) if s.text.contains("$http_host") => {
            file.warn(Some(s.line), "`$http_host` is not the host of a request whose target is a URL", "use `$host`");
        }
        Some(_) => {}
    }
    for s in &statements {
        let is_check = check.iter().any(|other| other.line == s.line && other.text == s.text);
        if let Some(url) = s.text.strip_prefix("proxy_pass ").filter(|_| !is_check) {
            let after = url.trim().split_once("://").map_or(url, |(_, rest)| rest);
            if after.contains('/') && !after.starts_with("unix:") {
                file.warn(Some(s.line), "a URI in `proxy_pass` makes nginx decode and resolve the path, so the service gets another than was checked", "leave out everything after the host, the last `/` too");
            }
        }
        if s.text.starts_with("rewrite ") || s.text.starts_with("merge_slashes on") {
            file.warn(
                Some(s.line),
                "the service gets another path than was checked",
                "rewrite in front of the check, or not at all",
            );
        }
        if s.text.starts_with("auth_request off") {
            file.warn(
                Some(s.line),
                "this location is not checked",
                "make the route `public: true` in the route file instead, so that one place says what is open",
            );
        }
        if s.text.starts_with("error_page 500") || (s.text.starts_with("error_page") && s.text.contains("=200")) {
            file.warn(
                Some(s.line),
                "an error of the check must not become an answer that lets the request pass",
                "leave errors of the check alone",
            );
        }
        if let Some(rest) = s.text.strip_prefix("auth_request_set ") {
            let variable = rest.split_whitespace().next().unwrap_or_default();
            let used = statements
                .iter()
                .any(|other| other.text.starts_with("proxy_set_header") && other.text.contains(variable));
            if !used {
                file.warn(
                    Some(s.line),
                    "this value from the sidecar goes nowhere, and the client's own header passes",
                    "set the header of the service from it: `proxy_set_header X-User $authz_user;`",
                );
            }
        }
    }
    if find("auth_request_set").is_none() && !statements.iter().any(|s| s.text.starts_with("proxy_set_header X-User")) {
        file.warn(
            find("auth_request "),
            "identity headers that a client makes up reach the service",
            "set each to the sidecar's value with `auth_request_set` and `proxy_set_header`, or to `\"\"`",
        );
    }
}

/// One directive and where it stands.
struct Statement {
    line: usize,
    text: String,
    /// The name of the location around it.
    location: Option<String>,
}

/// Splits at `;`, `{` and `}` outside strings.
fn statements(file: &File<'_>) -> Vec<Statement> {
    let mut found = Vec::new();
    let mut blocks: Vec<String> = Vec::new();
    let (mut text, mut start, mut quote) = (String::new(), 0, None);
    for (line, content) in file.lines() {
        for c in content.chars().chain([' ']) {
            match (quote, c) {
                (None, ';' | '{' | '}') => {
                    let statement = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    text.clear();
                    match c {
                        '{' => blocks.push(statement),
                        _ => {
                            if !statement.is_empty() {
                                let location = blocks.iter().rev().find(|b| b.starts_with("location")).cloned();
                                found.push(Statement { line: start, text: statement, location });
                            }
                            if c == '}' {
                                blocks.pop();
                            }
                        }
                    }
                    continue;
                }
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                _ => {}
            }
            if text.trim().is_empty() {
                start = line;
            }
            text.push(c);
        }
    }
    found
}
