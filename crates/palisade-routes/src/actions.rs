//! Words by which a service runs a function of another page at the path of this one.
//!
//! Frameworks give the functions of their pages ids, and take the id from a header, the query or a form: Next.js runs a
//! server action of any page at any other one, Qwik City a `server$` function, Astro an action. The sidecar checks the
//! page that the request line names, so it refuses them, unless the routes of that page know of them, or the file says that
//! its service has no such functions.

use crate::facts::{Body, Field, RequestFacts};
use crate::media::Media;
use crate::names::fold;
use crate::overrides::At;
use crate::parts;
use crate::query;
use crate::refusal::Refusal;
use crate::watched::Group;

/// Headers that name a function: of Next.js, of Qwik City, and of servers of React's components (Parcel, React Router, Vite's
/// plugin, React's own examples and what was made after them).
pub(super) const HEADERS: [&str; 6] =
    ["next-action", "x-qrl", "rsc-action-id", "x-rsc-action", "rsc-action", "react-server-action"];

/// Parameters of the query that name one of Astro's, of RedwoodSDK's, of Qwik City's, or of a server of React's components, as
/// [`fold`] writes them, and as these do.
const FIELDS: [(&str, &str); 5] = [
    ("_action", "_action"),
    ("_astroaction", "_astroAction"),
    ("__rsc_action_id", "__rsc_action_id"),
    ("qaction", "qaction"),
    ("_rsc_action", "_rsc_action"),
];

/// How the field of a form begins by which servers of React's components run one without a script in the browser: Next.js of a
/// form in parts, others of any form.
const OF_FORM: &str = "$action_";

/// Refuses what asks for a function of another page.
pub(super) fn check(facts: &RequestFacts<'_>, query: Option<&str>, at: At<'_>) -> Result<(), Refusal> {
    let refuse = |what: &str, help: &str| {
        let message = format!(
            "{what} asks for a function of a page, which some services run at any path: {help}, or say `ignores: \
             [action_override]` under `service` if the service has none"
        );
        Err(Refusal::bad_request("action_override", message))
    };
    let there = facts.headers.watched();
    let named = |name: &&'static str| facts.headers.field(name) != Field::Absent && !(at.knows_of_header)(name);
    if there.any(Group::Actions)
        && let Some(name) = there.names(Group::Actions).find(named)
    {
        return refuse(
            &format!("the header `{name}`"),
            &format!("read it in the routes of the path (`header.{name}`)"),
        );
    }
    // pages are read without running anything
    if matches!(facts.method, "GET" | "HEAD") {
        return Ok(());
    }
    for (folded, field) in FIELDS {
        let asks = |query: &str| query::has_name(query, &|name| fold(name) == folded);
        if query.is_some_and(asks) && !(at.knows_of_query)(field) {
            return refuse(&format!("`{field}` in the query"), "list it under `parameters`");
        }
    }
    let (Body::Whole(bytes), Field::One(kind)) = (facts.body, facts.headers.field("content-type")) else {
        return Ok(());
    };
    let is_one = |name: &str| name.to_ascii_lowercase().starts_with(OF_FORM);
    let media = Media::of(facts);
    // each name has the mark in it, unless it is encoded
    let may_be = || bytes.iter().any(|byte| matches!(byte, b'$' | b'%'));
    let in_form = || may_be() && query::names(&String::from_utf8_lossy(bytes)).any(|name| is_one(&name));
    if media.parts && parts::names_one(kind, bytes, &is_one) || media.form && in_form() {
        return refuse(
            "a field of the form",
            "have the client name it in a header that the routes read, such as `Next-Action`",
        );
    }
    Ok(())
}
