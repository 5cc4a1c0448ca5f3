//! What each dialect answers when, and which headers it trusts.

use serde_json::{Value, json};

use crate::support::gate::{Ask, DIALECTS, Dialect, Gate, bearer, code, flags_with_identity, get, send};
use crate::support::{Response, Server};

/// A few routes of every kind; `ann` may do everything, and no one else anything.
const ROUTES: &str = "
hosts: [a.test]
routes:
  - {match: GET /open, public: true}
  - match: GET /d/{id}
    action: view
    resource: Doc::{path.id}
  - match: POST /d
    action: edit
    resource: Doc::{body.id}
  - {match: 'DELETE /d/{id}', deny: never}
  - match: GET /two
    action: view
    resource: Doc::a
    also:
      - {action: edit, resource: 'Doc::{query.x}'}
  - match: GET /ip
    action: view
    resource: 'Doc::{peer.ip}'
";
const POLICIES: &str = r#"
@id("ann") permit (principal == Fleet::User::"ann", action, resource);
@id("secret rule") forbid (principal, action == Action::"edit", resource == Doc::"x");
"#;

fn gate() -> Gate {
    Gate::with(ROUTES, POLICIES, json!({}))
}

/// What must be so in every answer of a dialect.
#[track_caller]
fn is_in_its_words(dialect: Dialect, answer: &Response) {
    let statuses: &[u16] = if dialect == Dialect::Forward { &[200, 401, 403, 503] } else { &[200, 401, 403] };
    assert!(statuses.contains(&answer.status), "{dialect:?}: {answer:?}");
    assert_eq!(answer.status == 401, answer.header("www-authenticate").is_some(), "{dialect:?}: {answer:?}");
    assert_eq!(answer.status == 200, answer.body.is_empty(), "{dialect:?}: {answer:?}");
    assert!(!answer.text().contains('\n') && !answer.text().contains("secret rule"), "{answer:?}");
    let removed: Vec<&str> =
        answer.header("x-envoy-auth-headers-to-remove").map(|list| list.split(',').collect()).unwrap_or_default();
    for name in ["x-palisade-principal", "x-palisade-auth-method", "x-palisade-token"] {
        let value = answer.header(name);
        let count = answer.headers.iter().filter(|(other, _)| other == name).count();
        assert!(count <= 1);
        if answer.status != 200 {
            assert!(value.is_none_or(str::is_empty), "{dialect:?}: {answer:?}");
        }
        match dialect {
            Dialect::Envoy => assert_ne!(value.is_some(), removed.contains(&name), "{name}: {answer:?}"),
            Dialect::Nginx | Dialect::Forward => assert!(value.is_some(), "{name}: {answer:?}"),
        }
        assert_eq!(dialect == Dialect::Envoy, removed.contains(&name.replace('-', "_").as_str()));
    }
}

#[test]
fn every_dialect_says_it_in_its_words() {
    let gate = gate();
    let (ann, bob) = (bearer("ann"), bearer("bob"));
    let (ann, bob) = (ann.as_str(), bob.as_str());
    for dialect in DIALECTS {
        let mut refused = 0.0;
        for (method, target, credential, body, status, expected) in [
            ("GET", "/open", None, None, 200, ""),
            ("HEAD", "/open", None, None, 200, ""),
            ("GET", "/open", Some("Bearer nonsense"), None, 200, ""),
            ("GET", "/d/7", Some(ann), None, 200, ""),
            ("GET", "/d/7", Some(bob), None, 403, "denied"),
            ("GET", "/d/7", None, None, 401, "missing_credential"),
            ("GET", "/d/7", Some("Bearer nonsense"), None, 401, "unknown_token"),
            ("GET", "/two?x=b", Some(ann), None, 200, ""),
            ("GET", "/two?x=x", Some(ann), None, 403, "denied"),
            ("GET", "/two?x=b&x=c", Some(ann), None, 403, "ambiguous_value"),
            ("GET", "/two", Some(ann), None, 403, "missing_value"),
            ("GET", "/none", Some(ann), None, 403, "no_route"),
            ("GET", "/none", None, None, 403, "no_route"),
            ("OPTIONS", "/d/7", None, None, 403, "no_route"),
            ("get", "/open", None, None, 403, "no_route"),
            ("FOO", "/open", None, None, 403, "no_route"),
            ("DELETE", "/d/7", Some(ann), None, 403, "denied_by_route"),
            ("POST", "/d", Some(ann), None, 403, "body_not_forwarded"),
            ("POST", "/d", Some(ann), Some("{\"id\": \"b\"}"), 200, ""),
            ("POST", "/d", Some(ann), Some("{\"id\": \"x\"}"), 403, "denied"),
            ("POST", "/d", Some(ann), Some("{\"id\": \"b\", \"id\": \"x\"}"), 403, "bad_body"),
        ] {
            let credential: Vec<(&str, &str)> = credential.map(|value| ("authorization", value)).into_iter().collect();
            let ask = Ask { method, target, host: "a.test", headers: &credential, body };
            let answer = ask.send(gate.addr(), dialect);
            let (status, expected) = match (dialect, body) {
                // nginx passes no bodies on
                (Dialect::Nginx, Some(_)) => (403, "body_not_forwarded"),
                _ => (status, expected),
            };
            assert_eq!(answer.status, status, "{dialect:?} {method} {target}: {answer:?}");
            is_in_its_words(dialect, &answer);
            if status != 200 && expected != "denied" {
                refused += 1.0;
            }
            if status != 200 {
                assert_eq!(code(&answer), expected, "{dialect:?} {method} {target}");
            }
            let who = if status == 200 && credential == [("authorization", ann)] { "Fleet::User::\"ann\"" } else { "" };
            assert_eq!(answer.header("x-palisade-principal").unwrap_or_default(), who, "{dialect:?} {target}");
        }
        let unauthenticated =
            format!("palisade_gateway_refusals_total{{reason=\"unauthenticated\",transport=\"{}\"}}", dialect.name());
        assert_eq!(gate.metric(&unauthenticated), 2.0);
        let denied = format!("palisade_decisions_total{{outcome=\"deny\",transport=\"{}\"}}", dialect.name());
        assert!(gate.metric(&denied) >= 2.0);
        // the request is at fault, and the sidecar is well
        for (outcome, count) in [("invalid", refused), ("error", 0.0)] {
            let series = format!("palisade_decisions_total{{outcome=\"{outcome}\",transport=\"{}\"}}", dialect.name());
            assert_eq!(gate.metric(&series), count, "{series}");
        }
    }
}

#[test]
fn what_the_gateway_must_say_is_said_once() {
    let gate = gate();
    for (path, names) in [
        ("/gateway/nginx", ["x-original-method", "x-original-uri", "x-original-host"]),
        ("/gateway/forward", ["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host"]),
    ] {
        let values = ["GET", "/open", "a.test"];
        for at in 0..=names.len() {
            for times in [0, 2] {
                let mut head = format!("GET {path} HTTP/1.1\r\nhost: authz\r\n");
                for (i, (name, value)) in names.iter().zip(values).enumerate() {
                    let times = if i == at { times } else { 1 };
                    head.push_str(&format!("{name}: {value}\r\n").repeat(times));
                }
                let answer = send(gate.addr(), format!("{head}\r\n").as_bytes(), false);
                let (status, expected) = if at == names.len() { (200, "") } else { (403, "bad_description") };
                assert_eq!(answer.status, status, "{head}");
                if status != 200 {
                    assert_eq!(code(&answer), expected, "{head}");
                }
            }
        }
    }
}

#[test]
fn a_dialect_reads_its_own_headers_alone() {
    let gate = gate();
    // every header by which another dialect describes a request, all pointing at what is open
    let spoofs = [
        ("x-original-method", "GET"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-prefix", "/open"),
        ("x-envoy-auth-partial-body", "false"),
        ("x-forwarded-client-cert", "URI=spiffe://a/b"),
        ("x-palisade-principal", "Fleet::User::\"ann\""),
    ];
    for dialect in DIALECTS {
        let own = match dialect {
            Dialect::Nginx => "x-original-",
            Dialect::Forward => "x-forwarded-",
            Dialect::Envoy => "x-none-",
        };
        let spoofs: Vec<(&str, &str)> =
            spoofs.into_iter().filter(|(name, _)| !name.starts_with(own) || name.ends_with("prefix")).collect();
        let answer = get("a.test", "/d/7", &spoofs).send(gate.addr(), dialect);
        assert_eq!((answer.status, code(&answer)), (401, "missing_credential".to_owned()), "{dialect:?}");
        is_in_its_words(dialect, &answer);
        // some services take another path by these, whatever the gateway speaks
        for name in ["x-original-uri", "x-forwarded-uri"].into_iter().filter(|name| !name.starts_with(own)) {
            let answer = get("a.test", "/d/7", &[(name, "/open")]).send(gate.addr(), dialect);
            assert_eq!((answer.status, code(&answer)), (403, "path_override".to_owned()), "{dialect:?} {name}");
        }
        // what a client says of itself is overwritten, and a public route names no caller
        let answer = get("a.test", "/open", &[("x-palisade-principal", "x")]).send(gate.addr(), dialect);
        assert_eq!(answer.status, 200);
        is_in_its_words(dialect, &answer);
        for twin in [
            "x_palisade_principal",
            "X-Palisade_Principal",
            "x_palisade-token",
            "X.Palisade.Principal",
            "x-palisade.principal",
            "x!palisade~token",
        ] {
            let answer = get("a.test", "/open", &[(twin, "x")]).send(gate.addr(), dialect);
            assert_eq!((answer.status, code(&answer)), (403, "spoofed_header".to_owned()), "{dialect:?} {twin}");
        }
        for (headers, status) in [
            (&[("x-http-method-override", "DELETE")][..], 403),
            (&[("x_http_method_override", "DELETE")], 403),
            (&[("x.http.method.override", "DELETE")], 403),
            (&[("x-original-url", "/open")], 403),
            (&[("x-rewrite-url", "/open")], 403),
            (&[("x-envoy-original-path", "/open")], 403),
            (&[("script-name", "/open")], 403),
            (&[("daphne-root-path", "/open")], 403),
            (&[("daphne.root.path", "/open")], 403),
            (&[("x-forwarded-proto", "http://a.test/d/7?")], 403),
            (&[("x-forwarded-proto", "https")], 200),
            (&[("x-forwarded-scheme", "http://a.test/d/7?")], 403),
            (&[("x-forwarded-port", "80/d/7?")], 403),
            (&[("x-forwarded-port", "443")], 200),
            (&[("x-forwarded-prefix", "/open")], 403),
            (&[("x-forwarded-prefix", "/app")], 200),
            (&[("forwarded", "host=b.test")], 403),
            (&[("forwarded", "for=10.0.0.1;host=\"a.test\"")], 200),
            (&[("forwarded", "for=1;xhost=b.test")], 403),
            (&[("forwarded", "for=\"host=b.test\"")], 403),
            (&[("forwarded", "by=b.test")], 403),
            (&[("forwarded", "for=\"[::1]:80\";by=_proxy;proto=https")], 200),
            (&[("x-accel-mapping", "/open=/d/7")], 403),
            (&[("x-sendfile-type", "X-Accel-Redirect")], 403),
            (&[("x-frappe-site-name", "b.test")], 403),
            (&[("x-host", "b.test")], 403),
            (&[("upgrade", "h2c")], 403),
            (&[("upgrade", "websocket")], 403),
            (&[("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA")], 403),
            (&[("trailer", "X-Palisade-Principal")], 403),
            (&[("trailer", "Server-Timing")], 200),
            (&[("x-anything", "DELETE")], 200),
        ] {
            assert_eq!(get("a.test", "/open", headers).send(gate.addr(), dialect).status, status, "{headers:?}");
        }
        for host in ["b.test", "a.test,b.test", "", "a.test.evil"] {
            let answer = get(host, "/open", &[]).send(gate.addr(), dialect);
            assert_eq!(answer.status, 403, "{dialect:?} {host}");
        }
        assert_eq!(get("A.Test.:8080", "/open", &[]).send(gate.addr(), dialect).status, 200);
    }
}

#[test]
fn what_lies_below_or_beside_an_endpoint_is_not_it() {
    let gate = gate();
    let described = "x-original-method: GET\r\nx-original-uri: /open\r\nx-original-host: a.test\r\n\
                     x-forwarded-method: GET\r\nx-forwarded-uri: /open\r\nx-forwarded-host: a.test\r\n";
    for (line, status) in [
        ("GET /gateway/nginx", 200),
        ("GET /gateway/nginx?x=y", 200),
        ("POST /gateway/nginx", 200),
        ("GET /gateway/nginx/", 403),
        ("GET /gateway/nginx/open", 403),
        ("GET /gateway/forward?x=y", 200),
        ("HEAD /gateway/forward", 200),
        ("GET /gateway/forward/", 403),
        ("GET /gateway/envoy", 403),
        ("GET /gateway/envoy?/open", 403),
        ("GET /gateway/envoy/", 403),
        ("GET /gateway/envoy/open", 403),
        ("GET http://a.test/gateway/envoy/open", 403),
        ("GET /gateway/envoyopen", 404),
        ("GET /gateway", 404),
        ("GET /Gateway/nginx", 404),
        ("GET //gateway/nginx", 404),
        ("GET /gateway/%6eginx", 404),
    ] {
        let bytes = format!("{line} HTTP/1.1\r\nhost: authz\r\n{described}\r\n");
        let answer = send(gate.addr(), bytes.as_bytes(), line.starts_with("HEAD"));
        assert_eq!(answer.status, status, "{line}: {answer:?}");
    }
    // the admin listener has none of them
    let bytes = format!("GET /gateway/nginx HTTP/1.1\r\nhost: localhost\r\n{described}\r\n");
    assert_eq!(send(gate.server.admin, bytes.as_bytes(), false).status, 404);
    // HTTP/1.0, as an older nginx asks
    let bytes = format!("GET /gateway/nginx HTTP/1.0\r\nhost: authz\r\n{described}\r\n");
    assert_eq!(send(gate.addr(), bytes.as_bytes(), false).status, 200);
}

#[test]
fn bodies_are_read_whole_or_not_at_all() {
    let gate = Gate::with(ROUTES, POLICIES, json!({"http": {"max_body_bytes": 100}}));
    let ann = bearer("ann");
    let head = |dialect: Dialect, more: &str, body: &str| {
        let described = match dialect {
            Dialect::Envoy => "POST /gateway/envoy/d HTTP/1.1\r\nhost: a.test\r\n",
            _ => {
                "POST /gateway/forward HTTP/1.1\r\nhost: authz\r\nx-forwarded-method: POST\r\nx-forwarded-uri: /d\r\nx-forwarded-host: a.test\r\n"
            }
        };
        format!(
            "{described}authorization: {ann}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{more}\r\n{body}",
            body.len()
        )
    };
    let (small, large) = (r#"{"id": "b"}"#, format!("{{\"id\": \"b\", \"x\": \"{}\"}}", "x".repeat(100)));
    let partial = |word: &str| format!("x-envoy-auth-partial-body: {word}\r\n");
    for (dialect, more, body, status, expected) in [
        (Dialect::Forward, String::new(), small, 200, ""),
        (Dialect::Forward, String::new(), "", 403, "body_not_forwarded"),
        (Dialect::Forward, String::new(), &large, 403, "body_unread"),
        (Dialect::Envoy, partial("false"), small, 200, ""),
        (Dialect::Envoy, partial("false"), "", 403, "body_not_forwarded"),
        (Dialect::Envoy, partial("true"), small, 403, "partial_body"),
        (Dialect::Envoy, partial("false") + &partial("false"), small, 403, "partial_body"),
        (Dialect::Envoy, String::new(), small, 403, "body_not_forwarded"),
        (Dialect::Envoy, partial("false"), &large, 403, "body_unread"),
    ] {
        let answer = send(gate.addr(), head(dialect, &more, body).as_bytes(), false);
        assert_eq!(answer.status, status, "{dialect:?} {more} {body}: {answer:?}");
        if status != 200 {
            assert_eq!(code(&answer), expected, "{dialect:?} {more} {body}");
        }
    }
    // framed as only some would read it
    for (path, described) in [("nginx", "x-original"), ("forward", "x-forwarded")] {
        let head = format!(
            "GET /gateway/{path} HTTP/1.1\r\nhost: authz\r\n{described}-method: GET\r\n{described}-uri: /open\r\n{described}-host: a.test\r\n"
        );
        let bytes = format!("{head}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
        let answer = send(gate.addr(), bytes.as_bytes(), false);
        assert_eq!((answer.status, code(&answer)), (403, "bad_description".to_owned()), "{path}");
    }
    // nginx reads none, and what it brings all the same is not taken for the next request
    let answer = send(
        gate.addr(),
        b"GET /gateway/nginx HTTP/1.1\r\nhost: authz\r\nx-original-method: GET\r\nx-original-uri: /open\r\nx-original-host: a.test\r\ncontent-length: 10\r\n\r\n",
        false,
    );
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
}

#[test]
fn who_cannot_decide_denies() {
    let dir = tempfile::tempdir().unwrap();
    let unready = Server::start(flags_with_identity(dir.path(), &json!({})));
    let gate = Gate::with(ROUTES, POLICIES, json!({"gateway": {"deadline": "50ms"}}));
    let status: Value = gate.server.admin().get("/v1/status").json();
    let (incarnation, _) = status["revision"].as_str().unwrap().split_once('-').unwrap();
    let (later, other) = (format!("{incarnation}-99"), format!("{:016x}-1", 7));
    for dialect in DIALECTS {
        let answer = get("a.test", "/open", &[]).send(unready.decisions, dialect);
        assert_eq!((answer.status, code(&answer)), (dialect.fault(), "not_ready".to_owned()), "{dialect:?}");
        is_in_its_words(dialect, &answer);
        for wanted in [&later, &other, "nonsense"] {
            let answer = get("a.test", "/open", &[("palisade-at-least", wanted)]).send(gate.addr(), dialect);
            let got = (answer.status, code(&answer));
            assert_eq!(got, (dialect.fault(), "revision_not_reached".to_owned()), "{dialect:?} {wanted}");
        }
        // as fresh as it is
        let now = status["revision"].as_str().unwrap();
        assert_eq!(get("a.test", "/open", &[("palisade-at-least", now)]).send(gate.addr(), dialect).status, 200);
    }
    // within what Envoy waits, not what is configured; what is no time is not waited for
    let patient = Gate::with(ROUTES, POLICIES, json!({"gateway": {"deadline": "1m"}}));
    let status: Value = patient.server.admin().get("/v1/status").json();
    let next = format!("{}-99", status["revision"].as_str().unwrap().split_once('-').unwrap().0);
    for (told, at_least) in [("250", 225), ("60000", 0), ("soon", 0)] {
        let wanted = if at_least == 0 { "nonsense" } else { &next };
        let headers = [("palisade-at-least", wanted), ("x-envoy-expected-rq-timeout-ms", told)];
        let begun = std::time::Instant::now();
        let answer = get("a.test", "/open", &headers).send(patient.addr(), Dialect::Envoy);
        assert_eq!((answer.status, code(&answer)), (403, "revision_not_reached".to_owned()), "{told}");
        assert!((at_least..30_000).contains(&begun.elapsed().as_millis()), "{told}: {:?}", begun.elapsed());
    }
    // a body that does not come in time
    for (dialect, head) in [
        (
            Dialect::Forward,
            "POST /gateway/forward HTTP/1.1\r\nhost: authz\r\nx-forwarded-method: GET\r\nx-forwarded-uri: /open\r\nx-forwarded-host: a.test\r\n",
        ),
        (Dialect::Envoy, "GET /gateway/envoy/open HTTP/1.1\r\nhost: a.test\r\n"),
    ] {
        let begun = std::time::Instant::now();
        let answer = send(gate.addr(), format!("{head}content-length: 10\r\n\r\n{{").as_bytes(), false);
        assert_eq!((answer.status, code(&answer)), (dialect.fault(), "deadline".to_owned()));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }
}

#[test]
fn a_draining_sidecar_still_answers() {
    let gate = Gate::with(ROUTES, POLICIES, json!({"shutdown": {"delay": "2s"}}));
    gate.server.ask_to_stop();
    gate.server.until("draining", |server| !server.services.unready().is_empty());
    for dialect in DIALECTS {
        let answer = get("a.test", "/open", &[]).send(gate.addr(), dialect);
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
}

#[test]
fn the_client_has_one_address_or_none() {
    let gate = gate();
    let ann = bearer("ann");
    for (dialect, value, status) in [
        (Dialect::Nginx, Some("10.0.0.7"), 200),
        (Dialect::Forward, Some("::1"), 200),
        (Dialect::Forward, Some("10.0.0.7, 10.0.0.8"), 403),
        (Dialect::Nginx, Some("nonsense"), 403),
        (Dialect::Nginx, None, 403),
        // Envoy appends to what the client sent
        (Dialect::Envoy, Some("10.0.0.7"), 403),
    ] {
        let mut headers = vec![("authorization", ann.as_str())];
        headers.extend(value.map(|value| ("x-forwarded-for", value)));
        let answer = get("a.test", "/ip", &headers).send(gate.addr(), dialect);
        assert_eq!(answer.status, status, "{dialect:?} {value:?}: {answer:?}");
    }
}

#[test]
fn the_decision_log_says_why_a_check_was_denied() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    let gate = Gate::with(ROUTES, POLICIES, json!({"decision_log": {"sink": file, "explain": "ids"}}));
    let bob = bearer("bob");
    for (n, dialect) in DIALECTS.into_iter().enumerate() {
        let answer = get("a.test", "/d/7", &[("authorization", bob.as_str())]).send(gate.addr(), dialect);
        assert_eq!(answer.status, 403, "{dialect:?}: {answer:?}");
        let whole = || std::fs::read_to_string(&file).unwrap_or_default();
        gate.server.until("a line more", |_| whole().lines().count() == n + 1);
        let line: Value = serde_json::from_str(whole().lines().last().unwrap()).unwrap();
        assert_eq!(line["explanation"], json!({"kind": "not_permitted", "policies": ["ann"]}), "{line:#}");
        // nothing of it reaches the client
        assert!(!answer.text().contains("ann") && !answer.headers.iter().any(|(_, value)| value.contains("ann")));
    }
}

#[test]
fn the_decision_log_has_checks_and_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    let gate = Gate::with(ROUTES, POLICIES, json!({"decision_log": {"sink": file}}));
    let ann = bearer("ann");
    let credential = [("authorization", ann.as_str()), ("x-request-id", "r-1")];
    for target in ["/d/7", "/two?x=b", "/none?secret=1", "/two"] {
        get("a.test", target, &credential).send(gate.addr(), Dialect::Nginx);
    }
    get("a.test", "/d/7", &[("authorization", "Bearer hidden")]).send(gate.addr(), Dialect::Envoy);
    get("a.test", "/open", &credential).send(gate.addr(), Dialect::Forward);
    let whole = || std::fs::read_to_string(&file).unwrap_or_default();
    gate.server.until("7 lines", |_| whole().lines().count() == 7);
    let lines: Vec<Value> = whole().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, transport, decision, refused) in [
        (&lines[0], "nginx", "Allow", Value::Null),
        (&lines[1], "nginx", "Allow", Value::Null),
        (&lines[2], "nginx", "Allow", Value::Null),
        (&lines[3], "nginx", "Deny", json!("no_route")),
        (&lines[4], "nginx", "Deny", json!("missing_value")),
        (&lines[5], "envoy", "Deny", json!("unknown_token")),
        (&lines[6], "forward", "Allow", Value::Null),
    ] {
        assert_eq!(line["transport"], transport, "{line}");
        assert_eq!((line["decision"].as_str(), &line["refused"]), (Some(decision), &refused), "{line}");
        assert!(line["decision_id"].is_string() && line["time"].is_string() && line["revision"].is_string());
    }
    assert_eq!((&lines[4]["principal"], &lines[4]["request_id"]), (&json!("Fleet::User::\"ann\""), &json!("r-1")));
    assert!(lines[4]["route"].as_str().unwrap().contains("r.yaml:"));
    // what was asked for, but not the query
    let asked = |line: &Value| ["method", "host", "path"].map(|key| line[key].as_str().unwrap().to_owned());
    assert_eq!(asked(&lines[3]), ["GET", "a.test", "/none"]);
    assert_eq!(asked(&lines[6]), ["GET", "a.test", "/open"]);
    // where no policy is asked, there is no principal, and the line says that the route is public
    assert_eq!((&lines[6]["public"], &lines[6]["principal"]), (&json!(true), &Value::Null));
    assert!(lines[6]["route"].as_str().unwrap().contains("r.yaml:") && lines[0]["public"].is_null());
    let public = |transport| gate.metric(&format!("palisade_gateway_public_total{{transport=\"{transport}\"}}"));
    assert_eq!((public("forward"), public("nginx")), (1.0, 0.0));
    assert!(!whole().contains("secret") && !whole().contains("hidden") && !whole().contains(&ann[7..]));
}
