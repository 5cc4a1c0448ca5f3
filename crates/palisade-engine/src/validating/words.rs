//! What Cedar's validator found, in words that its reader knows: no names of Cedar's own types, the expression itself
//! where one is to be guarded, and no suggestion that is not near. Cedar suggests the nearest of all names, however far
//! it is, and who takes one of those may open what was to be closed.

use std::collections::HashMap;

use cedar_policy_core::ast::{ActionConstraint, EntityUID, PolicyID, SlotId, Template};
use cedar_policy_core::parser::Loc;
use cedar_policy_core::validator::validation_errors::{AttributeAccess, UnrecognizedActionIdHelp};
use cedar_policy_core::validator::{ValidationError, ValidationWarning};

use crate::diagnose;
use crate::misfit::shape::listed;
use crate::model::{Diagnostic, Uid, closest};
use crate::schema::{Members, SchemaModel, Type};
use crate::site::Site;

/// The rule of findings about a policy that fits no action. Cedar only warns of it, and strict loading refuses it.
pub(crate) const IMPOSSIBLE_ACTION: &str = "impossible_action";

/// The longest expression that is written out in an advice.
const LONGEST_SHOWN: usize = 60;

/// How many actions of a scope are named.
const MOST_ACTIONS: usize = 3;

/// An error at its place in the text that the policy was cut from.
pub(super) fn of_error(
    model: &SchemaModel,
    template: &Template,
    site: &Site,
    id: &PolicyID,
    error: &ValidationError,
) -> Diagnostic {
    let found = locate(template, site, id, error);
    let help = match error {
        ValidationError::UnrecognizedEntityType(unknown) => {
            closest(&unknown.actual_entity_type, model.entity_type_names()).map(|near| did_you_mean(&near))
        }
        ValidationError::UnrecognizedActionId(unknown) => match &unknown.hint {
            Some(UnrecognizedActionIdHelp::AvoidActionTypeInActionId(_)) => found.help.clone(),
            _ => {
                let action = Uid::parse(&unknown.actual_action_id).ok();
                action.and_then(|action| model.near_action(&action).map(|near| did_you_mean(&near)))
            }
        },
        ValidationError::UnsafeAttributeAccess(unsafe_) => of_attribute(model, &unsafe_.attribute_access),
        ValidationError::UnsafeOptionalAttributeAccess(unsafe_) => {
            let text = text_of(template, site, unsafe_.source_loc.as_ref());
            Some(guard(&unsafe_.attribute_access, text))
        }
        ValidationError::UnsafeTagAccess(unsafe_) => {
            let text = text_of(template, site, unsafe_.source_loc.as_ref());
            let of = text.and_then(|text| text.rsplit_once(".getTag(")).map(|(of, _)| of);
            let of = of.filter(|of| is_short(of)).unwrap_or_default();
            Some(format!("test first whether the tag is there: `{of}.hasTag({}) && ...`", unsafe_.tag))
        }
        _ => found.help.as_deref().map(|help| plain(help, id)),
    };
    Diagnostic { help, message: plain_message(&found.message), ..found }
}

/// A warning at its place in the text that the policy was cut from; `values` are what a link fills slots with.
pub(super) fn of_warning(
    model: &SchemaModel,
    template: &Template,
    site: &Site,
    id: &PolicyID,
    warning: &ValidationWarning,
    values: &HashMap<SlotId, EntityUID>,
) -> Diagnostic {
    let found = locate(template, site, id, warning);
    let ValidationWarning::InvalidActionApplication(_) = warning else { return found };
    let found = found.rule(IMPOSSIBLE_ACTION);
    let actions: Vec<&EntityUID> = match template.action_constraint() {
        ActionConstraint::Eq(action) => vec![action],
        ActionConstraint::In(actions) => actions.iter().map(AsRef::as_ref).take(MOST_ACTIONS).collect(),
        _ => Vec::new(),
    };
    let applies = actions.iter().filter_map(|action| {
        let ty = action.entity_type().to_string();
        let uid = Uid { type_name: ty.into(), id: AsRef::<str>::as_ref(action.eid()).into() };
        let (principals, resources) = model.applies_to(&uid)?;
        let (principals, resources) = (listed(&principals), listed(&resources));
        Some(format!("`{uid}` applies to principals of the type {principals} and resources of the type {resources}"))
    });
    let mut advice: Vec<String> = applies.collect();
    let mut linked: Vec<String> = values.iter().map(|(slot, entity)| format!("`{slot}` is `{entity}`")).collect();
    linked.sort_unstable();
    advice.extend((!linked.is_empty()).then(|| format!("here {}", linked.join(" and "))));
    advice.extend(found.help.clone());
    Diagnostic { help: (!advice.is_empty()).then(|| advice.join("; ")), ..found }
}

fn did_you_mean(near: &dyn std::fmt::Display) -> String {
    format!("did you mean `{near}`?")
}

/// What was probably meant by a member that is not declared, or else what there is.
fn of_attribute(model: &SchemaModel, access: &AttributeAccess) -> Option<String> {
    let (declared, attributes) = match access {
        AttributeAccess::EntityLUB(types, attributes) => {
            let ty = types.get_single_entity()?.to_string();
            (&model.entity_type(&ty)?.attributes, attributes)
        }
        AttributeAccess::Context(action, attributes) => {
            let ty = action.entity_type().to_string();
            let uid = Uid { type_name: ty.into(), id: AsRef::<str>::as_ref(action.eid()).into() };
            (model.context(&uid)?, attributes)
        }
        AttributeAccess::Other(_) => return None,
    };
    // the last step comes first
    let (unknown, path) = attributes.split_first()?;
    let step = |here: &'_ Members, step: &str| match here.get(step).map(|member| member.ty.clone()) {
        Some(Type::Record(members)) => Some(members),
        _ => None,
    };
    let mut inner: Option<std::sync::Arc<Members>> = None;
    for name in path.iter().rev() {
        inner = Some(step(inner.as_deref().unwrap_or(declared), name)?);
    }
    let known = inner.as_deref().unwrap_or(declared);
    if let Some(near) = closest(unknown, known.keys().map(String::as_str)) {
        return Some(did_you_mean(&near));
    }
    let names: Vec<String> = known.keys().cloned().collect();
    Some(if names.is_empty() { "it has no attributes".to_owned() } else { format!("it has {}", listed(&names)) })
}

/// How to ask first whether an optional member is there.
fn guard(access: &AttributeAccess, text: Option<&str>) -> String {
    let (AttributeAccess::EntityLUB(_, attributes)
    | AttributeAccess::Context(_, attributes)
    | AttributeAccess::Other(attributes)) = access;
    let name = attributes.first().map_or("", |name| name.as_str());
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let shown = if is_word { name.to_owned() } else { serde_json::Value::from(name).to_string() };
    // Cedar shows the whole chain of members, of which the access may be a part
    let nth = attributes.iter().filter(|step| *step == name).count().saturating_sub(1);
    let before = |text: &str| {
        let ends = text.match_indices(name).filter_map(|(at, _)| {
            let (of, behind) = (text.get(..at)?.trim_end(), text.get(at + name.len()..)?);
            let dotted =
                of.strip_suffix('.').filter(|_| !behind.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
            let indexed = || of.strip_suffix("[\"").filter(|_| behind.starts_with("\"]"));
            dotted.or_else(indexed)
        });
        let of = ends.map(str::trim).nth(nth)?;
        is_short(of).then(|| of.to_owned())
    };
    match text.and_then(before) {
        Some(of) => format!("it is optional: test first whether it is there, with `{of} has {shown} && ...`"),
        None => format!("it is optional: test first whether it is there, with `has {shown}`"),
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= LONGEST_SHOWN && !text.contains('\n')
}

/// The text that an error is about.
fn text_of<'s>(template: &Template, site: &'s Site, loc: Option<&Loc>) -> Option<&'s str> {
    let loc = loc?;
    let at = start_of(template, site) + loc.span.offset();
    site.source.get(at..at + loc.span.len())
}

/// Where in the source the text begins that the policy was parsed with.
fn start_of(template: &Template, site: &Site) -> usize {
    template.loc().map_or(0, |loc| site.span.start.saturating_sub(loc.span.offset()))
}

/// A finding at its place in the text that the policy was cut from.
fn locate(template: &Template, site: &Site, id: &PolicyID, error: &dyn miette::Diagnostic) -> Diagnostic {
    let found = diagnose::one_within(&site.origin, &site.source, start_of(template, site), error);
    // as text Cedar escapes it
    site.on_line(found).policy(AsRef::<str>::as_ref(id))
}

/// Cedar's names for its own types, and what people call them.
const NAMES: &[(&str, &str)] = &[
    ("Set<__cedar::internal::AnyEntity>", "a set of entities"),
    ("Set<__cedar::internal::Any>", "a set"),
    ("__cedar::internal::AnyEntity", "an entity"),
    ("__cedar::internal::OpenRecord{}", "a record"),
    ("__cedar::internal::OpenRecord", "a record with "),
    ("__cedar::internal::True", "Bool"),
    ("__cedar::internal::False", "Bool"),
    ("__cedar::internal::Never", "a value that cannot be"),
    ("__cedar::internal::Union", "one of "),
    ("__cedar::internal::", ""),
    ("error during extension function argument validation: ", ""),
    (", or ", " or "),
    ("but saw ", "but found "),
];

fn plain_message(message: &str) -> String {
    NAMES.iter().fold(message.to_owned(), |text, (cedars, ours)| text.replace(cedars, ours))
}

/// An advice without the name of the policy, which stands before it.
fn plain(help: &str, id: &PolicyID) -> String {
    plain_message(help.strip_prefix(&format!("for policy `{id}`, ")).unwrap_or(help))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::{Bundle, PolicyNaming, PolicyText, SchemaText};
    use crate::settings::{Limits, Semantics};

    const SCHEMA: &str = "namespace H { entity Ward; entity Staff in [Ward] { name: String, onCall?: Bool, \"a b\"?: Bool }; \
        entity Patient in [Ward] { attending: Staff, kind: String, owner: Staff, notes?: { private: Bool } }; \
        action read, write, discharge appliesTo { principal: Staff, resource: Patient, context: { emergency?: Bool } }; }";

    fn findings(policy: &str) -> Vec<String> {
        let bundle = Bundle {
            policies: vec![PolicyText {
                origin: "p".to_owned(),
                text: policy.to_owned(),
                naming: PolicyNaming::Stem("p".to_owned()),
            }],
            schema: Some(SchemaText { fragments: vec![("s".to_owned(), SCHEMA.to_owned())] }),
            ..Bundle::default()
        };
        let verdict = crate::check(&Arc::new(bundle), &Limits::default(), Semantics::Strict, &|| false);
        verdict.errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_names_that_are_near_are_suggested() {
        for (condition, help) in [
            ("resource.public", "help: it has `attending`, `kind`, `notes`, `owner`"),
            ("resource.attend.name == \"x\"", "help: did you mean `attending`?"),
            ("principal.oncall", "help: did you mean `onCall`?"),
            ("context.emergancy", "help: did you mean `emergency`?"),
            ("context.now", "help: it has `emergency`"),
            ("resource.attending.nam == \"x\"", "help: did you mean `name`?"),
            ("principal == Staff::\"a\"", "help: did you mean `H::Staff`?"),
            ("action == H::Action::\"dischrage\"", "help: did you mean `H::Action::\"discharge\"`?"),
            ("action == Action::\"dischrage\"", "help: did you mean `H::Action::\"discharge\"`?"),
        ] {
            let policy = format!(
                "permit (principal is H::Staff, action == H::Action::\"read\", resource is H::Patient) when {{ {condition} }};"
            );
            let found = findings(&policy).join("\n");
            assert!(found.contains(help) && found.matches("did you mean").count() <= 1, "{condition}: {found}");
        }
        for (scope, helps) in [
            ("principal, action == H::Action::\"zzz\", resource", None),
            ("principal is Zebra, action, resource", None),
            ("principal, action == H::Action::\"dischrage\", resource", Some("H::Action::\"discharge\"")),
        ] {
            let found = findings(&format!("permit ({scope});")).join("\n");
            assert_eq!(found.contains("did you mean"), helps.is_some(), "{scope}: {found}");
            assert!(helps.is_none_or(|helps| found.contains(helps)), "{scope}: {found}");
        }
    }

    #[test]
    fn an_advice_names_the_expression() {
        for (condition, help) in [
            ("resource.attending.onCall", "`resource.attending has onCall && ...`"),
            ("principal.onCall", "`principal has onCall && ...`"),
            ("principal[\"a b\"]", "`principal has \"a b\" && ...`"),
            ("context.emergency", "`context has emergency && ...`"),
            ("resource has owner && resource.notes.private", "`resource has notes && ...`"),
        ] {
            let policy = format!(
                "permit (principal is H::Staff, action == H::Action::\"read\", resource is H::Patient) when {{ {condition} }};"
            );
            let found = findings(&policy).join("\n");
            assert!(found.contains(help), "{condition}: {found}");
        }
    }

    #[test]
    fn no_name_of_cedars_own_is_told() {
        for condition in [
            "principal in \"x\"",
            "principal.name in [\"a\"]",
            "principal.name.contains(\"x\")",
            "principal has name.first",
            "principal.name + 1 > 2",
            "if principal.name then true else false",
            "ip(\"1.2.3.400\").isLoopback()",
        ] {
            let policy = format!(
                "permit (principal is H::Staff, action == H::Action::\"read\", resource is H::Patient) when {{ {condition} }};"
            );
            let found = findings(&policy).join("\n");
            assert!(
                !found.is_empty() && !found.contains("__cedar") && !found.contains("during"),
                "{condition}: {found}"
            );
        }
        let found = findings("permit (principal is H::Patient, action == H::Action::\"read\", resource);").join("\n");
        assert!(
            found.contains("applies to principals of the type `H::Staff` and resources of the type `H::Patient`"),
            "{found}"
        );
    }
}
