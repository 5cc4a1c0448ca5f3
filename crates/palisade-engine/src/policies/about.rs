//! Where a policy was written, and what its author wrote at it.

use cedar_policy_core::ast::Template;
use cedar_policy_core::parser::parse_policy_or_template;

use crate::model::{Diagnostic, Written};
use crate::policies::{Kind, Policies, Site, json};
use crate::settings::Limits;

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
    /// What is known of the policy that decisions name so.
    ///
    /// Recurses with the nesting of the text: call it through [`crate::on_big_stack`].
    pub(crate) fn about(&self, id: &str, limits: &Limits) -> Option<AboutPolicy> {
        let site = self.sites.get(id)?;
        let line = site.point(Diagnostic::error(&*site.origin, ""), site.span.start).line;
        let own = Written { origin: site.origin.clone(), line };
        let link = match site.kind {
            Kind::Link(number) => Some(&self.links.get(number as usize)?.link),
            Kind::Static | Kind::Template => None,
        };
        let annotations = tree(site, limits).map(|template| annotations(&template)).unwrap_or_default();
        Some(match link {
            Some(link) => AboutPolicy {
                place: link.written.clone(),
                template: Some((link.template_id.clone(), own)),
                made_by: None,
                annotations,
            },
            None => AboutPolicy { place: Some(own), template: None, made_by: None, annotations },
        })
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
