//! `POST /v1/changes`: several small changes in one transaction, answered once decisions use it.
//!
//! Sent with an `Idempotency-Key` it goes on if its client leaves, and is answered alike when it is sent again.
//!
//! The body is read change by change: what is wrong with any of them is reported with its position, up to a bound. Lines
//! are read while they come.

mod read;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::state::{Named, Origin, Sent};
use crate::transport::Services;
use crate::transport::aside;
use crate::transport::elsewhere::{self, Place};
use crate::transport::exchange::{Exchange, JSON, NDJSON};
use crate::transport::idempotency::{BodyHash, REPLAYED};
use crate::transport::respond::{self, Answer, Problem};
use crate::transport::submit::{Became, submit};
use crate::transport::target;
use palisade_engine::model::{Change, Dangling, RequestError, Transaction};
use read::{Lines, Read, read_object};

/// Bodies up to so many bytes are read on the thread that serves: a thread of its own would take longer.
const SMALL: usize = 64 << 10;

/// How many bytes of lines are read before other work has its turn.
const PIECE: usize = 64 << 10;

/// How many times its text a change may take in memory, on average.
const TIMES: usize = 4;

/// What stands behind the path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) dangling: Option<Dangling>,
    pub(super) dry_run: bool,
}

/// Which changes a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    All,
    OfEntities,
}

/// `POST /v1/changes`, and `PATCH /v1/entities` for entities alone.
pub(super) async fn changes(services: &Services, exchange: &mut Exchange, takes: Takes) -> Result<Answer, Problem> {
    let by_line = exchange.expect_media(&[JSON, NDJSON])? == NDJSON;
    let options = Options::of_request(exchange)?;
    let mut hash = BodyHash::of(exchange)?;
    let (Read { edits, dangling, lines }, digest) = if by_line {
        let mut lines = Lines::new(&services.limits, services.admin_body_bytes.saturating_mul(TIMES), takes);
        let take = |piece: &[u8]| {
            hash.update(piece);
            lines.take(piece)
        };
        exchange.read_each(services.http.body_timeout, PIECE, take).await?;
        (lines.finish()?, hash.finish())
    } else {
        let body = exchange.read(services.admin_body()).await?;
        let limits = services.limits.clone();
        let read = move |body: &[u8]| Ok((read_object(body, &limits, takes)?, hash.whole(body)));
        if body.len() <= SMALL { read(&body)? } else { apart(services, body, read).await? }
    };
    let dangling = options.of_references(dangling)?;
    let (change, origin) = (Change::Transaction(Transaction { edits, dangling }), Origin::Changes);
    let sent = Sent { change, expected: Vec::new(), origin, dry_run: options.dry_run, key: None };
    let became = submit(services, exchange, digest, &Named::State, sent).await;
    became.map(|became| answer(&became)).map_err(|problem| with_lines(problem, &lines))
}

/// Reads a large body where that holds up nothing else.
pub(super) async fn apart<T: Send + 'static>(
    services: &Services,
    body: Bytes,
    read: impl FnOnce(&[u8]) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = services.aside.reading().await?;
    let work = move |_: &dyn Fn() -> bool| {
        let read = read(&body);
        drop((body, turn));
        read
    };
    aside::apart(work).await?
}

/// Warnings of a transaction that its answer has; the log has all of them.
const MOST_WARNINGS: usize = 100;

/// The answer to a transaction.
pub(super) fn answer(Became { applied, again }: &Became) -> Answer {
    let tally = applied.tally;
    let mut said = json!({
        "revision": applied.revision.to_string(),
        "published": applied.published,
        "durable": applied.durable,
        "applied": {
            "upserted": tally.upserted,
            "deleted": tally.deleted,
            "policies": tally.policies,
            "links_added": tally.links_added,
            "links_removed": tally.links_removed,
        },
    });
    if !applied.warnings.is_empty() {
        said["warnings"] = json!(applied.warnings.iter().take(MOST_WARNINGS).collect::<Vec<_>>());
    }
    let mut answer = respond::json(StatusCode::OK, &said);
    if *again {
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    // the revision of this change, even if another has been published since
    respond::tagged(applied.revision, answer)
}

impl Options {
    /// What happens to references, where the body says this of it.
    fn of_references(self, given: Option<Dangling>) -> Result<Dangling, Problem> {
        match (self.dangling, given) {
            (None, None) => Ok(Dangling::default()),
            (Some(said), None) | (None, Some(said)) => Ok(said),
            (Some(asked), Some(given)) if asked == given => Ok(given),
            (Some(_), Some(_)) => {
                let message = "`dangling` of the body is not that of the query; say it once";
                Err(RequestError::new("invalid_member", "/dangling", message).into())
            }
        }
    }

    /// Those of a request.
    pub(super) fn of_request(exchange: &Exchange) -> Result<Self, Problem> {
        elsewhere::check_headers(Place::Changes, exchange.headers())?;
        Self::of(exchange.head.uri.query().unwrap_or_default())
    }

    fn of(query: &str) -> Result<Self, Problem> {
        let mut options = Self::default();
        for (name, value) in target::query(query)? {
            match (name.as_str(), value.as_str()) {
                ("dangling", word) => options.dangling = Some(Dangling::from_word(word, "?dangling")?),
                ("dry_run", "true") => options.dry_run = true,
                ("dry_run", "false") => options.dry_run = false,
                ("dry_run", other) => {
                    let message = format!("`dry_run` is `true` or `false`, not `{other}`");
                    return Err(RequestError::new("invalid_member", "?dry_run", message).into());
                }
                (other, _) => {
                    return Err(elsewhere::parameter(Place::Changes, other, &["dangling", "dry_run"]).into());
                }
            }
        }
        Ok(options)
    }
}

/// Says of each finding in which line its change stands.
fn with_lines(mut problem: Problem, lines: &[usize]) -> Problem {
    for finding in problem.errors.iter_mut().filter(|finding| finding.line.is_none()) {
        let number = finding.origin.strip_prefix("/changes/").and_then(|rest| rest.split('/').next());
        finding.line = number.and_then(|number| lines.get(number.parse::<usize>().ok()?)).copied();
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_what_happens_to_references() {
        for (query, expected) in [
            ("", Ok(Options::default())),
            ("dangling=unlink&dry_run=true", Ok(Options { dangling: Some(Dangling::Unlink), dry_run: true })),
            ("dangling=x", Err("invalid_member")),
            ("dry_run=1", Err("invalid_member")),
            ("dryrun=true", Err("unknown_member")),
            ("dangling=cascade&dangling=refuse", Err("invalid_member")),
            ("dry_run=true&dry_run=false", Err("invalid_member")),
        ] {
            assert_eq!(Options::of(query).map_err(|problem| problem.code), expected, "{query}");
        }
        let (keep, unlink) = (Some(Dangling::Keep), Some(Dangling::Unlink));
        for (asked, given, expected) in [
            (None, None, Ok(Dangling::Refuse)),
            (keep, None, Ok(Dangling::Keep)),
            (None, keep, Ok(Dangling::Keep)),
            (keep, keep, Ok(Dangling::Keep)),
            (keep, unlink, Err("invalid_member")),
            (keep, Some(Dangling::Refuse), Err("invalid_member")),
        ] {
            let options = Options { dangling: asked, ..Options::default() };
            assert_eq!(options.of_references(given).map_err(|problem| problem.code), expected, "{asked:?} {given:?}");
        }
    }
}
