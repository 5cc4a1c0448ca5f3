//! What policies may cost, and that they stay exact when they are taken apart.

use std::cell::Cell;
use std::sync::Arc;

use super::support::{Both, bundle, lenient};
use crate::model::{AccessRequest, Bundle, Diagnostic, Link, PolicyNaming, PolicyText, Revision, Uid};
use crate::{EngineSettings, Limits, Observers, Semantics, Snapshot, Undecided, check, on_big_stack};

const REVISION: Revision = Revision { incarnation: 1, counter: 1 };

fn build(bundle: Bundle, limits: Limits) -> Result<(Snapshot, Vec<Diagnostic>), Vec<Diagnostic>> {
    let settings = EngineSettings { limits, ..EngineSettings::default() };
    on_big_stack(move || Snapshot::build(Arc::new(bundle), &settings, REVISION)).unwrap()
}

/// One action for every pair of `p` principal and `r` resource types.
fn pairs(p: usize, r: usize) -> String {
    let names = |letter: &str, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect::<Vec<_>>().join(", ");
    let (p, r) = (names("P", p), names("R", r));
    format!("entity {p}; entity {r}; action a, b appliesTo {{ principal: [{p}], resource: [{r}], context: {{}} }};")
}

#[test]
fn what_validation_costs_is_counted_before_it_is_done() {
    let schema = pairs(60, 60);
    let plain = "permit (principal, action, resource) when { 1 == 1 && 2 == 2 };";
    let scoped = r#"permit (principal == P1::"x", action, resource is R1) when { 1 == 1 && 2 == 2 };"#;
    let deep = format!("permit (principal, action, resource) when {{ {} }};", vec!["1 == 1"; 200].join(" && "));
    let listed = r#"permit (principal, action in [Action::"a"], resource);"#;
    for (text, fine) in [
        (scoped.repeat(20), true),
        (listed.to_owned(), true),
        (plain.repeat(100), false),
        (format!("{scoped}{deep}"), false),
        // thousands of names that are alike
        (
            format!("permit (principal, action, resource) when {{ [{}] == [] }};", vec!["X::\"\""; 20_000].join(",")),
            false,
        ),
    ] {
        let limits = Limits { max_validation_steps: 2_000_000, ..Limits::default() };
        let verdict = on_big_stack(|| {
            check(&Arc::new(bundle(&text, Some(&schema), "[]")), &limits, Semantics::Strict, &|| false)
        })
        .unwrap();
        assert_eq!(verdict.valid, fine, "{}: {:?}", &text[..50], verdict.errors);
        if !fine {
            let error = &verdict.errors[0];
            assert!(error.message.contains("steps, more than 2000000"), "{error}");
            assert!(error.policy_id.is_some() && error.help.as_ref().unwrap().contains("limits.max_validation_steps"));
        }
    }
}

#[test]
fn links_cost_no_more_than_their_kinds() {
    let mut given = bundle("@id(\"t\") permit (principal in ?principal, action, resource);", Some(&pairs(5, 5)), "[]");
    given.links = (0..5_000)
        .map(|i| Link {
            template_id: "t".to_owned(),
            link_id: format!("l{i}"),
            args: vec![("?principal".to_owned(), format!("P{}::\"{i}\"", i % 3))],
            written: None,
        })
        .collect();
    let limits = Limits { max_validation_steps: 20_000, ..Limits::default() };
    assert_eq!(build(given.clone(), limits.clone()).unwrap().0.policy_count(), 5_000);
    // one of another kind is still looked at
    given.links[4_000].args[0].1 = "Nowhere::\"x\"".to_owned();
    let errors = build(given, limits).unwrap_err();
    assert!(errors[0].policy_id.as_deref() == Some("l4000") && errors[0].message.contains("Nowhere"), "{errors:?}");
}

#[test]
fn findings_are_bounded() {
    let schema = pairs(300, 2);
    let text = "permit (principal, action, resource) when { principal.nope == resource.nope };";
    let errors = build(bundle(&text.repeat(3), Some(&schema), "[]"), Limits::default()).unwrap_err();
    assert!((100..=101).contains(&errors.len()), "{}", errors.len());
    assert!(errors.last().unwrap().message.contains("more findings"), "{errors:?}");
    let errors = build(bundle(&";".repeat(5_000), None, "[]"), Limits::default()).unwrap_err();
    assert!((100..=102).contains(&errors.len()), "{}", errors.len());
}

#[test]
fn a_build_that_no_one_waits_for_is_given_up() {
    let schema = pairs(50, 50);
    let given = Arc::new(bundle(&"permit (principal, action, resource);".repeat(5), Some(&schema), "[]"));
    for after in [0, 3, 9, 20] {
        let given = given.clone();
        let errors = on_big_stack(move || {
            let asked = Cell::new(0);
            let stop = || asked.replace(asked.get() + 1) >= after;
            Snapshot::build_unless(given, &EngineSettings::default(), REVISION, &Observers::default(), &stop)
                .map(drop)
                .unwrap_err()
        })
        .unwrap();
        assert!(
            errors.len() == 1 && errors[0].passing && errors[0].message.contains("abandoned"),
            "{after}: {errors:?}"
        );
    }
}

/// Two uids of a megabyte, that policies miss in turn: each is written once, not once for each policy.
#[test]
fn long_uids_are_written_once_however_many_policies_miss_them() {
    let pair = "permit (principal, action, resource) when { principal.n == 1 };\
                permit (principal, action, resource) when { resource.n == 1 };";
    let both = Both::plain(&pair.repeat(1_000), "[]");
    let id = "\u{ad}".repeat(250_000);
    let uid = |ty: &'static str| Uid { type_name: ty.into(), id: id.clone().into() };
    let request = AccessRequest::new(uid("U"), Uid::parse("Action::\"x\"").unwrap(), uid("R"));
    let decided = both.compiled.decide(&request, 0).unwrap();
    assert_eq!(decided.errors.len(), 2_000);
    // policies that miss the same entity share one message
    let shared = |a: usize, b: usize| Arc::ptr_eq(&decided.errors[a].message, &decided.errors[b].message);
    let of = |text: &str| (0..2_000).filter(|i| decided.errors[*i].message.starts_with(text)).collect::<Vec<_>>();
    for list in [of("entity `U::"), of("entity `R::")] {
        assert_eq!(list.len(), 1_000);
        assert!(list.windows(2).all(|pair| shared(pair[0], pair[1])));
    }
}

#[test]
fn a_decision_that_no_one_waits_for_is_given_up_between_policies() {
    let forbid = "forbid (principal, action, resource) when { principal.n + 9223372036854775807 > 0 };";
    let both =
        Both::plain(&forbid.repeat(20), r#"[{"uid": {"type": "U", "id": "a"}, "attrs": {"n": 1}, "parents": []}]"#);
    let uid = |text| Uid::parse(text).unwrap();
    let request = AccessRequest::new(uid("U::\"a\""), uid("Action::\"x\""), uid("R::\"r\""));
    for snapshot in [&both.compiled, &both.reference] {
        let whole = snapshot.decide(&request, 0).unwrap();
        assert_eq!(whole.errors.len(), 20);
        assert_eq!(snapshot.decide_while(&request, 0, &|| true), Ok(whole));
    }
    let asked = Cell::new(0);
    let twice = || asked.replace(asked.get() + 1) < 2;
    assert_eq!(both.compiled.decide_while(&request, 0, &twice), Err(Undecided::GivenUp));
    assert_eq!(asked.get(), 3);
}

#[test]
fn texts_are_bounded_before_they_are_parsed() {
    let text = "permit (principal, action, resource) when { 1 == 1 };".repeat(10);
    let each = Bundle {
        policies: (0..10)
            .map(|i| PolicyText {
                origin: i.to_string(),
                text: text[..53].to_owned(),
                naming: PolicyNaming::Exactly(i.to_string()),
            })
            .collect(),
        ..bundle("", None, "[]")
    };
    for (given, limits, key) in [
        (
            bundle(&text, None, "[]"),
            Limits { max_policies_bytes: 100, ..Limits::default() },
            "limits.max_policies_bytes",
        ),
        (bundle(&text, None, "[]"), Limits { max_policies: 9, ..Limits::default() }, "limits.max_policies"),
        (each, Limits { max_policies: 9, ..Limits::default() }, "limits.max_policies"),
        (bundle(&text, None, "[]"), Limits { max_policy_tokens: 10, ..Limits::default() }, "limits.max_policy_tokens"),
    ] {
        let settings = EngineSettings { limits, ..lenient(Semantics::Cedar) };
        let errors = on_big_stack(move || Snapshot::build(Arc::new(given), &settings, REVISION)).unwrap().unwrap_err();
        assert!(errors[0].help.as_ref().unwrap().contains(key), "{key}: {errors:?}");
    }
}

#[test]
fn policies_are_what_cedar_finds_in_the_whole_text() {
    let one = "permit (principal, action, resource)";
    let many = format!("{one};\n").repeat(3_000);
    for text in [
        format!("// first; \n@id(\"a;b\") {one} // ; \" \n when {{ \"x;//\" like \"*;\\\"*\" }} ; // end;"),
        format!("{one};{one} unless {{ true }};\u{a0}\r// forbid (principal, action, resource);\r{one};"),
        format!("@why(\"a\nb;\")\n{one};@id(\"t\") permit (principal == ?principal, action, resource);"),
        many,
    ] {
        let whole: cedar_policy::PolicySet = text.parse().unwrap();
        let core: &cedar_policy_core::ast::PolicySet = whole.as_ref();
        let mut expected: Vec<(String, &str)> = core
            .all_templates()
            .map(|template| {
                let span = template.loc().unwrap().span;
                (template.id().to_string(), &text[span.offset()..span.offset() + span.len()])
            })
            .collect();
        expected.sort_unstable();
        let settings = lenient(Semantics::Cedar);
        let given = Arc::new(bundle(&text, None, "[]"));
        let (snapshot, _) = on_big_stack(move || Snapshot::build(given, &settings, REVISION)).unwrap().unwrap();
        let found: Vec<(String, &str)> =
            snapshot.policy_texts().into_iter().map(|(id, text)| (id.to_owned(), text)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn problems_are_reported_where_they_stand_in_the_whole_text() {
    let fine = "permit (principal, action, resource);\n".repeat(400);
    for (text, line, column) in [
        (format!("{fine}permit (principal, action resource);"), 401, 27),
        (format!("{fine}  permit (principal, action, resource) when {{ resource.nope }};\n{fine}"), 401, 47),
        (format!("{fine}permit (principal, action, resource)"), 401, 37),
        (format!("{fine}permit (principal, action, resource) when {{ \"a }};\n"), 401, 45),
        (format!("{fine}@id(\"é\") /* */ permit (principal, action, resource);"), 401, 10),
    ] {
        let errors = build(bundle(&text, Some(&pairs(1, 1)), "[]"), Limits::default()).unwrap_err();
        assert_eq!((errors[0].line, errors[0].column), (Some(line), Some(column)), "{}", errors[0]);
        assert!(errors[0].excerpt.is_some());
    }
}
