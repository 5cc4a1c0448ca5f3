//! Actions of the schema that no policy is about.

use std::collections::HashSet;

use cedar_policy_core::ast::EntityUID;
use cedar_policy_core::validator::ValidatorActionId;

use super::{Subject, listed};
use crate::model::Diagnostic;
use crate::policies::named::Named;
use crate::schema;

/// Actions that no policy can apply to, and actions that apply to nothing, are no group, and are named nowhere. A group
/// that is not named is a word of the vocabulary and does no harm.
pub(super) fn unused(named: &Named, subject: &Subject<'_>) -> Vec<Diagnostic> {
    let Some((model, texts)) = subject.schema.filter(|_| subject.policies.count() > 0) else { return Vec::new() };
    let core = model.core();
    let mut covered: HashSet<&EntityUID> = named.scoped.iter().collect();
    for action in core.action_ids().filter(|action| named.scoped.contains(action.name())) {
        covered.extend(action.descendants());
    }
    let applies = |action: &ValidatorActionId| action.applies_to_principals().next().is_some();
    let is_unused = |action: &&ValidatorActionId| {
        if applies(action) {
            !named.any && !covered.contains(action.name())
        } else {
            action.descendants().next().is_none() && !named.actions.contains(action.name())
        }
    };
    let warn = |action: &ValidatorActionId| {
        let name = super::uid(action.name());
        let (message, help) = if applies(action) {
            let message = format!("no policy is about `{name}`, so it is always denied");
            (message, "write a policy for it, or remove it from the schema")
        } else {
            let message = format!("`{name}` applies to nothing, no action is in it, and no policy names it");
            (message, "say with `appliesTo` what it applies to, or remove it from the schema")
        };
        let found = schema::place(&texts.fragments, action.loc());
        let finding = match found {
            Some((origin, text, at)) => Diagnostic::error(origin, message).at(text, at),
            None => Diagnostic::error(texts.fragments.first().map_or("schema", |(origin, _)| origin), message),
        };
        finding.help(help)
    };
    let mut found: Vec<Diagnostic> = core.action_ids().filter(is_unused).map(warn).collect();
    found.sort_by(|a, b| (&a.origin, a.line, a.column, &a.message).cmp(&(&b.origin, b.line, b.column, &b.message)));
    listed(found, 0, "unused-action")
}
