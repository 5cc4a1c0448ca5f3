//! The entities of a world: who there is, and who is above whom.

use std::collections::{BTreeMap, BTreeSet};

use palisade_engine::model::{Uid, Value};

use super::choices::Choices;
use super::model::{Model, uid};
use super::values::{explicit_uid, object, plain_uid, text};
use super::words;

/// Who there is. What is named need not be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Population<'m> {
    /// The types.
    pub model: &'m Model,
    /// Stored uids by the number of their type, in an order that no parent leaves: parents stand before children.
    pub stored: &'m [(usize, Uid<'static>)],
}

/// Parents by entity.
pub(crate) type Hierarchy = BTreeMap<Uid<'static>, Vec<Uid<'static>>>;

/// All entities above `uid`.
pub(crate) fn ancestors(hierarchy: &Hierarchy, uid: &Uid<'static>) -> BTreeSet<Uid<'static>> {
    let mut found = BTreeSet::new();
    let mut open = vec![uid];
    while let Some(uid) = open.pop() {
        for parent in hierarchy.get(uid).into_iter().flatten() {
            if found.insert(parent.clone()) {
                open.push(parent);
            }
        }
    }
    found
}

/// Draws who is stored.
pub(crate) fn draw(c: &mut Choices, model: &Model) -> Vec<(usize, Uid<'static>)> {
    let mut stored: Vec<(usize, Uid<'static>)> = Vec::new();
    let count = match c.weighted(&[80, 15, 5]) {
        0 => 3 + c.below(14),
        1 => c.below(3),
        _ => 40 + c.below(60),
    };
    for i in 0..count {
        let ty = c.below(model.types.len());
        let id = match &model.types[ty].choices {
            Some(choices) if model.declared => c.pick(choices).clone(),
            _ if i >= 20 || c.chance(10) => format!("{}{i}", c.pick(words::TEXTS)),
            _ => (*c.pick(words::TEXTS)).to_owned(),
        };
        let uid = uid(&model.types[ty].name, &id);
        if !stored.iter().any(|(_, known)| *known == uid) {
            stored.push((ty, uid));
        }
    }
    stored
}

impl Population<'_> {
    /// A uid of a type, probably stored.
    pub(crate) fn uid_of_type(&self, c: &mut Choices, ty: usize) -> Uid<'static> {
        let declared = &self.model.types[ty];
        if let Some(choices) = &declared.choices
            && (self.model.declared || c.chance(50))
        {
            return uid(&declared.name, c.pick(choices));
        }
        let known: Vec<&Uid<'static>> = self.stored.iter().filter(|(t, _)| *t == ty).map(|(_, uid)| uid).collect();
        match c.any(&known) {
            Some(known) if !c.chance(8) => (*known).clone(),
            _ => uid(&declared.name, c.pick(words::TEXTS)),
        }
    }

    /// Any uid of the world.
    pub(crate) fn any_uid(&self, c: &mut Choices) -> Uid<'static> {
        match c.below(12) {
            0 => c.pick(&self.model.actions).uid.clone(),
            1 => uid("Ghost", c.pick(words::TEXTS)),
            _ => {
                let ty = c.below(self.model.types.len());
                self.uid_of_type(c, ty)
            }
        }
    }

    /// Parents for the entity at `at`: of allowed types, stored before it or not stored at all.
    pub(crate) fn parents(&self, c: &mut Choices, ty: usize, at: usize) -> Vec<Uid<'static>> {
        let model = self.model;
        let mut parents: Vec<Uid<'static>> = Vec::new();
        let allowed = |above: usize| !model.declared || model.types[ty].above.contains(&above);
        let before: Vec<&Uid<'static>> = self.stored[..at.min(self.stored.len())]
            .iter()
            .filter(|(above, _)| allowed(*above))
            .map(|(_, uid)| uid)
            .collect();
        let count = match c.weighted(&[60, 25, 12, 3]) {
            0 => 1,
            1 => 2,
            2 => 0,
            _ => before.len().min(40),
        };
        for i in 0..count {
            let parent = match before.len() {
                0 => None,
                // the latest ones make chains, all of them fans
                n if count < 3 && c.chance(50) => before.get(n - 1),
                _ if count >= 3 => before.get(i),
                _ => c.any(&before),
            };
            if let Some(parent) = parent
                && !parents.contains(parent)
            {
                parents.push((*parent).clone());
            }
        }
        if c.chance(8) {
            let above =
                if model.declared { c.any(&model.types[ty].above).copied() } else { Some(c.below(model.types.len())) };
            if let Some(above) = above {
                let dangling = match &model.types[above].choices {
                    Some(choices) => uid(&model.types[above].name, c.pick(choices)),
                    None => uid(&model.types[above].name, format!("gone{}", c.below(3))),
                };
                if !parents.contains(&dangling) {
                    parents.push(dangling);
                }
            }
        }
        parents
    }

    /// One entity in Cedar's JSON form.
    pub(crate) fn entity(
        &self,
        c: &mut Choices,
        ty: usize,
        uid: &Uid<'static>,
        parents: &[Uid<'static>],
    ) -> Value<'static> {
        let declared = &self.model.types[ty];
        let typed = self.model.declared;
        let name = |c: &mut Choices, uid: &Uid<'_>| if c.chance(30) { explicit_uid(uid) } else { plain_uid(uid) };
        let mut attrs = self.members(c, &declared.attrs, typed);
        if !typed && c.chance(15) {
            attrs = loosen(self.spoil(c, attrs));
        }
        let mut members = vec![
            ("uid", name(c, uid)),
            ("attrs", attrs),
            ("parents", Value::Array(parents.iter().map(|parent| name(c, parent)).collect())),
        ];
        if let Some(ty) = &declared.tags
            && c.chance(75)
        {
            let mut tags: Vec<(&'static str, Value<'static>)> = Vec::new();
            for _ in 0..c.below(5) {
                let key = *c.pick(words::KEYS);
                if !tags.iter().any(|(known, _)| *known == key) {
                    tags.push((key, self.value(c, ty, typed)));
                }
            }
            members.push(("tags", object(tags)));
        }
        object(members)
    }

    /// All stored entities, in any order.
    pub(crate) fn entities(&self, c: &mut Choices) -> BTreeMap<Uid<'static>, Value<'static>> {
        let mut entities = BTreeMap::new();
        for (at, (ty, uid)) in self.stored.iter().enumerate() {
            let parents = if self.model.types[*ty].choices.is_some() && self.model.declared {
                Vec::new()
            } else {
                self.parents(c, *ty, at)
            };
            entities.insert(uid.clone(), self.entity(c, *ty, uid, &parents));
        }
        if !self.model.declared {
            for action in &self.model.actions {
                if c.chance(70) {
                    let parents = action.groups.iter().map(|i| plain_uid(&self.model.actions[*i].uid)).collect();
                    let attrs = if c.chance(10) { object(vec![("a", text("b"))]) } else { object(Vec::new()) };
                    let entity = object(vec![
                        ("uid", plain_uid(&action.uid)),
                        ("attrs", attrs),
                        ("parents", Value::Array(parents)),
                    ]);
                    entities.insert(action.uid.clone(), entity);
                }
            }
        }
        entities
    }
}

/// Leaves out what no bundle could hold.
pub(crate) fn loosen(value: Value<'static>) -> Value<'static> {
    fn holds(value: &Value<'_>) -> bool {
        match value {
            Value::Null | Value::Number(_) => false,
            Value::Array(elements) => elements.iter().all(holds),
            Value::Object(members) => members.iter().all(|(key, value)| !key.starts_with("__") && holds(value)),
            _ => true,
        }
    }
    match value {
        Value::Object(members) => {
            Value::Object(members.into_iter().filter(|(key, value)| !key.starts_with("__") && holds(value)).collect())
        }
        value => value,
    }
}

/// The parents that an entity's JSON names.
pub(crate) fn parents_of(entity: &Value<'_>) -> Vec<Uid<'static>> {
    let parents = entity.get("parents").and_then(Value::as_array).unwrap_or_default();
    parents
        .iter()
        .filter_map(|parent| palisade_engine::model::request::uid_member(parent.clone(), "").ok())
        .map(Uid::into_owned)
        .collect()
}

/// Who is above whom among `entities`.
pub(crate) fn hierarchy(entities: &BTreeMap<Uid<'static>, Value<'static>>) -> Hierarchy {
    entities.iter().map(|(uid, entity)| (uid.clone(), parents_of(entity))).collect()
}
