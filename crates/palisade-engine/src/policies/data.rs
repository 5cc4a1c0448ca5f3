//! Links that data make, among the others: whether what they name are templates, and what is said where they are not.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast::{EntityUID, SlotId, Template};

use crate::cedar::entity_uid;
use crate::derived::{All, Checked, Declared, Finding, Grant, Grants, Maker};
use crate::ids::{EntityId, TemplateIx};
use crate::model::{Bundle, Diagnostic, Link, MAX_LISTED, Missing, PolicyId, Uid, Written, hint};
use crate::policies::{Builder, Policies, abandoned, link};
use crate::schema::SchemaModel;
use crate::settings::Limits;
use crate::site::{Kind, Site};
use crate::snapshot::Loaded;
use crate::store::Draft;

/// The part of a bundle that a problem is about, where a template is changed that data need as it is.
pub(crate) const IN_USE: &str = "template_in_use";

/// A link to add.
#[derive(Debug, Clone)]
pub(crate) struct NewLink {
    /// Where it is from: what problems are reported about, where it is not written in a file.
    pub origin: String,
    /// The link.
    pub link: Link,
    /// What made it; nothing where it was written by hand.
    pub maker: Option<Maker>,
}

/// The links that the data of a bundle make.
#[derive(Debug, Default)]
pub(crate) struct FromData {
    /// By these declarations.
    pub declared: Arc<Declared>,
    /// What the entities make. Which names are templates' is not known yet.
    pub grants: Grants,
    /// One link for each template that a declaration uses: what is wrong with it is so with all that are as it is.
    pub links: Vec<NewLink>,
    /// One link for each grant, for what is said of entities that links name.
    pub named: Vec<NewLink>,
}

/// Grants whose slots are looked at for lints, at most.
const MOST_NAMED: usize = 100_000;

impl FromData {
    /// What the declarations of `bundle` make of its entities, which `loaded` has if they could be read. For lints with
    /// what each grant names. Where a declaration is wrong, or something that its path leads through, that is put to the
    /// `problems`, and what is given has the declarations that are well, without what they make.
    pub(crate) fn of(
        bundle: &Bundle,
        schema: Option<&SchemaModel>,
        loaded: &mut Option<Loaded>,
        lints: bool,
        stop: &dyn Fn() -> bool,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        // what is wrong with entities hides nothing
        let mut empty = Draft::empty();
        let draft = loaded.as_mut().map_or(&mut empty, |Loaded { draft, .. }| draft);
        let (declared, wrong) = Declared::check(&bundle.for_each.links, schema, draft);
        let is_whole = wrong.is_empty();
        problems.extend(wrong);
        let mut found = Self { declared: Arc::new(declared), ..Self::default() };
        let Some(Loaded { draft, places, .. }) = loaded.as_mut().filter(|_| is_whole && !found.declared.is_empty())
        else {
            return found;
        };
        let (draft, declared) = (&*draft, &*found.declared);
        let mut broken = Vec::new();
        let all = declared.make_all(draft, stop, |entity, fault| broken.push((entity, declared.explain(fault, draft))));
        let Some(All { grants, examples }) = all else {
            problems.push(abandoned());
            return found;
        };
        let broken = Diagnostic::about("broken_path", places.errors(broken, &bundle.entities));
        if !broken.is_empty() {
            problems.extend(broken);
            return found;
        }
        let link = |grant: &Grant, name: &str| NewLink {
            origin: String::new(),
            link: declared.link(grant, name, draft),
            maker: Some((*grant).into()),
        };
        let links = examples.iter().map(|(grant, name)| link(grant, name)).collect();
        if lints {
            let mut makers: Vec<Grant> = grants.all().collect();
            makers.sort_unstable_by_key(|grant| (grant.entity, grant.declaration));
            let first = |grant: &Grant| Some(link(grant, grants.first_name(grant.declaration, grant.holder)?));
            found.named = makers.iter().filter_map(first).take(MOST_NAMED).collect();
        }
        Self { grants, links, ..found }
    }

    /// What the entities make, once `number` says which names are templates' of the set.
    ///
    /// # Errors
    /// If these are more links than there may be, or one has the id of another policy.
    pub(crate) fn grants(
        &self,
        policies: &Policies,
        draft: &Draft,
        number: &dyn Fn(&str) -> Option<TemplateIx>,
        limits: &Limits,
    ) -> Result<Grants, Vec<Diagnostic>> {
        let (grants, _) = self.grants.clone().resolved(number);
        let twice = || made_twice(policies, &self.declared, &grants, draft, number).map(|(_, problem)| problem);
        match too_many(&grants, limits, "links").or_else(twice) {
            None => Ok(grants),
            Some(problem) => Err(Diagnostic::about("policy", vec![problem])),
        }
    }
}

/// The entity that makes a link whose id another policy has, and what is wrong then.
pub(crate) fn made_twice(
    policies: &Policies,
    declared: &Declared,
    grants: &Grants,
    draft: &Draft,
    number: &dyn Fn(&str) -> Option<TemplateIx>,
) -> Option<(EntityId, Diagnostic)> {
    let find = |uid: &Uid<'_>| draft.of_uid(uid);
    let finding = Finding { declared, grants, records: draft, find: &find, number };
    policies.like_made.iter().find_map(|id| {
        let made = finding.link(id)?.grant;
        let message = format!("a policy with the id `{id}` exists already, which is that of a link that data make");
        Some((made.entity, declared.at(made.declaration).finding(message).policy(&**id)))
    })
}

/// What is wrong if the data make more links than they may.
pub(crate) fn too_many(grants: &Grants, limits: &Limits, origin: &str) -> Option<Diagnostic> {
    if grants.len() <= limits.max_links_from_data {
        return None;
    }
    let message = format!("the data make {} links, more than {}", grants.len(), limits.max_links_from_data);
    let help = "raise `limits.max_links_from_data`, or narrow the declarations by `when`";
    Some(Diagnostic::error(origin, message).help(help))
}

impl Policies {
    /// Warnings of templates that have no link: none of them decides anything. In the order of their texts. Which of them
    /// data may name yet, no one can say.
    #[must_use]
    pub(crate) fn unlinked(&self, declared: &Declared) -> Vec<Diagnostic> {
        if declared.list().iter().any(|declaration| declaration.fixed().is_none()) {
            return Vec::new();
        }
        let templates = self.sites.iter().filter(|(_, site)| matches!(site.kind, Kind::Template));
        let mut found: HashMap<&str, (&PolicyId, &Site)> = templates.map(|(id, site)| (&**id, (id, site))).collect();
        for linked in self.links.iter() {
            found.remove(linked.link.template_id.as_str());
        }
        for name in declared.list().iter().filter_map(Checked::fixed) {
            found.remove(name);
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by_key(|(id, site)| (&site.origin, site.line, site.span.start, *id));
        let warn = |(id, site): &(&PolicyId, &Site)| {
            let message = format!("the template `{id}` has no link, so it decides nothing");
            let help = "link it in a file `*.links.yaml` beside the policies, or in `links` of a bundle";
            let at = site.point(Diagnostic::error(&*site.origin, message), site.span.start);
            at.warning().policy(&***id).help(help)
        };
        let mut warnings: Vec<_> = found.iter().take(MAX_LISTED).map(warn).collect();
        if let Some(more) = found.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
            warnings.push(Diagnostic::error("policies", format!("{more} more templates have no link")).warning());
        }
        warnings
    }
}

const HELP: &str = "add the template, or correct what names it; `missing: warn` reports it and makes no link";

impl Builder<'_, '_> {
    /// Adds a link. One that data make is left out where what they name is no template and the declaration allows that.
    pub(super) fn add_made(&mut self, new: &NewLink, declared: &Declared) {
        let NewLink { origin, link, maker } = new;
        let made_by = maker.map(|maker| declared.at(maker.declaration));
        // made again since its template was put, it is from there
        let is_put = |site: &Site| *site.origin == **origin;
        let remade = self.is_change && maker.is_some() && self.sites.get(link.template_id.as_str()).is_some_and(is_put);
        if let Some((declaration, path)) = made_by.and_then(|it| Some((it, it.naming_path()?)))
            && self.templates.contains_key(link.template_id.as_str())
            && link.template_id.contains('@')
        {
            // `t@x` of one declaration and `t` of another with the `id` `x` would make links of one id
            let (name, entity) = (&link.template_id, declared.maker_of(declaration, link));
            let message = format!(
                "`{entity}` names `{name}` in `{path}`: the id of a template that data name cannot have an `@`"
            );
            let found = if self.is_change { Diagnostic::error(origin, message) } else { declaration.finding(message) };
            return self
                .problems
                .push(found.help("give the template another id: `@` parts the ids of links that data make"));
        }
        let Some(declaration) = made_by.filter(|_| !self.templates.contains_key(link.template_id.as_str())) else {
            let before = self.problems.len();
            self.add_link(new);
            return self.mark_in_use(before, remade);
        };
        // the template may be one that could not be read
        if !self.templates_are_whole {
            return;
        }
        let (name, entity) = (link.template_id.as_str(), declared.maker_of(declaration, link));
        let from = match declaration.naming_path() {
            Some(path) => format!("`{entity}` names `{name}` in `{path}`"),
            None => format!("`{entity}` would make a link of `{name}`"),
        };
        let message = format!("{from}, which is no template{}", self.near_template(name));
        let found = if self.is_change {
            Diagnostic::error(origin, message)
        } else {
            declaration.finding_at("template", message)
        };
        if remade {
            return self.problems.push(Diagnostic { part: IN_USE, ..found });
        }
        self.missing(declaration, found);
    }

    /// Notes what grants fill slots with.
    pub(super) fn name_made(&mut self, named: &[NewLink]) {
        let Some(naming) = &mut self.work.naming else { return };
        for NewLink { origin, link, .. } in named {
            let Some(template) = self.templates.get(link.template_id.as_str()) else { continue };
            if let Ok(values) = link::values(link) {
                naming.link(&template.scope, link, origin, &values);
            }
        }
    }

    /// Reports that something is no template.
    fn missing(&mut self, declaration: &Checked, found: Diagnostic) {
        match declaration.missing {
            Missing::Refuse => self.problems.push(found.help(HELP)),
            // the first ones are enough to see what is wrong
            Missing::Warn if self.work.warnings.len() < MAX_LISTED => {
                self.work
                    .warnings
                    .push(found.warning().help("there is no link; add the template, or correct the name"));
            }
            Missing::Warn => {}
        }
    }

    /// What may have been meant, or why the name is that of no template.
    fn near_template(&self, name: &str) -> String {
        if self.sites.get(name).is_some_and(|site| site.kind == Kind::Static) {
            return ", but a policy without slots".to_owned();
        }
        if let Some(id) = self.aliases.get(name).and_then(|ids| ids.first()) {
            return format!(", but the `@id` of the template `{id}`; data name templates by their policy ids");
        }
        let templates = self.sites.iter().filter(|(_, site)| site.kind == Kind::Template);
        hint(name, templates.map(|(id, _)| &**id))
    }

    fn mark_in_use(&mut self, from: usize, in_use: bool) {
        if in_use {
            self.problems.iter_mut().skip(from).for_each(|problem| problem.part = IN_USE);
        }
    }

    /// Checks what declarations name without looking at data: that it is a template, with the slots that they fill. With
    /// `put` only the declarations count that name one of these.
    pub(super) fn check_declared(&mut self, declared: &Declared, put: Option<&HashSet<PolicyId>>) {
        if !self.templates_are_whole {
            return;
        }
        for declaration in declared.list() {
            let name = declaration.fixed().or(declaration.naming_path()).unwrap_or_default();
            if put.is_some_and(|put| !put.contains(name)) {
                continue;
            }
            let before = self.problems.len();
            match declaration.fixed() {
                Some(name) => self.check_fixed(declaration, name),
                None if self.templates.contains_key(name) => {
                    let message = format!("`{name}` is a path from `{}` and the id of a template", declaration.each());
                    let help = "give the template another id, or rename the attribute";
                    self.problems.push(declaration.finding_at("template", message).help(help).policy(name));
                }
                None => {}
            }
            self.mark_in_use(before, self.is_change);
        }
    }

    fn check_fixed(&mut self, declaration: &Checked, name: &str) {
        let Some(template) = self.templates.get(name).cloned() else {
            if let Some(message) = declaration.no_path() {
                return self.problems.push(declaration.finding_at("template", message.to_owned()));
            }
            let message = format!("`{name}` is no template{}", self.near_template(name));
            return self.missing(declaration, declaration.finding_at("template", message));
        };
        let scope = template.scope.clone();
        // entities of the right types, whatever their ids
        let slots = [SlotId::principal(), SlotId::resource()].into_iter().zip(declaration.slot_types());
        let values: HashMap<SlotId, EntityUID> = slots
            .filter_map(|(slot, ty)| {
                let uid = Uid { type_name: ty?.into(), id: "".into() };
                Some((slot, entity_uid(&uid).ok()?.into()))
            })
            .collect();
        let shown = Link { template_id: name.to_owned(), link_id: String::new(), args: Vec::new(), written: None };
        if let Err(error) = Template::check_binding(&scope, &values) {
            // a slot that it should not fill has a member
            let member = link::extra_slot(&error)
                .map_or("template", |slot| if slot.is_principal() { "principal" } else { "resource" });
            let found = declaration.finding_at(member, String::new());
            let problem = link::unable(&found.origin, &shown, &error);
            return self.problems.push(Diagnostic { line: found.line, ..problem }.policy(name));
        }
        let Some(site) = self.sites.get(name).cloned() else { return };
        if let Some(validating) = &mut self.work.validating {
            let id: PolicyId = format!("{name}@{}", declaration.each()).into();
            let at = declaration.finding(String::new());
            let place = Written::new(at.origin, at.line);
            validating.link(&scope, &id, &values, &site, &place);
        }
    }
}
