//! No fault hides another: of every two places of a bundle, what is wrong with both is reported at once.

use super::*;

/// A place with something wrong: the file, its bytes, what is said of it, and whether only a schema shows it.
struct Fault {
    file: &'static str,
    text: &'static [u8],
    said: &'static [&'static str],
    needs_schema: bool,
}

const fn fault(file: &'static str, text: &'static str, said: &'static [&'static str]) -> Fault {
    Fault { file, text: text.as_bytes(), said, needs_schema: false }
}

const fn by_schema(file: &'static str, text: &'static str, said: &'static [&'static str]) -> Fault {
    Fault { file, text: text.as_bytes(), said, needs_schema: true }
}

const SCHEMA_FAULT: usize = 0;

const FAULTS: [Fault; 16] = [
    fault("policies/a.cedarschema", "entity Extra { a: Strng };\nentity Doc;", &["`Strng`", "`Doc` is declared twice"]),
    fault("policies/b.cedar", "permit(principal, action, resource", &["policies/b.cedar:1:"]),
    by_schema("policies/c.cedar", "permit(principal, action, resource) when { principal.okk };", &["attribute `okk`"]),
    fault("policies/d.cedar", "", &["policies/d.cedar: this file is empty"]),
    Fault {
        file: "policies/e.cedar",
        text: b"// \xff",
        said: &["policies/e.cedar:1:4: this is not UTF-8"],
        needs_schema: false,
    },
    fault(
        "policies/f.cedar.json",
        r#"{"staticPolicies":{"p":{"effect":"permitt","principal":{"op":"All"},"action":{"op":"All"},"resource":{"op":"All"},"conditions":[]}},"policys":{}}"#,
        &["unknown member `policys`", "permitt"],
    ),
    fault(
        "policies/g.links.yaml",
        "- {templat: t}\n- {template: u, principl: 'User::\"a\"'}\n",
        &["`templat`", "`principl`"],
    ),
    fault("policies/h.links.json", "[{]", &["h.links.json:1: not valid JSON"]),
    by_schema("policies/i.links.yaml", "- {each: Usr, template: t, missing: wran}\n", &["`wran`", "`Usr`"]),
    by_schema(
        "policies/j.rules.yaml",
        "- {each: User, must: principal.nope, level: err, code: j, message: m}\n- {each: User, code: k}\n",
        &["`err`", "attribute `nope`", "lacks `message`", "lacks `must`"],
    ),
    fault("entities/k.json", r#"[{"uid": 5}, {"uid": 6}]"#, &["entities/k.json:1:2:", "entities/k.json:1:14:"]),
    fault("entities/l.ndjson", "{\"uid\": 7},\n{\"uid\"\n", &["a comma ends this line", "entities/l.ndjson:2:"]),
    fault("policies/tests/m.yaml", "tests: [{name: x, actin: view}]\n", &["policies/tests/m.yaml"]),
    fault("routes/n.yaml", "routes: [{mach: GET /x}]\n", &["routes/n.yaml:1:", "`mach`"]),
    // the rule holds for `User::"a"` alone
    by_schema(
        "policies/o.rules.yaml",
        "- {each: User, must: principal.ok, code: is-ok, message: it is not}\n",
        &["breaks the rule `is-ok`"],
    ),
    fault("policies/p.links.yaml", "- {template: nope, id: l, principal: 'User::\"a\"'}\n", &["`nope`"]),
];

/// Whether the one hides the other: data that cannot be read break no rules, nor do those that no schema describes; and a
/// link may be of a template that cannot be read.
fn hides(one: &Fault, other: &Fault) -> bool {
    let no_data = ["policies/o.rules.yaml"].contains(&other.file);
    let of_template = other.file == "policies/p.links.yaml" && one.file.starts_with("policies/");
    one.file.starts_with("entities/") && no_data
        || of_template && (one.file.ends_with(".cedar") || one.file.ends_with(".cedar.json"))
        || no_data && one.file.ends_with(".rules.yaml")
}

#[test]
fn of_every_two_faults_both_are_reported() {
    for (n, one) in FAULTS.iter().enumerate() {
        for other in &FAULTS[n + 1..] {
            let dir = bundle(&[]);
            for fault in [one, other] {
                let path = dir.path().join(fault.file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, fault.text).unwrap();
            }
            let root = at(&dir);
            let ran = palisade(&["validate", "-p", &root]);
            assert_eq!(ran.exit, Exit::Invalid, "{} {}: {}", one.file, other.file, ran.out);
            for (fault, beside) in [(one, other), (other, one)] {
                if hides(beside, fault) {
                    continue;
                }
                // of what the schema would show it is said that it is not looked at
                let by_schema = beside.file == FAULTS[SCHEMA_FAULT].file && fault.needs_schema;
                let said: &[&str] = if by_schema { &["once the schema can be read"] } else { fault.said };
                for expected in said {
                    let what = format!("{} beside {}: no `{expected}` in\n{}", fault.file, beside.file, ran.out);
                    assert!(ran.out.contains(expected), "{what}");
                }
            }
        }
    }
}
