//! What was built beside the state that served is brought up to what serves now: things that were touched meanwhile are
//! taken over, which costs what was touched and not what was built.

use std::collections::HashSet;

use crate::change::rebase::AT_A_LOAD;
use crate::change::{Changed, Thing};
use crate::export;
use crate::ids::EntityId;
use crate::model::request::uid_member;
use crate::model::{Dangling, Diagnostic, Edit, Transaction, Uid};
use crate::snapshot::Snapshot;
use crate::store::references;

/// What the outcome of a transaction depends on, besides what nothing but a new base can change.
#[derive(Debug, Default)]
pub struct Footprint {
    /// The entities that its changes name, and those that it touched.
    entities: HashSet<Uid<'static>>,
    /// Those that are gone after it, or that it was to delete: what refers to them meanwhile would be dealt with.
    deleted: HashSet<Uid<'static>>,
}

impl Footprint {
    /// That of a transaction, and of what it became.
    #[must_use]
    pub fn of(transaction: &Transaction, changed: &Changed) -> Self {
        let mut footprint = Self::default();
        for edit in &transaction.edits {
            let uid = match edit {
                Edit::Upsert(value) => value.get("uid").and_then(|uid| uid_member(uid.clone(), "").ok()),
                Edit::Update(update) => Some(update.uid.clone()),
                Edit::Delete(uid) | Edit::DeleteSubtree(uid) => {
                    footprint.deleted.insert(uid.clone().into_owned());
                    Some(uid.clone())
                }
                Edit::Revert(uid) | Edit::Expect { uid, .. } => Some(uid.clone()),
                // what other changes did to policies and links meanwhile has to do with everything
                Edit::PutPolicy { .. } | Edit::DeletePolicy(_) | Edit::RevertPolicy(_) => None,
                Edit::PutLink(_) | Edit::DeleteLink(_) | Edit::RevertLink(_) => None,
            };
            footprint.entities.extend(uid.map(Uid::into_owned));
        }
        let store = &changed.snapshot.store;
        for id in &changed.touched.entities {
            let uid = export::uid_of(store, *id);
            if store.entity(*id).is_none() {
                footprint.deleted.insert(uid.clone());
            }
            footprint.entities.insert(uid);
        }
        footprint
    }
}

impl Snapshot {
    /// This state, in which changes have the last word about each of `things` as in `served`, be it none. Gives the names of
    /// those that are otherwise here than in the base of `served`, and hidden by a change, too.
    ///
    /// Recurses with the nesting of policies: call it through [`crate::on_big_stack`] if there are some.
    ///
    /// # Errors
    /// If one does not fit: what is wrong, in words that name it.
    pub fn following(
        &self,
        served: &Self,
        things: &[(Thing, String)],
        stop: &dyn Fn() -> bool,
    ) -> Result<(Self, Vec<String>), Vec<Diagnostic>> {
        let (mut edits, mut names) = (Vec::with_capacity(things.len()), Vec::with_capacity(things.len()));
        for (thing, key) in things {
            names.push(thing.in_words(key));
            edits.push(served.word_of(*thing, key)?);
        }
        let hidden = self.hidden(served, &edits, &names);
        let transaction = Transaction { edits, dangling: Dangling::Keep };
        let changed = self
            .transacting(&transaction, stop, true)
            .and_then(|transacting| transacting.finish(transaction.dangling, self.revision()));
        match changed {
            Ok(changed) => Ok((changed.snapshot, hidden)),
            Err(refused) => Err(self.unfit(&refused, |number| names.get(number).cloned(), AT_A_LOAD)),
        }
    }
}

impl Changed {
    /// How much it touched.
    #[must_use]
    pub fn touches(&self) -> usize {
        self.touched.entities.len() + self.touched.policies.len() + self.touched.links.len()
    }

    /// What it touched.
    #[must_use]
    pub fn things(&self) -> Vec<(Thing, String)> {
        let store = &self.snapshot.store;
        let entities = self.touched.entities.iter().map(|id| (Thing::Entity, export::uid_of(store, *id).to_string()));
        let policies = self.touched.policies.iter().map(|id| (Thing::Policy, id.clone()));
        let links = self.touched.links.iter().map(|id| (Thing::Link, id.clone()));
        entities.chain(policies).chain(links).collect()
    }

    /// The same upon what serves now, where other changes touched `things` since, above the same base. `None` where they
    /// may have to do with one another, so that the transaction must be made again.
    #[must_use]
    pub fn upon(
        self,
        served: &Snapshot,
        footprint: &Footprint,
        things: &[(Thing, String)],
        stop: &dyn Fn() -> bool,
    ) -> Option<Self> {
        for (thing, key) in things {
            let Ok(uid) = Uid::parse(key) else { return None };
            if *thing != Thing::Entity || footprint.entities.contains(&uid) {
                return None;
            }
        }
        let (snapshot, _) = self.snapshot.following(served, things, stop).ok()?;
        // what was touched since may be little where what is deleted is much
        let refers = |id: EntityId| {
            let found = snapshot.store.entity(id).map(references).unwrap_or_default();
            found.into_iter().any(|to| footprint.deleted.contains(&export::uid_of(&snapshot.store, to)))
        };
        let mut touched = things.iter().filter_map(|(_, key)| snapshot.store.of_uid(&Uid::parse(key).ok()?));
        if !footprint.deleted.is_empty() && touched.any(refers) {
            return None;
        }
        Some(Self { snapshot, ..self })
    }
}
