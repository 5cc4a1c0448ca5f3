//! The admin API: replace the bundle, read it back, ask how things are, validate without serving.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, oneshot};

use crate::decide::DecisionLog;
use crate::domain::request::{pointer, uid_member};
use crate::domain::{
    Bundle, Change, Diagnostic, Document, Link, PolicyNaming, PolicyText, RequestError, SchemaText, Value,
};
use crate::engine::Snapshot;
use crate::engine::{self, Limits, Verdict};
use crate::gateway;
use crate::state::{Origin, Status};
use crate::transport::Services;
use crate::transport::exchange::{ContentType, Exchange, malformed};
use crate::transport::respond::{self, Answer, Problem};
use serde::{Serialize, Serializer};

/// Bundles that are validated at a time: each takes a thread and as much memory as one that is loaded.
const MAX_VALIDATIONS: usize = 2;

/// Turns for validations, one for each that may be under way.
#[must_use]
pub fn validations() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_VALIDATIONS))
}

/// `PUT /v1/bundle`: one atomic replace, answered once decisions use it.
pub(super) async fn put_bundle(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::Required)?;
    let body = exchange.read(services.admin_body()).await?;
    let bundle = read_bundle(&body)?;
    drop(body);
    let applied = services.pdp.state().apply(Change::Replace(bundle), Origin::Bundle).await?;
    let answer = respond::json(
        StatusCode::OK,
        &json!({
            "revision": applied.revision.to_string(),
            "published": applied.published,
            "policies": applied.policies,
            "entities": applied.entities,
            "warnings": applied.warnings,
        }),
    );
    // the revision of this change, even if another has been published since
    Ok(respond::at(applied.revision, answer))
}

/// `GET /v1/bundle`: what serves, in the shape that `PUT` takes.
pub(super) fn get_bundle(services: &Services) -> Result<Answer, Problem> {
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let bundle = snapshot.texts();
    let by_id: serde_json::Map<String, serde_json::Value> =
        snapshot.policy_texts().into_iter().map(|(id, text)| (id.to_owned(), policy_member(text))).collect();
    let schema = bundle.schema.as_ref().map(|schema| match schema.fragments.as_slice() {
        [(_, text)] => json!(text),
        fragments => fragments.iter().map(|(_, text)| json!(text)).collect(),
    });
    let links: Vec<_> = bundle
        .links
        .iter()
        .map(|link| json!({ "template_id": link.template_id, "link_id": link.link_id, "args": link.args.iter().cloned().collect::<std::collections::BTreeMap<_, _>>() }))
        .collect();
    let entities = EntityList(&snapshot);
    let routes = match bundle.routes.as_slice() {
        [] => None,
        [(origin, text)] if origin == "routes" => Some(json!(text)),
        files => Some(files.iter().map(|(origin, text)| (origin.clone(), json!(text))).collect()),
    };
    let body = BundleAnswer {
        policies: json!(by_id),
        schema,
        entities,
        links,
        routes,
        revision: snapshot.revision().to_string(),
    };
    Ok(respond::at(snapshot.revision(), respond::json(StatusCode::OK, &body)))
}

/// A policy as it was given: an object in Cedar's JSON form, or text in Cedar's syntax.
fn policy_member(text: &str) -> serde_json::Value {
    let json = text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
    json.unwrap_or_else(|| text.into())
}

#[derive(Serialize)]
struct BundleAnswer<'a> {
    policies: serde_json::Value,
    schema: Option<serde_json::Value>,
    entities: EntityList<'a>,
    links: Vec<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routes: Option<serde_json::Value>,
    revision: String,
}

/// The stored entities, written one by one: as one value a million of them would be held twice.
struct EntityList<'a>(&'a Snapshot);

impl Serialize for EntityList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.entities())
    }
}

/// `GET /v1/status`
pub(super) fn status(services: &Services) -> Answer {
    let status = services.pdp.state().status();
    let reasons = services.unready();
    respond::json(StatusCode::OK, &status_body(services, &status, &reasons))
}

fn status_body(services: &Services, status: &Status, unready: &[&str]) -> serde_json::Value {
    let time = |at: SystemTime| jiff::Timestamp::try_from(at).map(|t| format!("{t:.3}")).unwrap_or_default();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": unready.is_empty(),
        "not_ready_because": unready,
        "revision": status.revision.map(|r| r.to_string()),
        "source": status.origin.map(|origin| json!({
            "kind": origin.as_str(),
            // what the API brought is held in memory alone: a restart goes back to the files
            "durable": origin == Origin::Files,
        })),
        "published_at": status.published_at.map(time),
        "age_seconds": status.revision.map(|_| services.metrics.data_age().as_secs_f64()),
        "policies": status.policies,
        "entities": status.entities,
        "routes": services.pdp.state().load().as_ref().map_or(0, |published| published.routes.routes().len()),
        "identity": services.gateway.identity_status(),
        "warnings": status.warnings,
        "degraded": degraded(services, status),
        "last_attempt": status.last_attempt.as_ref().map(|attempt| json!({
            "source": attempt.origin.as_str(),
            "at": time(attempt.at),
            "ok": attempt.problems.is_empty(),
            "superseded": attempt.superseded,
            "problems": attempt.problems,
        })),
    })
}

/// What works worse than it should, all of it.
fn degraded(services: &Services, status: &Status) -> Option<String> {
    let tokens = services.admin_tokens.as_ref().and_then(|tokens| tokens.problem());
    let log = services.pdp.log().and_then(DecisionLog::problem);
    let all: Vec<String> = status.degraded.clone().into_iter().chain(tokens).chain(log).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// `POST /v1/validate`: 200 for every well-formed body, be it a bundle or not; the verdict is in the answer.
pub(super) async fn validate(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::Required)?;
    let body = exchange.read(services.admin_body()).await?;
    let bundle = match read_bundle(&body) {
        Ok(bundle) => Arc::new(bundle),
        Err(Unreadable::Shape(error)) => {
            let error = Diagnostic::error(error.pointer.trim_start_matches('/').replace('/', "."), error.message);
            let verdict = Verdict { valid: false, errors: vec![error], warnings: Vec::new() };
            return Ok(respond::json(StatusCode::OK, &verdict));
        }
        Err(Unreadable::NotJson(problem)) => return Err(problem),
    };
    let limits = services.limits.clone();
    let Ok(turn) = services.validations.clone().try_acquire_owned() else {
        return Err(Problem::unavailable(
            "too_busy",
            format!("{MAX_VALIDATIONS} bundles are being validated at the moment; ask again"),
        ));
    };
    let (tell, verdict) = oneshot::channel();
    // not tokio's threads: it panics where none can be had
    let begun = engine::begin_on_big_stack(move || {
        let verdict = judge(&bundle, &limits);
        drop((bundle, turn));
        // the client may have left
        let _ = tell.send(verdict);
    });
    if let Err(error) = begun {
        return Err(Problem::unavailable("no_thread", format!("no thread to validate on: {error}; ask again")));
    }
    match verdict.await {
        Ok(verdict) => Ok(respond::json(StatusCode::OK, &verdict)),
        // the thread panicked, which is logged
        Err(_) => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "validating failed inside the engine"))
        }
    }
}

/// Everything that is wrong with a bundle, its routes among it.
fn judge(bundle: &Arc<Bundle>, limits: &Limits) -> Verdict {
    let Verdict { errors, mut warnings, .. } = engine::check(bundle, limits);
    let of_routes = match gateway::compile_bundle(bundle, limits) {
        Ok((_, more)) => {
            warnings.extend(more);
            None
        }
        Err(problems) => Some(problems),
    };
    let errors = gateway::together(errors, of_routes);
    Verdict { valid: errors.is_empty(), errors, warnings }
}

/// Why a body is not a bundle.
enum Unreadable {
    /// It is not JSON, or has an object with two equal keys.
    NotJson(Problem),
    /// It is, but not of a bundle's shape.
    Shape(RequestError),
}

impl From<RequestError> for Unreadable {
    fn from(error: RequestError) -> Self {
        Self::Shape(error)
    }
}

impl From<Unreadable> for Problem {
    fn from(reason: Unreadable) -> Self {
        match reason {
            Unreadable::NotJson(problem) => problem,
            Unreadable::Shape(error) => error.into(),
        }
    }
}

/// The members of an object as text: entities are read by the engine alone, there may be a million of them.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(String, &RawValue)> = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format_args!("duplicate key `{}`", key.escape_debug())));
                    }
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Parses one member; places in the text of an error are relative to it.
fn parse<'a>(raw: &'a RawValue, pointer: &str) -> Result<Value<'a>, Unreadable> {
    Value::parse(raw.get().as_bytes()).map_err(|error| within(raw, pointer, &error))
}

fn within(raw: &RawValue, pointer: &str, error: &serde_json::Error) -> Unreadable {
    let mut problem = malformed(raw.get().as_bytes(), error);
    pointer.clone_into(&mut problem.pointer);
    Unreadable::NotJson(problem)
}

fn read_bundle(body: &[u8]) -> Result<Bundle, Unreadable> {
    let not_json = |error: serde_json::Error| Unreadable::NotJson(malformed(body, &error));
    let whole: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    if !whole.get().starts_with('{') {
        let message = format!("the bundle is {}, not an object with `policies`", parse(whole, "")?.kind());
        return Err(RequestError::new("invalid_request", "", message).into());
    }
    let Members(members) = serde_json::from_str(whole.get()).map_err(not_json)?;
    let (mut policies, mut bundle) = (None, Bundle::default());
    for (key, raw) in members {
        match key.as_str() {
            "policies" => policies = Some(read_policies(parse(raw, "/policies")?)?),
            "schema" => bundle.schema = read_schema(parse(raw, "/schema")?)?,
            "entities" => bundle.entities = read_entities(raw)?,
            "links" => bundle.links = read_links(parse(raw, "/links")?)?,
            "routes" => bundle.routes = read_routes(parse(raw, "/routes")?)?,
            // as `GET` gives it; it means nothing here, but it must be JSON as we take it
            "revision" => drop(parse(raw, "/revision")?),
            other => {
                let message =
                    format!("unknown member `{other}`; a bundle has policies, schema, entities, links, routes");
                return Err(RequestError::new("unknown_member", pointer(other), message).into());
            }
        }
    }
    bundle.policies =
        policies.ok_or_else(|| RequestError::new("missing_member", "/policies", "the bundle lacks `policies`"))?;
    Ok(bundle)
}

fn read_policies(value: Value<'_>) -> Result<Vec<PolicyText>, RequestError> {
    match value {
        Value::String(text) => Ok(vec![PolicyText {
            origin: "policies".to_owned(),
            text: text.into_owned(),
            naming: PolicyNaming::Ordinal,
        }]),
        Value::Object(members) => members
            .into_iter()
            .map(|(id, text)| match text {
                Value::String(text) => Ok(PolicyText {
                    origin: format!("policies[{id:?}]"),
                    text: text.into_owned(),
                    naming: PolicyNaming::Exactly(id.into_owned()),
                }),
                // Cedar's JSON form, as the text that it is kept as
                policy @ Value::Object(_) => Ok(PolicyText {
                    origin: format!("policies[{id:?}]"),
                    text: policy.to_json().to_string(),
                    naming: PolicyNaming::Exactly(id.into_owned()),
                }),
                other => {
                    let pointer = format!("/policies{}", pointer(&id));
                    Err(wrong_type(&pointer, "a policy", "text, or an object in Cedar's JSON form", &other))
                }
            })
            .collect(),
        other => Err(wrong_type("/policies", "`policies`", "one text or an object of id and text", &other)),
    }
}

fn read_schema(value: Value<'_>) -> Result<Option<SchemaText>, RequestError> {
    let fragment = |value: Value<'_>| match value {
        Value::String(text) => Ok(("schema".to_owned(), text.into_owned())),
        value @ Value::Object(_) => Ok(("schema".to_owned(), value.to_json().to_string())),
        other => Err(wrong_type("/schema", "`schema`", "a text in Cedar's or JSON syntax", &other)),
    };
    match value {
        Value::Null => Ok(None),
        Value::Array(fragments) => {
            Ok(Some(SchemaText { fragments: fragments.into_iter().map(fragment).collect::<Result<_, _>>()? }))
        }
        value => Ok(Some(SchemaText { fragments: vec![fragment(value)?] })),
    }
}

fn read_entities(raw: &RawValue) -> Result<Vec<Document>, Unreadable> {
    let text = raw.get();
    let bytes = match text.as_bytes().first() {
        Some(b'n') => return Ok(Vec::new()),
        Some(b'[') => text.as_bytes().to_vec(),
        // the text of a file, array or NDJSON, passed on as a string
        Some(b'"') => serde_json::from_str::<Cow<'_, str>>(text)
            .map_err(|error| within(raw, "/entities", &error))?
            .into_owned()
            .into_bytes(),
        _ => {
            return Err(
                RequestError::new("invalid_member", "/entities", "`entities` must be an array of entities").into()
            );
        }
    };
    Ok(vec![Document::held("entities", bytes)])
}

/// One text, or one for each name. A name is what problems are told with.
fn read_routes(value: Value<'_>) -> Result<Vec<(String, String)>, RequestError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![("routes".to_owned(), text.into_owned())]),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, text)| match text {
                Value::String(text) => Ok((name.into_owned(), text.into_owned())),
                other => Err(wrong_type(&format!("/routes{}", pointer(&name)), "a file of routes", "text", &other)),
            })
            .collect(),
        other => Err(wrong_type("/routes", "`routes`", "one text or an object of name and text", &other)),
    }
}

fn read_links(value: Value<'_>) -> Result<Vec<Link>, RequestError> {
    let elements = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(elements) => elements,
        other => return Err(wrong_type("/links", "`links`", "an array", &other)),
    };
    elements.into_iter().enumerate().map(|(i, element)| read_link(element, &format!("/links/{i}"))).collect()
}

fn read_link(value: Value<'_>, at: &str) -> Result<Link, RequestError> {
    let Value::Object(members) = value else {
        return Err(wrong_type(at, "a link", "an object of `template_id`, `link_id` and `args`", &value));
    };
    let (mut template_id, mut link_id, mut args) = (None, None, Vec::new());
    for (key, value) in members {
        let pointer = format!("{at}{}", pointer(&key));
        match (key.as_ref(), value) {
            ("template_id", Value::String(text)) => template_id = Some(text.into_owned()),
            ("link_id", Value::String(text)) => link_id = Some(text.into_owned()),
            ("args", Value::Object(slots)) => {
                for (slot, entity) in slots {
                    let uid = uid_member(entity, &format!("{pointer}/{slot}"))?;
                    args.push((slot.into_owned(), uid.to_string()));
                }
            }
            ("template_id" | "link_id", other) => {
                return Err(wrong_type(&pointer, &format!("`{key}`"), "a string", &other));
            }
            ("args", other) => return Err(wrong_type(&pointer, "`args`", "an object of slot and entity", &other)),
            (other, _) => {
                return Err(RequestError::new(
                    "unknown_member",
                    pointer,
                    format!("unknown member `{other}`; a link has template_id, link_id, args"),
                ));
            }
        }
    }
    let missing =
        |name: &str| RequestError::new("missing_member", format!("{at}/{name}"), format!("the link lacks `{name}`"));
    Ok(Link {
        template_id: template_id.ok_or_else(|| missing("template_id"))?,
        link_id: link_id.ok_or_else(|| missing("link_id"))?,
        args,
    })
}

fn wrong_type(pointer: &str, what: &str, expected: &str, found: &Value<'_>) -> RequestError {
    RequestError::new("invalid_member", pointer, format!("{what} must be {expected}, not {}", found.kind()))
}
