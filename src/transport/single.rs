//! One policy or one link by its id: each is a change of its own.

use http::Method;

use crate::state::{Expected, Named, Origin, Sent};
use crate::transport::Services;
use crate::transport::changes::{Options, answer};
use crate::transport::exchange::{Exchange, JSON, parse};
use crate::transport::idempotency::BodyHash;
use crate::transport::respond::{Answer, Problem};
use crate::transport::submit::submit;
use palisade_engine::model::request::pointer;
use palisade_engine::model::{Change, Edit, Link, LinkNames, RequestError, Transaction, Value};

/// The media type of a policy in Cedar's syntax.
const TEXT: &str = "text/plain";

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Policy,
    Link,
}

impl Kind {
    fn named(self, id: &str) -> Named {
        match self {
            Self::Policy => Named::Policy(id.to_owned()),
            Self::Link => Named::Link(id.to_owned()),
        }
    }
}

/// `PUT` and `DELETE` of `/v1/policies/{id}` and `/v1/links/{id}`.
pub(super) async fn single(
    services: &Services,
    exchange: &mut Exchange,
    kind: Kind,
    id: String,
) -> Result<Answer, Problem> {
    let deletes = exchange.head.method == Method::DELETE;
    let options = Options::of_request(exchange)?;
    let media = match (deletes, kind) {
        (true, _) => JSON,
        (false, Kind::Policy) => exchange.expect_media(&[TEXT, JSON])?,
        (false, Kind::Link) => exchange.expect_media(&[JSON])?,
    };
    let body = exchange.read(services.admin_body()).await?;
    let edit = match (deletes, kind) {
        (true, Kind::Policy) => Edit::DeletePolicy(id.clone()),
        (true, Kind::Link) => Edit::DeleteLink(id.clone()),
        (false, Kind::Policy) => Edit::PutPolicy { id: id.clone(), text: policy(&body, media)? },
        (false, Kind::Link) => Edit::PutLink(link(parse(&body)?, &id)?),
    };
    edit.check_id("").map_err(|error| RequestError::new("invalid_path", "", format!("{error} (in the path)")))?;
    let named = kind.named(&id);
    let expected = if deletes { vec![Expected::Deletable(named.clone())] } else { Vec::new() };
    let transaction = Transaction { edits: vec![edit], dangling: options.dangling.unwrap_or_default() };
    let (change, origin) = (Change::Transaction(transaction), Origin::Changes);
    let sent = Sent { change, expected, origin, dry_run: options.dry_run, key: None };
    let digest = BodyHash::of(exchange)?.whole(&body);
    let became = submit(services, exchange, digest, &named, sent).await;
    became.map(|became| answer(&became)).map_err(|problem| of_one(problem, kind, &id))
}

fn policy(body: &[u8], media: &str) -> Result<String, Problem> {
    if media == TEXT {
        return match std::str::from_utf8(body) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let message = format!("the policy is not UTF-8 at byte {}", error.valid_up_to());
                Err(Problem::bad_request("invalid_request", message))
            }
        };
    }
    match parse(body)? {
        Value::String(text) => Ok(text.into_owned()),
        value @ Value::Object(_) => Ok(value.to_json().to_string()),
        other => {
            let message = format!("the policy must be text, or an object in Cedar's JSON form, not {}", other.kind());
            Err(RequestError::new("invalid_request", "", message).into())
        }
    }
}

/// The link of the path's id; one in the body must be the same.
fn link(value: Value<'_>, id: &str) -> Result<Link, Problem> {
    let Value::Object(mut members) = value else {
        let message = format!("a link must be an object of `template_id` and `args`, not {}", value.kind());
        return Err(RequestError::new("invalid_request", "", message).into());
    };
    match members.iter().find(|(key, _)| key == "link_id") {
        None => members.push(("link_id".into(), Value::String(id.to_owned().into()))),
        Some((_, Value::String(given))) if *given == id => {}
        Some(_) => {
            let message = format!("`link_id` is not `{id}`, which the path names; leave it out");
            return Err(RequestError::new("invalid_member", pointer("link_id"), message).into());
        }
    }
    Ok(Link::from_value(Value::Object(members), LinkNames::OF_FILES, "")?)
}

/// Findings about the only change, in words of the path.
fn of_one(mut problem: Problem, kind: Kind, id: &str) -> Problem {
    for finding in &mut problem.errors {
        finding.origin = match kind {
            Kind::Policy => format!("policies[{id:?}]"),
            Kind::Link => format!("links[{id:?}]"),
        };
    }
    problem.pointer.clear();
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_the_id_of_its_path() {
        let read = |text: &str| link(Value::parse(text.as_bytes()).unwrap(), "l").map(|link| link.link_id);
        for (text, expected) in [
            (r#"{"template_id":"t","args":{}}"#, Ok("l")),
            (r#"{"template_id":"t","link_id":"l","args":{}}"#, Ok("l")),
            (r#"{"template_id":"t","link_id":"m","args":{}}"#, Err("invalid_member")),
            (r#"{"args":{}}"#, Err("missing_member")),
            ("[]", Err("invalid_request")),
        ] {
            assert_eq!(read(text).as_deref().map_err(|problem| problem.code), expected, "{text}");
        }
        assert_eq!(policy(b"permit", TEXT).unwrap(), "permit");
        assert_eq!(policy(br#"{"effect":"permit"}"#, JSON).unwrap(), r#"{"effect":"permit"}"#);
        assert_eq!(policy(b"[]", JSON).unwrap_err().code, "invalid_request");
        assert_eq!(policy(b"\xff", TEXT).unwrap_err().code, "invalid_request");
    }
}
