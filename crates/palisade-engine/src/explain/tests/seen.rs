//! Counts of what requests see, while policies and links come, move and go.

use std::sync::Arc;

use crate::model::{AccessRequest, Bundle, Document, Link, PolicyNaming, PolicyText, Revision, SchemaText, Uid};
use crate::{EngineSettings, Sightings, Snapshot, on_big_stack};

/// A state with these policies, and a link of the template `t` or none.
fn state(policies: &str, linked: bool) -> Snapshot {
    let link = Link {
        template_id: "t".to_owned(),
        link_id: "l".to_owned(),
        args: vec![("?principal".to_owned(), "User::\"ann\"".to_owned())],
        written: None,
    };
    let bundle = Bundle {
        policies: vec![PolicyText {
            origin: "p.cedar".to_owned(),
            text: policies.to_owned(),
            naming: PolicyNaming::Stem("p".to_owned()),
        }],
        schema: Some(SchemaText {
            fragments: vec![(
                "s".to_owned(),
                "entity User; entity Doc; action view appliesTo { principal: User, resource: Doc };".to_owned(),
            )],
        }),
        entities: vec![Document::held(
            "e",
            r#"[{"uid": {"type": "User", "id": "ann"}, "attrs": {}, "parents": []},
                {"uid": {"type": "Doc", "id": "d"}, "attrs": {}, "parents": []}]"#,
        )],
        links: linked.then_some(link).into_iter().collect(),
        ..Bundle::default()
    };
    let revision = Revision { incarnation: 1, counter: 1 };
    let built = Snapshot::build(Arc::new(bundle), &EngineSettings::default(), revision);
    built.unwrap_or_else(|problems| panic!("{problems:#?}")).0
}

#[test]
fn counts_say_since_when_and_places_are_todays() {
    let a = "@id(\"a\")\npermit (principal, action, resource)\nwhen { principal == User::\"ann\" };\n";
    let b = "@id(\"b\") forbid (principal, action, resource) when { resource == Doc::\"x\" };\n";
    let t = "@id(\"t\") permit (principal == ?principal, action, resource);\n";
    on_big_stack(|| {
        let uid = |text: &'static str| Uid::parse(text).unwrap();
        let request = AccessRequest::new(uid("User::\"ann\""), uid("Action::\"view\""), uid("Doc::\"d\""));
        let mut seen = Sightings::default();
        // what serves; how many decisions; of each policy: its line, how many there were since, how often it was in scope
        type Row<'r> = (String, bool, u64, &'r [(&'r str, usize, u64, u64)]);
        let steps: [Row<'_>; 7] = [
            (format!("{a}{t}"), true, 3, &[("a", 1, 3, 3), ("t", 4, 3, 3)]),
            // moved by two lines
            (format!("// one\n// two\n{a}{t}"), true, 1, &[("a", 3, 4, 4), ("t", 6, 4, 4)]),
            // one more, which no decision has seen
            (format!("{a}{t}{b}"), true, 0, &[("a", 1, 4, 4), ("b", 5, 0, 0), ("t", 4, 4, 4)]),
            (format!("{a}{t}{b}"), true, 2, &[("a", 1, 6, 6), ("b", 5, 2, 2), ("t", 4, 6, 6)]),
            // the last link goes, and comes again
            (format!("{a}{t}{b}"), false, 1, &[("a", 1, 7, 7), ("b", 5, 3, 3)]),
            (format!("{a}{t}{b}"), true, 1, &[("a", 1, 8, 8), ("b", 5, 4, 4), ("t", 4, 1, 1)]),
            // another text
            (format!("{}{t}", a.replace("==", "!=")), true, 1, &[("a", 1, 1, 1), ("t", 4, 2, 2)]),
        ];
        for (policies, linked, decisions, wanted) in &steps {
            let state = state(policies, *linked);
            (0..*decisions).for_each(|_| seen.see(&state, &request, 0).unwrap());
            seen.know_all(&state);
            let found: Vec<(&str, usize, u64, u64)> =
                seen.policies().map(|(id, it)| (&**id, it.line.unwrap(), it.decisions, it.in_scope)).collect();
            assert_eq!(&found, wanted, "{policies}");
        }
        let parts: Vec<_> =
            seen.policies().flat_map(|(_, it)| &it.parts).map(|part| part.place.clone().unwrap()).collect();
        assert_eq!(parts.iter().map(|place| place.line).collect::<Vec<_>>(), [3]);
    })
    .unwrap();
}
