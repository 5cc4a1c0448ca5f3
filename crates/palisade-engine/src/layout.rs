//! The schema in the form that entities and requests are checked against: names interned, types flat.
//!
//! It says yes or nothing. What does not fit here is handed to Cedar's own reader, which accepts it after all
//! (there are rare forms that only it knows) or says what is wrong.

use std::collections::HashMap;

use cedar_policy_core::ast::{EntityType, EntityUID};
use cedar_policy_core::validator::types::{self as cedar, EntityKind, OpenTag};
use cedar_policy_core::validator::{ValidatorEntityTypeKind, ValidatorSchema};
use foldhash::fast::RandomState;

use crate::ids::{EntityId, NameId, TypeId};
use crate::store::{Draft, Store};
use crate::value::TooLarge;

/// A declared type.
#[derive(Debug, Clone)]
pub(crate) enum Ty {
    /// `Bool`
    Bool,
    /// `Long`
    Long,
    /// `String`
    Text,
    /// A set of one type.
    Set(Box<Ty>),
    /// A record.
    Record(RecordTy),
    /// An entity of a type.
    Entity(TypeId),
    /// An extension type.
    Extension(Extension),
    /// Anything else, left to Cedar.
    Unsure,
}

/// The extension types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    /// `decimal`
    Decimal,
    /// `ipaddr`
    Ip,
    /// `datetime`
    Datetime,
    /// `duration`
    Duration,
}

impl Extension {
    /// The extension that a constructor such as `ip` belongs to.
    pub(crate) fn of_constructor(name: &str) -> Option<Self> {
        match name {
            "decimal" => Some(Self::Decimal),
            "ip" => Some(Self::Ip),
            "datetime" => Some(Self::Datetime),
            "duration" => Some(Self::Duration),
            _ => None,
        }
    }

    fn of_type(name: &str) -> Option<Self> {
        if name == "ipaddr" { Some(Self::Ip) } else { Self::of_constructor(name).filter(|e| *e != Self::Ip) }
    }
}

/// The members of a record or the attributes of an entity type.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecordTy {
    /// Sorted by name.
    members: Vec<MemberTy>,
    /// How many are required.
    pub required: usize,
}

/// One member.
#[derive(Debug, Clone)]
pub(crate) struct MemberTy {
    name: Box<str>,
    /// Its interned name.
    pub id: NameId,
    /// Its type.
    pub ty: Ty,
    /// Whether it must be there.
    pub required: bool,
}

impl RecordTy {
    /// The member called `name`.
    #[inline]
    pub(crate) fn find(&self, name: &str) -> Option<&MemberTy> {
        if self.members.len() <= 8 {
            return self.members.iter().find(|member| *member.name == *name);
        }
        let i = self.members.binary_search_by(|member| (*member.name).cmp(name)).ok()?;
        self.members.get(i)
    }
}

/// A declared entity type.
#[derive(Debug)]
pub(crate) struct TypeLayout {
    /// Its attributes.
    pub attributes: RecordTy,
    /// The type of its tags, if it may have some.
    pub tags: Option<Ty>,
    /// The types that its parents may have, as a bit set.
    parents: Vec<u64>,
    /// The ids that exist, where the type is an `enum`.
    pub choices: Option<Vec<Box<str>>>,
    /// Whether entities of this type can be checked here at all.
    pub plain: bool,
}

/// A declared action.
#[derive(Debug)]
pub(crate) struct ActionLayout {
    principals: Vec<TypeId>,
    resources: Vec<TypeId>,
    /// Its context, unless only Cedar can check it.
    pub context: Option<RecordTy>,
    /// The name `now`, where the context declares it as a `datetime`.
    pub now: Option<NameId>,
}

impl ActionLayout {
    /// Whether it applies to these types.
    #[inline]
    pub(crate) fn applies(&self, principal: TypeId, resource: TypeId) -> bool {
        self.principals.contains(&principal) && self.resources.contains(&resource)
    }
}

/// The whole schema.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    types: Vec<Option<TypeLayout>>,
    actions: HashMap<EntityId, ActionLayout, RandomState>,
}

/// Whether a type is one of actions.
pub(crate) fn is_action_type(name: &str) -> bool {
    name == "Action" || name.ends_with("::Action")
}

impl Layout {
    /// Reads Cedar's schema. Interns its names and stores its actions in `draft`.
    ///
    /// # Errors
    /// If the store has no more room.
    pub(crate) fn build(schema: &ValidatorSchema, draft: &mut Draft) -> Result<Self, TooLarge> {
        let mut layout = Self::default();
        for declared in schema.entity_types() {
            let id = draft.type_id(&declared.name().to_string());
            let attributes = record(declared.attributes(), draft);
            let open = declared.open_attributes() == OpenTag::OpenAttributes;
            let choices = match &declared.kind {
                ValidatorEntityTypeKind::Enum(ids) => Some(ids.iter().map(|id| text_of(id).into()).collect()),
                _ => None,
            };
            let plain = matches!(declared.kind, ValidatorEntityTypeKind::Standard(_)) && !open;
            let tags = declared.tag_type().map(|ty| convert(ty, draft));
            let place = id.index();
            if layout.types.len() <= place {
                layout.types.resize_with(place + 1, || None);
            }
            layout.types[place] = Some(TypeLayout { attributes, tags, parents: Vec::new(), choices, plain });
        }
        for declared in schema.entity_types() {
            let above = draft.type_id(&declared.name().to_string()).index();
            for child in &declared.descendants {
                let child = draft.type_id(&child.to_string()).index();
                if let Some(Some(child)) = layout.types.get_mut(child) {
                    child.parents.resize(child.parents.len().max(above / 64 + 1), 0);
                    child.parents[above / 64] |= 1 << (above % 64);
                }
            }
        }
        for action in schema.action_ids().filter(|action| !action.is_external()) {
            let id = intern(action.name(), draft)?;
            let mut types = |types: &mut dyn Iterator<Item = &EntityType>| -> Vec<TypeId> {
                types.map(|ty| draft.type_id(&ty.to_string())).collect()
            };
            let principals = types(&mut action.applies_to_principals());
            let resources = types(&mut action.applies_to_resources());
            let context = match action.context_type() {
                Some(cedar::Type::Record { attrs, open_attributes: OpenTag::ClosedAttributes }) => {
                    Some(record(attrs, draft))
                }
                _ => None,
            };
            let now = context.as_ref().and_then(|context| context.find("now"));
            let now = now.filter(|now| matches!(now.ty, Ty::Extension(Extension::Datetime))).map(|now| now.id);
            layout.actions.insert(id, ActionLayout { principals, resources, context, now });
        }
        Ok(layout)
    }

    /// What is declared of a type.
    #[inline]
    pub(crate) fn entity_type(&self, ty: TypeId) -> Option<&TypeLayout> {
        self.types.get(ty.index())?.as_ref()
    }

    /// What is declared of an action.
    #[inline]
    pub(crate) fn action(&self, id: EntityId) -> Option<&ActionLayout> {
        self.actions.get(&id)
    }

    /// All declared actions, in order.
    pub(crate) fn actions(&self) -> Vec<EntityId> {
        let mut actions: Vec<EntityId> = self.actions.keys().copied().collect();
        actions.sort_unstable();
        actions
    }

    /// Whether an entity of type `child` may have a parent of type `parent`.
    pub(crate) fn allows_parent(&self, child: &TypeLayout, parent: TypeId) -> bool {
        child.parents.get(parent.index() / 64).is_some_and(|bits| bits >> (parent.index() % 64) & 1 == 1)
    }
}

/// The id of a Cedar uid.
///
/// # Errors
/// If the store has no more room.
pub(crate) fn intern(uid: &EntityUID, draft: &mut Draft) -> Result<EntityId, TooLarge> {
    let ty = draft.type_id(&uid.entity_type().to_string());
    draft.uid(ty, text_of(uid.eid()).as_bytes())
}

/// The same where it was named before.
pub(crate) fn known(uid: &EntityUID, store: &Store) -> Option<EntityId> {
    store.named(&uid.entity_type().to_string(), text_of(uid.eid()).as_bytes())
}

fn text_of(id: &cedar_policy_core::ast::Eid) -> &str {
    id.as_ref()
}

fn record(attributes: &cedar::Attributes, draft: &mut Draft) -> RecordTy {
    let mut members: Vec<MemberTy> = attributes
        .iter()
        .map(|(name, attribute)| MemberTy {
            name: name.as_str().into(),
            id: draft.attribute_id(name),
            ty: convert(&attribute.attr_type, draft),
            required: attribute.is_required,
        })
        .collect();
    members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let required = members.iter().filter(|member| member.required).count();
    RecordTy { members, required }
}

fn convert(ty: &cedar::Type, draft: &mut Draft) -> Ty {
    match ty {
        cedar::Type::Bool(cedar::BoolType::AnyBool) => Ty::Bool,
        cedar::Type::Long => Ty::Long,
        cedar::Type::String => Ty::Text,
        cedar::Type::Set { element_type: Some(element) } => Ty::Set(Box::new(convert(element, draft))),
        cedar::Type::Record { attrs, open_attributes: OpenTag::ClosedAttributes } => Ty::Record(record(attrs, draft)),
        cedar::Type::Entity(EntityKind::Entity(lub)) => match lub.get_single_entity() {
            Some(name) if !name.is_action() => Ty::Entity(draft.type_id(&name.to_string())),
            _ => Ty::Unsure,
        },
        cedar::Type::ExtensionType { name } => Extension::of_type(&name.to_string()).map_or(Ty::Unsure, Ty::Extension),
        _ => Ty::Unsure,
    }
}
