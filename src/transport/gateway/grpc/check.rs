//! `Authorization/Check`: the verdict on one request, always as a message that says yes or no.

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use prost::Message as _;
use tonic::body::Body;

use crate::decide::Call;
use crate::identity::Now;
use crate::telemetry::traces::Trace;
use crate::telemetry::{RefusalReason, Transport};
use crate::transport::Services;
use crate::transport::conn::Open;
use crate::transport::exchange::{REQUEST_ID, REVISION, Unread, collect};
use crate::transport::gateway::grpc::{AUTHORIZATION, message, unary};
use crate::transport::gateway::way::{self, Question, Stop, Verdict};
use crate::transport::gateway::{caught, settled, unread};
use crate::transport::respond;
use crate::transport::router::request_id;
use crate::transport::span;
use palisade_routes::{Field, Headers};

/// Where it is asked.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// What a message may have beside the client's body: headers, certificates, metadata.
const BESIDE_THE_BODY: usize = 256 << 10;

/// Answers one call.
pub(super) async fn answer(open: &mut Open, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut id = request_id(head.headers.get(REQUEST_ID));
    let mut trace = span::begin(&open.conn.services, &head.headers);
    let conn = open.conn.clone();
    let asked = Now::read();
    let deadline = conn.services.gateway.deadline(asked, timeout(&head.headers));
    let question = Asked { body, asked, deadline };
    let verdict = caught(pin!(verdict(&conn.services, open, question, &mut id, &mut trace))).await;
    let verdict = settled(verdict, &conn.services, deadline, call(&id, trace.as_deref())).await;
    let mut answer = unary::answer(&message::response(&verdict));
    if let Some(revision) = verdict.revision {
        answer.headers_mut().insert(REVISION, respond::written(revision));
    }
    if let Some(trace) = &trace {
        let request = span::Request { rpc: Some((AUTHORIZATION, "Check")), ..span::Request::of(&head, CHECK, false) };
        span::end(&conn, trace, &request, answer.status(), answer.headers());
    }
    answer
}

/// A call whose message is not read yet.
struct Asked {
    body: Incoming,
    asked: Now,
    deadline: Instant,
}

fn call<'c>(request_id: &'c str, trace: Option<&'c Trace>) -> Call<'c> {
    Call { transport: Transport::Grpc, request_id, trace }
}

async fn verdict(
    services: &Services,
    open: &mut Open,
    Asked { body, asked, deadline }: Asked,
    id: &mut String,
    trace: &mut Option<Box<Trace>>,
) -> Result<Verdict, Stop> {
    let bytes = read(services, open, body, way::left(deadline)).await?;
    let unreadable = || Stop::new(RefusalReason::BadDescription, "the message cannot be read");
    let message = unary::message(&bytes).and_then(|message| CheckRequest::decode(message).ok());
    let message = message.ok_or_else(unreadable)?;
    let fields = message::request(&message).map(message::fields).unwrap_or_default();
    if let Field::One(given) = fields.field(REQUEST_ID.as_str())
        && let Ok(given) = HeaderValue::from_bytes(given)
    {
        *id = request_id(Some(&given));
    }
    if let Field::One(parent) = fields.field("traceparent") {
        let state = fields.named("tracestate");
        span::join(services, trace, Some(parent), state);
    }
    let described = message::describe(&message, &fields)?;
    let at_least = fields.at_least()?;
    let question = Question { described, fields: &fields, at_least, asked, deadline, call: call(id, trace.as_deref()) };
    way::ask(services, &question).await
}

async fn read(services: &Services, open: &mut Open, mut body: Incoming, patience: Duration) -> Result<Bytes, Stop> {
    let most = services.http.max_body_bytes.saturating_add(BESIDE_THE_BODY);
    let read = tokio::time::timeout(patience, collect(&mut body, most, open)).await;
    read.unwrap_or(Err(Unread::TooSlow(patience))).map_err(|unread| self::unread("message", unread))
}

/// How long there is to decide; `None` if Envoy does not say how long it waits.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let whole = match unit {
        "H" => Duration::from_secs(count.saturating_mul(3_600)),
        "M" => Duration::from_secs(count.saturating_mul(60)),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(way::for_deciding(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_as_grpc_writes_them() {
        for (text, expected) in [
            ("100m", Some(Duration::from_millis(90))),
            ("1S", Some(Duration::from_millis(900))),
            ("2M", Some(Duration::from_secs(108))),
            ("1H", Some(Duration::from_secs(3_240))),
            ("1000u", Some(Duration::from_micros(900))),
            ("1000n", Some(Duration::from_nanos(900))),
            ("0m", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_240))),
            ("100", None),
            ("m", None),
            ("", None),
            ("-1m", None),
            ("123456789m", None),
            ("1\u{e9}", None),
        ] {
            let headers =
                HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), HeaderValue::from_str(text).unwrap())]);
            assert_eq!(timeout(&headers), expected, "{text}");
        }
    }
}
