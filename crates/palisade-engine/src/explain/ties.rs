//! Changes that a data rule ties: what says which parents an entity has also says what its attribute names, so that one cannot
//! change without the other.

use cedar_policy_core::ast::EntityUID;
use serde_json::Value as Json;

use super::edits::{Change, Target, Tied};
use super::goals::entity_json;
use super::search::Asked;
use crate::cedar;
use crate::model::Uid;
use crate::schema::Type;

/// Other places that something which must be somewhere could be moved to.
const MOST_MOVES: usize = 2;

/// A rule about the parents of one type.
struct Rule<'r> {
    code: &'r str,
    /// The type of the parents.
    ty: String,
    /// The attribute that names them.
    attribute: String,
    is_set: bool,
    required: bool,
}

/// The changes by which a change can be made, whatever rules there are: itself, or with what is tied to it.
pub(super) fn tied(asked: &Asked<'_>, change: Change) -> Vec<Change> {
    let rule = match change.entity() {
        // no rule speaks of what a request brings
        Some(entity) if asked.request.entities.is_none() => {
            of_rules(asked, entity).into_iter().find(|rule| rule.concerns(&change))
        }
        _ => None,
    };
    match rule {
        Some(rule) => rule.tie(asked, &change),
        None => vec![change],
    }
}

fn of_rules<'r>(asked: &Asked<'r>, entity: &EntityUID) -> Vec<Rule<'r>> {
    let core = &asked.snapshot.core;
    let symbols = asked.snapshot.store.symbols();
    let name = entity.entity_type().to_string();
    let declared = core.schema.as_deref().and_then(|schema| schema.entity_type(&name));
    let (Some(rules), Some(ty), Some(declared)) = (&core.rules, symbols.type_id(&name), declared) else {
        return Vec::new();
    };
    let found = rules.parents_of(ty).filter_map(|(code, ty, attribute)| {
        let attribute = symbols.attribute_name(attribute)?.to_string();
        let member = declared.attributes.get(&attribute)?;
        let (is_set, required) = (matches!(member.ty, Type::Set(_)), member.required);
        Some(Rule { code, ty: symbols.type_name(ty).to_string(), attribute, is_set, required })
    });
    found.collect()
}

impl Rule<'_> {
    fn is_of(&self, uid: &EntityUID) -> bool {
        uid.entity_type().to_string() == self.ty
    }

    /// Whether the change is of parents or of the attribute that the rule ties.
    fn concerns(&self, change: &Change) -> bool {
        match change {
            Change::AddParent(_, parent) | Change::RemoveParent(_, parent) => self.is_of(parent),
            Change::Join { group, .. } => self.is_of(group),
            Change::Set(Target::Attribute(_, path), _)
            | Change::Elements { target: Target::Attribute(_, path), .. } => *path == [self.attribute.clone()],
            _ => false,
        }
    }

    fn tie(&self, asked: &Asked<'_>, change: &Change) -> Vec<Change> {
        let Some(entity) = change.entity() else { return Vec::new() };
        let parents = asked.scene.parents(entity);
        let now: Vec<EntityUID> = parents.into_iter().filter(|parent| self.is_of(parent)).collect();
        let with = |more: &[EntityUID]| {
            let new = more.iter().filter(|uid| !now.contains(uid)).cloned();
            let kept = if self.is_set { now.as_slice() } else { &[] };
            kept.iter().cloned().chain(new).collect::<Vec<_>>()
        };
        let without = |gone: &[EntityUID]| now.iter().filter(|uid| !gone.contains(uid)).cloned().collect::<Vec<_>>();
        let after = match change {
            Change::AddParent(_, parent) => with(std::slice::from_ref(parent)),
            Change::Join { group, .. } => with(std::slice::from_ref(group)),
            Change::RemoveParent(_, parent) => without(std::slice::from_ref(parent)),
            Change::Set(_, None) => Vec::new(),
            Change::Set(_, Some(value)) => uids(value),
            Change::Elements { elements, added: true, .. } => with(&elements.iter().flat_map(uids).collect::<Vec<_>>()),
            Change::Elements { elements, .. } => without(&elements.iter().flat_map(uids).collect::<Vec<_>>()),
            _ => return Vec::new(),
        };
        if !after.is_empty() || self.is_set || !self.required {
            return vec![self.together(entity, &now, &after)];
        }
        // it must be somewhere
        let others = asked.scene.stored_of_type(&self.ty, MOST_MOVES + now.len());
        let others = others.into_iter().filter(|other| !now.contains(other)).take(MOST_MOVES);
        others.map(|other| self.together(entity, &now, &[other])).collect()
    }

    /// The change after which the entity has these parents of the type.
    fn together(&self, entity: &EntityUID, now: &[EntityUID], after: &[EntityUID]) -> Change {
        let target = Target::Attribute(entity.clone(), vec![self.attribute.clone()]);
        let new: Vec<&EntityUID> = after.iter().filter(|uid| !now.contains(uid)).collect();
        let gone: Vec<&EntityUID> = now.iter().filter(|uid| !after.contains(uid)).collect();
        let value = || Json::Array(after.iter().map(entity_json).collect());
        let elements = |of: &[&EntityUID]| of.iter().map(|uid| entity_json(uid)).collect::<Vec<_>>();
        let of_attribute = match (self.is_set, new.is_empty(), gone.is_empty(), after) {
            (true, false, true, _) => {
                Change::Elements { target, value: value(), elements: elements(&new), added: true }
            }
            (true, true, false, _) => {
                Change::Elements { target, value: value(), elements: elements(&gone), added: false }
            }
            (true, ..) => Change::Set(target, Some(value())),
            (false, _, _, [to, ..]) => Change::Set(target, Some(entity_json(to))),
            (false, ..) => Change::Set(target, None),
        };
        let mut changes = vec![of_attribute];
        changes.extend(gone.into_iter().map(|parent| Change::RemoveParent(entity.clone(), parent.clone())));
        changes.extend(new.into_iter().map(|parent| Change::AddParent(entity.clone(), parent.clone())));
        let to = after.first().filter(|_| !self.is_set && !now.is_empty());
        let to = to.map(|to| (to.clone(), self.attribute.clone()));
        Change::Together(Tied { changes, rule: self.code.to_owned(), to })
    }
}

/// The entities that a value in Cedar's JSON form names.
fn uids(value: &Json) -> Vec<EntityUID> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let one = |value: &Json| {
        let uid = value.get("__entity")?;
        let part = |name: &str| uid.get(name)?.as_str().map(str::to_owned);
        let uid = Uid::new(part("type")?, part("id")?).ok()?;
        cedar::entity_uid(&uid).ok().map(EntityUID::from)
    };
    list.iter().filter_map(one).collect()
}
