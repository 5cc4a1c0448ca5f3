//! Which policies Cedar's own authorizer has to see for one request, where it does not see all of them.
//!
//! Looks at every scope, one after another, and takes what is above whom from Cedar's own entities: it owes nothing to
//! the index, to the plans, or to the store's hierarchy, so that a fault of theirs is not repeated here.

use std::collections::HashSet;

use cedar_policy_core::ast::EntityUID;

use super::index::{Actions, Scope};
use crate::domain::PolicyId;
use crate::engine::snapshot::Snapshot;

/// An entity of a request and those above it.
#[derive(Debug)]
pub struct Lineage {
    own: Option<u32>,
    ty: Option<u32>,
    all: HashSet<u32>,
}

impl Lineage {
    /// Of `uid` and those `above` it. What no policy and no entity names has no id, and no scope that names it either.
    pub fn new<'u>(snapshot: &Snapshot, uid: &EntityUID, above: impl Iterator<Item = &'u EntityUID>) -> Self {
        let symbols = snapshot.store.symbols();
        let ty = |uid: &EntityUID| symbols.type_id(&uid.entity_type().to_string());
        let id = |uid: &EntityUID| snapshot.store.find(ty(uid)?, AsRef::<str>::as_ref(uid.eid()).as_bytes());
        let own = id(uid);
        Self { own, ty: ty(uid), all: above.filter_map(id).chain(own).collect() }
    }

    fn fits(&self, scope: Scope) -> bool {
        match scope {
            Scope::Any => true,
            Scope::Is(id) => self.own == Some(id),
            Scope::In(id) => self.all.contains(&id),
            Scope::Type(ty) => self.ty == Some(ty),
            Scope::TypeIn(ty, id) => self.ty == Some(ty) && self.all.contains(&id),
        }
    }
}

/// The policies whose scope holds for the three.
pub fn candidates<'s>(
    snapshot: &'s Snapshot,
    principal: &Lineage,
    action: &Lineage,
    resource: &Lineage,
) -> impl Iterator<Item = &'s PolicyId> {
    let entries = snapshot.core.compiled.entries.iter();
    let in_scope = entries.filter(|entry| {
        let scopes = &entry.scopes;
        let of_action = match &scopes.action {
            Actions::Any => true,
            Actions::Is(id) => action.own == Some(*id),
            Actions::In(ids) => ids.iter().any(|id| action.all.contains(id)),
        };
        of_action && principal.fits(scopes.principal) && resource.fits(scopes.resource)
    });
    in_scope.map(|entry| &entry.id)
}
