//! What a transaction leaves in the overlay, in a form that can be kept and made again after a restart.
//!
//! What the overlay says of a thing is a change of the API, as text: what reads the one reads the other.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use crate::broken::broken;
use crate::change::rebase::{AT_A_START, change_number, thing_of};
use crate::change::{Changed, Place};
use crate::export;
use crate::ids::EntityId;
use crate::model::{Dangling, Diagnostic, Edit, Transaction, Uid, Value};
use crate::snapshot::Snapshot;

/// What a word of the overlay is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    /// The entity that this text names, `Type::"id"`.
    Entity,
    /// The policy or template of this id.
    Policy,
    /// The link of this id.
    Link,
}

impl Thing {
    /// A thing in words: how messages name it, and what is hidden is known by.
    #[must_use]
    pub fn in_words(self, key: &str) -> String {
        let kind = match self {
            Self::Entity => "entity",
            Self::Policy => "policy",
            Self::Link => "link",
        };
        format!("the {kind} `{key}`")
    }
}

/// What the overlay says of a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It is what this change of the API makes of it.
    Is(String),
    /// It is gone, whatever the base has.
    Gone,
    /// Nothing: the base counts.
    OfBase,
}

impl Word {
    /// The last word that a change is, as text.
    fn of(edit: Edit) -> Self {
        let is = match edit {
            Edit::Upsert(entity) => json!({"upsert": entity.to_json()}),
            Edit::PutPolicy { id, text } => json!({"put_policy": {"id": id, "text": text}}),
            Edit::PutLink(link) => {
                let args: serde_json::Map<_, _> = link.args.into_iter().map(|(slot, arg)| (slot, arg.into())).collect();
                json!({"put_link": {"link_id": link.link_id, "template_id": link.template_id, "args": args}})
            }
            Edit::Delete(_) | Edit::DeletePolicy(_) | Edit::DeleteLink(_) => return Self::Gone,
            Edit::Revert(_) | Edit::RevertPolicy(_) | Edit::RevertLink(_) => return Self::OfBase,
            Edit::Update(_) | Edit::DeleteSubtree(_) | Edit::Expect { .. } => broken("a change that is no last word"),
        };
        Self::Is(is.to_string())
    }
}

/// A change that was kept.
#[derive(Debug)]
pub enum Told<'t> {
    /// An entity is this. There may be a million of them, so that its text is not copied.
    Entity(Value<'t>),
    /// Any change.
    Change(Edit),
}

/// What a transaction touched, by the store's ids and by names.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) entities: Vec<EntityId>,
    pub(crate) policies: Vec<String>,
    pub(crate) links: Vec<String>,
}

impl Touched {
    pub(super) fn new(entities: &BTreeMap<EntityId, Place>, (policies, links): (Vec<String>, Vec<String>)) -> Self {
        Self { entities: entities.keys().copied().collect(), policies, links }
    }
}

impl Changed {
    /// Calls `keep` with what the overlay says, after the transaction, of everything that it touched.
    pub fn words(&self, mut keep: impl FnMut(Thing, &str, Word)) {
        let Self { snapshot, touched, .. } = self;
        for id in &touched.entities {
            let key = export::uid_of(&snapshot.store, *id).to_string();
            keep(Thing::Entity, &key, Word::of(snapshot.word_of_entity(*id)));
        }
        for id in &touched.policies {
            keep(Thing::Policy, id, Word::of(snapshot.word_of_policy(id)));
        }
        for id in &touched.links {
            keep(Thing::Link, id, Word::of(snapshot.word_of_link(id)));
        }
    }
}

impl Snapshot {
    /// Puts changes that were kept upon this state, which was loaded and has none. `each` calls what it is given with
    /// every change.
    ///
    /// Recurses with the nesting of policies: call it through [`crate::on_big_stack`].
    ///
    /// # Errors
    /// What `each` gives; within it, what does not fit.
    pub fn restored<E>(
        &self,
        stop: &dyn Fn() -> bool,
        each: impl Fn(&mut dyn FnMut(Told<'_>)) -> Result<(), E>,
    ) -> Result<Result<Self, Vec<Diagnostic>>, E> {
        let mut transacting = match self.transacting(&Transaction::default(), stop, true) {
            Ok(transacting) => transacting,
            Err(refused) => return Ok(Err(self.unfit(&refused, |_| None, AT_A_START))),
        };
        let mut number = 0;
        each(&mut |told| {
            match told {
                Told::Entity(value) => transacting.entity(&value, Place { number, name: "upsert" }),
                Told::Change(edit) => transacting.edit(&edit, Place { number, name: edit.name() }),
            }
            number += 1;
        })?;
        let refused = match transacting.finish(Dangling::Keep, self.revision()) {
            Ok(changed) => return Ok(Ok(changed.snapshot)),
            Err(refused) => refused,
        };
        // those that do not fit are named; there may be a million others
        let mut names: HashMap<usize, Option<String>> =
            refused.problems().iter().filter_map(change_number).map(|number| (number, None)).collect();
        let mut at = 0;
        each(&mut |told| {
            if let Some(name) = names.get_mut(&at) {
                *name = match told {
                    Told::Entity(value) => thing_of(&Edit::Upsert(value.into_owned())),
                    Told::Change(edit) => thing_of(&edit),
                };
            }
            at += 1;
        })?;
        Ok(Err(self.unfit(&refused, |number| names.get(&number).cloned().flatten(), AT_A_START)))
    }
}

/// The change by which a thing is gone.
///
/// # Errors
/// If `key` names no entity.
pub fn gone(thing: Thing, key: &str) -> Result<Edit, String> {
    Ok(match thing {
        Thing::Entity => {
            Edit::Delete(Uid::parse(key).map_err(|_| format!("`{key}` is not an entity uid"))?.into_owned())
        }
        Thing::Policy => Edit::DeletePolicy(key.to_owned()),
        Thing::Link => Edit::DeleteLink(key.to_owned()),
    })
}
