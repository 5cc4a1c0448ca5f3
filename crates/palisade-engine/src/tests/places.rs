//! Where a bundle is wrong: each problem has its file and its line.

use std::sync::Arc;

use crate::model::{Bundle, Diagnostic, Document, SchemaText};
use crate::{Limits, Semantics, check, on_big_stack};

/// The errors of entities with a schema.
fn errors(schema: &str, documents: &[&str]) -> Vec<Diagnostic> {
    let document = |(n, text): (usize, &&str)| Document::held(format!("e{n}"), *text);
    let bundle = Bundle {
        schema: Some(SchemaText { fragments: vec![("s".to_owned(), schema.to_owned())] }),
        entities: documents.iter().enumerate().map(document).collect(),
        ..Bundle::default()
    };
    let bundle = Arc::new(bundle);
    on_big_stack(|| check(&bundle, &Limits::default(), Semantics::Strict, &|| false)).unwrap().errors
}

#[track_caller]
fn agree(found: &[Diagnostic], expected: &[&str]) {
    let lines: Vec<String> =
        found.iter().map(|found| format!("{}:{}: {}", found.origin, found.line.unwrap_or(0), found.message)).collect();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (found, expected) in lines.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
}

const ACTIONS: &str = "entity U = {n?: Long}; action g1; action g2 in [g1]; \
                       action view in [g2] appliesTo {principal: U, resource: U};";

/// An entity on a line of its own.
fn action(id: &str, attrs: &str, parents: &[&str]) -> String {
    let parents: Vec<String> = parents.iter().map(|id| format!(r#"{{"type": "Action", "id": "{id}"}}"#)).collect();
    format!(r#"{{"uid": {{"type": "Action", "id": "{id}"}}, "attrs": {attrs}, "parents": [{}]}}"#, parents.join(", "))
}

#[test]
fn every_action_that_the_schema_has_otherwise_is_at_its_place() {
    let user = r#"{"uid": {"type": "U", "id": "u"}, "attrs": {"n": "x"}, "parents": []}"#;
    let (g1, g2) = (action("g1", "{}", &[]), action("g2", "{}", &["g1"]));
    for (lines, expected) in [
        // as the schema has it: all that it is in is named, or among the entities
        (vec![action("view", "{}", &["g1", "g2"])], &[][..]),
        (vec![g1.clone(), g2.clone(), action("view", "{}", &["g2"])], &[]),
        (
            vec![g1.clone(), action("veiw", "{}", &[]), user.to_owned(), action("edit", "{}", &["view"])],
            &[
                "e0:2: the schema declares no action `Action::\"veiw\"`; did you mean `Action::\"view\"`?",
                "e0:3: entity `U::\"u\"`: `attrs.n`: expected a whole number",
                "e0:4: the schema declares no action `Action::\"edit\"`",
            ],
        ),
        (
            vec![action("view", "{}", &["g2"])],
            &[
                "e0:1: action `Action::\"view\"` is also in `Action::\"g1\"` by the schema, as `Action::\"g2\"` is, which is not \
               among the entities",
            ],
        ),
        (
            vec![action("view", "{}", &[])],
            &["e0:1: action `Action::\"view\"` is also in `Action::\"g1\"` by the schema"],
        ),
        (
            vec![action("g1", "{}", &["g9"]), action("g2", "{\"a\": 1}", &["g1"])],
            &[
                "e0:1: action `Action::\"g1\"` is not in `Action::\"g9\"` by the schema",
                "e0:2: action `Action::\"g2\"`: its attribute `a` is not as in the schema",
            ],
        ),
        (vec![g1.clone(), g2, g1], &["e0:3: entity `Action::\"g1\"` is there twice; the first is at e0:1"]),
        (
            vec![
                "{\"uid\": {\"type\": \"Action\", \"id\": \"g1\"}, \"attrs\": {\"a\": 1.5}, \"parents\": []}"
                    .to_owned(),
            ],
            &["e0:1: entity `Action::\"g1\"`: `attrs.a`: Cedar's numbers are whole"],
        ),
    ] {
        let (array, lines) = (format!("[{}]", lines.join(",\n")), lines.join("\n"));
        for text in [array, lines] {
            let found = errors(ACTIONS, &[&text]);
            agree(&found, expected);
            let action = |found: &&Diagnostic| found.message.contains("schema") && found.message.contains("Action::");
            for found in found.iter().filter(action) {
                assert!(
                    found.help.as_deref().is_some_and(|help| help.starts_with("actions come from the schema")),
                    "{found}"
                );
            }
        }
    }
    // in several files
    let found = errors(ACTIONS, &[&action("g1", "{}", &[]), &format!("\n{}", action("g1", "{}", &[]))]);
    agree(&found, &["e1:2: entity `Action::\"g1\"` is there twice; the first is at e0:1"]);
}

#[test]
fn members_of_an_entity_are_at_their_places() {
    let schema = "entity G; entity U in [G] = {o?: U}; entity E enum [\"a\"]; \
                  action view appliesTo {principal: U, resource: U};";
    for (uid, attrs, parents, more, expected) in [
        (r#""U::\"a\"""#, "{}", "[]", "", "e0:2: entity `U::\"a\"`: `uid`: expected an entity"),
        (r#"{"type": "E", "id": "b"}"#, "{}", "[]", "", "e0:2: entity `E::\"b\"`: `uid`: the schema lists"),
        (
            r#"{"type": "U", "id": "a"}"#,
            "{}",
            "[\n{\"type\": \"G\", \"id\": \"g\"},\n\"G::\\\"h\\\"\"]",
            "",
            "e0:6: entity `U::\"a\"`: `parents[1]`: expected an entity",
        ),
        (
            r#"{"type": "U", "id": "a"}"#,
            "{}",
            "[\n{\"type\": \"U\", \"id\": \"g\"}]",
            "",
            "e0:5: entity `U::\"a\"`: `parents[0]`: the schema lets no `U` be in a `U`, only in `G`",
        ),
        (
            r#"{"type": "U", "id": "a"}"#,
            "{}",
            "[]",
            ",\n\"tags\": null",
            "e0:5: entity `U::\"a\"`: `tags`: expected an object",
        ),
        (r#"{"type": "U", "id": "a"}"#, "{}", "[]", ",\n\"tag\": {}", "e0:5: entity `U::\"a\"`: unknown member `tag`"),
        (
            r#"{"type": "U", "id": "a"}"#,
            "{\n\"o\": {\"type\": \"U\",\n\"id\": \"b\",\n\"x\": 1}}",
            "[]",
            "",
            "e0:6: entity `U::\"a\"`: `attrs.o`: unknown member `x`",
        ),
    ] {
        let text = format!("[{{\n\"uid\": {uid},\n\"attrs\": {attrs},\n\"parents\": {parents}{more}}}]");
        agree(&errors(schema, &[&text]), &[expected]);
    }
}
