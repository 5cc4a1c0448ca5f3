//! `palisade test --mutate`: what no test notices, the test that would, and what may live.

use super::*;

/// The lines of a report without the place of the bundle.
fn lines(text: &str, place: &str) -> Vec<String> {
    text.lines().map(|line| line.replace(&format!("{place}/"), "")).collect()
}

#[test]
fn a_change_that_no_test_notices_is_shown_with_the_test_that_would() {
    let dir = bundle(&[]);
    let place = at(&dir);
    let run = |more: &[&str]| palisade(&[&["test", "-p", &place, "--quiet"][..], more].concat());
    let ran = run(&["--mutate"]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert_eq!(
        lines(&ran.out, &place),
        [
            "1 passed, 0 failed",
            "LIVES policies/p.cedar:2:44: ok: `principal.ok` → `true`",
            "  this test would kill it; with the mutant it is allowed by ok",
            "    - name: \"ok: `principal.ok` → `true`\"",
            "      principal: 'User::\"b\"'",
            "      action: 'Action::\"view\"'",
            "      resource: 'Doc::\"d\"'",
            "      context: {}",
            "      expect: deny",
            "      reason: []",
            "mutation score 75.0 %: 3 of 4 mutants killed",
        ]
    );
    for (least, exit) in [("75", Exit::Success), ("75.1", Exit::TestsFailed), ("101", Exit::Usage)] {
        assert_eq!(run(&["--mutate-min", least]).exit, exit, "{least}");
    }
    // of some policies alone
    for (only, exit, said) in [
        ("ok", Exit::Success, "3 of 4 mutants killed"),
        ("o*", Exit::Success, "3 of 4 mutants killed"),
        ("other", Exit::Failure, "`--mutate-only other`: there is nothing to change"),
    ] {
        let ran = run(&["--mutate", "--mutate-only", only]);
        assert_eq!(ran.exit, exit, "{}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{only}: {}{}", ran.out, ran.err);
    }
    assert_eq!(run(&["--mutate-only", "ok"]).exit, Exit::Usage);
    // for programs
    let json: serde_json::Value = serde_json::from_str(&run(&["--mutate", "--format", "json"]).out).unwrap();
    let mutation = &json["mutation"];
    assert_eq!((&mutation["killed"], &mutation["survived"]), (&3.into(), &1.into()), "{mutation}");
    let fates: Vec<&str> =
        mutation["mutants"].as_array().unwrap().iter().filter_map(|mutant| mutant["fate"].as_str()).collect();
    assert_eq!(fates, ["killed", "killed", "survived", "killed"]);
    let junit = run(&["--mutate", "--format", "junit"]).out;
    assert!(junit.contains("tests=\"5\" failures=\"1\"") && junit.contains("<testsuite name=\"mutants\""), "{junit}");
    let tap = run(&["--mutate", "--format", "tap"]).out;
    assert!(tap.contains("1..5") && tap.contains("not ok 4 - mutant ok: `principal.ok` → `true`"), "{tap}");

    // the test that is written kills it
    let written = dir.path().join("policies/tests/more.yaml");
    assert_eq!(run(&["--mutate-tests", written.to_str().unwrap()]).exit, Exit::Success);
    // what is kept there is not written over
    let kept = std::fs::read_to_string(&written).unwrap();
    let again = run(&["--mutate-tests", written.to_str().unwrap()]);
    assert!(again.exit == Exit::Failure && again.err.contains("exists: name a new file"), "{}", again.err);
    assert_eq!(std::fs::read_to_string(&written).unwrap(), kept);
    let ran = run(&["--mutate-min", "100"]);
    assert_eq!(ran.exit, Exit::Success, "{}{}", ran.out, ran.err);
    assert_eq!(lines(&ran.out, &place), ["2 passed, 0 failed", "mutation score 100.0 %: 4 of 4 mutants killed"]);
    // a file without a test would be one that fails
    let none = dir.path().join("policies/tests/none.yaml");
    let ran = run(&["--mutate", "--mutate-tests", none.to_str().unwrap()]);
    assert!(ran.exit == Exit::Success && ran.err.contains("none.yaml` is not written: no mutant lives"), "{}", ran.err);
    assert!(!none.exists());
}

#[test]
fn what_may_live_is_read_from_a_file_that_gives_reasons() {
    let entry = |mutant: &str| format!("- policy: ok\n  mutant: \"{mutant}\"\n  why: it does not matter here\n");
    let lives = entry("`principal.ok` → `true`");
    for (file, exit, said) in [
        (lives.as_str(), Exit::Success, "mutation score 100.0 %: 3 of 3 mutants killed, 1 accepted"),
        (&entry("the policy removed"), Exit::TestsFailed, "no mutant of `ok` lives that is called the policy removed"),
        (&format!("{lives}{lives}"), Exit::Failure, ":4: this mutant is accepted already, at "),
        ("- policy: ok\n  mutant: x\n", Exit::Failure, ":1: the accepted mutant lacks `why`"),
        ("- {policy: ok, mutant: x, why: \" \"}\n", Exit::Failure, ":1: `why` is empty: say why"),
        ("- {policy: ok, mutan: x}\n", Exit::Failure, "unknown key `mutan`; an accepted mutant has `policy`, `mutant`"),
        ("tests: []\n", Exit::Failure, ":1: a file of accepted mutants must be a list, not a mapping"),
    ] {
        let dir = bundle(&[("policies/tests/ok.mutants.yaml", file)]);
        let ran = palisade(&["test", "-p", &at(&dir), "--quiet", "--mutate-min", "75"]);
        assert_eq!(ran.exit, exit, "{file}: {}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{file}: {}{}", ran.out, ran.err);
    }
    // of some policies, what is accepted of these
    let dir = bundle(&[("policies/tests/ok.mutants.yaml", &entry("the policy removed"))]);
    for (only, is_stale) in [("ok", true), ("*k", true)] {
        let ran = palisade(&["test", "-p", &at(&dir), "--quiet", "--mutate", "--mutate-only", only]);
        assert_eq!(ran.err.contains("take the entry out"), is_stale, "{only}: {}", ran.err);
    }
}

#[test]
fn nothing_is_changed_while_a_test_fails() {
    let dir = bundle(&[("policies/tests/t.json", &TESTS.replace("allow", "deny"))]);
    let ran = palisade(&["test", "-p", &at(&dir), "--mutate"]);
    assert_eq!(ran.exit, Exit::TestsFailed);
    assert!(ran.err.contains("policies are changed once all tests pass"), "{}", ran.err);
}

#[test]
fn what_cannot_be_told_apart_is_named_apart() {
    // whom the schema lets ask is a user anyway; and nothing that is stored distinguishes the two sides of the other
    let policies =
        "@id(\"ok\")\npermit(principal is User, action, resource) when { principal.ok || principal.ok == true };\n";
    let dir = bundle(&[
        ("policies/p.cedar", policies),
        (
            "policies/tests/t.json",
            &TESTS.replace(
                ']',
                &format!(",{}]", TESTS.replace("\\\"a", "\\\"b").replace("allow", "deny").trim_matches(['[', ']'])),
            ),
        ),
    ]);
    let ran = palisade(&["test", "-p", &at(&dir), "--mutate"]);
    assert_eq!(ran.exit, Exit::Success, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("same "), "{}", ran.out);
    assert!(ran.out.contains("not distinguished by 2 requests, all that entities and contexts make"), "{}", ran.out);
    assert!(ran.out.contains("1 always the same by the schema"), "{}", ran.out);
    let json: serde_json::Value =
        serde_json::from_str(&palisade(&["test", "-p", &at(&dir), "--mutate", "--format", "json"]).out).unwrap();
    assert_eq!(json["mutation"]["survived"], 0, "{json}");
}

const GRANTS: [(&str, &str); 4] = [
    (
        "policies/s.cedarschema",
        "entity G; entity User in [G] { lv: Long }; entity P in [P]; entity Grant { tpl: Set<String>, g: G, at: P };
         action view, edit appliesTo { principal: User, resource: P };",
    ),
    (
        "policies/p.cedar",
        r#"@id("t1") permit(principal in ?principal, action, resource in ?resource) when { principal.lv > 2 };
           @id("t2") permit(principal in ?principal, action == Action::"edit", resource in ?resource);"#,
    ),
    ("policies/l.links.yaml", "- {each: Grant, template: tpl, principal: g, resource: at}"),
    (
        "entities/e.json",
        r#"[{"uid": {"type": "G", "id": "g"}, "attrs": {}, "parents": []},
            {"uid": {"type": "User", "id": "u"}, "attrs": {"lv": 3}, "parents": [{"type": "G", "id": "g"}]},
            {"uid": {"type": "User", "id": "low"}, "attrs": {"lv": 2}, "parents": [{"type": "G", "id": "g"}]},
            {"uid": {"type": "P", "id": "p1"}, "attrs": {}, "parents": []},
            {"uid": {"type": "P", "id": "p2"}, "attrs": {}, "parents": []},
            {"uid": {"type": "Grant", "id": "1"}, "parents": [],
             "attrs": {"tpl": ["t1"], "g": {"type": "G", "id": "g"}, "at": {"type": "P", "id": "p2"}}}]"#,
    ),
];

/// The mutants of a policy that are killed, and those that live with a test that would kill them.
fn fates(dir: &tempfile::TempDir, policy: &str) -> [Vec<String>; 2] {
    let ran = palisade(&["test", "-p", &at(dir), "--mutate", "--format", "json"]);
    assert_eq!(ran.exit, Exit::Success, "{}{}", ran.out, ran.err);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let of = |wanted: &str| {
        let all = json["mutation"]["mutants"].as_array().unwrap().iter();
        let is = |mutant: &&serde_json::Value| {
            mutant["policy"] == policy && mutant["fate"] == wanted && (wanted == "killed" || mutant["test"].is_object())
        };
        all.filter(is).map(|mutant| mutant["mutant"].as_str().unwrap().to_owned()).collect()
    };
    [of("killed"), of("survived")]
}

#[test]
fn links_are_those_that_the_entities_of_each_test_make() {
    let grant = |template: &str| {
        format!(
            "entities: [{{uid: 'Grant::2', attrs: {{tpl: [{template}], g: {{entity: 'G::g'}}, at: {{entity: 'P::p1'}}}}}}]"
        )
    };
    let all = [
        "the policy removed",
        "`permit` → `forbid`",
        "`principal.lv > 2` → `true`",
        "`principal.lv > 2` negated",
        "`principal.lv > 2`: `>` → `>=`",
    ];
    let [gone, flipped, dropped, negated, weaker] = all;
    let asks = "principal: 'User::u', resource: 'P::p1', expect: allow";
    for (test, policy, killed, lives) in [
        // a link that only the test's entities make decides it
        (
            format!("- {{name: a, {asks}, {}, action: view, reason: ['t1@Grant::\"2\"']}}", grant("t1")),
            "t1",
            vec![gone, flipped, negated],
            vec![dropped, weaker],
        ),
        // one that the bundle's entities make and the test's do not says nothing in it
        (
            "- {name: b, principal: 'User::u', resource: 'P::p2', action: view, without: ['Grant::1'], expect: deny}"
                .to_owned(),
            "t1",
            vec![],
            all.to_vec(),
        ),
        // and where no entity of the bundle links a template, those of a test do
        (
            format!("- {{name: c, {asks}, {}, action: edit, reason: [t2]}}", grant("t2")),
            "t2",
            vec![gone, flipped, "`action == Action::\"edit\"` negated"],
            vec!["`action == Action::\"edit\"` removed"],
        ),
    ] {
        let dir = bundle(&[&GRANTS[..], &[("policies/tests/t.yaml", &format!("tests:\n  {test}\n"))]].concat());
        fs::remove_file(dir.path().join("policies/tests/t.json")).unwrap();
        // the declaration grants nothing else that a test asks for
        let declaration = if killed.is_empty() {
            [vec![], vec!["the declaration removed"]]
        } else {
            [vec!["the declaration removed"], vec![]]
        };
        assert_eq!(fates(&dir, "each Grant: tpl"), declaration, "{test}");
        assert_eq!(fates(&dir, policy), [killed, lives], "{test}");
    }
}
