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
    let ran = run(&["--mutate-min", "100"]);
    assert_eq!(ran.exit, Exit::Success, "{}{}", ran.out, ran.err);
    assert_eq!(lines(&ran.out, &place), ["2 passed, 0 failed", "mutation score 100.0 %: 4 of 4 mutants killed"]);
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
        ("- {policy: ok, mutant: x, why: \" \"}\n", Exit::Failure, ":1: the accepted mutant lacks `why`"),
        ("- {policy: ok, mutan: x}\n", Exit::Failure, "unknown key `mutan`; an accepted mutant has `policy`, `mutant`"),
        ("tests: []\n", Exit::Failure, ":1: a file of accepted mutants must be a list, not a mapping"),
    ] {
        let dir = bundle(&[("policies/tests/ok.mutants.yaml", file)]);
        let ran = palisade(&["test", "-p", &at(&dir), "--quiet", "--mutate-min", "75"]);
        assert_eq!(ran.exit, exit, "{file}: {}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{file}: {}{}", ran.out, ran.err);
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
