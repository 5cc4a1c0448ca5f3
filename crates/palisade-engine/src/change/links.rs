//! Links that data make, kept true: what the entities that a transaction touches make after it, beside what they made before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::change::{LISTED, Place, Transacting};
use crate::derived::{Before, Made, Maker};
use crate::export;
use crate::model::{Diagnostic, Missing, PolicyId, Refused, count as counted};
use crate::policies::NewLink;

/// How many entities lie between two looks at whether the result is still wanted.
const STRIDE: usize = 1 << 8;

/// The links that come and go with data.
#[derive(Debug, Default)]
pub(super) struct DataLinks {
    /// Those that go, or become others.
    pub removed: Vec<PolicyId>,
    /// Those that come, or take the place of others.
    pub added: Vec<NewLink>,
}

impl DataLinks {
    /// Whether nothing comes or goes.
    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

impl Transacting<'_> {
    /// Finds what comes and goes.
    ///
    /// # Errors
    /// If an entity on a path would not be stored.
    pub(super) fn derive(&self) -> Result<DataLinks, Refused> {
        let declared = &self.before.core.declared;
        let mut links = DataLinks::default();
        if declared.is_empty() {
            return Ok(links);
        }
        let mut affected = declared.affected(&self.draft, self.touched.keys().copied());
        affected.extend(self.may_be_missed());
        let before = Before(&self.before.store);
        let policies = &self.before.core.policies;
        let (mut broken, mut count) = (Vec::new(), 0);
        for (n, entity) in affected.into_iter().enumerate() {
            if n.is_multiple_of(STRIDE) && (self.stop)() {
                return Err(Refused::GivenUp);
            }
            let ty = self.draft.type_of(entity);
            // before the transaction every path was whole
            let old = declared.made(&before, ty, entity).unwrap_or_default();
            let new = match declared.made(&self.draft, ty, entity) {
                Ok(new) => new,
                Err(fault) => {
                    count += 1;
                    if broken.len() < LISTED {
                        let message = declared.explain(fault, &self.draft);
                        broken.push(Diagnostic::error(self.at_fault(entity).pointer(""), message));
                    }
                    continue;
                }
            };
            let uid = export::uid_of(&self.draft, entity).to_string();
            let id = |made: &Made| PolicyId::from(declared.link_id(made, &uid));
            // one that names no template is not there
            let was: BTreeMap<PolicyId, Made> =
                old.into_iter().map(|made| (id(&made), made)).filter(|(id, _)| policies.linked(id).is_some()).collect();
            let mut stays = BTreeSet::new();
            for made in new {
                let link_id = id(&made);
                if was.get(&link_id) == Some(&made) {
                    stays.insert(link_id);
                    continue;
                }
                links.added.push(NewLink {
                    origin: self.at_fault(entity).pointer(""),
                    link: declared.link(&made, entity, &self.draft),
                    maker: Some(Maker { declaration: made.declaration, entity }),
                });
            }
            links.removed.extend(was.into_keys().filter(|id| !stays.contains(id)));
        }
        if count == 0 {
            return Ok(links);
        }
        if count > broken.len() {
            broken.push(Diagnostic::error("/changes", format!("and {}", counted(count - broken.len(), "more entity"))));
        }
        Err(Refused::BrokenPath(Diagnostic::about("change", broken)))
    }

    /// The change to report about: the one that touched the entity, or else the first of the transaction that touched one.
    fn at_fault(&self, entity: u32) -> Place {
        let first = || self.touched.values().next().copied();
        self.touched.get(&entity).copied().or_else(first).unwrap_or(Place { number: 0, name: "put_policy" })
    }

    /// The entities that may name a template which the transaction brings, and which was missing before.
    fn may_be_missed(&self) -> Vec<u32> {
        let declared: &Arc<_> = &self.before.core.declared;
        let warned = || declared.list().iter().filter(|declaration| declaration.missing == Missing::Warn);
        if warned().next().is_none() || !self.rules.may_bring_templates(self.before) {
            return Vec::new();
        }
        let ids = self.draft.ids();
        ids.filter(|id| warned().any(|declaration| declaration.is_of(self.draft.type_of(*id)))).collect()
    }
}
