//! Policies made from templates.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy_core::ast::{Annotations, EntityUID, LinkingError, SlotId, Template};

use crate::diagnose;
use crate::model::{Diagnostic, Link, PolicyId};
use crate::policies::{Builder, Kind, RAISE_COUNT, Site, entity_uid};

/// What links need of a template: all but its condition, which may be large.
#[derive(Debug)]
pub(super) struct Linkable {
    scope: Arc<Template>,
    reads_now: bool,
}

impl Linkable {
    pub(super) fn new(template: &Template, reads_now: bool) -> Self {
        let scope = Template::new(
            template.id().clone(),
            template.loc().cloned(),
            Annotations::new(),
            template.effect(),
            template.principal_constraint().clone(),
            template.action_constraint().clone(),
            template.resource_constraint().clone(),
            None,
        );
        Self { scope: Arc::new(scope), reads_now }
    }
}

impl Builder<'_, '_> {
    pub(super) fn add_link(&mut self, origin: &str, link: &Link) {
        if let Err(problem) = self.try_link(origin, link) {
            let problem = match &link.written {
                Some(place) => Diagnostic { line: place.line, ..problem.origin(&*place.origin) },
                None => problem.origin(origin),
            };
            self.problems.push(problem.policy(&link.link_id));
        }
    }

    fn try_link(&mut self, origin: &str, link: &Link) -> Result<(), Diagnostic> {
        let fail = |message: String| Diagnostic::error(origin, message);
        let (template_id, site) = self.template_of(link)?;
        if self.sites.contains_key(link.link_id.as_str()) {
            return Err(fail(format!("a policy with the id `{}` exists already", link.link_id)));
        }
        if self.sites.len() >= self.limits.max_policies {
            return Err(fail(format!("more than {} policies and links", self.limits.max_policies)).help(RAISE_COUNT));
        }
        let values = values(link).map_err(fail)?;
        let Some(template) = self.templates.get(&template_id) else {
            return Err(fail("expected a template, but a static policy was provided".to_owned()));
        };
        Template::check_binding(&template.scope, &values).map_err(|error| fail(unable(&error)))?;
        let id: PolicyId = link.link_id.as_str().into();
        self.keeping.link(&template_id, &id, &values);
        if let Some(validating) = &mut self.work.validating {
            validating.link(&template.scope, &id, &values, &site);
        }
        if let Some(compiling) = &mut self.work.compiling {
            compiling.link(&template_id, &id, &values);
        }
        if let Some(naming) = &mut self.work.naming {
            naming.link(&template.scope, link, origin, &values);
        }
        self.reads_now |= template.reads_now;
        let number = u32::try_from(self.links.len()).map_err(|_| fail("too many links".to_owned()))?;
        self.sites.insert(id, Site { kind: Kind::Link(number), ..site });
        self.links.push(Link { template_id: template_id.to_string(), ..link.clone() });
        Ok(())
    }

    /// The template that a link names by its policy id, or by the `@id` of a template that has a number for its id; never
    /// one where it could be the other.
    fn template_of(&self, link: &Link) -> Result<(PolicyId, Site), Diagnostic> {
        let by_id = self.sites.get_key_value(link.template_id.as_str()).map(|(id, _)| id);
        let mut candidates: Vec<&PolicyId> = self.aliases.get(&link.template_id).into_iter().flatten().collect();
        candidates.extend(by_id.filter(|id| !self.aliases.get(&link.template_id).is_some_and(|ids| ids.contains(id))));
        match candidates.as_slice() {
            [] => Err(Diagnostic::error("", format!("there is no template `{}` to link", link.template_id))),
            [one] => Ok(((*one).clone(), self.sites[*one].clone())),
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

/// What the slots are filled with.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn values(link: &Link) -> Result<HashMap<SlotId, EntityUID>, String> {
    let mut values = HashMap::new();
    for (slot, entity) in &link.args {
        let slot_id = match slot.as_str() {
            "?principal" => SlotId::principal(),
            "?resource" => SlotId::resource(),
            _ => return Err(format!("`{slot}` is not a slot; slots are `?principal` and `?resource`")),
        };
        let uid = crate::model::Uid::parse(entity).map_err(|error| error.to_string())?;
        values.insert(slot_id, entity_uid(&uid)?.into());
    }
    Ok(values)
}

fn unable(error: &LinkingError) -> String {
    format!("unable to link template: {}", diagnose::message(error))
}
