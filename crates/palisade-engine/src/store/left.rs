//! Ids that nothing names any more, and giving them out again.
//!
//! An id may be left over once its record is a mere name, no stored entity refers to it, and no policy or link names it.
//! Where a draft sees that this may be so, it lists the id, once; the record goes on being found under its uid until a
//! later draft needs an id of the type and takes it from the list. Only then it is known whether nothing names it: what
//! counts is the store that the draft began from, in which the id then means nothing. So within one
//! transaction no id means two uids, and what is compared by ids across it can be. What was loaded keeps its ids: changes
//! are taken back to it.
//!
//! All of it costs what a transaction touches; there is no pass over the store.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::draft::Draft;
use super::record::Entity;
use crate::ids::{EntityId, TypeId};
use crate::shared::List;

/// How many ids of the list a draft looks at for one that it needs. Each is looked at once for each time it was listed.
const MOST_TRIES: usize = 64;

/// For each type the ids that may be left over.
pub(super) type Left = Arc<Vec<List<EntityId>>>;

/// Who besides stored entities may name ids.
pub(crate) trait Users: fmt::Debug + Send + Sync {
    /// Whether an id was loaded.
    fn loaded(&self, id: EntityId) -> bool;
    /// Whether policies or links name it.
    fn name(&self, id: EntityId) -> bool;
}

/// What a draft knows of ids that may be left over.
#[derive(Debug)]
pub(super) struct Reuse {
    users: Arc<dyn Users>,
    /// Whether the draft takes ids from the list; else it lists them alone.
    takes: bool,
    /// Those of the list that this draft uses after all.
    held: HashSet<EntityId>,
    /// Those that policies or links named, which this draft removes.
    dropped: Vec<EntityId>,
    /// Those that its policies name, since it was asked to note them.
    noted: Vec<EntityId>,
    notes: bool,
    /// All that were noted.
    named: HashSet<EntityId>,
}

impl Draft {
    /// The same draft, which lists ids that may be left over, as `users` know. Where it `takes`, it gives them out again.
    pub(crate) fn reusing(mut self, users: Arc<dyn Users>, takes: bool) -> Self {
        let (held, dropped, noted, named) = (HashSet::new(), Vec::new(), Vec::new(), HashSet::new());
        self.reuse = Some(Reuse { users, takes, held, dropped, noted, notes: false, named });
        self
    }

    /// Keeps the uid of an id as long as the draft.
    pub(crate) fn hold(&mut self, id: EntityId) {
        if self.reuse.is_some() && self.record(id).is_left() {
            self.reuse.iter_mut().for_each(|reuse| _ = reuse.held.insert(id));
        }
    }

    /// Says that a policy or link that named an id goes.
    pub(crate) fn drop_name(&mut self, id: EntityId) {
        self.reuse.iter_mut().for_each(|reuse| reuse.dropped.push(id));
    }

    /// Notes the ids that are named from now on and were not loaded, until [`Draft::noted`].
    pub(crate) fn note_names(&mut self) {
        self.reuse.iter_mut().for_each(|reuse| reuse.notes = true);
    }

    /// The ids that were named since.
    pub(crate) fn noted(&mut self) -> Vec<EntityId> {
        let Some(reuse) = &mut self.reuse else { return Vec::new() };
        reuse.notes = false;
        std::mem::take(&mut reuse.noted)
    }

    /// An id is given out.
    pub(super) fn note(&mut self, id: EntityId) {
        self.hold(id);
        if let Some(reuse) = &mut self.reuse
            && reuse.notes
            && !reuse.users.loaded(id)
        {
            reuse.named.insert(id);
            reuse.noted.push(id);
        }
    }

    /// An id of a type that nothing named when the draft began.
    pub(super) fn take_left(&mut self, ty: TypeId) -> Option<EntityId> {
        if !self.reuse.as_ref()?.takes || self.left.get(ty.index()).is_none_or(|list| list.len() == 0) {
            return None;
        }
        for _ in 0..MOST_TRIES {
            let id = Arc::make_mut(&mut self.left).get_mut(ty.index())?.pop()?;
            self.set_left(id, false);
            if self.was_unnamed(id) {
                return Some(id);
            }
        }
        None
    }

    /// Whether nothing named an id when the draft began, and this draft has nothing to do with it.
    fn was_unnamed(&self, id: EntityId) -> bool {
        let Some(reuse) = &self.reuse else { return false };
        self.pages.before(id).is_some_and(Entity::is_mere_name)
            && self.record(id).is_mere_name()
            && !reuse.held.contains(&id)
            && self.referrers.of(id.raw()).next().is_none()
            && !reuse.users.loaded(id)
            && !reuse.users.name(id)
    }

    /// Lists what may be named by nothing after this draft: mere names on pages that it touched, what entities do not
    /// refer to any more, and what policies and links do not name any more.
    pub(super) fn list_left(&mut self) {
        let (Some(reuse), Some(edits)) = (&self.reuse, &self.referring) else { return };
        let dropped: HashSet<EntityId> = reuse.dropped.iter().copied().collect();
        let unreferred =
            edits.iter().filter(|(_, added)| !**added).map(|(pair, _)| EntityId::from_raw((pair >> 32) as u32));
        let is_new = |id: &EntityId| {
            let record = self.record(*id);
            let named = || reuse.named.contains(id) || reuse.users.name(*id) && !dropped.contains(id);
            record.is_mere_name() && !record.is_left() && !reuse.users.loaded(*id) && !named() && !self.is_referred(*id)
        };
        let mut ids: Vec<EntityId> =
            self.pages.mere_names().chain(unreferred).chain(dropped.iter().copied()).filter(is_new).collect();
        ids.sort_unstable();
        ids.dedup();
        // the last of the list is taken first
        for id in ids.into_iter().rev() {
            let ty = self.type_of(id).index();
            self.set_left(id, true);
            let lists = Arc::make_mut(&mut self.left);
            if lists.len() <= ty {
                lists.resize(ty + 1, List::default());
            }
            lists[ty].push(id);
        }
    }

    /// Whether a stored entity refers to it.
    fn is_referred(&self, id: EntityId) -> bool {
        !self.referrers(id).is_empty()
    }
}
