//! Links that data make, kept true: what the entities that a transaction touches make after it, beside what they made before.

use std::collections::HashSet;
use std::sync::Arc;

use crate::broken::broken;
use crate::change::rules::RuledSet;
use crate::change::{Place, Transacting};
use crate::derived::{All, Before, BrokenPath, Finding, Grant, Grants, Pending, Tallied};
use crate::ids::{DeclarationIx, EntityId};
use crate::model::{Diagnostic, Findings, Refused, Uid};
use crate::policies::{NewLink, made_twice, too_many};
use crate::snapshot::Snapshot;

/// How many entities lie between two looks at whether the result is still wanted.
const STRIDE: usize = 1 << 8;

/// What comes and goes with data.
#[derive(Debug)]
pub(super) struct DataLinks {
    /// What the data make after the transaction, of templates that were there before it.
    pub grants: Grants,
    /// How many links that adds and removes.
    tallied: Tallied,
    /// A link of each template that a declaration had not used before.
    pub new: Vec<NewLink>,
    /// Whether nothing was compared with what the data made before: `grants` are all of them, `new` has one of each template,
    /// and which names are templates' is not known yet.
    pub afresh: bool,
}

impl DataLinks {
    /// What the data made before the transaction.
    pub(super) fn as_before(before: &Snapshot) -> Self {
        Self { grants: before.grants.clone(), tallied: Tallied::default(), new: Vec::new(), afresh: false }
    }
}

/// Refuses paths that lead to what would not be stored, if there are some.
fn all_whole(cut: Findings) -> Result<(), Refused> {
    if cut.is_empty() {
        return Ok(());
    }
    Err(Refused::BrokenPath(Diagnostic::about("change", cut.into_list("/changes", "entity"))))
}

impl Transacting<'_> {
    /// Finds what comes and goes.
    ///
    /// # Errors
    /// If an entity on a path would not be stored.
    pub(super) fn derive(&self) -> Result<DataLinks, Refused> {
        let (core, grants) = (&self.before.core, &self.before.grants);
        let declared = &*core.declared;
        if declared.is_empty() {
            return Ok(DataLinks::as_before(self.before));
        }
        if self.keeps_deletions && !self.rules.is_empty() {
            return self.derive_afresh();
        }
        let before = Before(&self.before.store);
        let affected = declared.affected(&before, &self.draft, self.touched.keys().copied());
        let (mut pending, mut cut) = (Pending::default(), Findings::default());
        for (n, entity) in affected.into_iter().enumerate() {
            if n.is_multiple_of(STRIDE) && (self.stop)() {
                return Err(Refused::GivenUp);
            }
            let ty = self.draft.type_of(entity);
            // INVARIANT: before the transaction every path was whole, or that state would not have been made. Taken for no
            // grant, what was filed would stay, and nothing could remove its links.
            let Ok(old) = declared.grants(&before, ty, entity) else { broken("a stored state with a broken path") };
            match declared.grants(&self.draft, ty, entity) {
                Ok(new) => pending.moves(&old, &new, grants, declared, &self.draft),
                Err(fault) => cut.add(|| self.broken_path(entity, fault)),
            }
        }
        all_whole(cut)?;
        self.touched.keys().for_each(|id| pending.touches(*id, grants, declared, &self.draft));
        let (after, tallied) = match pending.is_empty() {
            true => (grants.clone(), Tallied::default()),
            false => grants.with(&pending, &|name| core.compiled.number(name)),
        };
        let new = self.new_links(&pending, &after);
        Ok(DataLinks { grants: after, tallied, new, afresh: false })
    }

    /// What data make of the state after the transaction, whatever they made before it.
    ///
    /// What changes brought is put upon a base at once, though each of them was made upon another state. What one had to
    /// regard then (an id that data made a link of, a template that data named) may be gone since, and says nothing of the
    /// state that all of them make. So that one is looked at as a load would look at it.
    fn derive_afresh(&self) -> Result<DataLinks, Refused> {
        let mut cut = Findings::default();
        let made = self.before.core.declared.make_all(&self.draft, self.stop, |entity, fault| {
            cut.add(|| self.broken_path(entity, fault));
        });
        let All { grants, examples } = made.ok_or(Refused::GivenUp)?;
        all_whole(cut)?;
        let example =
            |(grant, name): &(Grant, Arc<str>)| self.made_link(grant, name, self.at_fault(grant.entity).pointer(""));
        let (tallied, new) = (Tallied::default(), examples.iter().map(example).collect());
        Ok(DataLinks { grants, tallied, new, afresh: true })
    }

    fn broken_path(&self, entity: EntityId, fault: BrokenPath) -> Diagnostic {
        let message = self.before.core.declared.explain(fault, &self.draft);
        Diagnostic::error(self.at_fault(entity).pointer(""), message)
    }

    /// Whether data make a link of an id, as far as its template was there before.
    pub(super) fn still_made(&self, links: &DataLinks, id: &str) -> bool {
        let core = &self.before.core;
        let find = |uid: &Uid<'_>| self.draft.of_uid(uid);
        let number = |name: &str| core.compiled.number(name);
        let (declared, grants, records) = (&*core.declared, &links.grants, &self.draft);
        Finding { declared, grants, records, find: &find, number: &number }.link(id).is_some()
    }

    /// A link of each template that a declaration had not used before, or that may be there only now.
    fn new_links(&self, pending: &Pending, after: &Grants) -> Vec<NewLink> {
        let (core, grants) = (&self.before.core, &self.before.grants);
        let declared = &*core.declared;
        let named = pending.new_names(grants, after, &|number| core.compiled.name(number));
        let mut wanted: Vec<(DeclarationIx, EntityId, &str, Option<Grant>)> =
            named.iter().map(|new| (new.declaration, new.holder, &*new.name, new.grant)).collect();
        if self.rules.may_bring_templates(self.before) {
            for (declaration, holder, names) in after.unknown() {
                let brought = names.iter().filter(|name| self.rules.puts(name));
                wanted.extend(brought.map(|name| (declaration, holder, &**name, None)));
            }
        }
        let mut seen = HashSet::new();
        let is_new = |(declaration, _, name, _): &(DeclarationIx, EntityId, &str, Option<Grant>)| {
            // what a declaration names itself is looked at with the declaration, at the load and when it is put
            let is_fixed = declared.at(*declaration).fixed().is_some();
            let used = core.compiled.number(name).is_some_and(|number| is_fixed || grants.has(*declaration, number));
            !used && seen.insert((*declaration, name.to_string()))
        };
        let found = wanted.into_iter().filter(is_new).filter_map(|(declaration, holder, name, grant)| {
            let grant = grant.or_else(|| declared.grant_of(declaration, holder, &self.draft))?;
            Some(self.made_link(&grant, name, self.at_fault(grant.entity).pointer("")))
        });
        found.collect()
    }

    fn made_link(&self, grant: &Grant, name: &str, origin: String) -> NewLink {
        NewLink { origin, link: self.before.core.declared.link(grant, name, &self.draft), maker: Some((*grant).into()) }
    }

    /// The change to report about: the one that touched the entity, or else the first of the transaction that touched one.
    fn at_fault(&self, entity: EntityId) -> Place {
        let first = || self.touched.values().next().copied();
        self.touched.get(&entity).copied().or_else(first).unwrap_or(Place { number: 0, name: "put_policy" })
    }

    /// What the data make once the set is known, and how many links that adds and removes.
    ///
    /// # Errors
    /// If they are too many, or one has the id of another policy.
    pub(super) fn settle(&self, links: DataLinks, set: Option<&RuledSet>) -> Result<(Grants, Tallied), Refused> {
        let core = &self.before.core;
        let DataLinks { mut grants, mut tallied, afresh, .. } = links;
        if core.declared.is_empty() {
            return Ok((grants, tallied));
        }
        let compiled = set.map_or(&core.compiled, |set| &set.compiled);
        if set.is_some() || afresh {
            let (resolved, added) = grants.resolved(&|name| compiled.number(name));
            (grants, tallied.added) = (resolved, tallied.added + added);
        }
        let invalid = |problem: Diagnostic| Refused::Invalid(Diagnostic::about("change", vec![problem]));
        if let Some(problem) = too_many(&grants, self.checks.limits, "/changes") {
            return Err(invalid(problem));
        }
        let policies = set.map_or(&core.policies, |set| &set.policies);
        if set.is_none() && grants.is(&self.before.grants) {
            return Ok((grants, tallied));
        }
        match made_twice(policies, &core.declared, &grants, &self.draft, &|name| compiled.number(name)) {
            None => Ok((grants, tallied)),
            Some((entity, problem)) => Err(invalid(problem.origin(self.at_fault(entity).pointer("")))),
        }
    }
}
