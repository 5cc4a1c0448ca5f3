//! Transactions: a new state that shares with the one before it what they do not touch.
//!
//! The base is what was loaded; the overlay is what changes brought since. Each record knows who had the last word about
//! it, and the state keeps the base beside itself, so that a change can be taken back (`revert`) and a new base can be put
//! below the same changes (`rebase.rs`). References at what is deleted are dealt with once all changes were made
//! (`dangling.rs`), policies and links after that (`rules.rs`).

mod dangling;
mod data;
mod finish;
mod follow;
mod idle;
mod kept;
mod links;
mod rebase;
mod rules;
mod update;
mod users;
mod words;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::ids::EntityId;
use crate::layout::is_action_type;
use crate::load::name_of;
use crate::load::{self, Checks};
use crate::misfit::{Misfit, Misfits};
use crate::model::{
    Dangling, Diagnostic, Edit, Findings, PolicyId, Refused, Revision, Step, Tally, Transaction, Uid, Value,
};
use crate::snapshot::Snapshot;
use crate::store::{Draft, Entity, Layer, Store};
use crate::value::Packer;

pub use follow::Footprint;
use idle::Idle;
pub use kept::{Thing, Told, Word, gone};
pub use rebase::Overlay;
use rules::RuleEdits;
pub(crate) use rules::{Ruled, RuledSet, Words};

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
    problems: Findings,
    /// The entities that were written or removed, each with the change that did it first.
    touched: BTreeMap<EntityId, Place>,
    /// The entities that an update left as they were.
    untouched: BTreeSet<EntityId>,
    rules: RuleEdits,
    /// What took nothing away.
    idle: Idle,
    /// Changes by hand of links that data make.
    by_hand: Findings,
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

/// All that is wrong, unless nothing is.
fn all_well(found: Findings) -> Result<(), Vec<Diagnostic>> {
    if found.is_empty() { Ok(()) } else { Err(Diagnostic::about("change", found.into_list("/changes", "problem"))) }
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
            problems: Findings::default(),
            touched: BTreeMap::new(),
            untouched: BTreeSet::new(),
            rules: RuleEdits::default(),
            idle: Idle::default(),
            by_hand: Findings::default(),
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
        let mut unmet = Findings::default();
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
        all_well(unmet).map_err(Refused::Unmet)
    }

    fn edit(&mut self, edit: &Edit, place: Place) {
        let done = match edit {
            Edit::Upsert(value) => return self.entity(value, place),
            Edit::Update(update) => self.update(update, place),
            Edit::Delete(uid) => self.delete(uid, false, place).map_err(Misfits::from),
            Edit::DeleteSubtree(uid) => self.delete(uid, true, place).map_err(Misfits::from),
            Edit::Revert(uid) => self.revert(uid, place).map_err(Misfits::from),
            Edit::Expect { .. } => Ok(()),
            Edit::PutPolicy { id, .. } => self.put_rule(edit, id, place),
            Edit::PutLink(link) => self.put_rule(edit, &link.link_id, place),
            // what data make is no policy that could be taken back
            Edit::RevertPolicy(_) => self.rule(edit, place),
            Edit::DeletePolicy(id) | Edit::DeleteLink(id) | Edit::RevertLink(id) => {
                if self.is_derived(id) {
                    return self.refuse_by_hand(id.clone(), place);
                }
                self.rule(edit, place)
            }
        };
        self.note(done, place, "");
    }

    /// A policy or link that is put. Under the id of a link that data made, it is only known at the end whether they still do.
    fn put_rule(&mut self, edit: &Edit, id: &str, place: Place) -> Result<(), Misfits> {
        if self.is_derived(id) {
            self.put_over.push((id.to_owned(), place));
        }
        self.rule(edit, place)
    }

    fn rule(&mut self, edit: &Edit, place: Place) -> Result<(), Misfits> {
        if !self.keeps_deletions {
            self.idle.of_rules(edit, place, self.before, &self.rules);
        }
        self.rules.take(edit, place, self.before).map_err(Misfits::from)
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

    /// Whether an id is that of a link that data make. What was kept was let in before, and may have its id from a link that was
    /// not made any more then.
    fn is_derived(&self, id: &str) -> bool {
        !self.keeps_deletions && self.before.makes_link(id)
    }

    /// Reads an entity into the packer. Gives its id.
    fn read(&mut self, value: &Value<'_>) -> Result<EntityId, Misfits> {
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
    fn write(&mut self, id: EntityId, place: Place) -> Result<(), String> {
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

    fn remove(&mut self, id: EntityId, place: Place) -> Result<(), String> {
        self.touch(id, place)?;
        let hides = self.keeps_deletions || self.base.earlier(id).is_some_and(Entity::is_present);
        self.draft.remove(id, if hides { Layer::Overlay } else { Layer::Base });
        Ok(())
    }

    fn revert(&mut self, uid: &Uid<'_>, place: Place) -> Result<(), String> {
        self.check_type(uid)?;
        let found = self.find(uid);
        if !self.keeps_deletions {
            let record = found.map(|id| self.draft.record(id));
            match record.map(|record| (record.layer(), record.is_present())) {
                Some((Layer::Overlay, _)) => {}
                Some((Layer::Base, true)) => self.idle.of_loaded(uid, place),
                Some((Layer::Base, false)) | None => self.idle.of_entity(uid, place),
            }
        }
        let Some(id) = found else { return Ok(()) };
        self.touch(id, place)?;
        match self.base.earlier(id).filter(|it| it.is_present()) {
            Some(known) => self.draft.put(id, known.bytes(), Layer::Base),
            None => self.draft.remove(id, Layer::Base),
        }
        Ok(())
    }

    /// Notes that an entity is written or removed. Gives whether it was not before.
    fn touch(&mut self, id: EntityId, place: Place) -> Result<bool, String> {
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
    fn find(&self, uid: &Uid<'_>) -> Option<EntityId> {
        self.draft.of_uid(uid)
    }

    /// Refuses types that no entity can have.
    fn check_type(&self, uid: &Uid<'_>) -> Result<(), String> {
        let Some(schema) = self.checks.schema else { return Ok(()) };
        if is_action_type(&uid.type_name) {
            return Err(ACTIONS.to_owned());
        }
        schema.check_type(&uid.type_name)
    }
}

const ACTIONS: &str = "actions come from the schema and cannot be changed";

/// A misfit of a member that stands elsewhere in the change than in the entity.
fn moved(misfit: Misfit, place: Vec<Step>) -> Misfit {
    Misfit { place, ..misfit }
}
