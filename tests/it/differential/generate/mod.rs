//! Worlds: a schema or none, entities, policies of every operator, and requests that they decide.
//!
//! Everything follows from a seed, or from the bytes of a fuzzer. Speaks of domain values and texts alone, so
//! tests, benches and the fuzz target include it by its path; the library ships none of it.
#![allow(dead_code, reason = "each user needs its part")]

pub(crate) mod changes;
pub(crate) mod choices;
pub(crate) mod entities;
pub(crate) mod expressions;
pub(crate) mod features;
pub(crate) mod model;
pub(crate) mod policies;
pub(crate) mod requests;
pub(crate) mod values;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};

use palisade_engine::model::{Bundle, Document, Link, SchemaText, Uid, Value};

use choices::Choices;
use entities::{Population, ancestors, draw, hierarchy};
use model::Model;
use policies::{Conditions, Policy, PolicySet};

/// What kind of world to draw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// At least and at most as many policies and templates.
    pub policies: (usize, usize),
    /// What conditions they have.
    pub conditions: Conditions,
}

impl Default for Plan {
    fn default() -> Self {
        Self { policies: (1, 14), conditions: Conditions::Any }
    }
}

/// Everything that decisions are made from, and what is known about it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// Types and actions.
    pub model: Model,
    /// Stored entities.
    pub entities: BTreeMap<Uid<'static>, Value<'static>>,
    /// Who is above whom, actions of the schema included.
    pub closure: BTreeMap<Uid<'static>, BTreeSet<Uid<'static>>>,
    /// Policies that can decide.
    pub policies: Vec<Policy>,
    /// Every policy and template alone, with its id.
    pub statements: Vec<(String, String)>,
    /// Links of the templates among `statements`, by the ids there.
    pub links: Vec<Link>,
    /// All of it as texts.
    pub bundle: Bundle,
    stored: Vec<(usize, Uid<'static>)>,
}

impl World {
    /// Draws a world.
    pub(crate) fn generate(c: &mut Choices, plan: Plan) -> Self {
        let model = Model::generate(c);
        let stored = draw(c, &model);
        let people = Population { model: &model, stored: &stored };
        let entities = people.entities(c);
        let count = plan.policies.0 + c.below(plan.policies.1 - plan.policies.0 + 1);
        let set = PolicySet::generate(c, &people, count, plan.conditions);
        let bundle = Bundle {
            policies: set.texts,
            schema: model.declared.then(|| SchemaText { fragments: model.schema(c) }),
            entities: documents(c, &entities),
            links: set.links,
            ..Bundle::default()
        };
        let closure = closure(&model, &entities);
        let (policies, statements, links) = (set.policies, set.statements, set.links_by_id);
        Self { model, entities, closure, policies, statements, links, bundle, stored }
    }

    /// The world of a seed.
    pub(crate) fn seeded(seed: u64, plan: Plan) -> (Self, Choices) {
        let mut choices = Choices::seeded(seed);
        (Self::generate(&mut choices, plan), choices)
    }

    /// Who there is.
    pub(crate) fn population(&self) -> Population<'_> {
        Population { model: &self.model, stored: &self.stored }
    }

    /// The bundle with other entities.
    pub(crate) fn bundle_with(&self, c: &mut Choices, entities: &BTreeMap<Uid<'static>, Value<'static>>) -> Bundle {
        Bundle { entities: documents(c, entities), ..self.bundle.clone() }
    }
}

/// All ancestors of every entity, and of every action that the schema declares.
pub(crate) fn closure(
    model: &Model,
    entities: &BTreeMap<Uid<'static>, Value<'static>>,
) -> BTreeMap<Uid<'static>, BTreeSet<Uid<'static>>> {
    let mut parents = hierarchy(entities);
    if model.declared {
        for action in &model.actions {
            let groups = action.groups.iter().map(|i| model.actions[*i].uid.clone()).collect();
            parents.insert(action.uid.clone(), groups);
        }
    }
    parents.keys().map(|uid| (uid.clone(), ancestors(&parents, uid))).collect()
}

/// The entities as documents: arrays, or a line each.
fn documents(c: &mut Choices, entities: &BTreeMap<Uid<'static>, Value<'static>>) -> Vec<Document> {
    let mut texts: Vec<String> = entities.values().map(|entity| entity.to_json().to_string()).collect();
    if c.chance(50) {
        texts.reverse();
    }
    let split = if c.chance(25) { c.below(texts.len() + 1) } else { texts.len() };
    let rest = texts.split_off(split);
    let mut documents = Vec::new();
    for (n, part) in [texts, rest].into_iter().enumerate() {
        let bytes = if c.chance(50) && !part.is_empty() {
            part.join("\n").into_bytes()
        } else {
            format!("[{}]", part.join(",\n")).into_bytes()
        };
        documents.push(Document::held(format!("entities{n}"), bytes));
    }
    documents
}
