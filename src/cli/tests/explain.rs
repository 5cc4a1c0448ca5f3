//! What `explain` writes of decisions that a rule of the strict semantics made.

use super::serves::only;
use super::*;

#[test]
fn what_a_rule_denies_is_not_forbidden_by_a_permit() {
    let dir = only(&[
        (
            "policies/p.cedar",
            "@id(\"ok\") permit (principal, action, resource);\n@id(\"bad\") forbid (principal, action, resource) when { \
             principal.mail == \"x\" };\n",
        ),
        (
            "policies/s.cedarschema",
            "entity U { mail?: String };\nentity D;\naction x appliesTo { principal: U, resource: D };\n",
        ),
        (
            "entities/e.json",
            r#"[{"uid": {"type": "U", "id": "u"}, "attrs": {}, "parents": []}, {"uid": {"type": "D", "id": "d"}, "attrs": {}, "parents": []}]"#,
        ),
    ]);
    let place = dir.path().to_str().unwrap();
    let fails = ["forbids that could not be evaluated\n  forbid bad", "would be permitted by\n  permit ok"];
    for (who, flags, expected) in [
        ("U::u", &[][..], &fails[..]),
        ("U::unknown", &[], &["would be permitted by\n  permit ok"]),
        ("U::u", &["--semantics", "cedar"], &["permitted by\n  permit ok"]),
    ] {
        let asked = ["explain", "-p", place, "--set", "validation=warn", "-l", who, "-a", "x", "-r", "D::d"];
        let ran = palisade(&[&asked[..], flags].concat());
        for text in expected {
            assert!(ran.out.contains(text), "{who} {flags:?}: no `{text}`\n{}{}", ran.out, ran.err);
        }
        assert!(!ran.out.contains("forbidden by"), "{who}: {}", ran.out);
    }
}

/// Says whether a text is well-formed as XML: every element is closed, in order, and no sign stands alone.
fn well_formed(text: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&', '\u{1}']) {
        if !rest[at..].starts_with('<') {
            let name = rest[at..].split(';').next().unwrap_or_default();
            if !["&amp", "&lt", "&gt", "&quot", "&#39"].contains(&name) {
                return Err(format!("a sign stands alone: {}", &rest[at..][..name.len().min(20)]));
            }
            rest = &rest[at + 1..];
            continue;
        }
        let end = rest[at..].find('>').ok_or("a tag without an end")? + at;
        let tag = &rest[at + 1..end];
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return Err(format!("`{name}` is closed and not open"));
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{open:?} are not closed")) }
}

#[test]
fn a_picture_is_whole_whatever_names_hold() {
    let schema = "entity G; entity U in [G] = { ok: Bool, note: String }; entity D in [D];
        action view appliesTo { principal: U, resource: D };";
    let policies = "@id(\"<p>\") @why(\"a & b\") permit (principal in G::\"a<b>&'c\", action, resource in D::\"top\")
        when { principal.ok && (principal.note like \"<*\" || principal.note == \"]]>\") };
        @id(\"no\") forbid (principal, action, resource) when { !principal.ok && 1 + 9223372036854775807 > 0 };";
    let entities = r#"[{"uid": {"type": "G", "id": "a<b>&'c"}, "attrs": {}, "parents": []},
        {"uid": {"type": "U", "id": "in"}, "attrs": {"ok": true, "note": "<x"}, "parents": [{"type": "G", "id": "a<b>&'c"}]},
        {"uid": {"type": "U", "id": "<script>alert(1)</script>"}, "attrs": {"ok": true, "note": "<\u0001"}, "parents": []},
        {"uid": {"type": "U", "id": "off"}, "attrs": {"ok": false, "note": ""}, "parents": []},
        {"uid": {"type": "D", "id": "top"}, "attrs": {}, "parents": []},
        {"uid": {"type": "D", "id": "0123456789012345678901234567890123456789"}, "attrs": {}, "parents": [{"type": "D", "id": "top"}]},
        {"uid": {"type": "D", "id": "below"}, "attrs": {}, "parents": [{"type": "D", "id": "0123456789012345678901234567890123456789"}]}]"#;
    let dir =
        only(&[("policies/p.cedar", policies), ("policies/s.cedarschema", schema), ("entities/e.json", entities)]);
    let place = dir.path().to_str().unwrap();
    let ask = |who: &str, flags: &[&str]| {
        let asked = ["explain", "-p", place, "-l", who, "-a", "view", "-r", "D::below", "--format", "svg"];
        palisade(&[&asked[..], flags].concat())
    };
    for (who, exit, said) in [
        (
            "U::in",
            Exit::Success,
            &[">ALLOW: a permit holds, and no forbid<", ">✓<", "permit &lt;p&gt;", ">a &amp; b<"][..],
        ),
        (
            "U::<script>alert(1)</script>",
            Exit::Deny,
            &[
                ">DENY: no policy permits it<",
                ">✗<",
                ">does not hold<",
                ">not in<",
                "it would be allowed if you",
                "class=\"target\"",
            ],
        ),
        ("U::off", Exit::Deny, &[">DENY: a rule of the strict semantics denies it<", ">!<", ">fails<"]),
        ("U::nobody", Exit::Deny, &[">DENY: "]),
    ] {
        for flags in [&[][..], &["--all"]] {
            let ran = ask(who, flags);
            assert_eq!(ran.exit, exit, "{who}: {}", ran.err);
            assert_eq!(well_formed(&ran.out), Ok(()), "{who}: {}", ran.out);
            for text in said.iter().chain(&["role=\"img\"", "<title id=\"title\">", "prefers-color-scheme:dark"]) {
                assert!(ran.out.contains(text), "{who}: no {text}\n{}", ran.out);
            }
            // nothing stands outside of the picture
            for at in ran.out.split(" x=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse::<usize>().ok()) {
                assert!(at < 960, "{who}: {at}");
            }
        }
    }
    // the way up is drawn step by step, and whole names can be read
    let out = ask("U::in", &[]).out;
    assert!(out.contains("<title>D::&quot;0123456789012345678901234567890123456789&quot;</title>"), "{out}");
    assert!(out.matches("class=\"way\"").count() >= 3, "{out}");
}

#[test]
fn a_forbid_that_does_not_hold_hides_no_permit() {
    let schema = "entity Group; entity Staff in [Group]; entity Guest in [Group]; entity Doc in [Group];
        action edit, read appliesTo { principal: [Staff, Guest], resource: Doc };";
    let edit = "@id(\"staff-edit\") permit (principal is Staff, action == Action::\"edit\", resource);\n";
    let forbid = "@id(\"f\") forbid (principal, action, resource) when { resource == Doc::\"zzz\" };\n";
    let entity =
        |ty: &str, id: &str| format!(r#"{{"uid": {{"type": "{ty}", "id": "{id}"}}, "attrs": {{}}, "parents": []}}"#);
    let entities = format!("[{},{},{}]", entity("Guest", "g"), entity("Staff", "ann"), entity("Doc", "d"));
    let test = "tests:\n  - {name: one, principal: 'Guest::g', action: edit, resource: 'Doc::d', expect: allow}\n";
    // only the action is another, and only the action and the type are
    let other = "@id(\"guest-read\") permit (principal is Guest, action == Action::\"read\", resource);\n";
    let both = "@id(\"staff-read\") permit (principal is Staff, action == Action::\"read\", resource);\n";
    let near = "permit staff-edit";
    let none = "no permit comes near";
    for (policies, shown, hidden) in [
        (edit.to_owned(), &[near][..], &[none][..]),
        (other.to_owned(), &["permit guest-read", "1 of 3 parts does not hold"], &[none]),
        (format!("{other}{edit}"), &["permit guest-read"], &[none]),
        (both.to_owned(), &["permit staff-read", "2 of 3 parts do not hold"], &[]),
        (format!("{both}{edit}"), &[near], &[none]),
        (
            format!("{other}@id(\"d\") permit (principal, action, resource) when {{ resource == Doc::\"x\" }};\n"),
            &["permit d"],
            &[none],
        ),
        (format!("{edit}{forbid}"), &[near], &[none, "nearest policy\n    forbid f"]),
        (forbid.to_owned(), &["there is no permit"], &["nearest policy\n    forbid f"]),
    ] {
        let dir = only(&[
            ("policies/p.cedar", &policies),
            ("policies/s.cedarschema", schema),
            ("entities/e.json", &entities),
            ("policies/tests/t.yaml", test),
        ]);
        let place = dir.path().to_str().unwrap();
        for asked in [
            &["explain", "-p", place, "-l", "Guest::g", "-a", "edit", "-r", "Doc::d"][..],
            &["explain", "-p", place, "-l", "Guest::g", "-a", "edit", "-r", "Doc::d", "--all"],
            &["test", "-p", place],
        ] {
            let ran = palisade(asked);
            // `--all` shows what says nothing as well
            let all = asked.contains(&"--all");
            for text in shown.iter().filter(|_| !all || policies.contains("permit")) {
                assert!(ran.out.contains(text), "{policies}{asked:?}: no `{text}`\n{}{}", ran.out, ran.err);
            }
            for text in hidden {
                assert!(!ran.out.contains(text), "{policies}{asked:?}: `{text}`\n{}", ran.out);
            }
        }
    }
}
