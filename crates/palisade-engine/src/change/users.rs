//! Who besides stored entities names the store's ids: what was loaded, and policies and links.

use std::sync::Arc;

use crate::ids::EntityId;
use crate::snapshot::{Core, Snapshot};
use crate::store::{Store, Users};

#[derive(Debug)]
struct NamedBy {
    base: Store,
    core: Arc<Core>,
}

impl Users for NamedBy {
    fn loaded(&self, id: EntityId) -> bool {
        self.base.earlier(id).is_some()
    }

    fn name(&self, id: EntityId) -> bool {
        self.core.compiled.names(id)
    }
}

impl Snapshot {
    /// Those of this state.
    pub(super) fn users(&self) -> Arc<dyn Users> {
        let base = self.base.as_ref().map_or(&self.store, |base| &base.store).clone();
        Arc::new(NamedBy { base, core: self.core.clone() })
    }
}
