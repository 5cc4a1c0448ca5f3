//! Traces: a span for each request for decisions, what it says, and what happens to it when the collector fails.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::gateway::grpc::{self, CHECK, GRPC, call_as, described, frame};
use crate::support::collector::{Collector, SILENT, Span};
use crate::support::gate::{DIALECTS, Dialect, bearer, flags_with_identity, get};
use crate::support::process::{Process, command, workspace};
use crate::support::server::merge;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

const ROUTES: &str = "
hosts: [a.test]
routes:
  - {match: GET /open, public: true}
  - match: 'GET /d/{id}'
    action: view
    resource: 'Doc::{path.id}'
";

/// A sidecar where `alice` may do everything, with these variables in its environment.
fn sidecar(variables: &[(&str, &str)], changes: Value) -> Process {
    let dir = workspace();
    std::fs::create_dir(dir.path().join("routes")).unwrap();
    std::fs::write(dir.path().join("routes/r.yaml"), ROUTES).unwrap();
    let mut settings = json!({
        "listen": {"decisions": "127.0.0.1:0", "admin": "127.0.0.1:0", "grpc": "127.0.0.1:0"},
        "validation": "off",
        "decision": {"semantics": "cedar"},
        "decision_log": {"sink": "./d.jsonl"},
        "routes": "routes",
        "shutdown": {"grace": "5s"},
    });
    merge(&mut settings, &changes);
    let mut settings = flags_with_identity(dir.path(), &settings);
    settings["identity"]["issuers"][0]["claims"]["principal"] = json!("User::\"{sub}\"");
    std::fs::write(dir.path().join("palisade.yaml"), settings.to_string()).unwrap();
    let mut command = command(dir.path());
    command.envs(variables.iter().copied());
    Process::serve(&mut command, dir, &[])
}

/// One that exports to a collector, at once.
fn exporting(collector: &Collector, more: &[(&str, &str)]) -> Process {
    let url = collector.url();
    let mut variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
    variables.extend_from_slice(more);
    sidecar(&variables, json!({}))
}

fn native(user: &str) -> String {
    json!({"principal": format!("User::\"{user}\""), "action": "Action::\"a\"", "resource": "R::\"r\""}).to_string()
}

fn evaluation(user: &str) -> Value {
    json!({"subject": {"type": "User", "id": user}, "action": {"name": "a"}, "resource": {"type": "R", "id": "r"}})
}

/// Asks over HTTP, with headers besides the content type.
fn ask(process: &Process, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let mut all = vec![("content-type", "application/json"), ("user-agent", "tests/1")];
    all.extend_from_slice(headers);
    process.client().send("POST", path, &all, body.as_bytes()).status
}

/// Asks over gRPC for a client's request.
fn check(process: &Process, metadata: &[(&str, &str)], path: &str, headers: &[(&str, &str)]) {
    let metadata: Vec<_> = GRPC.into_iter().chain(metadata.iter().copied()).collect();
    let message = frame(&grpc::of(described("GET", path, headers), None));
    let answer = call_as("http://authz.test:9191", process.listener("grpc"), "POST", CHECK, &metadata, message);
    assert_eq!(answer.status, 200);
}

/// What of a span differs from request to request: `name: attribute=value …`.
fn told(span: &Span) -> String {
    let varies = |name: &str| {
        name.starts_with("palisade.") && name != "palisade.revision"
            || ["http.response.status_code", "error.type", "http.request.method"].contains(&name)
    };
    let mut all: Vec<String> = span
        .attributes
        .iter()
        .filter(|(name, _)| varies(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    all.insert(0, format!("{}:", span.name));
    all.join(" ")
}

#[test]
fn every_way_to_ask_has_its_span() {
    let collector = Collector::start();
    let process = exporting(&collector, &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=door")]);
    let batch = |users: &[&str]| {
        format!("{{\"requests\":[{}]}}", users.iter().map(|user| native(user)).collect::<Vec<_>>().join(","))
    };
    let evaluations = json!({"evaluations": [evaluation("alice"), evaluation("bob"), {}]}).to_string();
    let (alice, bob) = (bearer("alice"), bearer("bob"));
    let gateway = |dialect: Dialect, target: &str, token: &str| {
        get("a.test", target, &[("authorization", token)]).send(process.decisions, dialect);
    };
    let http = |path: &str, body: &str| {
        ask(&process, path, &[], body);
    };
    let mut expected = Vec::new();
    let mut case = |run: &dyn Fn(), span: &str| {
        run();
        expected.push(span.to_owned());
        let spans = collector.wait(expected.len());
        assert_eq!(spans.iter().map(told).collect::<Vec<_>>(), expected);
    };
    let post = "http.request.method=POST http.response.status_code=200";
    for (path, body, span) in [
        ("/v1/is_authorized", native("alice"), format!("{post} palisade.cached=false palisade.decision=Allow")),
        ("/v1/is_authorized", native("alice"), format!("{post} palisade.cached=true palisade.decision=Allow")),
        ("/v1/is_authorized", native("bob"), format!("{post} palisade.cached=false palisade.decision=Deny")),
        (
            "/v1/is_authorized",
            "{".to_owned(),
            "http.request.method=POST http.response.status_code=400 palisade.code=malformed_json".to_owned(),
        ),
        (
            "/v1/is_authorized/batch",
            batch(&["alice", "bob", "eve"]),
            format!(
                "{post} palisade.batch.allowed=1 palisade.batch.cached=2 palisade.batch.denied=2 palisade.batch.failed=0"
            ),
        ),
        (
            "/access/v1/evaluation",
            evaluation("carol").to_string(),
            format!("{post} palisade.cached=false palisade.decision=Deny"),
        ),
        (
            "/access/v1/evaluations",
            evaluations,
            format!(
                "{post} palisade.batch.allowed=1 palisade.batch.cached=2 palisade.batch.denied=1 palisade.batch.failed=1 \
                 palisade.code=missing_member"
            ),
        ),
    ] {
        case(&|| http(path, &body), &format!("POST {path}: {span}"));
    }
    for dialect in DIALECTS {
        let route = format!("GET /gateway/{}: http.request.method=GET http.response.status_code", dialect.name());
        let cached = dialect != Dialect::Nginx;
        for (target, token, rest) in [
            ("/open", "", "200 palisade.decision=Allow palisade.route=routes/r.yaml:4".to_owned()),
            (
                "/d/7",
                alice.as_str(),
                format!("200 palisade.cached={cached} palisade.decision=Allow palisade.route=routes/r.yaml:5"),
            ),
            (
                "/d/7",
                bob.as_str(),
                format!("403 palisade.cached={cached} palisade.decision=Deny palisade.route=routes/r.yaml:5"),
            ),
            ("/none", "", "403 palisade.code=no_route palisade.decision=Deny".to_owned()),
        ] {
            case(&|| gateway(dialect, target, token), &format!("{route}={rest}"));
        }
    }
    let rpc = "envoy.service.auth.v3.Authorization/Check: http.request.method=POST http.response.status_code=200";
    let token = [("authorization", alice.as_str())];
    case(
        &|| check(&process, &[], "/d/7", &token),
        &format!("{rpc} palisade.cached=true palisade.decision=Allow palisade.route=routes/r.yaml:5"),
    );
    case(&|| check(&process, &[], "/none", &[]), &format!("{rpc} palisade.code=no_route palisade.decision=Deny"));
    // what asks for no decision has no span
    for path in ["/nothing", "/.well-known/authzen-configuration"] {
        process.client().get(path);
    }
    process.admin().get("/v1/status");
    let spans = collector.wait(expected.len());
    let last = spans.last().unwrap();
    for (name, value) in [
        ("rpc.system", "grpc"),
        ("rpc.service", "envoy.service.auth.v3.Authorization"),
        ("rpc.method", "Check"),
        ("network.protocol.version", "2"),
        ("server.address", "authz.test"),
        ("server.port", "9191"),
    ] {
        assert_eq!(last.attributes.get(name).map(String::as_str), Some(value), "{last:#?}");
    }
    let first = &spans[0];
    let own = process.decisions.port().to_string();
    for (name, value) in [
        ("http.route", "/v1/is_authorized"),
        ("url.path", "/v1/is_authorized"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "tests/1"),
        ("client.address", "127.0.0.1"),
        ("network.peer.address", "127.0.0.1"),
        ("server.address", "localhost"),
        ("server.port", own.as_str()),
    ] {
        assert_eq!(first.attributes.get(name).map(String::as_str), Some(value), "{first:#?}");
    }
    for span in &spans {
        assert!(span.kind == 2 && span.parent.is_empty() && !span.failed && span.began <= span.ended, "{span:#?}");
        assert_eq!(span.resource["service.name"], "door");
        if !span.attributes.contains_key("palisade.code") {
            assert!(span.attributes["palisade.revision"].contains('-'), "{span:#?}");
        }
    }
    let traces: std::collections::HashSet<_> = spans.iter().map(|span| &span.trace).collect();
    assert_eq!(traces.len(), spans.len(), "each has a trace of its own");
    for posted in collector.posted() {
        assert_eq!(posted.line, "POST /v1/traces HTTP/1.1");
        assert_eq!(posted.headers["content-type"], "application/x-protobuf");
    }
    process.until("counted", |process| process.metric("palisade_spans_exported_total") == spans.len() as f64);
    assert_eq!(process.metric("palisade_spans_dropped_total"), 0.0);
}

#[test]
fn a_span_holds_neither_query_nor_credential() {
    let collector = Collector::start();
    let process = exporting(&collector, &[]);
    let token = bearer("alice");
    for headers in [&[("authorization", token.as_str()), ("cookie", "secret")][..], &[("x-forwarded-for", "secret")]] {
        ask(&process, "/v1/is_authorized?secret=secret", headers, &native("secret"));
        get("a.test", "/d/7?secret=secret", headers).send(process.decisions, Dialect::Envoy);
        get("a.test", "/open?secret=secret", headers).send(process.decisions, Dialect::Nginx);
        check(&process, &[], "/d/secret?secret=secret", headers);
    }
    // beyond every bound
    let long = "x".repeat(2_000);
    ask(&process, &format!("/gateway/nginx/{long}"), &[("user-agent", &long), ("traceparent", &long)], "");
    for span in collector.wait(9) {
        let said = format!("{:?}", span.attributes);
        assert!(!said.contains("secret") && !said.contains(&token) && said.len() < 3_000, "{said}");
    }
}

#[test]
fn spans_and_records_join_the_callers_trace() {
    let collector = Collector::start();
    let process = exporting(&collector, &[]);
    let body = native("alice");
    let log = || std::fs::read_to_string(process.path("d.jsonl")).unwrap_or_default();
    let mut spans = 0;
    // headers; whether a span is exported; whether it is the caller's trace; its state
    for (n, (headers, sampled, joined, state)) in [
        (&[("traceparent", PARENT)][..], true, true, ""),
        (&[("traceparent", PARENT), ("tracestate", "a=1, b=2"), ("tracestate", "c=3")], true, true, "a=1,b=2,c=3"),
        (&[("traceparent", PARENT), ("tracestate", "A=1")], true, true, ""),
        (&[("traceparent", UNSAMPLED), ("tracestate", "a=1")], false, true, ""),
        (&[], true, false, ""),
        (&[("tracestate", "a=1")], true, false, ""),
        (&[("traceparent", "00-0-0-01"), ("tracestate", "a=1")], true, false, ""),
        (&[("traceparent", PARENT), ("traceparent", PARENT)], true, false, ""),
        (&[("traceparent", &format!("{PARENT}-x"))], true, false, ""),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(ask(&process, "/v1/is_authorized", headers, &body), 200);
        process.until("recorded", |_| log().lines().count() == n + 1);
        let record: Value = serde_json::from_str(log().lines().last().unwrap()).unwrap();
        if !sampled {
            assert_eq!((&record["trace_id"], &record["span_id"]), (&json!(TRACE), &json!(SPAN)), "{headers:?}");
            continue;
        }
        spans += 1;
        let span = collector.wait(spans).pop().unwrap();
        assert_eq!(span.trace == TRACE, joined, "{headers:?}");
        assert_eq!(span.parent, if joined { SPAN } else { "" }, "{headers:?}");
        assert_eq!(span.state, state, "{headers:?}");
        assert_eq!((&record["trace_id"], &record["span_id"]), (&json!(span.trace), &json!(span.id)), "{headers:?}");
    }
    // a call that Envoy makes part of a trace, and one whose client alone has one
    let other = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01";
    for (metadata, headers, parent) in [
        (&[("traceparent", PARENT)][..], &[("traceparent", other)][..], SPAN),
        (&[], &[("traceparent", other), ("tracestate", "a=1")], "bbbbbbbbbbbbbbbb"),
        (&[("traceparent", "x")], &[("traceparent", "y")], ""),
    ] {
        check(&process, metadata, "/open", headers);
        spans += 1;
        let span = collector.wait(spans).pop().unwrap();
        assert_eq!(span.parent, parent, "{metadata:?} {headers:?}");
        process.until("recorded", |_| log().contains(&format!("\"span_id\":\"{}\"", span.id)));
    }
    // the same of gateways over HTTP, whose refusals are records too
    for dialect in DIALECTS {
        get("a.test", "/none", &[("traceparent", PARENT)]).send(process.decisions, dialect);
        spans += 1;
        let span = collector.wait(spans).pop().unwrap();
        assert_eq!(span.parent, SPAN);
        process.until("recorded", |_| log().contains(&format!("\"span_id\":\"{}\"", span.id)));
    }
}

#[test]
fn without_an_exporter_records_have_the_callers_trace() {
    for (variables, problem) in [
        (&[][..], ""),
        (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_SDK_DISABLED", "true")], ""),
        (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4317")], "`OTEL_EXPORTER_OTLP_ENDPOINT` is `127.0.0.1:4317`"),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1"),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent"),
            ],
            "no traces are exported: no certificate to trust in /nonexistent",
        ),
    ] {
        let process = sidecar(variables, json!({}));
        process.until(problem, |process| process.log().contains(problem));
        assert_eq!(problem.is_empty(), !process.log().contains("WARN"), "{}", process.log());
        for headers in [&[("traceparent", PARENT)][..], &[]] {
            assert_eq!(ask(&process, "/v1/is_authorized", headers, &native("alice")), 200);
        }
        let log = || std::fs::read_to_string(process.path("d.jsonl")).unwrap_or_default();
        process.until("recorded", |_| log().lines().count() == 2);
        let records: Vec<Value> = log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&records[0]["trace_id"], &records[0]["span_id"]), (&json!(TRACE), &json!(SPAN)));
        assert!(records[1].get("trace_id").is_none() && records[1].get("span_id").is_none());
        let threads = std::fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap();
        let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap());
        assert!(!names.into_iter().any(|name| name.starts_with("palisade-traces")));
    }
}

#[test]
fn samplers_choose() {
    for (sampler, arg, parent, expected) in [
        ("always_off", "", PARENT, false),
        ("always_on", "", UNSAMPLED, true),
        ("traceidratio", "0", PARENT, false),
        ("parentbased_always_off", "", PARENT, true),
    ] {
        let collector = Collector::start();
        let variables = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", arg)];
        let mut process = exporting(&collector, &variables);
        ask(&process, "/v1/is_authorized", &[("traceparent", parent)], &native("alice"));
        process.signal("TERM");
        assert!(process.wait().0.success());
        assert_eq!(!collector.spans().is_empty(), expected, "{sampler}");
    }
}

#[test]
fn the_end_of_the_process_sends_what_waits() {
    let collector = Collector::start();
    let later = [("OTEL_BSP_SCHEDULE_DELAY", "3600000"), ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b")];
    let mut process = exporting(&collector, &later);
    for _ in 0..3 {
        ask(&process, "/v1/is_authorized", &[], &native("alice"));
    }
    assert!(collector.spans().is_empty());
    process.signal("TERM");
    assert!(process.wait().0.success());
    assert_eq!(collector.spans().len(), 3);
    assert_eq!(collector.posted()[0].headers["api-key"], "a b");
}

#[test]
fn a_collector_that_fails_costs_spans_alone() {
    let small = [("OTEL_BSP_MAX_QUEUE_SIZE", "8"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")];
    let warnings = |process: &Process| process.log().matches("traces cannot be exported").count();
    // nothing listens; it hangs; it takes no spans for now, and then does; it wants none
    for (status, reason) in
        [(None, "refused"), (Some(SILENT), ""), (Some(503), "status 503"), (Some(400), "status 400")]
    {
        let collector = Collector::start();
        collector.answers(status.unwrap_or(200));
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = if status.is_none() { format!("http://{gone}") } else { collector.url() };
        let mut variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
        variables.extend_from_slice(&small);
        let mut process = sidecar(&variables, json!({}));
        let mut client = process.client();
        for _ in 0..100 {
            assert_eq!(client.post("/v1/is_authorized", native("alice")).status, 200);
        }
        process.until("dropped", |process| process.metric("palisade_spans_dropped_total") >= 50.0);
        if status != Some(SILENT) {
            process.until("reported", |process| warnings(process) == 1);
            process.until(reason, |process| process.log().contains(reason));
        }
        if status == Some(503) {
            collector.answers(200);
            process.until("again", |process| process.log().contains("traces are exported again"));
            process.until("counted", |process| process.metric("palisade_spans_exported_total") >= 4.0);
        }
        process.signal("TERM");
        let (ended, log) = process.wait();
        assert!(ended.success(), "{log}");
        assert!(log.matches("traces cannot be exported").count() <= 1, "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn a_collector_may_reject_spans() {
    let collector = Collector::start();
    collector.rejects(1);
    let process = exporting(&collector, &[]);
    ask(&process, "/v1/is_authorized", &[], &native("alice"));
    collector.wait(1);
    process.until("counted", |process| process.metric("palisade_spans_dropped_total") == 1.0);
    process.until("reported", |process| process.log().contains("the collector rejected spans: \"too old\""));
    assert_eq!(process.metric("palisade_spans_exported_total"), 0.0);
}

#[test]
fn a_collector_over_tls_is_trusted_by_its_certificate() {
    let collector = Collector::start_tls();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, collector.certificate.as_deref().unwrap()).unwrap();
    let process = exporting(&collector, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", file.to_str().unwrap())]);
    ask(&process, "/v1/is_authorized", &[], &native("alice"));
    collector.wait(1);
    // the system trusts others
    let other = exporting(&collector, &[]);
    ask(&other, "/v1/is_authorized", &[], &native("bob"));
    other.until("reported", |other| {
        ["traces cannot be exported", "no traces are exported"].iter().any(|text| other.log().contains(text))
    });
    assert_eq!(collector.spans().len(), 1);
}

// ---- A real collector

/// Rotel, and what it writes to standard error.
struct Rotel(Child);

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_real_collector_takes_spans_and_hands_them_on() {
    let program = crate::support::Server::project("target/collector/rotel/rotel-agent");
    if !program.exists() {
        let required = std::env::var("PALISADE_TEST_COLLECTOR").is_ok_and(|value| value == "require");
        assert!(!required, "no collector is here, and PALISADE_TEST_COLLECTOR=require: run tests/traces/install.sh");
        eprintln!("SKIPPED: no collector of traces is installed (tests/traces/install.sh)");
        return;
    }
    let behind = Collector::start();
    let dir = tempfile::tempdir().unwrap();
    let (http, grpc) = (free_port(), free_port());
    let mut rotel = Command::new(&program);
    rotel.args([
        "start",
        "--exporter",
        "otlp",
        "--otlp-exporter-protocol",
        "http",
        "--otlp-exporter-compression",
        "none",
    ]);
    rotel.args([
        "--otlp-http-endpoint",
        &format!("127.0.0.1:{http}"),
        "--otlp-grpc-endpoint",
        &format!("127.0.0.1:{grpc}"),
    ]);
    rotel.args(["--otlp-exporter-endpoint", &behind.url(), "--pid-file"]).arg(dir.path().join("pid"));
    rotel.arg("--log-file").arg(dir.path().join("log")).current_dir(dir.path());
    let _rotel = Rotel(rotel.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let url = format!("http://127.0.0.1:{http}");
    let mut process = sidecar(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("OTEL_BSP_SCHEDULE_DELAY", "10")], json!({}));
    let state = [("traceparent", PARENT), ("tracestate", "a=1")];
    assert_eq!(ask(&process, "/v1/is_authorized", &state, &native("alice")), 200);
    check(&process, &[], "/none", &[]);
    let spans = behind.wait(2);
    let named: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.name.as_str(), span)).collect();
    let first = named["POST /v1/is_authorized"];
    assert_eq!((first.trace.as_str(), first.parent.as_str(), first.state.as_str()), (TRACE, SPAN, "a=1"));
    assert_eq!(
        told(first),
        "POST /v1/is_authorized: http.request.method=POST http.response.status_code=200 palisade.cached=false palisade.decision=Allow"
    );
    assert_eq!(first.resource["service.name"], "palisade");
    assert_eq!(first.kind, 2);
    assert!(named.contains_key("envoy.service.auth.v3.Authorization/Check"));
    process.until("counted", |process| process.metric("palisade_spans_exported_total") == 2.0);
    process.signal("TERM");
    assert!(process.wait().0.success());
}
