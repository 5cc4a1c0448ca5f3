//! `GET /v1/watch`: every change once and in order, from where a reader was; and an event that says so where that is not known.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use super::*;
use crate::support::http::connect;

/// A stream of events.
struct Reader(BufReader<TcpStream>);

/// Its id, its name, its data.
type Event = (String, String, Value);

impl Reader {
    fn new(server: &Server, query: &str, headers: &str) -> Self {
        let mut stream = connect(server.admin);
        write!(stream, "GET /v1/watch{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").unwrap();
        let mut reader = Self(BufReader::new(stream));
        assert_eq!(reader.line(), Some("HTTP/1.1 200 OK".to_owned()));
        while reader.line().is_some_and(|line| !line.is_empty()) {}
        reader
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// The next event; none where the stream ends. Lengths of chunks and comments are skipped.
    fn event(&mut self) -> Option<Event> {
        let (mut id, mut name) = (String::new(), String::new());
        loop {
            let line = self.line()?;
            if let Some(given) = line.strip_prefix("id: ") {
                given.clone_into(&mut id);
            } else if let Some(given) = line.strip_prefix("event: ") {
                given.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((id, name, serde_json::from_str(data).unwrap()));
            }
        }
    }
}

#[test]
fn every_change_comes_once_and_in_order() {
    let server = server(json!({}));
    let first = server.admin().get("/v1/status").json()["revision"].as_str().unwrap().to_owned();
    let mut live = Reader::new(&server, "", "");
    let changes = [
        json!([{ "upsert": user("x", &["night"]) }, { "delete": "T::User::\"nowhere\"" }]),
        json!([{ "put_policy": { "id": "t", "text": "permit (principal == ?principal, action, resource);" } }, { "put_link": { "link_id": "l", "template_id": "t", "args": { "?principal": "T::User::\"x\"" } } }]),
        json!([{ "delete_link": "l" }, { "delete_policy": "t" }]),
    ];
    let mut revisions = vec![first.clone()];
    for changes in &changes {
        revisions.push(change(&server, changes.clone())["revision"].as_str().unwrap().to_owned());
    }
    // what cascades from a deletion is in it
    let answer = server
        .admin()
        .post("/v1/changes?dangling=unlink", json!({ "changes": [{ "delete": "T::Group::\"night\"" }] }).to_string());
    revisions.push(answer.json()["revision"].as_str().unwrap().to_owned());
    // a dry run, and what changes nothing, are no events
    assert_eq!(
        server
            .admin()
            .post("/v1/changes?dry_run=true", json!({ "changes": [{ "delete": "T::User::\"x\"" }] }).to_string())
            .status,
        200
    );
    change(&server, json!([]));
    let x = |groups: &[&str]| json!({ "upsert": user("x", groups) });
    let ann = json!({ "upsert": { "uid": { "type": "T::User", "id": "ann" }, "attrs": { "age": 40 }, "parents": [] } });
    let expected = [
        json!([x(&["night"])]),
        json!([changes[1][0], changes[1][1]]),
        json!([changes[2][1], changes[2][0]]),
        json!([{ "delete": { "type": "T::Group", "id": "night" } }, ann, x(&[])]),
    ];
    let mut again = Reader::new(&server, &format!("?after={first}"), "");
    let mut resumed = Reader::new(&server, &format!("?after={first}"), &format!("Last-Event-ID: {}\r\n", revisions[2]));
    for (reader, from) in [(&mut live, 0), (&mut again, 0), (&mut resumed, 2)] {
        for (i, expected) in expected.iter().enumerate().skip(from) {
            let (id, name, mut data) = reader.event().unwrap();
            data["changes"].as_array_mut().unwrap().sort_by_key(|change| {
                change.to_string().contains("upsert").then(|| change["upsert"]["uid"]["id"].to_string())
            });
            assert_eq!((id.as_str(), name.as_str()), (revisions[i + 1].as_str(), "change"));
            assert_eq!(data, json!({ "revision": revisions[i + 1], "prev": revisions[i], "changes": expected }));
        }
    }
    // a replaced base
    let bundle = server.admin().get("/v1/bundle").json();
    let reset = put(&server, &bundle)["revision"].clone();
    for reader in [&mut live, &mut resumed] {
        let (id, name, data) = reader.event().unwrap();
        assert_eq!((json!(id), name.as_str(), &data["revision"]), (reset.clone(), "reset", &reset));
    }
}

#[test]
fn a_reader_that_is_nowhere_must_begin_again() {
    let server = server(json!({}));
    let serving = server.admin().get("/v1/status").json()["revision"].as_str().unwrap().to_owned();
    let ahead = format!("{}9", serving);
    for after in ["00000000000000ab-1", &ahead] {
        let mut reader = Reader::new(&server, &format!("?after={after}"), "");
        assert_eq!(reader.event(), Some((String::new(), "gone".to_owned(), json!({ "revision": serving }))));
        assert_eq!(reader.event(), None, "the stream ends");
    }
    for (query, code) in [("?after=x", "invalid_revision"), ("?from=x", "unknown_member")] {
        assert_eq!(server.admin().get(&format!("/v1/watch{query}")).json()["code"], code);
    }
    // readers are bounded, and what leaves makes room
    let mut readers: Vec<Reader> = (0..16).map(|_| Reader::new(&server, "", "")).collect();
    assert_eq!(server.admin().get("/v1/watch").status, 503);
    readers.pop();
    server.until("a free place", |server| server.services.watchers.available_permits() > 0);
    // a sidecar that stops does not wait for them
    server.ask_to_stop();
    while readers[0].line().is_some() {}
}
