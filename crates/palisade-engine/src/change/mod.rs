//! Transactions: a new state that shares with the one before it what they do not touch.
//!
//! The base is what was loaded; the overlay is what changes brought since. Each record knows who had the last word about
//! it, and the state keeps the base beside itself, so that a change can be taken back (`revert`) and a new base can be put
//! below the same changes (`rebase.rs`). References at what is deleted are dealt with once all changes were made
//! (`dangling.rs`), policies and links after that (`rules.rs`).

mod dangling;
mod data;
mod follow;
mod idle;
mod kept;
mod links;
mod rebase;
mod rules;
mod update;
mod users;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::entities::name_of;
use crate::export;
use crate::layout::is_action_type;
use crate::load::{self, Checks};
use crate::misfit::{Misfit, Misfits, Step};
use crate::model::{Dangling, Diagnostic, Edit, PolicyId, Refused, Revision, Tally, Transaction, Uid, Value, count};
use crate::snapshot::Snapshot;
use crate::store::{Draft, Entity, Layer, Store};
use crate::value::Packer;

pub use follow::Footprint;
use idle::Idle;
pub use kept::{Thing, Told, Word, gone};
use links::DataLinks;
pub use rebase::Overlay;
use rules::RuleEdits;
pub(crate) use rules::{Ruled, RuledSet, Words};

/// How many problems are listed; the rest is counted.
const LISTED: usize = 100;

/// Bytes of packed entities that one transaction may write again. Each time the whole entity is read and checked, and it
/// may be large where the change is small.
const MOST_REWRITTEN: usize = 16 << 20;

/// How many changes lie between two looks at whether the result is still wanted.
const STRIDE: usize = 1 << 8;

/// What a transaction became.
#[derive(Debug)]
pub struct Changed {
    /// The state after it.
    pub snapshot: Snapshot,
    /// Whether anything changed: what is decided upon, or which of it is the base's.
    pub changed: bool,
    /// How much it did.
    pub tally: Tally,
    /// What the author of its policies should look at.
    pub warnings: Vec<Diagnostic>,
    /// The entities that changed.
    pub entities: Vec<Uid<'static>>,
    /// What it touched, whether that is otherwise now or not.
    touched: kept::Touched,
    /// The policies and templates that were put or removed.
    pub policies: Vec<String>,
    /// The links that were put or removed.
    pub links: Vec<String>,
    /// The policies and links that decided and forbade, and do not any more, sorted by id.
    pub forbids_removed: Vec<PolicyId>,
}

/// A transaction under way.
struct Transacting<'t> {
    before: &'t Snapshot,
    /// What was loaded.
    base: &'t Store,
    draft: Draft,
    checks: Checks<'t>,
    packer: Packer,
    problems: Problems,
    /// The entities that were written or removed, each with the change that did it first.
    touched: BTreeMap<u32, Place>,
    /// The entities that an update left as they were.
    untouched: BTreeSet<u32>,
    rules: RuleEdits,
    /// What took nothing away.
    idle: Idle,
    /// Changes by hand of links that data make.
    by_hand: Problems,
    /// Policies and links that are put under the id of a link that data made: are they to make it no more?
    put_over: Vec<(String, Place)>,
    /// How many more entities it may touch.
    room: usize,
    /// Bytes of entities that were written again after the transaction had written them.
    rewritten: usize,
    /// Whether a deletion counts though the base has nothing that it could hide.
    keeps_deletions: bool,
    stop: &'t dyn Fn() -> bool,
}

/// The change at a position, and what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    number: usize,
    name: &'static str,
}

impl Place {
    /// A JSON pointer to a member of it.
    fn pointer(self, member: &str) -> String {
        format!("/changes/{}/{}{member}", self.number, self.name)
    }

    /// Whether an origin is such a pointer, and not a file that begins with a slash.
    fn is_within(origin: &str) -> bool {
        let number = origin.strip_prefix("/changes/").and_then(|rest| rest.split_once('/'));
        number.is_some_and(|(number, _)| number.parse::<usize>().is_ok())
    }
}

#[derive(Debug, Default)]
struct Problems {
    listed: Vec<Diagnostic>,
    more: usize,
}

impl Problems {
    fn push(&mut self, problem: Diagnostic) {
        if self.listed.len() < LISTED { self.listed.push(problem) } else { self.more += 1 }
    }

    fn finish(mut self) -> Result<(), Vec<Diagnostic>> {
        if self.listed.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            self.listed.push(Diagnostic::error("/changes", format!("and {}", count(self.more, "more problem"))));
        }
        Err(Diagnostic::about("change", self.listed))
    }
}

impl Snapshot {
    /// The state after `edits`, all of them or none. Shares with this one what they do not touch; this one goes on
    /// unchanged. What refers to something that is deleted goes on referring to it.
    ///
    /// Policies among them are parsed on the calling thread: see [`Snapshot::transact`].
    ///
    /// # Errors
    /// Every problem found, its origin being a JSON pointer such as `/changes/3/upsert/attrs/x`.
    pub fn apply(&self, edits: &[Edit], revision: Revision) -> Result<Self, Vec<Diagnostic>> {
        let transaction = Transaction { edits: edits.to_vec(), dangling: Dangling::Keep };
        match self.transact(&transaction, revision, &|| false) {
            Ok(changed) => Ok(changed.snapshot),
            Err(refused) => Err(refused.problems().to_vec()),
        }
    }

    /// The state after `transaction`, given up soon after `stop` says that it is not wanted any more.
    ///
    /// Recurses with the nesting of policies: call it through [`crate::on_big_stack`] if it may have some.
    ///
    /// # Errors
    /// If it cannot be made; then all that is wrong with it.
    pub fn transact(
        &self,
        transaction: &Transaction,
        revision: Revision,
        stop: &dyn Fn() -> bool,
    ) -> Result<Changed, Refused> {
        self.transacting(transaction, stop, false)?.finish(transaction.dangling, revision)
    }

    fn transacting<'t>(
        &'t self,
        transaction: &Transaction,
        stop: &'t dyn Fn() -> bool,
        keeps_deletions: bool,
    ) -> Result<Transacting<'t>, Refused> {
        let limits = &self.core.settings.limits;
        let mut transacting = Transacting {
            before: self,
            base: self.base.as_ref().map_or(&self.store, |base| &base.store),
            // what is made of kept changes is compared with other states by ids that those have deleted
            draft: Draft::new(&self.store).reusing(self.users(), !keeps_deletions),
            checks: Checks { schema: self.core.schema.as_deref(), layout: self.core.layout.as_deref(), limits },
            packer: Packer::default(),
            problems: Problems::default(),
            touched: BTreeMap::new(),
            untouched: BTreeSet::new(),
            rules: RuleEdits::default(),
            idle: Idle::default(),
            by_hand: Problems::default(),
            put_over: Vec::new(),
            // what was kept was let in before
            room: if keeps_deletions { usize::MAX } else { limits.max_changes },
            rewritten: 0,
            keeps_deletions,
            stop,
        };
        if transaction.edits.len() > limits.max_changes && !keeps_deletions {
            let message = format!("{} changes, more than {}", transaction.edits.len(), limits.max_changes);
            let help = "send them in several transactions, or raise `limits.max_changes`";
            return Err(Refused::Invalid(vec![Diagnostic::error("/changes", message).help(help)]));
        }
        transacting.expect(&transaction.edits)?;
        for (number, edit) in transaction.edits.iter().enumerate() {
            if number.is_multiple_of(STRIDE) && stop() {
                return Err(Refused::GivenUp);
            }
            transacting.edit(edit, Place { number, name: edit.name() });
        }
        Ok(transacting)
    }
}

impl Transacting<'_> {
    /// Compares what is stored before the transaction with what it expects.
    fn expect(&mut self, edits: &[Edit]) -> Result<(), Refused> {
        let mut unmet = Problems::default();
        for (number, edit) in edits.iter().enumerate() {
            let Edit::Expect { uid, equals } = edit else { continue };
            let place = Place { number, name: edit.name() };
            // of a misspelt type nothing is ever stored
            if let Err(message) = self.check_type(uid) {
                self.problems.push(Diagnostic::error(place.pointer("/uid"), message));
                continue;
            }
            let stored = self.find(uid).and_then(|id| self.before.store.earlier(id)).filter(|it| it.is_present());
            let as_expected = match (equals, stored) {
                (None, stored) => stored.is_none(),
                (Some(value), stored) => match self.read(value) {
                    Ok(id) if self.find(uid) != Some(id) => {
                        let message = format!("`equals` is not the entity `{uid}`");
                        self.problems.push(Diagnostic::error(place.pointer("/equals/uid"), message));
                        continue;
                    }
                    Ok(_) => stored.is_some_and(|stored| stored.has_content_of(Entity::new(&self.packer.out))),
                    Err(misfits) => {
                        for misfit in misfits {
                            let pointer = place.pointer(&format!("/equals{}", misfit.pointer()));
                            self.problems.push(Diagnostic::error(pointer, misfit.message));
                        }
                        continue;
                    }
                },
            };
            if !as_expected {
                let message = match (equals, stored) {
                    (None, _) => format!("`{uid}` is stored"),
                    (Some(_), None) => format!("`{uid}` is not stored"),
                    (Some(_), Some(_)) => format!("`{uid}` is not what is expected"),
                };
                unmet.push(Diagnostic::error(place.pointer(""), message));
            }
        }
        unmet.finish().map_err(Refused::Unmet)
    }

    fn edit(&mut self, edit: &Edit, place: Place) {
        let done = match edit {
            Edit::Upsert(value) => return self.entity(value, place),
            Edit::Update(update) => self.update(update, place),
            Edit::Delete(uid) => self.delete(uid, false, place).map_err(Misfits::from),
            Edit::DeleteSubtree(uid) => self.delete(uid, true, place).map_err(Misfits::from),
            Edit::Revert(uid) => self.revert(uid, place).map_err(Misfits::from),
            Edit::Expect { .. } => Ok(()),
            of_rules => {
                match (self.derived_by(of_rules), of_rules) {
                    (Some(id), Edit::PutPolicy { .. } | Edit::PutLink(_)) => self.put_over.push((id, place)),
                    (Some(id), _) => return self.refuse_by_hand(id, place),
                    (None, _) => {}
                }
                if !self.keeps_deletions {
                    self.idle.of_rules(of_rules, place, self.before, &self.rules);
                }
                self.rules.take(of_rules, place, self.before).map_err(Misfits::from)
            }
        };
        self.note(done, place, "");
    }

    /// An entity that is upserted.
    fn entity(&mut self, value: &Value<'_>, place: Place) {
        let done = self.upsert(value, place);
        let named = if done.is_err() { name_of(value) } else { String::new() };
        self.note(done, place, &named);
    }

    /// Lists what is wrong with a change, behind the name of what it is about.
    fn note(&mut self, done: Result<(), Misfits>, place: Place, named: &str) {
        for misfit in done.err().into_iter().flatten() {
            let message = format!("{named}{}", misfit.message);
            self.problems.push(Diagnostic::error(place.pointer(&misfit.pointer()), message));
        }
    }

    fn refuse_by_hand(&mut self, id: String, place: Place) {
        let found = format!("`{id}` is a link that data make; change what it comes from");
        self.by_hand.push(Diagnostic::error(place.pointer(""), found).policy(id));
    }

    /// The id that a change is about, where it is that of a link that data make. What was kept was let in before, and may
    /// have its id from a link that was not made any more then.
    fn derived_by(&self, edit: &Edit) -> Option<String> {
        if self.keeps_deletions {
            return None;
        }
        let id = match edit {
            Edit::PutPolicy { id, .. } | Edit::DeletePolicy(id) | Edit::DeleteLink(id) | Edit::RevertLink(id) => id,
            Edit::PutLink(link) => &link.link_id,
            _ => return None,
        };
        self.before.made(id).map(|_| id.clone())
    }

    /// Reads an entity into the packer. Gives its id.
    fn read(&mut self, value: &Value<'_>) -> Result<u32, Misfits> {
        let id = load::read_one(value, self.checks, &mut self.draft, &mut self.packer)?;
        if self.draft.record(id).is_schema_action() {
            return Err(ACTIONS.to_owned().into());
        }
        let most = self.checks.limits.max_entity_bytes;
        // what is written back must be read again
        if value.weight() > most / 8 && value.to_json().to_string().len() > most {
            let message = format!("an entity of more than {most} bytes (`limits.max_entity_bytes`)");
            return Err(message.into());
        }
        Ok(id)
    }

    fn upsert(&mut self, value: &Value<'_>, place: Place) -> Result<(), Misfits> {
        let id = self.read(value)?;
        self.write(id, place)?;
        Ok(())
    }

    /// Stores the entity that was read last.
    fn write(&mut self, id: u32, place: Place) -> Result<(), String> {
        if !self.touch(id, place)? || self.untouched.contains(&id) {
            self.count_again()?;
        }
        self.draft.put(id, &self.packer.out, Layer::Overlay);
        Ok(())
    }

    /// Counts the bytes of the entity that was read last: the transaction was at it before.
    fn count_again(&mut self) -> Result<(), String> {
        self.rewritten += self.packer.out.len();
        if self.rewritten <= MOST_REWRITTEN {
            return Ok(());
        }
        let most = MOST_REWRITTEN >> 20;
        Err(format!(
            "the transaction writes large entities again and again, more than {most} MiB; put all that concerns one \
             entity into one change, or make several transactions"
        ))
    }

    fn delete(&mut self, uid: &Uid<'_>, below: bool, place: Place) -> Result<(), String> {
        let id = if self.keeps_deletions {
            let ty = self.draft.type_id(&uid.type_name);
            self.draft.uid(ty, uid.id.as_bytes()).map_err(|_| "the store is full".to_owned())?
        } else {
            self.check_type(uid)?;
            // what was never named is not there: deleting it again is no error
            let id = self.find(uid);
            if !id.is_some_and(|id| self.draft.record(id).is_present()) {
                self.idle.of_entity(uid, place);
            }
            let Some(id) = id else { return Ok(()) };
            id
        };
        if below {
            let Some(descendants) = self.draft.descendants(id, self.room) else { return Err(self.too_many()) };
            for descendant in descendants {
                self.remove(descendant, place)?;
            }
        }
        self.remove(id, place)
    }

    fn remove(&mut self, id: u32, place: Place) -> Result<(), String> {
        self.touch(id, place)?;
        let hides = self.keeps_deletions || self.base.earlier(id).is_some_and(Entity::is_present);
        self.draft.remove(id, if hides { Layer::Overlay } else { Layer::Base });
        Ok(())
    }

    fn revert(&mut self, uid: &Uid<'_>, place: Place) -> Result<(), String> {
        self.check_type(uid)?;
        let Some(id) = self.find(uid) else { return Ok(()) };
        self.touch(id, place)?;
        match self.base.earlier(id).filter(|it| it.is_present()) {
            Some(known) => self.draft.put(id, known.bytes(), Layer::Base),
            None => self.draft.remove(id, Layer::Base),
        }
        Ok(())
    }

    /// Notes that an entity is written or removed. Gives whether it was not before.
    fn touch(&mut self, id: u32, place: Place) -> Result<bool, String> {
        let Entry::Vacant(vacant) = self.touched.entry(id) else { return Ok(false) };
        let Some(room) = self.room.checked_sub(1) else { return Err(self.too_many()) };
        vacant.insert(place);
        self.room = room;
        self.draft.hold(id);
        Ok(true)
    }

    fn too_many(&self) -> String {
        let most = self.checks.limits.max_changes;
        format!("the transaction changes more than {most} entities (`limits.max_changes`); split it")
    }

    /// The id of a uid, if it was ever named.
    fn find(&self, uid: &Uid<'_>) -> Option<u32> {
        self.draft.find(self.draft.symbols().type_id(&uid.type_name)?, uid.id.as_bytes())
    }

    /// Refuses types that no entity can have.
    fn check_type(&self, uid: &Uid<'_>) -> Result<(), String> {
        let Some(schema) = self.checks.schema else { return Ok(()) };
        if is_action_type(&uid.type_name) {
            return Err(ACTIONS.to_owned());
        }
        schema.check_type(&uid.type_name)
    }

    fn finish(mut self, dangling: Dangling, revision: Revision) -> Result<Changed, Refused> {
        if self.problems.listed.is_empty() {
            self.check_hierarchy();
        } else {
            self.look_at_rules();
        }
        std::mem::take(&mut self.problems).finish().map_err(Refused::Invalid)?;
        std::mem::take(&mut self.by_hand).finish().map_err(Refused::Derived)?;
        if dangling != Dangling::Keep {
            self.settle_references(dangling == Dangling::Cascade, dangling == Dangling::Refuse)?;
            std::mem::take(&mut self.problems).finish().map_err(Refused::Invalid)?;
        }
        let from_data = self.derive()?;
        for (id, place) in std::mem::take(&mut self.put_over) {
            if self.still_made(&from_data, &id) {
                self.refuse_by_hand(id, place);
            }
        }
        std::mem::take(&mut self.by_hand).finish().map_err(Refused::Derived)?;
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
        let present = |id: &u32| self.draft.record(*id).is_present();
        let written: Vec<u32> = self.touched.keys().copied().filter(present).collect();
        if let Err(fault) = self.draft.check_changed(&written, self.checks.limits) {
            let (at, message) = load::explain(&fault, &self.draft, self.checks.limits);
            let all = fault.entities();
            let place = self.touched.get(&at).or_else(|| all.iter().find_map(|id| self.touched.get(id)));
            let pointer = place.map_or_else(|| "/changes".to_owned(), |place| place.pointer(""));
            self.problems.push(Diagnostic::error(pointer, message));
        }
    }
}

const ACTIONS: &str = "actions come from the schema and cannot be changed";

/// A misfit of a member that stands elsewhere in the change than in the entity.
fn moved(misfit: Misfit, place: Vec<Step>) -> Misfit {
    Misfit { place, ..misfit }
}
