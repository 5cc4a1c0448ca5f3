//! What a load or a transaction does to grants, before it is known which names are templates'.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::derived::grants::{of_set_key, set_key};
use crate::derived::{BrokenPath, Declared, Grant, Grants};
use crate::ids::{DeclarationIx, EntityId, TemplateIx};
use crate::store::{Draft, Records};

/// Grants that come, go or become others, and what their roles name.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// What an entity made by a declaration, and what it makes.
    pub(super) moved: Vec<(Option<Grant>, Option<Grant>)>,
    /// What the holders name that are new or were touched, by declaration and holder.
    pub(super) names: HashMap<u64, Vec<Arc<str>>>,
}

/// How many links come and go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tallied {
    /// Links that are there now.
    pub added: usize,
    /// Links that are not there any more, or are others.
    pub removed: usize,
}

/// A name that is new to a holder.
#[derive(Debug, Clone)]
pub(crate) struct NewName {
    /// The declaration's position.
    pub declaration: DeclarationIx,
    /// Who names it.
    pub holder: EntityId,
    /// What it names.
    pub name: Arc<str>,
    /// A grant that has it, if it comes with one.
    pub grant: Option<Grant>,
}

/// What all entities make, whatever they made before. Which names are templates' is not known yet.
#[derive(Debug, Default)]
pub(crate) struct All {
    /// Their grants.
    pub grants: Grants,
    /// For each name that a declaration uses, a grant that has it: what is wrong with its link is so with all that are as it
    /// is.
    pub examples: Vec<(Grant, Arc<str>)>,
}

/// How many entities lie between two looks at whether the result is still wanted.
const STRIDE: usize = 1 << 12;

impl Declared {
    /// What all entities of `draft` make; `cut` gets those from which a path leads to what is not stored. `None` once
    /// `stop` says that the result is not wanted any more.
    pub(crate) fn make_all(
        &self,
        draft: &Draft,
        stop: &dyn Fn() -> bool,
        mut cut: impl FnMut(EntityId, BrokenPath),
    ) -> Option<All> {
        let (none, mut pending) = (Grants::default(), Pending::default());
        for (n, entity) in draft.ids().enumerate() {
            if n.is_multiple_of(STRIDE) && stop() {
                return None;
            }
            let ty = draft.type_of(entity);
            if !self.makes(ty) {
                continue;
            }
            match self.grants(draft, ty, entity) {
                Ok(new) => pending.moves(&[], &new, &none, self, draft),
                Err(fault) => cut(entity, fault),
            }
        }
        let (grants, _) = none.with(&pending, &|_| None);
        let mut seen = HashSet::new();
        let names = pending.new_names(&none, &grants, &|_| "").into_iter();
        let names = names.filter(|new| seen.insert((new.declaration, new.name.clone())));
        let examples = names.filter_map(|new| Some((new.grant?, new.name))).collect();
        Some(All { grants, examples })
    }
}

impl Pending {
    /// Whether nothing comes or goes.
    pub(crate) fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.names.is_empty()
    }

    /// Adds what an entity made, and what it makes, where these differ.
    pub(crate) fn moves(
        &mut self,
        old: &[Grant],
        new: &[Grant],
        before: &Grants,
        declared: &Declared,
        records: &impl Records,
    ) {
        let of = |grants: &[Grant], declaration| {
            grants.iter().find(|grant: &&Grant| grant.declaration == declaration).copied()
        };
        for grant in old.iter().filter(|grant| of(new, grant.declaration).is_none()) {
            self.moved.push((Some(*grant), None));
        }
        for grant in new.iter().filter(|grant| of(old, grant.declaration) != Some(**grant)) {
            self.moved.push((of(old, grant.declaration), Some(*grant)));
            if before.named(grant.declaration, grant.holder).is_none() {
                self.reads(grant.declaration, grant.holder, declared, records);
            }
        }
    }

    /// Adds what an entity names that was touched, where grants have it.
    pub(crate) fn touches(&mut self, holder: EntityId, before: &Grants, declared: &Declared, records: &impl Records) {
        let ty = records.type_of_id(holder);
        for declaration in declared.list().iter().filter(|declaration| declaration.names_by(ty)) {
            let number = declaration.ix();
            if before.named(number, holder).is_some() {
                self.reads(number, holder, declared, records);
            }
        }
    }

    fn reads(&mut self, declaration: DeclarationIx, holder: EntityId, declared: &Declared, records: &impl Records) {
        self.names
            .entry(set_key(declaration, holder))
            .or_insert_with(|| declared.at(declaration).names(records, holder));
    }

    /// The names that holders did not have before, of those that have a grant `after` it: those that have to be looked
    /// at. `name` says what a number stands for.
    pub(crate) fn new_names<'n>(
        &self,
        before: &Grants,
        after: &Grants,
        name: &dyn Fn(TemplateIx) -> &'n str,
    ) -> Vec<NewName> {
        let mut first: HashMap<u64, Grant> = HashMap::new();
        for grant in self.moved.iter().filter_map(|(_, new)| *new) {
            first.entry(set_key(grant.declaration, grant.holder)).or_insert(grant);
        }
        let mut found = Vec::new();
        for (key, names) in &self.names {
            let (declaration, holder) = of_set_key(*key);
            if after.named(declaration, holder).is_none() {
                continue;
            }
            let (known, unknown) = before.named(declaration, holder).unwrap_or_default();
            let had: HashSet<&str> =
                known.iter().map(|number| name(*number)).chain(unknown.iter().map(|name| &**name)).collect();
            let new = names.iter().filter(|name| !had.contains(&***name));
            found.extend(new.map(|name| NewName {
                declaration,
                holder,
                name: name.clone(),
                grant: first.get(key).copied(),
            }));
        }
        // the entity that made it first is named, where several did
        found.sort_by_cached_key(|new| {
            let entity = new.grant.map_or(EntityId::NONE, |grant| grant.entity);
            (new.declaration, entity, new.holder, new.name.clone())
        });
        found
    }
}
