//! What requests have seen of policies: of each whether its scope held, and of each part of its conditions how often it held,
//! did not, or failed. The parts are those that an explanation shows; nothing is written in words here, so that many
//! requests can be counted.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::{Arc, Weak};

use cedar_policy_core::ast::{EntityUID, Expr, Policy, SlotEnv};

use super::scene::Scene;
use super::source::Source;
use super::tree::{Outline, Tree};
use crate::broken::broken;
use crate::compiled::{self, Lineage};
use crate::model::explanation::{Join, Place, Truth};
use crate::model::{AccessRequest, PolicyId, RequestError};
use crate::policies::{self};
use crate::reference;
use crate::site::Kind;
use crate::snapshot::{Core, Snapshot};

/// How often a part was seen so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// It held.
    pub held: u64,
    /// It did not.
    pub not: u64,
    /// It failed.
    pub failed: u64,
}

impl Outcomes {
    /// How many of the two that a part should have were seen: that it holds, and that it does not.
    #[must_use]
    pub fn seen(self) -> usize {
        usize::from(self.held > 0) + usize::from(self.not > 0)
    }
}

/// A part of a policy's conditions that consists of nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPart {
    /// As its author wrote it, cut where it is long.
    pub text: String,
    /// Where it stands, if that is known.
    pub place: Option<Place>,
    /// What it gave.
    pub outcomes: Outcomes,
}

/// What was seen of a policy; links count for their template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPolicy {
    /// The file or member of the bundle that it is in.
    pub file: String,
    /// Its line there, from 1, if the text is as it stands there.
    pub line: Option<usize>,
    /// How many requests were counted since it has this text.
    pub decisions: u64,
    /// How often its scope held.
    pub in_scope: u64,
    /// Its parts, in their order.
    pub parts: Vec<SeenPart>,
}

impl SeenPolicy {
    /// Outcomes that were seen of it, and all there are: that it is in scope, and that each part holds and does not.
    #[must_use]
    pub fn outcomes(&self) -> (usize, usize) {
        let of_parts: usize = self.parts.iter().map(|part| part.outcomes.seen()).sum();
        (usize::from(self.in_scope > 0) + of_parts, 1 + 2 * self.parts.len())
    }
}

/// What requests have seen of policies. States that have the same policies are counted
/// together.
#[derive(Debug, Default)]
pub struct Sightings {
    policies: BTreeMap<PolicyId, (SeenPolicy, Shape)>,
    /// How many requests were counted.
    decisions: u64,
    /// Of each policy and template the hash of its text, and how many requests had been counted when it came.
    began: HashMap<PolicyId, (u64, u64)>,
    /// The set of policies that this was noted of.
    noted: Weak<Core>,
    hasher: RandomState,
}

/// The parts of a policy, ready to be evaluated.
#[derive(Debug)]
struct Shape {
    /// What it was made of: a policy whose text is another is counted from zero.
    text: String,
    conditions: Vec<Outline>,
    scope: [Expr; 3],
}

impl Sightings {
    /// The policies and what was seen of each, by id.
    pub fn policies(&self) -> impl Iterator<Item = (&PolicyId, &SeenPolicy)> {
        self.policies.iter().map(|(id, (seen, _))| (id, seen))
    }

    /// Puts in every policy and every template that has a link, seen or not, at the places where they stand in this state, and
    /// takes out what is there no more.
    ///
    /// Recurses with the nesting of policies: the thread must have [`crate::EVALUATION_STACK_BYTES`].
    pub fn know_all(&mut self, snapshot: &Snapshot) {
        self.note(snapshot);
        let mut parsing = snapshot.parsing();
        let mut before = std::mem::take(&mut self.policies);
        for id in snapshot.one_of_each() {
            let Ok(policy) = parsing.policy(&id) else { continue };
            let text = snapshot.text_id(&id);
            let (mut seen, shape) = taken_apart(snapshot, &policy, &id);
            if let Some((known, _)) = before.remove(&text).filter(|(_, of)| of.text == shape.text) {
                count(&mut seen, &known);
            }
            seen.decisions = self.decisions - self.began.get(&text).map_or(0, |(_, at)| *at);
            self.policies.insert(text, (seen, shape));
        }
        // a template that has no link any more begins again with its next one
        for id in before.keys() {
            if let Some((_, at)) = self.began.get_mut(id) {
                *at = self.decisions;
            }
        }
    }

    /// Notes which texts are new. Looks at all of them once for each set of policies.
    fn note(&mut self, snapshot: &Snapshot) {
        // what is held weakly is there until it is let go, so another set is never at the same place
        let core = Arc::downgrade(&snapshot.core);
        if self.noted.ptr_eq(&core) {
            return;
        }
        self.noted = core;
        let sites = &snapshot.core.policies.sites;
        self.began.retain(|id, _| sites.get(id).is_some());
        for (id, site) in sites.iter().filter(|(_, site)| !matches!(site.kind, Kind::Link(_))) {
            let text = self.hasher.hash_one(site.text());
            let began = self.began.entry(id.clone()).or_insert((text, self.decisions));
            if began.0 != text {
                *began = (text, self.decisions);
            }
        }
    }

    /// Adds what others have seen of the same policies.
    pub fn add(&mut self, other: Self) {
        self.decisions += other.decisions;
        for (id, (seen, shape)) in other.policies {
            let Some((known, known_shape)) = self.policies.get_mut(&id) else {
                self.policies.insert(id, (seen, shape));
                continue;
            };
            if known_shape.text == shape.text {
                count(known, &seen);
            }
        }
    }

    /// Counts what one request sees. `now` is the sidecar's clock in milliseconds since 1970.
    ///
    /// Recurses with the nesting of policies: the thread must have [`crate::EVALUATION_STACK_BYTES`].
    ///
    /// # Errors
    /// If the request cannot be decided.
    pub fn see(&mut self, snapshot: &Snapshot, request: &AccessRequest<'_>, now: i64) -> Result<(), RequestError> {
        self.note(snapshot);
        let reached;
        let stored = match &snapshot.entities {
            Some(all) => all,
            None => {
                reached = compiled::reached(snapshot, request)?;
                &reached
            }
        };
        let entities = reference::entities(snapshot, request, stored)?;
        let (cedar_request, _, _) = reference::request(snapshot, request, now)?;
        let scene = Scene::new(snapshot, &cedar_request, &entities, request.entities.is_none());
        let lineage = |uid: Option<&cedar_policy::EntityUid>| {
            let uid = uid.unwrap_or_else(|| broken("a request without an entity"));
            let above = entities.ancestors(uid).into_iter().flatten().map(AsRef::<EntityUID>::as_ref);
            Lineage::new(snapshot, uid.as_ref(), above)
        };
        let [principal, action, resource] =
            [cedar_request.principal(), cedar_request.action(), cedar_request.resource()].map(lineage);
        let mut ids: Vec<PolicyId> =
            compiled::near(snapshot, &principal, &action, &resource).into_iter().cloned().collect();
        ids.extend(compiled::made_near(snapshot, &principal, &action, &resource));
        let mut parsing = snapshot.parsing();
        for id in ids {
            let linked = snapshot.linked(&id);
            let values = linked.as_ref().map(|linked| policies::values(&linked.link).unwrap_or_default());
            let slots: SlotEnv = values.unwrap_or_default();
            let text = linked.map_or_else(|| id.clone(), |linked| linked.template());
            let written = snapshot.known_site(&id).text();
            if self.policies.get(&text).is_none_or(|(_, shape)| shape.text != written) {
                let policy = parsing.policy(&id).map_err(RequestError::from)?;
                self.of(snapshot, &policy, &id);
            }
            let Some((seen, shape)) = self.policies.get_mut(&text) else { continue };
            let holds = |part: &Expr| scene.gives(part, &slots).truth() == Truth::True;
            if !shape.scope.iter().all(holds) {
                continue;
            }
            seen.in_scope += 1;
            let mut see = |leaf: usize, truth: Truth| {
                let Some(part) = seen.parts.get_mut(leaf) else { return };
                match truth {
                    Truth::True => part.outcomes.held += 1,
                    Truth::False => part.outcomes.not += 1,
                    Truth::Error => part.outcomes.failed += 1,
                    Truth::NotReached => {}
                }
            };
            for condition in &shape.conditions {
                if truth(condition, &scene, &slots, &mut see) != Truth::True {
                    break;
                }
            }
        }
        self.decisions += 1;
        Ok(())
    }

    /// Puts in the policy or template of an id, if it is not there.
    fn of(&mut self, snapshot: &Snapshot, policy: &Policy, id: &PolicyId) {
        let text = snapshot.text_id(id);
        if self.policies.get(&text).is_none_or(|(_, shape)| shape.text != snapshot.known_site(id).text()) {
            self.policies.insert(text, taken_apart(snapshot, policy, id));
        }
    }
}

/// A policy of which nothing was seen.
fn taken_apart(snapshot: &Snapshot, policy: &Policy, id: &PolicyId) -> (SeenPolicy, Shape) {
    let site = snapshot.known_site(id);
    let masks = Vec::new();
    let tree = Tree::new(policy, Source::new(site), &masks);
    let mut parts = Vec::new();
    let conditions = tree.outlines(&mut |text, place| {
        parts.push(SeenPart { text, place, outcomes: Outcomes::default() });
        parts.len() - 1
    });
    let (file, line) = (site.origin.to_string(), tree.source().line().or(site.line));
    let scope = tree.scope().map(|part| part.condition);
    (
        SeenPolicy { file, line, decisions: 0, in_scope: 0, parts },
        Shape { text: site.text().to_owned(), conditions, scope },
    )
}

/// Adds what was seen of a policy of the same text.
fn count(known: &mut SeenPolicy, seen: &SeenPolicy) {
    known.in_scope += seen.in_scope;
    for (known, part) in known.parts.iter_mut().zip(&seen.parts) {
        known.outcomes.held += part.outcomes.held;
        known.outcomes.not += part.outcomes.not;
        known.outcomes.failed += part.outcomes.failed;
    }
}

/// What a condition gives, made of what its parts give, each of which is seen as far as evaluation goes.
fn truth(outline: &Outline, scene: &Scene<'_>, slots: &SlotEnv, see: &mut dyn FnMut(usize, Truth)) -> Truth {
    let Some(join) = outline.join else {
        let truth = scene.gives(&outline.expression, slots).truth();
        if let Some(leaf) = outline.leaf {
            see(leaf, truth);
        }
        return truth;
    };
    let mut parts = outline.parts.iter();
    match join {
        Join::Not => match parts.next().map(|part| truth(part, scene, slots, see)) {
            Some(Truth::True) => Truth::False,
            Some(Truth::False) => Truth::True,
            _ => Truth::Error,
        },
        Join::All | Join::Any => {
            let goes_on = if join == Join::All { Truth::True } else { Truth::False };
            parts.map(|part| truth(part, scene, slots, see)).find(|truth| *truth != goes_on).unwrap_or(goes_on)
        }
        Join::If => {
            let test = parts.next().map(|part| truth(part, scene, slots, see));
            let chosen = match test {
                Some(Truth::True) => parts.next(),
                Some(Truth::False) => parts.nth(1),
                _ => None,
            };
            chosen.map_or(Truth::Error, |part| truth(part, scene, slots, see))
        }
    }
}
