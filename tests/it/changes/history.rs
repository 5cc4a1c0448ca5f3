//! No decision is older than an acknowledged change, however it is asked: single, in a batch, AuthZEN; cached or not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::support::Client;

const ROUNDS: u64 = 80;

/// Asks in each way; gives what each said and at which revision.
fn ask_all(client: &mut Client, principal: &str) -> Vec<(bool, String)> {
    let native = json!({ "principal": principal, "action": "T::Action::\"read\"", "resource": "T::Doc::\"d\"" });
    let single = client.post("/v1/is_authorized", native.to_string()).json();
    let batch = client.post("/v1/is_authorized/batch", json!({ "requests": [native, native] }).to_string()).json();
    let id = principal.split('"').nth(1).unwrap();
    let authzen = json!({
        "subject": { "type": "T::User", "id": id }, "action": { "name": "read" }, "resource": { "type": "T::Doc", "id": "d" },
    });
    let authzen = client.post("/access/v1/evaluation", authzen.to_string());
    let revision = |value: &Value| value["revision"].as_str().unwrap().to_owned();
    let of_batch = batch["responses"].as_array().unwrap().iter();
    let mut answers: Vec<(bool, String)> =
        of_batch.map(|answer| (answer["decision"] == "Allow", revision(&batch))).collect();
    answers.push((single["decision"] == "Allow", revision(&single)));
    answers.push((authzen.json()["decision"] == true, authzen.header("palisade-revision").unwrap().to_owned()));
    answers
}

fn counter(revision: &str) -> u64 {
    revision.split_once('-').unwrap().1.parse().unwrap()
}

#[test]
fn no_decision_is_older_than_an_acknowledged_change() {
    for cache in [true, false] {
        let server = server(json!({ "cache": { "enabled": cache }, "authzen": { "namespace": "T" } }));
        let acknowledged: Vec<AtomicU64> = (0..2).map(|_| AtomicU64::new(0)).collect();
        let over = AtomicBool::new(false);
        let asked = AtomicU64::new(0);
        thread::scope(|scope| {
            for (n, acknowledged) in acknowledged.iter().enumerate() {
                let (server, over, asked) = (&server, &over, &asked);
                let who = format!("T::User::\"u{n}\"");
                // a change and what it says of its own user
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let groups: &[&str] = if round % 2 == 0 { &["staff"] } else { &[] };
                        let revision = change(server, json!([{ "upsert": user(&format!("u{n}"), groups) }]));
                        let revision = counter(revision["revision"].as_str().unwrap());
                        // what is allowed from here on, in one number that no reader sees in part
                        acknowledged.store(revision << 1 | u64::from(round % 2 == 0), Ordering::SeqCst);
                    }
                    over.store(true, Ordering::SeqCst);
                });
                scope.spawn(move || {
                    let mut client = server.client();
                    while !over.load(Ordering::SeqCst) {
                        let before = acknowledged.load(Ordering::SeqCst);
                        let answers = ask_all(&mut client, &who);
                        let after = acknowledged.load(Ordering::SeqCst);
                        for (allowed, revision) in answers {
                            assert!(counter(&revision) >= before >> 1, "{revision} was made before {}", before >> 1);
                            // no change of its user was acknowledged meanwhile; one that is under way may be seen
                            if before == after && before > 0 && allowed != (before & 1 == 1) {
                                assert!(
                                    counter(&revision) > before >> 1,
                                    "a decision of {revision} is not that of its revision"
                                );
                            }
                            asked.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!(asked.load(Ordering::Relaxed) > 100, "{asked:?}");
        let last = server.admin().get("/v1/status").json();
        assert_eq!(counter(last["revision"].as_str().unwrap()), 1 + 2 * ROUNDS, "each change is a revision of its own");
    }
}
