//! Names of entity types and of attributes as small integers, and which types can be above which.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::ids::{NameId, TypeId};

/// With more types than this the table of which is above which is not kept.
const MAX_RELATED: usize = 1_024;

#[derive(Debug, Clone, Default)]
struct Names {
    ids: HashMap<Arc<str>, u32, RandomState>,
    texts: Vec<Arc<str>>,
}

impl Names {
    fn intern(&mut self, text: &str) -> u32 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let (id, text) = (self.texts.len() as u32, Arc::<str>::from(text));
        self.texts.push(text.clone());
        self.ids.insert(text, id);
        id
    }
}

/// The symbols of a store. They only grow: an id means the same in every later store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Symbols {
    types: Names,
    attributes: Names,
    /// For each type a bit set of the types that its parents, their parents and so on have had.
    above: Vec<Vec<u64>>,
}

impl Symbols {
    /// The id of a type.
    #[inline]
    pub(crate) fn type_id(&self, name: &str) -> Option<TypeId> {
        self.types.ids.get(name).copied().map(TypeId::from_raw)
    }

    /// The name of a type.
    pub(crate) fn type_name(&self, id: TypeId) -> &Arc<str> {
        &self.types.texts[id.index()]
    }

    /// The id of an attribute name.
    #[inline]
    pub(crate) fn attribute_id(&self, name: &str) -> Option<NameId> {
        self.attributes.ids.get(name).copied().map(NameId::from_raw)
    }

    /// An attribute name.
    pub(crate) fn attribute_name(&self, id: NameId) -> Option<&Arc<str>> {
        self.attributes.texts.get(id.index())
    }

    /// Whether an entity of type `child` may have one of type `ancestor` above it.
    #[inline]
    pub(crate) fn may_be_above(&self, child: TypeId, ancestor: TypeId) -> bool {
        if self.types.texts.len() > MAX_RELATED {
            return true;
        }
        let row = self.above.get(child.index());
        let place = ancestor.index();
        row.and_then(|row| row.get(place / 64)).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }

    /// Whether an entity of this type may have any parent.
    #[inline]
    pub(crate) fn has_above(&self, ty: TypeId) -> bool {
        self.types.texts.len() > MAX_RELATED || self.above.get(ty.index()).is_some_and(|row| !row.is_empty())
    }

    pub(super) fn intern_type(&mut self, name: &str) -> TypeId {
        TypeId::from_raw(self.types.intern(name))
    }

    pub(super) fn intern_attribute(&mut self, name: &str) -> NameId {
        NameId::from_raw(self.attributes.intern(name))
    }

    /// Notes that an entity of type `child` has a parent of type `parent`.
    pub(super) fn relate(&mut self, child: TypeId, parent: TypeId) {
        let types = self.types.texts.len();
        if types > MAX_RELATED {
            return;
        }
        self.above.resize(types, Vec::new());
        let width = types.div_ceil(64);
        let mut added = self.above.get(parent.index()).cloned().unwrap_or_default();
        added.resize(width, 0);
        added[parent.index() / 64] |= 1 << (parent.index() % 64);
        for ty in 0..types {
            let below = ty == child.index() || self.may_be_above(TypeId::from_raw(ty as u32), child);
            if below {
                let row = &mut self.above[ty];
                row.resize(width.max(row.len()), 0);
                row.iter_mut().zip(&added).for_each(|(bits, more)| *bits |= more);
            }
        }
    }
}
