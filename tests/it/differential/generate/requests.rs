//! Requests: mostly such that some policy applies, some that nothing fits.

use std::borrow::Cow;

use palisade_engine::model::{AccessRequest, Overlay, OverlayMode, Uid, Value};

use super::World;
use super::choices::Choices;
use super::entities::{Population, loosen};
use super::expressions::Theme;
use super::model::uid;
use super::policies::{ActionScope, Scope};
use super::values::{object, plain_uid, text};
use super::words;

impl World {
    /// Draws a request.
    pub(crate) fn request(&self, c: &mut Choices) -> AccessRequest<'static> {
        let people = &self.population();
        let model = &self.model;
        let hint = if c.chance(70) { c.any(&self.policies) } else { None };
        let theme = match hint {
            Some(policy) => policy.theme,
            None => {
                let action = c.below(model.actions.len());
                match &model.actions[action].applies {
                    Some((principals, resources)) => {
                        Theme { action, principal: *c.pick(principals), resource: *c.pick(resources) }
                    }
                    None => {
                        Theme { action, principal: c.below(model.types.len()), resource: c.below(model.types.len()) }
                    }
                }
            }
        };
        let action = match hint.map(|policy| &policy.action) {
            Some(ActionScope::Is(uid)) if c.chance(85) => uid.clone(),
            _ if c.chance(3) => uid(&model.actions[0].uid.type_name, "undeclared"),
            _ if c.chance(6) => c.pick(&model.actions).uid.clone(),
            _ => model.actions[theme.action].uid.clone(),
        };
        let principal = self.party(c, people, theme.principal, hint.map(|policy| &policy.principal));
        let resource = self.party(c, people, theme.resource, hint.map(|policy| &policy.resource));
        let mut request = AccessRequest::new(principal, action, resource);
        let declared = model.actions.iter().find(|action| action.uid == request.action);
        let declared = declared.map_or(&[][..], |action| &action.context);
        request.context = people.members(c, declared, model.declared);
        if c.chance(if model.declared { 5 } else { 10 }) {
            request.context = people.spoil(c, request.context);
        }
        if let Value::Object(members) = &mut request.context
            && c.chance(50)
        {
            // so that the clock goes in
            members.retain(|(key, _)| key != "now");
        }
        if c.chance(5) {
            let count = 1 + c.below(5);
            request.entities = Some(self.brought(c, people, &request, count));
        }
        if c.chance(6) {
            let count = 1 + c.below(3);
            request.additional_entities = Some(self.brought(c, people, &request, count));
        }
        if c.chance(9) {
            let mut uids = vec![request.principal.clone(), request.resource.clone(), people.any_uid(c)];
            for uid in uids.drain(c.below(3)..) {
                if !request.overlays.iter().any(|overlay| overlay.entity == uid) {
                    request.overlays.push(self.overlay(c, people, uid));
                }
            }
        }
        request
    }

    fn party(&self, c: &mut Choices, people: &Population<'_>, ty: usize, hint: Option<&Scope>) -> Uid<'static> {
        match c.below(150) {
            0..=2 => return uid(["Ghost", "App::Nobody", "User"][c.below(3)], c.pick(words::TEXTS)),
            3..=5 => return people.any_uid(c),
            6..=10 => return uid(&self.model.types[ty].name, c.pick(words::TEXTS)),
            _ => {}
        }
        let below = |c: &mut Choices, above: &Uid<'static>, type_name: Option<&str>| -> Option<Uid<'static>> {
            let fits = |uid: &Uid<'static>| type_name.is_none_or(|name| name == uid.type_name);
            let mut all: Vec<&Uid<'static>> = self
                .closure
                .iter()
                .filter(|(uid, above_it)| fits(uid) && above_it.contains(above))
                .map(|(uid, _)| uid)
                .collect();
            if fits(above) && c.chance(25) {
                all.push(above);
            }
            c.any(&all).map(|uid| (*uid).clone())
        };
        let found = match hint {
            Some(Scope::Is(uid)) if c.chance(90) => Some(uid.clone()),
            Some(Scope::In(above)) if c.chance(90) => below(c, above, None),
            Some(Scope::TypeIn(name, above)) if c.chance(90) => below(c, above, Some(name)),
            _ => None,
        };
        found.unwrap_or_else(|| people.uid_of_type(c, ty))
    }

    /// Entities that a request brings: stored ones changed or as they are, or new ones.
    fn brought(
        &self,
        c: &mut Choices,
        people: &Population<'_>,
        request: &AccessRequest<'static>,
        count: usize,
    ) -> Value<'static> {
        let mut elements: Vec<Value<'static>> = Vec::new();
        let mut seen: Vec<Uid<'static>> = Vec::new();
        for i in 0..count {
            let uid = match (i, c.below(4)) {
                (0, 0..=2) => request.principal.clone(),
                (1, 0..=2) => request.resource.clone(),
                (_, 0) => uid(&c.pick(&self.model.types).name, format!("new{}", c.below(3))),
                _ => people.any_uid(c),
            };
            if seen.contains(&uid) && !c.chance(3) {
                continue;
            }
            let Some(ty) = self.model.types.iter().position(|ty| ty.name == uid.type_name) else { continue };
            match self.entities.get(&uid) {
                Some(stored) if c.chance(40) => elements.push(stored.clone()),
                _ => {
                    let enumerated = self.model.declared && self.model.types[ty].choices.is_some();
                    // now and then above itself
                    let at = if c.chance(5) { usize::MAX } else { c.below(people.stored.len() + 1) };
                    let parents = if enumerated { Vec::new() } else { people.parents(c, ty, at) };
                    let entity = people.entity(c, ty, &uid, &parents);
                    elements.push(if c.chance(3) { people.spoil(c, entity) } else { entity });
                }
            }
            seen.push(uid);
        }
        Value::Array(elements)
    }

    fn overlay(&self, c: &mut Choices, people: &Population<'_>, entity: Uid<'static>) -> Overlay<'static> {
        let attrs = self.model.types.iter().find(|ty| ty.name == entity.type_name).map_or(&[][..], |ty| &ty.attrs);
        let mut attributes = people.members(c, attrs, false);
        if c.chance(10) {
            attributes = people.spoil(c, attributes);
            if c.chance(70) {
                attributes = loosen(attributes);
            }
        }
        let mode = if c.chance(50) { OverlayMode::Fill } else { OverlayMode::Override };
        Overlay { entity, attributes, mode }
    }
}

/// A request as the native endpoint takes it. Overlays have no place there.
pub(crate) fn as_json(request: &AccessRequest<'_>) -> Value<'static> {
    let mut members = vec![
        ("principal", plain_uid(&request.principal)),
        ("action", plain_uid(&request.action)),
        ("resource", plain_uid(&request.resource)),
        ("context", request.context.clone().into_owned()),
    ];
    if let Some(entities) = &request.entities {
        members.push(("entities", entities.clone().into_owned()));
    }
    if let Some(entities) = &request.additional_entities {
        members.push(("additional_entities", entities.clone().into_owned()));
    }
    let overlays: Vec<Value<'static>> = request
        .overlays
        .iter()
        .map(|overlay| {
            object(vec![
                ("entity", plain_uid(&overlay.entity)),
                ("attributes", overlay.attributes.clone().into_owned()),
                ("mode", text(format!("{:?}", overlay.mode))),
            ])
        })
        .collect();
    if !overlays.is_empty() {
        members.push(("overlays", Value::Array(overlays)));
    }
    Value::Object(members.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
}
