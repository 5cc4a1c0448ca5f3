//! Faults of changes, of the cache and of callers, each through the real binary.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::changes::CHANGES;
use crate::support::process::{Process, workspace};
use crate::support::raw::post;
use crate::support::{Client, Response};

const ASK: &str = "/v1/is_authorized";

/// A sidecar whose policies say who may read: members of a group, and who the context names.
fn start(more: &[&str]) -> Process {
    let dir = workspace();
    let policies = "@id(\"members\") permit (principal in Group::\"g\", action, resource);\n\
                    @id(\"named\") permit (principal, action, resource) when { context has who && context.who == principal };\n\
                    @id(\"until\") permit (principal, action == Action::\"wait\", resource) when { context.now < context.until };\n\
                    @id(\"tenants\") permit (principal is A::User, action == Action::\"own\", resource is A::Doc);\n\
                    @id(\"tenants too\") permit (principal is B::User, action == Action::\"own\", resource is B::Doc);";
    std::fs::write(dir.path().join("policies/p.cedar"), policies).unwrap();
    Process::start(dir, more)
}

fn question(principal: &str, context: Value) -> String {
    json!({ "principal": principal, "action": "Action::\"read\"", "resource": "Doc::\"d\"", "context": context })
        .to_string()
}

fn ask(client: &mut Client, body: &str) -> (bool, String) {
    let answer = client.post(ASK, body);
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    let said = answer.json();
    (said["decision"] == "Allow", said["revision"].as_str().unwrap().to_owned())
}

fn send(process: &Process, headers: &[(&str, &str)], changes: Value) -> Response {
    let headers = [&[("content-type", "application/json")][..], headers].concat();
    process.admin().send("POST", CHANGES, &headers, json!({ "changes": changes }).to_string().as_bytes())
}

fn member(id: &str, is: bool) -> Value {
    let parents: &[Value] = if is { &[json!({ "type": "Group", "id": "g" })] } else { &[] };
    json!({ "upsert": { "uid": { "type": "User", "id": id }, "attrs": {}, "parents": parents } })
}

#[track_caller]
fn change(process: &Process, changes: Value) -> String {
    let answer = send(process, &[], changes);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["revision"].as_str().unwrap().to_owned()
}

/// 39: changes that come twice, late, or upon a revision that was replaced change nothing, and a gap is said to be one.
#[test]
fn changes_that_come_twice_late_or_with_a_gap() {
    let process = start(&[]);
    let first = change(&process, json!([member("u", true)]));
    let (key, old) = ([("idempotency-key", "k")], format!("\"{first}\""));
    let made = send(&process, &key, json!([member("u", false)]));
    let again = send(&process, &key, json!([member("u", false)]));
    assert_eq!((made.status, again.status, again.json()), (200, 200, made.json()));
    let newest = change(&process, json!([member("u", true)]));
    // sent again after a later change it does not undo that
    assert_eq!(send(&process, &key, json!([member("u", false)])).json(), made.json());
    let late = send(&process, &[("if-match", &*old)], json!([member("u", false)]));
    assert_eq!((late.status, late.json()["code"].as_str()), (412, Some("revision_changed")));
    assert_eq!(ask(&mut process.client(), &question("User::\"u\"", json!({}))), (true, newest.clone()));
    let (incarnation, counter) = newest.split_once('-').unwrap();
    let ahead = format!("{incarnation}-{}", counter.parse::<u64>().unwrap() + 5);
    for (after, event) in
        [(first, "event: change"), (ahead, "event: gone"), ("00000000000000ab-1".to_owned(), "event: gone")]
    {
        let mut stream = TcpStream::connect(process.admin).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET /v1/watch?after={after} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut heard = String::new();
        while !heard.contains("event: ") || !heard.contains("data: ") {
            let mut bytes = [0; 4096];
            let n = std::io::Read::read(&mut stream, &mut bytes).unwrap();
            assert!(n > 0, "{after}: {heard}");
            heard.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        assert!(heard.contains(event), "{after}: {heard}");
    }
}

/// 44: all ask the same just after a change, when the cache knows nothing.
#[test]
fn a_stampede_after_a_change_is_answered_as_one() {
    let process = start(&["cache.enabled=true"]);
    for round in 0..10 {
        let allowed = round % 2 == 0;
        let revision = change(&process, json!([member("u", allowed)]));
        let together = Barrier::new(16);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let mut client = process.client();
                    together.wait();
                    for _ in 0..20 {
                        assert_eq!(ask(&mut client, &question("User::\"u\"", json!({}))), (allowed, revision.clone()));
                    }
                });
            }
        });
    }
}

/// 45: questions that differ in where one part ends and the next begins are never one question.
#[test]
fn questions_that_look_alike_are_kept_apart() {
    let (cached, plain) = (start(&["cache.enabled=true"]), start(&["cache.enabled=false"]));
    let ids = ["u", "u\\\"", "\\0u", "u\\0", "U", "é", "e\\u{301}", "", " ", "u::User", "User::\\\"u\\\"", "u,context"];
    let mut questions = Vec::new();
    for id in ids {
        for other in ids {
            let who = json!({ "__entity": { "type": "User", "id": other.replace("\\\"", "\"").replace("\\0", "\u{0}").replace("\\u{301}", "\u{301}") } });
            questions.push(question(&format!("User::\"{id}\""), json!({ "who": who })));
        }
    }
    let (mut cached, mut plain) = (cached.client(), plain.client());
    let once: Vec<bool> = questions.iter().map(|body| ask(&mut plain, body).0).collect();
    assert_eq!(once.iter().filter(|allowed| **allowed).count(), ids.len(), "each is itself alone");
    for _ in 0..2 {
        let now: Vec<bool> = questions.iter().map(|body| ask(&mut cached, body).0).collect();
        assert_eq!(now, once);
    }
}

/// 46: what was acknowledged is what the next decision knows, cached as it was before.
#[test]
fn no_decision_is_older_than_what_was_acknowledged() {
    let process = start(&["cache.enabled=true"]);
    let mut client = process.client();
    let body = question("User::\"u\"", json!({}));
    for round in 0..200 {
        let revision = change(&process, json!([member("u", round % 2 == 0)]));
        assert_eq!(ask(&mut client, &body), (round % 2 == 0, revision), "{round}");
        assert_eq!(ask(&mut client, &body).0, round % 2 == 0);
    }
}

/// 47: a token of this node is waited for; one of another node is no promise of this one.
#[test]
fn a_write_is_read_at_the_node_that_made_it() {
    let (here, there) = (start(&["http.deadline=2s"]), start(&["http.deadline=200ms"]));
    let body = question("User::\"u\"", json!({}));
    let read = |process: &Process, revision: &str| {
        let headers = [("content-type", "application/json"), ("palisade-at-least", revision)];
        process.client().send("POST", ASK, &headers, body.as_bytes())
    };
    let made = change(&here, json!([member("u", true)]));
    assert_eq!(read(&here, &made).json()["decision"], "Allow");
    let answer = read(&there, &made);
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("revision_not_reached")));
    let (incarnation, counter) = made.split_once('-').unwrap();
    let next = format!("{incarnation}-{}", counter.parse::<u64>().unwrap() + 1);
    thread::scope(|scope| {
        let waits = scope.spawn(|| read(&here, &next));
        thread::sleep(Duration::from_millis(200));
        assert!(!waits.is_finished());
        change(&here, json!([member("u", false)]));
        let answer = waits.join().unwrap();
        assert_eq!((answer.status, &answer.json()["decision"]), (200, &json!("Deny")), "{}", answer.text());
    });
}

/// 48: a decision that read the time ends when it does, though it was cached.
#[test]
fn a_decision_does_not_outlive_the_time_that_it_read() {
    let process = start(&["cache.enabled=true"]);
    let until = jiff::Timestamp::now() + Duration::from_secs(2);
    let time = |at: jiff::Timestamp| json!({ "__extn": { "fn": "datetime", "arg": format!("{at:.3}") } });
    let mut client = process.client();
    let mut body: Value = serde_json::from_str(&question("User::\"u\"", json!({ "until": time(until) }))).unwrap();
    body["action"] = json!("Action::\"wait\"");
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen.last() != Some(&false) || seen.len() < 2 {
        let mut asked = body.clone();
        asked["context"]["now"] = time(jiff::Timestamp::now());
        let before = jiff::Timestamp::now();
        let allowed = ask(&mut client, &asked.to_string()).0;
        assert!(
            allowed == (before < until) || before.duration_until(until).unsigned_abs() < Duration::from_millis(5),
            "{before} {until}"
        );
        if seen.last() != Some(&allowed) {
            seen.push(allowed);
        }
        assert!(Instant::now() < deadline, "{seen:?}");
    }
    assert_eq!(seen, [true, false]);
}

/// 49: clients that leave in the middle leave nothing behind, and nothing half is kept.
#[test]
fn clients_that_leave_in_the_middle_change_nothing() {
    let process = start(&["cache.enabled=true"]);
    let revision = change(&process, json!([member("u", true)]));
    let question = post(ASK, "r", &question("User::\"u\"", json!({})));
    let changes = format!(
        "POST {CHANGES} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{{\"changes\":[{}",
        member("u", false)
    );
    for n in 0..200 {
        let (address, text) = if n % 4 == 0 { (process.admin, &changes) } else { (process.decisions, &question) };
        let mut stream = TcpStream::connect(address).unwrap();
        let end = 1 + (n * 37) % text.len();
        let _ = stream.write_all(&text.as_bytes()[..end]);
    }
    process.until("rid of all connections", |process| {
        process.metric(r#"palisade_http_connections{listener="decisions"}"#) <= 1.0
    });
    assert_eq!(ask(&mut process.client(), &self::question("User::\"u\"", json!({}))), (true, revision));
    assert_eq!(change(&process, json!([member("u", false)])).split_once('-').unwrap().1, "3");
}

/// 50: what the cache holds is bounded in bytes, however large the questions are.
#[test]
fn the_cache_is_bounded_in_bytes_whatever_is_asked() {
    let process = start(&["cache.enabled=true", "cache.max_bytes=1MiB"]);
    let mut client = process.client();
    for n in 0..3_000 {
        let pad = "x".repeat(n % 7 * 1_000);
        ask(&mut client, &question(&format!("User::\"{n}\""), json!({ "pad": pad, "deep": [[n], [[n]]] })));
        if n % 500 == 499 {
            let bytes = process.metric("palisade_cache_bytes");
            assert!(bytes <= 1.1 * f64::from(1 << 20), "{n}: {bytes}");
        }
    }
    assert!(process.metric("palisade_cache_entries") > 10.0);
}

/// 51: the same ids in two tenants are two users, two documents, and never one decision.
#[test]
fn tenants_with_the_same_ids_never_cross() {
    let process = start(&["cache.enabled=true"]);
    let mut client = process.client();
    for round in 0..50 {
        for (who, what) in [("A", "A"), ("A", "B"), ("B", "A"), ("B", "B")] {
            let body = json!({
                "principal": { "type": format!("{who}::User"), "id": format!("{}", round % 5) }, "action": "Action::\"own\"",
                "resource": { "type": format!("{what}::Doc"), "id": format!("{}", round % 3) },
            });
            assert_eq!(ask(&mut client, &body.to_string()).0, who == what, "{round}: {who} {what}");
        }
    }
}

/// 53: the admin API answers neither who has no token nor what a web page sends, and changes nothing for them.
#[test]
fn the_admin_api_answers_no_stranger() {
    let process = start(&["admin.tokens=[open-sesame-open-sesame]"]);
    let body = json!({ "changes": [member("u", true)] }).to_string();
    let json = ("content-type", "application/json");
    let token = ("authorization", "Bearer open-sesame-open-sesame");
    for (headers, status) in [
        (vec![json], 401),
        (vec![json, ("authorization", "Bearer open-sesame")], 401),
        (vec![json, token, ("authorization", "Bearer open-sesame-open-sesame")], 401),
        (vec![json, token, ("origin", "https://evil.test")], 403),
        (vec![json, token, ("sec-fetch-site", "cross-site")], 403),
        (vec![("content-type", "text/plain"), token], 400),
        (vec![json, token], 200),
    ] {
        let answer = process.admin().send("POST", CHANGES, &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        let allowed = ask(&mut process.client(), &question("User::\"u\"", json!({}))).0;
        assert_eq!(allowed, status == 200, "{headers:?}");
    }
    assert_eq!(process.client().post(CHANGES, &body).status, 404, "decisions have no admin API");
}
