//! Every fault of a schema is reported at its place, and none that is not there.

use crate::model::SchemaText;
use crate::schema::SchemaModel;
use crate::settings::Limits;

fn faults(texts: &[&str]) -> Vec<String> {
    let fragments = texts.iter().enumerate().map(|(n, text)| (format!("s{n}"), (*text).to_owned())).collect();
    let found = SchemaModel::build(&SchemaText { fragments }, &Limits::default()).err().unwrap_or_default();
    let place = |problem: &crate::model::Diagnostic| {
        format!("{}:{}: {}", problem.origin, problem.line.unwrap_or(0), problem.message)
    };
    found.iter().map(place).collect()
}

#[test]
fn every_syntax_error_of_a_text_is_reported() {
    let text = "entity A { b Long };\n@doc(\"x;\")\nentity B;\nnamespace N { entity C D;\ntype T = { namespace: Long };\n\
                action x appliesTo { principal: C resource: C };\n}\nentity X = 3;\n";
    let found = faults(&[text]);
    let lines: Vec<&str> = found.iter().filter_map(|line| line.split(':').nth(1)).collect();
    assert_eq!(lines, ["1", "4", "6", "8"], "{found:#?}");
    let members = faults(&["entity A {\n a: Long;\n b: Long;\n c: Long\n};\nentty B;\n"]);
    let lines: Vec<&str> = members.iter().filter_map(|line| line.split(':').nth(1)).collect();
    assert_eq!(lines, ["2", "6"], "{members:#?}");
    let open = faults(&["namespace N {\nentity A;\n"]);
    assert!(matches!(&open[..], [one] if one.contains("unexpected end")), "{open:#?}");
}

#[test]
fn an_error_does_not_hide_what_stands_behind_it() {
    let text =
        "namespace N {\nentity A\nentity B;\nentity C {}\nacton see appliesTo { principal: A, resource: B };\n}\n";
    let found = faults(&[text]);
    let lines: Vec<&str> = found.iter().filter_map(|line| line.split(':').nth(1)).collect();
    assert_eq!(lines, ["3", "5", "5"], "{found:#?}");
}

#[test]
fn a_type_that_is_not_there_has_one_that_is_near() {
    for (ty, expected) in [
        ("string", "did you mean `String`?"),
        ("Strng", "did you mean `String`?"),
        ("bool", "did you mean `Bool`?"),
        ("int", "did you mean `Long`?"),
        ("ip", "did you mean `ipaddr`?"),
        ("DateTime", "did you mean `datetime`?"),
        ("Userr", "did you mean `User`?"),
        ("N::Userr", "did you mean `N::User`?"),
        ("Set", "write `Set<String>`"),
        ("Zebra", "declare it as `entity` or `type`"),
    ] {
        let text = format!(
            "namespace N {{ entity User; entity Doc {{ a: {ty}, b: {ty} }}; action seen appliesTo {{ principal: User, resource: Doc }}; }}"
        );
        let texts = SchemaText { fragments: vec![("s".to_owned(), text)] };
        let found = SchemaModel::build(&texts, &Limits::default()).err().unwrap_or_default();
        assert!(
            matches!(&found[..], [one, two] if one.column < two.column && one.help == two.help
                && one.help.as_deref().unwrap_or_default().contains(expected)),
            "{ty}: {found:#?}"
        );
    }
    // each name of one declaration
    let found =
        faults(&["entity User in [Grp] {\n doctor: Docter,\n vip: Boolen,\n of: Set<{a: Strng}>,\n also: Docter };\n\
         action see appliesTo { principal: [User, Usr], resource: User, context: { a: Lng } };"]);
    let mut names: Vec<&str> = found.iter().filter_map(|line| line.split('`').nth(1)).collect();
    names.sort_unstable();
    assert_eq!(names, ["Boolen", "Docter", "Docter", "Grp", "Lng", "Strng", "Usr"], "{found:#?}");
    let found = faults(&["entity User;\naction read, see in [raed] appliesTo { principal: User, resource: User };"]);
    assert!(matches!(&found[..], [one] if one.starts_with("s0:2: undeclared action")), "{found:#?}");
}

#[test]
fn faults_of_several_texts_name_the_text_and_the_line() {
    let users = "// User\nentity User;\n";
    for (second, expected) in [
        ("entity Doc {\n  owner: Userr };\n", "s1:2: there is no type `Userr`"),
        ("entity Doc;\nentity User;\n", "s1:2: `User` is declared twice; the first is at s0:2"),
        ("entity Doc {\na: Long,\na?: Bool };\n", "s1:3: `a` is declared twice in one record; the first is at line 2"),
        (
            "action see in [\n raed] appliesTo { principal: User, resource: User };\n",
            "s1:2: undeclared action: Action::\"raed\"",
        ),
        ("type A = B;\n\ntype B = A;\n", "s1:1: a common type contains itself: `A` has `B` has `A`"),
        (
            "{\"\": {\"entityTypes\": {\"Doc\": {\n\"memberOfTypes\": [\"Usr\"]}}, \"actions\": {}}}",
            "s1:2: there is no type `Usr`",
        ),
    ] {
        let found = faults(&[users, second]);
        assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{second}: {found:#?}");
    }
}

#[test]
fn faults_of_a_json_text_have_a_line() {
    for (text, expected) in [
        ("{\"\": {\n \"entityTypes\": {\"User\": {\"memberOfTypez\": []}}, \"actions\": {}}}", "s0:2: unknown member"),
        ("{\"\": {\n \"entityTypes\": [],\n \"actions\": {}}}", "s0:2: `entityTypes` must be an object, not an array"),
        ("{\"\": {\n \"entityTypes\": {},,\n \"actions\": {}}}", "s0:2: "),
    ] {
        let found = faults(&[text]);
        assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{text}: {found:#?}");
    }
}

#[test]
fn a_name_that_is_not_found_is_reported_where_it_is_used() {
    let json = |ty: &str| {
        format!(
            "{{\"m\": {{\"entityTypes\": {{\"Res\": {{}}, \"Other\": {{}}}},\n \"actions\": {{\"raed\": {{}}}}}},\n \
             \"n\": {{\"entityTypes\": {{\"U\": {{}},\n \"List\": {{\"shape\": {{\"type\": \"Record\", \"attributes\": \
             {{\"Res\": {{\"type\": \"Long\"}},\n \"all\": {{\"type\": \"Set\", \"element\": {ty}}}}}}}}}}},\n \
             \"actions\": {{\"see\": {{\"memberOf\": [{{\"id\": \"raed\"}}], \"appliesTo\": {{\"principalTypes\": [\"U\",\n \
             \"Usr\"], \"resourceTypes\": [\"List\"]}}}}}}}}}}"
        )
    };
    let text = "namespace m { entity Res; action raed; }\nnamespace n { entity U, V; type Usr2 = Long;\n\
                entity List { Res: Long, all: Set<Res> };\naction see in [raed] appliesTo { principal: U,\n\
                resource: [List, Usr] }; }";
    let entity = "{\"type\": \"Entity\", \"name\": \"Res\"}";
    let either = "{\"type\": \"EntityOrCommon\", \"name\": \"Res\"}";
    let common = "{\"type\": \"Res\"}";
    for (text, lines) in [(json(entity), [5, 6, 7]), (json(either), [5, 6, 7]), (text.to_owned(), [3, 4, 5])] {
        let expected = [
            format!("s0:{}: there is no type `Res`", lines[0]),
            format!("s0:{}: undeclared action: Action::\"raed\"", lines[1]),
            format!("s0:{}: there is no type `Usr`", lines[2]),
        ];
        let mut found = faults(&[&text]);
        found.sort_unstable();
        assert_eq!(found, expected, "{text}");
        let fragments = [("s".to_owned(), text.clone())].to_vec();
        let found = SchemaModel::build(&SchemaText { fragments }, &Limits::default()).unwrap_err();
        let helps: Vec<&str> = found.iter().filter_map(|found| found.help.as_deref()).collect();
        assert!(helps.contains(&"did you mean `m::Res`?"), "{helps:?}");
    }
    // common types are no entity types
    let found = faults(&[&json(common)]);
    assert!(found.contains(&"s0:5: there is no type `Res`".to_owned()), "{found:?}");
    // actions
    let text = json("{\"type\": \"Long\"}").replace("\n \"Usr\"", "\n \"U\"");
    assert_eq!(faults(&[&text]), ["s0:6: undeclared action: Action::\"raed\""]);
}

#[test]
fn a_shape_that_is_no_record_is_reported_where_it_is() {
    let of = |shape: &str, context: &str| {
        format!(
            "{{\"\": {{\"entityTypes\": {{\"Other\": {{\"shape\": {{\"type\": \"Record\", \"attributes\": {{}}}}}}}}, \"actions\": \
             {{}}}},\n\"m\": {{\"entityTypes\": {{\n\"U\": {{\n\"shape\": {shape}}}}},\n\"actions\": {{\"see it\": {{\"appliesTo\": \
             {{\"principalTypes\": [\"U\"],\n\"resourceTypes\": [\"U\"], \"context\": {context}}}}}}}}}}}"
        )
    };
    let (record, other) = ("{\"type\": \"Record\", \"attributes\": {}}", "{\"type\": \"Long\"}");
    for (shape, context, expected) in [
        (other, record, "s0:4: the attributes of `m::U` must be a record, not `Long`"),
        (record, other, "s0:6: the context of `m::Action::\"see it\"` must be a record, not `Long`"),
    ] {
        let text = of(shape, context);
        let found = faults(&[&text]);
        assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{text}: {found:#?}");
    }
}

#[test]
fn no_fault_of_names_hides_another() {
    let all = |texts: &[&str]| {
        let fragments = texts.iter().enumerate().map(|(n, text)| (format!("s{n}"), (*text).to_owned())).collect();
        let found = SchemaModel::build(&SchemaText { fragments }, &Limits::default()).err().unwrap_or_default();
        let shown = |found: &crate::model::Diagnostic| {
            let place = [found.line, found.column].map(|at| at.map_or("?".to_owned(), |at| at.to_string())).join(":");
            format!("{}:{place}: {}; {}", found.origin, found.message, found.help.as_deref().unwrap_or("-"))
        };
        found.iter().map(shown).collect::<Vec<_>>()
    };
    let bool_ = "there is no type `Boolean`; did you mean `Bool`?";
    for (texts, expected) in [
        (
            &["entity Doctor { n: Boolean };\nentity Patient { doctor: Doctor, vip: Boolean };"][..],
            vec![format!("s0:1:20: {bool_}"), format!("s0:2:39: {bool_}")],
        ),
        (
            &["entity D { n: Boolean, m: Strng };\naction read;\naction see in [readd];"],
            vec![
                format!("s0:1:15: {bool_}"),
                "s0:1:27: there is no type `Strng`; did you mean `String`?".to_owned(),
                "s0:3:16: undeclared action: Action::\"readd\"; did you mean `read`?".to_owned(),
            ],
        ),
        (
            &["type T = Long;\nentity P in [T];\naction a appliesTo { principal: [P, Long], resource: P, context: P };"],
            vec![
                "s0:2:14: there is no entity type `T`; `T` is a common type, and here is the place of entity types".to_owned(),
                "s0:3:37: there is no entity type `Long`; `Long` is a built-in type, and here is the place of entity types".to_owned(),
                "s0:3:66: there is no common type `P`; `P` is an entity type, and here is the place of common types".to_owned(),
            ],
        ),
        (
            &["entity Doctor;\nentity Doctor in [Dctor];\naction read;\naction read in [readd];"],
            vec![
                "s0:2:8: `Doctor` is declared twice; the first is at s0:1; -".to_owned(),
                "s0:4:8: `read` is declared twice; the first is at s0:3; -".to_owned(),
                "s0:2:19: there is no type `Dctor`; did you mean `Doctor`?".to_owned(),
                "s0:4:17: undeclared action: Action::\"readd\"; did you mean `read`?".to_owned(),
            ],
        ),
    ] {
        let found = all(texts);
        let as_expected = found.len() == expected.len();
        let each = found.iter().zip(&expected).all(|(found, expected)| found.starts_with(expected.as_str()));
        assert!(as_expected && each, "{texts:?}: {found:#?}");
    }
}

#[test]
fn every_type_that_is_not_found_is_reported_at_its_place() {
    let first = "entity User;\nentity Doc { owner: Userr };\n";
    let second = "action see appliesTo {\n principal: User,\n resource: Docc };\n";
    let found = faults(&[first, second]);
    let expected = ["s0:2: there is no type `Userr`", "s1:3: there is no type `Docc`"];
    assert_eq!(found, expected);
}

#[test]
fn no_fault_of_a_schema_hides_another() {
    let mut wrong = Vec::new();
    for (texts, expected) in [
        // both blocks of a namespace are read
        (
            &[
                "namespace N { entity A { x: Strng }; }\nnamespace N { entity B in [A] { y: Strng };\nentity A; }\nentity U in [N::B, V];",
            ][..],
            &[
                "s0:2: the namespace `N` has two blocks in one file; the first is at s0:1",
                "s0:1: there is no type `Strng`",
                "s0:2: there is no type `Strng`",
                "s0:3: `N::A` is declared twice; the first is at s0:1",
                "s0:4: there is no type `V`",
            ][..],
        ),
        // what only stands in a broken declaration is declared nowhere
        (
            &["entity A { a: Strng };\nentity B { b Strng };\nentity C in [B, D];"],
            &["s0:2: unexpected token `Strng`", "s0:1: there is no type `Strng`", "s0:3: there is no type `D`"],
        ),
        (&["entity A in [B];\nentity B = C;\nentity D in [C];"], &["s0:2: unexpected", "s0:3: there is no type `C`"]),
        (&["entity A in [B]\nentity B;\nentity D in [B];"], &["s0:2: unexpected token `entity`"]),
        (&["class B {};\nentity D in [B, E];"], &["s0:1: unexpected token `class`", "s0:2: there is no type `E`"]),
        // brackets of namespaces
        (&["namespace N {\nentity A in [B];\n"], &["s0:2: unexpected end of input", "s0:2: there is no type `B`"]),
        (
            &["entity A in [B];\n}\nentity C in [D];"],
            &["s0:2: unexpected token `}`", "s0:1: there is no type `B`", "s0:3: there is no type `D`"],
        ),
        (
            &["namespce N {\nentity A;\nentity B in [A, C]; }\nentity D in [N::B];"],
            &["s0:1: unexpected", "s0:3: there is no type `C`"],
        ),
        // circles, each once, beside what else is wrong
        (
            &[
                "type A = B;\ntype B = A;\ntype C = { d: D };\ntype D = Set<C>;\ntype E = E;\nentity U { a: A, e: Strng };",
                "entity G in [H];\nentity H in [G];\naction x in [y];\naction y in [x];\naction z in [x, z];",
            ],
            &[
                "s0:1: a common type contains itself: `A` has `B` has `A`",
                "s0:3: a common type contains itself: `C` has `D` has `C`",
                "s0:5: a common type contains itself: `E` has `E`",
                "s0:6: there is no type `Strng`",
                "s1:3: an action is in itself: `Action::\"x\"` in `Action::\"y\"` in `Action::\"x\"`",
                "s1:5: an action is in itself: `Action::\"z\"` in `Action::\"z\"`",
            ],
        ),
        (
            &["type A = B;\ntype B = A;\nentity U { b Long };"],
            &["s0:3: unexpected token `Long`", "s0:1: a common type contains itself"],
        ),
        // members that are no record, and names that hide others
        (
            &[
                "type T = U;\ntype U = Long;\nentity A, B;\naction a appliesTo { principal: A, resource: A, context: T };\naction b appliesTo { principal: A, resource: A, context: B };",
            ],
            &["s0:4: the context of `Action::\"a\"` must be a record, not `Long`", "s0:5: there is no common type `B`"],
        ),
        (
            &["entity A;\ntype B = Long;\naction x;", "namespace N {\nentity A;\nentity B in [D];\naction x; }"],
            &[
                "s1:2: `N::A` hides `A`, which is in no namespace (s0:1)",
                "s1:3: `N::B` hides `B`, which is in no namespace (s0:2)",
                "s1:3: there is no type `D`",
                "s1:4: `N::Action::\"x\"` hides `Action::\"x\"`, which is in no namespace (s0:3)",
            ],
        ),
        // the JSON form: shapes and names
        (
            &[
                "{\"\": {\"entityTypes\": {\"U\": {\"memberOfTypez\": [],\n\"shape\": {\"type\": \"Record\", \"attributes\": {\"a\": {\"type\": \"Lng\"},\n\"b\": {\"type\": \"Set\"}}}},\n\"V\": {\"memberOfTypes\": \"U\"}}, \"actions\": {}}}",
                "entity W in [V, X];",
            ],
            &[
                "s0:1: unknown member `memberOfTypez`",
                "s0:3: the type `Set` lacks `element`",
                "s0:4: `memberOfTypes` must be an array",
                "s0:2: there is no type `Lng`",
                "s1:1: there is no type `X`",
            ],
        ),
        // what was taken out may declare what others name
        (
            &["{\"\": {\"entityTypes\": {}, \"actions\": {}, \"others\": {\"U\": {}}}}", "entity W in [U, X];"],
            &["s0:1: unknown member `others`", "s1:1: there is no type `X`"],
        ),
    ] {
        let found = faults(texts);
        let is_expected = found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
        if !is_expected {
            wrong.push(format!("{texts:#?}: {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
