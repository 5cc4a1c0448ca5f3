//! Changes a line: read while they come, and nothing of them is made unless all are there.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use super::*;
use crate::support::raw::hear;

fn line(n: usize) -> String {
    format!("{}\n", json!({ "upsert": user(&format!("u{n}"), &[]) }))
}

fn stored(server: &Server) -> usize {
    server.admin().get("/v1/status").json()["entities"].as_u64().unwrap() as usize
}

fn head(framing: &str) -> String {
    format!(
        "POST {CHANGES} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\n{framing}\r\n\r\n"
    )
}

/// A body that ends in the middle, be it at the end of a line, changes nothing.
#[test]
fn half_a_body_is_none() {
    let server = server(json!({ "http": { "body_timeout": "1s" } }));
    let before = stored(&server);
    let body: String = (0..3).map(line).collect();
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let announced = head(&format!("content-length: {}", body.len() + 20));
    let chunked = head("transfer-encoding: chunked");
    for (sent, ends, status) in [
        (format!("{announced}{body}"), true, 400),
        (format!("{announced}{body}"), false, 408),
        (format!("{chunked}{}", chunk(&body)), true, 400),
        (format!("{chunked}{}", chunk(&body)), false, 408),
        (format!("{chunked}{}{}0\r\n\r\n", chunk(&body), chunk("{\"delete\":")), false, 400),
    ] {
        let mut stream = TcpStream::connect(server.admin).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        if ends {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let heard = hear(&mut stream);
        // who closes its side may hear nothing
        assert!(heard.responses.iter().all(|response| response.status == status), "{sent}: {heard:?}");
        assert!(ends || !heard.responses.is_empty(), "{sent}");
        assert_eq!(stored(&server), before, "{sent}");
    }
    // in pieces that end anywhere, with the last line left open
    let mut stream = TcpStream::connect(server.admin).unwrap();
    stream.write_all(chunked.as_bytes()).unwrap();
    for piece in body.trim_end().as_bytes().chunks(11) {
        stream.write_all(chunk(std::str::from_utf8(piece).unwrap()).as_bytes()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(hear(&mut stream).responses[0].status, 200);
    assert_eq!(stored(&server), before + 3);
}

/// The text of lines is bounded by nothing but what the changes take.
#[test]
fn lines_are_bounded_by_what_they_take_in_memory() {
    let server = server(json!({ "admin": { "max_body_bytes": "64KiB" } }));
    let before = stored(&server);
    let send = |body: String| {
        server.admin().send("POST", CHANGES, &[("content-type", "application/x-ndjson")], body.as_bytes())
    };
    let space = format!("{}\n", " ".repeat(100 << 10));
    let answer = send((0..3).map(|n| line(n) + &space).collect());
    assert_eq!((answer.status, stored(&server)), (200, before + 3), "{}", answer.text());
    let answer = send((0..2_000).map(line).collect());
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")), "{}", answer.text());
    let place = &answer.json()["errors"][0];
    let number = place["line"].as_u64().unwrap();
    assert_eq!(place["where"], format!("/changes/{}", number - 1));
    assert!((100..2_000).contains(&number) && stored(&server) == before + 3, "{number}");
}

/// A fault in one line among many is found with its line and member, and quickly.
#[test]
fn a_fault_names_its_line_and_member() {
    let server = server(json!({}));
    let before = stored(&server);
    let mut body: String = (0..4_000).map(line).collect();
    body.push_str("\n{\"update\":{\"uid\":7}}\n");
    body.extend((4_000..8_000).map(line));
    let answer = server.admin().send("POST", CHANGES, &[("content-type", "application/x-ndjson")], body.as_bytes());
    let found = answer.json();
    assert_eq!((answer.status, &found["code"]), (400, &json!("invalid_uid")), "{}", answer.text());
    assert_eq!(
        (&found["errors"][0]["where"], &found["errors"][0]["line"]),
        (&json!("/changes/4000/update/uid"), &json!(4_002))
    );
    let answer = server.admin().send(
        "PATCH",
        "/v1/entities",
        &[("content-type", "application/x-ndjson")],
        (line(0) + "{\"delete_policy\":\"policy0\"}\n").as_bytes(),
    );
    assert_eq!(
        (answer.status, &answer.json()["errors"][0]["line"], &answer.json()["where"]),
        (400, &json!(2), &json!("/changes/1")),
        "{}",
        answer.text()
    );
    assert_eq!(stored(&server), before);
}
