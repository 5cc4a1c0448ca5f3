//! Paths of declarations: attributes read one after the other, from an entity to one that it refers to.

use crate::broken::broken;
use crate::ids::{EntityId, NameId, TypeId};
use crate::model::hint;
use crate::schema::{SchemaModel, Type};
use crate::store::{Draft, Entity, Records};
use crate::value::Val;

/// How many attributes a path may read.
const MOST_STEPS: usize = 4;

/// A path that the schema has.
#[derive(Debug)]
pub(super) struct Path {
    /// As its author wrote it.
    pub text: String,
    /// The attributes to read.
    pub steps: Vec<Step>,
    /// What it leads to.
    pub end: Type,
}

/// An attribute to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The type of the entity that has it.
    pub holder: TypeId,
    /// Its name.
    pub attribute: NameId,
}

/// An entity on a path is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotStored(pub EntityId);

impl Path {
    /// Finds the path in the schema.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn check(text: &str, each: &str, schema: &SchemaModel, draft: &mut Draft) -> Result<Self, String> {
        let names: Vec<&str> = text.split('.').collect();
        if names.len() > MOST_STEPS {
            return Err(format!("`{text}` has {} steps, more than {MOST_STEPS}", names.len()));
        }
        let mut steps = Vec::with_capacity(names.len());
        let mut holder = each.to_owned();
        for (n, name) in names.iter().enumerate() {
            let Some(declared) = schema.entity_type(&holder) else { broken("a type that was declared") };
            let Some(member) = declared.attributes.get(*name) else {
                let near = hint(name, declared.attributes.keys().map(String::as_str));
                return Err(format!("`{text}`: `{holder}` has no attribute `{name}`{near}"));
            };
            steps.push(Step { holder: draft.type_id(&holder), attribute: draft.attribute_id(name) });
            if n + 1 == names.len() {
                return Ok(Self { text: text.to_owned(), steps, end: member.ty.clone() });
            }
            let Type::Entity(next) = &member.ty else {
                let found = words(&member.ty);
                return Err(format!(
                    "`{text}`: `{name}` of `{holder}` is {found}; a path leads through attributes that are one entity each"
                ));
            };
            holder = next.to_string();
        }
        broken("a text without a first part")
    }

    /// What it leads to from an entity; `None` where an optional attribute on it is absent.
    ///
    /// # Errors
    /// If an entity that it reads from is not stored.
    pub(super) fn walk<'r>(&self, records: &'r impl Records, from: EntityId) -> Result<Option<Val<'r>>, NotStored> {
        Ok(self.holder(records, from)?.and_then(|holder| self.read(records, holder)))
    }

    /// The stored entity whose attribute is read last; `None` where an optional attribute before it is absent.
    ///
    /// # Errors
    /// If an entity that it reads from is not stored.
    pub(super) fn holder(&self, records: &impl Records, from: EntityId) -> Result<Option<EntityId>, NotStored> {
        let mut at = from;
        let mut rest = self.steps.iter();
        loop {
            let Some(step) = rest.next() else { broken("a path without an end") };
            let stored = records.record_of(at).filter(|record: &Entity<'_>| record.is_present());
            let found = stored.ok_or(NotStored(at))?.attributes();
            if rest.len() == 0 {
                return Ok(Some(at));
            }
            match found.find(step.attribute) {
                None => return Ok(None),
                Some(Val::Entity(next)) => at = next,
                Some(_) => broken("a value that the schema does not declare"),
            }
        }
    }

    /// What the attribute is that is read last, of the entity that has it.
    pub(super) fn read<'r>(&self, records: &'r impl Records, holder: EntityId) -> Option<Val<'r>> {
        let step = self.steps.last()?;
        let stored = records.record_of(holder).filter(|record: &Entity<'_>| record.is_present());
        stored?.attributes().find(step.attribute)
    }
}

/// A type as an author reads it.
pub(super) fn words(ty: &Type) -> String {
    match ty {
        Type::Bool => "a Bool".to_owned(),
        Type::Long => "a Long".to_owned(),
        Type::String => "a String".to_owned(),
        Type::Set(element) => match &**element {
            Type::Entity(name) => format!("a Set<{name}>"),
            Type::String => "a Set<String>".to_owned(),
            _ => "a Set".to_owned(),
        },
        Type::Record(_) => "a record".to_owned(),
        Type::Entity(name) => format!("an entity of the type `{name}`"),
        Type::Extension(name) => format!("of the type `{name}`"),
        Type::Unknown => "of a type that no value has".to_owned(),
    }
}
