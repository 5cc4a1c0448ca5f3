//! A set of policies after some of them were put or removed: what did not change is not parsed again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::broken::broken;
use crate::derived::Declared;
use crate::model::{Diagnostic, Link, PolicyId, PolicyText};
use crate::policies::about::tree;
use crate::policies::{Builder, Linked, NewLink, Policies, Work, abandoned};
use crate::settings::Limits;
use crate::site::{Kind, Site};

/// What to do to a set.
#[derive(Debug, Default)]
pub(crate) struct SetEdits {
    /// Policies, templates and links to remove, those that are replaced among them.
    pub removed: HashSet<PolicyId>,
    /// Policies and templates to add, each the only one of its text.
    pub texts: Vec<PolicyText>,
    /// Policies and templates to add that were read before.
    pub sites: Vec<(PolicyId, Site)>,
    /// Links to add.
    pub links: Vec<NewLink>,
}

impl SetEdits {
    /// Whether nothing changes: there is only something to be looked at.
    pub(crate) fn only_asks(&self) -> bool {
        let Self { removed, texts, sites, links } = self;
        removed.is_empty() && texts.is_empty() && sites.is_empty() && links.iter().all(|new| new.maker.is_some())
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.texts.is_empty() && self.sites.is_empty() && self.links.is_empty()
    }

    /// Everything that stays is read again, too.
    pub(crate) fn widen(&mut self, now: &Policies) {
        let mut stays: Vec<_> = now.sites.iter().filter(|(id, _)| !self.removed.contains(*id)).collect();
        stays.sort_unstable_by_key(|(id, _)| *id);
        for (id, site) in stays {
            match site.kind {
                Kind::Link(number) => {
                    let again = now.links.get(number.index()).map(|linked| NewLink {
                        origin: "/changes".to_owned(),
                        link: linked.link.clone(),
                        maker: linked.maker,
                    });
                    self.links.extend(again);
                }
                Kind::Static | Kind::Template => self.sites.push((id.clone(), site.clone())),
            }
            self.removed.insert(id.clone());
        }
    }

    /// The templates that are replaced, and where the new ones stand.
    pub(crate) fn replaced(&self, now: &Policies) -> HashMap<&str, &str> {
        self.texts
            .iter()
            .filter_map(|text| Some((text.naming.exactly()?, text.origin.as_str())))
            .chain(self.sites.iter().map(|(id, site)| (&**id, &*site.origin)))
            .filter(|(id, _)| now.sites.get(*id).is_some_and(|site| site.kind == Kind::Template))
            .collect()
    }

    /// Links of templates that are replaced are made again.
    pub(crate) fn relink(&mut self, now: &Policies) {
        let replaced = self.replaced(now);
        if replaced.is_empty() {
            return;
        }
        let again: Vec<NewLink> = now
            .links
            .iter()
            .filter(|linked| !self.removed.contains(linked.link.link_id.as_str()))
            .filter_map(|linked| {
                let Linked { link, maker } = &**linked;
                let origin = (*replaced.get(link.template_id.as_str())?).to_owned();
                Some(NewLink { origin, link: link.clone(), maker: *maker })
            })
            .collect();
        self.removed.extend(again.iter().map(|new| PolicyId::from(new.link.link_id.as_str())));
        self.links.extend(again);
    }
}

impl Policies {
    /// The policy or template of an id.
    pub(crate) fn policy(&self, id: &str) -> Option<&Site> {
        self.sites.get(id).filter(|site| !matches!(site.kind, Kind::Link(_)))
    }

    /// The link of an id, written by hand or not.
    pub(crate) fn linked(&self, id: &str) -> Option<&Linked> {
        match self.sites.get(id)?.kind {
            Kind::Link(number) => self.links.get(number.index()).map(|linked| &**linked),
            Kind::Static | Kind::Template => None,
        }
    }

    /// The link of an id that was written by hand.
    pub(crate) fn link(&self, id: &str) -> Option<&Link> {
        self.linked(id).filter(|linked| linked.maker.is_none()).map(|linked| &linked.link)
    }

    /// What validating all of them takes in steps, without those that are `removed`.
    pub(crate) fn steps_without(&self, removed: &HashSet<PolicyId>) -> u64 {
        let of = |id: &PolicyId| self.sites.get(&**id).map_or(0, |site| site.steps);
        self.totals.steps.saturating_sub(removed.iter().map(of).sum())
    }

    /// Whether a policy decides, and forbids.
    pub(crate) fn is_forbid(&self, id: &str) -> bool {
        self.sites.get(id).is_some_and(|site| site.forbids && site.kind != Kind::Template)
    }

    /// The links that were written by hand.
    pub(crate) fn by_hand(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|linked| linked.maker.is_none()).map(|linked| &linked.link)
    }

    /// The set after `edits`, where `declared` says which links data make. What was compiled of what is removed is not in the work any more.
    ///
    /// # Errors
    /// Every problem found, up to a bound. Problems that the work finds are reported by the work.
    pub(crate) fn edited(
        &self,
        edits: SetEdits,
        declared: &Declared,
        limits: &Limits,
        work: &mut Work<'_>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let (mut sites, mut links, mut aliases) = (self.sites.clone(), self.links.clone(), self.aliases.clone());
        let (mut templates, mut totals, mut unnamed) = (self.templates.clone(), self.totals, false);
        let mut like_made = self.like_made.clone();
        if edits.removed.iter().any(|id| like_made.contains(id)) {
            Arc::make_mut(&mut like_made).retain(|id| !edits.removed.contains(id));
        }
        for id in &edits.removed {
            let Some(site) = sites.remove(&**id) else { continue };
            totals.take(&site);
            match site.kind {
                Kind::Static => {}
                Kind::Template => {
                    templates.remove(&**id);
                    unnamed |= !aliases.is_empty();
                }
                Kind::Link(number) => {
                    links.swap_remove(number.index());
                    if let Some(moved) = links.get(number.index())
                        && let Some(site) = sites.get_mut(moved.link.link_id.as_str())
                    {
                        site.kind = Kind::Link(number);
                    }
                }
            }
        }
        if unnamed {
            // what is only read again keeps its other name
            let again: HashSet<&PolicyId> = edits.sites.iter().map(|(id, _)| id).collect();
            let stays = |id: &PolicyId| !edits.removed.contains(id) || again.contains(id);
            Arc::make_mut(&mut aliases).values_mut().for_each(|named| named.retain(stays));
        }
        let keeping = self.trees.without(&edits.removed, self, work.keep.saturating_sub(totals.tokens));
        let mut builder = Builder {
            sites,
            like_made,
            aliases,
            templates,
            links,
            problems: Vec::new(),
            ordinal: 0,
            totals,
            templates_are_whole: true,
            is_change: true,
            keeping,
            limits,
            work,
        };
        let SetEdits { texts, sites, links, .. } = edits;
        let put = texts.iter().filter_map(|text| Some(PolicyId::from(text.naming.exactly()?)));
        let put: HashSet<PolicyId> = put.chain(sites.iter().map(|(id, _)| id.clone())).collect();
        for text in &texts {
            builder.add_text(text);
        }
        for (id, site) in sites {
            let Some(template) = tree(&site, limits) else { broken("a text that Cedar does not read twice") };
            builder.enter(id, site, &template);
        }
        builder.templates_are_whole = builder.problems.is_empty();
        builder.check_declared(declared, Some(&put));
        for new in &links {
            if builder.is_over() {
                break;
            }
            builder.add_made(new, declared);
        }
        if (builder.work.stop)() {
            return Err(vec![abandoned()]);
        }
        builder.check_bytes();
        builder.finish()
    }
}

impl Builder<'_, '_> {
    /// Refuses more text than a bundle may have.
    fn check_bytes(&mut self) {
        let bytes = self.totals.bytes;
        if bytes > self.limits.max_policies_bytes {
            let message =
                format!("the policies would have {bytes} bytes of text, more than {}", self.limits.max_policies_bytes);
            let help =
                "make templates and links of policies that differ in ids alone, or raise `limits.max_policies_bytes`";
            self.problems.push(Diagnostic::error("/changes", message).help(help));
        }
    }
}
