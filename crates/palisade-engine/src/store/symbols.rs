//! Names of entity types and of attributes as small integers, and which types can be above which.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

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
    pub(crate) fn type_id(&self, name: &str) -> Option<u32> {
        self.types.ids.get(name).copied()
    }

    /// The name of a type.
    pub(crate) fn type_name(&self, id: u32) -> &Arc<str> {
        &self.types.texts[id as usize]
    }

    /// The id of an attribute name.
    #[inline]
    pub(crate) fn attribute_id(&self, name: &str) -> Option<u32> {
        self.attributes.ids.get(name).copied()
    }

    /// An attribute name.
    pub(crate) fn attribute_name(&self, id: u32) -> Option<&Arc<str>> {
        self.attributes.texts.get(id as usize)
    }

    /// Whether an entity of type `child` may have one of type `ancestor` above it.
    #[inline]
    pub(crate) fn may_be_above(&self, child: u32, ancestor: u32) -> bool {
        if self.types.texts.len() > MAX_RELATED {
            return true;
        }
        let row = self.above.get(child as usize);
        row.and_then(|row| row.get(ancestor as usize / 64)).is_some_and(|bits| bits >> (ancestor % 64) & 1 == 1)
    }

    /// Whether an entity of this type may have any parent.
    #[inline]
    pub(crate) fn has_above(&self, ty: u32) -> bool {
        self.types.texts.len() > MAX_RELATED || self.above.get(ty as usize).is_some_and(|row| !row.is_empty())
    }

    pub(super) fn intern_type(&mut self, name: &str) -> u32 {
        self.types.intern(name)
    }

    pub(super) fn intern_attribute(&mut self, name: &str) -> u32 {
        self.attributes.intern(name)
    }

    /// Notes that an entity of type `child` has a parent of type `parent`.
    pub(super) fn relate(&mut self, child: u32, parent: u32) {
        let types = self.types.texts.len();
        if types > MAX_RELATED {
            return;
        }
        self.above.resize(types, Vec::new());
        let width = types.div_ceil(64);
        let mut added = self.above.get(parent as usize).cloned().unwrap_or_default();
        added.resize(width, 0);
        added[parent as usize / 64] |= 1 << (parent % 64);
        for ty in 0..types {
            let below = ty == child as usize || self.may_be_above(ty as u32, child);
            if below {
                let row = &mut self.above[ty];
                row.resize(width.max(row.len()), 0);
                row.iter_mut().zip(&added).for_each(|(bits, more)| *bits |= more);
            }
        }
    }
}
