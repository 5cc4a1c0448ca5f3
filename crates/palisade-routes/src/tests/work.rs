//! What a request costs: each name of a body is read once or twice, whatever the routes ask of it. Read for each condition,
//! element or rule, the bodies here would take minutes.

use super::*;
use crate::asked::tests::names_read;
use crate::query::tests::texts_searched;

/// How many members a body has besides.
const MEMBERS: usize = 5_000;

fn members(name: &str) -> String {
    (0..MEMBERS).map(|n| format!(r#""{name}{n}": 0"#)).collect::<Vec<_>>().join(", ")
}

/// What a request becomes, and how many names were read for it.
fn cost(table: &RouteTable, request: &str, kind: &str, body: &str) -> (String, usize) {
    let before = names_read();
    let found = ask_once(table, request, &vec![("Content-Type", kind)], Body::Whole(body.as_bytes()));
    (found, names_read() - before)
}

#[test]
fn a_body_is_read_once_whatever_is_asked_of_it() {
    let cases: String = (0..256)
        .map(|n| {
            format!("  - match: POST /rpc\n    when: body.kind is a{n}\n    action: view\n    resource: Device::{{body.id}}\n")
        })
        .collect();
    let also: String = (0..40).map(|n| format!("      - when: body.f{n} given\n        deny: no\n")).collect();
    let rules: String = (0..40)
        .map(|n| format!("      - each: body.devices\n        action: move\n        resource: Device::{{each.id}}\n        context: {{target: \"Home::{{body.home}}\", note: \"{{each.n{n}}}\"}}\n"))
        .collect();
    let queries: String = (0..40).map(|n| format!("      - when: query.q{n} given\n        deny: no\n")).collect();
    let table = table(&format!(
        "{cases}  - match: POST /move
    each: body.devices
    action: move
    resource: Device::{{each}}
    context: {{target: \"Home::{{body.home}}\", \"note?\": \"{{query.note}}\"}}
  - match: POST /also
    action: view
    resource: Device::{{body.id}}
    also:
{also}  - match: POST /large
    each: body.devices
    action: view
    resource: Device::{{each.id}}
    also:
{rules}  - match: POST /seen/{{id}}
    action: view
    resource: Device::{{path.id}}
    also:
{queries}"
    ));
    let json = "application/json";
    let ids = (0..256).map(|n| format!(r#""d{n}""#)).collect::<Vec<_>>().join(", ");
    let values = (0..40).map(|n| format!(r#""n{n}": "x""#)).collect::<Vec<_>>().join(", ");
    let large = (0..64).map(|n| format!(r#"{{"id": "d{n}", {values}}}"#)).collect::<Vec<_>>().join(", ");
    for filler in ["z", "k", "kind", "..............", "x.", "x[home", "_"] {
        let filler = members(filler);
        for (request, own, starts) in [
            ("POST /rpc", r#""kind": "a255", "id": "7""#.to_owned(), "view Device::7"),
            ("POST /rpc", r#""kind": "none""#.to_owned(), "refuse no_case"),
            ("POST /move", format!(r#""devices": [{ids}], "home": "h""#), "move Device::d0"),
            ("POST /move?note=x", format!(r#""devices": [{ids}], "home": "h""#), "move Device::d0"),
            ("POST /also", r#""id": "7""#.to_owned(), "view Device::7"),
            ("POST /large", format!(r#""devices": [{large}], "home": "h""#), "view Device::d0"),
        ] {
            let (found, read) = cost(&table, request, json, &format!("{{{own}, {filler}}}"));
            assert!(found.starts_with(starts) || found == "refuse ambiguous_value", "{request}: {found}");
            // by the conditions, by the checks, and the elements
            assert!(read <= 2 * MEMBERS + 64 * 41 + 1_000, "{request}: {read} names were read");
        }
        // the route reads the path and the query, and the body names others
        let (found, read) = cost(&table, "POST /seen/7?q=1", json, &format!("{{{filler}}}"));
        assert_eq!(found, "view Device::7");
        assert!(read <= 2 * MEMBERS + 1_000, "{read} names were read");
    }
    let parts = "multipart/form-data; boundary=x";
    let heads: String =
        (0..2_000).map(|n| format!("--x\r\nContent-Disposition: form-data; name=q{n}x\r\n\r\n")).collect();
    let (found, read) = cost(&table, "POST /seen/7?q=1", parts, &heads);
    assert_eq!(found, "view Device::7");
    assert!(read <= 2_000 * 50, "{read} names were read");
}

#[test]
fn a_form_is_searched_once_whatever_is_asked_of_it() {
    let queries: String = (0..256).map(|n| format!("      - when: query.q{n} given\n        deny: no\n")).collect();
    let table = table(&format!(
        "  - match: POST /seen/{{id}}\n    action: view\n    resource: Device::{{path.id}}\n    also:\n{queries}"
    ));
    let form = "application/x-www-form-urlencoded";
    for (request, body, expected) in [
        ("POST /seen/7", "a%41=1&".repeat(900), "view Device::7"),
        ("POST /seen/7?x=1", "a%41=1&".repeat(900), "view Device::7"),
        ("POST /seen/7", format!("%ff=1&{}", "a%41=1&".repeat(900)), "refuse ambiguous_value"),
    ] {
        let before = texts_searched();
        let (found, read) = cost(&table, request, form, &body);
        assert_eq!(found, expected, "{request}");
        let searched = texts_searched() - before;
        // the body and the query
        assert!(searched <= 2 && read <= 2_000, "{request}: {searched} texts, {read} names");
    }
}

#[test]
fn a_text_that_is_put_together_has_a_bound() {
    let table = table(
        "  - match: POST /a
    each: body.devices
    action: move
    resource: Device::{each}
    context: {target: Home::h, note: \"n:{body.note}\"}
  - match: POST /b
    each: body.devices
    action: move
    resource: Device::{each}
    context: {target: Home::h, note: \"{body.note}\"}
",
    );
    let body = |bytes: usize| format!(r#"{{"devices": ["d"], "note": "{}"}}"#, "x".repeat(bytes));
    for (request, bytes, starts) in [
        ("POST /a", 65_534, "move Device::d"),
        ("POST /a", 65_535, "refuse bad_value"),
        // it is not copied
        ("POST /b", 1_000_000, "move Device::d"),
    ] {
        let found = json(&table, request, &body(bytes));
        assert!(found.starts_with(starts), "{request} {bytes}: {}", &found[..40.min(found.len())]);
    }
}
