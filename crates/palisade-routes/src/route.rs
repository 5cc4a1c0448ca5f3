//! A compiled route: what it matches, and what happens to the request.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::condition::Condition;
use crate::guard::Guards;
use crate::mask::Mask;
use crate::path::Classes;
use crate::pattern::Pattern;
use crate::read::Kind;
use crate::service::{Ignored, Service};
use crate::source::{Capture, Source};
use crate::template::{EntityTemplate, ResourceTemplate, ValueTemplate};
use crate::upgrade::Upgrade;
use palisade_engine::model::Uid;

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// The methods and the path.
    pub pattern: Pattern,
    /// Where it was written: `file:line`.
    pub place: String,
    /// The hosts that it is for; none means all.
    pub hosts: Arc<[String]>,
    /// Where the credential is; `None` where the configuration says.
    pub credential: Option<Arc<Credential>>,
    /// The service behind it.
    pub service: Arc<Service>,
    /// What the connection may become; `None` means that it stays what it is.
    pub upgrade: Option<Upgrade>,
    /// Conditions on the request.
    pub when: Vec<Condition>,
    /// A stored entity whose attributes the checks may name.
    pub record: Option<EntityTemplate>,
    /// The ambiguities that are allowed.
    pub allowed: Classes,
    /// What happens to the request.
    pub effect: Effect,
    /// The members that the body may have at its top; `None` where the route does not look.
    pub fields: Option<Arc<BTreeSet<String>>>,
    /// The parameters that the query may have; `None` where the route does not look.
    pub parameters: Option<Arc<BTreeSet<String>>>,
    /// Its author's remark.
    pub comment: Option<String>,
    /// What its captures must be besides.
    pub guards: Arc<Guards>,
    /// Its requests, if it is an operation of a document.
    pub(super) mask: Option<Arc<Mask>>,
    /// Whether some of its requests may be kept from it, because they are for an operation of a document.
    pub(super) contested: bool,
    pub(super) kind: Kind,
    pub(super) origin: String,
    pub(super) line: Option<usize>,
    pub(super) captures: Vec<Capture>,
    pub(super) reads_body: bool,
}

/// Where the credential of a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The header, in lower case.
    pub header: String,
    /// The cookie, where the header is that of cookies.
    pub cookie: Option<String>,
    /// The words that may stand before it; an empty one means none.
    pub schemes: Vec<String>,
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Effect {
    /// It passes for any caller.
    Public,
    /// It is refused, for this reason.
    Deny(String),
    /// It passes if everything is allowed that these rules ask.
    Checks {
        /// The types of principal that may ask; none means all.
        principals: Vec<String>,
        /// At least one.
        rules: Vec<Rule>,
    },
}

/// A rule that makes checks.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Conditions without which it makes none.
    pub when: Vec<Condition>,
    /// The list of which each element is one check.
    pub each: Option<Source>,
    /// What it asks.
    pub effect: RuleEffect,
}

/// What a rule does.
#[derive(Debug, Clone)]
pub enum RuleEffect {
    /// It refuses, for this reason.
    Deny(String),
    /// It asks.
    Check(CheckTemplate),
}

/// What a check is made of.
#[derive(Debug, Clone)]
pub struct CheckTemplate {
    /// The action.
    pub action: Uid<'static>,
    /// The resource.
    pub resource: ResourceTemplate,
    /// Members of the context.
    pub context: Vec<ContextMember>,
    /// Whether `context.auth` is put in.
    pub wants_auth: bool,
    /// Whether `context.token` is put in, if there is one.
    pub wants_token: bool,
}

/// One member of the context.
#[derive(Debug, Clone)]
pub struct ContextMember {
    /// Its name.
    pub name: String,
    /// Whether it is left out where the request has no value for it.
    pub optional: bool,
    /// Its value.
    pub value: ValueTemplate,
}

impl Route {
    /// Every source that it reads.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let rules: &[Rule] = match &self.effect {
            Effect::Checks { rules, .. } => rules,
            Effect::Public | Effect::Deny(_) => &[],
        };
        let record = self.record.as_ref().and_then(|record| record.id.source.as_ref());
        self.when.iter().map(|condition| &condition.source).chain(record).chain(rules.iter().flat_map(Rule::sources))
    }

    /// Every name that it asks for, at any side of a request.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.sources().flat_map(Source::names).map(String::as_str).chain(self.deciding())
    }

    /// The captures that would lead to another route, or to none, if they were something else.
    pub(super) fn deciding(&self) -> impl Iterator<Item = &str> {
        self.captures.iter().filter(|capture| capture.decides).map(|capture| capture.name.as_str())
    }

    /// Whether it reads a parameter of the query, or lists it.
    pub(super) fn knows_of_query(&self, name: &str) -> bool {
        self.parameters.as_ref().is_some_and(|known| known.contains(name))
            || self.sources().any(|source| matches!(source, Source::Query(read) if read == name))
    }

    /// Whether it reads a header.
    pub(super) fn knows_of_header(&self, name: &str) -> bool {
        self.sources().any(|source| matches!(source, Source::Header(read) if read == name))
    }

    /// Whether it reads a member of the body, or lists it.
    pub(super) fn knows_of_body(&self, name: &str) -> bool {
        let is_first = |steps: &[String]| steps.first().is_some_and(|first| first == name);
        self.fields.as_ref().is_some_and(|known| known.contains(name))
            || self.sources().any(|source| matches!(source, Source::Body(steps) if is_first(steps)))
    }

    /// The names under which a body could have what the route reads in another place, or was chosen by. A capture counts
    /// where the body is `shown`: else most requests of a path with captures would be refused.
    pub(super) fn asked_of_body(&self, shown: bool) -> impl Iterator<Item = &str> {
        let captures = shown && !self.service.ignores.contains(&Ignored::CaptureOverride);
        let queries = !self.service.ignores.contains(&Ignored::BodyParameters);
        let read = self.sources().filter_map(move |source| match source {
            Source::Query(name) if queries => Some(name.as_str()),
            Source::Path(name) if captures => Some(name.as_str()),
            _ => None,
        });
        read.chain(self.deciding().filter(move |_| captures))
    }
}

impl Route {
    /// What the route does with a request that these rules concern, a text for each thing, and how many of its rules do
    /// not concern it.
    #[must_use]
    pub fn with(&self, concerning: &[&Rule]) -> (Vec<String>, usize) {
        let Effect::Checks { rules, .. } = &self.effect else { return (vec![self.to_string()], 0) };
        let mut does: Vec<String> = concerning.iter().map(ToString::to_string).collect();
        let lists = [(self.fields.is_some(), "fields"), (self.parameters.is_some(), "parameters")];
        does.extend(lists.iter().filter(|(is, _)| *is).map(|(_, what)| format!("deny: {what} that are not listed")));
        let guards = self.guards.to_string();
        does.extend(Some(guards.trim_start().to_owned()).filter(|guards| !guards.is_empty()));
        (does, rules.len().saturating_sub(concerning.len()))
    }
}

impl Rule {
    /// Whether it is plain that it concerns no request without a query. (What would be looked at first is a parameter,
    /// and it must be there.)
    pub(super) fn needs_a_query(&self) -> bool {
        self.when.first().is_some_and(Condition::needs_a_query)
    }

    /// What it asks, if it asks.
    pub(super) fn check(&self) -> Option<&CheckTemplate> {
        match &self.effect {
            RuleEffect::Check(check) => Some(check),
            RuleEffect::Deny(_) => None,
        }
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        let of_check = self.check().into_iter().flat_map(|check| {
            check.resource.source().into_iter().chain(check.context.iter().filter_map(|member| member.value.source()))
        });
        self.when.iter().map(|condition| &condition.source).chain(&self.each).chain(of_check)
    }
}

impl fmt::Display for Route {
    /// What the route does, in a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.effect {
            Effect::Public => f.write_str("public"),
            Effect::Deny(reason) => write!(f, "deny: {reason}"),
            Effect::Checks { rules, .. } => {
                for (at, rule) in rules.iter().enumerate() {
                    if at > 0 {
                        f.write_str("; ")?;
                    }
                    rule.fmt(f)?;
                }
                if self.fields.is_some() {
                    f.write_str("; deny: fields that are not listed")?;
                }
                if self.parameters.is_some() {
                    f.write_str("; deny: parameters that are not listed")?;
                }
                Ok(())
            }
        }?;
        self.guards.fmt(f)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.effect {
            RuleEffect::Deny(reason) => write!(f, "deny: {reason}")?,
            RuleEffect::Check(check) => {
                write!(f, "{} {}", check.action.id, check.resource)?;
                for member in &check.context {
                    let optional = if member.optional { "?" } else { "" };
                    write!(f, " {}{optional}={}", member.name, member.value)?;
                }
            }
        }
        if let Some(each) = &self.each {
            write!(f, " for each of {each}")?;
        }
        for (at, condition) in self.when.iter().enumerate() {
            write!(f, "{} {condition}", if at == 0 { " if" } else { " and" })?;
        }
        Ok(())
    }
}
