//! What refers to what a transaction deletes: it is refused, taken out, or deleted too.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::change::{Place, Transacting};
use crate::decode::uid_parts;
use crate::export;
use crate::ids::EntityId;
use crate::misfit::Misfits;
use crate::model::{Diagnostic, Findings, PolicyId, Refused, Uid, Value};
use crate::schema::{Members, Type};
use crate::store::Entity;

const HELP: &str = "delete or change what refers to it in the same transaction; or say `dangling`: `unlink` takes the \
                    references out, `cascade` also deletes what cannot be without, `keep` leaves them";

const CANNOT: &str = "change what refers to it in the same transaction; or say `dangling`: `cascade` deletes it too, \
                      `keep` leaves the reference";

/// What was found to refer to what is deleted.
#[derive(Default)]
struct Found(Findings);

impl Found {
    fn push(&mut self, place: Place, help: &str, message: impl FnOnce() -> String) {
        self.0.add(|| Diagnostic::error(place.pointer(""), message()).help(help));
    }

    fn finish(self) -> Result<(), Refused> {
        let count = self.0.count();
        if count == 0 {
            return Ok(());
        }
        Err(Refused::Dangling(Diagnostic::about("change", self.0.into_parts().0), count))
    }
}

impl Transacting<'_> {
    /// Deals with the references at what was deleted. `refuse` says that there must not be any, `cascade` that what
    /// cannot be without is deleted too.
    pub(super) fn settle_references(&mut self, cascade: bool, refuse: bool) -> Result<(), Refused> {
        let mut found = Found::default();
        let mut open: Vec<(EntityId, Place)> = self.touched.iter().map(|(id, place)| (*id, *place)).collect();
        // the last is taken first
        open.reverse();
        let (mut blocked, mut unlinked) = (BTreeSet::new(), Vec::new());
        while let Some((gone, place)) = open.pop() {
            if !self.is_deleted(gone) {
                continue;
            }
            if (self.stop)() {
                return Err(Refused::GivenUp);
            }
            for referrer in self.draft.referrers(gone) {
                if refuse {
                    let help = if self.is_free(referrer) { HELP } else { CANNOT };
                    found.push(place, help, || self.refers(referrer, gone));
                } else if !blocked.contains(&referrer) {
                    match self.unlink(referrer, place) {
                        Ok(true) => {}
                        Ok(false) if cascade => {
                            self.remove(referrer, place).map_err(|message| too_many(place, message))?;
                            open.push((referrer, place));
                        }
                        Ok(false) => {
                            blocked.insert(referrer);
                            let cannot = || format!("{}, which is required", self.refers(referrer, gone));
                            found.push(place, CANNOT, cannot);
                        }
                        Err(misfits) => {
                            let message = misfits.first().map(|misfit| misfit.message).unwrap_or_default();
                            return Err(too_many(place, message));
                        }
                    }
                }
            }
            // a link that data make goes with what made it
            let by_hand = |link: &&PolicyId| self.before.core.policies.link(link).is_some() && self.rules.leaves(link);
            for link in self.before.core.compiled.linked_to(gone).filter(by_hand) {
                if refuse {
                    let message = || format!("the link `{link}` names `{}`", export::uid_of(&self.draft, gone));
                    found.push(place, HELP, message);
                } else {
                    unlinked.push((link, place));
                }
            }
            let uid = export::uid_of(&self.draft, gone);
            for link in self.rules.links_to(&uid, self.before) {
                found.push(place, HELP, || format!("the link `{link}` of the same transaction names `{uid}`"));
            }
        }
        unlinked.into_iter().for_each(|(link, place)| self.rules.unlink(link, place));
        found.finish()
    }

    /// Whether the transaction deletes what was stored, so that references at it lead nowhere from then on.
    fn is_deleted(&self, id: EntityId) -> bool {
        let was = self.before.store.earlier(id).is_some_and(Entity::is_present);
        let declared = self.checks.layout.and_then(|layout| layout.entity_type(self.draft.type_of(id)));
        // the ids of an `enum` type are there, stored or not
        was && !self.draft.record(id).is_present() && declared.is_none_or(|declared| declared.choices.is_none())
    }

    fn refers(&self, referrer: EntityId, gone: EntityId) -> String {
        let (holder, gone) = (export::uid_of(&self.draft, referrer), export::uid_of(&self.draft, gone));
        let value = export::entity(&self.draft, referrer).unwrap_or(Value::Null);
        let place = path(&value, &gone).unwrap_or_default();
        format!("`{holder}` refers to `{gone}` in `{place}`")
    }

    /// Takes the references at what was deleted out of an entity. False if it cannot be without one of them.
    fn unlink(&mut self, holder: EntityId, place: Place) -> Result<bool, Misfits> {
        let Some(freed) = self.freed(holder) else { return Ok(false) };
        if freed == Value::Null {
            return Ok(true);
        }
        let id = self.read(&freed)?;
        self.write(id, place)?;
        Ok(true)
    }

    /// Whether an entity can be without the references at what was deleted.
    fn is_free(&self, holder: EntityId) -> bool {
        self.freed(holder).is_some()
    }

    /// An entity without the references at what was deleted, if it can be without them; null where it is not stored.
    fn freed(&self, holder: EntityId) -> Option<Value<'static>> {
        let Some(Value::Object(mut members)) = export::entity(&self.draft, holder) else { return Some(Value::Null) };
        let uid = export::uid_of(&self.draft, holder);
        let declared = self.checks.schema.and_then(|schema| schema.entity_type(&uid.type_name));
        let gone = |value: &Value<'_>| {
            let Some((ty, id)) = uid_parts(value) else { return false };
            let ty = self.draft.symbols().type_id(ty);
            ty.and_then(|ty| self.draft.find(ty, id.as_bytes())).is_some_and(|id| self.is_deleted(id))
        };
        for (key, member) in &mut members {
            let free = match (&**key, member) {
                ("parents", Value::Array(parents)) => {
                    parents.retain(|parent| !gone(parent));
                    true
                }
                ("attrs", attrs) => free(attrs, declared.map(|declared| Of::Members(&declared.attributes)), &gone),
                // each tag may be without
                ("tags", tags) => free(tags, declared.and_then(|declared| declared.tags.as_ref()).map(Of::Tags), &gone),
                _ => true,
            };
            if !free {
                return None;
            }
        }
        Some(Value::Object(members))
    }
}

fn too_many(place: Place, message: String) -> Refused {
    Refused::Invalid(vec![Diagnostic::error(place.pointer(""), message)])
}

/// What the schema says of a value.
#[derive(Clone, Copy)]
enum Of<'s> {
    Members(&'s Members),
    Type(&'s Type),
    /// An object of tags, each of this type.
    Tags(&'s Type),
}

/// Takes what is gone out of a value: the smallest part of it that may be missing. False if the whole must go.
///
/// Recurses with the nesting of the value, which JSON bounds.
fn free(value: &mut Value<'_>, of: Option<Of<'_>>, gone: &dyn Fn(&Value<'_>) -> bool) -> bool {
    match value {
        Value::Array(elements) => {
            let element = match of {
                Some(Of::Type(Type::Set(element))) => Some(Of::Type(element)),
                _ => None,
            };
            elements.retain_mut(|value| free(value, element, gone));
            true
        }
        Value::Object(members) => match members.as_slice() {
            [(key, _)] if key == "__entity" => !gone(value),
            [(key, _)] if key == "__extn" => true,
            _ => {
                let mut whole = true;
                members.retain_mut(|(key, value)| {
                    let (of, required) = member(of, key);
                    let kept = free(value, of, gone);
                    whole &= kept || !required;
                    kept
                });
                whole
            }
        },
        _ => true,
    }
}

/// What the schema says of a member, and whether it is required.
fn member<'s>(of: Option<Of<'s>>, key: &str) -> (Option<Of<'s>>, bool) {
    let members = match of {
        Some(Of::Members(members)) => members,
        Some(Of::Type(Type::Record(members))) => members,
        Some(Of::Tags(ty)) => return (Some(Of::Type(ty)), false),
        _ => return (None, false),
    };
    members.get(key).map_or((None, false), |member| (Some(Of::Type(&member.ty)), member.required))
}

/// Where an entity is referred to within a value, in words such as `attrs.owner`.
fn path(value: &Value<'_>, uid: &Uid<'_>) -> Option<String> {
    if uid_parts(value).is_some_and(|(ty, id)| uid.type_name == ty && uid.id == id) {
        return Some(String::new());
    }
    match value {
        Value::Array(elements) => elements.iter().find_map(|element| path(element, uid)),
        Value::Object(members) => members.iter().filter(|(key, _)| *key != "uid").find_map(|(key, member)| {
            let rest = path(member, uid)?;
            Some(if rest.is_empty() { Cow::to_string(key) } else { format!("{key}.{rest}") })
        }),
        _ => None,
    }
}
