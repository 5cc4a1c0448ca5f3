//! The packs in Cedar as it comes: the texts of their policies with the links that `palisade links` lists, over the same
//! entities, decide what the sidecar decides, for the same reasons and with the same errors.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::str::FromStr;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, EntityUid, PolicyId, PolicySet, Request, RequestEnv,
    Schema, SlotId,
};
use palisade_engine::model::{AccessRequest, Bundle, Revision, Value};
use palisade_engine::{EngineSettings, Semantics, Snapshot, on_big_stack};
use serde_json::{Value as Json, json};

use crate::policies::fleet;
use crate::support::Server;
use crate::support::process::command;

/// What Cedar needs to decide.
struct Stock {
    policies: PolicySet,
    entities: Entities,
    schema: Schema,
}

/// Decision, reasons and policies that failed.
type Answer = (bool, Vec<String>, Vec<String>);

/// An id as it was given: shown, it is escaped.
fn text_of(id: &PolicyId) -> String {
    AsRef::<str>::as_ref(id).to_owned()
}

impl Stock {
    fn of(bundle: &Bundle, links: &[Json]) -> Self {
        let schema = Schema::from_cedarschema_str(&bundle.schema.as_ref().unwrap().fragments[0].1).unwrap().0;
        let mut policies = PolicySet::new();
        for text in &bundle.policies {
            let written = PolicySet::from_str(&text.text).unwrap();
            for policy in written.policies() {
                policies.add(policy.new_id(PolicyId::new(policy.annotation("id").unwrap()))).unwrap();
            }
            for template in written.templates() {
                policies.add_template(template.new_id(PolicyId::new(template.annotation("id").unwrap()))).unwrap();
            }
        }
        for link in links {
            let named = |member: &str| PolicyId::new(link[member].as_str().unwrap());
            let slots = [("principal", SlotId::principal()), ("resource", SlotId::resource())];
            let filled: HashMap<SlotId, EntityUid> = slots
                .into_iter()
                .filter_map(|(slot, id)| Some((id, EntityUid::from_str(link[slot].as_str()?).unwrap())))
                .collect();
            policies.link(named("template_id"), named("link_id"), filled).unwrap();
        }
        let text = std::fs::read_to_string(Server::project("entities/fleet.json")).unwrap();
        let entities = Entities::from_json_str(&text, Some(&schema)).unwrap();
        Self { policies, entities, schema }
    }

    fn answer(&self, question: &Json) -> Answer {
        let [principal, action, resource] = ["principal", "action", "resource"]
            .map(|part| EntityUid::from_str(question[part].as_str().unwrap()).unwrap());
        let context = Context::from_json_value(question["context"].clone(), Some((&self.schema, &action))).unwrap();
        let request = Request::new(principal, action, resource, context, Some(&self.schema)).unwrap();
        let response = Authorizer::new().is_authorized(&request, &self.policies, &self.entities);
        let mut reasons: Vec<String> = response.diagnostics().reason().map(text_of).collect();
        let mut errors: Vec<String> = response
            .diagnostics()
            .errors()
            .map(|error| match error {
                AuthorizationError::PolicyEvaluationError(error) => text_of(error.policy_id()),
            })
            .collect();
        reasons.sort();
        errors.sort();
        (response.decision() == Decision::Allow, reasons, errors)
    }

    /// Questions about each action, of some of the principals and resources that it may be about: the first of each
    /// type, and then ever others.
    fn questions(&self) -> Vec<Json> {
        let mut of_type: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entity in self.entities.iter() {
            of_type.entry(entity.uid().type_name().to_string()).or_default().push(entity.uid().to_string());
        }
        of_type.values_mut().for_each(|uids| uids.sort());
        let mut environments: Vec<RequestEnv> = self.schema.request_envs().collect();
        environments.sort_by_key(|environment| format!("{environment:?}"));
        let context = json!({
            "now": { "__extn": { "fn": "datetime", "arg": "2026-11-21T12:00:00Z" } },
            "auth": { "method": "password", "mfa": true },
        });
        let mut asked = Vec::new();
        for (n, environment) in environments.iter().enumerate() {
            let [Some(principals), Some(resources)] =
                [environment.principal(), environment.resource()].map(|name| of_type.get(&name.to_string()))
            else {
                continue;
            };
            for k in 0..12 {
                asked.push(json!({
                    "principal": principals[(n * 7 + k * 5) % principals.len()],
                    "action": environment.action().to_string(),
                    "resource": resources[(n * 3 + k * 11) % resources.len()],
                    "context": context,
                }));
            }
        }
        asked
    }
}

/// Every link, as a user gets them.
fn links() -> Vec<Json> {
    let output = command(Path::new(&Server::project("."))).args(["links", "--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_packs_with_their_links_decide_the_same_in_cedar_as_it_comes() {
    on_big_stack(|| {
        let (bundle, links) = (fleet(), links());
        assert!(links.len() > 100, "only {} links", links.len());
        let stock = Stock::of(&bundle, &links);
        let settings = EngineSettings { semantics: Semantics::Cedar, ..EngineSettings::default() };
        let revision = Revision { incarnation: 1, counter: 1 };
        let (snapshot, _) = Snapshot::build(bundle.into(), &settings, revision).unwrap();
        let text = std::fs::read_to_string(Server::project("policies/tests/scenarios.json")).unwrap();
        let scenarios: Vec<Json> = serde_json::from_str(&text).unwrap();
        let mut questions: Vec<Json> = scenarios.iter().map(|scenario| scenario["request"].clone()).collect();
        assert_eq!(questions.len(), 113);
        questions.extend(stock.questions());
        let (mut allowed, mut by_links) = (0, 0);
        for question in &questions {
            let text = question.to_string();
            let request = AccessRequest::from_value(Value::parse(text.as_bytes()).unwrap()).unwrap();
            let decision = snapshot.decide(&request, 0).unwrap();
            let ours: Answer = (
                decision.outcome.is_allow(),
                decision.reasons.iter().map(ToString::to_string).collect(),
                decision.errors.iter().map(|error| error.policy_id.to_string()).collect(),
            );
            assert_eq!(ours, stock.answer(question), "{question}");
            allowed += usize::from(ours.0);
            by_links += usize::from(ours.1.iter().any(|reason| reason.contains('@')));
        }
        assert!(questions.len() > 1_500 && allowed > 60 && by_links > 100, "{allowed} and {by_links} are few");
    })
    .unwrap();
}
