//! Policies made from templates.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy_core::ast::{Annotations, EntityUID, LinkingError, SlotId, Template};

use crate::broken::broken;
use crate::cedar::entity_uid;
use crate::derived::Maker;
use crate::diagnose;
use crate::ids::LinkIx;
use crate::model::{Diagnostic, Link, PolicyId, Written, hint};
use crate::policies::{Builder, Linked, NewLink, RAISE_COUNT};
use crate::site::{Kind, Site};

/// What links need of a template: all but its condition, which may be large.
#[derive(Debug)]
pub(super) struct Linkable {
    pub(super) scope: Arc<Template>,
    pub(super) reads_now: bool,
}

impl Linkable {
    pub(super) fn new(template: &Template, reads_now: bool) -> Self {
        Self { scope: Arc::new(scope_of(template)), reads_now }
    }
}

/// A template without its conditions.
pub(crate) fn scope_of(template: &Template) -> Template {
    Template::new(
        template.id().clone(),
        template.loc().cloned(),
        Annotations::new(),
        template.effect(),
        template.principal_constraint().clone(),
        template.action_constraint().clone(),
        template.resource_constraint().clone(),
        None,
    )
}

impl Builder<'_, '_> {
    pub(super) fn add_link(&mut self, NewLink { origin, link, maker }: &NewLink) {
        let place = match &link.written {
            // of what data make, the change is at fault
            Some(place) if !self.is_change || maker.is_none() => place.clone(),
            _ => Written::new(origin.as_str(), None),
        };
        let mut found = Vec::new();
        self.try_link(&place, link, *maker, &mut found);
        let placed = |found: Diagnostic| Diagnostic { line: found.line.or(place.line), ..found };
        let found = found.into_iter().map(|found| placed(found).policy(&link.link_id));
        self.problems.extend(found);
    }

    /// Adds a link, or everything that is wrong with it to `found`. One that data make is only looked at.
    fn try_link(&mut self, place: &Written, link: &Link, maker: Option<Maker>, found: &mut Vec<Diagnostic>) {
        let origin = &*place.origin;
        let mut fail = |at: &str, message: String| found.push(at_member(place, maker, at, message));
        let values = match values(link) {
            Ok(values) => Some(values),
            Err((slot, message)) => {
                fail(&format!("args/{slot}"), message);
                None
            }
        };
        // in their order in the link
        for (slot, _) in &link.args {
            let id = if slot == "?principal" { SlotId::principal() } else { SlotId::resource() };
            let value = values.as_ref().and_then(|values| values.get(&id));
            let validating = self.work.validating.as_mut();
            if let Some(message) = value.zip(validating).and_then(|(value, validating)| validating.undeclared(value)) {
                fail(&format!("args/{slot}"), message);
            }
        }
        if let Some(first) = self.sites.get(link.link_id.as_str()) {
            fail("link_id", format!("{} exists already", self.with_id(first, &link.link_id)));
        }
        if maker.is_none() && self.sites.len() >= self.limits.max_policies {
            return found.push(
                Diagnostic::error(origin, format!("more than {} policies and links", self.limits.max_policies))
                    .help(RAISE_COUNT),
            );
        }
        let (template_id, site) = match self.template_of(link) {
            Ok(found) => found,
            Err(_) if !self.templates_are_whole => return,
            Err(problem) => {
                let Diagnostic { origin, line, .. } = at_member(place, maker, "template_id", String::new());
                return found.push(Diagnostic { line, ..problem.origin(origin) });
            }
        };
        let Some(template) = self.templates.get(&template_id).cloned() else {
            let message = format!("`{}` is a policy, not a template, so it cannot be linked", link.template_id);
            let help = "a template has `?principal` or `?resource` in its scope";
            return found.push(at_member(place, maker, "template_id", message).help(help));
        };
        let Some(values) = values else { return };
        if let Err(error) = Template::check_binding(&template.scope, &values) {
            let slot = extra_slot(&error).map(|slot| format!("args/{slot}"));
            let at = at_member(place, maker, slot.as_deref().unwrap_or("args"), String::new());
            return found.push(Diagnostic { line: at.line, ..unable(&at.origin, link, &error) });
        }
        if !found.is_empty() {
            return;
        }
        let id: PolicyId = link.link_id.as_str().into();
        let steps = match &mut self.work.validating {
            Some(validating) => validating.link(&template.scope, &id, &values, &site, place),
            None => 0,
        };
        // it stands for all that are as it is, and which are kept elsewhere
        if maker.is_some() {
            return;
        }
        self.keeping.link(&template_id, &id, &values);
        if let Some(compiling) = self.work.compiling.as_mut().filter(|_| self.problems.is_empty()) {
            compiling.link(&template_id, &id, &values);
        }
        if let Some(naming) = &mut self.work.naming {
            naming.link(&template.scope, link, origin, &values);
        }
        let reads_now = template.reads_now;
        let Some(number) = LinkIx::next(self.links.len()) else {
            return found.push(Diagnostic::error(origin, "too many links"));
        };
        self.note(&id);
        self.put(id, Site { kind: Kind::Link(number), reads_now, steps, ..site });
        let link = Link { template_id: template_id.to_string(), ..link.clone() };
        self.links.push(Arc::new(Linked { link, maker }));
    }

    /// What has an id, and where it stands, if that is known.
    fn with_id(&self, site: &Site, id: &str) -> String {
        let (what, place) = match site.kind {
            Kind::Link(number) => {
                ("link", self.links.get(number.index()).and_then(|linked| linked.link.written.clone()))
            }
            Kind::Static | Kind::Template => {
                let at = site.point(Diagnostic::error(&*site.origin, ""), site.span.start);
                ("policy", Some(Written::new(site.origin.clone(), at.line)))
            }
        };
        let place = place.map(|Written { origin, line, .. }| match line {
            Some(line) => format!(" ({origin}:{line})"),
            None => format!(" ({origin})"),
        });
        format!("a {what} with the id `{id}`{}", place.unwrap_or_default())
    }

    /// The template that a link names by its policy id, or by the `@id` of a template that has a number for its id; never
    /// one where it could be the other.
    fn template_of(&self, link: &Link) -> Result<(PolicyId, Site), Diagnostic> {
        let by_id = self.sites.get_key_value(link.template_id.as_str()).map(|(id, _)| id);
        let mut candidates: Vec<&PolicyId> = self.aliases.get(&link.template_id).into_iter().flatten().collect();
        candidates.extend(by_id.filter(|id| !self.aliases.get(&link.template_id).is_some_and(|ids| ids.contains(id))));
        match candidates.as_slice() {
            [] => {
                let templates = self.sites.iter().filter(|(_, site)| site.kind == Kind::Template).map(|(id, _)| &**id);
                let known = templates.chain(self.aliases.keys().map(String::as_str));
                let near = hint(&link.template_id, known);
                Err(Diagnostic::error("", format!("there is no template `{}` to link{near}", link.template_id)))
            }
            [one] => match self.sites.get(&**one) {
                Some(site) => Ok(((*one).clone(), site.clone())),
                None => broken("a template that is gone"),
            },
            several => {
                let names: Vec<String> = several.iter().map(|id| format!("`{id}`")).collect();
                let message = format!(
                    "`{}` is ambiguous: it is the id or the `@id` of {}",
                    link.template_id,
                    names.join(" and of ")
                );
                let help = "name the template by its policy id, and give each `@id` once";
                Err(Diagnostic::error("", message).help(help))
            }
        }
    }
}

/// A problem of a member of a link: with its name, where what is wrong has its place in JSON, and on its line in a file.
fn at_member(place: &Written, maker: Option<Maker>, member: &str, message: String) -> Diagnostic {
    let origin = &*place.origin;
    if maker.is_some() {
        return Diagnostic::error(origin, message);
    }
    // what stands in a file has a line, and a file may begin with a slash too
    if place.line.is_none() && origin.starts_with('/') {
        return Diagnostic::error(format!("{origin}/{member}"), message);
    }
    if place.line.is_none() && origin.starts_with("links[") {
        return Diagnostic::error(format!("{origin}.{}", member.replace('/', ".")), message);
    }
    let in_file = match member {
        "template_id" => "template",
        "link_id" => "id",
        "args/?principal" => "principal",
        "args/?resource" => "resource",
        other => other,
    };
    Diagnostic { line: place.line_of(in_file), ..Diagnostic::error(origin, message) }
}

/// The slot that a template lacks, if that is what is wrong.
pub(super) fn extra_slot(error: &LinkingError) -> Option<&SlotId> {
    match error {
        LinkingError::ArityError { unbound_values, extra_values } if unbound_values.is_empty() => extra_values.first(),
        _ => None,
    }
}

/// What the slots are filled with.
///
/// # Errors
/// The slot, and what is wrong with it, in words.
pub(crate) fn values(link: &Link) -> Result<HashMap<SlotId, EntityUID>, (&str, String)> {
    let mut values = HashMap::new();
    for (slot, entity) in &link.args {
        let slot_id = match slot.as_str() {
            "?principal" => SlotId::principal(),
            "?resource" => SlotId::resource(),
            _ => return Err((slot, format!("`{slot}` is not a slot; slots are `?principal` and `?resource`"))),
        };
        let uid = crate::model::Uid::parse(entity).map_err(|error| error.to_string());
        let uid = uid.and_then(|uid| entity_uid(&uid)).map_err(|message| (slot.as_str(), message))?;
        values.insert(slot_id, uid.into());
    }
    Ok(values)
}

pub(super) fn unable(origin: &str, link: &Link, error: &LinkingError) -> Diagnostic {
    let LinkingError::ArityError { unbound_values, extra_values } = error else {
        return Diagnostic::error(origin, format!("this cannot be linked: {}", diagnose::message(error)));
    };
    let slots = |slots: &[SlotId]| {
        let mut names: Vec<String> = slots.iter().map(|slot| format!("`{slot}`")).collect();
        names.sort_unstable();
        names.join(" and ")
    };
    let template = &link.template_id;
    let (message, help) = match (unbound_values.as_slice(), extra_values.as_slice()) {
        (unbound @ [_, ..], _) => (
            format!("the link lacks {} of the template `{template}`", slots(unbound)),
            "say which entity it stands for",
        ),
        (_, extra) => (format!("the template `{template}` has no slot {}", slots(extra)), "leave it out of the link"),
    };
    Diagnostic::error(origin, message).help(help)
}
