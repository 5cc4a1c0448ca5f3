//! The admin API: replace the bundle, read it back, ask how things are, validate without serving.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::state::{Expected, Named, Origin, Sent, Status, give_back_freed};
use crate::transport::Services;
use crate::transport::aside;
use crate::transport::bundle::{Unreadable, found, read_bundle};
use crate::transport::changes;
use crate::transport::elsewhere::{self, Place};
use crate::transport::exchange::{ContentType, Exchange};
use crate::transport::idempotency::{BodyHash, REPLAYED};
use crate::transport::respond::{self, Answer, Problem};
use crate::transport::streamed::{Content, Pieces, Streamed};
use crate::transport::submit::{Became, submit};
use palisade_engine::Snapshot;
use palisade_engine::model::{Bundle, Change, DataRule, Diagnostic, LinkDeclaration, RequestError};
use palisade_engine::{Limits, Semantics, Verdict};
use palisade_journal::Durability;
use serde::{Serialize, Serializer};

/// `PUT /v1/bundle`: one atomic replace, answered once decisions use it.
pub(super) async fn put_bundle(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::Required)?;
    elsewhere::check_headers(Place::Bundle, exchange.headers())?;
    let hash = BodyHash::of(exchange)?;
    let body = exchange.read(services.admin_body()).await?;
    let limits = services.limits.clone();
    let read = move |body: &[u8]| {
        let read = read_bundle(body, &limits)?;
        Ok((read.whole().map_err(|(first, all)| misshapen(first, all))?, hash.whole(body)))
    };
    let ((bundle, revision), digest) = changes::apart(services, body, read).await?;
    let expected = revision.map(|revision| Expected::OneOf(vec![revision])).into_iter().collect();
    let (change, origin) = (Change::Replace(bundle), Origin::Bundle);
    let sent = Sent { change, expected, origin, dry_run: false, key: None };
    let Became { applied, again } = submit(services, exchange, digest, &Named::State, sent).await?;
    let mut answer = respond::json(
        StatusCode::OK,
        &json!({
            "revision": applied.revision.to_string(),
            "published": applied.published,
            "policies": applied.policies,
            "entities": applied.entities,
            "warnings": applied.warnings,
        }),
    );
    if again {
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    // the revision of this change, even if another has been published since
    Ok(respond::tagged(applied.revision, answer))
}

/// A body that is no bundle, with all that is of another shape. What else is wrong is looked at where there is a bundle.
fn misshapen(first: RequestError, all: Vec<Diagnostic>) -> Problem {
    let n = all.len();
    let problem = Problem::from(first);
    if n == 1 {
        return problem;
    }
    let detail = format!(
        "{n} problems, see `errors`: members of another shape than in a bundle; `POST /v1/validate` also looks at the rest"
    );
    let pointer = problem.pointer.clone();
    Problem::bad_request(problem.code, detail).about(pointer, all)
}

/// `GET /v1/bundle`: what serves, in the shape that `PUT` takes. Written while it is sent.
pub(super) async fn get_bundle(services: &Services, exchange: &Exchange) -> Result<Answer, Problem> {
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let revision = snapshot.revision();
    let body = if exchange.head.method == Method::HEAD {
        Content::Streamed(Streamed::none())
    } else {
        let turn = services.aside.export()?;
        let begun = Streamed::begin(services.http.body_timeout, move |out| {
            let _turn = turn;
            aside::give_way();
            write_bundle(&snapshot, out)
        });
        let streamed = begun.map_err(|error| aside::no_thread(&error))?;
        streamed.settled().await.map_err(|_| Problem::unwritable())?
    };
    Ok(respond::tagged(revision, respond::streamed(body)))
}

fn write_bundle(snapshot: &Snapshot, out: &mut Pieces) -> io::Result<()> {
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
        .chain(bundle.for_each.links.iter().map(LinkDeclaration::to_json))
        .collect();
    let rules = bundle.for_each.rules.iter().map(DataRule::to_json).collect();
    let routes = match bundle.routes.as_slice() {
        [] => None,
        [(origin, text)] if origin == "routes" => Some(json!(text)),
        files => Some(files.iter().map(|(origin, text)| (origin.clone(), json!(text))).collect()),
    };
    let body = BundleAnswer {
        policies: json!(by_id),
        schema,
        entities: EntityList(snapshot),
        links,
        rules,
        routes,
        revision: snapshot.revision().to_string(),
    };
    Ok(serde_json::to_writer(out, &body)?)
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<serde_json::Value>,
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
            // without a store a restart goes back to the files
            "durable": status.store.is_some() || origin == Origin::Files && status.overlay.is_empty(),
        })),
        "store": status.store.as_ref().map(|store| json!({
            "path": store.path.display().to_string(),
            "durability": durability(store.durability),
            "bytes": store.counts.bytes,
            "live_bytes": store.counts.live_bytes,
            "unflushed_bytes": store.counts.unflushed,
            "commits": store.counts.commits,
            "flushes": store.counts.flushes,
            "compactions": store.counts.compactions,
            "problem": store.problem,
        })),
        "overlay": {
            "entities": status.overlay.entities,
            "deleted": status.overlay.deleted,
            "policies": status.overlay.policies,
            "links": status.overlay.links,
            "shadowed": status.shadowed,
        },
        "published_at": status.published_at.map(time),
        "age_seconds": status.revision.map(|_| services.metrics.data_age().as_secs_f64()),
        "policies": status.policies,
        "entities": status.entities,
        "routes": services.pdp.state().load().as_ref().map_or(0, |published| published.routes.routes().len()),
        "identity": services.gateway.identity_status(),
        "warnings": status.warnings,
        "degraded": services.degraded(),
        "waits_for": status.waits.as_ref().map(ToString::to_string),
        "last_attempt": status.last_attempt.as_ref().map(|attempt| json!({
            "source": attempt.origin.as_str(),
            "at": time(attempt.at),
            "ok": attempt.problems.is_empty(),
            "superseded": attempt.superseded,
            "problems": attempt.problems,
        })),
    })
}

fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Fsync => "fsync",
        Durability::Interval => "interval",
        Durability::None => "none",
    }
}

/// `POST /v1/validate`: 200 for every well-formed body, be it a bundle or not; the verdict is in the answer.
pub(super) async fn validate(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::Required)?;
    let body = exchange.read(services.admin_body()).await?;
    // before it is taken apart, which takes memory too
    let turn = services.aside.validation()?;
    let (limits, semantics) = (services.limits.clone(), services.semantics);
    let verdict = aside::apart(move |left| {
        aside::give_way();
        let verdict = read_and_judge(body, &limits, semantics, left);
        drop(turn);
        // a large one takes its time to write
        let verdict = verdict.map(|verdict| serde_json::to_vec(&verdict));
        give_back_freed();
        verdict
    });
    let verdict = verdict.await??.map_err(|_| Problem::unwritable())?;
    Ok(respond::with_type(StatusCode::OK, "application/json", verdict))
}

fn read_and_judge(
    body: Bytes,
    limits: &Limits,
    semantics: Semantics,
    left: &dyn Fn() -> bool,
) -> Result<Verdict, Problem> {
    let read = match read_bundle(&body, limits) {
        // JSON, and no bundle at all
        Err(Unreadable::Shape(error)) => {
            return Ok(Verdict { valid: false, errors: found(&[error]), warnings: Vec::new() });
        }
        read => read?,
    };
    drop(body);
    if left() {
        return Err(Problem::unavailable("abandoned", "the client disconnected"));
    }
    let (misshapen, bundle, schema_is_broken) = read.rest();
    let bundle = Arc::new(bundle);
    let Verdict { mut errors, warnings, .. } = judge(&bundle, limits, semantics, left);
    if misshapen.is_empty() {
        return Ok(Verdict { valid: errors.is_empty(), errors, warnings });
    }
    if schema_is_broken {
        // it may be there, and was not read
        errors.retain(|error| error.origin != "schema");
    }
    // what is said of a part that is not all there may be wrong
    Ok(Verdict { valid: false, errors: misshapen.into_iter().chain(errors).collect(), warnings: Vec::new() })
}

/// Everything that is wrong with a bundle, its routes among it.
fn judge(bundle: &Arc<Bundle>, limits: &Limits, semantics: Semantics, stop: &dyn Fn() -> bool) -> Verdict {
    let Verdict { errors, mut warnings, .. } = palisade_engine::check(bundle, limits, semantics, stop);
    let of_routes = match palisade_routes::compile_bundle(bundle, limits) {
        Ok((_, more)) => {
            warnings.extend(more);
            None
        }
        Err(problems) => Some(problems),
    };
    let errors = palisade_routes::together(errors, of_routes);
    Verdict { valid: errors.is_empty(), errors, warnings }.as_cedar_judges()
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
