//! Stock Cedar as a service would use it: its own authorizer over the whole policy set and all entities.
//!
//! Nothing of the project's engine is in here but the texts and the questions, so that what the engine is
//! compared with cannot share its faults.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Authorizer, Context, Entities, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet, Request, Response, Schema,
    SlotId,
};
use palisade_engine::model::{AccessRequest, Bundle, Decision, Document, Uid};

use super::NOW;

/// Policies, entities and schema in Cedar's own types.
pub(crate) struct Stock {
    authorizer: Authorizer,
    policies: PolicySet,
    /// Public: changes take it and give another.
    pub entities: Entities,
    pub schema: Schema,
}

impl Stock {
    pub(crate) fn build(bundle: &Bundle) -> Self {
        let schema = schema(bundle);
        let entities = Entities::from_json_str(&array(&bundle.entities), Some(&schema)).unwrap();
        Self { authorizer: Authorizer::new(), policies: policies(bundle), entities, schema }
    }

    /// What a caller has to make of a decoded question before Cedar can answer it.
    pub(crate) fn request(&self, request: &AccessRequest<'_>) -> Request {
        let action = uid(&request.action);
        let mut context = request.context.to_json();
        // the engine fills in the clock where a question does not name the time; callers of Cedar do so themselves
        if let Some(members) = context.as_object_mut()
            && members.contains_key("auth")
            && !members.contains_key("now")
        {
            let now = serde_json::json!({"__extn": {"fn": "datetime", "arg": "2026-11-21T12:00:00Z"}});
            members.insert("now".to_owned(), now);
        }
        let context = Context::from_json_value(context, Some((&self.schema, &action))).unwrap();
        let (principal, resource) = (uid(&request.principal), uid(&request.resource));
        Request::new(principal, action, resource, context, Some(&self.schema)).unwrap()
    }

    pub(crate) fn decide(&self, request: &Request) -> Response {
        self.authorizer.is_authorized(request, &self.policies, &self.entities)
    }

    pub(crate) fn policy_count(&self) -> usize {
        self.policies.policies().count()
    }
}

/// Stops the bench unless both say the same: what answers something else may be as fast as it likes.
pub(crate) fn assert_same(decision: &Decision, response: &Response, question: usize) {
    let reasons: HashSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    assert_eq!(decision.reasons.iter().map(|id| (**id).to_owned()).collect::<HashSet<_>>(), reasons, "{question}");
    assert_eq!(decision.errors.len(), response.diagnostics().errors().count(), "question {question}");
    // the strict semantics may deny besides, and then says so
    if decision.denied_by.is_none() {
        let allowed = response.decision() == cedar_policy::Decision::Allow;
        assert_eq!(decision.outcome.is_allow(), allowed, "question {question}, at {NOW}");
    }
}

pub(crate) fn uid(uid: &Uid<'_>) -> EntityUid {
    let type_name: EntityTypeName = uid.type_name.parse().unwrap();
    EntityUid::from_type_name_and_id(type_name, EntityId::new(&*uid.id))
}

pub(crate) fn schema(bundle: &Bundle) -> Schema {
    let text: String = bundle.schema.iter().flat_map(|s| &s.fragments).map(|(_, text)| text.as_str()).collect();
    Schema::from_cedarschema_str(&text).unwrap().0
}

/// All documents as one JSON array, which is all that Cedar reads.
pub(crate) fn array(documents: &[Document]) -> String {
    let mut out = String::from("[");
    for document in documents {
        let text = String::from_utf8(document.bytes().unwrap().into_owned()).unwrap();
        let text = text.trim();
        match text.strip_prefix('[') {
            Some(array) => {
                out.push_str(array.trim_end_matches(']'));
                out.push(',');
            }
            None => {
                for line in text.lines() {
                    out.push_str(line);
                    out.push(',');
                }
            }
        }
    }
    // the last comma, or the bracket of an empty array
    if out.ends_with(',') {
        out.pop();
    }
    out.push(']');
    out
}

fn policies(bundle: &Bundle) -> PolicySet {
    let mut all = PolicySet::new();
    for text in &bundle.policies {
        let parsed: PolicySet = text.text.parse().unwrap();
        let named = |id: Option<&str>| PolicyId::new(id.unwrap_or_else(|| panic!("{}: no `@id`", text.origin)));
        for policy in parsed.policies() {
            all.add(policy.new_id(named(policy.annotation("id")))).unwrap();
        }
        for template in parsed.templates() {
            all.add_template(template.new_id(named(template.annotation("id")))).unwrap();
        }
    }
    for link in &bundle.links {
        let values: HashMap<SlotId, EntityUid> = link
            .args
            .iter()
            .map(|(slot, entity)| {
                let slot = if slot == "?principal" { SlotId::principal() } else { SlotId::resource() };
                (slot, entity.parse().unwrap())
            })
            .collect();
        all.link(PolicyId::new(&link.template_id), PolicyId::new(&link.link_id), values).unwrap();
    }
    all
}
