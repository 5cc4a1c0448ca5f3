//! `palisade test --report`: several reports at once, and none that is of an earlier run.

use super::*;

#[test]
fn coverage_names_what_no_test_has_seen() {
    let policies = "@id(\"ok\")\npermit(principal, action, resource)\nwhen { principal.ok && !(context has n && context.n > 3) && (if principal.ok then true else false) };\n\
        @id(\"never\")\nforbid(principal == User::\"c\", action, resource) unless { principal.ok };\n";
    let dir = bundle(&[("policies/p.cedar", policies)]);
    let place = at(&dir);
    let lcov = dir.path().join("lcov.info");
    let run = |more: &[&str]| palisade(&[&["test", "-p", &place, "--quiet"][..], more].concat());
    let ran = run(&["--coverage", "--coverage-lcov", lcov.to_str().unwrap()]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let lines: Vec<&str> =
        ran.out.lines().map(|line| line.trim_start_matches(&place).trim_start_matches('/')).collect();
    assert_eq!(
        lines,
        [
            "1 passed, 0 failed",
            "policies/p.cedar:1: ok",
            "  3:8  never false  principal.ok",
            "  3:26  never true  context has n",
            "  3:43  never reached  context.n > 3",
            "  3:65  never false  principal.ok",
            "policies/p.cedar:4: never",
            "  never in scope",
            "coverage 33.3 %: 4 of 12 outcomes, 1 of 2 policies in scope",
        ]
    );
    let written = fs::read_to_string(&lcov).unwrap();
    for line in
        ["FN:1,ok", "FNDA:1,ok", "FNDA:0,never", "FNF:2", "FNH:1", "BRDA:3,0,0,1", "BRDA:3,0,1,0", "BRDA:3,1,0,0"]
    {
        assert!(written.lines().any(|known| known == line), "{line}: {written}");
    }
    assert!(written.contains("BRDA:3,2,0,-") && written.contains("BRF:10") && written.contains("BRH:3"), "{written}");
    for (least, exit) in [("33", Exit::Success), ("33.4", Exit::TestsFailed), ("101", Exit::Usage), ("x", Exit::Usage)]
    {
        assert_eq!(run(&["--coverage-min", least]).exit, exit, "{least}");
    }
    // a report for machines stays one document
    let ran = run(&["--coverage", "--format", "json"]);
    assert!(
        serde_json::from_str::<serde_json::Value>(&ran.out).is_ok() && ran.err.contains("coverage 33.3 %"),
        "{}",
        ran.err
    );
}

#[test]
fn reports_go_to_files_beside_the_one_on_the_terminal() {
    let failing = TESTS.replace("allow", "deny");
    for (files, flags, exit, out, junit, json) in [
        (&[][..], &[][..], Exit::Success, "1 passed, 0 failed\n", "tests=\"1\" failures=\"0\" errors=\"0\" time=\"", 1),
        (
            &[("policies/tests/t.json", failing.as_str())],
            &[],
            Exit::TestsFailed,
            "0 passed, 1 failed\n",
            "tests=\"1\" failures=\"1\" errors=\"0\"",
            1,
        ),
        (&[("policies/q.cedar", "permit(")], &[], Exit::Invalid, "", "errors=\"1\"", 1),
        (&[("entities/f.json", "{")], &[], Exit::Invalid, "", "errors=\"1\"", 1),
        (&[("policies/tests/t.json", "[]")], &[], Exit::TestsFailed, "", "tests=\"0\"", 0),
        (&[], &["nothing*"], Exit::TestsFailed, "", "tests=\"0\"", 0),
        (&[], &["--format", "tap"], Exit::Success, "1..1\nok 1 - t.json::one\n", "tests=\"1\"", 1),
    ] {
        let dir = bundle(files);
        let root = at(&dir);
        let place = |name: &str| format!("{root}/{name}");
        let earlier = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"palisade\" of an earlier run";
        fs::write(place("r.xml"), earlier).unwrap();
        let reports = [format!("junit={}", place("r.xml")), format!("json={}", place("r.json"))];
        let words = ["test", "-q", "-p", &root, "--report", &reports[0], "--report", &reports[1]];
        let ran = palisade(&[&words[..], flags].concat());
        assert_eq!(ran.exit, exit, "{files:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.ends_with(out) && ran.out.is_empty() == out.is_empty(), "{files:?}: {}", ran.out);
        let xml = fs::read_to_string(place("r.xml")).unwrap();
        assert!(xml.starts_with("<?xml") && xml.contains(junit), "{files:?}: {xml}");
        let text = fs::read_to_string(place("r.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["tests"].as_array().unwrap().len(), json, "{files:?}: {report}");
    }
}

#[test]
fn a_report_replaces_an_earlier_one_of_its_kind_and_nothing_else() {
    let dir = bundle(&[]);
    let root = at(&dir);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let of_kind = |kind: &str, name: &str| match kind {
        "lcov" => vec!["--coverage-lcov".to_owned(), format!("{root}/{name}")],
        "page" => vec!["--coverage-html".to_owned(), format!("{root}/{name}")],
        format => vec!["--report".to_owned(), format!("{format}={root}/{name}")],
    };
    let run = |kind: &str, name: &str| {
        let flags = of_kind(kind, name);
        let words: Vec<&str> =
            ["test", "-q", "-p", &root].into_iter().chain(flags.iter().map(String::as_str)).collect();
        palisade(&words)
    };
    for kind in ["human", "json", "junit", "tap", "lcov", "page"] {
        for name in ["policies/p.cedar", "policies/tests/t.json"] {
            let before = read(name);
            let ran = run(kind, name);
            assert!(ran.exit == Exit::Failure && ran.err.contains("is no report of this kind"), "{kind}: {}", ran.err);
            assert_eq!(read(name), before, "{kind}");
        }
        let own = format!("report.{kind}");
        for _ in 0..2 {
            let ran = run(kind, &own);
            assert_eq!(ran.exit, Exit::Success, "{kind}: {}", ran.err);
        }
        assert!(!read(&own).is_empty(), "{kind}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_a_failure() {
    let dir = bundle(&[]);
    let root = at(&dir);
    let (gone, here) = (format!("junit={root}/no/r.xml"), format!("tap={root}/r.tap"));
    let ran = palisade(&["test", "-p", &root, "--report", &gone, "--report", &here]);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(ran.err.contains("cannot write the report") && ran.err.contains("no/r.xml"), "{}", ran.err);
    assert!(ran.out.contains("1 passed") && dir.path().join("r.tap").exists(), "the others are written: {}", ran.out);
    for (words, exit) in [
        (&["--report", &here, "--report", &here][..], Exit::Usage),
        (&["--report", "r.xml"], Exit::Usage),
        (&["--report", "pdf=r"], Exit::Usage),
        (&["--report", &here, "--list"], Exit::Usage),
        (&["--watch", "--list"], Exit::Usage),
    ] {
        let ran = palisade(&[&["test", "-p", &root], words].concat());
        assert_eq!(ran.exit, exit, "{words:?}: {}", ran.err);
    }
}

#[test]
fn a_pattern_finds_tests_by_their_names_alone() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("b");
    let place = place.to_str().unwrap();
    assert_eq!(palisade(&["init", place]).exit, Exit::Success);
    let all = palisade(&["test", "--list", "-p", place]).out;
    let (file, name) = all.lines().next().unwrap().split_once("::").unwrap();
    let word = name.split(' ').next().unwrap();
    for pattern in
        [format!("{word}*"), format!("{file}*"), format!("*{word}*"), format!("{file}::{word}*"), file.to_owned()]
    {
        let ran = palisade(&["test", "--list", "-p", place, &pattern]);
        assert!(ran.out.lines().any(|line| line == format!("{file}::{name}")), "{pattern}: {}{}", ran.out, ran.err);
    }
}
