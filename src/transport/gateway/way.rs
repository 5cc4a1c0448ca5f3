//! The way that all dialects share: the route, who asks, the checks, the verdict. All at one published state.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request::Parts;

use crate::decide::{Call, CheckError, Next, Public, Refused, Target};
use crate::identity::{AuthError, Caller, Now, Peer, Rule};
use crate::telemetry::RefusalReason;
use crate::transport::Services;
use crate::transport::gateway::Dialect;
use crate::transport::gateway::fields::Fields;
use palisade_engine::model::{Revision, Uid};
use palisade_routes::{Auth, Body, Outcome, Refusal, RequestFacts, Upgrade};

/// What a gateway says of a request.
pub(super) struct Described<'a> {
    pub(super) method: &'a str,
    /// As it stood in the request line.
    pub(super) target: &'a [u8],
    pub(super) host: Option<&'a str>,
    pub(super) body: Body<'a>,
    /// The client's address.
    pub(super) ip: Option<IpAddr>,
    /// The client's certificate.
    pub(super) peer: Peer<'a>,
}

impl Described<'_> {
    /// What the decision log may record of it, if there is one.
    fn asked_for(&self, services: &Services) -> Option<Target> {
        services.pdp.log().map(|_| Target::new(self.method, self.host, self.target))
    }
}

/// A request to be decided.
pub(super) struct Question<'a, 'f> {
    pub(super) described: Described<'a>,
    pub(super) fields: &'a Fields<'f>,
    pub(super) at_least: Option<Revision>,
    /// When it came. Tokens, keys and policies are judged by this time: the clock is not read again for each.
    pub(super) asked: Now,
    pub(super) deadline: Instant,
    pub(super) call: Call<'a>,
}

/// What the way led to.
pub(super) struct Verdict {
    /// The caller who may, `None` where none needs to be known; or why not.
    pub(super) outcome: Result<Option<Arc<Caller>>, Denial>,
    /// The state that it was decided at.
    pub(super) revision: Option<Revision>,
    /// What the connection may become.
    pub(super) upgrade: Option<Upgrade>,
}

/// The code of a denial by policies.
pub(super) const DENIED: &str = "denied";

/// Why not, for the client.
pub(super) struct Denial {
    pub(super) kind: Kind,
    pub(super) code: &'static str,
    pub(super) detail: &'static str,
}

/// What kind of answer a denial is.
pub(super) enum Kind {
    /// The caller is not known. With the challenge.
    Unknown(String),
    /// Not allowed.
    Refused,
    /// The sidecar cannot decide.
    Fault,
}

/// The end of the way before any policy was asked.
pub(super) struct Stop {
    reason: RefusalReason,
    code: &'static str,
    message: Cow<'static, str>,
    /// For a caller that is not known.
    challenge: Option<String>,
    target: Option<Target>,
    route: Option<String>,
    caller: Option<Arc<Caller>>,
    revision: Option<Revision>,
}

// === impl Stop ===

impl Stop {
    /// A stop for a reason that says everything.
    pub(super) fn new(reason: RefusalReason, message: impl Into<Cow<'static, str>>) -> Self {
        let (code, message) = (reason.as_str(), message.into());
        Self { reason, code, message, challenge: None, target: None, route: None, caller: None, revision: None }
    }

    fn refusal(refusal: Refusal) -> Self {
        let reason = RefusalReason::named(refusal.code).unwrap_or(RefusalReason::BadValue);
        let Refusal { code, message, route, .. } = refusal;
        Self { code, route, ..Self::new(reason, message) }
    }

    fn unknown(error: &AuthError, rule: &Rule, route: Option<&str>) -> Self {
        let (reason, challenge) = if error.code.is_unavailable() {
            (RefusalReason::KeysUnavailable, None)
        } else {
            (RefusalReason::Unauthenticated, Some(error.challenge(rule.schemes())))
        };
        let route = route.map(str::to_owned);
        Self { code: error.code.as_str(), challenge, route, ..Self::new(reason, error.code.message()) }
    }

    fn at(self, revision: Revision) -> Self {
        Self { revision: Some(revision), ..self }
    }

    fn of(self, target: Option<Target>) -> Self {
        Self { target, ..self }
    }

    fn by(self, caller: Option<Arc<Caller>>) -> Self {
        Self { caller, ..self }
    }

    /// Counts it, records it, and makes it the verdict.
    pub(super) async fn note(self, services: &Services, deadline: Instant, call: Call<'_>) -> Verdict {
        let Self { reason, code, message, challenge, target, route, caller, revision } = self;
        let principal = caller.as_ref().map(|caller| &caller.principal);
        let refused = Refused { reason, code, message: &message, target, route: route.as_deref(), principal, revision };
        services.pdp.note_refused(refused, deadline, call).await;
        let (kind, detail) = match challenge {
            Some(challenge) => (Kind::Unknown(challenge), "the caller is not authenticated"),
            None if reason.is_fault() => (Kind::Fault, "the sidecar cannot decide now"),
            None => (Kind::Refused, "the request is refused"),
        };
        Verdict { outcome: Err(Denial { kind, code, detail }), revision, upgrade: None }
    }
}

/// What of a gateway's patience is for deciding: a tenth is for the answer's way back.
pub(super) fn for_deciding(patience: Duration) -> Duration {
    patience - patience / 10
}

/// What of the time is left.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Takes a request to its verdict.
pub(super) async fn ask(services: &Services, question: &Question<'_, '_>) -> Result<Verdict, Stop> {
    decide(services, question).await.map_err(|stop| stop.of(question.described.asked_for(services)))
}

async fn decide(services: &Services, question: &Question<'_, '_>) -> Result<Verdict, Stop> {
    question.fields.check_spoofs()?;
    let state = services.pdp.state();
    if let Some(revision) = question.at_least {
        let reached = state.wait_for(revision, left(question.deadline)).await;
        reached.map_err(|_| Stop::new(RefusalReason::RevisionNotReached, "the revision was not published in time"))?;
    }
    let bytes = if let Body::Whole(body) = question.described.body { body.len() } else { 0 };
    let _room = services.trees.room_within(bytes, left(question.deadline)).await.ok_or_else(|| {
        Stop::new(RefusalReason::TooBusy, "the bodies of all requests together are too large at the moment")
    })?;
    let published = state.published().ok_or_else(|| Stop::new(RefusalReason::NotReady, "no bundle is loaded yet"))?;
    let revision = published.snapshot.revision();
    let Described { method, target, host, body, ip, peer } = question.described;
    let name = services.gateway.identity.certificate_uri(peer);
    let facts = RequestFacts {
        method,
        target,
        host,
        headers: question.fields,
        body,
        peer: palisade_routes::Peer { ip, name: name.as_deref() },
    };
    let found = published.routes.find(facts).map_err(|refusal| Stop::refusal(refusal).at(revision))?;
    if let (Some(trace), Some(route)) = (question.call.trace, found.route()) {
        trace.notes.route(route.place.as_str());
    }
    let caller = if found.is_public() {
        None
    } else {
        let rule = services.gateway.rules.rule(found.credential());
        let cookie = found.credential().and_then(|credential| credential.cookie.as_deref());
        let credential = question.fields.credential(&rule, cookie);
        let Question { asked, deadline, .. } = *question;
        let known = services.gateway.identity.authenticate_patiently(&rule, credential, peer, asked, deadline).await;
        let route = found.route().map(|route| route.place.as_str());
        known.map_err(|error| Stop::unknown(&error, &rule, route).at(revision))?
    };
    let stop = |stop: Stop| stop.at(revision).by(caller.clone());
    let identity = caller.as_deref().map(|caller| palisade_routes::Identity {
        principal: borrowed(&caller.principal),
        auth: Some(Auth { method: &caller.method, mfa: caller.mfa }),
        token: caller.token.as_ref().map(borrowed),
        claims: Some(&caller.claims),
    });
    let outcome = found.resolve(identity.as_ref(), &*published.snapshot);
    let checks = match outcome.map_err(|refusal| stop(Stop::refusal(refusal)))? {
        Outcome::Public => {
            let route = found.route().map_or("", |route| route.place.as_str());
            let target = question.described.asked_for(services);
            let noted = services.pdp.note_public(Public { target, route, revision }, question.deadline, question.call);
            noted.await.map_err(|error| stop(Stop::new(RefusalReason::NotRecorded, error.to_string())))?;
            Vec::new()
        }
        Outcome::Checks(checks) => checks,
    };
    // what checks of one request share is worked out once: who asks, and often in what circumstances
    let mut series = (checks.len() > 1).then(|| published.snapshot.series(question.asked.unix_ms));
    let mut context = 0;
    for (at, check) in checks.iter().enumerate() {
        // whatever was waited for before the first ended by the deadline
        let now = if at == 0 { question.asked.instant } else { Instant::now() };
        if now >= question.deadline {
            return Err(stop(Stop::new(RefusalReason::Deadline, "the decision took too long")));
        }
        let Question { asked, deadline, call, .. } = *question;
        if at > 0 && checks[at - 1].context != check.context {
            context += 1;
        }
        let next = series.as_mut().map(|series| Next { series, context });
        match services.pdp.check_next(&published.snapshot, next, check, asked.unix_ms, deadline, call).await {
            Ok(decision) if decision.outcome.is_allow() => {}
            Ok(_) => {
                let denial = Denial { kind: Kind::Refused, code: DENIED, detail: "the request is not allowed" };
                return Ok(Verdict { outcome: Err(denial), revision: Some(revision), upgrade: None });
            }
            Err(CheckError::Invalid(error)) => return Err(stop(Stop::new(RefusalReason::InvalidCheck, error.message))),
            Err(CheckError::TooSlow) => {
                return Err(stop(Stop::new(RefusalReason::Deadline, "the decision took too long")));
            }
            Err(error @ CheckError::Overloaded) => {
                return Err(stop(Stop::new(RefusalReason::TooBusy, error.to_string())));
            }
            Err(error @ CheckError::Unrecorded) => {
                return Err(stop(Stop::new(RefusalReason::NotRecorded, error.to_string())));
            }
            Err(error) => return Err(stop(Stop::new(RefusalReason::Internal, error.to_string()))),
        }
    }
    Ok(Verdict { outcome: Ok(caller), revision: Some(revision), upgrade: found.upgrade() })
}

fn borrowed<'u>(uid: &'u Uid<'_>) -> Uid<'u> {
    Uid { type_name: Cow::Borrowed(&uid.type_name), id: Cow::Borrowed(&uid.id) }
}

// ---- What dialects read with

/// A method: a token, in whatever case.
pub(super) fn verb(value: &[u8]) -> Result<&str, Stop> {
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|b| token(&b)))
        .ok_or_else(|| Stop::new(RefusalReason::BadDescription, "not a valid HTTP method"))
}

/// Refuses a scheme that no service behind a gateway has: some gateways make a whole URL of it for the service.
pub(super) fn scheme(value: &[u8]) -> Result<(), Stop> {
    let known = [&b"http"[..], b"https", b"ws", b"wss"].iter().any(|known| value.eq_ignore_ascii_case(known));
    if known {
        Ok(())
    } else {
        Err(Stop::new(RefusalReason::BadDescription, "the scheme is neither `http` nor `https`"))
    }
}

/// A host as text; whether it is one is for the route table to say.
pub(super) fn host(value: &[u8]) -> Result<&str, Stop> {
    std::str::from_utf8(value).map_err(|_| Stop::new(RefusalReason::BadHost, "the host is not plain text"))
}

/// Refuses what lies below a dialect's path.
pub(super) fn only_at(head: &Parts, dialect: Dialect) -> Result<(), Stop> {
    if head.uri.path() == dialect.path() {
        return Ok(());
    }
    Err(Stop::new(RefusalReason::BadDescription, format!("the gateway must ask `{}`", dialect.path())))
}
