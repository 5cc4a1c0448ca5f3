//! Which endpoint answers: one table of method, path, listener and guard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{AUTHORIZATION, CONNECTION};
use http::{HeaderValue, Method, Request};
use hyper::body::Incoming;

use crate::telemetry::{Listener, Transport, fresh_id};
use crate::transport::changes::Takes;
use crate::transport::conn::Open;
use crate::transport::elsewhere::{self, Place};
use crate::transport::exchange::{Exchange, REQUEST_ID, REVISION};
use crate::transport::gateway::Dialect;
use crate::transport::present::Present;
use crate::transport::respond::{self, Answer, Problem};
use crate::transport::single::Kind;
use crate::transport::{
    Services, admin, authzen, changes, coverage, entities, explain, gateway, native, ops, single, span, target, watch,
};
use palisade_engine::model::{Revision, hint};

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Everyone who reaches the listener.
    Open,
    /// The holder of an admin token, where one is configured.
    AdminToken,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    IsAuthorized,
    Batch,
    Evaluation,
    Evaluations,
    AuthzenMetadata,
    PutBundle,
    GetBundle,
    Status,
    Validate,
    Explain,
    Coverage,
    Changes,
    PatchEntities,
    Entities,
    Entity,
    Watch,
    Policy,
    Link,
    Live,
    Ready,
    Metrics,
}

impl Action {
    /// Where a name may belong that stands in the query, of what has no query.
    fn without_query(self) -> Option<Place> {
        Some(match self {
            Self::IsAuthorized => Place::Check,
            Self::Batch => Place::Batch,
            Self::Explain => Place::Explain,
            Self::PutBundle => Place::Bundle,
            Self::Validate => Place::Validate,
            Self::GetBundle | Self::Status | Self::Coverage | Self::Entity => Place::Other,
            _ => return None,
        })
    }
}

/// What an endpoint for decisions is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asks {
    /// How its decisions are counted, and what is answered without one.
    transport: Transport,
    /// One request may ask for several.
    many: bool,
}

/// One entry of the table.
#[derive(Debug)]
pub struct Endpoint {
    /// The method it takes. `GET` takes `HEAD` too.
    pub method: Method,
    /// Its path. A part in braces is a parameter; all else is matched exactly.
    pub path: &'static str,
    /// The listeners that have it.
    pub listeners: &'static [Listener],
    guard: Guard,
    action: Action,
    /// Of an endpoint for decisions: such requests have spans, and are counted where they end without a decision.
    asks: Option<Asks>,
}

impl Endpoint {
    /// Whether it is at a path.
    fn is_at(&self, path: &str) -> bool {
        self.path == path || (self.path.contains('{') && target::matches(self.path, path).is_some())
    }

    /// The parameters of the path, decoded.
    fn parameters(&self, exchange: &Exchange) -> Result<Vec<String>, Problem> {
        target::parameters(self.path, exchange.head.uri.path())
    }
}

const fn endpoint(
    method: Method,
    path: &'static str,
    listeners: &'static [Listener],
    guard: Guard,
    action: Action,
) -> Endpoint {
    Endpoint { method, path, listeners, guard, action, asks: None }
}

/// An endpoint for decisions.
const fn deciding(path: &'static str, action: Action, transport: Transport, many: bool) -> Endpoint {
    let asks = Some(Asks { transport, many });
    Endpoint { method: Method::POST, path, listeners: DECISIONS, guard: Guard::Open, action, asks }
}

const DECISIONS: &[Listener] = &[Listener::Decisions];
const ADMIN: &[Listener] = &[Listener::Admin];
const OPS: &[Listener] = &[Listener::Admin, Listener::Ops];

/// Every endpoint there is besides the dialects of gateways. The OpenAPI document lists the same.
pub const ENDPOINTS: &[Endpoint] = &[
    deciding("/v1/is_authorized", Action::IsAuthorized, Transport::Native, false),
    deciding("/v1/is_authorized/batch", Action::Batch, Transport::Batch, true),
    deciding(authzen::EVALUATION_PATH, Action::Evaluation, Transport::Authzen, false),
    deciding(authzen::EVALUATIONS_PATH, Action::Evaluations, Transport::Authzen, true),
    endpoint(Method::GET, authzen::METADATA_PATH, DECISIONS, Guard::Open, Action::AuthzenMetadata),
    endpoint(Method::PUT, "/v1/bundle", ADMIN, Guard::AdminToken, Action::PutBundle),
    endpoint(Method::GET, "/v1/bundle", ADMIN, Guard::AdminToken, Action::GetBundle),
    endpoint(Method::GET, "/v1/status", ADMIN, Guard::AdminToken, Action::Status),
    endpoint(Method::POST, "/v1/validate", ADMIN, Guard::AdminToken, Action::Validate),
    endpoint(Method::POST, "/v1/explain", ADMIN, Guard::AdminToken, Action::Explain),
    endpoint(Method::GET, "/v1/coverage", ADMIN, Guard::AdminToken, Action::Coverage),
    endpoint(Method::POST, "/v1/changes", ADMIN, Guard::AdminToken, Action::Changes),
    endpoint(Method::PATCH, "/v1/entities", ADMIN, Guard::AdminToken, Action::PatchEntities),
    endpoint(Method::GET, "/v1/entities", ADMIN, Guard::AdminToken, Action::Entities),
    endpoint(Method::GET, "/v1/entities/{type}/{id}", ADMIN, Guard::AdminToken, Action::Entity),
    endpoint(Method::PUT, "/v1/policies/{id}", ADMIN, Guard::AdminToken, Action::Policy),
    endpoint(Method::DELETE, "/v1/policies/{id}", ADMIN, Guard::AdminToken, Action::Policy),
    endpoint(Method::PUT, "/v1/links/{id}", ADMIN, Guard::AdminToken, Action::Link),
    endpoint(Method::DELETE, "/v1/links/{id}", ADMIN, Guard::AdminToken, Action::Link),
    endpoint(Method::GET, "/v1/watch", ADMIN, Guard::AdminToken, Action::Watch),
    endpoint(Method::GET, "/livez", OPS, Guard::Open, Action::Live),
    endpoint(Method::GET, "/readyz", OPS, Guard::Open, Action::Ready),
    endpoint(Method::GET, "/metrics", OPS, Guard::Open, Action::Metrics),
];

/// Answers one request of a listener.
pub(super) async fn answer(open: Open, request: Request<Incoming>) -> (Answer, Open) {
    let (head, body) = request.into_parts();
    let present = Present::of(&head.headers);
    let request_id = request_id(head.headers.get(REQUEST_ID).filter(|_| present.has(&REQUEST_ID)));
    let conn = open.conn.clone();
    let (services, listener) = (&conn.services, conn.listener);
    let trace = if listener == Listener::Decisions { span::begin(services, &head.headers) } else { None };
    let mut exchange = Exchange { head, body, present, request_id, trace, open };
    let routed = route(services, listener, &mut exchange).await;
    if let Err(problem) = &routed {
        exchange.note(|notes| notes.reason(problem.code));
        if let Some((_, asks)) = asked(listener, exchange.head.uri.path()) {
            services.metrics.undecided(asks.transport, problem.code, problem.is_fault());
        }
    }
    let mut answer = match routed {
        Ok(answer) => answer,
        Err(problem) if !problem.closes() && Box::pin(exchange.drain()).await => problem.into_answer(),
        Err(problem) => problem.closing().into_answer(),
    };
    let http1 = exchange.head.version < http::Version::HTTP_2;
    if !http1 && exchange.head.method == Method::HEAD {
        answer = respond::head_alone(answer);
    }
    if !respond::hold(&mut answer, &mut exchange.open) {
        answer = Problem::too_busy().into_answer();
    }
    let headers = answer.headers_mut();
    if http1 && (services.draining.load(Ordering::Acquire) || conn.ends()) {
        // the client must not send its next request into a connection that is about to close
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if !headers.contains_key(REVISION)
        && let Some(published) = services.pdp.state().load().as_ref()
    {
        headers.insert(REVISION, respond::written(published.snapshot.revision()));
    }
    if let Some(trace) = &exchange.trace
        && let Some((route, asks)) = asked(listener, exchange.head.uri.path())
    {
        let request = span::Request::of(&exchange.head, route, asks.many);
        span::end(&conn, trace, &request, answer.status(), answer.headers());
    }
    let headers = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(exchange.request_id)) {
        headers.insert(REQUEST_ID, value);
    }
    services.metrics.requests(listener, answer.status().as_u16()).inc();
    (answer, exchange.open)
}

/// What is asked for at a path of the decision listener, if it is decisions, and the path as it is documented.
fn asked(listener: Listener, path: &str) -> Option<(&'static str, Asks)> {
    if listener != Listener::Decisions {
        return None;
    }
    if let Some(dialect) = Dialect::at(path) {
        return Some((dialect.path(), Asks { transport: dialect.transport(), many: false }));
    }
    let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.path == path)?;
    Some((endpoint.path, endpoint.asks?))
}

async fn route(services: &Arc<Services>, listener: Listener, exchange: &mut Exchange) -> Result<Answer, Problem> {
    if listener == Listener::Decisions
        && let Some(dialect) = Dialect::at(exchange.head.uri.path())
    {
        return Ok(Box::pin(gateway::answer(services, exchange, dialect)).await);
    }
    exchange.check_framing()?;
    // on the decision listener only what a browser adds counts
    if listener != Listener::Decisions || exchange.present.may_be_browsers() {
        services.door.check(listener, &exchange.head)?;
    }
    let endpoint = find(listener, &exchange.head.method, exchange.head.uri.path())?;
    if endpoint.guard == Guard::AdminToken {
        check_token(services, exchange)?;
    }
    if let Some(place) = endpoint.action.without_query() {
        elsewhere::check_query(place, exchange.head.uri.query())?;
    }
    match endpoint.action {
        Action::IsAuthorized => native::is_authorized(services, exchange).await,
        Action::Batch => Box::pin(native::batch(services, exchange)).await,
        Action::Evaluation => Box::pin(authzen::evaluation(services, exchange)).await,
        Action::Evaluations => Box::pin(authzen::evaluations(services, exchange)).await,
        Action::AuthzenMetadata => authzen::metadata(services),
        // a request takes as much room as the largest of these could need, and that is copied: what is rare is apart
        Action::PutBundle => Box::pin(admin::put_bundle(services, exchange)).await,
        Action::GetBundle => Box::pin(admin::get_bundle(services, exchange)).await,
        Action::Status => Ok(admin::status(services)),
        Action::Validate => Box::pin(admin::validate(services, exchange)).await,
        Action::Explain => Box::pin(explain::explain(services, exchange)).await,
        Action::Coverage => Box::pin(coverage::coverage(services)).await,
        Action::Changes => Box::pin(changes::changes(services, exchange, Takes::All)).await,
        Action::PatchEntities => Box::pin(changes::changes(services, exchange, Takes::OfEntities)).await,
        Action::Entities => entities::entities(services, exchange),
        Action::Entity => match <[String; 2]>::try_from(endpoint.parameters(exchange)?) {
            Ok([type_name, id]) => entities::entity(services, type_name, id),
            Err(_) => Err(Problem::not_found(exchange.head.uri.path())),
        },
        Action::Watch => watch::watch(services, exchange),
        Action::Policy | Action::Link => {
            let kind = if endpoint.action == Action::Policy { Kind::Policy } else { Kind::Link };
            let id = endpoint.parameters(exchange)?.pop().unwrap_or_default();
            Box::pin(single::single(services, exchange, kind, id)).await
        }
        Action::Live => Ok(ops::live()),
        Action::Ready => {
            // the reasons of problems quote policies and entities
            let trusted = listener == Listener::Admin && check_token(services, exchange).is_ok();
            Ok(ops::ready(services, trusted))
        }
        Action::Metrics => Ok(ops::metrics(services)),
    }
}

/// The endpoint for a method and path, or why there is none.
fn find(listener: Listener, method: &Method, path: &str) -> Result<&'static Endpoint, Problem> {
    let here = || ENDPOINTS.iter().filter(|endpoint| endpoint.is_at(path) && endpoint.listeners.contains(&listener));
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    if let Some(endpoint) = here().find(|endpoint| endpoint.method == *wanted) {
        return Ok(endpoint);
    }
    let allowed: Vec<&str> = here().map(|endpoint| endpoint.method.as_str()).collect();
    if !allowed.is_empty() {
        return Err(Problem::method_not_allowed(path, &allowed.join(", ")));
    }
    let elsewhere = ENDPOINTS.iter().find(|endpoint| endpoint.is_at(path));
    let mut problem = Problem::not_found(path);
    if let Some(Listener::Admin) = elsewhere.and_then(|endpoint| endpoint.listeners.first()) {
        problem.detail.push_str("; the admin listener has it");
    } else if elsewhere.is_some() {
        problem.detail.push_str("; the decision listener has it");
    } else {
        let known = ENDPOINTS.iter().filter(|endpoint| endpoint.listeners.contains(&listener));
        problem.detail.push_str(&hint(path, known.map(|endpoint| endpoint.path)));
    }
    Err(problem)
}

fn check_token(services: &Services, exchange: &Exchange) -> Result<(), Problem> {
    let Some(tokens) = &services.admin_tokens else {
        return Ok(());
    };
    let mut offered = exchange.headers().get_all(AUTHORIZATION).iter();
    match (offered.next().and_then(|value| value.to_str().ok()), offered.next()) {
        (Some(value), None) => match value.split_once(' ') {
            Some((scheme, text)) if scheme.eq_ignore_ascii_case("bearer") && tokens.matches(text.trim()) => Ok(()),
            _ => Err(Problem::unauthorized()),
        },
        _ => Err(Problem::unauthorized()),
    }
}

/// The caller's request id if it is one that can go into a log, else a new one.
pub(super) fn request_id(given: Option<&HeaderValue>) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static PROCESS: std::sync::LazyLock<u64> =
        std::sync::LazyLock::new(|| (fresh_id().as_u128() & u128::from(u64::MAX)) as u64);
    match given.and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty() && text.len() <= 256) {
        Some(text) => text.to_owned(),
        // the shape of a revision serves for ids as well: a process, and a number in it
        None => {
            let id = Revision { incarnation: *PROCESS, counter: NEXT.fetch_add(1, Ordering::Relaxed) };
            id.text().as_str().to_owned()
        }
    }
}
