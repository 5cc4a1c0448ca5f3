//! The admin API: replace the bundle, read it back, ask how things are, validate without serving.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::domain::{Bundle, Change, Document, Link, PolicyNaming, PolicyText, RequestError, SchemaText, Value};
use crate::engine;
use crate::state::{Origin, Status};
use crate::transport::Services;
use crate::transport::exchange::{ContentType, Exchange, REVISION, malformed};
use crate::transport::respond::{self, Answer, Problem};

/// `PUT /v1/bundle`: one atomic replace, answered once decisions use it.
pub(super) async fn put_bundle(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::IfPresent)?;
    let body = exchange.read(services.admin_body()).await?;
    let bundle = read_bundle(&body)?;
    drop(body);
    let applied = services.pdp.state().apply(Change::Replace(bundle), Origin::Bundle).await?;
    let revision = applied.revision.to_string();
    let mut answer = respond::json(
        StatusCode::OK,
        &json!({
            "revision": revision,
            "published": applied.published,
            "policies": applied.policies,
            "entities": applied.entities,
            "warnings": applied.warnings,
        }),
    );
    // the revision of this change, even if another has been published since
    if let Ok(value) = HeaderValue::from_str(&revision) {
        answer.headers_mut().insert(REVISION, value);
    }
    Ok(answer)
}

/// `GET /v1/bundle`: what serves, in the shape that `PUT` takes.
pub(super) fn get_bundle(services: &Services) -> Result<Answer, Problem> {
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let bundle = snapshot.bundle();
    let policies: serde_json::Map<String, serde_json::Value> =
        snapshot.policy_texts().into_iter().map(|(id, text)| (id.to_owned(), text.into())).collect();
    let schema = bundle.schema.as_ref().map(|schema| match schema.fragments.as_slice() {
        [(_, text)] => json!(text),
        fragments => fragments.iter().map(|(_, text)| json!(text)).collect(),
    });
    let links: Vec<_> = bundle
        .links
        .iter()
        .map(|link| json!({ "template_id": link.template_id, "link_id": link.link_id, "args": link.args.iter().cloned().collect::<std::collections::BTreeMap<_, _>>() }))
        .collect();
    let mut entities: Vec<&RawValue> = Vec::new();
    for document in &bundle.entities {
        entities.extend(elements(document));
    }
    let body = json!({ "policies": policies, "schema": schema, "entities": entities, "links": links, "revision": snapshot.revision().to_string() });
    Ok(respond::json(StatusCode::OK, &body))
}

/// The entities of a document that has been loaded, as text.
fn elements(document: &Document) -> Vec<&RawValue> {
    let Ok(text) = std::str::from_utf8(&document.bytes) else { return Vec::new() };
    if text.trim_start().starts_with('[') {
        serde_json::from_str(text).unwrap_or_default()
    } else {
        text.lines().filter(|line| !line.trim().is_empty()).filter_map(|line| serde_json::from_str(line).ok()).collect()
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
        "warnings": status.warnings,
        "degraded": status.degraded,
        "last_attempt": status.last_attempt.as_ref().map(|attempt| json!({
            "source": attempt.origin.as_str(),
            "at": time(attempt.at),
            "ok": attempt.problems.is_empty(),
            "problems": attempt.problems,
        })),
    })
}

/// `POST /v1/validate`: 200 for every well-formed body; the verdict is in the answer.
pub(super) async fn validate(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::IfPresent)?;
    let body = exchange.read(services.admin_body()).await?;
    let bundle = Arc::new(read_bundle(&body)?);
    let limits = services.limits.clone();
    let verdict = tokio::task::spawn_blocking(move || engine::on_big_stack(|| engine::check(&bundle, &limits)));
    match verdict.await {
        Ok(Ok(verdict)) => Ok(respond::json(StatusCode::OK, &verdict)),
        Ok(Err(error)) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_thread",
            format!("no thread to validate on: {error}"),
        )),
        Err(_) => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "validating failed inside the engine"))
        }
    }
}

/// A bundle as it travels. Entities stay text: there may be a million of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleBody<'a> {
    #[serde(borrow)]
    policies: Option<Value<'a>>,
    #[serde(borrow)]
    schema: Option<Value<'a>>,
    #[serde(borrow)]
    entities: Option<&'a RawValue>,
    #[serde(borrow)]
    links: Option<Value<'a>>,
    /// As `GET` gives it; it means nothing here.
    #[serde(borrow, rename = "revision")]
    _revision: Option<&'a RawValue>,
}

fn read_bundle(body: &[u8]) -> Result<Bundle, Problem> {
    let parsed: BundleBody<'_> = serde_json::from_slice(body).map_err(|error| malformed(body, &error))?;
    let policies = match parsed.policies {
        Some(value) => read_policies(value)?,
        None => return Err(RequestError::new("missing_member", "/policies", "the bundle lacks `policies`").into()),
    };
    Ok(Bundle {
        policies,
        schema: read_schema(parsed.schema)?,
        entities: read_entities(parsed.entities)?,
        links: read_links(parsed.links)?,
        routes: Vec::new(),
    })
}

fn read_policies(value: Value<'_>) -> Result<Vec<PolicyText>, Problem> {
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
                other => Err(wrong_type(&format!("/policies/{id}"), "a policy", "text", &other)),
            })
            .collect(),
        other => Err(wrong_type("/policies", "`policies`", "one text or an object of id and text", &other)),
    }
}

fn read_schema(value: Option<Value<'_>>) -> Result<Option<SchemaText>, Problem> {
    let fragment = |value: Value<'_>| match value {
        Value::String(text) => Ok(("schema".to_owned(), text.into_owned())),
        value @ Value::Object(_) => Ok(("schema".to_owned(), value.to_json().to_string())),
        other => Err(wrong_type("/schema", "`schema`", "a text in Cedar's or JSON syntax", &other)),
    };
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(fragments)) => {
            Ok(Some(SchemaText { fragments: fragments.into_iter().map(fragment).collect::<Result<_, _>>()? }))
        }
        Some(value) => Ok(Some(SchemaText { fragments: vec![fragment(value)?] })),
    }
}

fn read_entities(raw: Option<&RawValue>) -> Result<Vec<Document>, Problem> {
    let Some(text) = raw.map(RawValue::get).filter(|text| *text != "null") else {
        return Ok(Vec::new());
    };
    let bytes = match text.as_bytes().first() {
        Some(b'[') => text.as_bytes().to_vec(),
        // the text of a file, array or NDJSON, passed on as a string
        Some(b'"') => serde_json::from_str::<Cow<'_, str>>(text)
            .map_err(|error| malformed(text.as_bytes(), &error))?
            .into_owned()
            .into_bytes(),
        _ => {
            return Err(
                RequestError::new("invalid_member", "/entities", "`entities` must be an array of entities").into()
            );
        }
    };
    Ok(vec![Document { origin: "entities".to_owned(), bytes }])
}

fn read_links(value: Option<Value<'_>>) -> Result<Vec<Link>, Problem> {
    let elements = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(elements)) => elements,
        Some(other) => return Err(wrong_type("/links", "`links`", "an array", &other)),
    };
    elements.into_iter().enumerate().map(|(i, element)| read_link(element, &format!("/links/{i}"))).collect()
}

fn read_link(value: Value<'_>, pointer: &str) -> Result<Link, Problem> {
    let Value::Object(members) = value else {
        return Err(wrong_type(pointer, "a link", "an object of `template_id`, `link_id` and `args`", &value));
    };
    let (mut template_id, mut link_id, mut args) = (None, None, Vec::new());
    for (key, value) in members {
        let pointer = format!("{pointer}/{key}");
        match (key.as_ref(), value) {
            ("template_id", Value::String(text)) => template_id = Some(text.into_owned()),
            ("link_id", Value::String(text)) => link_id = Some(text.into_owned()),
            ("args", Value::Object(slots)) => {
                for (slot, entity) in slots {
                    let uid = crate::domain::request::uid_member(entity, &format!("{pointer}/{slot}"))?;
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
                )
                .into());
            }
        }
    }
    let missing = |name: &str| {
        Problem::from(RequestError::new(
            "missing_member",
            format!("{pointer}/{name}"),
            format!("the link lacks `{name}`"),
        ))
    };
    Ok(Link {
        template_id: template_id.ok_or_else(|| missing("template_id"))?,
        link_id: link_id.ok_or_else(|| missing("link_id"))?,
        args,
    })
}

fn wrong_type(pointer: &str, what: &str, expected: &str, found: &Value<'_>) -> Problem {
    RequestError::new("invalid_member", pointer, format!("{what} must be {expected}, not {}", found.kind())).into()
}
