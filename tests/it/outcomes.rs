//! Whose fault it is that something was not decided: `palisade_decisions_total` counts each question once, and what callers
//! get wrong apart from what the sidecar cannot do.

use serde_json::{Value, json};

use crate::native::{also, ask, reads, server};
use crate::support::{Client, Server, metric};

const NATIVE: &str = "/v1/is_authorized";
const BATCH: &str = "/v1/is_authorized/batch";
const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// What was counted: allowed, denied, invalid, error, unmet.
type Counts = [u64; 5];

fn counts(server: &Server, transport: &str) -> Counts {
    let scrape = server.admin().get("/metrics").text();
    ["allow", "deny", "invalid", "error", "unmet"].map(|outcome| {
        let series = format!("palisade_decisions_total{{outcome=\"{outcome}\",transport=\"{transport}\"}}");
        metric(&scrape, &series) as u64
    })
}

fn transport(path: &str) -> &'static str {
    match path {
        NATIVE => "native",
        BATCH => "batch",
        _ => "authzen",
    }
}

/// Each of the requests adds this to what is counted for its way of asking, and to no other.
#[track_caller]
fn check(server: &Server, what: &str, path: &str, added: Counts, send: impl FnOnce(&mut Client)) {
    let all = || ["native", "batch", "authzen"].map(|transport| counts(server, transport));
    let before = all();
    send(&mut server.client());
    let mut expected = before;
    let at = ["native", "batch", "authzen"].iter().position(|known| *known == transport(path)).unwrap();
    for (count, added) in expected[at].iter_mut().zip(added) {
        *count += added;
    }
    assert_eq!(all(), expected, "{what}");
}

fn evaluation(action: &str) -> Value {
    json!({
        "subject": {"type": "T::User", "id": "ann"},
        "action": {"name": action},
        "resource": {"type": "T::Doc", "id": "d"},
    })
}

#[test]
fn each_question_counts_once_by_whose_fault_it_is() {
    let mut flags = json!({"http": {"max_body_bytes": 10_000, "max_batch": 4, "deadline": "20ms"}});
    flags["authzen"] = json!({"namespace": "T"});
    let server = server(flags);
    let fine = reads(json!({}));
    let unknown = also(fine.clone(), "principal", json!("T::Robot::\"r\""));
    let many =
        json!({"requests": [fine, ask("T::User::\"bo\"", "read", "T::Doc::\"d\"", json!({})), unknown, {"x": 1}]});
    let evaluations = json!({"evaluations": [evaluation("read"), evaluation("jump"), {"subject": 7}]});
    let at_least = |counter: &str| [JSON[0], ("palisade-at-least", counter)].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let plain = JSON.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let none = Vec::new();
    let text = vec![("content-type".to_owned(), "text/plain".to_owned())];
    let packed = [plain.clone(), vec![("content-encoding".to_owned(), "gzip".to_owned())]].concat();
    let page = [plain.clone(), vec![("origin".to_owned(), "https://evil.example".to_owned())]].concat();
    let (invalid, one) = ([0, 0, 1, 0, 0], [1, 0, 0, 0, 0]);
    let mut cases = vec![
        ("a question", "POST", NATIVE, plain.clone(), fine.to_string(), one),
        ("an unknown type", "POST", NATIVE, plain.clone(), unknown.to_string(), invalid),
        ("not answered at all", "GET", NATIVE, none.clone(), String::new(), invalid),
        ("compressed", "POST", NATIVE, packed, fine.to_string(), invalid),
        ("a batch", "POST", BATCH, plain.clone(), many.to_string(), [1, 1, 2, 0, 0]),
        ("too many", "POST", BATCH, plain.clone(), json!({"requests": vec![&fine; 5]}).to_string(), invalid),
        ("no batch", "POST", BATCH, plain.clone(), json!({"questions": []}).to_string(), invalid),
        ("an evaluation", "POST", EVALUATION, plain.clone(), evaluation("read").to_string(), one),
        ("an unknown action", "POST", EVALUATION, plain.clone(), evaluation("jump").to_string(), invalid),
        ("no content type", "POST", EVALUATION, none, evaluation("read").to_string(), invalid),
        ("evaluations", "POST", EVALUATIONS, plain.clone(), evaluations.to_string(), [1, 0, 2, 0, 0]),
        ("one for all", "POST", EVALUATIONS, plain.clone(), evaluation("jump").to_string(), invalid),
    ];
    for path in [NATIVE, BATCH, EVALUATION, EVALUATIONS] {
        cases.extend([
            ("no JSON", "POST", path, plain.clone(), "{".to_owned(), invalid),
            ("nothing", "POST", path, plain.clone(), String::new(), invalid),
            ("missing members", "POST", path, plain.clone(), "{}".to_owned(), invalid),
            ("two equal keys", "POST", path, plain.clone(), r#"{"a": 1, "a": 1}"#.to_owned(), invalid),
            ("not announced as JSON", "POST", path, text.clone(), fine.to_string(), invalid),
            ("too large", "POST", path, plain.clone(), " ".repeat(20_000), invalid),
            ("a web page's", "POST", path, page.clone(), fine.to_string(), invalid),
            ("no revision", "POST", path, at_least("x").to_vec(), fine.to_string(), invalid),
            // a precondition of the caller's: nothing is wrong with either
            (
                "of another run",
                "POST",
                path,
                at_least("0000000000000007-1").to_vec(),
                fine.to_string(),
                [0, 0, 0, 0, 1],
            ),
        ]);
    }
    for (what, method, path, headers, body, added) in cases {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        check(&server, &format!("{path}: {what}"), path, added, |client| {
            let answer = client.send(method, path, &headers, body.as_bytes());
            // a refusal of the whole shows in its status as well
            assert!(added[4] == 0 || answer.status == 503, "{path}: {what}: {}", answer.text());
            assert!(answer.status == 200 || added[0] + added[1] == 0, "{path}: {what}: {}", answer.text());
        });
    }
    // what is not asked of a decision endpoint is no question
    for path in ["/v1/is_authorised", "/v1/status"] {
        check(&server, path, NATIVE, [0; 5], |client| {
            client.post(path, fine.to_string());
        });
    }
}

#[test]
fn before_the_first_bundle_nothing_can_be_decided() {
    let server = Server::start(json!({}));
    for (path, body) in [
        (NATIVE, reads(json!({}))),
        (BATCH, json!({"requests": [reads(json!({})), reads(json!({}))]})),
        (EVALUATION, evaluation("read")),
        (EVALUATIONS, json!({"evaluations": [evaluation("read")]})),
    ] {
        check(&server, path, path, [0, 0, 0, 1, 0], |client| {
            assert_eq!(client.post(path, body.to_string()).status, 503);
        });
    }
}
