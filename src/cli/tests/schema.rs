//! `palisade schema`: what the readers accept, the schema accepts.

use super::*;
use crate::cli::test::read_tests;
use crate::config::conforms;

fn yaml(text: &str) -> serde_json::Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn all_schemas_are_schemas() {
    for (files, same) in
        [("config", Some("config")), ("routes", Some("routes")), ("tests", None), ("explanations", None)]
    {
        let ran = palisade(&["schema", files]);
        assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
        // whether it holds a document is not the question here, but whether it is one
        let _ = conforms(&serde_json::from_str(&ran.out).unwrap(), &serde_json::Value::Null);
        if let Some(verb) = same {
            assert_eq!(palisade(&[verb, "schema"]).out, ran.out);
        }
    }
}

#[test]
fn explanations_are_as_their_schema_says() {
    let schema = palisade(&["schema", "explanations"]);
    let schema: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
    let dir = bundle(&[]);
    let place = at(&dir);
    for (principal, action, exit) in
        [("User::a", "view", Exit::Success), ("User::b", "view", Exit::Deny), ("User::unknown", "view", Exit::Deny)]
    {
        for more in [&[][..], &["--all"]] {
            let args = ["explain", "-p", &place, "-l", principal, "-a", action, "-r", "Doc::d", "--format", "json"];
            let ran = palisade(&[&args[..], more].concat());
            assert_eq!(ran.exit, exit, "{}", ran.err);
            let explained: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            conforms(&schema, &explained).unwrap_or_else(|fault| panic!("{fault}: {explained:#}"));
            let mut wrong = explained;
            wrong["kind"] = "because".into();
            assert!(conforms(&schema, &wrong).is_err());
        }
    }
    let args = ["check", "-p", &place, "-l", "User::b", "-a", "view", "-r", "Doc::d", "--explain"];
    let shown = palisade(&args).out;
    let explained = palisade(&["explain", "-p", &place, "-l", "User::b", "-a", "view", "-r", "Doc::d"]).out;
    assert_eq!(shown, explained);
    assert!(shown.contains("set `ok` of `User::\"b\"` to `true`"), "{shown}");
    let json = palisade(&[&args[..], &["--format", "json"]].concat()).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    conforms(&schema, &json["explanation"]).unwrap();
}

#[test]
fn the_schema_of_tests_agrees_with_their_reader() {
    const ONE: &str = "principal: U::a\n    action: b\n    resource: R::c\n    expect: deny\n";
    let schema = test::json_schema();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shipped = 0;
    for place in ["policies/tests", "src/cli/init/policies/tests", "src/cli/init/saas/policies/tests"] {
        for entry in fs::read_dir(root.join(place)).unwrap() {
            let path = entry.unwrap().path();
            // what may live is no file of tests
            if path.to_string_lossy().ends_with(".mutants.yaml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let value =
                if text.trim_start().starts_with('[') { serde_json::from_str(&text).unwrap() } else { yaml(&text) };
            conforms(&schema, &value).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
            shipped += 1;
        }
    }
    assert!(shipped >= 15);
    let dir = tempfile::tempdir().unwrap();
    let agrees = |name: &str, text: &str, good: bool| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let read = read_tests(&path).unwrap().iter().all(|file| file.cases.iter().all(|case| case.check.is_ok()));
        assert_eq!(read, good, "the reader: {text}");
        assert_eq!(conforms(&schema, &yaml(text)).is_ok(), good, "the schema: {text}");
    };
    let test = |members: &str| format!("tests:\n  - name: t\n    {members}\n");
    for (text, good) in [
        (test(ONE), true),
        ("tests: []\n".to_owned(), true),
        (format!("namespace: A::B\nx-a: 1\nwithout: [[U::z]]\nentities: []\n{}", test(ONE)), true),
        (format!("defaults: {{context: {{now: '2026-01-01', n: {{ip: '::1'}}}}}}\n{}", test(ONE)), true),
        (
            format!(
                "defaults: {{principal: U::a, expect: allow}}\n{}",
                test("action: [a, [b]]\n    resource: [[R::a], R::b]")
            ),
            true,
        ),
        (test("principal: U::a\n    action: b\n    resource: R::c\n    expect: error"), true),
        (
            test(&format!(
                "{ONE}    context: {{a: null, b: [1, {{entity: {{type: U, id: x}}}}], c: {{d: true}}}}\n    reason: []\n    errors: 0"
            )),
            true,
        ),
        (
            test(&format!(
                "{ONE}    entities:\n      - {{uid: {{type: U, id: x}}, like: U::a, attrs: {{}}, unset: [a], parents: [U::b], tags: {{k: v}}}}\n    without: U::q"
            )),
            true,
        ),
        (test(&format!("{ONE}    entities:\n      - {{uid: U::a, parents: null, unset: x, tags: null}}")), true),
        (test(&ONE.replace("deny", "Allow")), true),
        (test(&ONE.replace("deny", "ERROR")), true),
        (test(&format!("{}    errors: 1", ONE.replace("deny", "Error"))), false),
        (format!("without:\nentities:\ndefaults:\n{}", test(ONE)), true),
        (test(&format!("{ONE}    context:\n    without:\n    entities:")), true),
        (format!("without: [null]\n{}", test(ONE)), false),
        (test(&format!("{ONE}    why:")), false),
        (test(&format!("{ONE}    reason:")), false),
        (test(&format!("{ONE}    errors:")), false),
        (test(&format!("{ONE}    unknown:")), false),
        (test(&ONE.replace("deny", "")), false),
        ("testz: []\n".to_owned(), false),
        ("namespace: N\n".to_owned(), false),
        ("namespace: 1\ntests: []\n".to_owned(), false),
        ("namespace: a b\ntests: []\n".to_owned(), false),
        ("tests: {}\n".to_owned(), false),
        (format!("defaults: {{contxt: {{}}}}\n{}", test(ONE)), false),
        (format!("entities: [{{uid: U::a, attr: {{}}}}]\n{}", test(ONE)), false),
        (format!("entities: [{{like: U::a}}]\n{}", test(ONE)), false),
        (format!("without: [nobody]\n{}", test(ONE)), false),
        (test("expect: deny"), false),
        (test("principal: U::a\n    action: b\n    resource: R::c"), false),
        (format!("defaults: {{principal: U::a}}\n{}", test("action: b\n    resource: R::c")), false),
        (test(&ONE.replace("deny", "maybe")), false),
        (test(&ONE.replace("U::a", "alice")), false),
        (test(&ONE.replace("U::a", "'R::'")), false),
        (test(&ONE.replace("U::a", "[]")), false),
        (test(&ONE.replace("U::a", "7")), false),
        (test(&ONE.replace("expect: deny", "allow: [{principal: U::a, reason: x}, {principal: [], action: b}]")), true),
        (test(&ONE.replace("expect: deny", "allow:")), true),
        (test(&format!("{ONE}    allow: []")), false),
        (test(&ONE.replace("expect: deny", "allow: [{who: U::a}]")), false),
        (
            test(&format!(
                "each: [{{who: U::a, e: allow, n: 1, u: true}}, {{who: [U::b], e: deny, n: 0, u: false}}]\n    {}    errors: ${{n}}\n    unknown: ${{u}}",
                ONE.replace("U::a", "${who}").replace("deny", "${e}")
            )),
            true,
        ),
        (test(&format!("each: []\n    {ONE}")), false),
        (test(&format!("each: [1]\n    {ONE}")), false),
        (test(&format!("{ONE}    principle: U::a")), false),
        (test(&format!("{ONE}    errors: many")), false),
        (test(&format!("{ONE}    errors: -1")), false),
        (test(&format!("{ONE}    context: {{a: 1.5}}")), false),
        (test(&format!("{ONE}    context: {{a: [null]}}")), false),
        (test(&format!("{ONE}    context: [a]")), false),
        (test(&format!("{ONE}    context: {{a: {{datetime: 5}}}}")), false),
        (test(&format!("{ONE}    reason: [1]")), false),
        (test(&format!("{}    reason: [a]", ONE.replace("deny", "error"))), false),
        (test(&format!("{}    errors: 1", ONE.replace("deny", "error"))), false),
    ] {
        agrees("t.yaml", &text, good);
    }
    const REQUEST: &str =
        r#""request":{"principal":"U::\"a\"","action":{"type":"Action","id":"b"},"resource":"R::\"c\""}"#;
    for (members, good) in [
        (
            format!(r#"{REQUEST},"decision":"Allow","name":"n","why":"w","reason":["a"],"num_errors":0,"entities":[]"#),
            true,
        ),
        (format!(r#"{REQUEST},"decision":"ERROR","why":null,"reason":null,"num_errors":null,"entities":null"#), true),
        (String::new(), false),
        (REQUEST.to_owned(), false),
        (format!(r#"{REQUEST},"decision":"maybe""#), false),
        (format!(r#"{REQUEST},"decision":true"#), false),
        (format!(r#"{REQUEST},"decision":"deny","reasons":[]"#), false),
        (format!(r#"{REQUEST},"decision":"deny","reason":"a""#), false),
        (format!(r#"{REQUEST},"decision":"deny","reason":[1]"#), false),
        (format!(r#"{REQUEST},"decision":"deny","num_errors":-1"#), false),
        (format!(r#"{REQUEST},"decision":"deny","name":1"#), false),
        (r#""request":{},"decision":"deny""#.to_owned(), false),
        (r#""request":[],"decision":"deny""#.to_owned(), false),
    ] {
        agrees("t.json", &format!("[{{{members}}}]"), good);
    }
}
