//! Makes a case in which the engines differ as small as it goes, so that a person can read it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use palisade_engine::model::{AccessRequest, Bundle, Document, PolicyNaming, PolicyText, Uid, Value};
use palisade_engine::{EngineKind, EngineSettings};

use super::compare::{Both, build, compare};
use super::generate::World;
use super::generate::requests::as_json;

/// A case: a bundle in parts, and a request.
#[derive(Debug, Clone)]
pub(super) struct Case {
    statements: Vec<(String, String)>,
    entities: BTreeMap<Uid<'static>, Value<'static>>,
    bundle: Bundle,
    settings: EngineSettings,
    request: AccessRequest<'static>,
    now: i64,
}

impl Case {
    /// What differed in `world`.
    pub(super) fn new(world: &World, settings: &EngineSettings, request: AccessRequest<'static>, now: i64) -> Self {
        Self {
            statements: world.statements.clone(),
            entities: world.entities.clone(),
            bundle: Bundle { links: world.links.clone(), ..world.bundle.clone() },
            settings: settings.clone(),
            request,
            now,
        }
    }

    fn bundle(&self) -> Bundle {
        let policies = self.statements.iter().map(|(id, text)| PolicyText {
            origin: id.clone(),
            text: text.clone(),
            naming: PolicyNaming::Exactly(id.clone()),
        });
        let texts: Vec<String> = self.entities.values().map(|entity| entity.to_json().to_string()).collect();
        let bytes = format!("[{}]", texts.join(",\n")).into_bytes();
        Bundle {
            policies: policies.collect(),
            entities: vec![Document::held("entities", bytes)],
            ..self.bundle.clone()
        }
    }

    /// How the engines differ, if they do.
    fn difference(&self) -> Option<String> {
        let bundle = Arc::new(self.bundle());
        let compiled = build(&bundle, &self.settings, EngineKind::Compiled).ok()?;
        let reference = build(&bundle, &self.settings, EngineKind::Reference).ok()?;
        compare(&Both { compiled, reference }, &self.request, self.now, true).err()
    }

    /// All cases that are one step smaller.
    fn smaller(&self) -> Vec<Self> {
        let mut cases = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut case = self.clone();
            change(&mut case);
            cases.push(case);
        };
        for i in 0..self.statements.len() {
            with(&|case| {
                let (id, _) = case.statements.remove(i);
                case.bundle.links.retain(|link| link.template_id != id);
            });
        }
        for i in 0..self.bundle.links.len() {
            with(&|case| drop(case.bundle.links.remove(i)));
        }
        for uid in self.entities.keys() {
            with(&|case| drop(case.entities.remove(uid)));
        }
        type List = for<'r> fn(&'r mut AccessRequest<'static>) -> &'r mut Option<Value<'static>>;
        let lists: [List; 2] = [|request| &mut request.entities, |request| &mut request.additional_entities];
        for list in lists {
            let mut request = self.request.clone();
            if let Some(Value::Array(elements)) = list(&mut request) {
                with(&|case| *list(&mut case.request) = None);
                for i in 0..elements.len() {
                    with(&|case| {
                        if let Some(Value::Array(elements)) = list(&mut case.request) {
                            elements.remove(i);
                        }
                    });
                }
            }
        }
        for i in 0..self.request.overlays.len() {
            with(&|case| drop(case.request.overlays.remove(i)));
            for at in 0..self.request.overlays[i].attributes.as_object().map_or(0, <[_]>::len) {
                with(&|case| {
                    if let Value::Object(members) = &mut case.request.overlays[i].attributes {
                        members.remove(at);
                    }
                });
            }
        }
        for at in 0..self.request.context.as_object().map_or(0, <[_]>::len) {
            with(&|case| {
                if let Value::Object(members) = &mut case.request.context {
                    members.remove(at);
                }
            });
        }
        for (uid, entity) in &self.entities {
            for part in ["attrs", "tags", "parents"] {
                let parts = match entity.get(part) {
                    Some(Value::Object(members)) => members.len(),
                    Some(Value::Array(elements)) => elements.len(),
                    _ => 0,
                };
                for at in 0..parts {
                    with(&|case| {
                        if let Some(Value::Object(entity)) = case.entities.get_mut(uid) {
                            match entity.iter_mut().find(|(key, _)| key == part) {
                                Some((_, Value::Object(members))) => drop(members.remove(at)),
                                Some((_, Value::Array(elements))) => drop(elements.remove(at)),
                                _ => {}
                            }
                        }
                    });
                }
            }
        }
        cases
    }
}

/// The smallest case that still differs, found by leaving out one thing after the other.
pub(super) fn shrink(mut case: Case) -> Case {
    let start = Instant::now();
    'again: while case.difference().is_some() {
        for smaller in case.smaller() {
            if start.elapsed() > Duration::from_secs(15) {
                return case;
            }
            if smaller.difference().is_some() {
                case = smaller;
                continue 'again;
            }
        }
        break;
    }
    case
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bundle = self.bundle();
        writeln!(f, "## the smallest case\n{:?} {:?}, clock {}", self.settings.semantics, self.settings.now, self.now)?;
        for text in &bundle.policies {
            writeln!(f, "policy `{}`:\n{}", text.origin, text.text)?;
        }
        for link in &bundle.links {
            writeln!(f, "link {link:?}")?;
        }
        for (_, text) in bundle.schema.iter().flat_map(|schema| &schema.fragments) {
            writeln!(f, "schema:\n{text}")?;
        }
        for document in &bundle.entities {
            writeln!(f, "entities:\n{}", String::from_utf8_lossy(&document.bytes().unwrap_or_default()))?;
        }
        writeln!(f, "request: {}", as_json(&self.request).to_json())?;
        match self.difference() {
            Some(difference) => writeln!(f, "{difference}"),
            None => writeln!(f, "(no difference once its texts are taken apart)"),
        }
    }
}
