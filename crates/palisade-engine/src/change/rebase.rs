//! A new base below the same changes.

use crate::broken::broken;
use crate::change::{Thing, Transacting};
use crate::export;
use crate::ids::EntityId;
use crate::model::{Dangling, Diagnostic, Edit, PolicyId, Refused, Transaction};
use crate::shared::Set;
use crate::snapshot::Snapshot;
use crate::store::Layer;

/// What changes brought, and how much of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Entities that changes stored.
    pub entities: usize,
    /// Entities that changes deleted, and that the base has.
    pub deleted: usize,
    /// Policies and templates that changes put or deleted.
    pub policies: usize,
    /// Links that changes put or deleted.
    pub links: usize,
}

impl Overlay {
    /// Whether nothing was changed since the base was loaded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Snapshot {
    /// What changes brought since the base was loaded.
    #[must_use]
    pub fn overlay(&self) -> Overlay {
        let counts = self.store.counts();
        let (policies, links) = (self.words.policies.len(), self.words.links.len());
        Overlay { entities: counts.changed, deleted: counts.deleted, policies, links }
    }

    /// Puts the changes of `served` upon this state, which was loaded and has none. Gives the state, and the names of
    /// what is otherwise here than in the base of `served`, and hidden by a change.
    ///
    /// Recurses with the nesting of policies: call it through [`crate::on_big_stack`].
    ///
    /// # Errors
    /// If a change does not fit: what is wrong, in words that name the change.
    pub fn rebased(self, served: &Self, stop: &dyn Fn() -> bool) -> Result<(Self, Vec<String>), Vec<Diagnostic>> {
        if served.overlay().is_empty() {
            return Ok((self, Vec::new()));
        }
        let mut names = Vec::new();
        let mut edits = Vec::new();
        let is_changed =
            |id: &EntityId| served.store.record(*id).is_some_and(|record| record.layer() == Layer::Overlay);
        for id in served.store.ids().filter(is_changed) {
            names.push(Thing::Entity.in_words(&export::uid_of(&served.store, id).to_string()));
            edits.push(served.word_of_entity(id));
        }
        for id in sorted(&served.words.policies) {
            names.push(Thing::Policy.in_words(id));
            edits.push(served.word_of_policy(id));
        }
        for id in sorted(&served.words.links) {
            names.push(Thing::Link.in_words(id));
            edits.push(served.word_of_link(id));
        }
        let shadowed = self.hidden(served, &edits, &names);
        let transaction = Transaction { edits, dangling: Dangling::Keep };
        let revision = self.revision();
        let changed = self
            .transacting(&transaction, stop, true)
            .and_then(|it: Transacting<'_>| it.finish(transaction.dangling, revision));
        match changed {
            Ok(changed) => Ok((changed.snapshot, shadowed)),
            Err(refused) => Err(self.unfit(&refused, |number| names.get(number).cloned(), AT_A_LOAD)),
        }
    }

    /// What the base of `served` and this state say of something that the edits are about, where they differ.
    pub(super) fn hidden(&self, served: &Self, edits: &[Edit], names: &[String]) -> Vec<String> {
        let (old_rules, new_rules) = (&served.base_core().policies, &self.core.policies);
        let old_store = served.base.as_ref().map_or(&served.store, |base| &base.store);
        let entity = |store: &crate::store::Store, uid: &crate::model::Uid<'_>| {
            export::canonical_entity(store, store.of_uid(uid)?)
        };
        let differs = |edit: &Edit| match edit {
            Edit::Upsert(value) => {
                let uid = value.get("uid").and_then(|uid| crate::model::request::uid_member(uid.clone(), "").ok());
                uid.is_some_and(|uid| entity(old_store, &uid) != entity(&self.store, &uid))
            }
            Edit::Delete(uid) => entity(old_store, uid) != entity(&self.store, uid),
            Edit::PutPolicy { id, .. } | Edit::DeletePolicy(id) => {
                let text = |site: Option<&crate::site::Site>| site.map(|site| site.text().to_owned());
                text(old_rules.policy(id)) != text(new_rules.policy(id))
            }
            Edit::PutLink(link) => differ(old_rules.link(&link.link_id), new_rules.link(&link.link_id)),
            Edit::DeleteLink(id) => differ(old_rules.link(id), new_rules.link(id)),
            // the base counts, and is not hidden
            Edit::Revert(_) | Edit::RevertPolicy(_) | Edit::RevertLink(_) => false,
            Edit::Update(_) | Edit::DeleteSubtree(_) | Edit::Expect { .. } => broken("a change that is no last word"),
        };
        edits.iter().zip(names).filter(|(edit, _)| differs(edit)).map(|(_, name)| name.clone()).collect()
    }

    /// The problems of changes that do not fit, named by what they are about and what was loaded. `name` says what the
    /// change of a number is about, `help` what can be done.
    pub(super) fn unfit(
        &self,
        refused: &Refused,
        name: impl Fn(usize) -> Option<String>,
        help: &str,
    ) -> Vec<Diagnostic> {
        let mut origins: Vec<&str> = Vec::new();
        if let Some(schema) = &self.texts.schema {
            origins.extend(schema.fragments.iter().map(|(origin, _)| origin.as_str()));
        }
        let loaded = if origins.is_empty() { "what was loaded".to_owned() } else { origins.join(", ") };
        let told = |problem: &Diagnostic| {
            // what the schema has nothing to do with
            let loaded = match problem.part {
                "data_rule" | "broken_path" | "link" => "what was loaded",
                _ => &loaded,
            };
            let message = match change_number(problem).and_then(&name) {
                Some(name) => {
                    format!("{name}, which a change of the API brought, does not fit {loaded}: {}", problem.message)
                }
                None => format!("what changes of the API brought does not fit {loaded}: {}", problem.message),
            };
            Diagnostic { message, ..problem.clone() }.of_changes().help(help)
        };
        let found: Vec<Diagnostic> = refused.problems().iter().map(told).collect();
        if found.is_empty() { vec![crate::policies::abandoned()] } else { found }
    }
}

/// What can be done about a change that does not fit what is loaded while another state serves.
pub(super) const AT_A_LOAD: &str =
    "change it through the API so that it fits both, or take the change back with `revert`; then load again";

/// The same at a start, where no state serves that takes changes.
pub(super) const AT_A_START: &str = "start with the files as they were, take the change back with `revert`, and then load the new files; or \
     `PUT /v1/bundle` with all that should serve, which drops every change";

/// The number of the change that a problem is about.
pub(super) fn change_number(problem: &Diagnostic) -> Option<usize> {
    problem.origin.split('/').nth(2)?.parse().ok()
}

/// What a change is about, in words.
pub(super) fn thing_of(edit: &Edit) -> Option<String> {
    Some(match edit {
        Edit::Upsert(value) => {
            let uid = crate::model::request::uid_member(value.get("uid")?.clone(), "").ok()?;
            Thing::Entity.in_words(&uid.to_string())
        }
        Edit::Delete(uid) => Thing::Entity.in_words(&uid.to_string()),
        Edit::PutPolicy { id, .. } | Edit::DeletePolicy(id) => Thing::Policy.in_words(id),
        Edit::PutLink(link) => Thing::Link.in_words(&link.link_id),
        Edit::DeleteLink(id) => Thing::Link.in_words(id),
        // what is kept says what a thing is, or that it is gone
        Edit::Revert(_) | Edit::RevertPolicy(_) | Edit::RevertLink(_) => return None,
        Edit::Update(_) | Edit::DeleteSubtree(_) | Edit::Expect { .. } => return None,
    })
}

/// In the order of ids, so that problems are always listed alike.
fn sorted(words: &Set<PolicyId>) -> Vec<&PolicyId> {
    let mut sorted: Vec<&PolicyId> = words.iter().collect();
    sorted.sort_unstable();
    sorted
}

fn differ(old: Option<&crate::model::Link>, new: Option<&crate::model::Link>) -> bool {
    let parts = |link: Option<&crate::model::Link>| link.map(|link| (link.template_id.clone(), link.args.clone()));
    parts(old) != parts(new)
}
