//! Batches are read whole before the first item is decided, and item by item after that: with the answers, errors and log
//! lines that each item has when it is asked alone.

use serde_json::{Value, json};

use crate::support::tiny::{ask, ask_with, tiny};
use crate::support::{Response, Server};

const ALONE: &str = "/v1/is_authorized";
const BATCH: &str = "/v1/is_authorized/batch";
const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

/// What an item may be, right and wrong, native and AuthZEN.
fn odd() -> (Vec<String>, Vec<String>) {
    let contexts = [
        json!({}),
        json!({ "answer": 42 }),
        json!({ "answer": 41, "list": [[[[]]], {}, "\u{1f600}\n\"}]{[\\"], "k\"}": null }),
        json!({ "address": "127.0.0.1" }),
        json!({ "address": "nonsense" }),
        json!({ "n": 1.5 }),
    ];
    let users = ["alice", "mallory", "bob", "a\"b\\", "é\u{0}"];
    let mut native: Vec<String> = users.iter().flat_map(|user| contexts.iter().map(|it| ask_with(user, it))).collect();
    let evaluation = |user: &str, context: &Value| {
        json!({
            "subject": { "type": "User", "id": user, "properties": { "a": [1] } }, "action": { "name": "read" },
            "resource": { "type": "File", "id": "f" }, "context": context, "unknown": [{}],
        })
        .to_string()
    };
    let mut authzen: Vec<String> =
        users.iter().flat_map(|user| contexts.iter().map(|it| evaluation(user, it))).collect();
    for other in ["7", "null", "\"[\"", "[]", "[[{}]]", "{}", "1e3", "true", r#"{"a":{"b":[]}}"#] {
        native.push(other.to_owned());
        authzen.push(other.to_owned());
    }
    native.push(
        r#" { "princip\u0061l" : "User::\"alice\"" , "action":"Action::\"read\"","resource":"File::\"f\""}"#.to_owned(),
    );
    native.push(ask("alice").replacen(
        '{',
        r#"{"additional_entities":[{"uid":{"type":"A","id":"b"},"attrs":{},"parents":[]}],"#,
        1,
    ));
    native.push(ask("alice").replacen('{', r#"{"what":1,"#, 1));
    native.push(ask("alice").replacen("Action::", "Act ion::", 1));
    authzen.push(evaluation("alice", &json!([])));
    authzen.push(evaluation("alice", &json!({})).replace("\"User\"", "\"U ser\""));
    authzen.push(evaluation("alice", &json!({})).replace("\"name\"", "\"nam\\u0065\""));
    (native, authzen)
}

/// The log's lines without what no two requests share.
fn logged(server: &Server, file: &std::path::Path, n: usize) -> Vec<Value> {
    let whole = || std::fs::read_to_string(file).unwrap_or_default();
    server.until(&format!("{n} lines"), |_| whole().ends_with('\n') && whole().lines().count() >= n);
    let shared = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let members = line.as_object_mut().unwrap();
        members.retain(|key, _| {
            !["time", "decision_id", "request_id", "transport", "duration_us", "cached"].contains(&key.as_str())
        });
        line
    };
    whole().lines().map(shared).collect()
}

#[test]
fn a_thousand_odd_items_are_answered_as_each_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    let server = tiny(json!({ "decision_log": { "sink": file } }));
    let mut client = server.client();
    let (native, authzen) = odd();
    // each alone
    let mut alone: Vec<Response> = Vec::new();
    for (path, items) in [(ALONE, &native), (EVALUATION, &authzen)] {
        alone.extend(items.iter().map(|item| client.post(path, item)));
    }
    // an evaluation that cannot be decided is an answer, too
    let is_logged = |answer: &Response| answer.status == 200 && answer.json()["context"].get("error").is_none();
    let (of_native, of_authzen) = alone.split_at(native.len());
    let revision = of_native[0].header("palisade-revision").unwrap();
    let pick = |n: usize, of: usize| (n * 7 + n / of) % of;
    let order = |of: usize| (0..1_000).map(move |n| pick(n, of));
    // native, byte for byte
    let body =
        format!("{{\"requests\" : [{}]}}", order(native.len()).map(|at| &*native[at]).collect::<Vec<_>>().join(" ,\n"));
    let batch = client.post(BATCH, &body);
    assert_eq!(batch.status, 200, "{}", batch.text());
    let expected: Vec<String> = order(native.len())
        .enumerate()
        .map(|(n, at)| match &of_native[at] {
            answer if answer.status == 200 => answer.text(),
            answer => {
                let error = answer.text();
                // of all its problems
                let error = match error.find("\"where\":\"") {
                    Some(_) => error.replace("\"where\":\"", &format!("\"where\":\"/requests/{n}")),
                    None => format!("{},\"where\":\"/requests/{n}\"}}", error.strip_suffix('}').unwrap()),
                };
                format!(r#"{{"decision":"Deny","diagnostics":{{"reason":[],"errors":[]}},"error":{error}}}"#)
            }
        })
        .collect();
    assert_eq!(batch.text(), format!(r#"{{"responses":[{}],"revision":"{revision}"}}"#, expected.join(",")));
    // AuthZEN
    let joined = order(authzen.len()).map(|at| &*authzen[at]).collect::<Vec<_>>().join(",");
    let many = client.post(EVALUATIONS, format!("{{\"x\":[1],\"evaluations\":[{joined}],\"options\":{{}}}}"));
    assert_eq!(many.status, 200, "{}", many.text());
    let many = many.json();
    for (n, at) in order(authzen.len()).enumerate() {
        let (mut item, answer) = (many["evaluations"][n].clone(), &of_authzen[at]);
        if answer.status == 200 {
            let mut alone = answer.json();
            if let Some(place) = alone.pointer_mut("/context/error/where") {
                *place = json!(format!("/evaluations/{n}{}", place.as_str().unwrap()));
            }
            assert_eq!(item, alone, "{}", authzen[at]);
            continue;
        }
        let error = item["context"]["error"].as_object_mut().unwrap();
        let place = error.remove("where").unwrap();
        let problem = answer.json();
        let own = format!("/evaluations/{n}{}", problem["where"].as_str().unwrap_or_default());
        assert_eq!(place, json!(own), "{}", authzen[at]);
        assert_eq!(item["decision"], false);
        for member in ["status", "code"] {
            assert_eq!(item["context"]["error"][member], problem[member], "{}", authzen[at]);
        }
    }
    // and each is in the log as it was alone
    let with_line: Vec<usize> = (0..alone.len()).filter(|at| is_logged(&alone[*at])).collect();
    let in_batches = order(native.len()).chain(order(authzen.len()).map(|at| native.len() + at));
    let line_of = |at: usize| with_line.iter().position(|with| *with == at);
    let expected: Vec<usize> = in_batches.filter_map(line_of).collect();
    let lines = logged(&server, &file, with_line.len() + expected.len());
    assert_eq!(lines.len(), with_line.len() + expected.len());
    for (line, of) in lines[with_line.len()..].iter().zip(expected) {
        assert_eq!(*line, lines[of]);
    }
}

#[test]
fn what_is_wrong_anywhere_refuses_the_whole_before_anything_is_decided() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("decisions.jsonl");
    let server = tiny(json!({ "decision_log": { "sink": file } }));
    let mut client = server.client();
    let deep = |levels: usize| format!("{{\"context\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let good = ask("alice");
    let mut faults = vec![
        r#"{"principal":1,"principal":1}"#.to_owned(),
        r#"{"context":{"a":[{"b":1,"\u0062":2}]}}"#.to_owned(),
        r#"{"unknown":{"a":1,"a":1}}"#.to_owned(),
        format!(
            "{{\"context\":{{{},\"k3\":0}}}}",
            (0..40).map(|n| format!("\"k{n}\":0")).collect::<Vec<_>>().join(",")
        ),
        // the body and its list are two levels, the item is one
        deep(125),
        deep(50_000),
    ];
    for word in ["{", "}", "]", "[1,]", "\"a", "01", "1e999", "\"\\ud800\"", "nul", "{\"a\" 1}", "{} {}", "\"\n\"", ""]
    {
        faults.push(word.to_owned());
    }
    for (path, member) in [(BATCH, "requests"), (EVALUATIONS, "evaluations")] {
        for fault in &faults {
            for before in [0, 1, 600] {
                let list = format!("{}{fault},\n{good}", format!("{good},\n").repeat(before));
                for body in [
                    format!("{{\"{member}\":[{list}]}}"),
                    format!("{{\"{member}\":[{good}],\n\"options\":{{}},\"more\":[0,{fault}]}}"),
                    format!("{{\"{member}\":[{good}]}}\n{fault}x"),
                ] {
                    let error = palisade_engine::model::Value::parse(body.as_bytes()).unwrap_err();
                    let answer = client.post(path, &body);
                    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("malformed_json")), "{fault}");
                    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                    let error = palisade_engine::model::json::in_words(&error.to_string());
                    assert!(detail.ends_with(&format!(": {error}")), "{detail} is not {error}");
                }
            }
        }
        // as deep as it may be
        let fine = client.post(path, format!("{{\"{member}\":[{}]}}", deep(124)));
        assert_eq!(fine.status, 200, "{}", fine.text());
    }
    for (path, body, code, place) in [
        (BATCH, "[]".to_owned(), "invalid_request", ""),
        (BATCH, "{}".to_owned(), "missing_member", "/requests"),
        (BATCH, r#"{"requests":{"a":[]}}"#.to_owned(), "invalid_member", "/requests"),
        (BATCH, format!("{{\"requests\":[{good}],\"a/b\":[]}}"), "unknown_member", "/a~1b"),
        (BATCH, format!("{{\"requests\":[{}0]}}", "0,".repeat(1_000)), "batch_too_large", ""),
        (EVALUATIONS, "[]".to_owned(), "invalid_member", ""),
        (EVALUATIONS, r#"{"evaluations":{"a":[]}}"#.to_owned(), "invalid_member", "/evaluations"),
        (EVALUATIONS, r#"{"evaluations":[{}],"options":[]}"#.to_owned(), "invalid_member", "/options"),
        (EVALUATIONS, r#"{"evaluations":[{}],"subject":[]}"#.to_owned(), "invalid_member", "/subject"),
        (
            EVALUATIONS,
            r#"{"subject":{"type":"User","id":7},"evaluations":[{}]}"#.to_owned(),
            "invalid_member",
            "/subject/id",
        ),
        (EVALUATIONS, format!("{{\"evaluations\":[{}0]}}", "0,".repeat(1_000)), "batch_too_large", ""),
    ] {
        let answer = client.post(path, &body);
        let problem = answer.json();
        let told = (answer.status, problem["code"].as_str(), problem["where"].as_str().unwrap_or_default());
        assert_eq!(told, (400, Some(code), place), "{problem}");
    }
    // one line, of this one
    assert_eq!(client.post(ALONE, ask("bob")).status, 200);
    let lines = logged(&server, &file, 1);
    assert_eq!(lines.len(), 1, "{lines:?}");
}
