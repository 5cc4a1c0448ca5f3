//! `GET /v1/entities`: one entity, or a list of them page by page.
//!
//! The pages of a list are of one revision: the state is kept while they are asked for, a few states at a time and for a
//! minute. What was let go of cannot be gone on with (410).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::transport::Services;
use crate::transport::elsewhere::{self, Place};
use crate::transport::exchange::Exchange;
use crate::transport::respond::{self, Answer, Problem};
use crate::transport::target;
use palisade_engine::model::{RequestError, Revision, Uid};
use palisade_engine::{Listed, Snapshot};

/// States that are kept for lists.
const PINS: usize = 16;

/// How long a state is kept for a list that is not gone on with.
const PATIENCE: Duration = Duration::from_secs(60);

/// Entities of a page, if the request does not say.
const USUAL: usize = 100;

/// Entities of a page at most.
const MOST: usize = 1_000;

/// The states that lists are of.
#[derive(Debug, Default)]
pub struct Pins(Mutex<Vec<Pin>>);

#[derive(Debug)]
struct Pin {
    snapshot: Arc<Snapshot>,
    used: Instant,
}

impl Pins {
    fn lock(&self) -> MutexGuard<'_, Vec<Pin>> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|pin| pin.used.elapsed() < PATIENCE);
        pins
    }

    /// The state of a revision, if it is kept.
    fn get(&self, revision: Revision) -> Option<Arc<Snapshot>> {
        let mut pins = self.lock();
        let pin = pins.iter_mut().find(|pin| pin.snapshot.revision() == revision)?;
        pin.used = Instant::now();
        Some(pin.snapshot.clone())
    }

    /// Keeps a state; the one that was not asked for the longest makes room.
    fn keep(&self, snapshot: &Arc<Snapshot>) {
        let mut pins = self.lock();
        if pins.iter().any(|pin| pin.snapshot.revision() == snapshot.revision()) {
            return;
        }
        if pins.len() >= PINS
            && let Some(oldest) = (0..pins.len()).min_by_key(|i| pins[*i].used)
        {
            pins.swap_remove(oldest);
        }
        pins.push(Pin { snapshot: snapshot.clone(), used: Instant::now() });
    }
}

/// `GET /v1/entities/{type}/{id}`.
pub(super) fn entity(services: &Services, type_name: String, id: String) -> Result<Answer, Problem> {
    let uid = Uid::new(type_name, id).map_err(|error| RequestError::new("invalid_uid", "", error.to_string()))?;
    let snapshot = services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?;
    let Some(found) = snapshot.entity(&uid) else {
        let undeclared = snapshot.check_type(&uid.type_name).err().map(|why| format!("; {why}")).unwrap_or_default();
        let message = format!("there is no entity `{uid}`{undeclared}");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", message));
    };
    let mut body = listed(&found);
    body["revision"] = json!(snapshot.revision().to_string());
    Ok(respond::at(snapshot.revision(), respond::json(StatusCode::OK, &body)))
}

fn listed(found: &Listed) -> serde_json::Value {
    json!({ "entity": found.entity.to_json(), "origin": if found.changed { "overlay" } else { "base" } })
}

/// What a list is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    type_name: Option<String>,
    within: Option<Uid<'static>>,
    limit: Option<usize>,
    token: Option<Token>,
}

/// Where a list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    /// The state that it is of.
    revision: Revision,
    /// The place in it.
    from: u32,
    /// What is listed.
    of: u32,
}

impl Token {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '-');
        let (of, from) = (parts.next()?, parts.next()?);
        let number = |text| u32::from_str_radix(text, 16).ok();
        Some(Self { of: number(of)?, from: number(from)?, revision: parts.next()?.parse().ok()? })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}-{:x}", self.revision, self.from, self.of)
    }
}

/// `GET /v1/entities`.
pub(super) fn entities(services: &Services, exchange: &Exchange) -> Result<Answer, Problem> {
    let asked = Asked::read(exchange.head.uri.query().unwrap_or_default())?;
    let of = asked.digest();
    let (snapshot, from) = match asked.token {
        Some(token) if token.of != of => {
            let message = "the token is of a list with another `type` or `in`; send those that the list began with";
            return Err(RequestError::new("invalid_member", "?token", message).into());
        }
        Some(Token { revision, from, .. }) => {
            let gone = || {
                let message = "the list is of a state that is not kept any more: begin again without `token`";
                Problem::new(StatusCode::GONE, "page_expired", message)
            };
            (services.pins.get(revision).ok_or_else(gone)?, from)
        }
        None => (services.pdp.state().snapshot().ok_or_else(Problem::not_ready)?, 0),
    };
    let types = [("?type", asked.type_name.as_deref()), ("?in", asked.within.as_ref().map(|uid| &*uid.type_name))];
    for (place, name) in types {
        let checked = name.map_or(Ok(()), |name| snapshot.check_type(name));
        checked.map_err(|message| RequestError::new("unknown_type", place, message))?;
    }
    let limit = asked.limit.unwrap_or(USUAL);
    let (found, next) = snapshot.list(asked.type_name.as_deref(), asked.within.as_ref(), from, limit);
    if next.is_some() {
        services.pins.keep(&snapshot);
    }
    let revision = snapshot.revision();
    let body = json!({
        "entities": found.iter().map(listed).collect::<Vec<_>>(),
        "revision": revision.to_string(),
        "token": next.map(|from| Token { revision, from, of }.to_string()),
    });
    Ok(respond::at(revision, respond::json(StatusCode::OK, &body)))
}

impl Asked {
    /// Distinguishes what is listed, so that a token is not gone on with elsewhere by mistake.
    fn digest(&self) -> u32 {
        let within = self.within.as_ref().map(ToString::to_string);
        let hash = Sha256::digest(format!("{:?} {within:?}", self.type_name));
        hash.first_chunk().map_or(0, |first| u32::from_be_bytes(*first))
    }

    fn read(query: &str) -> Result<Self, Problem> {
        let mut asked = Self::default();
        let wrong = |name: &str, message: String| RequestError::new("invalid_member", format!("?{name}"), message);
        for (name, value) in target::query(query)? {
            match name.as_str() {
                "type" => asked.type_name = Some(value),
                "in" => {
                    let uid = Uid::parse_owned(value).map_err(|error| wrong("in", error.to_string()))?;
                    asked.within = Some(uid);
                }
                "limit" => match value.parse() {
                    Ok(limit @ 1..=MOST) => asked.limit = Some(limit),
                    _ => return Err(wrong("limit", format!("`limit` is 1 to {MOST}, not `{value}`")).into()),
                },
                "token" => {
                    let message = || wrong("token", "`token` is not one that a page was answered with".to_owned());
                    asked.token = Some(Token::parse(&value).ok_or_else(message)?);
                }
                other => {
                    let known = &["type", "in", "limit", "token"];
                    return Err(elsewhere::parameter(Place::Entities, other, known).into());
                }
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_whole_or_refused() {
        let read = Asked::read("type=T%3A%3AU&in=O%3A%3A%22x%22&limit=7&token=00000000000000ab-3-1f-ff").unwrap();
        let expected = Asked {
            type_name: Some("T::U".to_owned()),
            within: Some(Uid::new("O", "x").unwrap()),
            limit: Some(7),
            token: Some(Token { revision: Revision { incarnation: 0xab, counter: 3 }, from: 0x1f, of: 0xff }),
        };
        assert_eq!(read, expected);
        assert_eq!(read.token.unwrap().to_string(), "00000000000000ab-3-1f-ff");
        let digest = |query: &str| Asked::read(query).unwrap().digest();
        let digests = ["", "type=U", "type=V", "in=U%3A%3A%22U%22", "type=U&in=U%3A%3A%22U%22"].map(digest);
        assert_eq!(digests.iter().collect::<std::collections::HashSet<_>>().len(), 5);
        assert_eq!(digest("type=U&limit=7"), digests[1]);
        for (query, code, place) in [
            ("limit=0", "invalid_member", "?limit"),
            ("limit=1001", "invalid_member", "?limit"),
            ("in=x", "invalid_member", "?in"),
            ("token=x", "invalid_member", "?token"),
            ("token=00000000000000ab-3-1f", "invalid_member", "?token"),
            ("tpye=x", "unknown_member", "?tpye"),
            ("type=%", "invalid_path", ""),
        ] {
            let problem = Asked::read(query).unwrap_err();
            assert_eq!((problem.code, problem.pointer.as_str()), (code, place), "{query}");
        }
    }
}
