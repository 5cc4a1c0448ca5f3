//! What is tested is what serves: every verb takes and refuses the same bundles, and no test is lost without a word.

use super::*;

/// A bundle of these files alone.
pub(super) fn only(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

const ROUTES: &str = "routes:\n  - match: GET /docs/{id}\n    action: view\n    resource: Doc::{path.id}\n";
const ROUTE_TESTS: &str =
    "defaults: {principal: 'User::a'}\ntests:\n  - {request: GET /docs/d, expect: 'view Doc::d'}\n";

/// What each verb comes to: `check`, `test`, `validate`, `routes explain`, `routes test`.
fn exits(place: &str, routes: &str, flags: &[&str]) -> Vec<(Exit, String)> {
    let verbs: [&[&str]; 5] = [
        &["check", "-l", "User::a", "-a", "view", "-r", "Doc::d"],
        &["test"],
        &["validate"],
        &["routes", "explain", "GET /docs/d", "-l", "User::a"],
        &["routes", "test"],
    ];
    let ran = verbs.iter().map(|verb| {
        let ran = palisade(&[verb, &["-p", place, "--routes", routes][..], flags].concat());
        (ran.exit, format!("{verb:?}: {}{}", ran.out, ran.err))
    });
    ran.collect()
}

#[test]
fn every_verb_refuses_what_serve_refuses() {
    let files = [
        ("policies/p.cedar", POLICY),
        ("entities/e.json", ENTITIES),
        ("policies/tests/t.json", TESTS),
        ("routes/r.yaml", ROUTES),
        ("routes/tests/t.yaml", ROUTE_TESTS),
    ];
    let schema = ("policies/s.cedarschema", SCHEMA);
    let beside = ("s.cedarschema", SCHEMA);
    let halves = SCHEMA.split_once("entity Doc;").unwrap();
    let (half, rest) = (("policies/s.cedarschema", halves.0), ("policies/t.cedarschema", halves.1));
    let doc = ("policies/u.cedarschema", "entity Doc;");
    let wrong = ("policies/p.cedar", "@id(\"ok\")\npermit(principal, action, resource) when { principal.okk };\n");
    let (fine, off, warn) = (&[][..], &["--set", "validation=off"][..], &["--set", "validation=warn"][..]);
    let entities = &["--entities", "ENTITIES"][..];
    for (more, place, flags, good, said) in [
        (&[schema][..], "", fine, true, ""),
        (&[beside], "", fine, true, ""),
        // no schema: how to go on is said
        (&[], "", fine, false, "do without one: `--set validation=off`"),
        (&[], "", off, true, ""),
        (&[], "", warn, true, ""),
        // what does not fit the schema
        (&[schema, wrong], "", fine, false, "okk"),
        // a single file has the schema that the policies around it have
        (&[schema], "policies/p.cedar", entities, true, ""),
        (&[half, doc, rest], "policies/p.cedar", entities, true, ""),
        (&[beside], "policies/p.cedar", entities, true, ""),
        (&[], "policies/p.cedar", entities, false, "ROOT/policies or ROOT;"),
        (&[schema, beside], "policies/p.cedar", entities, false, "are both there"),
        (&[schema, wrong], "policies/p.cedar", entities, false, "okk"),
    ] {
        let dir = only(&[&files[..], more].concat());
        let root = at(&dir);
        let routes = format!("{root}/routes");
        let named = format!("{root}/entities");
        let flags: Vec<&str> = flags.iter().map(|flag| if *flag == "ENTITIES" { &*named } else { flag }).collect();
        let place = if place.is_empty() { root.clone() } else { format!("{root}/{place}") };
        let said = said.replace("ROOT/policies or ROOT;", &format!("`{root}/policies` or `{root}`;"));
        for (at, (exit, shown)) in exits(&place, &routes, &flags).into_iter().enumerate() {
            // the tests of routes are about the routes, and of the schema
            if !good && (at != 4 || said != "okk") {
                assert!(exit != Exit::Success && exit != Exit::Deny, "{more:?} {place}: {exit:?} {shown}");
                assert!(shown.contains(&said), "{said}: {shown}");
            } else {
                assert_eq!(exit, Exit::Success, "{more:?} {place}: {shown}");
            }
        }
    }
}

/// `serve` would wait, or refuse to go on, so no other verb may be green.
#[test]
fn what_serve_would_wait_for_is_an_error_of_every_verb() {
    let files = [
        ("policies/p.cedar", POLICY),
        ("policies/s.cedarschema", SCHEMA),
        ("policies/tests/t.json", TESTS),
        ("entities/e.json", ENTITIES),
        ("routes/r.yaml", ROUTES),
        ("routes/tests/t.yaml", ROUTE_TESTS),
    ];
    let verbs: [&[&str]; 7] = [
        &["check", "-l", "User::a", "-a", "view", "-r", "Doc::d"],
        &["explain", "-l", "User::a", "-a", "view", "-r", "Doc::d"],
        &["test"],
        &["validate"],
        &["links"],
        &["routes", "explain", "GET /docs/d", "-l", "User::a"],
        &["routes", "test"],
    ];
    // what lies elsewhere, what the configuration says of it, and what is said
    for (moved, key, flags, said) in [
        ("", "", &[][..], &[][..]),
        ("entities", "", &[], &["ROOT/entities", "`serve` would wait for it; did you mean `ROOT/entitis`?"]),
        ("entities", "entities: ROOT/entities\n", &[], &["`entities` names it (ROOT/palisade.yaml:2)", "ROOT/entitis"]),
        (
            "",
            "entities: ROOT/entites\n",
            &[],
            &["`entities` names it (ROOT/palisade.yaml:2); did you mean `ROOT/entities`?"],
        ),
        ("", "routes: ROOT/rotes\n", &[], &["`routes` names it (ROOT/palisade.yaml:2); did you mean `ROOT/routes`?"]),
        (
            "",
            "schema: ROOT/policies/s.cedarschma\n",
            &[],
            &["`schema` names it", "did you mean `ROOT/policies/s.cedarschema`?"],
        ),
        ("", "", &["--set", "entities=ROOT/nowhere"], &["`entities` names it (command line)"]),
        ("", "", &["--set", "routes=ROOT/routez"], &["`routes` names it (command line); did you mean `ROOT/routes`?"]),
        (
            "",
            "",
            &["--entities", "ROOT/entitie"],
            &["`--entities ROOT/entitie`: there is no", "did you mean `ROOT/entities`?"],
        ),
        ("", "", &["--schema", "ROOT/polices/s.cedarschema"], &["did you mean `ROOT/policies/s.cedarschema`?"]),
        (
            "",
            "policies: ROOT/polices\n",
            &["-p"],
            &["`policies` names (ROOT/palisade.yaml:2)", "did you mean `ROOT/policies`?"],
        ),
        // who has none says so
        ("entities", "load: {allow_empty_entities: true}\n", &[], &[]),
    ] {
        let dir = only(&files);
        let root = at(&dir);
        let with_root = |text: &str| text.replace("ROOT", &root);
        if !moved.is_empty() {
            fs::rename(dir.path().join(moved), dir.path().join("entitis")).unwrap();
        }
        let config = format!("{root}/palisade.yaml");
        fs::write(&config, with_root(&format!("log: {{level: info}}\n{key}"))).unwrap();
        let place = if flags == ["-p"] { &[][..] } else { &["-p", root.as_str()][..] };
        let flags: Vec<String> = flags.iter().filter(|flag| **flag != "-p").map(|flag| with_root(flag)).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        for verb in verbs {
            let ran = palisade(&[verb, place, &["--config", &config], &flags].concat());
            let shown = format!("{verb:?} {key:?} {flags:?}: {}{}", ran.out, ran.err);
            if !said.is_empty() {
                assert!(ran.exit != Exit::Success && ran.exit != Exit::Deny, "{shown}");
            } else if moved.is_empty() {
                assert_eq!(ran.exit, Exit::Success, "{shown}");
            } else {
                assert!(!shown.contains("this should hold"), "{shown}");
            }
            for said in said {
                assert!(shown.contains(&with_root(said)), "{said}: {shown}");
            }
        }
    }
}

#[test]
fn a_single_file_is_judged_by_the_schema_around_it() {
    let dir = bundle(&[]);
    let (file, entities) = (format!("{}/policies/p.cedar", at(&dir)), format!("{}/entities", at(&dir)));
    let ran = palisade(&["check", "-p", &file, "--entities", &entities, "-l", "User::a", "-a", "veiw", "-r", "Doc::d"]);
    assert_eq!(ran.exit, Exit::Undecided, "{}", ran.out);
    assert!(ran.err.contains("did you mean `Action::\"view\"`"), "{}", ran.err);
}

#[test]
fn tests_that_are_not_run_are_named() {
    let test = "tests: [{name: n, principal: User::a, action: view, resource: Doc::d, expect: allow}]";
    // files, and what `test` and `validate` say: exit and words
    for (files, tested, validated, said) in [
        (&[("policies/tests/more.YAML", test)][..], Exit::Success, Exit::Invalid, "rename it to `more.yaml`"),
        (&[("policies/tests/more.yaml.txt", test)], Exit::Success, Exit::Invalid, "rename it to `more.yaml`"),
        (&[("policies/tests/u.yaml", "tests:\n")], Exit::TestsFailed, Exit::Invalid, "there is no test in this file"),
        (&[("policies/tests/u.json", "[]")], Exit::TestsFailed, Exit::Invalid, "there is no test in this file"),
        (&[("policies/tests/u.json", "")], Exit::TestsFailed, Exit::Invalid, "the file is empty"),
        (&[("policies/tests/README.md", "")], Exit::Success, Exit::Success, ""),
    ] {
        let dir = bundle(files);
        let root = at(&dir);
        let ran = palisade(&["test", "-p", &root]);
        assert_eq!(ran.exit, tested, "{files:?}: {}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{files:?}: {}{}", ran.out, ran.err);
        let ran = palisade(&["validate", "--deny-warnings", "-p", &root]);
        assert_eq!(ran.exit, validated, "{files:?}: {}", ran.out);
        assert!(ran.out.contains(said), "{files:?}: {}", ran.out);
    }
}

#[test]
fn where_tests_may_be_is_said_where_there_are_none() {
    for (files, said) in [
        (&[("tests/t.yaml", "tests: []")][..], "tests/t.yaml` is not looked at"),
        (&[("policies/t.yaml", "tests: []")], "policies/t.yaml` is not looked at"),
        (&[("policies/roles.links.yaml", "[]")], "policies/tests`\n"),
        (&[], "policies/tests`\n"),
    ] {
        let dir = only(&[&[("policies/p.cedar", POLICY), ("policies/s.cedarschema", SCHEMA)], files].concat());
        let ran = palisade(&["test", "-p", &at(&dir)]);
        assert_eq!(ran.exit, Exit::TestsFailed, "{}", ran.err);
        assert!(ran.err.contains("error: there are no tests in") && ran.err.contains(said), "{files:?}: {}", ran.err);
    }
}

#[test]
fn what_cannot_be_looked_at_is_not_said_to_be_missing() {
    let dir = bundle(&[]);
    let tests = dir.path().join("policies/tests");
    fs::remove_dir_all(&tests).unwrap();
    std::os::unix::fs::symlink("tests", &tests).unwrap();
    let root = at(&dir);
    let looped = tests.to_str().unwrap();
    for args in [
        &["test", "-p", &root][..],
        &["test", "-p", &root, "--tests", looped],
        &["test", "-p", looped],
        &["validate", "-p", &root],
    ] {
        let ran = palisade(args);
        assert_eq!(ran.exit, Exit::Failure, "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(&format!("cannot read `{looped}`: ")), "{args:?}: {}", ran.err);
    }
}

#[test]
fn validate_says_of_a_bundle_without_a_schema_what_serve_does_with_it() {
    let dir = bundle(&[("policies/all.cedar", "@id(\"all\") permit(principal, action, resource);")]);
    let root = at(&dir);
    for (flags, exit, said) in [
        (&["--deny-warnings", "--format", "json"][..], Exit::Invalid, "\"valid\": false"),
        (&["--format", "json"], Exit::Success, "\"valid\": true"),
    ] {
        let ran = palisade(&[&["validate", "-p", &root], flags].concat());
        assert!(ran.exit == exit && ran.out.contains(said), "{flags:?}: {}", ran.out);
    }
    fs::remove_file(dir.path().join("policies/s.cedarschema")).unwrap();
    for (validation, exit, said) in [
        ("strict", Exit::Invalid, "schema: there is no schema to validate against"),
        ("warn", Exit::Success, "schema: warning: there is no schema to validate against"),
        ("off", Exit::Success, "valid: 2 policies"),
    ] {
        let ran = palisade(&["validate", "-p", &root, "--set", &format!("validation={validation}")]);
        assert_eq!(ran.exit, exit, "{validation}: {}", ran.out);
        assert!(ran.out.contains(said), "{validation}: {}", ran.out);
    }
}

#[test]
fn who_named_a_place_that_is_not_there_is_said() {
    let dir = only(&[("palisade.yaml", "log: {level: info}\npolicies: ./nowhere\n")]);
    let config = format!("{}/palisade.yaml", at(&dir));
    for (args, said) in [
        (
            &["validate", "--config", &config][..],
            format!("there is no `./nowhere`, which `policies` names ({config}:2)"),
        ),
        (
            &["validate", "--set", "policies=./none"],
            "there is no `./none`, which `policies` names (command line)".to_owned(),
        ),
    ] {
        let ran = palisade(args);
        assert!(ran.exit == Exit::Failure && ran.err.contains(&said), "{args:?}: {}", ran.err);
    }
}

/// The layout of Cedar's own samples for `run-tests`: policies, tests and their entities side by side, and no schema.
#[test]
fn samples_of_cedar_run_as_they_are() {
    let request = r#"{"principal":"User::\"a\"","action":"Action::\"view\"","resource":"Doc::\"d\""}"#;
    let tests =
        |entities: &str| format!(r#"[{{"name":"n","request":{request},"decision":"allow","entities":{entities}}}]"#);
    let (inline, named) = (tests(ENTITIES), tests("\"entity.json\""));
    let dir = only(&[
        ("policy.cedar", POLICY),
        ("tests.json", &inline),
        ("tests-external-entities.json", &named),
        ("entity.json", ENTITIES),
    ]);
    let root = at(&dir);
    let policy = format!("{root}/policy.cedar");
    for (tests, flags, exit, said) in [
        ("tests.json", &["--set", "validation=off"][..], Exit::Success, "1 passed, 0 failed\n"),
        ("tests-external-entities.json", &["--set", "validation=off"], Exit::Success, "1 passed, 0 failed\n"),
        ("", &["--set", "validation=off"], Exit::Success, "2 passed, 0 failed\n"),
        ("tests.json", &[], Exit::Invalid, "do without one: `--set validation=off`"),
    ] {
        let tests = format!("{root}/{tests}");
        let ran = palisade(&[&["test", "-q", "-p", &policy, "--tests", &tests][..], flags].concat());
        assert_eq!(ran.exit, exit, "{tests}: {}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{tests}: {}{}", ran.out, ran.err);
    }
}
