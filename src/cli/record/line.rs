//! A line of a decision log, read back as a question and its answer.

use std::sync::Arc;

use jiff::Timestamp;
use palisade_engine::model::{
    AccessRequest, Decision, DeniedBy, Outcome, PolicyError, PolicyId, Revision, Uid, Value, json::in_words,
};

use crate::cli::test::is_short_form;

/// What stands in a record for what `decision_log.mask` hides.
const MASKED: &str = "***";

/// A decision as it was recorded.
#[derive(Debug)]
pub(super) struct Recorded {
    pub request: AccessRequest<'static>,
    pub decision: Decision,
    /// When it was made, in milliseconds since 1970.
    pub time: i64,
    /// Which decision it was, for people.
    pub origin: String,
}

/// Why a line is no test.
#[derive(Debug)]
pub(super) struct Skipped(pub String);

impl Recorded {
    /// Equal for two lines of which one test is enough.
    pub(super) fn key(&self) -> String {
        let AccessRequest { principal, action, resource, context, .. } = &self.request;
        let Decision { outcome, reasons, errors, .. } = &self.decision;
        let failed: Vec<&str> = errors.iter().map(|error| &*error.policy_id).collect();
        format!("{principal} {action} {resource} {} {outcome:?} {reasons:?} {failed:?}", context.to_json())
    }
}

/// Reads a line.
///
/// # Errors
/// If it is no record of a decision, or lacks something that the decision depended on.
pub(super) fn parse(text: &[u8]) -> Result<Recorded, Skipped> {
    let value = Value::parse(text).map_err(|error| {
        let said = in_words(&error.to_string());
        // the record is one line of many, which the message names
        Skipped(format!("it is not JSON: {}", said.split(" at line ").next().unwrap_or(&said)))
    })?;
    if value.as_object().is_none() {
        return Err(Skipped(format!("it is {}, not the record of a decision", value.kind())));
    }
    let text_of = |name: &str| value.get(name).and_then(Value::as_str);
    if let Some(code) = text_of("refused") {
        return Err(Skipped(format!(
            "no policy was asked: the request was refused with `{code}`; see `palisade routes test`"
        )));
    }
    if let Some(Value::Bool(true)) = value.get("public") {
        return Err(Skipped("no policy was asked: its route is public; see `palisade routes test`".to_owned()));
    }
    let uid = |name: &str| {
        let text = text_of(name).ok_or_else(|| Skipped(format!("it lacks `{name}`")))?;
        Uid::parse_owned(text.to_owned()).map_err(|error| Skipped(format!("`{name}`: {error}")))
    };
    let mut request = AccessRequest::new(uid("principal")?, uid("action")?, uid("resource")?);
    if let Some(Value::Long(brought)) = value.get("carried_entities") {
        let entities = if *brought == 1 { "an entity".to_owned() } else { format!("{brought} entities") };
        return Err(Skipped(format!("the request brought {entities}, which the log does not hold")));
    }
    let context = value.get("context").ok_or_else(|| Skipped("it lacks `context`".to_owned()))?;
    if context.as_object().is_none() {
        return Err(Skipped(format!("`context` is {}, not an object", context.kind())));
    }
    let mut path = String::from("context");
    if within(context, &mut path, &|value| value.as_str() == Some(MASKED)) {
        return Err(Skipped(format!("`{path}` is masked (`decision_log.mask`)")));
    }
    let members = context.as_object().unwrap_or_default();
    for (name, member) in members {
        let mut path = format!("context.{name}");
        if within(member, &mut path, &is_read_otherwise) {
            return Err(Skipped(format!(
                "`{path}` is a record of one member that a file of tests takes for a value: write the test as JSON"
            )));
        }
    }
    request.context = context.clone().into_owned();
    let time = text_of("time").ok_or_else(|| Skipped("it lacks `time`".to_owned()))?;
    let at: Timestamp = time.parse().map_err(|_| Skipped(format!("`time` is `{time}`, which is not a time")))?;
    let decision = decision(&value)?;
    let origin = match text_of("decision_id") {
        Some(id) => format!("Decision {id} of {time}."),
        None => format!("Decided at {time}."),
    };
    Ok(Recorded { request, decision, time: at.as_millisecond(), origin })
}

fn decision(record: &Value<'_>) -> Result<Decision, Skipped> {
    let outcome = match record.get("decision").and_then(Value::as_str) {
        Some("Allow") => Outcome::Allow,
        Some("Deny") => Outcome::Deny,
        Some(other) => return Err(Skipped(format!("`decision` is `{other}`, not `Allow` or `Deny`"))),
        None => return Err(Skipped("it lacks `decision`".to_owned())),
    };
    let list = |name: &str| {
        record.get(name).and_then(Value::as_array).ok_or_else(|| Skipped(format!("it lacks the list `{name}`")))
    };
    let unreadable = |name: &str| Skipped(format!("`{name}` is not in the form of a record"));
    let ids = list("reason")?.iter().map(|id| id.as_str().map(PolicyId::from).ok_or_else(|| unreadable("reason")));
    let errors = list("errors")?.iter().map(|error| {
        let part = |name: &str| error.get(name).and_then(Value::as_str);
        let (Some(id), message) = (part("policyId"), part("message").unwrap_or_default()) else {
            return Err(unreadable("errors"));
        };
        Ok(PolicyError { policy_id: id.into(), message: Arc::from(message) })
    });
    let rule = |denied: &Value<'_>| {
        let part = |name: &str| denied.get(name).and_then(Value::as_str);
        match (part("rule"), part("entity"), part("policyId")) {
            (Some("unknown_entity"), Some(entity), _) => Some(DeniedBy::UnknownEntity { entity: entity.to_owned() }),
            (Some("forbid_error"), _, Some(id)) => Some(DeniedBy::ForbidError { policy_id: id.into() }),
            _ => None,
        }
    };
    let denied_by = record.get("denied_by").map(|denied| rule(denied).ok_or_else(|| unreadable("denied_by")));
    Ok(Decision {
        outcome,
        reasons: ids.collect::<Result<_, _>>()?,
        errors: errors.collect::<Result<_, _>>()?,
        forbid_errors: 0,
        denied_by: denied_by.transpose()?,
        revision: Revision { incarnation: 0, counter: 0 },
        time_dependent: false,
    })
}

/// Whether `is` says so of `value` or of something in it; `path` leads there then. The nesting is bounded by the reader.
fn within(value: &Value<'_>, path: &mut String, is: &dyn Fn(&Value<'_>) -> bool) -> bool {
    if is(value) {
        return true;
    }
    let length = path.len();
    let found = match value {
        Value::Array(elements) => elements.iter().enumerate().any(|(i, element)| {
            path.truncate(length);
            path.push_str(&format!("[{i}]"));
            within(element, path, is)
        }),
        Value::Object(members) => members.iter().any(|(name, member)| {
            path.truncate(length);
            path.push_str(&format!(".{name}"));
            within(member, path, is)
        }),
        _ => false,
    };
    if !found {
        path.truncate(length);
    }
    found
}

/// Whether a file of tests would read a record as something else.
fn is_read_otherwise(value: &Value<'_>) -> bool {
    matches!(value.as_object(), Some([(name, _)]) if is_short_form(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"decision_id":"7","time":"2026-11-28T05:00:00.123456Z","revision":"1-1","transport":"native","request_id":"r","principal":"U::\"a\"","action":"Action::\"view\"","resource":"D::\"d\"","context":{"n":1},"decision":"Deny","reason":["p"],"errors":[{"policyId":"q","message":"m"}],"denied_by":{"rule":"unknown_entity","entity":"U::\"a\""},"cached":false,"duration_us":1.002}"#;

    #[test]
    fn a_record_is_read_whole() {
        let read = parse(LINE.as_bytes()).unwrap();
        let request = &read.request;
        assert_eq!(
            [request.principal.to_string(), request.action.to_string(), request.resource.to_string()],
            ["U::\"a\"", "Action::\"view\"", "D::\"d\""]
        );
        assert_eq!(request.context.to_json(), serde_json::json!({"n": 1}));
        assert_eq!(
            (read.time, read.origin.as_str()),
            (1_795_842_000_123, "Decision 7 of 2026-11-28T05:00:00.123456Z.")
        );
        let decision = &read.decision;
        assert_eq!(
            (decision.outcome, &*decision.reasons[0], &*decision.errors[0].policy_id),
            (Outcome::Deny, "p", "q")
        );
        assert_eq!(decision.denied_by, Some(DeniedBy::UnknownEntity { entity: "U::\"a\"".into() }));
    }

    #[test]
    fn what_cannot_be_repeated_says_why() {
        for (from, to, why) in [
            (r#"{"decision_id""#, r#"["decision_id""#, "it is not JSON"),
            (LINE, "7", "it is a number, not the record of a decision"),
            (LINE, "{}", "it lacks `principal`"),
            (r#""principal":"U::\"a\"""#, r#""principal":"a""#, "`principal`: "),
            (r#"{"n":1}"#, r#"{"a":{"b":[1,"***"]}}"#, "`context.a.b[1]` is masked"),
            (r#"{"n":1}"#, r#"{"a":"x","c":"***"}"#, "`context.c` is masked"),
            (r#"{"n":1}"#, "[]", "`context` is an array, not an object"),
            (r#"{"n":1}"#, r#"{"a":[{"entity":"x"}]}"#, "`context.a[0]` is a record of one member"),
            (r#"{"n":1}"#, r#"{"a":{"datetime":1}}"#, "`context.a` is a record of one member"),
            (r#""cached""#, r#""carried_entities":1,"cached""#, "brought an entity, which the log does not hold"),
            (r#""cached""#, r#""carried_entities":2,"cached""#, "brought 2 entities"),
            (r#""cached""#, r#""refused":"no_route","cached""#, "refused with `no_route`"),
            (r#""cached""#, r#""public":true,"cached""#, "its route is public"),
            (r#""Deny""#, r#""Maybe""#, "`decision` is `Maybe`"),
            (r#"["p"]"#, "[1]", "`reason` is not in the form"),
            (r#""errors""#, r#""erors""#, "it lacks the list `errors`"),
            (r#""unknown_entity""#, r#""other""#, "`denied_by` is not in the form"),
            ("2026-11-28T05:00:00.123456Z", "today", "`time` is `today`"),
        ] {
            let text = LINE.replacen(from, to, 1);
            assert_ne!(text, LINE, "{from}");
            let Skipped(said) = parse(text.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{to}: {said}");
        }
    }
}
