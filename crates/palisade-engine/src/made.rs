//! What a state says of links that data make: which there are, and the text of one, made when it is wanted.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::broken::broken;
use crate::derived::{Checked, Finding, MadeLink};
use crate::ids::TemplateIx;
use crate::model::{PolicyId, Uid};
use crate::policies::Linked;
use crate::site::{Kind as Sort, Site};
use crate::snapshot::Snapshot;

impl Snapshot {
    /// The link of an id, if data make it.
    pub(crate) fn made(&self, id: &str) -> Option<MadeLink> {
        let core = &self.core;
        if self.grants.is_empty() || core.policies.sites.contains_key(id) {
            return None;
        }
        let store = &self.store;
        let find = |uid: &Uid<'_>| store.of_uid(uid);
        let number = |name: &str| core.compiled.number(name);
        Finding { declared: &core.declared, grants: &self.grants, records: store, find: &find, number: &number }
            .link(id)
    }

    /// Whether data make the link of an id.
    #[must_use]
    pub fn makes_link(&self, id: &str) -> bool {
        self.made(id).is_some()
    }

    /// The id of a link that data make.
    pub(crate) fn id_of(&self, made: &MadeLink) -> PolicyId {
        let template = self.core.compiled.name(made.template);
        self.core.declared.link_id(&made.grant, template, &self.store).into()
    }

    /// The link as it would be written by hand.
    pub(crate) fn link_of(&self, made: &MadeLink) -> Linked {
        let link = self.core.declared.link(&made.grant, self.core.compiled.name(made.template), &self.store);
        Linked { link, maker: Some(made.grant.into()) }
    }

    /// The link of an id, written by hand or made by data.
    pub(crate) fn linked(&self, id: &str) -> Option<Cow<'_, Linked>> {
        match self.core.policies.linked(id) {
            Some(linked) => Some(Cow::Borrowed(linked)),
            None => self.made(id).map(|made| Cow::Owned(self.link_of(&made))),
        }
    }

    /// The policy or template whose text a policy has: its own, or that of the template that it links.
    pub(crate) fn text_id(&self, id: &PolicyId) -> PolicyId {
        self.linked(id).map_or_else(|| id.clone(), |linked| linked.template())
    }

    /// Where the text of a policy stands; that of a link is its template's.
    pub(crate) fn site(&self, id: &str) -> Option<&Site> {
        let sites = &self.core.policies.sites;
        sites.get(id).or_else(|| sites.get(self.core.compiled.name(self.made(id)?.template)))
    }

    /// Whether the policy of an id can decide.
    pub(crate) fn decides(&self, id: &str) -> bool {
        match self.core.policies.sites.get(id) {
            Some(site) => site.kind != Sort::Template,
            None => self.made(id).is_some(),
        }
    }

    /// All links that data make, in no order.
    pub(crate) fn all_made(&self) -> impl Iterator<Item = MadeLink> {
        self.grants.all().flat_map(|grant| {
            let templates = self.grants.templates(grant.declaration, grant.holder);
            templates.iter().map(move |template| MadeLink { grant, template: *template })
        })
    }

    /// The same, made of the entities again: what it is measured by that is kept of them. In the order of ids.
    pub(crate) fn made_again(&self) -> impl Iterator<Item = MadeLink> {
        let (declared, store) = (&self.core.declared, &self.store);
        let makers = store.ids().filter(|id| declared.makes(store.type_of(*id)));
        let grants = makers.flat_map(|id| match declared.grants(store, store.type_of(id), id) {
            Ok(grants) => grants,
            Err(_) => broken("a stored state with a broken path"),
        });
        grants.flat_map(|grant| {
            let names = declared.at(grant.declaration).names(store, grant.holder);
            let templates = names.into_iter().filter_map(|name| self.core.compiled.number(&name));
            templates.map(move |template| MadeLink { grant, template })
        })
    }

    /// How many forbidding rules were written: policies and links that can decide, and declarations that link a template
    /// which forbids. What data make of the declarations comes and goes with the data.
    #[must_use]
    pub fn written_forbid_count(&self) -> usize {
        let policies = &self.core.policies;
        let declared = self.core.declared.list().iter().filter_map(Checked::fixed);
        policies.forbid_count() + declared.filter(|name| policies.forbids(name)).count()
    }

    /// The policies that can decide and forbid, links among them, sorted by id.
    #[must_use]
    pub fn forbids(&self) -> BTreeSet<PolicyId> {
        let mut found = self.core.policies.forbidding();
        let forbids = |made: &MadeLink| self.core.policies.forbids(self.core.compiled.name(made.template));
        found.extend(self.all_made().filter(forbids).map(|made| self.id_of(&made)));
        found
    }

    /// The policies of this state that can decide and forbid, links among them, and that another lacks, sorted by id.
    #[must_use]
    pub fn forbids_gone(&self, now: &Self) -> Vec<PolicyId> {
        let mut gone = self.made_forbids_gone(now);
        if !Arc::ptr_eq(&self.core, &now.core) {
            gone.extend(self.core.policies.forbidding().into_iter().filter(|id| !now.is_forbid(id)));
        }
        gone.into_iter().collect()
    }

    /// The same of the links that data make alone. Where one state was made of the other, what they share is not looked
    /// at.
    pub(crate) fn made_forbids_gone(&self, now: &Self) -> BTreeSet<PolicyId> {
        let used: BTreeSet<TemplateIx> = self.grants.uses().map(|(_, template, _)| template).collect();
        let forbids = |template: &TemplateIx| self.core.policies.forbids(self.core.compiled.name(*template));
        let templates: Vec<TemplateIx> = used.into_iter().filter(forbids).collect();
        if templates.is_empty() || self.has_policies_of(now) {
            return BTreeSet::new();
        }
        // one state after the other numbers templates alike
        let stays = |template: &TemplateIx| {
            let name = self.core.compiled.name(*template);
            now.core.compiled.number(name) == Some(*template) && now.core.policies.forbids(name)
        };
        let apart = if templates.iter().all(stays) { self.grants.apart_from(&now.grants, &templates) } else { None };
        let grants = apart.unwrap_or_else(|| self.grants.all().collect());
        let made = grants.into_iter().flat_map(|grant| {
            let named = self.grants.templates(grant.declaration, grant.holder);
            let of_it = templates.iter().filter(|template| named.binary_search(template).is_ok());
            of_it.map(move |template| MadeLink { grant, template: *template })
        });
        made.map(|made| self.id_of(&made)).filter(|id| !now.is_forbid(id)).collect()
    }

    /// Whether the policy of an id can decide, and forbids.
    fn is_forbid(&self, id: &str) -> bool {
        let policies = &self.core.policies;
        let made = || self.made(id).is_some_and(|made| policies.forbids(self.core.compiled.name(made.template)));
        policies.is_forbid(id) || made()
    }

    /// Whether some policy that decides may read `context.now`.
    pub(crate) fn reads_now(&self) -> bool {
        let policies = &self.core.policies;
        let of = |template: TemplateIx| {
            policies.sites.get(self.core.compiled.name(template)).is_some_and(|site| site.reads_now)
        };
        policies.reads_now() || self.grants.uses().any(|(_, template, _)| of(template))
    }
}
