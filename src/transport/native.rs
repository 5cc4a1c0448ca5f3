//! The native decision API: `/v1/is_authorized` and its batch.

use std::borrow::Cow;

use http::StatusCode;

use crate::decide::{self, Call, Next};
use crate::telemetry::Transport;
use crate::transport::Services;
use crate::transport::elsewhere::{self, Place};
use crate::transport::exchange::{self, ContentType, Exchange};
use crate::transport::explain;
use crate::transport::respond::{self, Answer, Problem};
use crate::transport::trees::AT_ONCE;
use palisade_engine::model::request::pointer;
use palisade_engine::model::usual::{Batch, is_plain};
use palisade_engine::model::{AccessRequest, Decision, Outcome, PolicyId, RequestError, Text, Value, hint};

/// `POST /v1/is_authorized`
pub(super) async fn is_authorized(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::IfPresent)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange, &body).await?;
    let _room = services.trees.room_for(body.len()).await?;
    let request = match AccessRequest::in_usual_form(&body) {
        Some(request) => request,
        None => {
            let mut body = exchange::parse(&body)?;
            let explained = explain::is_wanted(&mut body)?;
            let read = AccessRequest::read_beside(body, &["explain"]);
            let request = read.map_err(|faults| elsewhere::problem(Place::Check, faults))?;
            if explained {
                return Box::pin(explain::beside(services, exchange, &request)).await;
            }
            request
        }
    };
    let decision = services.pdp.check(&request, exchange.call(Transport::Native)).await?;
    exchange.note(|notes| notes.decided(decision.outcome.is_allow()));
    // room for a reason or two
    let mut out = Vec::with_capacity(256);
    write_decision(&mut out, &decision).map_err(|_| Problem::unwritable())?;
    Ok(respond::at(decision.revision, respond::with_type(StatusCode::OK, "application/json", out)))
}

/// `POST /v1/is_authorized/batch`: all items are decided at one snapshot, each for itself. The body is read whole before
/// the first is decided. Of a long one each item is made values when its turn comes.
pub(super) async fn batch(services: &Services, exchange: &mut Exchange) -> Result<Answer, Problem> {
    exchange.expect_json(ContentType::IfPresent)?;
    let body = exchange.read(services.decision_body()).await?;
    services.wait_for(exchange, &body).await?;
    let at_once = body.len() <= AT_ONCE;
    let mut room = if at_once { Some(services.trees.room_for(body.len()).await?) } else { None };
    let mut requests = Requests::read(&body, at_once)?;
    services.check_batch_size(requests.len(), "requests")?;
    if room.is_none() {
        room = Some(services.trees.room_for(requests.bytes_to_come()).await?);
    }
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let trace = exchange.trace.as_deref();
    let call = Call { transport: Transport::Batch, request_id: &exchange.request_id, trace };
    let (now, mut time) = (decide::clock(), decide::BatchTime::start());
    let mut series = snapshot.series(now);
    let mut out = Vec::with_capacity(128 * (requests.len() + 1));
    out.extend_from_slice(b"{\"responses\":[");
    for i in 0..requests.len() {
        if i > 0 {
            out.push(b',');
        }
        let answer = match requests.lend(i)? {
            Ok(request) => {
                let decided = match (time.next_item().await, requests.context_of(i)) {
                    (Ok(()), Some(context)) => {
                        let next = Next { series: &mut series, context };
                        services.pdp.check_next(&snapshot, Some(next), &request, now, time.deadline(), call).await
                    }
                    (Ok(()), None) => services.pdp.check_at(&snapshot, &request, now, time.deadline(), call).await,
                    (Err(error), _) => Err(error),
                };
                requests.give_back(i, request);
                decided.map_err(Problem::from)
            }
            Err(faults) => Err(elsewhere::problem(Place::Batch, faults)),
        };
        let written = match answer {
            Ok(decision) => {
                exchange.note(|notes| notes.decided(decision.outcome.is_allow()));
                write_decision(&mut out, &decision)
            }
            Err(mut error) => {
                exchange.note(|notes| notes.failed(error.code));
                services.metrics.undecided(Transport::Batch, error.code, error.is_fault());
                let within = format!("/requests/{i}");
                error.pointer.insert_str(0, &within);
                error.errors.iter_mut().for_each(|found| found.origin.insert_str(0, &within));
                write_failure(&mut out, &error)
            }
        };
        written.map_err(|_| Problem::unwritable())?;
        services.check_answer_size(&out, &mut exchange.open)?;
    }
    drop(room);
    out.extend_from_slice(b"],\"revision\":\"");
    out.extend_from_slice(snapshot.revision().text().as_str().as_bytes());
    out.extend_from_slice(b"\"}");
    Ok(respond::at(snapshot.revision(), respond::with_type(StatusCode::OK, "application/json", out)))
}

/// The requests of a batch.
enum Requests<'a> {
    /// All of them are read.
    Usual(Batch<'a>),
    /// Each is read when its turn comes. One that was read is gone.
    Items(Vec<Option<Item<'a>>>),
}

impl<'a> Requests<'a> {
    /// Reads a body; with `at_once` it may all be values.
    fn read(body: &'a [u8], at_once: bool) -> Result<Self, Problem> {
        if at_once && let Some(batch) = Batch::in_usual_form(body) {
            return Ok(Self::Usual(batch));
        }
        let items = if at_once { values(exchange::parse(body)?)? } else { texts(exchange::check(body)?)? };
        Ok(Self::Items(items.into_iter().map(Some).collect()))
    }

    fn len(&self) -> usize {
        match self {
            Self::Usual(batch) => batch.len(),
            Self::Items(items) => items.len(),
        }
    }

    /// How many bytes of text the largest is that is no value yet.
    fn bytes_to_come(&self) -> usize {
        match self {
            Self::Usual(_) => 0,
            Self::Items(items) => items.iter().flatten().map(Item::bytes_to_come).max().unwrap_or_default(),
        }
    }

    /// The request at a place, or why there is none. Once for each.
    fn lend(&mut self, place: usize) -> Result<Result<AccessRequest<'a>, Vec<RequestError>>, Problem> {
        match self {
            Self::Usual(batch) => batch.lend(place).map(Ok).ok_or_else(Problem::unwritable),
            Self::Items(items) => {
                let item = items.get_mut(place).and_then(Option::take).ok_or_else(Problem::unwritable)?;
                Ok(AccessRequest::read_beside(item.read()?, &[]))
            }
        }
    }

    /// A number for a context that several may share, where that is known.
    fn context_of(&self, place: usize) -> Option<u32> {
        match self {
            Self::Usual(batch) => batch.context_of(place),
            Self::Items(_) => None,
        }
    }

    /// Takes a request back that is decided: a later one may share its parts.
    fn give_back(&mut self, place: usize, request: AccessRequest<'a>) {
        if let Self::Usual(batch) = self {
            batch.give_back(place, request);
        }
    }
}

/// A request of a batch, before its turn.
enum Item<'a> {
    Value(Value<'a>),
    Text(Text<'a>),
}

impl<'a> Item<'a> {
    fn read(self) -> Result<Value<'a>, Problem> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Text(text) => text.read().map_err(exchange::contradicted),
        }
    }

    /// How many bytes of text it is that are not values yet.
    fn bytes_to_come(&self) -> usize {
        match self {
            Self::Value(_) => 0,
            Self::Text(text) => text.bytes(),
        }
    }
}

/// A member of a batch: its name, and its elements, or what it is instead of an array.
type Listed<'a> = (Cow<'a, str>, Result<Vec<Item<'a>>, &'static str>);

/// The elements of `requests`.
fn values(body: Value<'_>) -> Result<Vec<Item<'_>>, Problem> {
    let Value::Object(members) = body else { return requests(None) };
    let listed = members.into_iter().map(|(key, value)| match value {
        Value::Array(elements) => (key, Ok(elements.into_iter().map(Item::Value).collect())),
        other => (key, Err(other.kind())),
    });
    requests(Some(listed.collect()))
}

/// The same of a text that was checked.
fn texts(body: Text<'_>) -> Result<Vec<Item<'_>>, Problem> {
    let Some(members) = body.members().map_err(exchange::contradicted)? else { return requests(None) };
    let listed = members.into_iter().map(|member| {
        Ok(match member.elements {
            Some(elements) => (member.key, Ok(elements.into_iter().map(Item::Text).collect())),
            None => (member.key, Err(member.text.kind().map_err(exchange::contradicted)?)),
        })
    });
    requests(Some(listed.collect::<Result<_, Problem>>()?))
}

/// The requests among the members of a body; `None` stands for a body that is no object.
fn requests(members: Option<Vec<Listed<'_>>>) -> Result<Vec<Item<'_>>, Problem> {
    let Some(members) = members else {
        return Err(RequestError::new("invalid_request", "", "the body is not an object with `requests`").into());
    };
    let mut requests = None;
    for (key, elements) in members {
        if key != "requests" {
            let hint = hint(&key, ["requests"]);
            let message = format!("unknown member `{key}`; a batch has `requests`{hint}");
            let fault = RequestError::new("unknown_member", pointer(&key), message);
            return Err(elsewhere::said(Place::Batch, fault).into());
        }
        requests = Some(elements.map_err(|kind| {
            RequestError::new("invalid_member", "/requests", format!("`requests` must be an array, not {kind}"))
        })?);
    }
    requests.ok_or_else(|| RequestError::new("missing_member", "/requests", "the body lacks `requests`").into())
}

/// A decision as the native API writes it: cedar-agent's shape, and the revision. Only what must be escaped goes
/// through the serializer: the rest is the same in every answer.
pub(super) fn write_decision(out: &mut Vec<u8>, decision: &Decision) -> serde_json::Result<()> {
    out.extend_from_slice(match decision.outcome {
        Outcome::Allow => b"{\"decision\":\"Allow\",\"diagnostics\":{\"reason\":",
        Outcome::Deny => b"{\"decision\":\"Deny\",\"diagnostics\":{\"reason\":",
    });
    put_ids(out, &decision.reasons)?;
    out.extend_from_slice(b",\"errors\":");
    if decision.errors.is_empty() {
        out.extend_from_slice(b"[]");
    } else {
        serde_json::to_writer(&mut *out, &decision.errors)?;
    }
    if let Some(rule) = &decision.denied_by {
        out.extend_from_slice(b",\"denied_by\":");
        serde_json::to_writer(&mut *out, rule)?;
    }
    out.extend_from_slice(b"},\"revision\":\"");
    out.extend_from_slice(decision.revision.text().as_str().as_bytes());
    out.extend_from_slice(b"\"}");
    Ok(())
}

/// Ids as an array of strings, most of which need no escapes.
fn put_ids(out: &mut Vec<u8>, ids: &[PolicyId]) -> serde_json::Result<()> {
    out.push(b'[');
    for (i, id) in ids.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if is_plain(id) {
            out.push(b'"');
            out.extend_from_slice(id.as_bytes());
            out.push(b'"');
        } else {
            serde_json::to_writer(&mut *out, id)?;
        }
    }
    out.push(b']');
    Ok(())
}

/// An item of a batch without a decision. A client that reads only `decision` reads a denial.
fn write_failure(out: &mut Vec<u8>, error: &Problem) -> serde_json::Result<()> {
    out.extend_from_slice(b"{\"decision\":\"Deny\",\"diagnostics\":{\"reason\":[],\"errors\":[]},\"error\":");
    serde_json::to_writer(&mut *out, error)?;
    out.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a batch is read as: its items, or the problem, as they would be answered.
    fn outcome(read: Result<Vec<Item<'_>>, Problem>) -> Result<Vec<String>, String> {
        let written = |item: Item<'_>| format!("{:?}", item.read().unwrap());
        read.map(|items| items.into_iter().map(written).collect())
            .map_err(|problem| serde_json::to_string(&problem).unwrap())
    }

    /// The requests of a batch, each or why there is none, as they would be answered.
    fn requests_of(body: &str, read: fn(&[u8]) -> Result<Requests<'_>, Problem>) -> Result<Vec<String>, String> {
        let written = |problem: Problem| serde_json::to_string(&problem).unwrap();
        let mut requests = read(body.as_bytes()).map_err(written)?;
        let count = requests.len();
        let lend = |place| match requests.lend(place).map_err(written)? {
            Ok(request) => {
                let shown = format!("{request:?}");
                requests.give_back(place, request);
                Ok(shown)
            }
            Err(error) => Ok(format!("{error:?}")),
        };
        (0..count).map(lend).collect()
    }

    #[test]
    fn ids_are_written_as_the_serializer_does() {
        for ids in [&[][..], &["a"], &["a.0", "b/c \u{7f}é"], &["q\"", "\\", "\n\0", ""]] {
            let ids: Vec<PolicyId> = ids.iter().map(|id| PolicyId::from(*id)).collect();
            let mut out = Vec::new();
            put_ids(&mut out, &ids).unwrap();
            assert_eq!(out, serde_json::to_vec(&ids).unwrap());
        }
    }

    #[test]
    fn usual_batches_are_read_as_others() {
        const USUAL: &str =
            r#"{"principal":"U::\"a\"","action":{"type":"Action","id":"b"},"resource":"R::\"c\"","context":{"n":1}}"#;
        let without = USUAL.replace(",\"context\":{\"n\":1}", "");
        for (body, usual) in [
            (format!("{{\"requests\":[{USUAL},{USUAL},{without},{USUAL}]}}"), true),
            (format!("{{\"requests\":[{without}]}}"), true),
            ("{\"requests\":[]}".to_owned(), true),
            (format!("{{\"requests\":[{USUAL},{{}},7,{USUAL}]}}"), false),
            (format!("{{\"requests\":[{USUAL}],\"more\":1}}"), false),
            (format!("{{\"requests\":[{}]}}", USUAL.replace(":1", ":1.5")), false),
            (format!("{{\"requests\":[{}]}}", USUAL.replace("U::", "U:")), false),
            (format!("{{\"requests\":[{USUAL}"), false),
        ] {
            assert_eq!(Batch::in_usual_form(body.as_bytes()).is_some(), usual, "{body}");
            let one = requests_of(&body, |body| Requests::read(body, true));
            let other = requests_of(&body, |body| Requests::read(body, false));
            assert_eq!(one, other, "{body}");
        }
    }

    #[test]
    fn short_and_long_batches_are_read_alike() {
        for body in [
            r#"{"requests":[]}"#,
            r#" { "requests" : [ {"principal":{"type":"U","id":"a"}} , 1, "x", [2], null, {"a":{"b":[true]}} ] } "#,
            r#"{"r\u0065quests":[{}]}"#,
            r#"{"requests":{}}"#,
            r#"{"requests":null}"#,
            r#"{"requests":"[]"}"#,
            r#"{"requests":1}"#,
            r#"{"request":[]}"#,
            r#"{"requests":[1],"more~/":2}"#,
            r#"{"a":1,"requests":{}}"#,
            r#"{"requests":1,"a":{}}"#,
            "{}",
            "[]",
            "null",
            "\"requests\"",
            "7",
            r#"{"requests":[1"#,
            r#"{"requests":[1],"requests":[2]}"#,
            r#"{"requests":[{"a":1,"a":2}]}"#,
            "",
        ] {
            let at_once = exchange::parse(body.as_bytes()).and_then(values);
            let in_turn = exchange::check(body.as_bytes()).and_then(texts);
            assert_eq!(outcome(at_once), outcome(in_turn), "{body}");
        }
    }
}
