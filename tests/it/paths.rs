//! Two paths to one answer, chosen by the caller over HTTP: single and batch, AuthZEN, cached and not, a bundle that was
//! read back and put again, another process. Over generated worlds; each answer is compared with the engine's own.

use palisade_engine::model::AccessRequest;
use palisade_engine::{EngineSettings, NowPolicy, Semantics, Validation, on_big_stack};
use serde_json::{Value, json};

use crate::differential::compare::{Answer, REVISION};
use crate::differential::generate::{Plan, World};
use crate::support::{Client, Server};

fn server(semantics: Semantics, cache: bool) -> Server {
    Server::start(json!({
        "validation": "off",
        "cache": { "enabled": cache },
        "context": { "now": "off" },
        "decision": { "semantics": if semantics == Semantics::Strict { "strict" } else { "cedar" } },
        "load": { "allow_empty_policies": true },
        "authzen": { "overlay": { "default": "deny" } },
    }))
}

/// The request as the native API takes it.
fn native(request: &AccessRequest<'_>) -> Value {
    let uid = |uid: &palisade_engine::model::Uid<'_>| json!({ "type": uid.type_name, "id": uid.id });
    let mut body = json!({
        "principal": uid(&request.principal), "action": uid(&request.action), "resource": uid(&request.resource),
        "context": request.context.to_json(),
    });
    for (member, value) in [("entities", &request.entities), ("additional_entities", &request.additional_entities)] {
        if let Some(value) = value {
            body[member] = value.to_json();
        }
    }
    body
}

/// What an answer says, of whichever path.
fn said(status: u16, answer: &Value) -> Value {
    match answer.get("error").or((status != 200).then_some(answer)) {
        Some(error) => json!({ "refused": error["code"] }),
        None => json!({
            "decision": answer["decision"], "diagnostics": answer["diagnostics"],
        }),
    }
}

fn expected(answer: &Answer) -> Value {
    match answer {
        Err(error) => json!({ "refused": error.code }),
        Ok(decision) => {
            let mut diagnostics = json!({ "reason": decision.reasons, "errors": decision.errors });
            if let Some(rule) = &decision.denied_by {
                diagnostics["denied_by"] = json!(rule);
            }
            json!({ "decision": if decision.outcome.is_allow() { "Allow" } else { "Deny" }, "diagnostics": diagnostics })
        }
    }
}

/// Entities, parents and sets have no order.
fn sorted(value: &mut Value) {
    match value {
        Value::Array(elements) => {
            elements.iter_mut().for_each(sorted);
            elements.sort_by_key(Value::to_string);
        }
        Value::Object(members) => members.values_mut().for_each(sorted),
        _ => {}
    }
}

fn single(client: &mut Client, body: &Value) -> Value {
    let answer = client.post("/v1/is_authorized", body.to_string());
    said(answer.status, &answer.json())
}

#[test]
fn every_path_gives_the_engines_answer() {
    let mut compared = 0;
    for semantics in [Semantics::Strict, Semantics::Cedar] {
        let servers = [server(semantics, true), server(semantics, false), server(semantics, true)];
        for seed in 0..12 {
            let settings = EngineSettings {
                validation: Validation::Off,
                now: NowPolicy::Off,
                semantics,
                ..EngineSettings::default()
            };
            let (snapshot, requests) = on_big_stack(|| {
                let (world, mut c) = World::seeded(1_000 + seed, Plan::default());
                let built = palisade_engine::Snapshot::build(world.bundle.clone().into(), &settings, REVISION).ok()?;
                let requests: Vec<AccessRequest<'static>> = (0..12).map(|_| world.request(&mut c)).collect();
                Some((built.0, requests))
            })
            .unwrap()
            .unzip();
            let (Some(snapshot), Some(requests)) = (snapshot, requests) else { continue };
            let policies: Value =
                snapshot.policy_texts().into_iter().map(|(id, text)| (id.to_owned(), json!(text))).collect();
            let texts = snapshot.texts();
            let bundle = json!({
                "policies": policies,
                "schema": texts.schema.as_ref().map(|schema| schema.fragments.iter().map(|(_, text)| json!(text)).collect::<Vec<_>>()),
                "entities": snapshot.entities().map(|entity| entity.to_json()).collect::<Vec<_>>(),
                "links": texts.links.iter().map(|link| json!({
                    "template_id": link.template_id, "link_id": link.link_id,
                    "args": link.args.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                })).collect::<Vec<_>>(),
            });
            for server in &servers[..2] {
                let put = server.admin().put("/v1/bundle", bundle.to_string());
                assert_eq!(put.status, 200, "{}", put.text());
            }
            // what reads back goes to the third, and what that reads back is the same
            let back = |server: &Server| {
                let mut bundle = server.admin().get("/v1/bundle").json();
                bundle.as_object_mut().unwrap().remove("revision");
                sorted(&mut bundle["entities"]);
                bundle
            };
            let read = back(&servers[0]);
            assert_eq!(servers[2].admin().put("/v1/bundle", read.to_string()).status, 200);
            assert_eq!(back(&servers[2]), read);
            // overlays are not the native API's
            let requests: Vec<&AccessRequest<'_>> =
                requests.iter().filter(|request| request.overlays.is_empty()).collect();
            let answers: Vec<Value> =
                on_big_stack(|| requests.iter().map(|request| expected(&snapshot.decide(request, 0))).collect())
                    .unwrap();
            for server in &servers {
                let mut client = server.client();
                for (request, answer) in requests.iter().zip(&answers) {
                    let body = native(request);
                    for time in 0..2 {
                        assert_eq!(&single(&mut client, &body), answer, "{seed} {time}: {body}");
                    }
                    compared += 2;
                }
                let bodies: Vec<Value> = requests.iter().map(|request| native(request)).collect();
                let batch = client.post("/v1/is_authorized/batch", json!({ "requests": bodies }).to_string()).json();
                for (i, answer) in answers.iter().enumerate() {
                    assert_eq!(&said(200, &batch["responses"][i]), answer, "{seed} batch {i}: {}", bodies[i]);
                    compared += 1;
                }
            }
            // AuthZEN drops what the schema does not declare; what it keeps is decided as the native API does
            let mut client = servers[1].client();
            for (request, answer) in requests.iter().zip(&answers) {
                let plain = request.entities.is_none() && request.additional_entities.is_none();
                if !plain || answer.get("refused").is_some() || request.action.type_name != "Action" {
                    continue;
                }
                let party = |uid: &palisade_engine::model::Uid<'_>| json!({ "type": uid.type_name, "id": uid.id });
                let body = json!({
                    "subject": party(&request.principal), "resource": party(&request.resource),
                    "action": { "name": request.action.id }, "context": request.context.to_json(),
                });
                let told = client.post("/access/v1/evaluation", body.to_string()).json();
                if told["context"].get("ignored").is_some() {
                    continue;
                }
                assert_eq!(told["decision"], answer["decision"] == "Allow", "{seed}: {body} {told}");
                compared += 1;
            }
        }
    }
    assert!(compared > 2_000, "{compared}");
}
