//! From what was written to what is matched: every reference checked, all problems reported at once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::bounds::{self, MAX_CONDITIONS, Problems};
use crate::check::{Checker, Scope};
use crate::condition::{Condition, Test};
use crate::path::Classes;
use crate::pattern::Pattern;
use crate::raw::{RawRule, Texts};
use crate::read::{Entry, Findings};
use crate::route::{CheckTemplate, Effect, Route, Rule, RuleEffect};
use crate::source::Source;
use crate::table::RouteTable;
use crate::template::{EntityTemplate, ResourceTemplate, qualify};
use palisade_engine::model::{Bundle, Diagnostic, Uid};
use palisade_engine::{Limits, SchemaFacts};
use palisade_text::{Place, Starts};

/// Compiles files of routes, each an origin and a text. With `facts` every type, action and member is checked.
///
/// Returns the table with the warnings that its author should see.
///
/// # Errors
/// Every problem found. Nothing of a faulty set of files is ever used.
pub fn compile(
    files: &[(String, String)],
    facts: Option<&SchemaFacts>,
) -> Result<(RouteTable, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let entries = bounds::read_all(files, &mut findings)?;
    let mut compiler = Compiler { checker: Checker::new(facts), findings, told: HashSet::new() };
    let routes: Vec<Route> = entries.iter().flat_map(|entry| compiler.entry(entry)).collect();
    let Findings { mut errors, warnings } = compiler.findings;
    let mut clashes = Problems::default();
    let table = RouteTable::build(routes, &mut clashes);
    // the table knows the line, and not what stands there
    let mut starts: HashMap<&str, Starts> = HashMap::new();
    errors.absorb(clashes, |clash| {
        let file = files.iter().find(|(origin, _)| *origin == clash.origin);
        match (file, clash.line) {
            (Some((origin, text)), Some(line)) => {
                starts.entry(origin).or_insert_with(|| Starts::of(text)).located(clash, text, line)
            }
            _ => clash,
        }
    });
    if errors.is_empty() {
        Ok((table, Diagnostic::about("route", warnings.finish())))
    } else {
        Err(Diagnostic::about("route", errors.finish()))
    }
}

/// Compiles the routes of a bundle against its schema, if it has one.
///
/// Recurses with the nesting of the schema: call it through [`palisade_engine::on_big_stack`].
///
/// # Errors
/// Every problem found, those of the schema among them.
pub fn compile_bundle(bundle: &Bundle, limits: &Limits) -> Result<(RouteTable, Vec<Diagnostic>), Vec<Diagnostic>> {
    if bundle.routes.is_empty() {
        return Ok((RouteTable::default(), Vec::new()));
    }
    match bundle.schema.as_ref().map(|text| SchemaFacts::read(text, limits)).transpose() {
        Ok(facts) => compile(&bundle.routes, facts.as_ref()),
        // what is wrong with the routes by themselves is found without it
        Err(mut found) => {
            found.extend(compile(&bundle.routes, None).err().into_iter().flatten());
            Err(found)
        }
    }
}

/// The problems of a bundle with those of its routes. Both read the schema: a problem in it is reported once.
#[must_use]
pub fn together(mut problems: Vec<Diagnostic>, of_routes: Option<Vec<Diagnostic>>) -> Vec<Diagnostic> {
    let is_same = |one: &Diagnostic, other: &Diagnostic| {
        (&one.origin, one.line, one.column, &one.message) == (&other.origin, other.line, other.column, &other.message)
    };
    let is_new = |problem: &Diagnostic| !problems.iter().any(|known| is_same(known, problem));
    let more: Vec<Diagnostic> = of_routes.into_iter().flatten().filter(is_new).collect();
    problems.extend(more);
    problems
}

struct Compiler<'f> {
    checker: Checker<'f>,
    findings: Findings,
    /// Problems of the rules that a file has for all its routes.
    told: HashSet<String>,
}

impl Compiler<'_> {
    fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.findings.errors.push(place.error(message));
    }

    /// The routes of an entry: one for each match under each prefix.
    fn entry(&mut self, entry: &Entry) -> Vec<Route> {
        let (raw, place) = (&entry.raw, &entry.place);
        if raw.upgrade.is_some() && raw.deny.is_some() {
            self.error(&place.at(&["upgrade"]), "`upgrade` and `deny` exclude one another");
        }
        let mut patterns = Vec::new();
        for text in &raw.matches.0 {
            for prefix in &entry.file.prefixes {
                match Pattern::parse(text, prefix) {
                    Ok(pattern) => patterns.push((pattern, prefix)),
                    Err(error) => {
                        self.error(&place.at(&["match"]), error);
                        break;
                    }
                }
            }
        }
        let when = self.conditions(&raw.when, place);
        for condition in &when {
            if !condition.source.is_of_request() || matches!(condition.test, Test::Differs(_)) {
                let message =
                    format!("`{condition}`: a route is chosen by its request alone: path, query, header or body");
                self.error(&place.at(&["when"]), message);
            }
        }
        let record = self.record(entry);
        let Some(effect) = self.effect(entry, record.as_ref()) else { return Vec::new() };
        let allowed: Classes = raw.allow_paths.iter().chain(&entry.file.defaults.allow_paths).copied().collect();
        let mut routes = Vec::new();
        for (pattern, prefix) in patterns {
            let mut captures = pattern.captures();
            let guards = entry.guards.among(&captures);
            for capture in &mut captures {
                capture.decides |= guards.shapes().any(|(name, _)| name == capture.name);
            }
            let route = Route {
                place: place.shown(),
                origin: place.origin().to_owned(),
                line: place.line(),
                hosts: entry.file.hosts.clone(),
                credential: entry.file.credential.clone(),
                service: entry.file.service.clone(),
                upgrade: raw.upgrade,
                when: when.clone(),
                record: record.clone(),
                allowed,
                effect: effect.clone(),
                comment: raw.comment.clone(),
                fields: None,
                parameters: None,
                guards,
                mask: entry.mask.as_ref().map(|mask| Arc::new(mask.under(prefix))),
                contested: false,
                kind: entry.kind,
                captures,
                reads_body: false,
                pattern,
            };
            let unknown: Vec<String> = route
                .sources()
                .filter_map(|source| match source {
                    Source::Path(name) if !route.captures.iter().any(|c| c.name == *name) => Some(name.clone()),
                    _ => None,
                })
                .collect();
            for name in unknown {
                self.error(place, format!("`path.{name}`: `{}` has no capture of that name", route.pattern));
            }
            let fields = known(raw.fields.as_ref(), &route, |source| match source {
                Source::Body(steps) => steps.first(),
                _ => None,
            });
            let parameters = known(raw.parameters.as_ref(), &route, |source| match source {
                Source::Query(name) => Some(name),
                _ => None,
            });
            let reads_body = fields.is_some() || route.sources().any(Source::reads_body);
            routes.push(Route { reads_body, fields, parameters, ..route });
        }
        routes
    }

    fn conditions(&mut self, texts: &Texts, place: &Place) -> Vec<Condition> {
        let mut conditions = Vec::new();
        if texts.0.len() > MAX_CONDITIONS {
            let message = format!("`when` has {} conditions, more than {MAX_CONDITIONS}", texts.0.len());
            self.error(&place.at(&["when"]), message);
            return conditions;
        }
        for text in &texts.0 {
            match Condition::parse(text) {
                Ok(condition) => conditions.push(condition),
                Err(error) => self.error(&place.at(&["when"]), error),
            }
        }
        conditions
    }

    fn record(&mut self, entry: &Entry) -> Option<EntityTemplate> {
        let place = entry.place.at(&["record"]);
        let record = match EntityTemplate::parse(entry.raw.record.as_deref()?, entry.file.namespace.as_deref()) {
            Ok(record) => record,
            Err(error) => {
                self.error(&place, error);
                return None;
            }
        };
        if let Err(error) = self.checker.entity_type(&record.type_name) {
            self.error(&place, error);
        }
        if !record.id.source.as_ref().is_none_or(Source::is_of_request) {
            self.error(&place, "a record is named by the request: path, query, header or body");
        }
        Some(record)
    }

    fn effect(&mut self, entry: &Entry, record: Option<&EntityTemplate>) -> Option<Effect> {
        let (raw, place) = (&entry.raw, &entry.place);
        let asks = raw.action.is_some() || raw.resource.is_some() || raw.each.is_some() || !raw.context.is_empty();
        let rest = raw.also.is_empty() && raw.fields.is_none() && raw.parameters.is_none();
        match (raw.public, &raw.deny, asks) {
            (false, None, true) => {}
            (false, None, false) => {
                self.error(
                    place,
                    "the route says nothing: give it `action` and `resource`, or `public: true`, or `deny`",
                );
                return None;
            }
            (true, None, false) if rest => return Some(Effect::Public),
            (false, Some(reason), false) if rest => return Some(Effect::Deny(reason.clone())),
            _ => {
                self.error(
                    place,
                    "`public`, `deny` and a check (`action`, `resource`, `also`, `fields`, `parameters`, ...) exclude one another",
                );
                return None;
            }
        }
        let namespace = entry.file.namespace.as_deref();
        let principals = if raw.principal.0.is_empty() { &entry.file.defaults.principal } else { &raw.principal };
        let mut types = Vec::new();
        for name in &principals.0 {
            let name = qualify(name, namespace);
            match self.checker.entity_type(&name) {
                Ok(()) => types.push(name),
                Err(error) => self.error(&place.at(&["principal"]), error),
            }
        }
        let main = RawRule {
            action: raw.action.clone(),
            resource: raw.resource.clone(),
            each: raw.each.clone(),
            context: raw.context.clone(),
            ..RawRule::default()
        };
        let mut rules: Vec<Option<Rule>> = vec![self.rule(&main, entry, place, &types, record)];
        for (at, rule) in raw.also.iter().enumerate() {
            let place = place.at(&["also", &at.to_string()]);
            rules.push(self.rule(rule, entry, &place, &types, record));
        }
        let before = self.findings.errors.len();
        for (at, rule) in entry.file.defaults.also.iter().enumerate() {
            let place = entry.file.place.at(&["defaults", "also", &at.to_string()]);
            rules.push(self.rule(rule, entry, &place, &types, record));
        }
        // a problem in them is a problem of every route, and is reported once
        let again = self.findings.errors.split_off(before);
        self.findings.errors.extend(again.into_iter().filter(|error| self.told.insert(error.to_string())));
        let rules: Option<Vec<Rule>> = rules.into_iter().collect();
        Some(Effect::Checks { principals: types, rules: rules? })
    }

    fn rule(
        &mut self,
        raw: &RawRule,
        entry: &Entry,
        place: &Place,
        principals: &[String],
        record: Option<&EntityTemplate>,
    ) -> Option<Rule> {
        let before = self.findings.errors.len();
        let namespace = entry.file.namespace.as_deref();
        let when = self.conditions(&raw.when, place);
        let each = match raw.each.as_deref().map(Source::parse).transpose() {
            Ok(Some(source @ Source::Body(_))) => Some(source),
            Ok(None) => None,
            Ok(Some(source)) => {
                self.error(&place.at(&["each"]), format!("`{source}`: only the body has lists"));
                None
            }
            Err(error) => {
                self.error(&place.at(&["each"]), error);
                None
            }
        };
        if let Some(reason) = &raw.deny {
            if raw.action.is_some() || raw.resource.is_some() || each.is_some() || !raw.context.is_empty() {
                self.error(place, "`deny` and a check exclude one another");
            }
            // such a condition is about the resource of the route, which is checked with the route itself
            let resource = entry.raw.resource.as_deref().and_then(|text| ResourceTemplate::parse(text, namespace).ok());
            for condition in &when {
                if let (Test::Differs(attribute), Some(resource)) = (&condition.test, &resource)
                    && let Some(problem) = self.checker.differs(resource, attribute)
                {
                    self.error(&place.at(&["when"]), problem);
                }
            }
            return Some(Rule { when, each: None, effect: RuleEffect::Deny(reason.clone()) });
        }
        let action = self.action(raw.action.as_deref(), namespace, place);
        let resource = match raw.resource.as_ref().or(entry.raw.resource.as_ref()) {
            Some(text) => match ResourceTemplate::parse(text, namespace) {
                Ok(resource) => Some(resource),
                Err(error) => {
                    self.error(&place.at(&["resource"]), error);
                    None
                }
            },
            None => {
                self.error(place, "the check lacks `resource`, such as `resource: Device::{path.id}`");
                None
            }
        };
        let (action, resource) = (action?, resource?);
        let scope = Scope { action: &action, principals, each: each.is_some(), namespace, record };
        let checked = self.checker.check(&scope, &resource, &raw.context, &when);
        let (context, problems) = checked;
        for (steps, message) in problems {
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            self.error(&place.at(&steps), message);
        }
        let declares = |member: &str| self.checker.declares(&action, member);
        let (wants_auth, wants_token) = (declares("auth"), declares("token"));
        let check = CheckTemplate { action: action.clone(), resource, context, wants_auth, wants_token };
        (self.findings.errors.len() == before).then_some(Rule { when, each, effect: RuleEffect::Check(check) })
    }

    fn action(&mut self, text: Option<&str>, namespace: Option<&str>, place: &Place) -> Option<Uid<'static>> {
        let Some(text) = text else {
            self.error(place, "the check lacks `action`, such as `action: ViewDevice`");
            return None;
        };
        let place = place.at(&["action"]);
        let action = if text.contains("::\"") {
            match Uid::parse(text) {
                Ok(uid) => uid.into_owned(),
                Err(error) => {
                    self.error(&place, error.to_string());
                    return None;
                }
            }
        } else {
            let type_name = qualify("Action", namespace);
            match Uid::new(type_name, text.to_owned()) {
                Ok(uid) => uid,
                Err(error) => {
                    self.error(&place, error.to_string());
                    return None;
                }
            }
        };
        match self.checker.action(&action) {
            Ok(()) => Some(action),
            Err(error) => {
                self.error(&place, error);
                None
            }
        }
    }
}

/// The names that a route lists and those that it reads, if it lists any.
fn known(
    listed: Option<&Texts>,
    route: &Route,
    read: impl Fn(&Source) -> Option<&String>,
) -> Option<Arc<BTreeSet<String>>> {
    Some(Arc::new(listed?.0.iter().chain(route.sources().filter_map(read)).cloned().collect()))
}
