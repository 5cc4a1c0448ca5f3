//! Changes that take away what is not there. They are no errors, so that one can be sent twice; but most often a name is
//! misspelt, and what was to be taken away still decides.

use crate::change::Place;
use crate::change::rules::RuleEdits;
use crate::model::{Diagnostic, Edit, Findings, Uid, count, hint};
use crate::policies::Policies;
use crate::site::Kind;
use crate::snapshot::Snapshot;

/// The largest set in which a near id is looked for, and how often in one transaction: each takes a walk over the set.
const MOST_SEARCHED: usize = 100_000;
const SEARCHES: usize = 5;

/// What of a transaction took nothing away.
#[derive(Debug, Default)]
pub(super) struct Idle {
    found: Findings,
    searches: usize,
    /// The first entity that was not there.
    entity: Option<Diagnostic>,
    entities: usize,
}

impl Idle {
    /// Notes a change of a policy or link whose id nothing has. `edits` are the changes before it.
    pub(super) fn of_rules(&mut self, edit: &Edit, place: Place, before: &Snapshot, edits: &RuleEdits) {
        let (id, is_link, reverts) = match edit {
            Edit::DeletePolicy(id) => (id, false, false),
            Edit::RevertPolicy(id) => (id, false, true),
            Edit::DeleteLink(id) => (id, true, false),
            Edit::RevertLink(id) => (id, true, true),
            Edit::PutPolicy { .. } | Edit::PutLink(_) => return,
            Edit::Upsert(_) | Edit::Update(_) | Edit::Delete(_) | Edit::DeleteSubtree(_) | Edit::Revert(_) => return,
            Edit::Expect { .. } => return,
        };
        let (policies, base) = (&before.core.policies, &before.base_core().policies);
        let words = if is_link { &before.words.links } else { &before.words.policies };
        let is_changed = words.contains(id.as_str());
        let is_kind = |kind: Kind| matches!(kind, Kind::Link(_)) == is_link;
        let has = |known: &Policies| known.sites.get(id.as_str()).is_some_and(|site| is_kind(site.kind));
        let (serves, is_loaded) = (has(policies), has(base));
        let does_something = if reverts { is_changed } else { serves };
        if does_something || edits.has(id, is_link) {
            return;
        }
        let what = if is_link { "link" } else { "policy" };
        if serves || is_loaded {
            let message = if reverts {
                format!("no change was made to the {what} `{id}`, so reverting it changed nothing")
            } else {
                format!("the {what} `{id}` was deleted before, so this changed nothing")
            };
            self.note(place, "", || message);
            return;
        }
        let known = policies.sites.iter().filter(|(_, site)| is_kind(site.kind)).map(|(id, _)| &**id);
        let search = self.found.are_all_listed() && self.searches < SEARCHES && policies.sites.len() <= MOST_SEARCHED;
        self.searches += usize::from(search);
        let near = if search { hint(id, known) } else { String::new() };
        self.note(place, "", || format!("there is no {what} `{id}`, so this changed nothing{near}"));
    }

    fn note(&mut self, place: Place, member: &str, message: impl FnOnce() -> String) {
        self.found.add(|| Diagnostic::error(place.pointer(member), message()).warning());
    }

    /// Notes a parent or a tag that an update takes away from an entity that does not have it.
    pub(super) fn of_part(&mut self, uid: &Uid<'_>, member: &str, part: &str, place: Place) {
        self.note(place, member, || format!("`{uid}` has no {part}, so removing it changed nothing"));
    }

    /// Notes an update that has nothing but a uid.
    pub(super) fn of_empty(&mut self, uid: &Uid<'_>, place: Place) {
        self.note(place, "", || format!("the update of `{uid}` says nothing to change"));
    }

    /// Notes that an entity is reverted that no change has touched.
    pub(super) fn of_loaded(&mut self, uid: &Uid<'_>, place: Place) {
        self.note(place, "", || format!("no change was made to `{uid}`, so reverting it changed nothing"));
    }

    /// Notes a change of an entity that is not stored.
    pub(super) fn of_entity(&mut self, uid: &Uid<'_>, place: Place) {
        self.entities += 1;
        self.entity.get_or_insert_with(|| {
            let message = format!("`{uid}` is not stored, so this changed nothing");
            Diagnostic::error(place.pointer(""), message).warning()
        });
    }

    /// What the sender should know.
    pub(super) fn warnings(self) -> Vec<Diagnostic> {
        let Self { found, entity, entities, .. } = self;
        let (mut found, more) = found.into_parts();
        if more > 0 {
            let message = format!("and {} that changed nothing", count(more, "more change"));
            found.push(Diagnostic::error("/changes", message).warning());
        }
        if let Some(mut first) = entity {
            if entities > 1 {
                // who sends a whole list again does so on purpose
                first.message.push_str(&format!(", and neither did {}", count(entities - 1, "more change")));
            }
            found.push(first);
        }
        found
    }
}
