//! What one entity would make by a declaration, part by part: for those who ask what keeps it from making a link.

use super::{Checked, Named, Slot};
use crate::ids::EntityId;
use crate::store::Store;
use crate::value::Val;

impl Checked {
    /// The stored entity that has the flag which `when` reads, and whether it is true. `None` where there is no flag, or it
    /// cannot be read.
    pub(crate) fn flag_of(&self, store: &Store, entity: EntityId) -> Option<(EntityId, bool)> {
        let path = self.when.as_ref()?;
        let holder = path.holder(store, entity).ok()??;
        Some((holder, matches!(path.read(store, holder), Some(Val::Bool(true)))))
    }

    /// What fills a slot; [`EntityId::NONE`] where the declaration does not fill it, `None` where a path to it ends.
    pub(crate) fn slot_of(&self, store: &Store, entity: EntityId, slot: usize) -> Option<EntityId> {
        match self.slots.get(slot)? {
            None => Some(EntityId::NONE),
            Some(Slot::Own) => Some(entity),
            Some(Slot::Path(path)) => match path.walk(store, entity).ok()?? {
                Val::Entity(id) => Some(id),
                _ => None,
            },
        }
    }

    /// Who names the templates; [`EntityId::NONE`] where the declaration does, `None` where a path to it ends.
    pub(crate) fn holder_of(&self, store: &Store, entity: EntityId) -> Option<EntityId> {
        match &self.template {
            Named::Fixed(_) => Some(EntityId::NONE),
            Named::Path(path) => path.holder(store, entity).ok()?,
        }
    }
}
