//! `parents` of a rule: which of an entity's parents of one type must be there, and that there is no other.
//!
//! Cedar's `in` asks what is above an entity, however far. So no expression can say that a device stands in one customer
//! alone, and in the very one that its attribute names: in a customer below that one it is "in" it too.

use std::collections::BTreeSet;

use crate::export;
use crate::ids::{EntityId, NameId, TypeId};
use crate::layout::is_action_type;
use crate::model::{DataRule, hint};
use crate::schema::{SchemaModel, Type};
use crate::store::{Draft, Store};

/// The direct parents of one type, and the attribute that names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parents {
    pub ty: TypeId,
    pub attribute: NameId,
}

/// What is wrong with the `parents` of a rule, in words. Its `each` is in the schema.
pub(super) fn problems(rule: &DataRule, schema: &SchemaModel) -> Vec<String> {
    let Some(each) = schema.entity_type(&rule.each) else { return Vec::new() };
    let one = |(ty, attribute): &(String, String)| {
        if schema.entity_type(ty).is_none() {
            let near = hint(ty, schema.entity_type_names());
            return Some(format!("`parents`: the schema declares no entity type `{ty}`{near}"));
        }
        let Some(member) = each.attributes.get(attribute) else {
            let near = hint(attribute, each.attributes.keys().map(String::as_str));
            return Some(format!("`parents`: `{}` has no attribute `{attribute}`{near}", rule.each));
        };
        let names = |found: &Type| matches!(found, Type::Entity(name) if name.to_string() == *ty);
        let fits = names(&member.ty) || matches!(&member.ty, Type::Set(element) if names(element));
        let message = || {
            format!("`parents`: `{attribute}` of `{}` is no entity of the type `{ty}`, nor a set of them", rule.each)
        };
        (!fits).then(message)
    };
    rule.parents.iter().filter_map(one).collect()
}

/// What is wrong with the `each_parent` of a rule, in words. Its `each` is in the schema.
pub(super) fn unknown_parent(rule: &DataRule, schema: &SchemaModel) -> Option<String> {
    let ty = rule.each_parent.as_deref()?;
    if is_action_type(ty) {
        return Some(format!("`each_parent: {ty}`: actions come from the schema"));
    }
    if schema.entity_type(ty).is_none() {
        let near = hint(ty, schema.entity_type_names());
        return Some(format!("`each_parent`: the schema declares no entity type `{ty}`{near}"));
    }
    let mut types = schema.core().entity_types();
    let declared = types.find(|declared| declared.name().to_string() == ty)?;
    let is_above = declared.descendants.iter().any(|below| below.to_string() == rule.each);
    (!is_above).then(|| {
        format!("`each_parent`: the schema puts no `{}` in a `{ty}`, so the rule would hold nothing", rule.each)
    })
}

impl Parents {
    /// Those of a rule without [`problems`].
    pub(super) fn of(rule: &DataRule, draft: &mut Draft) -> Vec<Self> {
        let one = |(ty, attribute): &(String, String)| Self {
            ty: draft.type_id(ty),
            attribute: draft.attribute_id(attribute),
        };
        rule.parents.iter().map(one).collect()
    }

    /// How the parents of a stored entity differ from what its attribute names, in words. An entity that names itself names
    /// no parent: nothing can be in itself.
    pub(super) fn differ(self, store: &Store, id: EntityId) -> Option<String> {
        let entity = store.entity(id)?;
        let there: BTreeSet<EntityId> = entity.parents().filter(|parent| store.type_of(*parent) == self.ty).collect();
        let mut named = BTreeSet::new();
        if let Some(value) = entity.attributes().find(self.attribute) {
            value.entities(&mut |id| {
                named.insert(id);
            });
        }
        named.remove(&id);
        if there == named {
            return None;
        }
        let list = |ids: &BTreeSet<EntityId>| {
            let mut names: Vec<String> = ids.iter().map(|id| format!("`{}`", export::uid_of(store, *id))).collect();
            // which id came first says nothing
            names.sort_unstable();
            let more = names.len().saturating_sub(3);
            names.truncate(3);
            match (names.is_empty(), more) {
                (true, _) => "none".to_owned(),
                (_, 0) => names.join(", "),
                (_, more) => format!("{} and {more} more", names.join(", ")),
            }
        };
        let symbols = store.symbols();
        let attribute = symbols.attribute_name(self.attribute).map_or("", |name| name);
        let (ty, there, named) = (symbols.type_name(self.ty), list(&there), list(&named));
        Some(format!("its parents of the type `{ty}`: {there}; `{attribute}` names: {named}"))
    }
}
