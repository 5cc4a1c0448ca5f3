//! The schema: Cedar's own for validation, and a compact view of it for what the sidecar asks on the way.

mod faults;
#[cfg(test)]
mod faults_tests;
mod members;
mod readable;
mod references;
mod unread;
mod wholes;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{EntityTypeName, Schema, SchemaFragment};
use cedar_policy_core::validator::types as cedar;
use cedar_policy_core::validator::{ValidatorEntityTypeKind, ValidatorSchema};

use crate::guard::{self, Grammar};
use crate::model::json::without_byte_order_mark;
use crate::model::{Diagnostic, SchemaText, Uid, closest, hint};
use crate::settings::Limits;

pub(crate) use faults::place;

/// A type as the schema declares it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    /// `Bool`
    Bool,
    /// `Long`
    Long,
    /// `String`
    String,
    /// A set of one element type.
    Set(Arc<Type>),
    /// A record.
    Record(Arc<Members>),
    /// A reference to an entity of one type.
    Entity(Arc<str>),
    /// An extension type: `ipaddr`, `decimal`, `datetime` or `duration`.
    Extension(Arc<str>),
    /// Something that no value is known to have.
    Unknown,
}

/// The members of a record, or the attributes of an entity type.
pub(crate) type Members = BTreeMap<String, Member>;

/// One member of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    /// Its type.
    pub ty: Type,
    /// Whether it must be there.
    pub required: bool,
}

/// What the schema says of an entity type.
#[derive(Debug)]
pub(crate) struct EntityType {
    /// Cedar's name of it, parsed once.
    pub name: EntityTypeName,
    /// Its attributes.
    pub attributes: Members,
    /// The type of its tags, if it may have tags.
    pub tags: Option<Type>,
    /// The ids that exist, where the type is an `enum`.
    pub choices: Option<HashSet<String>>,
}

/// A schema that bundles and requests are checked against.
#[derive(Debug)]
pub(crate) struct SchemaModel {
    /// Cedar's schema.
    pub cedar: Schema,
    entity_types: HashMap<String, EntityType>,
    contexts: HashMap<(String, String), Members>,
}

impl SchemaModel {
    /// Parses the fragments and links them into one schema.
    ///
    /// # Errors
    /// Every problem found.
    pub(crate) fn build(text: &SchemaText, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        Self::read(text, limits).map_err(|found| Diagnostic::about("schema", found))
    }

    fn read(text: &SchemaText, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        guard::check_schema_size(&text.fragments).map_err(|problem| vec![problem])?;
        let parsed = text.fragments.iter().map(|(_, text)| parse_fragment(without_byte_order_mark(text), limits));
        let Some(fragments) = parsed.collect::<Option<Vec<SchemaFragment>>>() else {
            return Err(faults::of_texts(&text.fragments, limits));
        };
        let expanded: Vec<serde_json::Value> =
            fragments.iter().filter_map(|fragment| fragment.clone().to_json_value().ok()).collect();
        if expanded.len() < fragments.len() {
            return Err(vec![Diagnostic::error("schema", "a fragment cannot be written as JSON, so it is not used")]);
        }
        guard::check_expansion(&expanded, limits).map_err(|problem| vec![problem])?;
        let twice = faults::of_members(&text.fragments);
        match Schema::from_schema_fragments(fragments) {
            Ok(schema) if twice.is_empty() => Ok(Self::new(schema)),
            Ok(_) => Err(twice),
            Err(error) => Err([faults::of_all(&text.fragments, &error), twice].concat()),
        }
    }

    fn new(cedar: Schema) -> Self {
        let core: &cedar_policy_core::validator::ValidatorSchema = cedar.as_ref();
        let entity_types = core
            .entity_types()
            .map(|declared| {
                let choices = match &declared.kind {
                    ValidatorEntityTypeKind::Enum(ids) => {
                        Some(ids.iter().map(|id| AsRef::<str>::as_ref(id).to_owned()).collect())
                    }
                    _ => None,
                };
                let name = EntityTypeName::from(declared.name().clone());
                let (attributes, tags) = (members(declared.attributes()), declared.tag_type().map(convert));
                (declared.name().to_string(), EntityType { name, attributes, tags, choices })
            })
            .collect();
        let contexts = core
            .action_ids()
            .filter_map(|action| match action.context()? {
                cedar::Type::Record { attrs, .. } => {
                    let uid = action.name();
                    Some(((uid.entity_type().to_string(), AsRef::<str>::as_ref(uid.eid()).to_owned()), members(attrs)))
                }
                _ => None,
            })
            .collect();
        Self { cedar, entity_types, contexts }
    }

    /// The names of the entity types.
    pub(crate) fn entity_type_names(&self) -> impl Iterator<Item = &str> {
        self.entity_types.keys().map(String::as_str)
    }

    /// Refuses a type that it does not declare.
    pub(crate) fn check_type(&self, name: &str) -> Result<(), String> {
        if self.entity_type(name).is_some() {
            return Ok(());
        }
        let near = hint(name, self.entity_type_names());
        Err(format!("the schema declares no entity type `{name}`{near}"))
    }

    /// What the schema says of a type, if it declares it.
    #[must_use]
    pub(crate) fn entity_type(&self, name: &str) -> Option<&EntityType> {
        self.entity_types.get(name)
    }

    /// Cedar's schema inside.
    #[must_use]
    pub(crate) fn core(&self) -> &ValidatorSchema {
        self.cedar.as_ref()
    }

    /// Shows every list of members that the schema declares: attributes, and contexts.
    pub(crate) fn all_members(&self, show: &mut dyn FnMut(&Members)) {
        self.entity_types.values().map(|declared| &declared.attributes).chain(self.contexts.values()).for_each(show);
    }

    /// Shows the type of the tags of every entity type that may have some.
    pub(crate) fn all_tags(&self, show: &mut dyn FnMut(&Type)) {
        self.entity_types.values().filter_map(|declared| declared.tags.as_ref()).for_each(show);
    }

    /// The members of an action's context, if the action is declared.
    #[must_use]
    pub(crate) fn context(&self, action: &Uid<'_>) -> Option<&Members> {
        // an owned key: two short strings, only on paths that build Cedar values anyway
        self.contexts.get(&(action.type_name.to_string(), action.id.to_string()))
    }

    /// The declared action that was probably meant: with an id that is near, or in another namespace.
    #[must_use]
    pub(crate) fn near_action(&self, action: &Uid<'_>) -> Option<Uid<'_>> {
        let all = || self.contexts.keys().map(|(type_name, id)| (type_name.as_str(), id.as_str()));
        let of_type = all().filter(|(type_name, _)| *type_name == action.type_name);
        let id = closest(&action.id, of_type.map(|(_, id)| id));
        let id = id.or_else(|| closest(&action.id, all().map(|(_, id)| id)))?;
        // of the type that was named, or else the first one that has it
        let near = all().filter(|(_, other)| *other == id);
        let (type_name, id) = near.min_by_key(|(type_name, _)| (*type_name != action.type_name, *type_name))?;
        Some(Uid { type_name: type_name.into(), id: id.into() })
    }

    /// The types of principals and of resources that an action applies to, sorted, if the schema declares it.
    #[must_use]
    pub(crate) fn applies_to(&self, action: &Uid<'_>) -> Option<(Vec<String>, Vec<String>)> {
        let action = crate::cedar::entity_uid(action).ok()?;
        let sorted = |types: &mut dyn Iterator<Item = &EntityTypeName>| {
            let mut names: Vec<String> = types.map(ToString::to_string).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let principals = sorted(&mut self.cedar.principals_for_action(&action)?);
        Some((principals, sorted(&mut self.cedar.resources_for_action(&action)?)))
    }

    /// Whether a uid names one of the ids of an `enum` type.
    #[must_use]
    pub(crate) fn is_choice(&self, uid: &Uid<'_>) -> bool {
        self.entity_types
            .get(uid.type_name.as_ref())
            .and_then(|declared| declared.choices.as_ref())
            .is_some_and(|choices| choices.contains(uid.id.as_ref()))
    }
}

/// What Cedar makes of one text; nothing where something is wrong with it.
fn parse_fragment(text: &str, limits: &Limits) -> Option<SchemaFragment> {
    // nothing in Cedar's form begins like this
    if text.trim_start().starts_with('{') {
        // Cedar's reader would take the last of two equal keys
        crate::model::Value::parse(text.as_bytes()).ok()?;
        return SchemaFragment::from_json_str(text).ok();
    }
    guard::check_text("", text, Grammar::Schema, limits).ok()?;
    SchemaFragment::from_cedarschema_str(text).ok().map(|(fragment, _warnings)| fragment)
}

fn members(attributes: &cedar::Attributes) -> Members {
    attributes
        .iter()
        .map(|(name, attribute)| {
            (name.to_string(), Member { ty: convert(&attribute.attr_type), required: attribute.is_required })
        })
        .collect()
}

fn convert(ty: &cedar::Type) -> Type {
    match ty {
        cedar::Type::Bool(_) => Type::Bool,
        cedar::Type::Long => Type::Long,
        cedar::Type::String => Type::String,
        cedar::Type::Set { element_type: Some(element) } => Type::Set(Arc::new(convert(element))),
        cedar::Type::Record { attrs, .. } => Type::Record(Arc::new(members(attrs))),
        cedar::Type::Entity(cedar::EntityKind::Entity(lub)) => {
            lub.get_single_entity().map_or(Type::Unknown, |name| Type::Entity(name.to_string().into()))
        }
        cedar::Type::ExtensionType { name } => Type::Extension(name.to_string().into()),
        cedar::Type::Never | cedar::Type::Set { element_type: None } | cedar::Type::Entity(_) => Type::Unknown,
    }
}
