//! No decision is older than an acknowledged change, and none is a mixture of two revisions: single, in a batch, AuthZEN,
//! at the gateways' endpoint; cached or not; while files are loaded and large transactions are made beside the writer.
//!
//! What was asked and changed is recorded and checked afterwards, when it is known what each revision was.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::support::Client;
use crate::support::gate::{Dialect, get};

const ROUNDS: u64 = 60;

/// A gateway's request becomes the same question.
const ROUTES: &str = "
hosts: [a.test]
routes:
  - {match: GET /d, action: 'T::Action::\"read\"', resource: 'T::Doc::d'}
";

/// Configuration by which gateways say who asks.
fn with_gateways(mut flags: Value) -> Value {
    let principals = json!([{ "uri": "spiffe://a/{name}", "principal": "T::User::\"{name}\"" }]);
    flags["identity"] = json!({ "peer": { "header": "x-forwarded-client-cert", "principals": principals } });
    flags["authzen"] = json!({ "namespace": "T" });
    flags
}

/// What happened, in the order in which it was recorded.
#[derive(Debug, Clone, Default)]
struct History {
    /// For each user: what was acknowledged, at which revision.
    changes: BTreeMap<String, Vec<(u64, bool)>>,
    answers: Vec<Answer>,
}

/// A decision about a user.
#[derive(Debug, Clone)]
struct Answer {
    user: String,
    allowed: bool,
    revision: u64,
    /// The newest revision that was acknowledged for the user before it was asked.
    acknowledged: u64,
    /// Answers of one batch have the same.
    batch: usize,
}

/// What in a history cannot have been.
fn faults(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    let mut revisions = BTreeMap::new();
    for (user, changes) in &history.changes {
        for pair in changes.windows(2).filter(|pair| pair[0].0 >= pair[1].0) {
            found.push(format!("{user}: {} was acknowledged after {}", pair[1].0, pair[0].0));
        }
        for (revision, _) in changes {
            *revisions.entry(revision).or_insert(0) += 1;
        }
    }
    for answer in &history.answers {
        let Answer { user, allowed, revision, acknowledged, batch } = answer;
        if revision < acknowledged {
            found.push(format!("{user}: {acknowledged} was acknowledged, and then {revision} decided"));
        }
        let changes = &history.changes[user];
        let made = changes[..changes.partition_point(|(at, _)| at <= revision)].last();
        if made.is_some_and(|(_, is)| is != allowed) {
            found.push(format!("{user}: {allowed} at {revision}, which is not what {made:?} made of it"));
        }
        let others = history.answers.iter().filter(|other| other.batch == *batch && other.revision != *revision);
        found.extend(others.take(1).map(|other| format!("{user}: a batch of {revision} and {}", other.revision)));
    }
    found
}

fn counter(revision: &str) -> u64 {
    revision.split_once('-').unwrap().1.parse().unwrap()
}

/// Asks about two users in each way.
fn ask(server: &Server, client: &mut Client, users: &[String; 2]) -> Vec<(String, bool, u64)> {
    let native = |id: &String| json!({ "principal": format!("T::User::\"{id}\""), "action": "T::Action::\"read\"", "resource": "T::Doc::\"d\"" });
    let both: Vec<Value> = users.iter().map(native).collect();
    let revision = |value: &Value| counter(value["revision"].as_str().unwrap());
    let batch = client.post("/v1/is_authorized/batch", json!({ "requests": both }).to_string()).json();
    let of_batch = users.iter().zip(batch["responses"].as_array().unwrap());
    let mut answers: Vec<_> =
        of_batch.map(|(user, answer)| (user.clone(), answer["decision"] == "Allow", revision(&batch))).collect();
    let single = client.post("/v1/is_authorized", native(&users[0]).to_string()).json();
    answers.push((users[0].clone(), single["decision"] == "Allow", revision(&single)));
    let authzen = json!({
        "subject": { "type": "T::User", "id": users[1] }, "action": { "name": "read" }, "resource": { "type": "T::Doc", "id": "d" },
    });
    let authzen = client.post("/access/v1/evaluation", authzen.to_string());
    let at = counter(authzen.header("palisade-revision").unwrap());
    answers.push((users[1].clone(), authzen.json()["decision"] == true, at));
    let certificate = format!("URI=spiffe://a/{}", users[0]);
    let headers = [("x-forwarded-client-cert", certificate.as_str())];
    let gateway = get("a.test", "/d", &headers).send(server.decisions, Dialect::Envoy);
    assert!([200, 403].contains(&gateway.status), "{}", gateway.text());
    answers.push((users[0].clone(), gateway.status == 200, counter(gateway.header("palisade-revision").unwrap())));
    answers
}

/// Files with so many users besides, whose age says which time they were written.
fn write_files(dir: &std::path::Path, users: usize, age: usize) {
    let group = |id: &str| json!({ "uid": { "type": "T::Group", "id": id }, "attrs": {}, "parents": [] });
    let mut all = vec![group("staff"), json!({ "uid": { "type": "T::Doc", "id": "d" }, "attrs": {}, "parents": [] })];
    all.extend((0..users).map(
        |n| json!({ "uid": { "type": "T::User", "id": format!("f{n}") }, "attrs": { "age": age }, "parents": [] }),
    ));
    std::fs::write(dir.join("entities/.e"), json!(all).to_string()).unwrap();
    std::fs::rename(dir.join("entities/.e"), dir.join("entities/e.json")).unwrap();
}

fn large(round: usize) -> Value {
    (0..400).map(|n| json!({ "upsert": { "uid": { "type": "T::User", "id": format!("b{n}") }, "attrs": { "age": round }, "parents": [] } })).collect()
}

/// Changes two users, together and alone, asks about them, and does what is done at the same time.
fn record(server: &Server, beside: impl Fn(&AtomicBool) + Sync) -> History {
    let users = ["u0".to_owned(), "u1".to_owned()];
    let history = Mutex::new(History::default());
    let acknowledged = [AtomicU64::new(0), AtomicU64::new(0)];
    let (over, batches) = (AtomicBool::new(false), AtomicU64::new(0));
    let makes =
        |n: usize, allowed: bool| json!({ "upsert": user(&format!("u{n}"), if allowed { &["staff"] } else { &[] }) });
    let note = |of: &[(usize, bool)], revision: u64| {
        let mut history = history.lock().unwrap();
        for (n, allowed) in of {
            history.changes.entry(format!("u{n}")).or_default().push((revision, *allowed));
            acknowledged[*n].store(revision, Ordering::SeqCst);
        }
    };
    let made = change(server, json!([makes(0, false), makes(1, false)]));
    note(&[(0, false), (1, false)], counter(made["revision"].as_str().unwrap()));
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                let (first, second) = (round % 2 == 0, round % 4 < 2);
                let of = match round % 3 {
                    0 => vec![(0, first), (1, !first)],
                    1 => vec![(0, second)],
                    _ => vec![(1, second)],
                };
                let made = change(server, of.iter().map(|(n, allowed)| makes(*n, *allowed)).collect());
                if made["published"] == true {
                    note(&of, counter(made["revision"].as_str().unwrap()));
                }
            }
            over.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| beside(&over));
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = server.client();
                while !over.load(Ordering::SeqCst) {
                    let before = [0, 1].map(|n: usize| acknowledged[n].load(Ordering::SeqCst));
                    let answers = ask(server, &mut client, &users);
                    let batch = batches.fetch_add(4, Ordering::SeqCst) as usize;
                    let mut history = history.lock().unwrap();
                    for (n, (user, allowed, revision)) in answers.into_iter().enumerate() {
                        let acknowledged = before[usize::from(user == "u1")];
                        let batch = batch + n.saturating_sub(1);
                        history.answers.push(Answer { user, allowed, revision, acknowledged, batch });
                    }
                }
            });
        }
    });
    history.into_inner().unwrap()
}

/// A history with one thing in it that was not so; `None` where it has no place for it.
fn seeded(history: &History, fault: &str) -> Option<History> {
    let mut wrong = history.clone();
    match fault {
        // an answer of the state before an acknowledged change
        "a stale read" => {
            let answer = wrong.answers.iter_mut().rev().find(|answer| answer.acknowledged > 2)?;
            answer.revision = answer.acknowledged - 1;
        }
        // a change was acknowledged, and what was decided from then on does not know it
        "a lost change" => {
            let (user, changes) = wrong.changes.iter().next()?;
            let (user, changes) = (user.clone(), changes.clone());
            let lost = changes.windows(2).position(|pair| {
                let seen = |answer: &&Answer| answer.user == user && answer.revision >= pair[1].0;
                pair[0].1 != pair[1].1 && history.answers.iter().any(|answer| seen(&answer))
            })? + 1;
            let until = changes.get(lost + 1).map_or(u64::MAX, |(revision, _)| *revision);
            for answer in wrong.answers.iter_mut().filter(|answer| answer.user == user) {
                if (changes[lost].0..until).contains(&answer.revision) {
                    answer.allowed = changes[lost - 1].1;
                }
            }
            // no one may have asked just then
            (!faults(&wrong).is_empty() || wrong.answers.iter().all(|answer| answer.user != user)).then_some(())?;
        }
        // of two that are changed together one is seen as it was before
        "a torn overlay" => {
            let both = |revision: &u64| history.changes.values().all(|of| of.iter().any(|(at, _)| at == revision));
            let at = |answer: &&mut Answer| both(&answer.revision) && answer.revision > 2;
            let answer = wrong.answers.iter_mut().find(at)?;
            answer.allowed = !answer.allowed;
        }
        // a batch of which one half is older than the other
        _ => {
            let first = wrong.answers.first()?.batch;
            wrong.answers.iter_mut().find(|answer| answer.batch == first)?.revision += 1;
        }
    }
    Some(wrong)
}

#[test]
fn no_decision_is_older_than_an_acknowledged_change() {
    for cache in [true, false] {
        let server = Server::start(with_gateways(json!({ "cache": { "enabled": cache } })));
        let mut bundle = crate::native::bundle();
        bundle["routes"] = json!({ "gateways.yaml": ROUTES });
        put(&server, &bundle);
        let history = record(&server, |_| {});
        assert_eq!(faults(&history), Vec::<String>::new());
        assert!(history.answers.len() > 100, "{}", history.answers.len());
        // the checker sees what must not be
        for fault in ["a stale read", "a torn overlay", "half a batch", "a lost change"] {
            if let Some(wrong) = seeded(&history, fault) {
                assert!(!faults(&wrong).is_empty(), "{fault} is not seen");
            } else {
                assert_eq!(fault, "a lost change");
            }
        }
    }
}

/// The same while files are loaded and large transactions are made: what is built beside the writer takes nothing back.
#[test]
fn nothing_is_lost_while_files_and_large_transactions_are_built() {
    let dir = tempfile::tempdir().unwrap();
    for part in ["policies", "entities", "routes"] {
        std::fs::create_dir(dir.path().join(part)).unwrap();
    }
    std::fs::write(dir.path().join("routes/r.yaml"), ROUTES).unwrap();
    std::fs::write(dir.path().join("policies/s.cedarschema"), crate::native::SCHEMA).unwrap();
    std::fs::write(dir.path().join("policies/p.cedar"), crate::native::POLICIES).unwrap();
    write_files(dir.path(), 2_000, 0);
    let places = ["policies", "entities", "routes"].map(|part| (part.to_owned(), json!(dir.path().join(part))));
    let server = Server::ready(with_gateways(Value::Object(places.into_iter().collect())));
    let (loads, bulks) = (AtomicU64::new(0), AtomicU64::new(0));
    let age =
        |id: &str| server.admin().get(&format!("/v1/entities/T::User/{id}")).json()["entity"]["attrs"]["age"].clone();
    let history = record(&server, |over| {
        let mut round = 1;
        while !over.load(Ordering::SeqCst) || round < 4 {
            write_files(dir.path(), 2_000, round);
            change(&server, large(round));
            bulks.fetch_add(1, Ordering::SeqCst);
            server.until("loaded", |_| age("f7") == round);
            loads.fetch_add(1, Ordering::SeqCst);
            // a load takes nothing of it back
            assert_eq!([age("b0"), age("b399")], [json!(round), json!(round)]);
            round += 1;
        }
    });
    assert_eq!(faults(&history), Vec::<String>::new());
    assert!(loads.load(Ordering::SeqCst) >= 3 && bulks.load(Ordering::SeqCst) >= 3);
    // and what was acknowledged last is what is there
    for (user, changes) in &history.changes {
        let ask = json!({ "principal": format!("T::User::\"{user}\""), "action": "T::Action::\"read\"", "resource": "T::Doc::\"d\"" });
        let now = decide(&mut server.client(), &ask)["decision"] == "Allow";
        assert_eq!(now, changes.last().unwrap().1, "{user}");
    }
}
