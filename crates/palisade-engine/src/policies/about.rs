//! Where a policy was written, and what its author wrote at it.

use std::collections::BTreeSet;

use cedar_policy_core::ast::Template;
use cedar_policy_core::parser::parse_policy_or_template;

use crate::export;
use crate::model::{Diagnostic, PolicyId, PolicyNaming, PolicyText, Written};
use crate::policies::{Linked, Policies, json};
use crate::settings::Limits;
use crate::site::{Kind, Site};
use crate::snapshot::Snapshot;

/// What is known of a policy besides what it decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutPolicy {
    /// Where it was written; for a link, where the link was, if that is known.
    pub place: Option<Written>,
    /// The template that it was made from, and where that was written.
    pub template: Option<(String, Written)>,
    /// The entity that made it, where it is a link that data make; then `place` is where its declaration is.
    pub made_by: Option<String>,
    /// Its annotations but for `@id`, sorted by name; those of a link are its template's.
    pub annotations: Vec<(String, String)>,
}

impl Policies {
    /// Whether the policy forbids.
    #[must_use]
    pub(crate) fn forbids(&self, id: &str) -> bool {
        self.sites.get(id).is_some_and(|site| site.forbids)
    }

    /// The policies that can decide and forbid, links by hand among them, sorted.
    #[must_use]
    pub(crate) fn forbidding(&self) -> BTreeSet<PolicyId> {
        let deciding = self.sites.iter().filter(|(_, site)| site.forbids && site.kind != Kind::Template);
        deciding.map(|(id, _)| id.clone()).collect()
    }

    /// Each policy and template as a text of its own, sorted by id.
    #[must_use]
    pub(crate) fn texts(&self) -> Vec<PolicyText> {
        let mut texts: Vec<PolicyText> = self
            .sites
            .iter()
            .filter(|(_, site)| !matches!(site.kind, Kind::Link(_)))
            .map(|(id, site)| PolicyText {
                origin: site.origin.to_string(),
                text: site.text().to_owned(),
                naming: PolicyNaming::Exactly(id.to_string()),
            })
            .collect();
        texts.sort_unstable_by(|a, b| a.naming.exactly().cmp(&b.naming.exactly()));
        texts
    }
}

/// What is known of the policy that stands at a site, or of a link of the template that does.
///
/// Recurses with the nesting of the text: call it through [`crate::on_big_stack`].
fn about(site: &Site, link: Option<&Linked>, made_by: Option<String>, limits: &Limits) -> AboutPolicy {
    let line = site.point(Diagnostic::error(&*site.origin, ""), site.span.start).line;
    let own = Written::new(site.origin.clone(), line);
    let annotations = tree(site, limits).map(|template| annotations(&template)).unwrap_or_default();
    match link.map(|linked| &linked.link) {
        Some(link) => AboutPolicy {
            place: link.written.clone(),
            template: Some((link.template_id.clone(), own)),
            made_by,
            annotations,
        },
        None => AboutPolicy { place: Some(own), template: None, made_by, annotations },
    }
}

impl Snapshot {
    /// Where the policy of this id was written, and its annotations.
    ///
    /// Recurses with the nesting of the text: call it through [`crate::on_big_stack`].
    #[must_use]
    pub fn about(&self, id: &str) -> Option<AboutPolicy> {
        let (site, linked) = (self.site(id)?, self.linked(id));
        let maker = linked.as_ref().and_then(|linked| linked.maker);
        let made_by = maker.map(|maker| export::uid_of(&self.store, maker.entity).to_string());
        Some(about(site, linked.as_deref(), made_by, &self.core.settings.limits))
    }
}

/// The tree of a policy or template, with a name that is not its own.
pub(crate) fn tree(site: &Site, limits: &Limits) -> Option<Template> {
    let text = site.text();
    if json::is_json(text) {
        json::read(&site.origin, text, limits).ok()
    } else {
        parse_policy_or_template(None, text).ok()
    }
}

/// The annotations of a policy but for `@id`, sorted by name.
pub(crate) fn annotations(template: &Template) -> Vec<(String, String)> {
    let of_policy = template.annotations().map(|(name, annotation)| (name.to_string(), annotation.val.to_string()));
    let mut found: Vec<_> = of_policy.filter(|(name, _)| name != "id").collect();
    found.sort_unstable();
    found
}
