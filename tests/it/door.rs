//! Who gets in: names and pages, content types, admin tokens that are replaced, Unix sockets' permissions, and what the
//! open listeners show.

use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use palisade::telemetry::Listener;
use palisade::transport::ENDPOINTS;
use serde_json::{Value, json};

use crate::support::http::{connect, read_response};
use crate::support::process::{Process, command, workspace};
use crate::support::server::settings;
use crate::support::tiny::{ask, asked, bundle, tiny};
use crate::support::{Client, Response, Server};

/// One request with exactly this head, on a connection of its own.
fn raw(addr: SocketAddr, method: &str, path: &str, head: &str, body: &str) -> Response {
    let mut stream = connect(addr);
    let length = if method == "GET" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    write!(stream, "{method} {path} HTTP/1.1\r\n{head}{length}\r\n{body}").unwrap();
    read_response(&mut BufReader::new(stream), false).unwrap()
}

const JSON: &str = "content-type: application/json\r\n";

#[test]
fn the_admin_listener_answers_to_its_own_names() {
    let server = tiny(json!({ "admin": { "hosts": ["palisade.example.com"] }, "coverage": { "sample": 1000 } }));
    let port = server.admin.port();
    let mut put = bundle();
    put["policies"]["new"] = json!("permit (principal, action, resource);");
    let revision = || server.services.pdp.state().snapshot().unwrap().revision();
    let before = revision();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.listeners.contains(&Listener::Admin)) {
        let (method, path) = (endpoint.method.as_str(), &*asked(endpoint.path));
        let own = format!("host: localhost:{port}\r\n");
        for (head, code) in [
            (format!("host: evil.example:{port}\r\n"), "host_not_allowed"),
            (
                "host: localhost.evil.example\r\norigin: http://localhost.evil.example\r\n".to_owned(),
                "host_not_allowed",
            ),
            (String::new(), "host_not_allowed"),
            (format!("{own}host: evil.example\r\n"), "host_not_allowed"),
            (format!("{own}origin: http://evil.example\r\n"), "browser_not_allowed"),
            (format!("{own}origin: null\r\n"), "browser_not_allowed"),
            (format!("{own}origin: http://localhost:3000\r\n"), "browser_not_allowed"),
            (format!("{own}sec-fetch-site: cross-site\r\n"), "browser_not_allowed"),
            (format!("{own}sec-fetch-site: same-site\r\n"), "browser_not_allowed"),
        ] {
            let answer = raw(server.admin, method, path, &format!("{head}{JSON}"), &put.to_string());
            let about = format!("{method} {path} {head:?}: {}", answer.text());
            // two hosts may be refused as two hosts
            if answer.status != 400 || !head.contains("host: evil.example\r\n") {
                assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some(code)), "{about}");
            }
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control")), "{about}");
        }
        assert_eq!(revision(), before, "{method} {path} changed what serves");
        // there is no such entity
        if method == "GET" && !endpoint.path.contains('{') {
            for host in ["localhost", "127.0.0.1", "[::1]:1", "Palisade.Example.com:80", "10.2.3.4:8181"] {
                let answer = raw(server.admin, method, path, &format!("host: {host}\r\n"), "");
                assert_eq!(answer.status, 200, "{method} {path} {host}: {}", answer.text());
            }
        }
    }
    // a page asks first, and gets no leave
    let preflight = format!(
        "host: localhost:{port}\r\norigin: http://evil.example\r\naccess-control-request-method: PUT\r\n\
         access-control-request-headers: content-type\r\naccess-control-request-private-network: true\r\n"
    );
    let answer = raw(server.admin, "OPTIONS", "/v1/bundle", &preflight, "");
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control")));
}

#[test]
fn the_admin_listener_takes_json_that_says_so() {
    let server = tiny(json!({}));
    for (method, path) in [("PUT", "/v1/bundle"), ("POST", "/v1/validate")] {
        for (head, status) in [
            ("", 400),
            ("content-type: text/plain\r\n", 400),
            ("content-type: application/x-www-form-urlencoded\r\n", 400),
            ("content-type: multipart/form-data; boundary=application/json\r\n", 400),
            ("content-type: text/plain; charset=application/json\r\n", 400),
            ("content-type: application/json-seq\r\n", 400),
            ("content-type: application/json\r\ncontent-type: text/plain\r\n", 400),
            ("content-type: Application/JSON; charset=utf-8\r\n", 200),
        ] {
            let answer = raw(server.admin, method, path, &format!("host: localhost\r\n{head}"), &bundle().to_string());
            assert_eq!(answer.status, status, "{method} {path} {head:?}: {}", answer.text());
            if status == 400 {
                assert_eq!(answer.json()["code"], "wrong_content_type", "{method} {path} {head:?}");
            }
        }
    }
}

#[test]
fn the_decision_listener_answers_no_page() {
    let server = tiny(json!({}));
    let evaluation =
        r#"{"subject":{"type":"User","id":"alice"},"action":{"name":"read"},"resource":{"type":"File","id":"f"}}"#;
    let batch = format!(r#"{{"requests":[{}]}}"#, ask("alice"));
    for (path, body) in [
        ("/v1/is_authorized", ask("alice")),
        ("/v1/is_authorized/batch", batch),
        ("/access/v1/evaluation", evaluation.to_owned()),
    ] {
        for (head, status) in [
            // services call by any name
            ("host: palisade.default.svc\r\n", 200),
            ("host: palisade.default.svc\r\nsec-fetch-mode: cors\r\n", 200),
            ("host: localhost\r\norigin: http://evil.example\r\n", 403),
            ("host: localhost\r\nsec-fetch-site: cross-site\r\n", 403),
            ("host: evil.example\r\norigin: http://evil.example\r\n", 403),
            ("host: evil.example\r\norigin: null\r\n", 403),
        ] {
            let answer = raw(server.decisions, "POST", path, &format!("{head}{JSON}"), &body);
            assert_eq!(answer.status, status, "{path} {head:?}: {}", answer.text());
            assert!(status == 200 || answer.json().get("decision").is_none(), "{path} {head:?}");
        }
    }
    // a gateway passes on what the browser sent
    let described = "host: authz\r\norigin: http://shop.example\r\nsec-fetch-site: cross-site\r\nx-original-method: GET\r\n\
                     x-original-uri: /x\r\nx-original-host: shop.example\r\n";
    let answer = raw(server.decisions, "GET", "/gateway/nginx", described, "");
    assert_eq!((answer.status, &answer.json()["code"]), (403, &json!("no_route")), "{}", answer.text());
}

#[test]
fn http2_names_count_too() {
    let server = tiny(json!({}));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.admin).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for (authority, header, status) in [
            ("localhost:8181", None, 200),
            ("127.0.0.1", None, 200),
            ("evil.example", None, 403),
            ("evil.example", Some(("host", "localhost")), 403),
            ("localhost", Some(("host", "evil.example")), 403),
            ("localhost", Some(("origin", "http://localhost")), 200),
            ("localhost", Some(("origin", "http://evil.example")), 403),
            ("localhost", Some(("sec-fetch-site", "cross-site")), 403),
        ] {
            let mut request = http::Request::get(format!("http://{authority}/v1/status"));
            if let Some((name, value)) = header {
                request = request.header(name, value);
            }
            sender.ready().await.unwrap();
            let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await;
            // the client's library may refuse to send two names
            if let Ok(answer) = answer {
                assert_eq!(answer.status().as_u16(), status, "{authority} {header:?}");
            } else {
                assert_eq!(status, 403, "{authority} {header:?}");
            }
        }
    });
}

const OLD: &str = "correct-horse-battery-staple";
const NEW: &str = "another-horse-another-battery";

/// The status that the admin API gives to a holder of `token`.
fn with_token(admin: &mut Client, token: &str) -> Response {
    admin.send("GET", "/v1/status", &[("authorization", &format!("Bearer {token}"))], b"")
}

#[test]
fn tokens_are_replaced_while_it_serves() {
    let dir = workspace();
    let file = dir.path().join("tokens");
    std::fs::write(&file, OLD).unwrap();
    let setting = format!("admin.token_file={}", file.display());
    let process = Process::start(dir, &[&setting, r#"admin.tokens=["fixed-fixed-fixed-fixed"]"#]);
    let counts = |token: &str| with_token(&mut process.admin(), token).status == 200;
    let replace = |text: &str| {
        std::fs::write(process.path("tokens.new"), text).unwrap();
        std::fs::rename(process.path("tokens.new"), &file).unwrap();
    };
    assert_eq!([OLD, NEW, "fixed-fixed-fixed-fixed"].map(counts), [true, false, true]);
    replace(&format!("{OLD}\n{NEW}\n"));
    process.until("both count", |_| counts(NEW));
    assert!(counts(OLD));
    // the command line sends the first
    let status = |more: &[&str]| {
        let mut command = command(process.dir.path());
        command.args(["status", "--admin-listen", &process.admin.to_string(), "--format", "json", "--set", &setting]);
        command.args(more).output().unwrap()
    };
    let output = status(&[]);
    assert!(output.status.success(), "{output:?}");
    // emptied in place, as by a shell that redirects into it
    std::fs::write(&file, "").unwrap();
    let degraded = || with_token(&mut process.admin(), OLD).json()["degraded"].as_str().map(str::to_owned);
    process.until("degraded", |_| degraded().is_some_and(|text| text.contains("admin.token_file")));
    process.until("refused", |_| degraded().is_some_and(|text| text.contains("holds no token")));
    assert_eq!([OLD, NEW].map(counts), [true, true]);
    std::fs::write(&file, format!("{NEW}\n")).unwrap();
    process.signal("HUP");
    process.until("only the new one counts", |_| counts(NEW) && !counts(OLD));
    assert_eq!(with_token(&mut process.admin(), NEW).json()["degraded"], Value::Null);
    assert!(process.metric(r#"palisade_identity_reloads_total{result="bad",source="admin_tokens"}"#) >= 1.0);
    let log = process.log();
    assert!(!log.contains(OLD) && !log.contains(NEW) && !log.contains("fixed-fixed"), "{log}");
}

#[test]
fn open_listeners_quote_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("p.cedar"),
        "permit (principal == User::\"canary\", action, resource) when { x };\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("token"), OLD).unwrap();
    let server = Server::start(json!({
        "policies": dir.path(), "entities": "./entities", "validation": "off", "listen": { "ops": "127.0.0.1:0" },
        "admin": { "token_file": dir.path().join("token") },
    }));
    server.until("told why", |server| server.services.pdp.state().status().last_attempt.is_some());
    let mut ops = Client::new(server.addr(Listener::Ops));
    for (mut client, path) in [
        (Client::new(server.addr(Listener::Ops)), "/readyz"),
        (Client::new(server.addr(Listener::Ops)), "/metrics"),
        (Client::new(server.addr(Listener::Ops)), "/livez"),
        (Client::new(server.addr(Listener::Ops)), "/v1/status"),
        (server.admin(), "/readyz"),
        (server.admin(), "/metrics"),
        (server.admin(), "/v1/status"),
        (server.client(), "/v1/is_authorized"),
        (server.client(), "/readyz"),
    ] {
        let text = client.get(path).text();
        assert!(!text.contains("canary") && !text.contains("p.cedar"), "{path}: {text}");
    }
    let ready = ops.get("/readyz");
    assert_eq!((ready.status, &ready.json()["reasons"]), (503, &json!(["no bundle loaded"])));
    assert!(ready.json().get("problems").is_none());
    let told = server.admin().send("GET", "/readyz", &[("authorization", &format!("Bearer {OLD}"))], b"");
    assert!(told.text().contains("canary"), "a holder of the token is told: {}", told.text());
    assert_eq!(ops.get("/metrics").status, 200);
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).map_or(0, |meta| meta.mode() & 0o7777)
}

#[test]
fn sockets_have_their_modes_whatever_the_umask() {
    let group = std::fs::metadata(".").unwrap().gid();
    for (umask, settings, expected) in [
        ("0", &[][..], [0o660, 0o600, 0o660, 0o660]),
        ("777", &[], [0o660, 0o600, 0o660, 0o660]),
        ("0", &["listen.socket_mode=0600"], [0o600; 4]),
        ("27", &["listen.socket_mode={decisions: 0666, admin: 0660}"], [0o666, 0o660, 0o660, 0o660]),
    ] {
        let dir = workspace();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let names = ["decisions", "admin", "ops", "grpc"];
        let mut serve = command(dir.path());
        let mut arguments =
            ["serve", "--set", "validation=off", "--set", "decision.semantics=cedar"].map(str::to_owned).to_vec();
        let sockets = names.map(|name| format!("listen.{name}=unix:{}", dir.path().join(name).display()));
        let gid = format!("listen.socket_group={group}");
        for setting in sockets.iter().map(String::as_str).chain(settings.iter().copied()).chain([gid.as_str()]) {
            arguments.extend(["--set".to_owned(), setting.to_owned()]);
        }
        let program = serve.get_program().to_owned();
        serve = {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(program).args(&arguments);
            shell.current_dir(dir.path()).env_clear();
            shell
        };
        let mut child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let seen = loop {
            let seen = names.map(|name| mode(&dir.path().join(name)));
            // each begins with the owner alone and is opened once; the last one made is the last one opened
            if seen == expected || Instant::now() > deadline {
                break seen;
            }
            for (seen, wanted) in seen.iter().zip(expected) {
                assert_eq!(seen & !(wanted | 0o600), 0, "{umask} {settings:?}: {seen:o} on the way to {wanted:o}");
            }
        };
        assert_eq!(
            seen.map(|mode| format!("{mode:o}")),
            expected.map(|mode| format!("{mode:o}")),
            "{umask} {settings:?}"
        );
        for name in names {
            assert_eq!(std::fs::metadata(dir.path().join(name)).unwrap().gid(), group);
        }
        // and the command line gets through, whatever the host is there
        let status = || {
            let mut command = command(dir.path());
            let admin = format!("unix:{}", dir.path().join("admin").display());
            command.args(["status", "--admin-listen", &admin, "--format", "json"]).output().unwrap()
        };
        let mut output = status();
        while !output.status.success() && Instant::now() < deadline {
            output = status();
        }
        assert!(output.status.success(), "{output:?}");
        let mut stream = UnixStream::connect(dir.path().join("admin")).unwrap();
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: evil.example\r\n\r\n").unwrap();
        assert_eq!(read_response(&mut BufReader::new(stream), false).unwrap().status, 403);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn doors_that_would_stand_open_are_refused() {
    let problems = |flags: Value| match palisade::config::load(None, std::iter::empty(), flags) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    };
    let unix = |mode: Value| json!({ "listen": { "admin": "unix:/run/a.sock", "socket_mode": mode } });
    for (flags, said) in [
        (unix(json!("0666")), "everyone on this machine can reach"),
        (unix(json!({ "admin": "0602" })), "everyone on this machine can reach"),
        (unix(json!({ "decisions": "0666" })), ""),
        (unix(json!("0660")), ""),
        (json!({ "listen": { "socket_mode": "0666" } }), ""),
        (unix(json!(660)), "octal digits with a leading zero"),
        (unix(json!("888")), "is not a mode"),
        (unix(json!("04755")), "is not a mode"),
        (unix(json!("rw-rw----")), "is not a mode"),
        (unix(json!("0066")), "keeps the owner out"),
        (unix(json!({ "decision": "0660" })), "did you mean `decisions`?"),
        (unix(json!({ "admin": 432 })), "octal digits with a leading zero"),
        (json!({ "listen": { "socket_group": "a:b" } }), "the name or the number of a group"),
        (json!({ "listen": { "admin": "0.0.0.0:1" } }), "other machines can reach"),
        (json!({ "listen": { "admin": "0.0.0.0:1" }, "admin": { "tokens": [OLD] } }), ""),
        (json!({ "admin": { "tokens": [] } }), "`admin.tokens`: is empty"),
        (json!({ "admin": { "tokens": OLD } }), "`admin.tokens`: must be a list, not a single value"),
        (json!({ "admin": { "tokens": ["short"] } }), "`admin.tokens[0]`: a token has 16 to 512"),
        (json!({ "admin": { "tokens": [1234567890123456_u64] } }), "must be text, in quotes"),
        (json!({ "admin": { "hosts": ["Palisade.example.com", "10.0.0.1", "[::1]"] } }), ""),
        (json!({ "admin": { "hosts": ["*.example.com"] } }), "is a pattern"),
        (json!({ "admin": { "hosts": ["a.example:8181"] } }), "has a port"),
        (json!({ "admin": { "hosts": ["http://a.example"] } }), "is not a host name"),
        (json!({ "admin": { "hosts": [""] } }), "is not a host name"),
        (json!({ "admin": { "host": ["a"] } }), "did you mean `hosts`?"),
    ] {
        let found = problems(flags.clone());
        assert!(found.contains(said) && said.is_empty() == found.is_empty(), "{flags}: {found}");
        assert!(!found.contains("short") && !found.contains("1234567890") && !found.contains(OLD), "{found}");
    }
    // what is shown holds no token
    let effective =
        palisade::config::effective(None, std::iter::empty(), json!({ "admin": { "tokens": [OLD] } })).unwrap();
    assert_eq!(effective["admin"]["tokens"], json!(["***"]));
    assert!(!format!("{:?}", settings(&json!({ "admin": { "tokens": [OLD] } }))).contains(OLD));
}
