//! Which bundle a verb reads, by which configuration, and what it says of a denial.

use super::*;

/// A directory with other parts and a configuration that names them, and a bundle without entities.
fn others(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let other = r#"[{"uid":{"type":"User","id":"z"},"attrs":{"ok":true},"parents":[]},{"uid":{"type":"Doc","id":"d"},"attrs":{},"parents":[]}]"#;
    for (name, text) in [
        ("other/all.json", other),
        ("schemas/other.cedarschema", "entity Nobody; action none appliesTo { principal: Nobody, resource: Nobody };"),
        ("routes.of.others.yaml", "routes: [{match: GET /x, public: true}]\n"),
        ("bare/policies/p.cedar", POLICY),
        ("bare/policies/s.cedarschema", SCHEMA),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let config = config.replace("OTHERS", &at(&dir));
    fs::write(dir.path().join("palisade.yaml"), config).unwrap();
    dir
}

#[test]
fn a_bundle_directory_brings_its_own_parts() {
    let own = "valid: 1 policy, 0 templates, 3 entities, 1 test";
    let check = ["check", "-l", "User::z", "-a", "view", "-r", "Doc::d"];
    for (config, directory, more, expected) in [
        ("", "", &[][..], own),
        ("entities: OTHERS/other", "", &[], own),
        ("schema: OTHERS/schemas/other.cedarschema", "", &[], own),
        ("routes: OTHERS/routes.of.others.yaml", "", &[], "1 route"),
        // what a flag names wins
        ("entities: OTHERS/other", "", &["--entities", "OTHERS/other"], "2 entities"),
        ("", "", &["--set", "entities=OTHERS/other"], "2 entities"),
        ("entities: OTHERS/other", "OTHERS/bare", &["--entities", "OTHERS/other"], "2 entities, 0 tests\n"),
        // without its own, it has those that are named, which is said
        ("entities: OTHERS/other", "OTHERS/bare", &[], "these entities do not belong to the bundle directory"),
        ("entities: OTHERS/other", "policies", &[], "2 entities, 1 test\n"),
    ] {
        let (dir, others) = (bundle(&[]), others(config));
        let whole = |text: &str| text.replace("OTHERS", &at(&others));
        let place =
            if directory.starts_with("OTHERS") { whole(directory) } else { format!("{}/{directory}", at(&dir)) };
        let config = whole("OTHERS/palisade.yaml");
        let more: Vec<String> = more.iter().map(|text| whole(text)).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let args = ["-p", &place, "--config", &config];
        let ran = palisade(&[&["validate"], &args[..], &more].concat());
        assert_eq!(ran.exit, Exit::Success, "{config} {more:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(expected), "{directory} {more:?}: {}{}", ran.out, ran.err);
        // who is in the other entities alone is denied by those of the bundle
        let ran = palisade(&[&check, &args[..], &more].concat());
        let reads_others = ran.exit == Exit::Success;
        assert_eq!(reads_others, expected.contains("2 entities") || expected.starts_with("these"), "{}", ran.err);
        assert_eq!(ran.err.contains("do not belong"), expected.starts_with("these"), "{}", ran.err);
    }
}

#[test]
fn a_denial_says_why() {
    let dir = bundle(&[
        ("policies/f.cedar", "@id(\"no\") forbid(principal == User::\"f\", action, resource);"),
        (
            "policies/e.cedar",
            "@id(\"fails\") forbid(principal == User::\"o\", action, resource) when { 9223372036854775807 + context.n > 0 };\n\
             @id(\"late\") permit(principal == User::\"l\", action, resource) when { 9223372036854775807 + context.n > 0 };",
        ),
        (
            "entities/more.json",
            r#"[{"uid":{"type":"User","id":"f"},"attrs":{"ok":true},"parents":[]},{"uid":{"type":"User","id":"o"},"attrs":{"ok":true},"parents":[]},{"uid":{"type":"User","id":"l"},"attrs":{"ok":false},"parents":[]}]"#,
        ),
    ]);
    let root = at(&dir);
    for (who, more, expected) in [
        ("a", &[][..], None),
        ("b", &[], Some("no policy permits it; `--explain`")),
        ("f", &[], Some("`no` forbids it")),
        ("z", &[], Some("`User::\"z\"` is not in the store")),
        ("o", &[], Some("the forbid `fails` cannot be evaluated")),
        ("l", &[], Some("no policy permits it, and one failed: `late`: ")),
        // a flag is about both rules, whatever the file says of one
        ("o", &["--set", "decision.forbid_errors=deny", "--semantics", "cedar"], None),
        ("o", &["--set", "decision.forbid_errors=cedar", "--semantics", "strict"], Some("the forbid `fails`")),
        ("z", &["--set", "decision.unknown_entities=cedar", "--semantics", "strict"], Some("`User::\"z\"` is not in")),
    ] {
        let who = format!("User::{who}");
        let args = ["check", "-p", &root, "--set", "validation=off", "-l", &who, "-a", "view", "-r", "Doc::d"];
        let ran = palisade(&[&args[..], &["-c", "{\"n\": 1}"], more].concat());
        match expected {
            None => assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, "ALLOW\n"), "{who}: {}", ran.err),
            Some(why) => {
                assert_eq!((ran.exit, ran.out.as_str()), (Exit::Deny, "DENY\n"), "{who}: {}", ran.err);
                assert!(ran.err.contains(&format!("denied because {why}")), "{who}: {}", ran.err);
            }
        }
    }
}

#[test]
fn a_context_is_an_object_or_the_name_of_a_file() {
    let dir = bundle(&[("ctx.json", "{\"n\": 1}")]);
    let root = at(&dir);
    let file = format!("{root}/ctx.json");
    for (context, exit, expected) in [
        ("{}".to_owned(), Exit::Success, ""),
        (file.clone(), Exit::Success, ""),
        ("[]".to_owned(), Exit::Undecided, "the context must be an object, not an array"),
        ("\"x\"".to_owned(), Exit::Undecided, "the context must be an object, not a string"),
        ("null".to_owned(), Exit::Undecided, "the context must be an object, not null"),
        (format!("@{file}"), Exit::Undecided, &format!("write it without `@`: `--context {file}`")),
        ("@/nope".to_owned(), Exit::Undecided, "`--context`: cannot read @/nope: "),
        (format!("{root}/ctx.jsn"), Exit::Undecided, "did you mean"),
        ("now=1".to_owned(), Exit::Undecided, "`--context` takes an object of JSON such as"),
    ] {
        let ran = palisade(&["check", "-p", &root, "-l", "User::a", "-a", "view", "-r", "Doc::d", "-c", &context]);
        assert_eq!(ran.exit, exit, "{context}: {}", ran.err);
        assert!(ran.err.contains(expected), "{context}: {}", ran.err);
    }
}
