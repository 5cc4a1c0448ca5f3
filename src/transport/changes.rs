//! `POST /v1/changes`: several small changes in one transaction, answered once decisions use it.
//!
//! Sent with an `Idempotency-Key` it goes on if its client leaves, and is answered alike when it is sent again.
//!
//! The body is read change by change: what is wrong with any of them is reported with its position, up to a bound.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use serde_json::value::RawValue;

use crate::state::Applied;
use crate::transport::Services;
use crate::transport::aside;
use crate::transport::bundle::{Unreadable, kind, parse, parts};
use crate::transport::exchange::{Exchange, JSON, NDJSON, malformed};
use crate::transport::idempotency::{Begun, REPLAYED};
use crate::transport::respond::{self, Answer, Problem};
use crate::transport::target;
use palisade_engine::Limits;
use palisade_engine::model::request::pointer;
use palisade_engine::model::{Dangling, Diagnostic, Edit, RequestError, Transaction, Value, hint};

/// Bodies up to so many bytes are read on the thread that serves: a thread of its own would take longer.
const SMALL: usize = 64 << 10;

/// Bytes of the text of one change: a policy may be long.
const LONGEST: usize = 8 << 20;

/// Problems that are listed.
const LISTED: usize = 100;

/// What stands behind the path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) dangling: Option<Dangling>,
    pub(super) dry_run: bool,
}

/// A body that was read.
#[derive(Debug, Default, PartialEq)]
struct Read {
    transaction: Transaction,
    /// What the body says of references, if it does.
    dangling: Option<Dangling>,
    /// The line of each change, where each stands on a line.
    lines: Vec<usize>,
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
    let options = Options::of(exchange.head.uri.query().unwrap_or_default())?;
    let body = exchange.read(services.admin_body()).await?;
    let limits = services.limits.clone();
    let Read { transaction, lines, .. } = if body.len() <= SMALL {
        read(&body, by_line, options, &limits)?
    } else {
        let (turn, body) = (services.aside.reading().await?, body.clone());
        aside::apart(move |_| {
            let read = read(&body, by_line, options, &limits);
            drop(turn);
            read
        })
        .await??
    };
    if takes == Takes::OfEntities
        && let Some((i, edit)) = transaction.edits.iter().enumerate().find(|(_, edit)| !edit.is_of_entity())
    {
        let message = format!("`{}` is no change of entities; send it to `/v1/changes`", edit.name());
        return Err(RequestError::new("invalid_change", format!("/changes/{i}"), message).into());
    }
    let applied = submit(services, exchange, &body, transaction, options.dry_run).await;
    applied.map(|applied| answer(&applied)).map_err(|problem| with_lines(problem, &lines))
}

/// What a transaction became, now or when it was sent before.
pub(super) struct Became(pub(super) Applied, bool);

/// Makes a transaction, unless it was sent before with the same key and `body`.
pub(super) async fn submit(
    services: &Services,
    exchange: &Exchange,
    body: &[u8],
    transaction: Transaction,
    dry_run: bool,
) -> Result<Became, Problem> {
    let begun = if dry_run { None } else { services.idempotency.begin(exchange, body).await? };
    if let Some(Begun::Again(applied)) = begun {
        return Ok(Became(applied, true));
    }
    let expected = Vec::from_iter(exchange.if_match()?);
    let key = match &begun {
        Some(Begun::First(ticket)) => Some(ticket.key()),
        _ => None,
    };
    let made = services.pdp.state().transact(expected, transaction, dry_run, key)?;
    let Some(Begun::First(ticket)) = begun else { return Ok(Became(made.await?, false)) };
    // it goes on if the client leaves, which will ask again what it became
    let made = tokio::spawn(async move {
        let applied = made.await;
        if let Ok(applied) = &applied {
            ticket.done(applied);
        }
        applied
    });
    Ok(Became(made.await.map_err(|_| Problem::unwritable())??, false))
}

/// The answer to a transaction.
pub(super) fn answer(Became(applied, again): &Became) -> Answer {
    let tally = applied.tally;
    let mut answer = respond::json(
        StatusCode::OK,
        &json!({
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
        }),
    );
    if *again {
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    // the revision of this change, even if another has been published since
    respond::tagged(applied.revision, answer)
}

impl Options {
    pub(super) fn of(query: &str) -> Result<Self, Problem> {
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
                    let near = hint(other, ["dangling", "dry_run"]);
                    let message = format!("unknown parameter `{other}`; there are dangling, dry_run{near}");
                    return Err(RequestError::new("unknown_member", format!("?{other}"), message).into());
                }
            }
        }
        Ok(options)
    }
}

/// What is wrong with the changes of a body.
#[derive(Default)]
struct Faults {
    code: Option<&'static str>,
    listed: Vec<Diagnostic>,
    more: usize,
}

impl Faults {
    fn push(&mut self, code: &'static str, pointer: &str, message: impl Into<String>, line: Option<usize>) {
        self.code.get_or_insert(code);
        if self.listed.len() < LISTED {
            self.listed.push(Diagnostic { line, ..Diagnostic::error(pointer, message) });
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Result<(), Problem> {
        let (Some(code), Some(first)) = (self.code, self.listed.first()) else { return Ok(()) };
        let n = self.listed.len() + self.more;
        let detail = if n == 1 { first.message.clone() } else { format!("{n} problems, see `errors`") };
        let pointer = first.origin.clone();
        if self.more > 0 {
            self.listed.push(Diagnostic::error("/changes", format!("and {} more problems", self.more)));
        }
        Err(Problem::bad_request(code, detail).about(pointer, self.listed))
    }
}

fn read(body: &Bytes, by_line: bool, options: Options, limits: &Limits) -> Result<Read, Problem> {
    let mut read = if by_line { read_lines(body, limits)? } else { read_object(body, limits)? };
    match (options.dangling, read.dangling) {
        (None, None) => {}
        (Some(said), None) | (None, Some(said)) => read.transaction.dangling = said,
        (Some(asked), Some(given)) if asked == given => read.transaction.dangling = given,
        (Some(_), Some(_)) => {
            let message = "`dangling` of the body is not that of the query; say it once";
            return Err(RequestError::new("invalid_member", "/dangling", message).into());
        }
    }
    Ok(read)
}

fn read_object(body: &[u8], limits: &Limits) -> Result<Read, Problem> {
    let whole: &RawValue = serde_json::from_slice(body).map_err(|error| malformed(body, &error))?;
    if !whole.get().starts_with('{') {
        let message = format!("the body is {}, not an object with `changes`", kind(whole));
        return Err(RequestError::new("invalid_request", "", message).into());
    }
    let (mut edits, mut dangling) = (None, None);
    for (key, raw) in parts(whole, "", "members", 100)? {
        match key.as_str() {
            "changes" if raw.get().starts_with('[') => {
                let elements = parts(raw, "/changes", "changes (`limits.max_changes`)", limits.max_changes)?;
                edits = Some(read_edits(elements.into_iter().map(|(_, raw)| (raw, None)))?);
            }
            "changes" => {
                let message = format!("`changes` must be an array, not {}", kind(raw));
                return Err(RequestError::new("invalid_member", "/changes", message).into());
            }
            "dangling" => match parse(raw, "/dangling")? {
                Value::String(word) => dangling = Some(Dangling::from_word(&word, "/dangling")?),
                other => {
                    let message = format!("`dangling` must be a string, not {}", other.kind());
                    return Err(RequestError::new("invalid_member", "/dangling", message).into());
                }
            },
            other => {
                let near = hint(other, ["changes", "dangling"]);
                let message = format!("unknown member `{other}`; a transaction has changes, dangling{near}");
                return Err(RequestError::new("unknown_member", pointer(other), message).into());
            }
        }
    }
    let missing = || RequestError::new("missing_member", "/changes", "the transaction lacks `changes`");
    let transaction = Transaction { edits: edits.ok_or_else(missing)?, dangling: Dangling::default() };
    Ok(Read { transaction, dangling, lines: Vec::new() })
}

fn read_lines(body: &[u8], limits: &Limits) -> Result<Read, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Problem::bad_request("malformed_json", format!("the body is not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let (mut faults, mut raws, mut lines) = (Faults::default(), Vec::new(), Vec::new());
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if lines.len() >= limits.max_changes {
            let message = format!("more than {} changes (`limits.max_changes`)", limits.max_changes);
            return Err(RequestError::new("invalid_request", "", message).into());
        }
        match serde_json::from_str::<&RawValue>(line) {
            Ok(raw) => raws.push((raw, Some(n + 1))),
            Err(error) => {
                let message = malformed(line.as_bytes(), &error).detail;
                faults.push("malformed_json", &format!("/changes/{}", lines.len()), message, Some(n + 1));
            }
        }
        lines.push(n + 1);
    }
    faults.finish()?;
    let edits = read_edits(raws.into_iter())?;
    Ok(Read { transaction: Transaction { edits, dangling: Dangling::default() }, dangling: None, lines })
}

/// Reads each change, which may have a line of its own.
fn read_edits<'r>(raws: impl Iterator<Item = (&'r RawValue, Option<usize>)>) -> Result<Vec<Edit>, Problem> {
    let (mut faults, mut edits) = (Faults::default(), Vec::with_capacity(raws.size_hint().0));
    for (i, (raw, line)) in raws.enumerate() {
        let at = format!("/changes/{i}");
        if raw.get().len() > LONGEST {
            faults.push("invalid_member", &at, format!("a change of more than {LONGEST} bytes"), line);
            continue;
        }
        let edit = match parse(raw, &at) {
            Ok(value) => Edit::from_value(value, &at),
            Err(Unreadable::Shape(error)) => Err(error),
            Err(Unreadable::NotJson(problem)) => {
                faults.push(problem.code, &at, problem.detail, line);
                continue;
            }
        };
        match edit {
            Ok(edit) => edits.push(edit),
            Err(error) => faults.push(error.code, &error.pointer, error.message, line),
        }
    }
    faults.finish()?;
    Ok(edits)
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

    fn read_text(text: &str, by_line: bool) -> Result<Read, Problem> {
        read(&Bytes::copy_from_slice(text.as_bytes()), by_line, Options::default(), &Limits::default())
    }

    #[test]
    fn both_forms_are_the_same_changes() {
        let (a, b) = (r#"{"delete":{"type":"U","id":"a"}}"#, r#"{"delete_policy":"p"}"#);
        let object = read_text(&format!(r#"{{"changes":[{a},{b}]}}"#), false).unwrap();
        let lines = read_text(&format!("{a}\n\n{b}\n"), true).unwrap();
        assert_eq!(object.transaction, lines.transaction);
        assert_eq!((object.lines, lines.lines), (vec![], vec![1, 3]));
        assert_eq!(read_text("", true).unwrap(), Read::default());
    }

    #[test]
    fn what_is_wrong_is_found_at_once_and_at_its_place() {
        for (text, by_line, code, places) in [
            ("", false, "malformed_json", &[][..]),
            ("[]", false, "invalid_request", &[]),
            ("{}", false, "missing_member", &[]),
            (r#"{"changes":{}}"#, false, "invalid_member", &[]),
            (r#"{"changes":[],"danling":"keep"}"#, false, "unknown_member", &[]),
            (r#"{"changes":[],"dangling":"kep"}"#, false, "invalid_member", &[]),
            (
                r#"{"changes":[1,{"delete":"x"},{"expect":{}}]}"#,
                false,
                "invalid_member",
                &["/changes/0", "/changes/1/delete", "/changes/2/expect/uid"],
            ),
            ("{\"delete\":1}\n{\"x\":1}", true, "invalid_uid", &["/changes/0/delete:1", "/changes/1/x:2"]),
            ("{\n\n}", true, "malformed_json", &["/changes/0:1", "/changes/1:3"]),
            (r#"{"changes":[{"upsert":{"a":1,"a":2}}]}"#, false, "malformed_json", &["/changes/0"]),
        ] {
            let problem = read_text(text, by_line).unwrap_err();
            let place =
                |found: &Diagnostic| found.line.map_or(found.origin.clone(), |line| format!("{}:{line}", found.origin));
            assert_eq!((problem.status, problem.code), (400, code), "{text}: {}", problem.detail);
            assert_eq!(problem.errors.iter().map(place).collect::<Vec<_>>(), places, "{text}");
        }
    }

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
        let options = Options { dangling: Some(Dangling::Keep), ..Options::default() };
        let body = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        for other in ["unlink", "refuse"] {
            let given = body(&format!(r#"{{"changes":[],"dangling":"{other}"}}"#));
            assert_eq!(read(&given, false, options, &Limits::default()).unwrap_err().code, "invalid_member");
        }
        let given = read(&body(r#"{"changes":[],"dangling":"keep"}"#), false, options, &Limits::default());
        assert_eq!(given.unwrap().transaction.dangling, Dangling::Keep);
        let given = read(&body(r#"{"changes":[]}"#), false, options, &Limits::default());
        assert_eq!(given.unwrap().transaction.dangling, Dangling::Keep);
    }
}
