//! What every answer carries and what every endpoint asks for: request ids, revisions, methods, batch
//! sizes, the admin token, listeners, and the time before the first bundle.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use palisade::app::App;
use palisade::telemetry::Listener;
use palisade::transport::ENDPOINTS;
use serde_json::{Value, json};

use crate::support::http::read_response;
use crate::support::raw::post;
use crate::support::server::settings;
use crate::support::tiny::{ask, asked, bundle, tiny};
use crate::support::{Client, Response, Server};

const AUTHZEN: &str =
    r#"{"subject":{"type":"User","id":"alice"},"action":{"name":"read"},"resource":{"type":"File","id":"f"}}"#;

/// The decision endpoints with a good body each.
fn decisions() -> Vec<(&'static str, String)> {
    vec![
        ("/v1/is_authorized", ask("alice")),
        ("/v1/is_authorized/batch", format!(r#"{{"requests":[{}]}}"#, ask("alice"))),
        ("/access/v1/evaluation", AUTHZEN.to_owned()),
        ("/access/v1/evaluations", format!(r#"{{"evaluations":[{AUTHZEN}]}}"#)),
    ]
}

fn post_with(client: &mut Client, path: &str, header: (&str, &str), body: &str) -> Response {
    client.send("POST", path, &[("content-type", "application/json"), header], body.as_bytes())
}

fn revision(server: &Server) -> String {
    server.admin().get("/v1/status").json()["revision"].as_str().unwrap().to_owned()
}

/// The bundle with one more policy, so that it is another.
fn other_bundle(n: usize) -> String {
    let mut bundle = bundle();
    bundle["policies"][format!("more{n}")] =
        json!(format!(r#"permit (principal == User::"more{n}", action, resource);"#));
    bundle.to_string()
}

#[test]
fn every_answer_names_its_request_and_its_revision() {
    let server = tiny(json!({ "authzen": { "base_url": "https://pdp.example.com" } }));
    let now = revision(&server);
    let mut all: Vec<(Client, &str, String, String)> = Vec::new();
    for endpoint in ENDPOINTS {
        for listener in endpoint.listeners.iter().filter(|listener| **listener != Listener::Ops) {
            let client = || if *listener == Listener::Decisions { server.client() } else { server.admin() };
            let method: &str = endpoint.method.as_str();
            let good = decisions()
                .into_iter()
                .find_map(|(path, body)| (path == endpoint.path).then_some(body))
                .unwrap_or_else(|| if method == "GET" { String::new() } else { bundle().to_string() });
            let path = || asked(endpoint.path);
            all.push((client(), method, path(), good));
            all.push((client(), "DELETE", path(), String::new()));
            all.push((client(), method, "/nowhere".to_owned(), String::new()));
            if method != "GET" {
                all.push((client(), method, path(), "{".to_owned()));
            }
        }
    }
    let json = ("content-type", "application/json");
    for (mut client, method, path, body) in all {
        let answer = client.send(method, &path, &[json, ("x-request-id", "it-is-me_7/8")], body.as_bytes());
        let about = format!("{method} {path} {body}: {}", answer.text());
        assert_eq!(answer.header("x-request-id"), Some("it-is-me_7/8"), "{about}");
        assert_eq!(answer.header("palisade-revision"), Some(&*now), "{about}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{about}");
        if answer.status >= 400 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{about}");
        }
    }
    // an id that cannot go into a log is replaced; a request without an id gets one
    let long = "x".repeat(257);
    for given in [None, Some(""), Some("\u{fc}ber"), Some(long.as_str())] {
        let mut headers = vec![json];
        headers.extend(given.map(|id| ("x-request-id", id)));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..3 {
            let answer = server.client().send("POST", "/v1/is_authorized", &headers, ask("alice").as_bytes());
            let id = answer.header("x-request-id").unwrap().to_owned();
            assert!(!id.is_empty() && id.len() < 64 && id.bytes().all(|b| b.is_ascii_graphic()), "{given:?}: {id}");
            assert!(seen.insert(id), "{given:?}: the same id twice");
        }
    }
}

#[test]
fn at_least_this_revision() {
    let server = tiny(json!({ "http": { "deadline": "300ms" } }));
    let now = revision(&server);
    let (incarnation, counter) = now.split_once('-').unwrap();
    let later = format!("{incarnation}-{}", counter.parse::<u64>().unwrap() + 1);
    let foreign = format!("{:016x}-1", u64::from_str_radix(incarnation, 16).unwrap() ^ 1);
    for (path, body) in decisions() {
        let ask = |value: &str| post_with(&mut server.client(), path, ("palisade-at-least", value), &body);
        for reached in [now.clone(), format!("{incarnation}-0"), format!(" {now} ")] {
            assert_eq!(ask(&reached).status, 200, "{path} {reached:?}");
        }
        let started = Instant::now();
        let answer = ask(&later);
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("revision_not_reached")), "{path}");
        assert!(started.elapsed() >= Duration::from_millis(300), "{path}: it did not wait");
        assert_eq!(ask(&foreign).json()["code"], "revision_not_reached", "{path}");
        assert_eq!(ask(&foreign).status, 503, "{path}");
        for malformed in ["", "1", "x", "-", "0-0", &format!("{now}x"), &format!("{now}, {now}"), "\u{fc}"] {
            let answer = ask(malformed);
            assert_eq!(
                (answer.status, &answer.json()["code"]),
                (400, &json!("invalid_revision")),
                "{path} {malformed:?}"
            );
        }
        let twice = [("content-type", "application/json"), ("palisade-at-least", &*now), ("palisade-at-least", &*now)];
        assert_eq!(server.client().send("POST", path, &twice, body.as_bytes()).status, 400, "{path}");
    }
}

#[test]
fn a_request_waits_for_the_revision_that_a_put_publishes() {
    let server = tiny(json!({ "http": { "deadline": "20s" } }));
    for (i, (path, body)) in decisions().into_iter().enumerate() {
        let now = revision(&server);
        let (incarnation, counter) = now.split_once('-').unwrap();
        let later = format!("{incarnation}-{}", counter.parse::<u64>().unwrap() + 1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| post_with(&mut server.client(), path, ("palisade-at-least", &later), &body));
            // it waits: connected, and unanswered for as long as nothing is published
            let open = || server.services.metrics.connections(palisade::telemetry::Listener::Decisions).get();
            server.until("connected", |_| open() > 0 || waiting.is_finished());
            assert!(!waiting.is_finished(), "{path}: answered before it could be");
            let put = server.admin().put("/v1/bundle", other_bundle(i));
            assert_eq!(put.header("palisade-revision"), Some(&*later));
            let answer = waiting.join().unwrap();
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(answer.header("palisade-revision"), Some(&*later), "{path}");
        });
    }
}

#[test]
fn batches() {
    let server = tiny(json!({ "http": { "max_batch": 3 } }));
    let list = |n: usize, item: &str| vec![item; n].join(",");
    let native = ask("alice");
    for (path, member, item) in
        [("/v1/is_authorized/batch", "requests", native.as_str()), ("/access/v1/evaluations", "evaluations", AUTHZEN)]
    {
        for (n, status) in [(1, 200), (3, 200), (4, 400), (1_000, 400)] {
            let answer = server.client().post(path, format!(r#"{{"{member}":[{}]}}"#, list(n, item)));
            assert_eq!(answer.status, status, "{path} {n}: {}", answer.text());
            if status == 200 {
                let answers = answer.json()[if member == "requests" { "responses" } else { "evaluations" }].clone();
                assert_eq!(answers.as_array().unwrap().len(), n);
            } else {
                assert_eq!(answer.json()["code"], "batch_too_large", "{path} {n}");
            }
        }
    }
    let empty = server.client().post("/v1/is_authorized/batch", r#"{"requests":[]}"#);
    assert_eq!((empty.status, &empty.json()["responses"]), (200, &json!([])));
    for body in ["{}", r#"{"requests":{}}"#, r#"{"requests":null}"#, r#"{"requests":[],"more":1}"#, "[]"] {
        assert_eq!(server.client().post("/v1/is_authorized/batch", body).status, 400, "{body}");
    }
    // what is wrong with one item is the item's own
    let answer = server.client().post("/v1/is_authorized/batch", format!(r#"{{"requests":[{native},7,{{}}]}}"#));
    let responses = answer.json()["responses"].clone();
    assert_eq!(answer.status, 200);
    assert_eq!(responses[0]["decision"], "Allow");
    for i in [1, 2] {
        assert_eq!(
            (&responses[i]["decision"], &responses[i]["error"]["status"]),
            (&json!("Deny"), &json!(400)),
            "{responses}"
        );
    }
}

#[test]
fn methods_and_paths() {
    let server = tiny(
        json!({ "listen": { "ops": "127.0.0.1:0", "grpc": "127.0.0.1:0" }, "authzen": { "base_url": "https://pdp.example.com" }, "coverage": { "sample": 1000 } }),
    );
    let client = |listener: Listener| match listener {
        Listener::Decisions => server.client(),
        Listener::Admin => server.admin(),
        Listener::Ops | Listener::Grpc => Client::new(server.addr(listener)),
    };
    for endpoint in ENDPOINTS {
        let answer = client(Listener::Grpc).send(endpoint.method.as_str(), &asked(endpoint.path), &[], b"");
        assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("not_grpc")), "{endpoint:?}");
        for listener in [Listener::Decisions, Listener::Admin, Listener::Ops] {
            let path = &*asked(endpoint.path);
            let allowed: Vec<&str> = ENDPOINTS
                .iter()
                .filter(|other| other.path == endpoint.path && other.listeners.contains(&listener))
                .map(|other| other.method.as_str())
                .collect();
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "BREW"] {
                let answer = client(listener).send(method, path, &[], b"");
                let about = format!("{listener:?} {method} {path}: {}", answer.text());
                if allowed.is_empty() {
                    assert_eq!(answer.status, 404, "{about}");
                    if method != "HEAD" {
                        // it exists on another listener, and the answer says on which
                        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                        let other = if listener == Listener::Decisions { "admin listener" } else { "listener has it" };
                        assert!(detail.contains(other), "{about}");
                    }
                } else if allowed.contains(&method) || (method == "HEAD" && allowed.contains(&"GET")) {
                    // the endpoint may say that there is no such thing
                    let nowhere = answer.status == 404 && (method == "HEAD" || about.contains("there is nothing at"));
                    let is_entity = method == "HEAD" && path.starts_with("/v1/entities/");
                    assert!(answer.status != 405 && (!nowhere || is_entity), "{about}");
                    if method == "HEAD" {
                        assert!(answer.body.is_empty() && answer.header("content-length") != Some("0"), "{about}");
                        assert_eq!(answer.header("content-type"), client(listener).get(path).header("content-type"));
                    }
                } else {
                    assert_eq!(answer.status, 405, "{about}");
                    let allow = answer.header("allow").unwrap_or_default();
                    for method in &allowed {
                        assert!(allow.split(", ").any(|m| m == *method), "{about}: Allow: {allow}");
                    }
                    if method != "HEAD" {
                        assert_eq!(answer.json()["code"], "method_not_allowed", "{about}");
                    }
                }
            }
        }
    }
    // paths are matched as they are
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/is_authorized/",
        "//v1/is_authorized",
        "/V1/is_authorized",
        "/v1/is_authorized%20",
        "/v1/../v1/is_authorized",
        "/v1/%69s_authorized",
        "/v1/is_authorized;a",
        "/v1/is_authorized/batch/more",
        "*",
    ] {
        let answer = server.client().post(path, ask("alice"));
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")), "{path}");
    }
    // a query is not part of the path, nor is what stands before it in the absolute form
    for path in ["/v1/is_authorized?x=1", "http://elsewhere/v1/is_authorized"] {
        assert_eq!(server.client().post(path, ask("alice")).status, 200, "{path}");
    }
}

#[test]
fn the_admin_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let token = "correct-horse-battery-staple";
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let server = Server::start(json!({ "admin": { "token_file": file } }));
    let protected = [
        ("PUT", "/v1/bundle"),
        ("GET", "/v1/bundle"),
        ("GET", "/v1/status"),
        ("POST", "/v1/validate"),
        ("HEAD", "/v1/status"),
    ];
    let bearer = |text: &str| format!("Bearer {text}");
    for (method, path) in protected {
        let ask = |headers: &[(&str, &str)]| server.admin().send(method, path, headers, b"");
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            &bearer(&token[1..]),
            &bearer(&token.to_uppercase()),
            token,
            &format!("Basic {token}"),
            &bearer(&format!("{token}x")),
            &bearer(&format!("{token} x")),
            &format!("Bearer,{token}"),
            "Bearer \u{fc}",
        ] {
            let answer = ask(&[("authorization", wrong)]);
            assert_eq!(answer.status, 401, "{method} {path} {wrong:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"palisade admin\""));
            if method != "HEAD" {
                assert_eq!(answer.json()["code"], "unauthorized");
                assert!(!answer.text().contains(token));
            }
        }
        assert_eq!(ask(&[]).status, 401, "{method} {path}");
        let right = bearer(token);
        // two: another reader may have checked the other one
        assert_eq!(ask(&[("authorization", &right), ("authorization", &right)]).status, 401, "{method} {path}");
        assert_eq!(ask(&[("authorization", &right), ("authorization", "Bearer x")]).status, 401, "{method} {path}");
        for right in [right.clone(), format!("bearer {token}"), format!("BEARER  {token} ")] {
            assert_ne!(ask(&[("authorization", &right)]).status, 401, "{method} {path} {right:?}");
        }
    }
    // health and metrics need none, and what is not there needs none to say so
    for path in ["/livez", "/readyz", "/metrics", "/nowhere"] {
        assert_ne!(server.admin().get(path).status, 401, "{path}");
    }
    // a refused PUT is refused before its body is read
    let put = server.admin().put("/v1/bundle", bundle().to_string());
    assert_eq!(put.status, 401);
    assert!(server.services.pdp.state().load().is_none());
}

#[test]
fn token_files_that_are_not_valid() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("empty", ""),
        ("short", "0123456789abcde"),
        ("spaces", "correct horse battery staple"),
        ("lines", "correct-horse-1\ncorrect-horse-2"),
    ] {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let error = start_error(json!({ "admin": { "token_file": file } }));
        assert!(error.contains("admin.token_file") && error.contains(name), "{name}: {error}");
        assert!(text.is_empty() || !error.contains(text), "{name}: {error}");
    }
    let error = start_error(json!({ "admin": { "token_file": dir.path().join("missing") } }));
    assert!(error.contains("missing"), "{error}");
}

/// Why a sidecar with these settings does not start.
fn start_error(flags: Value) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match App::start(settings(&flags)).await {
            Ok(_) => panic!("it starts: {flags}"),
            Err(error) => error.to_string(),
        }
    })
}

#[test]
fn listeners_are_exclusive() {
    let server = tiny(json!({}));
    let taken = server.decisions.to_string();
    let error = start_error(json!({ "listen": { "decisions": taken } }));
    assert!(error.contains(&taken) && error.contains("decisions") && error.contains("in use"), "{error}");
    let error = start_error(json!({ "listen": { "admin": server.admin.to_string() } }));
    assert!(error.contains("admin"), "{error}");
    // and the first goes on
    for _ in 0..50 {
        assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).status, 200);
    }
}

fn over_unix(path: &Path, request: &str) -> Response {
    use std::io::Write;
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    read_response(&mut std::io::BufReader::new(stream), false).unwrap()
}

#[test]
fn unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let (decisions, admin) = (dir.path().join("d.sock"), dir.path().join("a.sock"));
    let unix = |path: &Path| format!("unix:{}", path.display());
    let flags = json!({ "listen": { "decisions": unix(&decisions), "admin": unix(&admin) }, "validation": "off", "decision": { "semantics": "cedar" } });
    // left behind by a process that was killed: nothing listens
    drop(std::os::unix::net::UnixListener::bind(&decisions).unwrap());
    assert!(decisions.exists());
    {
        let _server = Server::start_anywhere(flags.clone());
        let put = format!(
            "PUT /v1/bundle HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
            bundle().to_string().len(),
            bundle()
        );
        assert_eq!(over_unix(&admin, &put).status, 200);
        let answer = over_unix(&decisions, &post("/v1/is_authorized", "u", &ask("alice")));
        assert_eq!((answer.status, &answer.json()["decision"]), (200, &json!("Allow")));
        // in use: the second fails and takes nothing away from the first
        let error = start_error(flags);
        assert!(error.contains("d.sock") && error.contains("listens"), "{error}");
        assert_eq!(over_unix(&decisions, &post("/v1/is_authorized", "u", &ask("alice"))).status, 200);
    }
    assert!(!decisions.exists() && !admin.exists(), "the sockets' files are removed at the end");
    {
        let flags = json!({ "listen": { "decisions": unix(&decisions), "admin": "off" } });
        let _server = Server::start_anywhere(flags);
        // a successor put its own there
        std::fs::remove_file(&decisions).unwrap();
        std::mem::forget(std::os::unix::net::UnixListener::bind(&decisions).unwrap());
    }
    assert!(decisions.exists(), "a socket of another process is not ours to remove");
    std::fs::remove_file(&decisions).unwrap();
    for (name, make) in [
        ("file", &(|path: &Path| std::fs::write(path, "precious").unwrap()) as &dyn Fn(&Path)),
        ("directory", &|path: &Path| std::fs::create_dir(path).unwrap()),
        ("link", &|path: &Path| std::os::unix::fs::symlink(dir.path().join("elsewhere"), path).unwrap()),
    ] {
        let path = dir.path().join(name);
        make(&path);
        let error = start_error(json!({ "listen": { "decisions": unix(&path) } }));
        assert!(error.contains(name) && error.contains("in the way"), "{name}: {error}");
        assert!(path.symlink_metadata().is_ok(), "{name} was removed");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("file")).unwrap(), "precious");
    let error = start_error(json!({ "listen": { "decisions": unix(&dir.path().join("no/such/dir.sock")) } }));
    assert!(error.contains("dir.sock"), "{error}");
}

#[test]
fn before_the_first_bundle() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.cedar"), "permit (principal, action, resource)\nwhen { nonsense };\n").unwrap();
    let server = Server::start(json!({ "policies": dir.path(), "validation": "off", "entities": "./entities" }));
    server.until("told why", |server| server.services.pdp.state().status().last_attempt.is_some());
    for (path, body) in decisions() {
        let answer = server.client().post(path, &body);
        assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("not_ready")), "{path}: {}", answer.text());
        assert!(answer.json().get("decision").is_none());
        assert_eq!(answer.header("palisade-revision"), None);
        assert!(answer.header("retry-after").is_some());
        let any = post_with(&mut server.client(), path, ("palisade-at-least", "0000000000000001-1"), &body);
        assert_eq!(any.status, 503, "{path}");
    }
    assert_eq!(server.admin().get("/livez").status, 200);
    let ready = server.admin().get("/readyz");
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["reasons"], json!(["no bundle loaded"]));
    let problem = ready.json()["problems"][0].clone();
    assert!(problem["where"].as_str().unwrap().ends_with("bad.cedar"), "{problem}");
    assert_eq!(problem["line"], 2, "{problem}");
    assert_eq!(server.admin().get("/v1/bundle").json()["code"], "not_ready");
    let status = server.admin().get("/v1/status").json();
    assert_eq!(
        (&status["ready"], &status["revision"], &status["last_attempt"]["ok"]),
        (&json!(false), &Value::Null, &json!(false))
    );
    let metrics = server.admin().get("/metrics").text();
    assert!(metrics.contains("\npalisade_ready 0\n"), "{metrics}");
    assert!(metrics.contains(r#"palisade_reloads_total{result="bad",source="files"} 1"#), "{metrics}");
    // repaired: ready without a restart
    std::fs::write(dir.path().join("bad.cedar"), "permit (principal, action, resource);").unwrap();
    server.until("ready", |server| server.admin().get("/readyz").status == 200);
    assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).status, 200);
}
