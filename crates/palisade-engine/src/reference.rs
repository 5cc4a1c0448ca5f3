//! Evaluation with Cedar's own authorizer: the reference that every other way is measured against.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RequestValidationError,
};
use cedar_policy_core::ast;

use crate::broken::broken;
use crate::cedar;
use crate::compiled::{self, Lineage, Seen};
use crate::conform::{self, Name};
use crate::diagnose;
use crate::entities as documents;
use crate::layout::is_action_type;
use crate::misfit::{self, Misfit};
use crate::model::{
    AccessRequest, Decision, DeniedBy, Outcome, Overlay, OverlayMode, PolicyError, PolicyId, RequestError, Uid, Value,
    hint,
};
use crate::schema::{SchemaModel, Type};
use crate::settings::NowPolicy;
use crate::snapshot::{GoOn, Snapshot, Undecided};
use crate::strict;

static AUTHORIZER: LazyLock<Authorizer> = LazyLock::new(Authorizer::new);

/// Decides `request` at `snapshot` over `stored`: all entities, or as many as the request can reach.
/// `now` is the sidecar's clock in milliseconds since 1970.
///
/// # Errors
/// If the request does not fit the schema, its values are no Cedar values, or `go_on` said false.
pub(crate) fn decide(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    now: i64,
    stored: &Entities,
    seen: Seen,
    go_on: GoOn<'_>,
) -> Result<Decision, Undecided> {
    let (cedar_request, context, filled) = self::request(snapshot, request, now)?;
    let entities = entities(snapshot, request, stored)?;
    let semantics = snapshot.core.settings.semantics;
    let unknown = || unknown_entity(snapshot, request, &context, &entities);
    let mut denied_by = semantics.unknown_entities_deny().then(unknown).flatten();
    let Authorized { allowed, mut reasons, mut errors } = authorize(snapshot, &cedar_request, &entities, seen, go_on)?;
    reasons.sort_unstable();
    errors.sort_unstable_by(|a, b| a.policy_id.cmp(&b.policy_id));
    let mut failed_forbids =
        errors.iter().filter(|error| snapshot.site(&error.policy_id).is_some_and(|site| site.forbids));
    let first = failed_forbids.next();
    let forbid_errors = first.map_or(0, |_| 1 + failed_forbids.count());
    if denied_by.is_none() && semantics.forbid_errors_deny() {
        denied_by = first.map(|error| DeniedBy::ForbidError { policy_id: error.policy_id.clone() });
    }
    let allowed = allowed && denied_by.is_none();
    Ok(Decision {
        outcome: if allowed { Outcome::Allow } else { Outcome::Deny },
        reasons,
        errors,
        forbid_errors,
        denied_by,
        revision: snapshot.revision,
        time_dependent: filled && snapshot.reads_now(),
    })
}

/// What Cedar's authorizer said.
#[derive(Debug, Default)]
struct Authorized {
    allowed: bool,
    reasons: Vec<PolicyId>,
    errors: Vec<PolicyError>,
}

/// To parse a policy costs about as much as to evaluate so many whose trees are there.
const PARSING: usize = 32;

/// Asks Cedar's authorizer, with all policies where it has their trees, else with those whose scope holds. Where only
/// those near the request are to be seen, with them, unless all are less work.
fn authorize(
    snapshot: &Snapshot,
    request: &Request,
    entities: &Entities,
    seen: Seen,
    go_on: GoOn<'_>,
) -> Result<Authorized, Undecided> {
    let policies = &snapshot.core.policies;
    let whole = policies.trees.whole();
    let of_all = |set| -> Result<Authorized, Undecided> {
        Ok(heard(snapshot, &AUTHORIZER.is_authorized(request, set, entities)))
    };
    if let (Some(set), Seen::All, true) = (whole, seen, snapshot.grants.is_empty()) {
        return of_all(set);
    }
    let lineage = |uid: Option<&EntityUid>| {
        let uid = uid.unwrap_or_else(|| broken("a request without an entity"));
        let above = entities.ancestors(uid).into_iter().flatten().map(AsRef::as_ref);
        Lineage::new(snapshot, uid.as_ref(), above)
    };
    let [principal, action, resource] = [request.principal(), request.action(), request.resource()].map(lineage);
    // links that data make are in no set
    let made = match seen {
        _ if snapshot.grants.is_empty() => Vec::new(),
        Seen::All => compiled::made_candidates(snapshot, &principal, &action, &resource),
        Seen::Near => compiled::made_near(snapshot, &principal, &action, &resource),
    };
    let ids: Vec<&PolicyId> = match (whole, seen) {
        (Some(_), Seen::All) => Vec::new(),
        (None, Seen::All) => compiled::candidates(snapshot, &principal, &action, &resource).collect(),
        (_, Seen::Near) => compiled::near(snapshot, &principal, &action, &resource),
    };
    let all = whole.filter(|_| seen == Seen::All || ids.len().saturating_mul(PARSING) > policies.count());
    if let (Some(set), true) = (all, made.is_empty()) {
        return of_all(set);
    }
    // set by set, and put together as Cedar would: a forbid that holds counts alone, else every permit that does
    let (mut permits, mut forbids, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let mut take = |part: Authorized| {
        let reasons = if part.allowed { &mut permits } else { &mut forbids };
        reasons.extend(part.reasons);
        errors.extend(part.errors);
    };
    let ids = if let Some(set) = all {
        take(of_all(set)?);
        Vec::new()
    } else {
        ids
    };
    let mut ids = ids.into_iter().chain(&made);
    let mut parsing = snapshot.parsing();
    while let Some(set) = parsing.next_set(&mut ids).map_err(RequestError::from)? {
        if !go_on() {
            return Err(Undecided::GivenUp);
        }
        take(heard(snapshot, &AUTHORIZER.is_authorized(request, &cedar_policy::PolicySet::from(set), entities)));
    }
    let allowed = forbids.is_empty() && !permits.is_empty();
    Ok(Authorized { allowed, reasons: if allowed { permits } else { forbids }, errors })
}

fn heard(snapshot: &Snapshot, response: &cedar_policy::Response) -> Authorized {
    let reasons = response.diagnostics().reason().map(|id| policy_id(snapshot, id)).collect();
    let errors = response.diagnostics().errors().map(|AuthorizationError::PolicyEvaluationError(error)| {
        PolicyError::new(policy_id(snapshot, error.policy_id()), error.inner().to_string())
    });
    Authorized { allowed: response.decision() == cedar_policy::Decision::Allow, reasons, errors: errors.collect() }
}

/// Cedar's request, the context that it was made from, and whether the sidecar's clock went in.
///
/// # Errors
/// If the request does not fit the schema, or its values are no Cedar values.
pub(crate) fn request<'c>(
    snapshot: &Snapshot,
    request: &'c AccessRequest<'_>,
    now: i64,
) -> Result<(Request, Cow<'c, Value<'c>>, bool), RequestError> {
    let principal = uid(snapshot, &request.principal, "/principal")?;
    let action = uid(snapshot, &request.action, "/action")?;
    let resource = uid(snapshot, &request.resource, "/resource")?;
    let schema = snapshot.core.schema.as_deref();
    if let Some(schema) = schema
        && schema.context(&request.action).is_none()
    {
        return Err(RequestError::new(
            "unknown_action",
            "/action",
            match schema.near_action(&request.action) {
                Some(near) => {
                    format!("the schema declares no action `{}`; did you mean `{near}`?", request.action)
                }
                None => format!("the schema declares no action `{}` that applies to anything", request.action),
            },
        ));
    }
    let (context, filled) = fill_now(snapshot, &request.action, &request.context, now);
    let declared = schema.and_then(|schema| schema.context(&request.action));
    let unfit = |misfit: Misfit| RequestError::new("invalid_context", misfit.pointer(), misfit.message);
    strict::members(&context, declared, &Name::Root("context")).map_err(unfit)?;
    let read = || {
        let read = Context::from_json_value(context.to_json(), schema.map(|s| (&s.cedar, &action)));
        read.map_err(|error| diagnose::message(&error))
    };
    let whole = |context| {
        let (principal, action, resource) = (principal.clone(), action.clone(), resource.clone());
        Request::new(principal, action, resource, context, schema.map(|s| &s.cedar))
    };
    let misfit = || misfit::context(&context, schema, &request.action);
    misfit::before_cedar(misfit(), || !read().is_ok_and(|context| whole(context).is_ok())).map_err(unfit)?;
    let told = |cedars| unfit(misfit().unwrap_or_else(|| misfit::of_cedar_in_context(&context, cedars)));
    let cedar_context = read().map_err(told)?;
    if matches!(cedar_context.as_ref(), cedar_policy_core::ast::Context::RestrictedResidual(_)) {
        return Err(RequestError::new("invalid_context", "/context", "an `unknown` value cannot be decided upon"));
    }
    let cedar_request = whole(cedar_context).map_err(|error| match &error {
        RequestValidationError::InvalidContext(_) => told(diagnose::message(&error)),
        _ => invalid_request(&error, schema, request),
    })?;
    Ok((cedar_request, context, filled))
}

fn uid(snapshot: &Snapshot, uid: &Uid<'_>, pointer: &str) -> Result<EntityUid, RequestError> {
    match snapshot.core.schema.as_deref().and_then(|schema| schema.entity_type(&uid.type_name)) {
        Some(declared) => Ok(EntityUid::from_type_name_and_id(declared.name.clone(), EntityId::new(&*uid.id))),
        None => cedar::entity_uid(uid).map_err(|message| RequestError::new("invalid_uid", pointer, message)),
    }
}

/// The ids that decisions name are shared with the snapshot, so that keeping a decision copies no text.
fn policy_id(snapshot: &Snapshot, id: &cedar_policy::PolicyId) -> PolicyId {
    let id: &str = id.as_ref();
    snapshot.core.policies.sites.get_key_value(id).map_or_else(|| id.into(), |(id, _)| id.clone())
}

impl Snapshot {
    /// The context with which a request is decided at a time in milliseconds since 1970: with `now` where the settings
    /// fill it in.
    #[must_use]
    pub fn context_at<'c>(&self, request: &'c AccessRequest<'c>, now: i64) -> Cow<'c, Value<'c>> {
        fill_now(self, &request.action, &request.context, now).0
    }
}

/// The context with `now` as the settings want it, and whether the sidecar's clock went in.
fn fill_now<'c>(snapshot: &Snapshot, action: &Uid<'_>, context: &'c Value<'c>, now: i64) -> (Cow<'c, Value<'c>>, bool) {
    let declared = snapshot
        .core
        .schema
        .as_ref()
        .and_then(|schema| schema.context(action)?.get("now"))
        .is_some_and(|member| matches!(&member.ty, Type::Extension(name) if &**name == "datetime"));
    let wanted = match snapshot.core.settings.now {
        NowPolicy::Fill => declared && context.get("now").is_none(),
        NowPolicy::Override => declared,
        NowPolicy::Off => false,
    };
    match context.as_object() {
        Some(members) if wanted => {
            let mut members: Vec<_> = members.iter().filter(|(key, _)| key != "now").cloned().collect();
            members.push((Cow::Borrowed("now"), Value::String(Cow::Owned(datetime(now)))));
            (Cow::Owned(Value::Object(members)), true)
        }
        _ => (Cow::Borrowed(context), false),
    }
}

/// Milliseconds since 1970 as Cedar's `datetime` reads them.
fn datetime(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(
        |_| "1970-01-01T00:00:00.000Z".to_owned(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
    )
}

fn invalid_request(
    error: &RequestValidationError,
    schema: Option<&SchemaModel>,
    request: &AccessRequest<'_>,
) -> RequestError {
    let action = &request.action;
    let undeclared = |ty: &EntityTypeName, pointer: &str| {
        let known = schema.into_iter().flat_map(SchemaModel::entity_type_names);
        let message = format!("the schema declares no entity type `{ty}`{}", hint(&ty.to_string(), known));
        RequestError::new("unknown_type", pointer, message)
    };
    let unfit = |ty: &EntityTypeName, what: &str| {
        let (principals, resources) = schema.and_then(|schema| schema.applies_to(action)).unwrap_or_default();
        let fit = misfit::shape::listed(if what == "principal" { &principals } else { &resources });
        let message = format!("`{action}` does not apply to a {what} of the type `{ty}`, only to {fit}");
        RequestError::new("action_does_not_apply", format!("/{what}"), message)
    };
    let (code, pointer) = match error {
        RequestValidationError::UndeclaredPrincipalType(error) => {
            return undeclared(error.principal_ty(), "/principal");
        }
        RequestValidationError::UndeclaredResourceType(error) => return undeclared(error.resource_ty(), "/resource"),
        RequestValidationError::InvalidPrincipalType(error) => return unfit(error.principal_ty(), "principal"),
        RequestValidationError::InvalidResourceType(error) => return unfit(error.resource_ty(), "resource"),
        RequestValidationError::UndeclaredAction(_) | RequestValidationError::ExternalAction(_) => {
            ("unknown_action", "/action")
        }
        RequestValidationError::InvalidContext(_) | RequestValidationError::TypeOfContext(_) => {
            ("invalid_context", "/context")
        }
        RequestValidationError::InvalidEnumEntity(_) => {
            let parts = [("/principal", &request.principal), ("/resource", &request.resource)];
            let unlisted = parts.into_iter().find_map(|(pointer, uid)| {
                let problem = misfit::uids::not_listed(&uid.type_name, &uid.id, schema?)?;
                Some(RequestError::new("invalid_uid", pointer, problem))
            });
            let in_context = || {
                let misfit = misfit::unlisted(&request.context, schema?, action)?;
                Some(RequestError::new("invalid_uid", misfit.pointer(), misfit.message))
            };
            let unlisted = unlisted.or_else(in_context);
            return unlisted.unwrap_or_else(|| RequestError::new("invalid_uid", "", diagnose::message(error)));
        }
        _ => ("invalid_request", ""),
    };
    RequestError::new(code, pointer, diagnose::message(error))
}

/// The store as this request sees it.
pub(crate) fn entities<'s>(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    stored: &'s Entities,
) -> Result<Cow<'s, Entities>, RequestError> {
    let schema = snapshot.core.schema.as_deref();
    let limits = &snapshot.core.settings.limits;
    let read = |value: &Value<'_>, member: &str| {
        documents::from_request(value, schema, limits).map_err(|message| {
            RequestError::new("invalid_entities", format!("/{member}"), format!("{member}{message}"))
        })
    };
    let failed = |member: &str, error: &dyn std::error::Error| {
        RequestError::new("invalid_entities", format!("/{member}"), diagnose::message(error))
    };
    let mut entities = match &request.entities {
        None => Cow::Borrowed(stored),
        Some(value) => Cow::Owned(
            Entities::from_entities(read(value, "entities")?, schema.map(|s| &s.cedar))
                .map_err(|error| failed("entities", &error))?,
        ),
    };
    if let Some(value) = &request.additional_entities {
        let mut added = Vec::new();
        for entity in read(value, "additional_entities")? {
            match entities.get(&entity.uid()) {
                None => added.push(entity),
                // what is there already may be sent again, as it is
                Some(stored) if has_content_of(stored, &entity, schema) => {}
                Some(_) => {
                    return Err(RequestError::new(
                        "invalid_entities",
                        "/additional_entities",
                        format!(
                            "`{}` is stored with other content; send it in `entities` to replace the store",
                            entity.uid()
                        ),
                    ));
                }
            }
        }
        let whole = entities.into_owned().add_entities(added, schema.map(|s| &s.cedar));
        entities = Cow::Owned(whole.map_err(|error| failed("additional_entities", &error))?);
    }
    if !request.overlays.is_empty() {
        let mut overlaid = Vec::with_capacity(request.overlays.len());
        for overlay in &request.overlays {
            overlaid.push(overlay_entity(snapshot, &entities, overlay)?);
        }
        let whole = entities.into_owned().upsert_entities(overlaid, None);
        entities = Cow::Owned(whole.map_err(|error| failed("properties", &error))?);
    }
    Ok(entities)
}

/// Whether an entity of the request says what the stored one does: attributes, tags and direct parents. (Cedar's own
/// comparison counts all ancestors, which a request does not send.)
fn has_content_of(stored: &Entity, sent: &Entity, schema: Option<&SchemaModel>) -> bool {
    if let Some(schema) = schema
        && is_action_type(&sent.uid().type_name().to_string())
    {
        // actions are the schema's: Cedar checks that they say the same
        return Entities::from_entities([sent.clone()], Some(&schema.cedar)).is_ok();
    }
    let (stored, sent): (&ast::Entity, &ast::Entity) = (stored.as_ref(), sent.as_ref());
    let attributes =
        |entity: &ast::Entity| entity.attrs().map(|(k, v)| (k.clone(), v.clone())).collect::<HashMap<_, _>>();
    let tags = |entity: &ast::Entity| entity.tags().map(|(k, v)| (k.clone(), v.clone())).collect::<HashMap<_, _>>();
    let parents = |entity: &ast::Entity| entity.parents().cloned().collect::<HashSet<_>>();
    attributes(stored) == attributes(sent) && tags(stored) == tags(sent) && parents(stored) == parents(sent)
}

/// The stored entity with the request's attributes laid over it.
fn overlay_entity(snapshot: &Snapshot, entities: &Entities, overlay: &Overlay<'_>) -> Result<Entity, RequestError> {
    let uid = uid(snapshot, &overlay.entity, "")?;
    let failed = |error: &dyn std::error::Error| {
        RequestError::new("invalid_properties", "", format!("`{}`: {}", overlay.entity, diagnose::message(error)))
    };
    let mut json = match entities.get(&uid) {
        Some(stored) => stored.to_json_value().map_err(|error| failed(&error))?,
        None => {
            serde_json::json!({"uid": {"type": overlay.entity.type_name, "id": overlay.entity.id}, "attrs": {}, "parents": []})
        }
    };
    if let Some(attributes) = json.get_mut("attrs").and_then(serde_json::Value::as_object_mut) {
        for (key, value) in overlay.attributes.as_object().unwrap_or_default() {
            if overlay.mode == OverlayMode::Override || !attributes.contains_key(key.as_ref()) {
                attributes.insert(key.to_string(), value.to_json());
            }
        }
    }
    Entity::from_json_value(json, None).map_err(|error| failed(&error))
}

/// The first entity of the request that is neither stored nor carried by it.
fn unknown_entity(
    snapshot: &Snapshot,
    request: &AccessRequest<'_>,
    context: &Value<'_>,
    entities: &Entities,
) -> Option<DeniedBy> {
    let schema = snapshot.core.schema.as_deref();
    let mut named = vec![request.principal.clone(), request.resource.clone()];
    let declared = schema.and_then(|schema| schema.context(&request.action));
    for (key, value) in context.as_object().unwrap_or_default() {
        let ty = declared.and_then(|declared| declared.get(key.as_ref())).map(|member| &member.ty);
        conform::entities_of(value, ty, &mut named);
    }
    named.into_iter().find_map(|entity| {
        let known = schema.is_some_and(|schema| schema.is_choice(&entity))
            || uid(snapshot, &entity, "").is_ok_and(|uid| entities.get(&uid).is_some());
        (!known).then(|| DeniedBy::UnknownEntity { entity: entity.to_string() })
    })
}
