//! A set of policies after some of them were put or removed: what did not change is not parsed again.

use std::collections::{HashMap, HashSet};

use cedar_policy_core::ast::PolicyID;

use crate::broken::broken;
use crate::derived::Declared;
use crate::model::{Diagnostic, Link, PolicyId, PolicyText};
use crate::policies::about::tree;
use crate::policies::link::Linkable;
use crate::policies::{Builder, Kind, Linked, NewLink, Policies, Site, Work, abandoned, reads_now};
use crate::settings::Limits;

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
                    let again = |Linked { link, maker }: &Linked| NewLink {
                        origin: "/changes".to_owned(),
                        link: link.clone(),
                        maker: *maker,
                    };
                    self.links.extend(now.links.get(number as usize).map(again));
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
            .filter_map(|Linked { link, maker }| {
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
            Kind::Link(number) => self.links.get(number as usize),
            Kind::Static | Kind::Template => None,
        }
    }

    /// The link of an id that was written by hand.
    pub(crate) fn link(&self, id: &str) -> Option<&Link> {
        self.linked(id).filter(|linked| linked.maker.is_none()).map(|linked| &linked.link)
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
        let mut like_made = self.like_made.clone();
        like_made.retain(|id| !edits.removed.contains(id));
        for id in &edits.removed {
            if let Some(Site { kind: Kind::Link(number), .. }) = sites.remove(id) {
                links.swap_remove(number as usize);
                if let Some(moved) = links.get(number as usize)
                    && let Some(site) = sites.get_mut(moved.link.link_id.as_str())
                {
                    site.kind = Kind::Link(number);
                }
            }
        }
        for named in aliases.values_mut() {
            named.retain(|id| !edits.removed.contains(id));
        }
        let keeping = self.trees.without(&edits.removed, self, room(&sites, work.keep));
        let statics = sites.values().filter(|site| site.kind == Kind::Static).count();
        let mut builder = Builder {
            sites,
            like_made,
            aliases,
            templates: HashMap::new(),
            links,
            problems: Vec::new(),
            ordinal: 0,
            statics,
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
        for new in &links {
            builder.read_template(&new.link.template_id);
        }
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

/// How many words and signs of trees may be kept beside those of `sites`; 0 where these are too many.
fn room(sites: &HashMap<PolicyId, Site>, keep: usize) -> usize {
    let size = |site: &Site| if matches!(site.kind, Kind::Link(_)) { 1 } else { site.tokens as usize };
    keep.saturating_sub(sites.values().map(size).sum())
}

impl Builder<'_, '_> {
    /// Reads what links need of the templates that a name may mean.
    pub(super) fn read_template(&mut self, name: &str) {
        let by_id = self.sites.get_key_value(name).map(|(id, _)| id);
        let ids: Vec<PolicyId> =
            by_id.into_iter().chain(self.aliases.get(name).into_iter().flatten()).cloned().collect();
        for id in ids {
            let Some(site) = self.sites.get(&id).filter(|site| site.kind == Kind::Template) else { continue };
            if self.templates.contains_key(&id) {
                continue;
            }
            let Some(template) = tree(site, self.limits) else { broken("a text that Cedar does not read twice") };
            let template = template.new_id(PolicyID::from_string(&*id));
            let reads_now = reads_now(&template.condition());
            self.templates.insert(id, Linkable::new(&template, reads_now));
        }
    }

    /// Refuses more text than a bundle may have.
    fn check_bytes(&mut self) {
        let texts = self.sites.values().filter(|site| !matches!(site.kind, Kind::Link(_)));
        let bytes: usize = texts.map(|site| site.span.len()).sum();
        if bytes > self.limits.max_policies_bytes {
            let message =
                format!("the policies would have {bytes} bytes of text, more than {}", self.limits.max_policies_bytes);
            let help =
                "make templates and links of policies that differ in ids alone, or raise `limits.max_policies_bytes`";
            self.problems.push(Diagnostic::error("/changes", message).help(help));
        }
    }
}
