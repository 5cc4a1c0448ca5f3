//! What gateways ask: one endpoint for each dialect, which reads the headers of that dialect and no others.
//!
//! `nginx`, `forward`, `envoy` and `grpc` read what the gateway says of a request, `way` takes it to a verdict, and
//! `answer` (`grpc` for itself) writes the verdict as that gateway understands it. Whatever happens on the way, a panic
//! included, is an explicit denial: nothing but a verdict that allows becomes a 200.

mod answer;
mod envoy;
mod fields;
mod forward;
pub(super) mod grpc;
mod nginx;
mod owned;
mod rules;
mod way;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::Body as _;
use serde_json::json;

use crate::config::Settings;
use crate::decide::Call;
use crate::identity::{Identity, IssuerStatus, Now};
use crate::telemetry::{RefusalReason, Transport};
use crate::transport::Services;
use crate::transport::exchange::{BodyLimits, Exchange, Unread};
use crate::transport::respond::Answer;
use rules::Rules;
use way::{Question, Stop, Verdict};

/// What the gateway endpoints need besides the decision point.
#[derive(Debug)]
pub struct Gateway {
    identity: Identity,
    rules: Rules,
    /// The header in which Envoy describes its client's certificate, in small letters.
    peer_header: Option<String>,
    deadline: Duration,
}

impl Gateway {
    /// What the settings say, with the callers that `identity` knows.
    #[must_use]
    pub fn new(settings: &Settings, identity: Identity) -> Self {
        Self {
            rules: Rules::new(&settings.identity),
            peer_header: settings.identity.peer.header.clone(),
            deadline: settings.gateway.deadline,
            identity,
        }
    }

    /// When what was asked must be answered, also where the gateway says how long it waits.
    fn deadline(&self, asked: Now, theirs: Option<Duration>) -> Instant {
        asked.instant + theirs.map_or(self.deadline, |theirs| theirs.min(self.deadline))
    }

    /// What is wrong with the keys of issuers and with API tokens, for `degraded` of `/v1/status`.
    pub(super) fn identity_degraded(&self) -> Vec<String> {
        self.identity.degraded()
    }

    /// How callers are authenticated, for `/v1/status`: each issuer's keys, and how many API tokens there are.
    pub(super) fn identity_status(&self) -> serde_json::Value {
        let issuer = |status: IssuerStatus| {
            json!({
                "issuer": status.issuer,
                "keys_from": status.keys_from,
                "keys": status.keys,
                "age_seconds": status.age.map(|age| age.as_secs_f64()),
                "problem": status.problem,
            })
        };
        let issuers: Vec<_> = self.identity.status(Now::read()).into_iter().map(issuer).collect();
        let (count, problem) = self.identity.api_tokens();
        json!({"issuers": issuers, "api_tokens": {"count": count, "problem": problem}})
    }
}

/// How a gateway asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// nginx' `auth_request`.
    Nginx,
    /// `X-Forwarded-*`: Caddy, Traefik, HAProxy, Apache, APISIX.
    Forward,
    /// Envoy's ext_authz over HTTP.
    Envoy,
}

impl Dialect {
    const ALL: [Self; 3] = [Self::Nginx, Self::Forward, Self::Envoy];

    /// Where it is spoken. What lies below is its own too, so that a mistyped path is refused in its words.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Nginx => "/gateway/nginx",
            Self::Forward => "/gateway/forward",
            Self::Envoy => "/gateway/envoy",
        }
    }

    /// The dialect of a path of the decision listener.
    pub(super) fn at(path: &str) -> Option<Self> {
        let within = |dialect: &Self| {
            path.strip_prefix(dialect.path()).is_some_and(|rest| matches!(rest.as_bytes().first(), None | Some(b'/')))
        };
        Self::ALL.into_iter().find(within)
    }

    /// How its decisions are counted.
    pub(super) const fn transport(self) -> Transport {
        match self {
            Self::Nginx => Transport::Nginx,
            Self::Forward => Transport::Forward,
            Self::Envoy => Transport::Envoy,
        }
    }
}

/// Answers one request of a gateway, whatever its method.
pub(super) async fn answer(services: &Services, exchange: &mut Exchange, dialect: Dialect) -> Answer {
    let asked = Now::read();
    let theirs = if dialect == Dialect::Envoy { envoy::timeout(&exchange.head.headers) } else { None };
    let deadline = services.gateway.deadline(asked, theirs);
    let verdict = caught(pin!(verdict(services, exchange, dialect, asked, deadline))).await;
    let verdict = settled(verdict, services, deadline, exchange.call(dialect.transport())).await;
    let mut answer = answer::write(dialect, &verdict);
    if !exchange.body.is_end_stream() {
        // what was not read must not be taken for the next request
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The answer to the caller: whatever stopped the way, a panic included, is a denial that is counted and recorded.
async fn settled(
    verdict: Option<Result<Verdict, Stop>>,
    services: &Services,
    deadline: Instant,
    call: Call<'_>,
) -> Verdict {
    let stop = match verdict {
        Some(Ok(verdict)) => return noted(verdict, call),
        Some(Err(stop)) => stop,
        None => {
            let trace_id = call.trace_id().map(tracing::field::display);
            tracing::error!(trace_id, "answering a gateway failed inside the sidecar");
            Stop::new(RefusalReason::Internal, "the sidecar failed")
        }
    };
    noted(stop.note(services, deadline, call).await, call)
}

/// Notes a verdict for the request's span.
fn noted(verdict: Verdict, call: Call<'_>) -> Verdict {
    if let Some(trace) = call.trace {
        match &verdict.outcome {
            Ok(_) => trace.notes.decided(true),
            Err(denial) if denial.code == way::DENIED => trace.notes.decided(false),
            Err(denial) => trace.notes.failed(denial.code),
        }
    }
    verdict
}

async fn verdict(
    services: &Services,
    exchange: &mut Exchange,
    dialect: Dialect,
    asked: Now,
    deadline: Instant,
) -> Result<Verdict, Stop> {
    exchange.check_framing().map_err(|_| {
        let message = "the request is framed in a way that can be read differently";
        Stop::new(RefusalReason::BadDescription, message)
    })?;
    // nginx passes no bodies on
    let body = if dialect == Dialect::Nginx || exchange.body.is_end_stream() {
        None
    } else {
        let timeout = way::left(deadline).min(services.http.body_timeout);
        let limits = BodyLimits { max_bytes: services.http.max_body_bytes, timeout };
        Some(exchange.read(limits).await.map_err(|unread| self::unread("body", unread))?)
    };
    let fields = fields::of(&exchange.head.headers);
    let body = body.as_deref();
    let described = match dialect {
        Dialect::Nginx => nginx::read(&exchange.head, &fields)?,
        Dialect::Forward => forward::read(&exchange.head, &fields, body)?,
        Dialect::Envoy => envoy::read(&exchange.head, &fields, body, services.gateway.peer_header.as_deref())?,
    };
    let at_least = fields.at_least()?;
    let call = exchange.call(dialect.transport());
    let question = Question { described, fields: &fields, at_least, asked, deadline, call };
    way::ask(services, &question).await
}

/// The end of a request whose body, or message, is not there whole.
fn unread(what: &str, unread: Unread) -> Stop {
    let (reason, message) = match unread {
        Unread::TooSlow(_) => (RefusalReason::Deadline, format!("the {what} did not arrive in time")),
        Unread::TooLarge(most) => {
            (RefusalReason::BodyUnread, format!("the {what} is larger than {most} bytes, see `http.max_body_bytes`"))
        }
        Unread::CutOff => (RefusalReason::BodyUnread, format!("the {what} ended before it was whole")),
        Unread::NoRoom => {
            (RefusalReason::TooBusy, "the bodies of all requests together are too large at the moment".to_owned())
        }
    };
    Stop::new(reason, message)
}

/// What `work` comes to; `None` if it panics. It is pinned by who calls, since moving it costs more than polling it.
async fn caught<T>(mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_one_dialect() {
        for (path, expected) in [
            ("/gateway/nginx", Some(Dialect::Nginx)),
            ("/gateway/nginx/", Some(Dialect::Nginx)),
            ("/gateway/nginx/x", Some(Dialect::Nginx)),
            ("/gateway/forward", Some(Dialect::Forward)),
            ("/gateway/envoy", Some(Dialect::Envoy)),
            ("/gateway/envoy/devices/7", Some(Dialect::Envoy)),
            ("/gateway/envoy//x", Some(Dialect::Envoy)),
            ("/gateway/envoys", None),
            ("/gateway/", None),
            ("//gateway/envoy/x", None),
            ("/v1/is_authorized", None),
        ] {
            assert_eq!(Dialect::at(path), expected, "{path}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_no_answer() {
        let panics = async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "as a fault would");
            200
        };
        assert_eq!(caught(pin!(panics)).await, None);
        assert_eq!(caught(pin!(async { 200 })).await, Some(200));
    }
}
