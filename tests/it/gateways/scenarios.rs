//! The requests that every gateway must get right.

use std::io::{Read, Write};

use palisade_routes::overrides::{Asks, headers};
use serde_json::Value;

use super::client::Say;
use super::stand::Stand;
use super::tap::Words;
use super::upstream::{ACCEL, WEBSOCKET};
use crate::gateway::grpc::call_as;
use crate::support::gate::bearer;

const ANN: &str = "Fleet::User::\"ann\"";

/// What must come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// It passes, and the service sees this caller.
    Passes(&'static str),
    /// Not: this status, and the service sees nothing. Over gRPC it may come as a 200 with a status of its own.
    Stops(u16),
    /// Either it stops, or the service sees this caller and no other.
    Careful(&'static str),
}
use Expect::{Careful, Passes, Stops};

pub(super) fn run(stand: &Stand<'_>) {
    let (ann, bob) = (bearer("ann"), bearer("bob"));
    let both = format!("{ann}, {bob}");
    let (ann, bob, both) = (ann.as_str(), bob.as_str(), both.as_str());
    let known = |target| Say::get(target).with("Authorization", ann);
    let send = |target, body: &'static [u8]| Say { method: "POST", body, ..known(target) };
    let post = |target, body| send(target, body).with("Content-Type", "application/json");
    let rpc = |target, who| {
        Say { method: "POST", ..Say::get(target) }
            .with("Content-Type", "application/grpc")
            .with("TE", "trailers")
            .with("Authorization", who)
    };
    let spoof = "Fleet::User::\"root\"";
    for (what, say, expect) in [
        ("public", Say::get("/open"), Passes("")),
        ("allowed", known("/d/7"), Passes(ANN)),
        ("allowed with a query", known("/d/7?x=y&z"), Passes(ANN)),
        ("allowed with a body", post("/d/7", b"{\"a\": 1}"), Passes(ANN)),
        ("HEAD follows GET", Say { method: "HEAD", ..known("/d/7") }, Passes(ANN)),
        ("nobody", Say::get("/d/7"), Stops(401)),
        ("a bad token", Say::get("/d/7").with("Authorization", "Bearer nonsense"), Stops(401)),
        ("two credentials in one", Say::get("/d/7").with("Authorization", both), Stops(401)),
        ("denied", Say::get("/d/7").with("Authorization", bob), Stops(403)),
        ("forbidden", known("/d/closed"), Stops(403)),
        ("an unmapped path", known("/none"), Stops(403)),
        ("an unmapped method", Say { method: "DELETE", ..known("/d/7") }, Stops(403)),
        ("an unmapped host", Say { host: "other.test", ..known("/d/7") }, Stops(403)),
        ("another case of a host", Say { host: "GW.test", ..known("/d/7") }, Passes(ANN)),
        // ---- who a client says that it is
        ("a spoofed caller", known("/d/7").with("X-Palisade-Principal", spoof), Passes(ANN)),
        ("a spoofed caller where nobody is known", Say::get("/open").with("X-Palisade-Principal", spoof), Passes("")),
        (
            "a spoofed caller twice",
            known("/d/7").with("X-Palisade-Principal", spoof).with("x-palisade-principal", spoof),
            Passes(ANN),
        ),
        ("a spoofed token", known("/d/7").with("X-Palisade-Token", spoof), Passes(ANN)),
        ("a spoofed method", known("/d/7").with("X-Palisade-Auth-Method", "root"), Passes(ANN)),
        ("a twin", known("/d/7").with("X_Palisade_Principal", spoof), Careful(ANN)),
        ("half a twin", known("/d/7").with("X-Palisade_Principal", spoof), Careful(ANN)),
        ("a twin where nobody is known", Say::get("/open").with("x_palisade-principal", spoof), Careful("")),
        ("a twin for PHP", known("/d/7").with("X.Palisade.Principal", spoof), Careful(ANN)),
        ("a twin for Apache's CGI", known("/d/7").with("X!Palisade~Principal", spoof), Careful(ANN)),
        ("a twin for PHP where nobody is known", Say::get("/open").with("x.palisade-principal", spoof), Careful("")),
        ("a twin of the token", known("/d/7").with("X_Palisade_Token", spoof), Careful(ANN)),
        (
            "its name as one of the connection",
            known("/d/7").with("Connection", "close, X-Palisade-Principal"),
            Careful(ANN),
        ),
        (
            "the same, spoofed",
            known("/d/7").with("Connection", "close, X-Palisade-Principal").with("X-Palisade-Principal", spoof),
            Careful(ANN),
        ),
        // ---- what a client says that it asks for
        (
            "another path for nginx",
            known("/d/closed").with("X-Original-URI", "/open").with("X-Original-Method", "GET"),
            Stops(403),
        ),
        (
            "another path for others",
            known("/d/closed").with("X-Forwarded-Uri", "/open").with("X-Forwarded-Method", "GET"),
            Stops(403),
        ),
        (
            "another host",
            Say { host: "other.test", ..known("/d/7") }
                .with("X-Forwarded-Host", "gw.test")
                .with("X-Original-Host", "gw.test"),
            Stops(403),
        ),
        (
            "another path for Envoy",
            Say::get("/d/7").with("X-Envoy-Original-Path", "/open").with("X-Rewrite-URL", "/open"),
            Stops(403),
        ),
        ("another path for IIS", known("/d/7").with("X-Original-URL", "/d/closed"), Stops(403)),
        ("its twin", known("/d/7").with("X.Original.URL", "/d/closed"), Careful(ANN)),
        ("a path to take off", known("/d/7").with("Script-Name", "/d"), Stops(403)),
        ("a path that Daphne takes off", known("/d/7").with("Daphne-Root-Path", "/d"), Stops(403)),
        ("its twin, for CGI", known("/d/7").with("Daphne.Root.Path", "/d"), Careful(ANN)),
        ("a path that Starlette takes off", known("/d/7").with("X-Forwarded-Prefix", "/d"), Careful(ANN)),
        ("a scheme that is a URL", known("/d/7").with("X-Forwarded-Proto", "http://gw.test/d/closed?"), Careful(ANN)),
        ("a scheme for Symfony", known("/d/7").with("X-Forwarded-Scheme", "http://gw.test/d/closed?"), Careful(ANN)),
        ("a port with a path", known("/d/7").with("X-Forwarded-Port", "80/d/closed?"), Careful(ANN)),
        ("another method", known("/d/7").with("X-HTTP-Method-Override", "DELETE"), Stops(403)),
        ("its twin, for PHP", known("/d/7").with("X.HTTP.Method.Override", "DELETE"), Careful(ANN)),
        (
            "a path that Rack hands to nginx",
            known("/d/7").with("X-Sendfile-Type", "X-Accel-Redirect").with("X-Accel-Mapping", "/d/7=/d/closed"),
            Stops(403),
        ),
        ("a path that the service hands to nginx", known("/d/7").with(ACCEL, "/d/closed"), Passes(ANN)),
        ("a site for Frappe", known("/d/7").with("X-Frappe-Site-Name", "other.test"), Stops(403)),
        ("another method for Restlet", known("/d/7?method=DELETE"), Stops(403)),
        ("another method for Neos Flow", known("/d/7?__method=DELETE"), Stops(403)),
        ("another method in the query", known("/d/7?_method=DELETE"), Stops(403)),
        ("another method in the query, encoded", known("/d/7?a=b&%5Fmethod=DELETE"), Stops(403)),
        (
            "another method in a form",
            send("/d/7", b"_method=DELETE").with("Content-Type", "application/x-www-form-urlencoded"),
            Stops(403),
        ),
        ("another method in what may be a form", send("/d/7", b"_method=DELETE"), Stops(403)),
        ("the same with an empty type", send("/d/7", b"_method=DELETE").with("Content-Type", ""), Stops(403)),
        (
            "another method in a part that Rack finds",
            send("/d/7", b"--x\r\nContent-ID: _method\r\n\r\nDELETE\r\n--x--\r\n")
                .with("Content-Type", "multipart/form-data; boundary=x"),
            Stops(403),
        ),
        ("a host in `Forwarded`", known("/d/7").with("Forwarded", "host=other.test"), Careful(ANN)),
        ("a host that Spring finds", known("/d/7").with("Forwarded", "for=1;xhost=other.test"), Careful(ANN)),
        ("a host that Jetty takes", known("/d/7").with("Forwarded", "by=other.test"), Careful(ANN)),
        ("a host for the service", known("/d/7").with("X-Forwarded-Host", "other.test"), Careful(ANN)),
        // ---- fields and paths that services read in their own way
        ("a field of the query", known("/q?device_id=7"), Passes(ANN)),
        ("a field behind a thousand", known(&format!("/q?{}device_id=7", "a&".repeat(1000))), Stops(403)),
        ("a field behind a question mark", known("/q?a=?device_id=closed&device_id=7"), Stops(403)),
        ("a field for PHP", known("/q?device_id=7&device.id=closed"), Stops(403)),
        ("a field that ends at NUL", known("/q?device_id=7&device_id%00x=closed"), Stops(403)),
        ("a field in another case", known("/q?device_id=7&Device_ID=closed"), Stops(403)),
        ("a literal", post("/m/move", b""), Stops(403)),
        ("a literal with a final slash", post("/m/move/", b""), Stops(403)),
        ("a capture with a final slash", post("/m/7/", b""), Passes(ANN)),
        ("a literal with a suffix", post("/m/move.json", b""), Stops(403)),
        ("a literal with a blank", post("/m/move%20", b""), Stops(403)),
        ("a literal in any case", Say { host: "fold.test", ..known("/D/Move") }, Stops(403)),
        ("a capture in any case", Say { host: "fold.test", ..known("/D/7") }, Passes(ANN)),
        // ---- gRPC, which the page of Envoy over HTTP passes to no service
        (
            "a call",
            rpc("/pkg.Svc/Get", ann),
            if stand.gateway.words == Words::Envoy { Stops(415) } else { Passes(ANN) },
        ),
        ("a call that is denied", rpc("/pkg.Svc/closed", ann), Stops(403)),
        ("a call of nobody", rpc("/pkg.Svc/Get", "Bearer nonsense"), Stops(401)),
    ] {
        let (reply, seen) = stand.settle(&say);
        let about = || format!("{what}: {say:?}: {reply:?}, {seen:?}\n{}", stand.told());
        let reply = reply.as_ref().unwrap_or_else(|| panic!("no answer to {}", about()));
        let passed = match expect {
            Passes(_) => true,
            Careful(_) => reply.is_success(),
            Stops(_) => false,
        };
        assert_eq!((reply.is_success(), seen.len()), (passed, usize::from(passed)), "{}", about());
        match (expect, seen.first()) {
            (Stops(status), _) => {
                let grpc = reply.header("grpc-status").is_some();
                assert!(grpc || reply.status == status, "{}", about());
                if status == 401 {
                    assert!(
                        reply.header("www-authenticate").is_some_and(|it| it.contains("Bearer realm=")),
                        "{}",
                        about()
                    );
                }
            }
            (Passes(who) | Careful(who), Some(seen)) => {
                assert_eq!(
                    (seen.method.as_str(), seen.target.as_slice()),
                    (say.method, say.target.as_bytes()),
                    "{}",
                    about()
                );
                // an empty name is safe: a service must take it for no caller
                let nobody = matches!(expect, Careful(_));
                let callers = seen.like("x-palisade-principal");
                assert!(
                    callers.iter().all(|it| *it == who || (nobody && it.is_empty())) && callers.len() <= 1,
                    "{}",
                    about()
                );
                assert!(nobody || who.is_empty() || callers == [who], "{}", about());
                for name in [
                    "x-http-method-override",
                    "x-original-url",
                    "x-rewrite-url",
                    "http2-settings",
                    "script-name",
                    "daphne-root-path",
                ] {
                    assert!(seen.like(name).is_empty(), "{name}: {}", about());
                }
                for name in ["x-forwarded-prefix", "x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-port"] {
                    assert!(seen.like(name).iter().all(|value| !value.contains("/d")), "{name}: {}", about());
                }
                let hosts = seen.like("forwarded").into_iter().chain(seen.like("x-forwarded-host"));
                assert!(hosts.into_iter().all(|host| !host.contains("other.test")), "{}", about());
                let method = if who.is_empty() { "" } else { "sso" };
                assert!(seen.like("x-palisade-auth-method").iter().all(|it| *it == method), "{}", about());
                assert!(seen.like("x-palisade-token").iter().all(|it| it.is_empty()), "{}", about());
            }
            (Careful(_), None) => {}
            (Passes(_), None) => unreachable!("counted above"),
        }
    }
    upgrades(stand, ann);
    hosts(stand);
    targets(stand, ann);
    trailers(stand, ann);
    if stand.gateway.http2 {
        calls(stand, ann);
        schemes(stand, ann);
    }
    logged(stand);
}

/// The host that the sidecar is asked about is that of the request, whatever else names one.
pub(super) fn run_hosts(stand: &Stand<'_>) {
    let ann = bearer("ann");
    for (host, said) in [("other.test", "gw.test"), ("gw.test", "other.test"), ("fold.test", "gw.test")] {
        for (name, value) in [("X-Forwarded-Host", said.to_owned()), ("Forwarded", format!("for=10.0.0.1;host={said}"))]
        {
            let say = Say { host, ..Say::get("/d/7") }.with("Authorization", &ann).with(name, &value);
            let mark = stand.tap.mark();
            let (reply, seen) = stand.settle(&say);
            let asked = stand.tap.since(&mark);
            let about = || format!("{say:?}: {reply:?} {asked:?} {seen:?}\n{}", stand.told());
            assert!(asked.iter().all(|asked| asked.host == host), "{}", about());
            assert!(host != "other.test" || seen.is_empty(), "{}", about());
            for seen in &seen {
                let named = seen.like("x-forwarded-host").into_iter().chain(seen.like("forwarded"));
                assert!(named.into_iter().all(|named| !named.contains(said)), "{}", about());
            }
        }
    }
}

/// What is denied comes to the service as a page of its own, without a word of the client's on who asks.
pub(super) fn run_pages(stand: &Stand<'_>) {
    let spoof = r#"Fleet::User::"root""#;
    for target in ["/d/closed", "/nowhere", "/d/7"] {
        let say = Say::get(target).with("X-Palisade-Principal", spoof).with("X-Palisade-Token", spoof);
        let (reply, seen) = stand.settle(&say);
        let about = || format!("{target}: {reply:?} {seen:?}\n{}", stand.told());
        // the page is fetched, which is what the lint reports
        assert!(seen.iter().any(|seen| [&b"/login"[..], b"/denied"].contains(&seen.target.as_slice())), "{}", about());
        for seen in &seen {
            assert_eq!(seen.like("x-palisade-principal"), [""; 0], "{}", about());
            assert_eq!(seen.like("x-palisade-token"), [""; 0], "{}", about());
        }
    }
}

/// A client that writes another address into a header is known by that of its connection.
pub(super) fn run_peers(stand: &Stand<'_>) {
    let ann = bearer("ann");
    let say = Say::get("/from").with("Authorization", &ann).with("X-Forwarded-For", "10.9.9.9");
    let (reply, seen) = stand.settle(&say);
    assert_eq!(seen.len(), 1, "{reply:?} {seen:?}\n{}", stand.told());
    assert_eq!(seen[0].like("x-palisade-principal"), [ANN], "{reply:?} {seen:?}\n{}", stand.told());
}

/// An upgrade is one check; then bytes go both ways. Nothing else is upgraded.
fn upgrades(stand: &Stand<'_>, ann: &str) {
    let upgrade = |target| {
        Say::get(target)
            .with("Connection", "Upgrade")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Version", "13")
            .with("Sec-WebSocket-Key", WEBSOCKET.0)
    };
    let mark = stand.tap.mark();
    let (reply, seen) = stand.settle(&upgrade("/ws/7").with("Authorization", ann));
    let reply = reply.unwrap_or_else(|| panic!("no answer to an upgrade: {}", stand.told()));
    assert_eq!((reply.status, seen.len()), (101, 1), "{reply:?} {seen:?}\n{}", stand.told());
    assert_eq!(reply.header("sec-websocket-accept"), Some(WEBSOCKET.1));
    assert_eq!(seen[0].like("x-palisade-principal"), [ANN]);
    let mut heard = [0; 4];
    let mut stream = reply.stream.unwrap();
    stream.write_all(b"ping").and_then(|()| stream.read_exact(&mut heard)).unwrap();
    assert_eq!(&heard, b"ping");
    assert_eq!(stand.tap.since(&mark).iter().filter(|asked| asked.allowed).count(), 1, "an upgrade is one check");
    // the connection may stay open: who is refused goes on in HTTP
    let wait = std::time::Duration::from_secs(1);
    for (say, status) in [(upgrade("/ws/7"), 401), (upgrade("/ws/closed").with("Authorization", ann), 403)] {
        let (reply, seen) = stand.settle(&Say { wait, ..say });
        assert_eq!((reply.map(|reply| reply.status), seen.len()), (Some(status), 0), "{}", stand.told());
    }
    for say in [upgrade("/open"), upgrade("/d/7").with("Authorization", ann)] {
        no_tunnel(stand, &Say { wait, ..say });
    }
    // the sidecar is not asked about what a client would say in such a tunnel
    for target in ["/open", "/d/7", "/ws/7"] {
        for (connection, upgrade, settings) in [
            ("Upgrade, HTTP2-Settings", "h2c", Some("AAMAAABkAAQAoAAAAAIAAAAA")),
            ("Upgrade", "h2c", None),
            ("upgrade", "H2C", Some("AAMAAABkAAQAoAAAAAIAAAAA")),
            ("keep-alive, Upgrade", "TLS/1.0", None),
            ("Upgrade", "anything", None),
            ("Upgrade", "websocket, h2c", Some("AAMAAABkAAQAoAAAAAIAAAAA")),
            ("Upgrade", "h2c, websocket", None),
        ] {
            let say =
                Say::get(target).with("Authorization", ann).with("Connection", connection).with("Upgrade", upgrade);
            let say = settings.into_iter().fold(say, |say, settings| say.with("HTTP2-Settings", settings));
            no_tunnel(stand, &Say { wait, ..say });
        }
    }
}

/// It is refused, or it goes on as a request like any other: the service sees no upgrade, or that to the WebSocket which
/// its route allows.
fn no_tunnel(stand: &Stand<'_>, say: &Say<'_>) {
    let (reply, seen) = stand.settle(say);
    let about = || format!("{say:?}: {reply:?} {seen:?}\n{}", stand.told());
    let socket = say.target.starts_with("/ws/");
    let upgraded = reply.as_ref().is_some_and(|reply| reply.status == 101);
    assert!(!upgraded || socket, "{}", about());
    for seen in &seen {
        assert!(seen.like("http2-settings").is_empty(), "{}", about());
        let upgrades = seen.like("upgrade");
        assert!(upgrades.is_empty() || (socket && upgrades == ["websocket"]), "{}", about());
    }
}

/// Of a list of hosts a gateway and the service may take different ones.
fn hosts(stand: &Stand<'_>) {
    for host in ["other.test, gw.test", "gw.test, other.test", "other.test,gw.test"] {
        let (reply, seen) = stand.settle(&Say { host, ..Say::get("/open") });
        assert!(seen.is_empty(), "{host}: {reply:?} {seen:?}\n{}", stand.told());
    }
}

/// What a client says of its target, method or host does not come to the service, where it is another one than was checked:
/// by no header of the sidecar's list.
fn targets(stand: &Stand<'_>, ann: &str) {
    // a part of a URL may be what it is
    for (name, _) in headers().filter(|(_, asks)| *asks != Asks::Url) {
        let (reply, seen) = stand.settle(&Say::get("/d/7").with("Authorization", ann).with(name, "/admin/7"));
        for seen in &seen {
            let named = seen.like(name);
            assert!(!named.contains(&"/admin/7"), "{name}: {reply:?} {seen:?}\n{}", stand.told());
        }
    }
}

/// What comes behind a body may be merged into the headers by a service: no name of the sidecar's may be there.
fn trailers(stand: &Stand<'_>, ann: &str) {
    let name = "X-Palisade-Principal";
    for declared in [Some(name), None] {
        let say = Say { method: "POST", body: b"{}", ..Say::get("/d/7") };
        let say = say.with("Content-Type", "application/json");
        let say = say.with("Authorization", ann).with("Transfer-Encoding", "chunked");
        let say = declared.into_iter().fold(say, |say, name| say.with("Trailer", name).with("TE", "trailers"));
        let say = Say { trailers: vec![(name, "root"), ("X-HTTP-Method-Override", "DELETE")], ..say };
        let (reply, seen) = stand.settle(&say);
        for seen in &seen {
            assert_eq!(seen.trailers(), [""; 0], "{say:?}: {reply:?} {seen:?}\n{}", stand.told());
        }
        if !stand.gateway.http2 {
            continue;
        }
        let headers = say.headers.iter().copied().filter(|(name, _)| *name != "Transfer-Encoding").collect();
        let say = Say { headers, ..say };
        let reply = super::http2::say(stand.addr(), &say);
        for seen in stand.upstream.take() {
            // the body may be on its way still
            let begun = std::time::Instant::now();
            while seen.body().is_none() && begun.elapsed().as_secs() < 5 {
                std::thread::yield_now();
            }
            assert_eq!(seen.trailers(), [""; 0], "over HTTP/2: {say:?}: {reply:?} {seen:?}\n{}", stand.told());
        }
    }
}

/// For some gateways, a scheme other than HTTP's makes the target a whole URL.
fn schemes(stand: &Stand<'_>, ann: &str) {
    for scheme in ["ftp", "javascript", "http+unix", "HTTP"] {
        let say = Say::get("/d/7").with("Authorization", ann).with(":scheme", scheme);
        let reply = super::http2::say(stand.addr(), &say);
        for seen in stand.upstream.take() {
            assert_eq!(seen.target, b"/d/7", "{scheme}: {reply:?} {seen:?}\n{}", stand.told());
        }
    }
}

/// gRPC over HTTP/2, as its clients speak it.
fn calls(stand: &Stand<'_>, ann: &str) {
    // Envoy over HTTP passes none on, and answers in gRPC's words that it cannot be
    let passes = if stand.gateway.words == Words::Envoy { (415, Some("2")) } else { (200, None) };
    for (path, who, status, grpc_status) in [
        ("/pkg.Svc/Get", ann, passes.0, passes.1),
        ("/pkg.Svc/closed", ann, 403, Some("7")),
        ("/pkg.Svc/Get", "Bearer x", 401, Some("16")),
    ] {
        let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("authorization", who)];
        let called = call_as("http://gw.test", stand.addr(), "POST", path, &headers, vec![0; 5]);
        let seen = stand.upstream.take();
        let about = format!("{path}: {called:?} {seen:?}\n{}", stand.told());
        // some gateways answer with HTTP's status, some with gRPC's
        assert!(called.status == status || (called.status == 200 && called.grpc_status() == grpc_status), "{about}");
        assert_eq!(seen.len(), usize::from(status == 200), "{about}");
        if let Some(seen) = seen.first() {
            assert_eq!((seen.method.as_str(), seen.target.as_slice()), ("POST", path.as_bytes()), "{about}");
            assert_eq!(seen.like("x-palisade-principal"), [ANN], "{about}");
        }
    }
}

/// The decision log has the checks of this dialect, and the refusals.
fn logged(stand: &Stand<'_>) {
    let whole = || std::fs::read_to_string(stand.sidecar.path("decisions.jsonl")).unwrap_or_default();
    let lines = || whole().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
    let closed = |line: &Value| line["resource"] == "Doc::\"closed\"" && line["decision"] == "Deny";
    stand
        .sidecar
        .until("logged", |_| lines().iter().any(closed) && lines().iter().any(|line| line["refused"] == "no_route"));
    assert!(lines().iter().all(|line| line["transport"] == stand.gateway.words.name()));
}
