//! Every format, in full, for one of each outcome.

use std::time::Duration;

use super::*;
use crate::cli::test::runner::{Options, run_with};
use crate::cli::test::tests::{bundle, yaml_file};

const TESTS: &str = r#"tests:
  - {name: passes, principal: User::ann, action: view, resource: Doc::d, expect: allow}
  - name: fails & <tells>
    why: "because of #7"
    principal: User::ann
    action: view
    resource: Doc::d
    context: {mfa: false}
    expect: allow
    reason: [view]
  - {name: unknown, principal: User::eve, action: view, resource: Doc::d, expect: allow}
  - {name: refused, principal: User::ann, action: view, resource: Doc::d, context: {mfa: 1}, expect: deny}
  - {name: no test, principal: ann, action: view, resource: Doc::d, expect: deny}
"#;

fn written(format: Format, quiet: bool, color: bool) -> String {
    let mut report = run_with(&bundle(), &[yaml_file(TESTS)], &Options { now: 0, ..Options::default() }).unwrap();
    let mut took = Duration::ZERO;
    for result in &mut report.results {
        result.took = took;
        took += Duration::from_micros(1_500);
    }
    let mut out = Vec::new();
    write(&report, format, quiet, color, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn golden(name: &str, text: &str) {
    let path = format!("{}/src/cli/test/format/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{path} differs; if that is meant, run the test with BLESS=1\n{text}");
}

#[test]
fn every_format_reads_as_it_did() {
    golden("report.txt", &written(Format::Human, false, false));
    golden("report.json", &written(Format::Json, false, false));
    golden("report.xml", &written(Format::Junit, false, false));
    golden("report.tap", &written(Format::Tap, false, false));
}

#[test]
fn quiet_leaves_out_what_is_well_and_colours_are_only_for_people() {
    assert!(!written(Format::Human, true, false).contains("policies/tests/t.yaml: "));
    assert!(written(Format::Human, false, true).contains("\x1b[31mFAIL\x1b[0m"));
    for format in [Format::Json, Format::Junit, Format::Tap] {
        assert_eq!(written(format, false, true), written(format, true, false), "{format:?}");
    }
    let json: serde_json::Value = serde_json::from_str(&written(Format::Json, false, false)).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &4.into()));
}
