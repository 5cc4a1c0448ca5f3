//! `palisade status`: what the exit code says of a sidecar, and waiting for a revision.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

/// Answers one connection with `answer`.
fn answering(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        let n = stream.read(&mut head).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&head[..n]).into_owned()
    });
    (address, thread)
}

#[test]
fn status_is_ready_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "s3cret\n").unwrap();
    let token = token.to_str().unwrap();
    for (answer, exit, out) in [
        (
            "HTTP/1.1 200 OK\r\n\r\n{\"ready\":true,\"revision\":\"a-1\"}",
            Exit::Success,
            "ready     true\nrevision  a-1\n",
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n{\"ready\":false,\"source\":{\"kind\":\"files\"}}",
            Exit::Failure,
            "ready   false\nsource\n  kind  files\n",
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n{\"ready\":true,\"last_attempt\":{\"ok\":true}}",
            Exit::Success,
            "ready         true\nlast_attempt\n  ok  true\n",
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n{\"ready\":true,\"last_attempt\":{\"ok\":false}}",
            Exit::Failure,
            "ready         true\nlast_attempt\n  ok  false\n",
        ),
        ("HTTP/1.1 401 Unauthorized\r\n\r\n{\"code\":\"unauthorized\"}", Exit::Failure, "code  unauthorized\n"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", Exit::Failure, ""),
        ("", Exit::Failure, ""),
    ] {
        let (address, server) = answering(answer);
        let ran = palisade(&["status", "--admin-listen", &address, "--token-file", token]);
        assert_eq!((ran.exit, ran.out.as_str()), (exit, out), "{answer}: {}", ran.err);
        let head = server.join().unwrap();
        assert!(
            head.starts_with("GET /v1/status HTTP/1.0\r\n") && head.contains("Authorization: Bearer s3cret\r\n"),
            "{head}"
        );
    }
    // the decisions are served elsewhere
    let changes = token.replace("token", "changes");
    fs::write(&changes, "[]").unwrap();
    for verb in [&["status"][..], &["apply", &changes], &["export", "-o", "none"]] {
        let (address, server) = answering("HTTP/1.1 404 Not Found\r\n\r\n{\"code\":\"not_found\"}");
        let ran = palisade(&[verb, &["--admin-listen", &address]].concat());
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failure, ""), "{verb:?}");
        assert!(ran.err.contains("answers, but it is not the admin API (HTTP 404)"), "{verb:?}: {}", ran.err);
        server.join().unwrap();
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ran = palisade(&["status", "--admin-listen", &closed]);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(ran.err.contains("no answer from the admin API"), "{}", ran.err);
}

#[test]
fn status_waits_for_a_revision() {
    let serving = "HTTP/1.1 200 OK\r\n\r\n{\"ready\":true,\"revision\":\"00000000000000ab-7\"}";
    for (wanted, exit, err) in [
        ("00000000000000ab-6", Exit::Success, ""),
        ("00000000000000ab-7", Exit::Success, ""),
        // the one answer that there is comes first, and then none: the time is over
        ("00000000000000ab-8", Exit::Failure, "no answer from the admin API"),
        ("00000000000000ac-1", Exit::Failure, "of an earlier run"),
        ("7", Exit::Usage, "invalid value"),
    ] {
        let (address, server) = answering(serving);
        let ran = palisade(&["status", "--admin-listen", &address, "--wait", wanted, "--timeout", "1"]);
        assert_eq!((ran.exit, ran.err.contains(err)), (exit, true), "{wanted}: {}", ran.err);
        if exit == Exit::Usage {
            drop(std::net::TcpStream::connect(address.as_str()));
        }
        drop(server.join());
    }
}
