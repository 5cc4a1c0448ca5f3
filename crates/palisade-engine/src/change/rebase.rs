//! A new base below the same changes.

use crate::change::{Thing, Transacting};
use crate::export;
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
        for id in served.store.ids() {
            let Some(record) = served.store.record(id).filter(|record| record.layer() == Layer::Overlay) else {
                continue;
            };
            let uid = export::uid_of(&served.store, id);
            names.push(Thing::Entity.in_words(&uid.to_string()));
            edits.push(match export::entity(&served.store, id).filter(|_| record.is_present()) {
                Some(entity) => Edit::Upsert(entity),
                None => Edit::Delete(uid),
            });
        }
        for id in sorted(&served.words.policies) {
            names.push(Thing::Policy.in_words(id));
            edits.push(match served.core.policies.policy(id) {
                Some(site) => Edit::PutPolicy { id: id.to_string(), text: site.text().to_owned() },
                None => Edit::DeletePolicy(id.to_string()),
            });
        }
        for id in sorted(&served.words.links) {
            names.push(Thing::Link.in_words(id));
            edits.push(match served.core.policies.link(id) {
                Some(link) => Edit::PutLink(link.clone()),
                None => Edit::DeleteLink(id.to_string()),
            });
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
            let id = store.find(store.symbols().type_id(&uid.type_name)?, uid.id.as_bytes())?;
            export::canonical_entity(store, id)
        };
        let differs = |edit: &Edit| match edit {
            Edit::Upsert(value) => {
                let uid = value.get("uid").and_then(|uid| crate::model::request::uid_member(uid.clone(), "").ok());
                uid.is_some_and(|uid| entity(old_store, &uid) != entity(&self.store, &uid))
            }
            Edit::Delete(uid) => entity(old_store, uid) != entity(&self.store, uid),
            Edit::PutPolicy { id, .. } | Edit::DeletePolicy(id) => {
                let text = |site: Option<&crate::policies::Site>| site.map(|site| site.text().to_owned());
                text(old_rules.policy(id)) != text(new_rules.policy(id))
            }
            Edit::PutLink(link) => differ(old_rules.link(&link.link_id), new_rules.link(&link.link_id)),
            Edit::DeleteLink(id) => differ(old_rules.link(id), new_rules.link(id)),
            _ => false,
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
        _ => return None,
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
