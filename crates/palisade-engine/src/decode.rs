//! From JSON to packed values, against the schema where there is one.
//!
//! Only plain forms are taken, those that Cedar is known to read to the same value. Everything else is
//! [`Unsure`]: Cedar's own reader then decides.

use cedar_policy_core::ast::Name;
use smallvec::SmallVec;

use crate::ext::{self, Ip};
use crate::ids::{EntityId, NameId, TypeId};
use crate::layout::{Extension, Layout, RecordTy, Ty, is_action_type};
use crate::model::Value;
use crate::store::{Draft, RecordHead, RecordParts};
use crate::value::{Cell, Packer, TooLarge, Val};

/// Not one of the plain forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsure;

impl From<TooLarge> for Unsure {
    fn from(_: TooLarge) -> Self {
        Self
    }
}

/// Gives ids to the names that values mention.
pub(crate) trait Resolver<'v> {
    /// The id of a uid whose type is known.
    ///
    /// # Errors
    /// If there is no room.
    fn uid(&mut self, ty: TypeId, id: &'v str) -> Result<EntityId, Unsure>;

    /// The type called `name`, which must be a proper name.
    ///
    /// # Errors
    /// If Cedar would not take the name.
    fn type_id(&mut self, name: &'v str) -> Result<TypeId, Unsure>;

    /// The name of a type that this resolver gave.
    fn is_type(&self, ty: TypeId, name: &str) -> bool;

    /// The id of an attribute name.
    fn attribute(&mut self, name: &'v str) -> NameId;

    /// Called for every entity that a value refers to, in the order of the text.
    fn refers_to(&mut self, _id: EntityId) {}
}

/// Whether Cedar takes `name` as the name of a type, exactly as it is written.
pub(crate) fn is_proper_type(name: &str) -> bool {
    name.parse::<Name>().is_ok_and(|parsed| parsed.to_string() == name)
}

impl<'v> Resolver<'v> for &mut Draft {
    fn uid(&mut self, ty: TypeId, id: &str) -> Result<EntityId, Unsure> {
        Ok(Draft::uid(self, ty, id.as_bytes())?)
    }

    fn type_id(&mut self, name: &str) -> Result<TypeId, Unsure> {
        match self.symbols().type_id(name) {
            Some(ty) => Ok(ty),
            None if is_proper_type(name) => Ok(Draft::type_id(self, name)),
            None => Err(Unsure),
        }
    }

    fn is_type(&self, ty: TypeId, name: &str) -> bool {
        **self.symbols().type_name(ty) == *name
    }

    fn attribute(&mut self, name: &str) -> NameId {
        self.attribute_id(name)
    }
}

/// The type and id of `{"type": …, "id": …}`, also inside `__entity`.
pub(crate) fn uid_parts<'v>(value: &'v Value<'_>) -> Option<(&'v str, &'v str)> {
    match value.as_object()? {
        [(key, inner)] if key == "__entity" => match inner.as_object()? {
            [_, _] => type_and_id(inner),
            _ => None,
        },
        [_, _] => type_and_id(value),
        _ => None,
    }
}

fn type_and_id<'v>(value: &'v Value<'_>) -> Option<(&'v str, &'v str)> {
    let mut parts = (None, None);
    for (key, member) in value.as_object()? {
        match key.as_ref() {
            "type" => parts.0 = member.as_str(),
            "id" => parts.1 = member.as_str(),
            _ => return None,
        }
    }
    parts.0.zip(parts.1)
}

/// The constructor and argument of `{"__extn": {"fn": …, "arg": …}}`.
fn call_parts<'v>(value: &'v Value<'_>, implicit: bool) -> Option<(&'v str, &'v str)> {
    let call = match value.as_object()? {
        [(key, inner)] if key == "__extn" => inner,
        [_, _] if implicit => value,
        _ => return None,
    };
    let mut parts = (None, None);
    for (key, member) in call.as_object()? {
        match key.as_ref() {
            "fn" => parts.0 = member.as_str(),
            "arg" => parts.1 = member.as_str(),
            _ => return None,
        }
    }
    parts.0.zip(parts.1)
}

/// The value of an explicit call. Cedar writes a `datetime` that no text spells as an `offset` from one that does.
fn explicit_call(value: &Value<'_>) -> Option<Val<'static>> {
    if let Some((function, text)) = call_parts(value, false) {
        return construct(Extension::of_constructor(function)?, text);
    }
    let [(key, call)] = value.as_object()? else { return None };
    let ("__extn", [_, _], Some("offset"), Some([start, length])) =
        (key.as_ref(), call.as_object()?, call.get("fn")?.as_str(), call.get("args")?.as_array())
    else {
        return None;
    };
    match (explicit_call(start)?, explicit_call(length)?) {
        (Val::Datetime(start), Val::Duration(length)) => start.checked_add(length).map(Val::Datetime),
        _ => None,
    }
}

/// Whether a constructor of that name plainly takes the text, so that Cedar does.
pub(crate) fn constructs(constructor: &str, text: &str) -> bool {
    Extension::of_constructor(constructor).and_then(|extension| construct(extension, text)).is_some()
}

fn construct(extension: Extension, text: &str) -> Option<Val<'static>> {
    match extension {
        Extension::Decimal => ext::parse_decimal(text).map(Val::Decimal),
        Extension::Ip => Ip::parse(text).map(Val::Ip),
        Extension::Datetime => ext::parse_datetime(text).map(Val::Datetime),
        Extension::Duration => ext::parse_duration(text).map(Val::Duration),
    }
}

/// Reads JSON values into one packer.
#[derive(Debug)]
pub(crate) struct Decoder<'d, R> {
    /// Where values are packed.
    pub packer: &'d mut Packer,
    /// Who knows names.
    pub resolver: R,
    /// The schema, if there is one.
    pub layout: Option<&'d Layout>,
}

impl<'v, R: Resolver<'v>> Decoder<'_, R> {
    /// Reads a value of a declared type.
    ///
    /// # Errors
    /// If it is not plainly of that type. So for the other methods.
    pub(crate) fn typed(&mut self, value: &'v Value<'_>, ty: &Ty) -> Result<Cell, Unsure> {
        match (ty, value) {
            (Ty::Bool, Value::Bool(b)) => Ok(self.packer.value(Val::Bool(*b))?),
            (Ty::Long, Value::Long(n)) => Ok(self.packer.value(Val::Long(*n))?),
            (Ty::Text, Value::String(text)) => Ok(self.packer.text(text.as_bytes())?),
            (Ty::Set(element), Value::Array(elements)) => {
                let mut cells = SmallVec::<[Cell; 16]>::new();
                for value in elements {
                    cells.push(self.typed(value, element)?);
                }
                Ok(self.packer.set(&mut cells)?)
            }
            (Ty::Record(declared), Value::Object(_)) => {
                let mut members = SmallVec::new();
                self.members(value, declared, &mut members)?;
                Ok(self.packer.record(&mut members)?)
            }
            (Ty::Entity(ty), Value::Object(_)) => {
                let (name, id) = uid_parts(value).ok_or(Unsure)?;
                if !self.resolver.is_type(*ty, name) {
                    return Err(Unsure);
                }
                self.entity(*ty, id)
            }
            (Ty::Extension(extension), Value::String(text)) => {
                Ok(self.packer.value(construct(*extension, text).ok_or(Unsure)?)?)
            }
            (Ty::Extension(extension), Value::Object(_)) => {
                let Some((function, text)) = call_parts(value, true) else {
                    let value = explicit_call(value).filter(|_| *extension == Extension::Datetime).ok_or(Unsure)?;
                    return Ok(self.packer.value(value)?);
                };
                if Extension::of_constructor(function) != Some(*extension) {
                    return Err(Unsure);
                }
                Ok(self.packer.value(construct(*extension, text).ok_or(Unsure)?)?)
            }
            _ => Err(Unsure),
        }
    }

    fn entity(&mut self, ty: TypeId, id: &'v str) -> Result<Cell, Unsure> {
        let choices = self.layout.and_then(|layout| layout.entity_type(ty)).and_then(|ty| ty.choices.as_ref());
        if choices.is_some_and(|choices| !choices.iter().any(|choice| **choice == *id)) {
            return Err(Unsure);
        }
        let id = self.resolver.uid(ty, id)?;
        self.resolver.refers_to(id);
        Ok(self.packer.value(Val::Entity(id))?)
    }

    /// Reads the members of a declared record.
    pub(crate) fn members(
        &mut self,
        value: &'v Value<'_>,
        declared: &RecordTy,
        found: &mut SmallVec<[(NameId, Cell); 16]>,
    ) -> Result<(), Unsure> {
        let mut required = 0;
        for (key, value) in value.as_object().ok_or(Unsure)? {
            let member = declared.find(key).filter(|_| !key.starts_with("__")).ok_or(Unsure)?;
            required += usize::from(member.required);
            found.push((member.id, self.typed(value, &member.ty)?));
        }
        if required == declared.required { Ok(()) } else { Err(Unsure) }
    }

    /// Reads a value without a declaration.
    pub(crate) fn untyped(&mut self, value: &'v Value<'_>) -> Result<Cell, Unsure> {
        match value {
            Value::Bool(b) => Ok(self.packer.value(Val::Bool(*b))?),
            Value::Long(n) => Ok(self.packer.value(Val::Long(*n))?),
            Value::String(text) => Ok(self.packer.text(text.as_bytes())?),
            Value::Null | Value::Number(_) => Err(Unsure),
            Value::Array(elements) => {
                let mut cells = SmallVec::<[Cell; 16]>::new();
                for value in elements {
                    cells.push(self.untyped(value)?);
                }
                Ok(self.packer.set(&mut cells)?)
            }
            Value::Object(members) => match members.as_slice() {
                [(key, _)] if key == "__entity" => {
                    let (name, id) = uid_parts(value).ok_or(Unsure)?;
                    let ty = self.resolver.type_id(name)?;
                    self.entity(ty, id)
                }
                [(key, _)] if key == "__extn" => Ok(self.packer.value(explicit_call(value).ok_or(Unsure)?)?),
                _ => {
                    let mut found = SmallVec::new();
                    self.untyped_members(value, &mut found)?;
                    Ok(self.packer.record(&mut found)?)
                }
            },
        }
    }

    /// Reads the members of a record without a declaration.
    pub(crate) fn untyped_members(
        &mut self,
        value: &'v Value<'_>,
        found: &mut SmallVec<[(NameId, Cell); 16]>,
    ) -> Result<(), Unsure> {
        for (key, value) in value.as_object().ok_or(Unsure)? {
            if key.starts_with("__") {
                return Err(Unsure);
            }
            let cell = self.untyped(value)?;
            found.push((self.resolver.attribute(key), cell));
        }
        Ok(())
    }

    /// Reads an entity into a record. Returns its type and id.
    pub(crate) fn record(&mut self, value: &'v Value<'_>) -> Result<(TypeId, &'v str), Unsure> {
        let (mut uid, mut attributes, mut parents, mut tags) = (None, None, None, None);
        for (key, member) in value.as_object().ok_or(Unsure)? {
            match key.as_ref() {
                "uid" => uid = Some(member),
                "attrs" => attributes = Some(member),
                "parents" => parents = Some(member),
                "tags" => tags = Some(member),
                _ => return Err(Unsure),
            }
        }
        let (name, id) = uid.and_then(uid_parts).ok_or(Unsure)?;
        if is_action_type(name) {
            return Err(Unsure);
        }
        let ty = self.resolver.type_id(name)?;
        let declared = match self.layout {
            None => None,
            Some(layout) => Some(layout.entity_type(ty).filter(|declared| declared.plain).ok_or(Unsure)?),
        };
        let attributes = attributes.ok_or(Unsure)?;
        let parents = parents.and_then(Value::as_array).ok_or(Unsure)?;
        let tags = match tags {
            None => &[][..],
            Some(tags) => tags.as_object().ok_or(Unsure)?,
        };
        let mut parts = RecordParts::default();
        for parent in parents {
            let (name, id) = uid_parts(parent).ok_or(Unsure)?;
            let above = self.resolver.type_id(name)?;
            if let (Some(layout), Some(declared)) = (self.layout, declared) {
                let choices = layout.entity_type(above).ok_or(Unsure)?.choices.as_ref();
                if !layout.allows_parent(declared, above)
                    || choices.is_some_and(|choices| !choices.iter().any(|choice| **choice == *id))
                {
                    return Err(Unsure);
                }
            }
            let parent = self.resolver.uid(above, id)?;
            // a list of parents is a set; long ones are bounded by the limits, not by patience
            if parts.parents.len() > 64 || !parts.parents.contains(&parent) {
                parts.parents.push(parent);
            }
        }
        if parts.parents.len() > 64 {
            parts.parents.sort_unstable();
            parts.parents.dedup();
        }
        let count = attributes.as_object().ok_or(Unsure)?.len();
        let head = RecordHead::start(self.packer, id.as_bytes(), parts.parents.len(), count)?;
        let mut found = SmallVec::new();
        match declared {
            Some(declared) => self.members(attributes, &declared.attributes, &mut found)?,
            None => self.untyped_members(attributes, &mut found)?,
        }
        parts.attributes = found.into_vec();
        for (key, value) in tags {
            let value = match declared {
                Some(declared) => self.typed(value, declared.tags.as_ref().ok_or(Unsure)?)?,
                None => self.untyped(value)?,
            };
            parts.tags.push((self.packer.text(key.as_bytes())?, value));
        }
        head.finish(self.packer, &mut parts, false)?;
        Ok((ty, id))
    }
}
