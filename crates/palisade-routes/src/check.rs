//! Holds a rule against the schema: types, actions, attributes and members of the context.

use std::collections::BTreeMap;

use crate::condition::{Condition, Test};
use crate::raw::RawValue;
use crate::route::ContextMember;
use crate::source::Source;
use crate::template::{EntityTemplate, Fixed, ResourceTemplate, TextTemplate, ValueTemplate};
use palisade_engine::model::{Uid, hint};
use palisade_engine::{ActionFacts, MemberFacts, MemberKind, SchemaFacts};

/// Members of the context that the sidecar fills in itself from what it verified.
const OWN_MEMBERS: [&str; 3] = ["now", "auth", "token"];

/// Checks against a schema, or nothing at all without one.
pub(super) struct Checker<'f> {
    facts: Option<&'f SchemaFacts>,
}

/// What a rule is checked in.
pub(super) struct Scope<'a> {
    pub(super) action: &'a Uid<'static>,
    pub(super) principals: &'a [String],
    /// Whether the rule goes over a list.
    pub(super) each: bool,
    pub(super) namespace: Option<&'a str>,
    pub(super) record: Option<&'a EntityTemplate>,
}

/// A problem, and the steps to the member that it is about.
pub(super) type Problem = (Vec<String>, String);

impl<'f> Checker<'f> {
    pub(super) fn new(facts: Option<&'f SchemaFacts>) -> Self {
        Self { facts }
    }

    pub(super) fn entity_type(&self, name: &str) -> Result<(), String> {
        let Some(facts) = self.facts else { return Ok(()) };
        if facts.attributes(name).is_some() {
            return Ok(());
        }
        let same = |known: &&str| last(known) == last(name);
        let elsewhere = facts.type_names().find(same).map(|known| format!("; there is `{known}`: set `namespace`"));
        let hint = elsewhere.unwrap_or_else(|| hint(name, facts.type_names()));
        Err(format!("the schema has no entity type `{name}`{hint}"))
    }

    pub(super) fn action(&self, action: &Uid<'_>) -> Result<(), String> {
        let Some(facts) = self.facts else { return Ok(()) };
        if facts.action(action).is_some() {
            return Ok(());
        }
        let mut elsewhere = facts.action_types(&action.id);
        let elsewhere = elsewhere.next().map(|ty| format!("; there is `{ty}::\"{}\"`: set `namespace`", action.id));
        let hint = elsewhere.unwrap_or_else(|| hint(&action.id, facts.action_ids(&action.type_name)));
        Err(format!("the schema has no action `{action}`{hint}"))
    }

    /// Whether the context of an action has a member; without a schema, that it has.
    pub(super) fn declares(&self, action: &Uid<'_>, member: &str) -> bool {
        self.facts.is_none_or(|facts| facts.action(action).is_some_and(|action| action.context.contains_key(member)))
    }

    /// Checks a rule and compiles its context.
    pub(super) fn check(
        &self,
        scope: &Scope<'_>,
        resource: &ResourceTemplate,
        context: &BTreeMap<String, RawValue>,
        when: &[Condition],
    ) -> (Vec<ContextMember>, Vec<Problem>) {
        let mut problems: Vec<Problem> = Vec::new();
        let facts = self.facts.and_then(|facts| facts.action(scope.action));
        if let Some(facts) = facts {
            self.principals(scope, facts, &mut problems);
            self.resource(scope, facts, resource, &mut problems);
        }
        let members = self.context(scope, facts, context, &mut problems);
        let sources = resource.source().into_iter().chain(members.iter().filter_map(|member| member.value.source()));
        for source in sources {
            if matches!(source, Source::Each(_)) && !scope.each {
                problems.push((Vec::new(), format!("`{source}`: there is no `each` to go over")));
            }
            self.attribute(scope, facts, source, &mut problems);
        }
        for condition in when {
            let problem = match (&condition.source, &condition.test) {
                (Source::Each(_), _) => {
                    Some(format!("`{condition}`: a condition is about the request, not about an element"))
                }
                (_, Test::Differs(attribute)) => self.differs(resource, attribute),
                _ => None,
            };
            problems.extend(problem.map(|problem| (vec!["when".to_owned()], problem)));
        }
        (members, problems)
    }

    fn principals(&self, scope: &Scope<'_>, facts: &ActionFacts, problems: &mut Vec<Problem>) {
        for name in scope.principals {
            if !facts.principals.contains(name) {
                let message =
                    format!("`{}` is not for `{name}`; it is for {}", scope.action.id, list(&facts.principals));
                problems.push((vec!["principal".to_owned()], message));
            }
        }
    }

    fn resource(
        &self,
        scope: &Scope<'_>,
        facts: &ActionFacts,
        resource: &ResourceTemplate,
        problems: &mut Vec<Problem>,
    ) {
        let place = || vec!["resource".to_owned()];
        match resource {
            ResourceTemplate::Entity(entity) => {
                if let Err(error) = self.entity_type(&entity.type_name) {
                    problems.push((place(), error));
                } else if !facts.resources.contains(&entity.type_name) {
                    let message = format!(
                        "`{}` is not about `{}`; it is about {}",
                        scope.action.id,
                        entity.type_name,
                        list(&facts.resources)
                    );
                    problems.push((place(), message));
                }
            }
            ResourceTemplate::Principal if facts.principals.is_disjoint(&facts.resources) => {
                let message = format!("`self`: `{}` is about {}", scope.action.id, list(&facts.resources));
                problems.push((place(), message));
            }
            ResourceTemplate::Token
                if facts.context.get("token").is_none_or(
                    |token| !matches!(&token.kind, MemberKind::Entity(name) if facts.resources.contains(name)),
                ) =>
            {
                let message = format!("`token`: `{}` is about {}", scope.action.id, list(&facts.resources));
                problems.push((place(), message));
            }
            ResourceTemplate::Principal | ResourceTemplate::Token => {}
        }
    }

    /// An attribute that a home is read from must be there, and refer to an entity.
    fn attribute(&self, scope: &Scope<'_>, facts: Option<&ActionFacts>, source: &Source, problems: &mut Vec<Problem>) {
        let (Some(facts), Some(schema)) = (facts, self.facts) else { return };
        let (attribute, types): (_, Vec<&String>) = match (source, scope.record) {
            (Source::Principal(attribute), _) if scope.principals.is_empty() => {
                (attribute, facts.principals.iter().collect())
            }
            (Source::Principal(attribute), _) => (attribute, scope.principals.iter().collect()),
            (Source::Record(attribute), Some(record)) => (attribute, vec![&record.type_name]),
            (Source::Record(_), None) => {
                return problems.push((Vec::new(), format!("`{source}`: the route has no `record`")));
            }
            _ => return,
        };
        for name in types {
            let declared = schema.attributes(name).and_then(|attributes| attributes.get(attribute));
            if !matches!(declared, Some(MemberFacts { kind: MemberKind::Entity(_), .. })) {
                let message = format!("`{source}`: `{name}` has no attribute `{attribute}` that is an entity");
                problems.push((Vec::new(), message));
            }
        }
    }

    /// What is wrong with a condition on an attribute of the resource.
    pub(super) fn differs(&self, resource: &ResourceTemplate, attribute: &str) -> Option<String> {
        let ResourceTemplate::Entity(entity) = resource else { return None };
        let declared = self.facts?.attributes(&entity.type_name)?.get(attribute);
        let fits = matches!(declared, Some(MemberFacts { kind: MemberKind::Entity(_), .. }));
        (!fits).then(|| format!("`{}` has no attribute `{attribute}` that is an entity", entity.type_name))
    }

    fn context(
        &self,
        scope: &Scope<'_>,
        facts: Option<&ActionFacts>,
        context: &BTreeMap<String, RawValue>,
        problems: &mut Vec<Problem>,
    ) -> Vec<ContextMember> {
        let mut members: Vec<ContextMember> = Vec::new();
        for (key, raw) in context {
            let (name, optional) = key.strip_suffix('?').map_or((key.as_str(), false), |name| (name, true));
            let mut problem = |message: String| problems.push((vec!["context".to_owned(), key.clone()], message));
            if OWN_MEMBERS.contains(&name) {
                problem(format!("`{name}` is filled in by the sidecar, from what it verified"));
                continue;
            }
            let declared = facts.map(|facts| facts.context.get(name));
            if declared == Some(None) {
                let known = facts.into_iter().flat_map(|facts| facts.context.keys().map(String::as_str));
                problem(format!("the context of `{}` has no member `{name}`{}", scope.action.id, hint(name, known)));
                continue;
            }
            let declared = declared.flatten();
            if optional && declared.is_some_and(|declared| declared.required) {
                problem(format!("`{name}` must be there, so it cannot be left out with `?`"));
            }
            match self.value(scope, raw, declared.map(|declared| &declared.kind)) {
                Ok(value) => members.push(ContextMember { name: name.to_owned(), optional, value }),
                Err(error) => problem(error),
            }
        }
        for (name, member) in facts.iter().flat_map(|facts| &facts.context) {
            let there = OWN_MEMBERS.contains(&name.as_str()) || context.contains_key(name);
            if member.required && !there && !context.contains_key(&format!("{name}?")) {
                let message =
                    format!("`{}` needs `context.{name}`; say under `context` where it comes from", scope.action.id);
                problems.push((Vec::new(), message));
            }
        }
        members
    }

    fn value(&self, scope: &Scope<'_>, raw: &RawValue, kind: Option<&MemberKind>) -> Result<ValueTemplate, String> {
        let text = match (raw, kind) {
            (RawValue::Bool(truth), None | Some(MemberKind::Bool)) => {
                return Ok(ValueTemplate::Fixed(Fixed::Bool(*truth)));
            }
            (RawValue::Long(number), None | Some(MemberKind::Long)) => {
                return Ok(ValueTemplate::Fixed(Fixed::Long(*number)));
            }
            (RawValue::Bool(_) | RawValue::Long(_), Some(kind)) => return Err(format!("this must be {}", shown(kind))),
            (RawValue::Text(text), _) => text,
        };
        let single = || match TextTemplate::parse(text)? {
            template
                if template.to_string()
                    == format!("{{{}}}", template.source.as_ref().map(ToString::to_string).unwrap_or_default()) =>
            {
                template.source.ok_or_else(|| format!("`{text}` must be one placeholder"))
            }
            _ => Err(format!("`{text}` must be one placeholder and nothing else, such as `{{query.limit}}`")),
        };
        match kind {
            Some(MemberKind::Entity(type_name)) => {
                let entity = EntityTemplate::parse(text, scope.namespace)?;
                if entity.type_name != *type_name {
                    return Err(format!("this must be a `{type_name}`, not a `{}`", entity.type_name));
                }
                Ok(ValueTemplate::Entity(entity))
            }
            Some(MemberKind::Long) => single().map(ValueTemplate::Long),
            Some(MemberKind::Bool) => single().map(ValueTemplate::Bool),
            Some(MemberKind::Ip) => single().map(ValueTemplate::Ip),
            Some(MemberKind::String) => TextTemplate::parse(text).map(ValueTemplate::Text),
            Some(MemberKind::Other) => Err("its type cannot come from a request".to_owned()),
            None if text.contains("::") => EntityTemplate::parse(text, scope.namespace).map(ValueTemplate::Entity),
            None => TextTemplate::parse(text).map(ValueTemplate::Text),
        }
    }
}

fn shown(kind: &MemberKind) -> String {
    match kind {
        MemberKind::Entity(name) => format!("a `{name}`"),
        MemberKind::String => "a text".to_owned(),
        MemberKind::Long => "a whole number".to_owned(),
        MemberKind::Bool => "`true` or `false`".to_owned(),
        MemberKind::Ip => "an address".to_owned(),
        MemberKind::Other => "of another type".to_owned(),
    }
}

fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A name without its namespace.
fn last(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}
