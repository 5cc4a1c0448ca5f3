//! One request on its way in: its head, its body within limits, its conditions.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::decide::Call;
use crate::telemetry::Transport;
use crate::telemetry::traces::{Notes, Trace};
use crate::transport::conn::Open;
use crate::transport::present::Present;
use crate::transport::respond::Problem;
use crate::transport::timer::Elapsed;
use palisade_engine::model::json::in_words;
use palisade_engine::model::{Revision, Text, Value};

/// The header that names the revision which a decision must at least be made at.
pub(super) const AT_LEAST: http::HeaderName = http::HeaderName::from_static("palisade-at-least");

/// The header with the revision at which an answer was made.
pub(super) const REVISION: http::HeaderName = http::HeaderName::from_static("palisade-revision");

/// The header by which a request is followed through logs.
pub(super) const REQUEST_ID: http::HeaderName = http::HeaderName::from_static("x-request-id");

/// A request whose body has not been read.
pub(super) struct Exchange {
    pub(super) head: Parts,
    pub(super) body: Incoming,
    /// Which of some fields the head has.
    pub(super) present: Present,
    /// The caller's request id, or one that the sidecar made.
    pub(super) request_id: String,
    /// What it has to do with traces, if anything.
    pub(super) trace: Option<Box<Trace>>,
    /// What it holds of its connection and of the budget.
    pub(super) open: Open,
}

/// The media type of JSON.
pub(super) const JSON: &str = "application/json";

/// The media type of JSON texts, one a line.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// How much of a body is read past an error, and for how long, to keep the connection for the next request.
const DRAIN: BodyLimits = BodyLimits { max_bytes: 64 << 10, timeout: Duration::from_secs(1) };

/// How much of a body is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    pub(super) max_bytes: usize,
    pub(super) timeout: Duration,
}

/// Whether a missing `Content-Type` passes for JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentType {
    /// It must be there and say JSON.
    Required,
    /// If it is there, it must say JSON. A page can send a body without one: only where the `door` lets no page through.
    IfPresent,
}

impl Exchange {
    /// The call that it is, for the decision point.
    pub(super) fn call(&self, transport: Transport) -> Call<'_> {
        Call { transport, request_id: &self.request_id, trace: self.trace.as_deref() }
    }

    /// Notes its outcome for its span.
    pub(super) fn note(&self, note: impl FnOnce(&Notes)) {
        if let Some(trace) = &self.trace {
            note(&trace.notes);
        }
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Refuses a head that another reader may take for a different request.
    ///
    /// The library takes two equal lengths for one, and does not look at `Host` (RFC 9112, 3.2 and 6.3).
    pub(super) fn check_framing(&self) -> Result<(), Problem> {
        if self.present.has(&TRANSFER_ENCODING) {
            self.check_coding()?;
        }
        if !self.present.twice {
            return Ok(());
        }
        let twice = |name: &HeaderName| self.headers().get_all(name).iter().nth(1).is_some();
        // lengths over HTTP/1 are looked at as they come in
        let over_http2 = self.head.version >= Version::HTTP_2;
        for name in [HOST, CONTENT_LENGTH].iter().take(if over_http2 { 2 } else { 1 }) {
            if twice(name) {
                let message = format!("the head has `{name}` more than once");
                return Err(Problem::bad_request("invalid_framing", message).closing());
            }
        }
        Ok(())
    }

    /// Refuses a transfer coding other than `chunked`, once. What else the library takes for chunked
    /// (`gzip, chunked`, the header twice) an intermediary may read differently.
    fn check_coding(&self) -> Result<(), Problem> {
        let mut codings = self.headers().get_all(TRANSFER_ENCODING).iter();
        match (codings.next(), codings.next()) {
            (None, _) => Ok(()),
            (Some(one), None) if one.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
            _ => {
                Err(Problem::bad_request("invalid_framing", "the only transfer coding taken is `chunked`, named once")
                    .closing())
            }
        }
    }

    /// Reads the body whole.
    pub(super) async fn read(&mut self, limits: BodyLimits) -> Result<Bytes, Unread> {
        if self.announces_more_than(limits.max_bytes) {
            return Err(Unread::TooLarge(limits.max_bytes));
        }
        let timer = self.open.conn.body_timer.clone();
        let collected = collect(&mut self.body, limits.max_bytes, &mut self.open);
        match timer.within(limits.timeout, collected).await {
            Ok(body) => body,
            Err(Elapsed) => Err(Unread::TooSlow(limits.timeout)),
        }
    }

    /// Reads the body piece by piece, each of at most so many bytes, without keeping it. `take` gives how many bytes of what
    /// it was given are held from then on.
    pub(super) async fn read_each(
        &mut self,
        timeout: Duration,
        most: usize,
        mut take: impl FnMut(&[u8]) -> Result<usize, Problem>,
    ) -> Result<(), Problem> {
        let timer = self.open.conn.body_timer.clone();
        let (body, open) = (&mut self.body, &mut self.open);
        let read = async {
            while !body.is_end_stream() {
                let Some(frame) = body.frame().await else { break };
                let Ok(data) = frame.map_err(|_| Unread::CutOff)?.into_data() else { continue };
                for piece in data.chunks(most) {
                    if !open.hold(take(piece)?) {
                        return Err(Unread::NoRoom.into());
                    }
                    if data.len() > most {
                        // others have their turn
                        tokio::task::yield_now().await;
                    }
                }
            }
            Ok(())
        };
        timer.within(timeout, read).await.unwrap_or_else(|Elapsed| Err(Unread::TooSlow(timeout).into()))
    }

    fn announces_more_than(&self, bytes: usize) -> bool {
        // the library has read the length, where it goes by one
        if let Some(length) = self.body.size_hint().exact() {
            return length > bytes as u64;
        }
        let announced = self.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        announced.is_some_and(|length| length > bytes as u64)
    }

    /// Reads what an error left of the body. False if there is too much of it: then the connection must close,
    /// and the answer must say so, or the client's next request meets a closed connection.
    pub(super) async fn drain(&mut self) -> bool {
        if self.body.is_end_stream() {
            return true;
        }
        if self.announces_more_than(DRAIN.max_bytes) {
            return false;
        }
        let timer = self.open.conn.body_timer.clone();
        let rest = collect(&mut self.body, DRAIN.max_bytes, &mut self.open);
        matches!(timer.within(DRAIN.timeout, rest).await, Ok(Ok(_)))
    }

    /// Refuses a body that is not announced as JSON.
    pub(super) fn expect_json(&self, rule: ContentType) -> Result<(), Problem> {
        let given = self.headers().get(CONTENT_TYPE);
        let several = self.present.twice && self.headers().get_all(CONTENT_TYPE).iter().nth(1).is_some();
        let fine = match given {
            // two: another reader may go by the other one
            Some(_) if several => false,
            Some(value) if value.as_bytes() == JSON.as_bytes() => true,
            None => rule == ContentType::IfPresent,
            Some(value) => value.to_str().is_ok_and(|value| {
                let media_type = value.split(';').next().unwrap_or_default().trim();
                media_type.eq_ignore_ascii_case(JSON)
            }),
        };
        if fine {
            return self.expect_plain();
        }
        let given =
            given.map_or("missing".to_owned(), |value| format!("`{}`", String::from_utf8_lossy(value.as_bytes())));
        Err(Problem::bad_request(
            "wrong_content_type",
            format!("the content type is {given}; send `Content-Type: application/json`"),
        ))
    }

    /// Which of the `allowed` media types the body is announced as.
    pub(super) fn expect_media(&self, allowed: &[&'static str]) -> Result<&'static str, Problem> {
        let mut all = self.headers().get_all(CONTENT_TYPE).iter();
        let given = match (all.next(), all.next()) {
            (Some(one), None) => String::from_utf8_lossy(one.as_bytes()).into_owned(),
            // two: another reader may go by the other one
            (Some(_), Some(_)) => "there more than once".to_owned(),
            (None, _) => "missing".to_owned(),
        };
        let media_type = given.split(';').next().unwrap_or_default().trim();
        if let Some(known) = allowed.iter().find(|known| known.eq_ignore_ascii_case(media_type)) {
            self.expect_plain()?;
            return Ok(known);
        }
        let allowed = allowed.join("` or `");
        let message = format!("the content type is {given}; send `Content-Type: {allowed}`");
        Err(Problem::bad_request("wrong_content_type", message))
    }

    /// Refuses a compressed body: it would not parse as JSON, and the error would not say why. A gateway's request may
    /// have this header of its client's.
    fn expect_plain(&self) -> Result<(), Problem> {
        if self.present.has(&CONTENT_ENCODING)
            && let Some(coding) = self.headers().get(CONTENT_ENCODING)
            && !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")
        {
            let coding = String::from_utf8_lossy(coding.as_bytes());
            let detail = format!("the body is compressed (`Content-Encoding: {coding}`); send it as it is");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed_body", detail)
                .header(ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        }
        Ok(())
    }

    /// The revision that the answer must at least be made at, if the request names one.
    pub(super) fn at_least(&self) -> Result<Option<Revision>, Problem> {
        if !self.present.has(&AT_LEAST) {
            return Ok(None);
        }
        let mut values = self.headers().get_all(AT_LEAST).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value
                .to_str()
                .unwrap_or_default()
                .trim()
                .parse()
                .map(Some)
                .map_err(|error| Problem::bad_request("invalid_revision", format!("`Palisade-At-Least`: {error}"))),
            (Some(_), Some(_)) => Err(Problem::bad_request("invalid_revision", "more than one `Palisade-At-Least`")),
        }
    }
}

/// Why a body is not there whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It has more bytes than this, which the endpoint takes at most.
    TooLarge(usize),
    /// It ended before it was whole.
    CutOff,
    /// The bodies of all requests together are too large.
    NoRoom,
    /// It did not arrive within this time.
    TooSlow(Duration),
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        let problem = match unread {
            Unread::TooLarge(most) => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body is larger than {most} bytes, which this endpoint takes at most"),
            ),
            Unread::CutOff => Self::bad_request("body_cut_off", "the body ended before it was whole"),
            Unread::NoRoom => Self::too_busy(),
            Unread::TooSlow(timeout) => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                format!("the body did not arrive within {}", humantime::format_duration(timeout)),
            ),
        };
        problem.closing()
    }
}

/// The bytes of a body. One that came in one piece is not copied.
pub(super) async fn collect(body: &mut Incoming, max_bytes: usize, open: &mut Open) -> Result<Bytes, Unread> {
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame.map_err(|_| Unread::CutOff)?.into_data() else { continue };
        if data.len() > max_bytes - first.len() - all.len() {
            return Err(Unread::TooLarge(max_bytes));
        }
        if !open.hold(data.len()) {
            return Err(Unread::NoRoom);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Parses a body as JSON.
pub(super) fn parse(body: &[u8]) -> Result<Value<'_>, Problem> {
    Value::parse(body).map_err(|error| malformed(body, &error))
}

/// Reads a body as JSON, whole, and makes no value of it yet.
pub(super) fn check(body: &[u8]) -> Result<Text<'_>, Problem> {
    Text::check(body).map_err(|error| malformed(body, &error))
}

/// A part of a body was right before, and is not now: nothing of it is decided.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub(super) fn contradicted(error: serde_json::Error) -> Problem {
    tracing::error!("a body was read in two ways: {error}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the body could not be read")
}

/// A 400 for a body that is no JSON, or not what was expected.
pub(super) fn malformed(body: &[u8], error: &serde_json::Error) -> Problem {
    let detail = match error.classify() {
        _ if body.iter().all(u8::is_ascii_whitespace) => "the body is empty; send a JSON object".to_owned(),
        serde_json::error::Category::Eof => format!("the body is cut off: {}", in_words(&error.to_string())),
        _ => format!("the body is not the JSON expected here: {}", in_words(&error.to_string())),
    };
    Problem::bad_request("malformed_json", detail)
}
