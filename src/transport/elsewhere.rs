//! Names that stand in the wrong part of a request: a parameter of the query among the members of a body, a member in the
//! query, a header in either. What means nothing where it stands is refused with the place where it belongs, so that no one
//! takes a change that was made for one that was only tried.

use http::HeaderMap;

use crate::transport::respond::{LONGEST_PLACE, Problem};
use crate::transport::target;
use palisade_engine::model::bounds::cut;
use palisade_engine::model::{Diagnostic, RequestError, count, hint};

/// The longest message of one problem among several, in bytes.
const LONGEST_LISTED: usize = 512;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Check,
    Batch,
    Explain,
    /// `POST /v1/changes` and `PATCH /v1/entities`.
    Changes,
    /// One policy or link.
    Single,
    Bundle,
    Validate,
    Entities,
    Watch,
    /// Neither a query nor a body.
    Other,
}

use Place::{Batch, Bundle, Changes, Check, Entities, Explain, Single, Validate, Watch};

/// The part of a request that a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Query,
    Header,
    Body,
}

/// A name, how it is written there, its part, and where it means something.
const NAMES: &[(&str, &str, Part, &[Place])] = &[
    ("dry_run", "?dry_run=true", Part::Query, &[Changes, Single]),
    ("dangling", "?dangling=unlink", Part::Query, &[Changes, Single]),
    ("type", "?type=User", Part::Query, &[Entities]),
    ("in", "?in=Team::\"a\"", Part::Query, &[Entities]),
    ("limit", "?limit=100", Part::Query, &[Entities]),
    ("token", "?token=...", Part::Query, &[Entities]),
    ("after", "?after=<revision>", Part::Query, &[Watch]),
    ("if_match", "If-Match: \"<revision>\"", Part::Header, &[Changes, Single, Bundle]),
    ("if_none_match", "If-None-Match: *", Part::Header, &[Single, Bundle]),
    ("idempotency_key", "Idempotency-Key: <key>", Part::Header, &[Changes, Single, Bundle]),
    ("palisade_at_least", "Palisade-At-Least: <revision>", Part::Header, &[Check, Batch, Explain]),
    ("at_least", "Palisade-At-Least: <revision>", Part::Header, &[Check, Batch, Explain]),
    ("last_event_id", "Last-Event-ID: <revision>", Part::Header, &[Watch]),
    ("x_request_id", "X-Request-ID: <id>", Part::Header, &[Check, Batch, Explain, Changes, Single, Bundle, Validate]),
    ("explain", "\"explain\": true", Part::Body, &[Check]),
    ("all", "\"all\": true", Part::Body, &[Explain]),
    ("principal", "\"principal\": \"User::\\\"ann\\\"\"", Part::Body, &[Check, Explain]),
    ("action", "\"action\": \"Action::\\\"view\\\"\"", Part::Body, &[Check, Explain]),
    ("resource", "\"resource\": \"Doc::\\\"a\\\"\"", Part::Body, &[Check, Explain]),
    ("context", "\"context\": {}", Part::Body, &[Check, Explain]),
    ("requests", "\"requests\": [...]", Part::Body, &[Batch]),
    ("changes", "\"changes\": [...]", Part::Body, &[Changes]),
    ("revision", "\"revision\": \"<revision>\"", Part::Body, &[Bundle]),
];

/// Where a name belongs, for the end of a sentence that begins with it, unless that is the part in which it stands.
fn belongs(place: Place, name: &str, stands: Part) -> Option<String> {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let (_, written, part, places) = NAMES.iter().find(|(known, ..)| *known == plain)?;
    if !places.contains(&place) {
        return match (plain.as_str(), place) {
            ("dry_run", Bundle) => {
                Some(" is not for bundles: `POST /v1/validate` looks at one and changes nothing".to_owned())
            }
            ("dry_run", Validate) => Some(" is not needed here: validating changes nothing".to_owned()),
            ("explain" | "all", Batch) => Some(" is not for batches: ask for one check".to_owned()),
            _ => None,
        };
    }
    let what = match part {
        _ if *part == stands => return None,
        Part::Query => "a parameter of the query",
        Part::Header => "a header",
        Part::Body => "a member of the body",
    };
    Some(format!(" is {what}: `{written}`"))
}

/// Where the name of an unknown member of a body belongs.
pub(super) fn of_body(place: Place, name: &str) -> Option<String> {
    belongs(place, name, Part::Body)
}

/// The fault of a body with the place where an unknown member belongs.
pub(super) fn said(place: Place, mut fault: RequestError) -> RequestError {
    let name = fault.pointer.strip_prefix('/').filter(|name| fault.code == "unknown_member" && !name.contains('/'));
    if let Some(belongs) = name.and_then(|name| of_body(place, name)) {
        let name = name.unwrap_or_default();
        fault.message = format!("unknown member `{name}`; `{name}`{belongs}");
    }
    fault
}

/// What is wrong with a parameter of a query that an endpoint does not have.
pub(super) fn parameter(place: Place, name: &str, known: &[&'static str]) -> RequestError {
    let near = match belongs(place, name, Part::Query) {
        Some(belongs) => format!("; `{name}`{belongs}"),
        None => hint(name, known.iter().copied()),
    };
    let are = if known.len() == 1 { "there is" } else { "there are" };
    let message = format!("unknown parameter `{name}`; {are} {}{near}", known.join(", "));
    RequestError::new("unknown_member", format!("?{name}"), message)
}

/// Refuses a query of an endpoint that has none, where it has a name that means something elsewhere. Other names are let
/// pass: what stands between may add some.
pub(super) fn check_query(place: Place, query: Option<&str>) -> Result<(), Problem> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(()) };
    for (name, _) in target::query(query)? {
        if let Some(belongs) = belongs(place, &name, Part::Query) {
            let message = format!("`{name}`{belongs}");
            return Err(RequestError::new("unknown_member", format!("?{name}"), message).into());
        }
    }
    Ok(())
}

/// Refuses headers that are meant to be parameters of the query: a change would be made that was only to be tried.
pub(super) fn check_headers(place: Place, headers: &HeaderMap) -> Result<(), Problem> {
    for header in headers.keys().map(http::HeaderName::as_str) {
        // as people name headers of their own
        let name = ["x-", "palisade-"].into_iter().find_map(|before| header.strip_prefix(before)).unwrap_or(header);
        if !["dry-run", "dry_run", "dryrun", "dangling"].contains(&name) {
            continue;
        }
        let name = if name == "dryrun" { "dry_run" } else { name };
        if let Some(belongs) = belongs(place, name, Part::Header) {
            return Err(RequestError::new("unknown_member", "", format!("the header `{header}`{belongs}")).into());
        }
    }
    Ok(())
}

/// All faults of a body as one problem, at the first of them.
pub(super) fn problem(place: Place, faults: Vec<RequestError>) -> Problem {
    let mut faults: Vec<RequestError> = faults.into_iter().map(|fault| said(place, fault)).collect();
    if faults.is_empty() {
        return Problem::unwritable();
    }
    let first = faults.remove(0);
    if faults.is_empty() {
        return first.into();
    }
    // a request that is long in names must not come back many times
    let listed = |fault: &RequestError| {
        let place = cut(fault.pointer.clone(), LONGEST_PLACE);
        Diagnostic::error(place, cut(fault.message.clone(), LONGEST_LISTED))
    };
    let errors = std::iter::once(&first).chain(&faults).map(listed).collect();
    let said = cut(first.message, LONGEST_LISTED);
    let detail = format!("{said}; and {}, see `errors`", count(faults.len(), "more problem"));
    Problem::bad_request(first.code, detail).about(first.pointer, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_wrong_part_is_refused_with_its_place() {
        for (place, name, expected) in [
            (Changes, "dry_run", " is a parameter of the query: `?dry_run=true`"),
            (Changes, "If-Match", " is a header: `If-Match: \"<revision>\"`"),
            (Changes, "idempotency_key", " is a header: `Idempotency-Key: <key>`"),
            (Bundle, "dry_run", " is not for bundles: `POST /v1/validate` looks"),
            (Validate, "dry_run", " is not needed here"),
            (Check, "palisade-at-least", " is a header: `Palisade-At-Least: <revision>`"),
            (Batch, "explain", " is not for batches"),
            (Changes, "dangling", ""),
            (Check, "dry_run", ""),
            (Check, "explain", ""),
            (Check, "who", ""),
        ] {
            let found = if name == "dangling" { None } else { of_body(place, name) };
            assert!(found.as_deref().unwrap_or_default().starts_with(expected), "{name}: {found:?}");
            assert_eq!(found.is_none(), expected.is_empty(), "{name}: {found:?}");
        }
        for (place, query, expected) in [
            (Check, None, None),
            (Check, Some(""), None),
            (Check, Some("cachebuster=1"), None),
            (Check, Some("x=1&explain=true"), Some("`explain` is a member of the body: `\"explain\": true`")),
            (Check, Some("Palisade-At-Least=a-1"), Some("`Palisade-At-Least` is a header")),
            (Bundle, Some("dry_run=true"), Some("`dry_run` is not for bundles")),
            (Bundle, Some("if-match=a"), Some("`if-match` is a header")),
            (Explain, Some("all"), Some("`all` is a member of the body")),
            (Place::Other, Some("dry_run=true"), None),
        ] {
            let found = check_query(place, query).err().map(|problem| problem.detail);
            let is_expected = found.as_deref().map(|found| found.starts_with(expected.unwrap_or("?")));
            assert_eq!(is_expected, expected.map(|_| true), "{query:?}: {found:?}");
        }
        let of = |name: &'static str| {
            HeaderMap::from_iter([(http::HeaderName::from_static(name), http::HeaderValue::from_static("true"))])
        };
        for (place, name, is_refused) in [
            (Changes, "dry-run", true),
            (Single, "dangling", true),
            (Changes, "accept", false),
            (Bundle, "dry-run", true),
            (Changes, "x-dry-run", true),
            (Single, "palisade-dry-run", true),
            (Changes, "x-dryrun", true),
            (Changes, "x-dangling", true),
            (Changes, "x-request-id", false),
        ] {
            assert_eq!(check_headers(place, &of(name)).is_err(), is_refused, "{name}");
        }
        let message = |place, name| parameter(place, name, &["dangling", "dry_run"]).message;
        assert_eq!(
            message(Changes, "dryrun"),
            "unknown parameter `dryrun`; there are dangling, dry_run; did you mean `dry_run`?"
        );
        assert!(message(Changes, "changes").ends_with("; `changes` is a member of the body: `\"changes\": [...]`"));
    }
}
