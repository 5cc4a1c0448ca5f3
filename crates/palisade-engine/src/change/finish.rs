//! The end of a transaction: what its changes amount to together, and the state after them.

use crate::change::links::DataLinks;
use crate::change::{Changed, Transacting, all_well, data, kept};
use crate::export;
use crate::ids::EntityId;
use crate::load;
use crate::model::{Dangling, Diagnostic, Refused, Revision, Tally};
use crate::store::{Entity, Layer};

impl Transacting<'_> {
    /// Makes the new state of the changes, or says why there is none.
    ///
    /// INVARIANT: each step looks at what the steps before it have settled, so their order is part of what they mean:
    ///
    /// 1. What is wrong with a change alone, and the hierarchy, which every walk upwards relies on to have an end.
    /// 2. References at what is deleted. With `cascade` that deletes more entities and links, so it comes before all that asks
    ///    which there are.
    /// 3. What the data make (`derive`), of the entities as they stay: what they make beside the set of before, and which
    ///    names are new to it.
    /// 4. What was put under the id of a link that data made, now that it is known whether they still do.
    /// 5. Policies and links (`apply`), with what new names bring: the set that data may name from here on.
    /// 6. Which of the names are templates' of that set, how many links that makes, and whether one has another's id (`settle`).
    /// 7. The state, and only then the rules that its data must keep, which are asked of the state as a whole.
    ///
    /// Nothing is seen of it before all of this is done: a refusal drops the draft.
    pub(super) fn finish(mut self, dangling: Dangling, revision: Revision) -> Result<Changed, Refused> {
        if self.problems.is_empty() {
            self.check_hierarchy();
        } else {
            self.look_at_rules();
        }
        all_well(std::mem::take(&mut self.problems)).map_err(Refused::Invalid)?;
        all_well(std::mem::take(&mut self.by_hand)).map_err(Refused::Derived)?;
        if dangling != Dangling::Keep {
            self.settle_references(dangling == Dangling::Cascade, dangling == Dangling::Refuse)?;
            all_well(std::mem::take(&mut self.problems)).map_err(Refused::Invalid)?;
        }
        let from_data = self.derive()?;
        for (id, place) in std::mem::take(&mut self.put_over) {
            if self.still_made(&from_data, &id) {
                self.refuse_by_hand(id, place);
            }
        }
        all_well(std::mem::take(&mut self.by_hand)).map_err(Refused::Derived)?;
        let rules = std::mem::take(&mut self.rules);
        let kept = kept::Touched::new(&self.touched, rules.ids());
        let ruled = if rules.is_empty() && from_data.new.is_empty() {
            None
        } else {
            rules.apply(self.before, &from_data, &mut self.draft, self.keeps_deletions, self.stop)?
        };
        let (grants, tallied) = self.settle(from_data, ruled.as_ref().and_then(|ruled| ruled.set.as_ref()))?;
        let Self { before, draft, touched, idle, stop, keeps_deletions, .. } = self;
        // what kept changes amount to is reported to no one, and there may be a million
        let tells = !keeps_deletions;
        if stop() {
            return Err(Refused::GivenUp);
        }
        let (mut tally, mut entities, mut changed) = (Tally::default(), Vec::new(), ruled.is_some());
        for id in touched.keys().copied().filter(|_| tells) {
            let (old, new) = (before.store.earlier(id), draft.record(id));
            let was = old.is_some_and(Entity::is_present);
            let same_content = match (old, new.is_present()) {
                (Some(old), true) => was && old.has_content_of(new),
                (None, true) => false,
                (_, false) => !was,
            };
            let same = same_content && old.map_or(Layer::Base, Entity::layer) == new.layer();
            changed |= !same;
            if new.is_present() && !same {
                tally.upserted += 1;
            } else if was && !new.is_present() {
                tally.deleted += 1;
            }
            if !same_content {
                entities.push(export::uid_of(&draft, id));
            }
        }
        let (mut warnings, mut of_policies, mut of_links) = (idle.warnings(), Vec::new(), Vec::new());
        let mut forbids_removed = Vec::new();
        if let Some(ruled) = &ruled {
            warnings.extend(ruled.warnings.iter().cloned());
            of_policies.clone_from(&ruled.policies);
            of_links.clone_from(&ruled.links);
            forbids_removed.clone_from(&ruled.forbids_removed);
            let Tally { policies, links_added, links_removed, .. } = ruled.tally;
            tally = Tally { policies, links_added, links_removed, ..tally };
        }
        tally.links_added += tallied.added;
        tally.links_removed += tallied.removed;
        let snapshot = before.after(draft.commit(), grants, ruled, revision);
        if tells && (!snapshot.grants.is(&before.grants) || !before.has_policies_of(&snapshot)) {
            let gone = before.made_forbids_gone(&snapshot);
            if !gone.is_empty() {
                forbids_removed.extend(gone);
                forbids_removed.sort_unstable();
            }
        }
        warnings.extend(data::keep_rules(before, &snapshot, &touched, stop)?);
        Ok(Changed {
            snapshot,
            changed,
            tally,
            warnings,
            entities,
            policies: of_policies,
            links: of_links,
            forbids_removed,
            touched: kept,
        })
    }

    /// Finds what is wrong with policies and links, too, where something is wrong with entities. What is made is not used.
    fn look_at_rules(&mut self) {
        let rules = std::mem::take(&mut self.rules);
        if rules.is_empty() {
            return;
        }
        let from_data = DataLinks::as_before(self.before);
        let looked = rules.apply(self.before, &from_data, &mut self.draft, self.keeps_deletions, self.stop);
        if let Err(Refused::Invalid(found)) = looked {
            found.into_iter().for_each(|problem| self.problems.push(problem));
        }
    }

    /// Checks what the changes can have broken, and says which change did it.
    fn check_hierarchy(&mut self) {
        let present = |id: &EntityId| self.draft.record(*id).is_present();
        let written: Vec<EntityId> = self.touched.keys().copied().filter(present).collect();
        if let Err(fault) = self.draft.check_changed(&written, self.checks.limits) {
            let (at, message) = load::explain(&fault, &self.draft, self.checks.limits);
            let all = fault.entities();
            let place = self.touched.get(&at).or_else(|| all.iter().find_map(|id| self.touched.get(id)));
            let pointer = place.map_or_else(|| "/changes".to_owned(), |place| place.pointer(""));
            self.problems.push(Diagnostic::error(pointer, message));
        }
    }
}
