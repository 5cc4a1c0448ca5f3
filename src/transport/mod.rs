//! HTTP in and out: the only module that knows it.
//!
//! A request's way: `listen` accepts the connection, `door` turns web pages away, `router` finds the endpoint in one table
//! and applies its guard, the endpoint (`native`, `authzen`, `admin`, `ops`) reads the body through `exchange`, asks the
//! decision point, and answers through `respond`, the one place where outcomes become statuses. `gateway` has the dialects
//! of gateways, each with statuses of its own.

mod admin;
mod aside;
mod authzen;
mod budget;
mod bundle;
mod changes;
mod conditions;
mod conn;
mod coverage;
mod door;
mod elsewhere;
mod entities;
mod exchange;
mod explain;
mod frames;
mod gateway;
mod heads;
mod idempotency;
mod listen;
mod native;
mod ops;
mod paced;
mod patience;
mod places;
mod present;
mod respond;
mod router;
mod single;
mod socket;
mod span;
mod streamed;
mod submit;
mod target;
mod timer;
mod token;
mod trees;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub use aside::Aside;
pub use budget::Budget;
pub use bundle::read_exported;
pub use door::Door;
pub use entities::Pins;
pub use gateway::Gateway;
pub use idempotency::Idempotency;
pub use listen::{BoundListener, bind, serve};
pub use places::Places;
pub use router::{ENDPOINTS, Endpoint};
pub use socket::SocketAccess;
pub use token::AdminTokens;
pub use trees::Trees;

use tokio::sync::Semaphore;

use crate::config::{AuthzenSettings, ExplainMode, HttpSettings};
use crate::decide::{DecisionLog, Pdp};
use crate::telemetry::traces::Tracer;
use crate::telemetry::{Listener, Metrics};
use conn::Open;
use exchange::{BodyLimits, Exchange};
use palisade_engine::{Limits, Semantics};
use respond::Problem;

/// What the HTTP/2 streams of the admin and ops listeners may hold together. Those have few clients.
pub const ADMIN_STREAM_BYTES: usize = 8 << 20;

/// How many clients may follow what is published at a time.
pub const WATCHERS: usize = watch::MOST;

/// What the endpoints need. One for all listeners.
#[derive(Debug)]
pub struct Services {
    /// Decides.
    pub pdp: Pdp,
    /// Knows the callers of gateways.
    pub gateway: Gateway,
    /// Exports a span for each request for decisions, where that is asked for.
    pub tracer: Option<Tracer>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Limits of the listeners.
    pub http: HttpSettings,
    /// The largest body on the admin listener, in bytes.
    pub admin_body_bytes: usize,
    /// How AuthZEN requests map to Cedar.
    pub authzen: AuthzenSettings,
    /// Bounds for bundles that are only validated.
    pub limits: Limits,
    /// How decisions are made, for the warnings of a validation.
    pub semantics: Semantics,
    /// What a check that asks for an explanation is answered.
    pub explain: ExplainMode,
    /// Members of the context that explanations do not show.
    pub masks: Arc<[Vec<Option<String>>]>,
    /// What the admin API asks for, if for anything.
    pub admin_tokens: Option<Arc<AdminTokens>>,
    /// Turns web pages away.
    pub door: Door,
    /// Whether a decision that the reference makes otherwise takes readiness away.
    pub verify_unready: bool,
    /// Set once the process begins to stop.
    pub draining: AtomicBool,
    /// Requests that are not answered yet, on all listeners.
    pub in_flight: AtomicUsize,
    /// Bytes of bodies and answers that the decision and gRPC listeners may hold.
    pub decision_bytes: Budget,
    /// The same of the admin and ops listeners, apart so that neither starves the other.
    pub admin_bytes: Budget,
    /// What the HTTP/2 streams of the decision and gRPC listeners may hold.
    pub decision_streams: Budget,
    /// The same of the admin and ops listeners.
    pub admin_streams: Budget,
    /// Turns for large bodies to be values.
    pub trees: Trees,
    /// Turns for what is done on threads of its own.
    pub aside: Aside,
    /// Connections that the decision and gRPC listeners may have together, where descriptors are few.
    pub descriptors: Option<Arc<Semaphore>>,
    /// Connections that the admin and the ops listener may have, each.
    pub aside_connections: usize,
    /// The connections that are open.
    pub places: Places,
    /// Changes that were sent with a key.
    pub idempotency: Idempotency,
    /// The states that lists of entities are of.
    pub pins: Pins,
    /// Turns to follow what is published.
    pub watchers: Arc<Semaphore>,
}

impl Services {
    /// Why the sidecar should get no requests just now; empty if it should.
    #[must_use]
    pub fn unready(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Acquire) {
            reasons.push("draining");
        }
        if self.pdp.state().load().is_none() {
            reasons.push("no bundle loaded");
            if self.pdp.state().status().waits.is_some() {
                reasons.push("a file may still be being written, and is waited for; `palisade status` names it");
            }
            if !self.metrics.works.overdue().is_empty() {
                reasons.push("reading or building the bundle has taken more than 10 s; a file system may not answer");
            }
        }
        if self.verify_unready && self.pdp.sampler().is_some_and(crate::decide::Sampler::mismatched) {
            reasons.push("a decision differs from the reference");
        }
        if self.metrics.threads.failing().is_some() {
            reasons.push("a thread of the sidecar fails again and again; the log says which");
        }
        reasons
    }

    /// What works worse than it should, all of it.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        let status = self.pdp.state().status();
        let store = status.store.and_then(|store| store.problem);
        let state = status.degraded.into_iter().chain(store);
        let tokens = self.admin_tokens.as_ref().and_then(|tokens| tokens.problem());
        let log = self.pdp.log().and_then(DecisionLog::problem);
        let known = state.chain(tokens).chain(log).chain(self.gateway.identity_degraded());
        let all: Vec<String> = known.chain(self.metrics.works.overdue()).chain(self.places.degraded()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// How many requests are not answered yet.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How many connections are open, on all listeners.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        let open = Listener::ALL.iter().map(|listener| self.metrics.connections(*listener).get());
        open.filter_map(|open| usize::try_from(open).ok()).sum()
    }

    fn decision_body(&self) -> BodyLimits {
        BodyLimits { max_bytes: self.http.max_body_bytes, timeout: self.http.body_timeout }
    }

    fn admin_body(&self) -> BodyLimits {
        BodyLimits { max_bytes: self.admin_body_bytes, timeout: self.http.body_timeout }
    }

    /// Waits for the revision that the request asks for, within the deadline. Not for a body that says nothing: it is
    /// refused next.
    async fn wait_for(&self, exchange: &Exchange, body: &[u8]) -> Result<(), Problem> {
        match exchange.at_least()? {
            Some(_) if body.iter().all(u8::is_ascii_whitespace) => Ok(()),
            None => Ok(()),
            Some(revision) => Ok(Box::pin(self.pdp.state().wait_for(revision, self.http.deadline)).await?),
        }
    }

    /// Stops a batch whose answer is too large, for itself or beside those of others, before more of it is decided.
    fn check_answer_size(&self, answer: &[u8], open: &mut Open) -> Result<(), Problem> {
        let most = self.http.max_answer_bytes;
        if answer.len() > most {
            return Err(Problem::answer_too_large(most));
        }
        if open.hold_growing(answer.len()) { Ok(()) } else { Err(Problem::too_busy()) }
    }

    fn check_batch_size(&self, items: usize, member: &str) -> Result<(), Problem> {
        if items <= self.http.max_batch {
            return Ok(());
        }
        let detail =
            format!("`{member}` has {items} items, more than {} (`http.max_batch`); split it", self.http.max_batch);
        Err(Problem::bad_request("batch_too_large", detail))
    }
}
