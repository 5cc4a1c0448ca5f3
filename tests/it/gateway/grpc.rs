//! Envoy's ext_authz over gRPC, and that nothing but gRPC is answered on its listener.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::{
    Address, HeaderMap, HeaderValue, HeaderValueOption, SocketAddress, address,
};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request as Attributes};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde_json::{Value, json};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use palisade::telemetry::Listener;

use crate::gateway::paths::{OPEN, PLAIN, nasty};
use crate::support::gate::{Gate, bearer, send};

pub(crate) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

const ROUTES: &str = "
hosts: [a.test]
routes:
  - {match: GET /open, public: true}
  - match: 'GET /d/{id}'
    action: view
    resource: 'Doc::{path.id}'
  - match: POST /d
    action: edit
    resource: 'Doc::{body.id}'
  - match: GET /ip
    action: view
    resource: 'Doc::{peer.ip}'
  - {match: [GET /both, POST /both], public: true}
";
const POLICIES: &str = r#"
permit (principal == Fleet::User::"ann", action, resource);
permit (principal == Fleet::Service::"billing", action, resource);
forbid (principal, action, resource == Doc::"x");
"#;

fn gate(changes: Value) -> Gate {
    let mut all = json!({"listen": {"grpc": "127.0.0.1:0"}});
    crate::support::server::merge(&mut all, &changes);
    Gate::with(ROUTES, POLICIES, all)
}

fn addr(gate: &Gate) -> SocketAddr {
    gate.server.addr(Listener::Grpc)
}

/// What came back of a call.
#[derive(Debug)]
pub(crate) struct Called {
    pub status: u16,
    pub headers: http::HeaderMap,
    body: Bytes,
    trailers: http::HeaderMap,
}

impl Called {
    /// gRPC's own status, wherever it stands.
    pub(crate) fn grpc_status(&self) -> Option<&str> {
        self.trailers
            .get("grpc-status")
            .or_else(|| self.headers.get("grpc-status"))
            .map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    fn message<M: Message + Default>(&self) -> M {
        assert_eq!((self.status, self.grpc_status()), (200, Some("0")), "{self:?}");
        M::decode(&self.body[5..]).unwrap()
    }
}

pub(crate) fn frame(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let mut out = vec![0];
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
    out
}

pub(crate) const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

/// Sends a request over HTTP/2 and reads all that comes.
fn call(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Called {
    call_as("http://grpc.test", addr, method, path, headers, body)
}

/// The same, of a host.
pub(crate) fn call_as(
    origin: &str,
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Called {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::builder().method(method).uri(format!("{origin}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let collected = tokio::time::timeout(Duration::from_secs(20), body.collect()).await.expect("it ends").unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Called { status: head.status.as_u16(), headers: head.headers, body: collected.to_bytes(), trailers }
    })
}

/// What Envoy would say of a request of `a.test`.
pub(crate) fn described(method: &str, path: &str, headers: &[(&str, &str)]) -> HttpRequest {
    let mut all: HashMap<String, String> = HashMap::new();
    all.insert(":method".to_owned(), method.to_owned());
    all.insert(":path".to_owned(), path.to_owned());
    for (name, value) in headers {
        // as Envoy joins what is there twice
        all.entry((*name).to_owned()).and_modify(|old| *old = format!("{old},{value}")).or_insert((*value).to_owned());
    }
    HttpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        host: "a.test".to_owned(),
        scheme: "https".to_owned(),
        headers: all,
        ..HttpRequest::default()
    }
}

pub(crate) fn of(http: HttpRequest, source: Option<Peer>) -> CheckRequest {
    let request = Some(Attributes { http: Some(http), ..Attributes::default() });
    CheckRequest { attributes: Some(AttributeContext { source, request, ..AttributeContext::default() }) }
}

fn check(gate: &Gate, request: &CheckRequest) -> CheckResponse {
    call(addr(gate), "POST", CHECK, &GRPC, frame(request)).message()
}

/// `allow WHO`, or status, HTTP status and code.
#[track_caller]
fn shown(response: &CheckResponse) -> String {
    let code = response.status.as_ref().expect("a status").code;
    let value = |headers: &[HeaderValueOption], name: &str| {
        headers.iter().filter_map(|option| option.header.as_ref()).find(|h| h.key == name).map(|h| h.value.clone())
    };
    match response.http_response.as_ref().expect("never without an answer: that would be an allow") {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(code, 0);
            assert!(ok.headers.iter().all(|option| option.append_action == 2), "{ok:?}");
            for name in ["x-palisade-principal", "x-palisade-auth-method", "x-palisade-token"] {
                let removed = ok.headers_to_remove.iter().any(|other| other == name);
                assert_ne!(removed, value(&ok.headers, name).is_some(), "{name}: {ok:?}");
            }
            format!("allow {}", value(&ok.headers, "x-palisade-principal").unwrap_or_default())
        }
        HttpResponse::DeniedResponse(denied) => {
            let status = denied.status.as_ref().expect("a status").code;
            let expected = if status == 401 { 16 } else { 7 };
            assert_eq!(code, expected, "{denied:?}");
            assert_eq!(status == 401, value(&denied.headers, "www-authenticate").is_some(), "{denied:?}");
            assert!(!denied.body.contains('\n'));
            let body: Value = serde_json::from_str(&denied.body).unwrap();
            format!("{status} {}", body["code"].as_str().unwrap())
        }
        HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
    }
}

#[test]
fn what_cannot_be_recorded_is_no_allow() {
    let ann = bearer("ann");
    for overflow in ["drop", "block", "deny"] {
        // a device that takes nothing
        let log = json!({"sink": "/dev/full", "queue": 8, "overflow": overflow});
        let gate = gate(json!({"decision_log": log, "gateway": {"deadline": "50ms"}}));
        let ask =
            |path: &str| shown(&check(&gate, &of(described("GET", path, &[("authorization", ann.as_str())]), None)));
        let answers: Vec<String> = (0..30).map(|_| ask("/d/7")).collect();
        if overflow == "drop" {
            assert!(answers.iter().all(|answer| answer.starts_with("allow")), "{answers:?}");
            continue;
        }
        gate.server.until("refused", |_| ask("/d/7") == "503 not_recorded");
        // and from then on nothing passes, be it public; what waits for room may meet its deadline first
        for path in ["/d/7", "/open"].repeat(3) {
            let answer = ask(path);
            assert!(["503 not_recorded", "503 deadline"].contains(&answer.as_str()), "{overflow} {path}: {answer}");
        }
    }
}

#[test]
fn envoy_asks() {
    let gate = gate(json!({"identity": {"peer": {"principals": [
        {"uri": "spiffe://prod/{name}", "principal": "Fleet::Service::\"{name}\""},
    ]}}}));
    let (ann, bob) = (bearer("ann"), bearer("bob"));
    let (ann, bob) = (ann.as_str(), bob.as_str());
    for (method, path, headers, expected) in [
        ("GET", "/open", &[][..], "allow "),
        ("HEAD", "/open", &[], "allow "),
        ("GET", "/open?a=b", &[("x-palisade-principal", "spoof")], "allow "),
        ("GET", "/d/7?a=b", &[("authorization", ann)], "allow Fleet::User::\"ann\""),
        ("GET", "/d/x", &[("authorization", ann)], "403 denied"),
        ("GET", "/d/7", &[("authorization", bob)], "403 denied"),
        ("GET", "/d/7", &[], "401 missing_credential"),
        ("GET", "/d/7", &[("authorization", ann), ("authorization", ann)], "401 repeated_credential"),
        ("GET", "/d/7", &[("authorization", ann), ("x-authorization", ann)], "401 repeated_credential"),
        ("GET", "/none", &[("authorization", ann)], "403 no_route"),
        ("PUT", "/d/7", &[("authorization", ann)], "403 no_route"),
        ("", "/open", &[], "403 bad_description"),
        ("GET", "", &[], "403 ambiguous_path"),
        ("GET", "*", &[], "403 ambiguous_path"),
        ("GET", "http://a.test/open", &[], "403 ambiguous_path"),
        ("GET", "/open#f", &[], "403 ambiguous_path"),
        ("GET", "/d/../open", &[], "403 ambiguous_path"),
        ("GET", "/open", &[("x-http-method-override", "DELETE")], "403 method_override"),
        ("GET", "/open", &[("x_palisade_principal", "spoof")], "403 spoofed_header"),
        ("GET", "/open", &[("x.palisade.principal", "spoof")], "403 spoofed_header"),
        ("GET", "/open", &[("x-original-url", "/d/7")], "403 path_override"),
        ("GET", "/open", &[("daphne-root-path", "/open")], "403 path_override"),
        ("GET", "/open", &[("x-forwarded-proto", "http://a.test/d/7?")], "403 path_override"),
        ("GET", "/open?_method=DELETE", &[], "403 method_override"),
        ("GET", "/open?method=DELETE", &[], "403 method_override"),
        ("GET", "/open?__method=DELETE", &[], "403 method_override"),
        ("GET", "/open", &[("forwarded", "host=b.test")], "403 host_override"),
        ("GET", "/open", &[("forwarded", "for=1;xhost=b.test")], "403 host_override"),
        ("GET", "/open", &[("x-accel-mapping", "/open=/d/7")], "403 path_override"),
        ("GET", "/open", &[("upgrade", "h2c")], "403 bad_upgrade"),
        ("GET", "/open", &[(":protocol", "websocket")], "403 bad_upgrade"),
        ("GET", "/d/7", &[("x-original-uri", "/d/7"), ("x-forwarded-uri", "/d/7")], "401 missing_credential"),
        ("GET", "/d/7", &[("x-original-uri", "/open")], "403 path_override"),
        ("GET", "/d/7", &[("x-forwarded-uri", "/open")], "403 path_override"),
        ("POST", "/d/7", &[("next-action", "40ab"), ("content-type", "a/json")], "403 action_override"),
        ("GET", "/d/7", &[("x-forwarded-client-cert", "URI=spiffe://prod/billing")], "401 missing_credential"),
        ("GET", "/open", &[("palisade-at-least", "nonsense")], "503 revision_not_reached"),
    ] {
        let request = described(method, path, headers);
        assert_eq!(shown(&check(&gate, &of(request.clone(), None))), expected, "{method} {path} {headers:?}");
        // the same, raw
        let raw = headers.iter().map(|(name, value)| HeaderValue {
            key: (*name).to_owned(),
            raw_value: value.as_bytes().to_vec(),
            ..HeaderValue::default()
        });
        let header_map = Some(HeaderMap { headers: raw.collect() });
        let raw = HttpRequest { headers: HashMap::new(), header_map, ..request };
        assert_eq!(shown(&check(&gate, &of(raw, None))), expected, "raw: {method} {path} {headers:?}");
    }
    let open = described("GET", "/open", &[]);
    let wrong = "403 bad_description";
    for (what, request, expected) in [
        ("nothing", CheckRequest::default(), wrong),
        ("no request", CheckRequest { attributes: Some(AttributeContext::default()) }, wrong),
        ("no host", of(HttpRequest { host: String::new(), ..open.clone() }, None), "403 bad_host"),
        ("hosts", of(HttpRequest { host: "a.test,a.test".to_owned(), ..open.clone() }, None), "403 bad_host"),
        ("a query apart", of(HttpRequest { query: "a=b".to_owned(), ..open.clone() }, None), wrong),
        ("a fragment", of(HttpRequest { fragment: "f".to_owned(), ..open }, None), wrong),
    ] {
        assert_eq!(shown(&check(&gate, &request)), expected, "{what}");
    }
    let peer = |principal: &str, ip: &str| {
        let socket = SocketAddress { address: ip.to_owned(), ..SocketAddress::default() };
        let address = Some(Address { address: Some(address::Address::SocketAddress(socket)) });
        Some(Peer { principal: principal.to_owned(), address, ..Peer::default() })
    };
    for (path, headers, source, expected) in [
        ("/d/7", &[][..], peer("spiffe://prod/billing", "::1"), "allow Fleet::Service::\"billing\""),
        ("/d/7", &[], peer("spiffe://other/billing", "::1"), "401 unknown_peer"),
        ("/d/7", &[], peer("", "::1"), "401 missing_credential"),
        ("/d/7", &[("authorization", ann)], peer("spiffe://prod/billing", ""), "allow Fleet::User::\"ann\""),
        ("/d/7", &[("authorization", "Bearer bad")], peer("spiffe://prod/billing", ""), "401 unknown_token"),
        ("/ip", &[("authorization", ann)], peer("", "10.0.0.7"), "allow Fleet::User::\"ann\""),
        ("/ip", &[("authorization", ann), ("x-forwarded-for", "10.0.0.7")], peer("", ""), "403 missing_value"),
    ] {
        let request = of(described("GET", path, headers), source.clone());
        assert_eq!(shown(&check(&gate, &request)), expected, "{path} {headers:?} {source:?}");
    }
    assert!(gate.metric("palisade_decisions_total{outcome=\"allow\",transport=\"grpc\"}") >= 4.0);
    assert!(gate.metric("palisade_gateway_refusals_total{reason=\"no_route\",transport=\"grpc\"}") >= 2.0);
    assert!(gate.metric("palisade_http_requests_total{listener=\"grpc\",status_class=\"2xx\"}") >= 20.0);
}

#[test]
fn what_can_be_read_in_two_ways_never_passes() {
    let gate = Gate::with(OPEN, POLICIES, json!({"listen": {"grpc": "127.0.0.1:0"}}));
    for target in nasty() {
        let expected = if PLAIN.contains(&target.as_str()) { "allow " } else { "403 ambiguous_path" };
        assert_eq!(shown(&check(&gate, &of(described("GET", &target, &[]), None))), expected, "{target}");
    }
}

#[test]
fn bodies_are_whole_or_refused() {
    let gate = gate(json!({"http": {"max_body_bytes": 100}}));
    let ann = bearer("ann");
    let partial = "x-envoy-auth-partial-body";
    let small = r#"{"id": "b"}"#;
    for (marks, body, size, expected) in [
        (&["false"][..], small, 11, "allow Fleet::User::\"ann\""),
        (&["false"], small, -1, "allow Fleet::User::\"ann\""),
        (&["false"], r#"{"id": "x"}"#, 0, "403 denied"),
        (&["false"], small, 12, "403 partial_body"),
        (&["true"], small, 11, "403 partial_body"),
        // a client's, joined with Envoy's
        (&["false", "true"], small, 11, "403 partial_body"),
        (&["false"], "", 0, "403 body_not_forwarded"),
        (&[], small, 11, "403 body_not_forwarded"),
        (&["false"], "[", 1, "403 bad_body"),
    ] {
        let mut headers = vec![("authorization", ann.as_str()), ("content-type", "application/json")];
        headers.extend(marks.iter().map(|mark| (partial, *mark)));
        let http = HttpRequest { size, body: body.to_owned(), ..described("POST", "/d", &headers) };
        assert_eq!(shown(&check(&gate, &of(http.clone(), None))), expected, "{marks:?} {body} {size}");
        let raw = HttpRequest { body: String::new(), raw_body: body.as_bytes().to_vec(), ..http };
        assert_eq!(shown(&check(&gate, &of(raw, None))), expected, "raw: {marks:?} {body} {size}");
    }
    // a body without a type may be a form that asks for the other method, unless there is none
    let unread = "403 body_not_forwarded";
    for (more, read, open) in [
        (&[][..], unread, "403 method_override"),
        (&[("content-length", "0")], "403 missing_value", "allow "),
        (&[("content-length", "0,0")], unread, "403 method_override"),
        (&[("content-length", "1")], unread, "403 method_override"),
        (&[("content-length", "0"), ("transfer-encoding", "chunked")], unread, "403 method_override"),
    ] {
        let headers = [&[("authorization", ann.as_str())], more].concat();
        for (path, expected) in [("/d", read), ("/both", open)] {
            let request = described("POST", path, &headers);
            assert_eq!(shown(&check(&gate, &of(request, None))), expected, "{path} {more:?}");
        }
    }
}

#[test]
fn what_cannot_be_read_or_decided_is_an_explicit_denial() {
    let gate = gate(json!({}));
    let open = frame(&of(described("GET", "/open", &[]), None));
    let large = described("GET", "/open", &[("x-large", &"x".repeat(2 << 20))]);
    let mut compressed = open.clone();
    compressed[0] = 1;
    // a string that is no UTF-8, where Envoy passes on what a client sent
    let path = open.windows(5).position(|window| window == b"/open").unwrap();
    let mut garbled = open.clone();
    garbled[path + 1] = 0xff;
    for (what, body, expected) in [
        ("as it should be", open.clone(), "allow "),
        ("no message", Vec::new(), "403 bad_description"),
        ("cut off", open[..open.len() - 1].to_vec(), "403 bad_description"),
        ("two messages", [open.clone(), open.clone()].concat(), "403 bad_description"),
        ("compressed", compressed, "403 bad_description"),
        ("garbled", garbled, "403 bad_description"),
        ("too large", frame(&of(large, None)), "403 body_unread"),
    ] {
        let called = call(addr(&gate), "POST", CHECK, &GRPC, body);
        assert_eq!(shown(&called.message()), expected, "{what}");
    }
    let late = [GRPC[0], GRPC[1], ("grpc-timeout", "0m")];
    let ann = bearer("ann");
    let asked = frame(&of(described("GET", "/d/7", &[("authorization", &ann)]), None));
    assert_eq!(shown(&call(addr(&gate), "POST", CHECK, &late, asked).message()), "503 deadline");
    let later = of(described("GET", "/open", &[("palisade-at-least", "0000000000000007-1")]), None);
    assert_eq!(shown(&check(&gate, &later)), "503 revision_not_reached");
    // within what Envoy waits, not what is configured
    let revision = gate.server.admin().get("/v1/status").json()["revision"].as_str().unwrap().to_owned();
    let next = format!("{}-99", revision.split_once('-').unwrap().0);
    let waiting = frame(&of(described("GET", "/open", &[("palisade-at-least", &next)]), None));
    let begun = Instant::now();
    let timed = [GRPC[0], GRPC[1], ("grpc-timeout", "300m")];
    assert_eq!(shown(&call(addr(&gate), "POST", CHECK, &timed, waiting).message()), "503 revision_not_reached");
    assert!((250..5_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    // what the gateway sent, and what the sidecar could not do
    assert_eq!(gate.metric("palisade_decisions_total{outcome=\"invalid\",transport=\"grpc\"}"), 6.0);
    assert_eq!(gate.metric("palisade_decisions_total{outcome=\"error\",transport=\"grpc\"}"), 1.0);
    assert_eq!(gate.metric("palisade_decisions_total{outcome=\"unmet\",transport=\"grpc\"}"), 2.0);
}

#[test]
fn nothing_but_grpc_is_ever_answered_200() {
    let gate = gate(json!({}));
    let open = frame(&of(described("GET", "/open", &[]), None));
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for path in [CHECK, HEALTH, reflection, "/", "/livez", "/gateway/nginx", "/gateway/envoy/open", "/v1/is_authorized"]
    {
        for (method, headers) in [
            ("POST", &[][..]),
            ("POST", &[("content-type", "application/json"), ("te", "trailers")]),
            ("POST", &[("content-type", "application/grpc-web"), ("te", "trailers")]),
            ("POST", &[("content-type", "application/grpcx"), ("te", "trailers")]),
            ("POST", &[("content-type", "application/grpc")]),
            ("POST", &[("content-type", "application/grpc"), ("content-type", "application/grpc"), ("te", "trailers")]),
            ("GET", &GRPC),
            ("HEAD", &GRPC),
            ("OPTIONS", &GRPC),
        ] {
            let called = call(addr(&gate), method, path, headers, open.clone());
            assert_eq!(called.status, 403, "{method} {path} {headers:?}: {called:?}");
            assert!(called.grpc_status().is_none());
        }
        // over HTTP/1.1 nothing is gRPC, whatever it says
        for head in ["", "content-type: application/grpc\r\nte: trailers\r\n"] {
            for method in ["GET", "POST"] {
                let bytes = format!("{method} {path} HTTP/1.1\r\nhost: a.test\r\n{head}content-length: 0\r\n\r\n");
                assert_eq!(send(addr(&gate), bytes.as_bytes(), false).status, 403, "{method} {path}");
            }
        }
    }
    for path in [
        "/",
        "//",
        "/x",
        "/envoy.service.auth.v3.Authorization/Other",
        "/envoy.service.auth.v2.Authorization/Check",
        "/grpc.health.v1.Health/Other",
        "/open",
    ] {
        let called = call(addr(&gate), "POST", path, &GRPC, open.clone());
        assert_eq!((called.status, called.grpc_status()), (404, Some("12")), "{path}: {called:?}");
    }
}

#[test]
fn health_and_reflection() {
    let gate = gate(json!({"shutdown": {"delay": "3s"}}));
    let health = |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        call(addr(&gate), "POST", HEALTH, &GRPC, frame(&request))
    };
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        assert_eq!(health(service).message::<HealthCheckResponse>().status, 1);
    }
    assert_eq!(health("other").grpc_status(), Some("5"));
    for version in ["v1", "v1alpha"] {
        let request = ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..ServerReflectionRequest::default()
        };
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let called = call(addr(&gate), "POST", &path, &GRPC, frame(&request));
        let Some(MessageResponse::ListServicesResponse(list)) =
            called.message::<ServerReflectionResponse>().message_response
        else {
            panic!("{called:?}")
        };
        let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
        assert!(
            names.contains(&"envoy.service.auth.v3.Authorization") && names.contains(&"grpc.health.v1.Health"),
            "{names:?}"
        );
    }
    // a watch reports the end, and then ends itself
    let addr = addr(&gate);
    let watching = std::thread::spawn(move || {
        call(addr, "POST", "/grpc.health.v1.Health/Watch", &GRPC, frame(&HealthCheckRequest::default()))
    });
    std::thread::sleep(Duration::from_millis(400));
    gate.server.ask_to_stop();
    gate.server.until("draining", |server| !server.services.unready().is_empty());
    assert_eq!(health("").message::<HealthCheckResponse>().status, 2);
    let open = of(described("GET", "/open", &[]), None);
    assert_eq!(shown(&check(&gate, &open)), "allow ", "what still comes is still answered");
    let watched = watching.join().unwrap();
    let statuses: Vec<u8> = watched.body.chunks(7).map(|frame| frame[6]).collect();
    assert_eq!((statuses.as_slice(), watched.grpc_status()), (&[1, 2][..], Some("0")), "{watched:?}");
}

#[test]
fn envoy_over_http2_is_the_same_to_the_http_endpoint() {
    let gate = gate(json!({}));
    let ann = bearer("ann");
    for (method, path, headers, status) in [
        ("GET", "/open", &[][..], 200),
        ("HEAD", "/open", &[], 200),
        ("HEAD", "/none", &[], 403),
        ("GET", "/d/7", &[], 401),
        ("GET", "/d/7", &[("authorization", ann.as_str())], 200),
        ("GET", "/open", &[("host", "a.test")], 200),
        ("GET", "/open", &[("host", "b.test")], 403),
    ] {
        let called =
            call_as("http://a.test", gate.addr(), method, &format!("/gateway/envoy{path}"), headers, Vec::new());
        assert_eq!(called.status, status, "{method} {path} {headers:?}: {called:?}");
        assert_eq!(called.body.is_empty(), status == 200 || method == "HEAD");
    }
    // elsewhere, too, `HEAD` brings no body
    let called = call_as("http://localhost", gate.server.admin, "HEAD", "/livez", &[], Vec::new());
    assert_eq!((called.status, called.headers["content-length"].to_str().unwrap()), (200, "18"));
}
