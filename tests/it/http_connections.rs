//! Connections that stall, half-close, reset or run ahead, and HTTP/2 without TLS.

use std::io::{BufReader, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::support::http::{connect, read_response};
use crate::support::raw::{Wire, hear, post, say};
use crate::support::tiny::{ask, ask_with, tiny};

/// How long until the server closed the connection, and what it said before.
fn patience(addr: SocketAddr, mut next: impl FnMut(&mut TcpStream) -> bool) -> (Duration, Vec<u16>) {
    let started = Instant::now();
    let mut stream = connect(addr);
    while next(&mut stream) {
        assert!(started.elapsed() < Duration::from_secs(20), "the server waits for ever");
    }
    let heard = hear(&mut stream);
    (started.elapsed(), heard.statuses())
}

#[test]
fn slow_clients_are_dropped() {
    let server =
        tiny(json!({ "http": { "header_timeout": "300ms", "body_timeout": "300ms", "idle_timeout": "300ms" } }));
    let drip = |bytes: &'static [u8]| {
        let mut at = 0;
        move |stream: &mut TcpStream| {
            std::thread::sleep(Duration::from_millis(20));
            let byte = bytes[at.min(bytes.len() - 1)];
            at += 1;
            stream.write_all(&[byte]).is_ok()
        }
    };
    type Next = Box<dyn FnMut(&mut TcpStream) -> bool + Send>;
    let once = |bytes: Vec<u8>| -> Next {
        Box::new(move |stream: &mut TcpStream| {
            let _ = stream.write_all(&bytes);
            false
        })
    };
    let head = "POST /v1/is_authorized HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\n";
    let cases: Vec<(&str, Next, &[u16])> = vec![
        ("nothing", once(vec![]), &[]),
        ("a line end", once(b"\r\n".to_vec()), &[]),
        ("half a request line", once(b"POST /v1/is_au".to_vec()), &[]),
        ("half a head", once(b"POST /v1/is_authorized HTTP/1.1\r\nhost: te".to_vec()), &[]),
        // as long as the bytes may become HTTP/2's preface, the version is not known
        ("one byte of the preface", once(b"P".to_vec()), &[]),
        ("most of the preface", once(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r".to_vec()), &[]),
        ("a head byte by byte", Box::new(drip(b"GET / HTTP/1.1\r\nx-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")), &[]),
        ("the preface byte by byte", Box::new(drip(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r")), &[]),
        ("a head without its body", once(head.as_bytes().to_vec()), &[408]),
        (
            "an idle connection after an answer",
            once(post("/v1/is_authorized", "a", &ask("alice")).into_bytes()),
            &[200],
        ),
        (
            "half a second request",
            once([post("/v1/is_authorized", "a", &ask("alice")).as_bytes(), b"POST /v1"].concat()),
            &[200],
        ),
    ];
    std::thread::scope(|scope| {
        for (name, next, statuses) in cases {
            let addr = server.decisions;
            scope.spawn(move || {
                let (took, said) = patience(addr, next);
                assert_eq!(said, statuses, "{name}");
                assert!(took >= Duration::from_millis(250), "{name}: closed after {took:?}");
                assert!(took < Duration::from_secs(10), "{name}: closed after {took:?}");
            });
        }
        // body bytes that come one at a time do not prolong the body's time
        let addr = server.decisions;
        scope.spawn(move || {
            let mut first = Some(head);
            let (took, _) = patience(addr, |stream| {
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(first.take().unwrap_or(" ").as_bytes()).is_ok()
            });
            assert!(took < Duration::from_secs(10), "{took:?}");
        });
        // and meanwhile all other clients are served
        for _ in 0..50 {
            assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).status, 200);
        }
    });
    let open = || server.services.metrics.connections(palisade::telemetry::Listener::Decisions).get();
    server.until("rid of the slow connections", |_| open() <= 1);
}

#[test]
fn a_client_that_never_reads() {
    let server = tiny(json!({ "http": { "body_timeout": "300ms" } }));
    let mut stream = connect(server.decisions);
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    let requests = post("/v1/is_authorized", "a", &ask("alice")).repeat(500);
    let mut sent = 0;
    // once the answers fill the sockets between, nothing more is read, and then the connection ends
    let error = loop {
        match stream.write_all(requests.as_bytes()) {
            Ok(()) => sent += requests.len(),
            Err(error) => break error,
        }
        assert!(sent < 500 << 20, "requests are taken without end");
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
    assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).status, 200);
}

#[test]
fn half_closed_and_reset_connections() {
    let server = tiny(json!({}));
    // the client has said all that it will say; it still gets its answers
    let two = post("/v1/is_authorized", "one", &ask("alice")) + &post("/v1/is_authorized", "two", &ask("mallory"));
    let heard = say(server.decisions, two);
    assert_eq!((heard.statuses(), heard.ids()), (vec![200, 200], vec!["one", "two"]));
    let mut wire = Wire::open(server.decisions);
    wire.send(post("/v1/is_authorized", "late", &ask("alice")));
    wire.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(wire.response().json()["decision"], "Allow");
    wire.expect_closed();
    // both sides left, at every point of a request
    let request = post("/v1/is_authorized", "gone", &ask("alice"));
    for cut in (0..request.len()).step_by(7) {
        let mut stream = connect(server.decisions);
        stream.write_all(&request.as_bytes()[..cut]).unwrap();
        if cut % 2 == 0 {
            // unread bytes or none: dropped at once, with a reset where the answer finds no reader
            drop(stream);
        } else {
            stream.shutdown(Shutdown::Write).unwrap();
            let heard = hear(&mut stream);
            assert!(heard.statuses().iter().all(|status| *status == 400), "{cut}: {:?}", heard.statuses());
        }
    }
    // what was answered and not read turns the end into a reset, here in the middle of the next body
    for cut in [1, request.len() / 2, request.len() - 1] {
        let mut stream = connect(server.decisions);
        stream.write_all(format!("{request}{}", &request[..cut]).as_bytes()).unwrap();
        stream.peek(&mut [0]).unwrap();
        drop(stream);
    }
    let open = || server.services.metrics.connections(palisade::telemetry::Listener::Decisions).get();
    server.until("rid of closed connections", |_| open() == 0);
    assert_eq!(server.client().post("/v1/is_authorized", ask("alice")).json()["decision"], "Allow");
}

#[test]
fn a_thousand_pipelined_requests() {
    let server = tiny(json!({}));
    let users = ["alice", "mallory", "bob"];
    let mut stream = connect(server.decisions);
    let mut reader = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for i in 0..1_000 {
            let context = json!({ "n": i, "answer": if i % 7 == 0 { 42 } else { 0 } });
            let request = post("/v1/is_authorized", &format!("r{i}"), &ask_with(users[i % 3], &context));
            stream.write_all(request.as_bytes()).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let heard = hear(&mut reader);
    sender.join().unwrap();
    assert_eq!(heard.responses.len(), 1_000);
    for (i, response) in heard.responses.iter().enumerate() {
        assert_eq!(response.header("x-request-id"), Some(&*format!("r{i}")));
        let reasons: &[&str] = match (users[i % 3], i % 7) {
            ("mallory", _) => &["mallory"],
            ("alice", 0) => &["alice", "answer"],
            ("alice", _) => &["alice"],
            (_, 0) => &["answer"],
            _ => &[],
        };
        assert_eq!(response.json()["diagnostics"]["reason"], json!(reasons), "{i}");
    }
}

#[test]
fn http2_without_tls() {
    let server = tiny(json!({}));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.decisions).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let ask_over = |i: usize, user: &str, body: String| {
            let mut sender = sender.clone();
            let request = http::Request::post(format!("http://{}/v1/is_authorized", server.decisions))
                .header("content-type", "application/json")
                .header("x-request-id", format!("{user}-{i}"))
                .body(Full::new(Bytes::from(body)))
                .unwrap();
            async move {
                sender.ready().await.unwrap();
                let (head, body) = sender.send_request(request).await.unwrap().into_parts();
                (head, body.collect().await.unwrap().to_bytes())
            }
        };
        let asked: Vec<_> = (0..100)
            .map(|i| {
                let user = ["alice", "mallory"][i % 2];
                (i, user, tokio::spawn(ask_over(i, user, ask_with(user, &json!({ "n": i })))))
            })
            .collect();
        for (i, user, answer) in asked {
            let (head, body) = answer.await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((head.status.as_u16(), &body["diagnostics"]["reason"]), (200, &json!([user])), "{body}");
            assert_eq!(head.headers["x-request-id"], format!("{user}-{i}"));
            assert_eq!(head.headers["palisade-revision"].to_str().unwrap(), body["revision"]);
        }
        // an error ends its stream, not the connection
        let (head, body) = ask_over(1, "x", "{".to_owned()).await;
        assert_eq!(head.status.as_u16(), 400, "{body:?}");
        let (head, _) = ask_over(2, "x", " ".repeat(2 << 20)).await;
        assert_eq!(head.status.as_u16(), 413);
        let (head, _) = ask_over(3, "alice", ask("alice")).await;
        assert_eq!(head.status.as_u16(), 200);
        drop(sender);
        connection.await.unwrap().unwrap();
    });
}

/// The answer comes before the body is sent, and is there still when the body has been.
#[test]
fn an_early_answer_reaches_a_client_that_sends_on() {
    let server = tiny(json!({ "http": { "max_body_bytes": 1000 } }));
    let limits = [("/nowhere", 404), ("/v1/is_authorized", 413)];
    for (path, status) in limits {
        for framing in ["content-length: 600000", "transfer-encoding: chunked"] {
            let mut stream = connect(server.decisions);
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{framing}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            for _ in 0..6 {
                let part = " ".repeat(100_000);
                let part = if framing.starts_with('t') { format!("186a0\r\n{part}\r\n") } else { part };
                stream.write_all(part.as_bytes()).unwrap_or_else(|error| panic!("{path}, {framing}: {error}"));
                std::thread::sleep(Duration::from_millis(30));
            }
            let answer = read_response(&mut BufReader::new(&stream), false).unwrap();
            assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{path}, {framing}");
        }
    }
}
