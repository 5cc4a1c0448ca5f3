//! What a schema declares, in plain values, for those who check references to it before there is a snapshot.
//!
//! Answers "is there such a type, such an action, such a member?" and nothing else; never evaluates.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::validator::ValidatorSchema;
use cedar_policy_core::validator::types as cedar;

use crate::model::{Diagnostic, SchemaText, Uid};
use crate::schema::SchemaModel;
use crate::settings::Limits;
use crate::snapshot::Snapshot;
use crate::value::Val;

/// The names that a schema declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaFacts {
    types: BTreeMap<String, BTreeMap<String, MemberFacts>>,
    actions: BTreeMap<(String, String), ActionFacts>,
}

/// What an action applies to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionFacts {
    /// Types of principals.
    pub principals: BTreeSet<String>,
    /// Types of resources.
    pub resources: BTreeSet<String>,
    /// Members of the context.
    pub context: BTreeMap<String, MemberFacts>,
}

/// One attribute, or one member of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFacts {
    /// What it holds.
    pub kind: MemberKind,
    /// Whether it must be there.
    pub required: bool,
}

/// What a member holds, as far as a single value from a request can be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A reference to an entity of this type.
    Entity(String),
    /// `String`
    String,
    /// `Long`
    Long,
    /// `Bool`
    Bool,
    /// `ipaddr`
    Ip,
    /// Anything else.
    Other,
}

impl SchemaFacts {
    /// Reads the fragments of a schema.
    ///
    /// Recurses with the nesting of the text: call it through [`super::on_big_stack`].
    ///
    /// # Errors
    /// Every problem of the schema.
    pub fn read(text: &SchemaText, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        let model = SchemaModel::build(text, limits)?;
        let schema: &ValidatorSchema = model.cedar.as_ref();
        let types = schema.entity_types().map(|ty| (ty.name().to_string(), members(ty.attributes()))).collect();
        let actions = schema
            .action_ids()
            .map(|action| {
                let uid = action.name();
                let key = (uid.entity_type().to_string(), AsRef::<str>::as_ref(uid.eid()).to_owned());
                let context = match action.context() {
                    Some(cedar::Type::Record { attrs, .. }) => members(attrs),
                    _ => BTreeMap::new(),
                };
                let principals = action.applies_to_principals().map(ToString::to_string).collect();
                let resources = action.applies_to_resources().map(ToString::to_string).collect();
                (key, ActionFacts { principals, resources, context })
            })
            .collect();
        Ok(Self { types, actions })
    }

    /// The attributes of an entity type, if it is declared.
    #[must_use]
    pub fn attributes(&self, type_name: &str) -> Option<&BTreeMap<String, MemberFacts>> {
        self.types.get(type_name)
    }

    /// What an action applies to, if it is declared.
    #[must_use]
    pub fn action(&self, action: &Uid<'_>) -> Option<&ActionFacts> {
        self.actions.get(&(action.type_name.to_string(), action.id.to_string()))
    }

    /// The names of all entity types.
    pub fn type_names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// Type and id of every action.
    pub fn actions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.actions.keys().map(|(type_name, id)| (type_name.as_str(), id.as_str()))
    }

    /// The ids of all actions of one action type, such as `Fleet::Action`.
    pub fn action_ids<'a>(&'a self, type_name: &'a str) -> impl Iterator<Item = &'a str> {
        self.actions.keys().filter(move |(ty, _)| ty == type_name).map(|(_, id)| id.as_str())
    }

    /// The types of all actions that are called `id`, in whatever namespace.
    pub fn action_types<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        self.actions.keys().filter(move |(_, known)| known == id).map(|(ty, _)| ty.as_str())
    }
}

impl Snapshot {
    /// The entity that an attribute of a stored entity refers to; `None` if any of the three is missing.
    #[must_use]
    pub fn reference(&self, entity: &Uid<'_>, attribute: &str) -> Option<Uid<'static>> {
        let symbols = self.store.symbols();
        let id = self.store.of_uid(entity)?;
        let value = self.store.entity(id)?.attributes().find(symbols.attribute_id(attribute)?)?;
        let Val::Entity(target) = value else { return None };
        let type_name = symbols.type_name(self.store.type_of(target)).to_string();
        let id = std::str::from_utf8(self.store.record(target)?.id()).ok()?;
        Uid::new(type_name, id.to_owned()).ok()
    }
}

fn members(attributes: &cedar::Attributes) -> BTreeMap<String, MemberFacts> {
    let one = |ty: &cedar::Type| match ty {
        cedar::Type::Bool(_) => MemberKind::Bool,
        cedar::Type::Long => MemberKind::Long,
        cedar::Type::String => MemberKind::String,
        cedar::Type::ExtensionType { name } if name.to_string() == "ipaddr" => MemberKind::Ip,
        cedar::Type::Entity(cedar::EntityKind::Entity(lub)) => {
            lub.get_single_entity().map_or(MemberKind::Other, |name| MemberKind::Entity(name.to_string()))
        }
        _ => MemberKind::Other,
    };
    attributes
        .iter()
        .map(|(name, a)| (name.to_string(), MemberFacts { kind: one(&a.attr_type), required: a.is_required }))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Bundle, Document, Revision};
    use crate::{EngineSettings, Validation};

    #[test]
    fn references_of_stored_entities() {
        let text = r#"[{"uid": {"type": "U", "id": "a"}, "attrs": {"home": {"__entity": {"type": "N::C", "id": "é \""}}, "n": 1}, "parents": []}]"#;
        let entities = vec![Document::held("e", text)];
        let bundle = Bundle { entities, ..Bundle::default() };
        let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
        let revision = Revision { incarnation: 0, counter: 1 };
        let (snapshot, _) = Snapshot::build(Arc::new(bundle), &settings, revision).unwrap();
        let ask = |uid: &str, attribute: &str| snapshot.reference(&Uid::parse(uid).unwrap(), attribute);
        assert_eq!(ask(r#"U::"a""#, "home").unwrap().to_string(), r#"N::C::"é \"""#);
        for (uid, attribute) in
            [(r#"U::"a""#, "n"), (r#"U::"a""#, "no"), (r#"U::"b""#, "home"), (r#"N::C::"é \"""#, "home")]
        {
            assert_eq!(ask(uid, attribute), None, "{uid} {attribute}");
        }
    }

    #[test]
    fn says_what_is_declared() {
        let text = "namespace N { entity U = { home: C, n?: Long }; entity C; \
                    action a, b appliesTo { principal: [U], resource: [C], context: { t?: C, s: String } }; }";
        let text = SchemaText { fragments: vec![("s".to_owned(), text.to_owned())] };
        let facts = SchemaFacts::read(&text, &Limits::default()).unwrap();
        let home = &facts.attributes("N::U").unwrap()["home"];
        assert_eq!((&home.kind, home.required), (&MemberKind::Entity("N::C".to_owned()), true));
        assert!(facts.attributes("U").is_none());
        let action = facts.action(&Uid::new("N::Action", "b").unwrap()).unwrap();
        assert_eq!(action.principals, BTreeSet::from(["N::U".to_owned()]));
        assert_eq!(action.context["t"], MemberFacts { kind: MemberKind::Entity("N::C".to_owned()), required: false });
        assert_eq!(facts.action_ids("N::Action").collect::<Vec<_>>(), ["a", "b"]);
        assert!(facts.action(&Uid::new("N::Action", "c").unwrap()).is_none());
    }
}
