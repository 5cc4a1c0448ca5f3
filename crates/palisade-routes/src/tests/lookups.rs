//! Records that may not be there: what is not found counts as free, so an id is looked for in its one writing.

use super::*;

const ROUTES: &str = "  - match: POST /claim
    record: Device::{body.id}
    action: claim
    resource: Home::{principal.home}
    context:
      target?: Home::{record.home}
  - match: POST /claim/{id}
    record: Device::{path.id}
    action: claim
    resource: Home::{principal.home}
    context:
      target?: Home::{record.home}
  - match: POST /query
    record: Device::{query.id}
    action: claim
    resource: Home::{principal.home}
    context:
      target?: Home::{record.home}
  - match: POST /put
    action: claim
    resource: Home::{principal.home}
    also:
      - action: claim
        context:
          target?: Home::{body.to}
  - match: POST /has
    record: Device::{body.id}
    action: claim
    resource: Home::{record.home}
  - match: POST /list
    record: Device::{body.id}
    action: list
    resource: Home::{principal.home}
    also:
      - when: body.more present
        action: claim
        context:
          target?: Home::{record.home}
";

#[test]
fn what_may_not_be_there_is_looked_for_in_its_one_writing() {
    let table = table(ROUTES);
    let uuid = "0123abcd-0123-4567-89ab-0123456789ab";
    let other = format!(r#"{{"id": "{}"}}"#, uuid.to_uppercase());
    let same = format!(r#"{{"id": "{uuid}"}}"#);
    for (request, body, expected) in [
        ("POST /claim", r#"{"id": "d"}"#, "claim Home::h target=Home::h"),
        ("POST /claim", r#"{"id": "new"}"#, "claim Home::h"),
        ("POST /claim", r#"{"id": 7}"#, "claim Home::h"),
        ("POST /claim", same.as_str(), "claim Home::h"),
        ("POST /claim", other.as_str(), "refuse ambiguous_value"),
        ("POST /claim", r#"{"id": "d "}"#, "refuse ambiguous_value"),
        ("POST /claim", r#"{"id": " d"}"#, "refuse ambiguous_value"),
        ("POST /claim", r#"{"id": "d\u0000"}"#, "refuse ambiguous_value"),
        ("POST /claim", r#"{"id": "d\t"}"#, "refuse ambiguous_value"),
        ("POST /claim", r#"{"id": "\ufeffd"}"#, "refuse ambiguous_value"),
        ("POST /claim", r#"{"id": "d\u200b"}"#, "refuse ambiguous_value"),
        ("POST /claim", r#"{"id": " "}"#, "refuse ambiguous_value"),
        ("POST /claim", r#"{"id": ""}"#, "refuse bad_value"),
        ("POST /claim", r#"{"id": ["d"]}"#, "refuse bad_value"),
        ("POST /claim", "{}", "refuse missing_value"),
        ("POST /claim/d", "{}", "claim Home::h target=Home::h"),
        ("POST /claim/new", "{}", "claim Home::h"),
        ("POST /claim/d%C2%A0", "{}", "refuse ambiguous_value"),
        ("POST /query?id=d", "{}", "claim Home::h target=Home::h"),
        ("POST /query?id=d+", "{}", "refuse ambiguous_value"),
        ("POST /query?id=d%0a", "{}", "refuse ambiguous_value"),
        // what has to be there is refused as unknown, and what is named itself is unknown to the policies
        ("POST /has", r#"{"id": "d "}"#, "refuse missing_value"),
        ("POST /put", r#"{"to": "h "}"#, "claim Home::h; claim Home::h target=Home::\"h \""),
        // only where it is looked for
        ("POST /list", r#"{"id": "d "}"#, "list Home::h"),
        ("POST /list", r#"{"id": "d ", "more": 1}"#, "refuse ambiguous_value"),
    ] {
        assert_eq!(json(&table, request, body), expected, "{request} {body}");
    }
}
