//! From a matched route and a verified identity to the checks that must all allow.

use std::borrow::Cow;
use std::sync::Arc;

use crate::asked::{Asked, Reads};
use crate::facts::{Entities, Identity, RequestFacts};
use crate::looks::{Look, Looks};
use crate::path::Target;
use crate::query;
use crate::refusal::Refusal;
use crate::route::{CheckTemplate, Credential, Effect, Route, Rule, RuleEffect};
use crate::service::Ignored;
use crate::source::{Found as FoundValue, Inputs, Source};
use crate::table::RouteTable;
use crate::template::{entity_value, missing};
use crate::upgrade::Upgrade;
use palisade_engine::model::{AccessRequest, Uid, Value};

/// The most elements of a list that are checked one by one.
pub const MAX_EACH: usize = 256;

/// What a request becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'y> {
    /// It passes for any caller.
    Public,
    /// It passes if all of these are allowed; there is at least one.
    Checks(Vec<AccessRequest<'y>>),
}

/// A request with its route.
pub struct Found<'x> {
    pub(super) route: Option<&'x Route>,
    pub(super) facts: RequestFacts<'x>,
    pub(super) target: Target<'x>,
    pub(super) body: Option<Value<'x>>,
    /// What the conditions of the route looked at, and the captures that chose it.
    pub(super) looked: Vec<Look>,
    /// What all routes ask for.
    pub(super) asked: &'x Asked,
}

impl RouteTable {
    /// The outcome of a request from the caller that `identity` names.
    ///
    /// For callers that know the identity beforehand. Others look at [`Found::credential`] in between.
    ///
    /// # Errors
    /// If the table itself refuses it.
    pub fn resolve(
        &self,
        facts: RequestFacts<'_>,
        identity: Option<&Identity<'_>>,
        entities: &dyn Entities,
    ) -> Result<Outcome<'static>, Refusal> {
        let found = self.find(facts)?;
        Ok(match found.resolve(identity, entities)? {
            Outcome::Public => Outcome::Public,
            Outcome::Checks(checks) => Outcome::Checks(checks.into_iter().map(AccessRequest::into_owned).collect()),
        })
    }
}

impl<'x> Found<'x> {
    pub(super) fn inputs<'y, 'l>(
        &'y self,
        route: &'y Route,
        identity: Option<&'y Identity<'y>>,
        entities: Option<&'y dyn Entities>,
        looks: &'l Looks,
        reads: &'l Reads<'l>,
    ) -> Inputs<'y, 'l> {
        Inputs {
            target: &self.target,
            captures: &route.captures,
            headers: self.facts.headers,
            peer: self.facts.peer,
            body: self.body.as_ref(),
            identity,
            entities,
            each: None,
            record: route.record.as_ref(),
            fields: route.fields.as_deref(),
            path_alone: route.service.ignores.contains(&Ignored::CaptureOverride),
            looks,
            reads,
        }
    }

    /// The route.
    #[must_use]
    pub fn route(&self) -> Option<&'x Route> {
        self.route
    }

    /// Whether no caller needs to be known.
    #[must_use]
    pub fn is_public(&self) -> bool {
        matches!(self.route.map(|route| &route.effect), Some(Effect::Public))
    }

    /// What the connection may become.
    #[must_use]
    pub fn upgrade(&self) -> Option<Upgrade> {
        self.route.and_then(|route| route.upgrade)
    }

    /// Where the credential is; `None` where the configuration says.
    #[must_use]
    pub fn credential(&self) -> Option<&'x Arc<Credential>> {
        self.route.and_then(|route| route.credential.as_ref())
    }

    /// The checks, asked by the caller that `identity` names.
    ///
    /// # Errors
    /// If no caller is known, if a value is missing or can be read in two ways, or if a rule denies.
    pub fn resolve<'y>(
        &'y self,
        identity: Option<&'y Identity<'y>>,
        entities: &'y dyn Entities,
    ) -> Result<Outcome<'y>, Refusal> {
        let Some(route) = self.route else { return Err(Refusal::forbidden("no_route", "no route has this path")) };
        let (principals, rules) = match &route.effect {
            Effect::Public => return Ok(Outcome::Public),
            Effect::Deny(reason) => {
                return Err(Refusal::forbidden("denied_by_route", reason.clone()).by(&route.place));
            }
            Effect::Checks { principals, rules } => (principals, rules),
        };
        let checks = self.checks(route, principals, rules, identity, entities);
        checks.map(Outcome::Checks).map_err(|refusal| refusal.by(&route.place))
    }

    /// The rules of the route that concern this request: whose conditions hold, or cannot be looked at. For people to
    /// read; what is asked is what [`Found::resolve`] gives.
    #[must_use]
    pub fn concerning(&self, identity: &Identity<'_>, entities: &dyn Entities) -> Vec<&'x Rule> {
        let Some((route, Effect::Checks { rules, .. })) = self.route.map(|route| (route, &route.effect)) else {
            return Vec::new();
        };
        let (looks, reads) = (Looks::after(&self.looked), Reads::new(self.asked));
        let inputs = self.inputs(route, Some(identity), Some(entities), &looks, &reads);
        let main = rules.iter().find_map(Rule::check);
        rules.iter().filter(|rule| !matches!(holds(rule, main, &inputs), Ok(false))).collect()
    }

    fn checks<'y>(
        &'y self,
        route: &'y Route,
        principals: &[String],
        rules: &'y [Rule],
        identity: Option<&'y Identity<'y>>,
        entities: &'y dyn Entities,
    ) -> Result<Vec<AccessRequest<'y>>, Refusal> {
        let identity =
            identity.ok_or_else(|| Refusal::unauthorized("no_identity", "the caller is not authenticated"))?;
        if !principals.is_empty() && !principals.iter().any(|name| *name == identity.principal.type_name) {
            let message = format!(
                "a `{}` may not ask this, which is for `{}`",
                identity.principal.type_name,
                principals.join("`, `")
            );
            return Err(Refusal::forbidden("principal_type", message));
        }
        let (looks, reads) = (Looks::after(&self.looked), Reads::new(self.asked));
        let inputs = self.inputs(route, Some(identity), Some(entities), &looks, &reads);
        let mut checks = Vec::with_capacity(rules.len());
        let main = rules.iter().find_map(Rule::check);
        // most requests have neither, and files of routes deny dozens of names of parameters
        let bare = self.target.query.is_none() && self.body.is_none();
        for rule in rules {
            if !(bare && rule.needs_a_query()) {
                apply(rule, main, &inputs, identity, &mut checks)?;
            }
        }
        known_fields(route, self.body.as_ref())?;
        known_parameters(route, self.target.query)?;
        inputs.settled()?;
        if checks.is_empty() {
            return Err(Refusal::forbidden("no_check", "no rule of the route asks anything for this request"));
        }
        Ok(checks)
    }
}

/// Refuses a body with a member that the route does not know, which may change what no check was made for.
fn known_fields(route: &Route, body: Option<&Value<'_>>) -> Result<(), Refusal> {
    let (Some(fields), Some(body)) = (&route.fields, body) else { return Ok(()) };
    let Some(members) = body.as_object() else {
        return Err(Refusal::bad_request("bad_body", "the route lists the fields of the body, which is not an object"));
    };
    if members.iter().all(|(key, _)| fields.contains(key.as_ref())) {
        return Ok(());
    }
    Err(Refusal::forbidden("unknown_field", "the body has a member that the route does not list under `fields`"))
}

/// Refuses a query with a parameter that the route does not know, which may ask for more than was checked.
fn known_parameters(route: &Route, query: Option<&str>) -> Result<(), Refusal> {
    let (Some(known), Some(query)) = (&route.parameters, query) else { return Ok(()) };
    // `a=1&&b=2` has no third parameter
    if !query::has_name(query, &|name| !name.is_empty() && !known.contains(name)) {
        return Ok(());
    }
    let message = "the query has a parameter that the route does not list under `parameters`";
    Err(Refusal::forbidden("unknown_field", message))
}

/// Whether all conditions of a rule hold.
fn holds(rule: &Rule, main: Option<&CheckTemplate>, inputs: &Inputs<'_, '_>) -> Result<bool, Refusal> {
    // a refusal is about the resource of the route
    let check = rule.check().or(main);
    for condition in &rule.when {
        // only such conditions need the resource, and a check that does not concern the request may have none
        let resource = match (&condition.test, check) {
            (crate::condition::Test::Differs(_), Some(check)) => Some(check.resource.make(inputs)?),
            _ => None,
        };
        if !condition.holds(inputs, resource.as_ref())? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn apply<'y>(
    rule: &'y Rule,
    main: Option<&'y CheckTemplate>,
    inputs: &Inputs<'y, '_>,
    identity: &'y Identity<'y>,
    checks: &mut Vec<AccessRequest<'y>>,
) -> Result<(), Refusal> {
    if !holds(rule, main, inputs)? {
        return Ok(());
    }
    let check = match &rule.effect {
        RuleEffect::Check(check) => check,
        RuleEffect::Deny(reason) => return Err(Refusal::forbidden("denied_by_route", reason.clone())),
    };
    let Some(each) = &rule.each else {
        checks.push(make(check, inputs, identity, None)?);
        return Ok(());
    };
    let elements = match each.read(inputs)? {
        Some(FoundValue::Json(Value::Array(elements))) => elements,
        Some(_) => return Err(Refusal::bad_request("bad_value", format!("`{each}` is not a list"))),
        None => return Err(missing(Some(each))),
    };
    if elements.is_empty() {
        return Err(Refusal::bad_request(
            "bad_value",
            format!("`{each}` is an empty list, so there is nothing to check"),
        ));
    }
    if elements.len() > MAX_EACH {
        return Err(Refusal::bad_request("bad_value", format!("`{each}` has more than {MAX_EACH} elements")));
    }
    let first = checks.len();
    for element in elements {
        let request = make(check, &Inputs { each: Some(element), ..*inputs }, identity, checks.get(first))?;
        checks.push(request);
    }
    Ok(())
}

/// Makes a check. Of those for the elements of a list, `first` is the one that has been made: what is not of an element is
/// the same in all, and not read again.
fn make<'y>(
    check: &'y CheckTemplate,
    inputs: &Inputs<'y, '_>,
    identity: &'y Identity<'y>,
    first: Option<&AccessRequest<'y>>,
) -> Result<AccessRequest<'y>, Refusal> {
    let same = |source: Option<&Source>| first.filter(|_| !matches!(source, Some(Source::Each(_))));
    let resource = match same(check.resource.source()) {
        Some(first) => first.resource.clone(),
        None => check.resource.make(inputs)?,
    };
    let mut context: Vec<(Cow<'y, str>, Value<'y>)> = Vec::with_capacity(check.context.len() + 2);
    if let (true, Some(auth)) = (check.wants_auth, identity.auth) {
        context.push(("auth".into(), auth.value()));
    }
    if let (true, Some(token)) = (check.wants_token, &identity.token) {
        context.push(("token".into(), entity_value(token.clone())));
    }
    for member in &check.context {
        if member.optional {
            inputs.one_writing(member.value.source())?;
        }
        let value = match same(member.value.source()) {
            Some(first) => first.context.get(&member.name).cloned(),
            None => member.value.make(inputs)?,
        };
        match value {
            Some(value) => context.push((Cow::Borrowed(&member.name), value)),
            None if member.optional => {}
            None => return Err(missing(member.value.source())),
        }
    }
    let action =
        Uid { type_name: Cow::Borrowed(check.action.type_name.as_ref()), id: Cow::Borrowed(check.action.id.as_ref()) };
    let request = AccessRequest::new(identity.principal.clone(), action, resource);
    Ok(AccessRequest { context: Value::Object(context), ..request })
}
