//! Answers: the one place where outcomes become HTTP statuses.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Body as _;
use serde::Serialize;

use crate::decide::CheckError;
use crate::state::{Rejected, TooOld};
use crate::transport::conn::{LARGE_ANSWER, Open};
use crate::transport::exchange::REVISION;
use crate::transport::streamed::{Content, STREAM_BYTES};
use palisade_engine::model::bounds::{MAX_EXPLANATION, cut};
use palisade_engine::model::{Diagnostic, Refused, RequestError, Revision, plural};

/// The longest place within a request that an answer names, in bytes.
pub(super) const LONGEST_PLACE: usize = 512;

/// An answer.
pub(super) type Answer = Response<Content>;

/// The shape of every error: problem+json (RFC 9457) with a stable `code`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Problem {
    pub(super) status: u16,
    /// For programs; never changes.
    pub(super) code: &'static str,
    /// What the status says.
    pub(super) title: &'static str,
    /// What is wrong and what to do, for people.
    pub(super) detail: String,
    /// A JSON pointer into the request.
    #[serde(rename = "where", skip_serializing_if = "String::is_empty")]
    pub(super) pointer: String,
    /// Each finding about a bundle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<Diagnostic>,
    /// Extra response headers.
    #[serde(skip)]
    headers: Vec<(http::HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            code,
            title: status.canonical_reason().unwrap_or("error"),
            // it may quote the request, which may be large
            detail: cut(detail.into(), MAX_EXPLANATION),
            pointer: String::new(),
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is nothing at `{path}` on this listener"))
    }

    pub(super) fn method_not_allowed(path: &str, allowed: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("`{path}` takes {allowed}"))
            .header(ALLOW, HeaderValue::from_str(allowed).unwrap_or(HeaderValue::from_static("")))
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "the admin API needs `Authorization: Bearer <token>`")
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"palisade admin\""))
    }

    pub(super) fn not_ready() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "no policies are loaded yet; `/readyz` on the admin listener says why",
        )
        .header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// It cannot be done at the moment.
    pub(super) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// There is no room for more bodies and answers at the moment.
    pub(super) fn too_busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_busy",
            "the bodies and answers of all requests together are too large at the moment (`max_inflight_bytes`); ask again",
        )
        .header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// The answer to a batch would be too large.
    pub(super) fn answer_too_large(most: usize) -> Self {
        Self::bad_request(
            "answer_too_large",
            format!("the answer is larger than {most} bytes (`http.max_answer_bytes`); split the batch"),
        )
    }

    /// An answer could not be written, which leaves nothing that could be read as one.
    pub(super) fn unwritable() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer could not be written")
    }

    /// The same problem with findings, of which the first says where it is.
    fn found(mut self, errors: Vec<Diagnostic>) -> Self {
        let rest = match errors.as_slice() {
            [one] => format!(": {}", one.message),
            several => format!(": {} findings, see `errors`", several.len()),
        };
        self.detail = cut(self.detail + &rest, MAX_EXPLANATION);
        let pointer = errors.first().map(|first| first.origin.clone()).unwrap_or_default();
        self.about(pointer, errors)
    }

    /// The same problem at a place of the request, with findings.
    pub(super) fn about(self, pointer: String, errors: Vec<Diagnostic>) -> Self {
        Self { errors, pointer: cut(pointer, LONGEST_PLACE), ..self }
    }

    /// The body was not read to its end, so the connection cannot carry another request.
    pub(super) fn closing(self) -> Self {
        if self.closes() {
            return self;
        }
        self.header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// Whether the sidecar is at fault, or the moment, and not the request.
    pub(super) fn is_fault(&self) -> bool {
        self.status >= 500
    }

    pub(super) fn closes(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == CONNECTION)
    }

    pub(super) fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn into_answer(self) -> Answer {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = json(status, &self);
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers {
            // HTTP/2 knows no Connection header; hyper drops it there
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let mut problem = Self::bad_request(error.code, error.message);
        problem.pointer = cut(error.pointer, LONGEST_PLACE);
        problem
    }
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::NotReady => Self::not_ready(),
            CheckError::Invalid(error) => error.into(),
            CheckError::Overloaded => Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", error.to_string())
                .header(RETRY_AFTER, HeaderValue::from_static("1")),
            CheckError::TooSlow => Self::new(StatusCode::SERVICE_UNAVAILABLE, "decision_too_slow", error.to_string()),
            CheckError::Unrecorded => Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_recorded", error.to_string())
                .header(RETRY_AFTER, HeaderValue::from_static("1")),
            CheckError::Internal => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()),
        }
    }
}

impl From<TooOld> for Problem {
    fn from(reason: TooOld) -> Self {
        let detail = match reason {
            TooOld::OtherIncarnation => {
                "`Palisade-At-Least` names a revision of another process run; ask without it, or reload what you cached"
            }
            TooOld::Deadline => "the revision in `Palisade-At-Least` was not published in time",
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "revision_not_reached", detail)
    }
}

impl From<Rejected> for Problem {
    fn from(reason: Rejected) -> Self {
        match reason {
            // the bundle may be fine: the sidecar lacks a thread, or memory for one
            Rejected::Invalid(errors) if errors.iter().all(|error| error.passing) => {
                let detail = "the bundle could not be built now and nothing has changed: send it again";
                Self { errors, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_thread", detail) }
            }
            Rejected::Invalid(errors) => {
                let n = errors.len();
                let detail = match errors.first() {
                    Some(first) if n == 1 => {
                        format!("the bundle was refused and nothing has changed: {}", first.message)
                    }
                    _ => format!("the bundle was refused and nothing has changed: {n} problems, see `errors`"),
                };
                Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_bundle", detail) }
            }
            Rejected::NotLoaded => Self::not_ready(),
            Rejected::Store(why) => {
                let detail = format!("nothing has changed, since it could not be made durable: {why}");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail)
            }
            Rejected::Refused(Refused::Unmet(errors)) => {
                let detail =
                    "what is stored is not what `expect` says, so nothing has changed: get it, and decide again";
                Self::new(StatusCode::PRECONDITION_FAILED, "expectation_failed", detail).found(errors)
            }
            Rejected::Refused(Refused::Invalid(errors)) => {
                let detail = "the changes were refused and nothing has changed";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_change", detail).found(errors)
            }
            Rejected::Refused(Refused::Dangling(errors, count)) => {
                let lead = if count == 1 { "leads" } else { "lead" };
                let references = plural(count, "reference");
                let detail = format!("{count} {references} {lead} to what would be deleted, so nothing has changed");
                Self::new(StatusCode::CONFLICT, "dangling_reference", detail).found(errors)
            }
            Rejected::Refused(Refused::InUse(errors)) => {
                let detail = "links need a template that would be gone, so nothing has changed";
                Self::new(StatusCode::CONFLICT, "template_in_use", detail).found(errors)
            }
            Rejected::Refused(Refused::Derived(errors)) => {
                let detail = "links that data make cannot be changed by hand, so nothing has changed";
                Self::new(StatusCode::CONFLICT, "derived_link", detail).found(errors)
            }
            Rejected::Refused(Refused::BrokenPath(errors)) => {
                let detail = "paths of links from data would lead through what is not stored, so nothing has changed";
                Self::new(StatusCode::CONFLICT, "broken_path", detail).found(errors)
            }
            Rejected::Refused(Refused::Rule(errors)) => {
                let detail = "the data would break rules of the bundle, so nothing has changed";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "rule_broken", detail).found(errors)
            }
            Rejected::Unexpected(serving) => {
                let serving = match serving {
                    Some(revision) => format!("revision {revision} serves"),
                    None => "nothing serves yet".to_owned(),
                };
                let detail = format!(
                    "{serving}, which is not what `If-Match` or `revision` names, so nothing has changed: get it, make \
                     the change again, and send that"
                );
                Self::new(StatusCode::PRECONDITION_FAILED, "revision_changed", detail)
            }
            Rejected::Condition(found) => {
                let detail = format!("{found}, which `If-Match` or `If-None-Match` excludes, so nothing has changed");
                Self::new(StatusCode::PRECONDITION_FAILED, "condition_failed", detail)
            }
            Rejected::Missing(what) => Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}")),
            // only loads of files are, and none waits for those over HTTP
            Rejected::Superseded => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a later change was acknowledged first")
            }
            Rejected::Broken => {
                let detail = "this failed inside the engine, and nothing has changed; please report it";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
            Rejected::Busy => Self::unavailable(
                "too_busy",
                "the changes that wait hold too many bytes at the moment, so this one was not taken; send it again",
            ),
            // a client that gets this answer has not left, so the process is stopping
            Rejected::Abandoned | Rejected::Stopped | Rejected::Refused(Refused::GivenUp) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the sidecar is stopping")
            }
        }
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    // room for a decision with a reason or two
    let mut body = Vec::with_capacity(512);
    // an answer that cannot be written must not look like one
    let status = match serde_json::to_writer(&mut body, value) {
        Ok(()) => status,
        Err(_) => {
            body.clear();
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    with_type(status, "application/json", body)
}

/// Says which revision an answer was made at: the state may be another by the time it leaves.
pub(super) fn at(revision: Revision, mut answer: Answer) -> Answer {
    answer.headers_mut().insert(REVISION, written(revision));
    answer
}

/// The same, of an answer that stands for the state whole: `If-Match` names it.
pub(super) fn tagged(revision: Revision, mut answer: Answer) -> Answer {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        answer.headers_mut().insert(ETAG, tag);
    }
    at(revision, answer)
}

/// A revision as the header says it.
pub(super) fn written(revision: Revision) -> HeaderValue {
    thread_local! {
        /// The last one: nearly all answers have the same.
        static LAST: RefCell<Option<(Revision, HeaderValue)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some((known, value)) if *known == revision => value.clone(),
        _ => {
            // digits and a dash are a header value
            let value = HeaderValue::from_str(revision.text().as_str()).unwrap_or(HeaderValue::from_static(""));
            *last = Some((revision, value.clone()));
            value
        }
    })
}

/// An answer that is its status alone.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Content::default());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    // with room for what an answer to a gateway has, and not for so much that the allocator takes longer
    headers.reserve(6);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Lets the answer's bytes count instead of those of the request; false if there is no room for them.
pub(super) fn hold(answer: &mut Answer, open: &mut Open) -> bool {
    let body = answer.body_mut();
    if let Content::Streamed(_) | Content::Events(_) = body {
        // of its size only so much is ever there, and few are at a time
        return open.hold_small(STREAM_BYTES);
    }
    if body.size_hint().exact().is_some_and(|length| length < LARGE_ANSWER as u64) {
        return open.hold_small(body.size_hint().lower() as usize);
    }
    // whole answers are there at once
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *body).poll_frame(&mut context) else { return true };
    let Some(bytes) = frame.into_data().ok().and_then(|bytes| open.hold_large(bytes)) else { return false };
    *body = bytes.into();
    true
}

/// The answer to `HEAD`. Over HTTP/1.1 the library leaves the body out; over HTTP/2 it would send it.
pub(super) fn head_alone(answer: Answer) -> Answer {
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Content::default())
}

/// An answer of any type. Nothing here may be kept by a cache on the way.
pub(super) fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body: Bytes = body.into();
    of_type(status, content_type, body.into())
}

/// A JSON answer that is made while it is sent.
pub(super) fn streamed(body: Content) -> Answer {
    of_type(StatusCode::OK, "application/json", body)
}

pub(super) fn of_type(status: StatusCode, content_type: &'static str, body: Content) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    // with room for what every answer has
    headers.reserve(6);
    // made once: a value that is made again is checked byte by byte
    static JSON: HeaderValue = HeaderValue::from_static("application/json");
    static NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    let is_json = content_type == "application/json";
    headers.insert(CONTENT_TYPE, if is_json { JSON.clone() } else { HeaderValue::from_static(content_type) });
    headers.insert(CACHE_CONTROL, NO_STORE.clone());
    answer
}
