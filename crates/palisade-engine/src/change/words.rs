//! What changes have the last word about, and the change that says again what they say.

use crate::broken::broken;
use crate::change::{Thing, gone};
use crate::export;
use crate::ids::EntityId;
use crate::model::{Diagnostic, Edit};
use crate::snapshot::Snapshot;
use crate::store::Layer;

impl Snapshot {
    /// All that changes have the last word about.
    #[must_use]
    pub fn words(&self) -> Vec<(Thing, String)> {
        let is_changed = |id: &EntityId| self.store.record(*id).is_some_and(|record| record.layer() == Layer::Overlay);
        let entities = self.store.ids().filter(is_changed);
        let entities = entities.map(|id| (Thing::Entity, export::uid_of(&self.store, id).to_string()));
        let policies = self.words.policies.iter().map(|id| (Thing::Policy, id.to_string()));
        let links = self.words.links.iter().map(|id| (Thing::Link, id.to_string()));
        entities.chain(policies).chain(links).collect()
    }

    /// The change by which another state says of a thing what this one says.
    ///
    /// # Errors
    /// If `key` names no such thing.
    pub(super) fn word_of(&self, thing: Thing, key: &str) -> Result<Edit, Vec<Diagnostic>> {
        let wrong = |what: String| vec![Diagnostic::error("changes", what)];
        Ok(match thing {
            Thing::Entity => {
                let Edit::Delete(uid) = gone(thing, key).map_err(wrong)? else { return Err(wrong(key.to_owned())) };
                // what was never named, no change had a word about
                self.store.of_uid(&uid).map_or(Edit::Revert(uid), |id| self.word_of_entity(id))
            }
            Thing::Policy => self.word_of_policy(key),
            Thing::Link => self.word_of_link(key),
        })
    }

    /// The same of an entity.
    ///
    /// INVARIANT: every id that was given out has a record, and every stored entity that a change brought can be written. Either
    /// taken for a deletion would be kept as one, and delete it at the next start.
    pub(super) fn word_of_entity(&self, id: EntityId) -> Edit {
        let Some(record) = self.store.record(id) else { broken("an entity that was changed and never named") };
        match (record.layer(), record.is_present()) {
            (Layer::Base, _) => Edit::Revert(export::uid_of(&self.store, id)),
            (Layer::Overlay, false) => Edit::Delete(export::uid_of(&self.store, id)),
            (Layer::Overlay, true) => match export::entity(&self.store, id) {
                Some(entity) => Edit::Upsert(entity),
                None => broken("an action of the schema that a change brought"),
            },
        }
    }

    /// The same of a policy or template.
    pub(super) fn word_of_policy(&self, id: &str) -> Edit {
        match self.core.policies.policy(id) {
            _ if !self.words.policies.contains(id) => Edit::RevertPolicy(id.to_owned()),
            Some(site) => Edit::PutPolicy { id: id.to_owned(), text: site.text().to_owned() },
            None => Edit::DeletePolicy(id.to_owned()),
        }
    }

    /// The same of a link.
    pub(super) fn word_of_link(&self, id: &str) -> Edit {
        match self.core.policies.link(id) {
            _ if !self.words.links.contains(id) => Edit::RevertLink(id.to_owned()),
            Some(link) => Edit::PutLink(link.clone()),
            None => Edit::DeleteLink(id.to_owned()),
        }
    }
}
