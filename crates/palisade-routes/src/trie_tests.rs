//! Precedence, trailing slashes, and that finding is total.

use proptest::prelude::*;

use super::*;

fn trie(patterns: &[&str]) -> Trie {
    let mut trie = Trie::new(false, None);
    for (id, pattern) in patterns.iter().enumerate() {
        trie.insert(&Pattern::parse(pattern, "").unwrap(), false, id, &mut |other, _| {
            panic!("{pattern} clashes with {other}")
        });
    }
    trie
}

fn find(trie: &Trie, method: &str, target: &str) -> Option<RouteId> {
    let target = Target::parse(target.as_bytes()).unwrap();
    trie.find(&target).and_then(|leaf| leaf.routes(method).first().copied())
}

#[test]
fn the_most_particular_path_is_found() {
    let patterns = [
        "GET /",                     // 0
        "GET /devices/",             // 1
        "GET /devices/{id}",         // 2
        "POST /devices/move",        // 3
        "GET /devices/{n:int}",      // 4
        "GET /devices/{u:uuid}",     // 5
        "GET /devices/{id}/log",     // 6
        "GET /devices/latest/state", // 7
        "GET /files/{path*}",        // 8
        "GET /files/own/{path*}",    // 9
        "GET /t/{kind:A|B}/{id}",    // 10
        "GET /t/{kind}/{id}",        // 11
        "HEAD /devices/{id}/log",    // 12
        "GET /café",                 // 13
        "OPTIONS /devices/",         // 14
    ];
    let trie = trie(&patterns);
    for (request, expected) in [
        ("GET /", Some(0)),
        ("GET /devices/", Some(1)),
        ("HEAD /devices/", Some(1)),
        ("OPTIONS /devices/", Some(14)),
        ("OPTIONS /", None),
        ("get /devices/", None),
        ("GET /devices", None),
        ("GET /devices/x", Some(2)),
        ("GET /devices/x/", None),
        ("POST /devices/move", Some(3)),
        // not the device called `move`
        ("GET /devices/move", None),
        ("GET /devices/7", Some(4)),
        ("GET /devices/07", Some(2)),
        ("GET /devices/0123abcd-0123-4567-89ab-0123456789ab", Some(5)),
        ("GET /devices/7/log", Some(6)),
        ("HEAD /devices/7/log", Some(12)),
        // back from the literal that leads nowhere
        ("GET /devices/latest/log", Some(6)),
        ("GET /devices/latest/state", Some(7)),
        ("GET /files/a/b/c", Some(8)),
        ("GET /files/own/a", Some(9)),
        ("GET /files/own", Some(8)),
        ("GET /files", None),
        ("GET /files/a/", None),
        ("GET /t/A/1", Some(10)),
        ("GET /t/C/1", Some(11)),
        ("GET /%64evices/7", Some(4)),
        ("GET /caf%c3%a9", Some(13)),
        ("GET /Devices/7", None),
        ("GET /devices/7/log/x", None),
    ] {
        let (method, target) = request.split_once(' ').unwrap();
        assert_eq!(find(&trie, method, target), expected, "{request}");
    }
}

#[test]
fn a_literal_wins_in_every_form() {
    let open = |patterns: &[&str], any_slash: &[usize], folds: bool| {
        let mut trie = Trie::new(folds, None);
        for (id, pattern) in patterns.iter().enumerate() {
            let pattern = Pattern::parse(pattern, "").unwrap();
            trie.insert(&pattern, any_slash.contains(&id), id, &mut |other, _| {
                panic!("{pattern} clashes with {other}")
            });
        }
        trie
    };
    let device = ["POST /m/move", "POST /m/{id}", "POST /m/{id}/log", "POST /{rest*}"];
    for (any_slash, folds, request, expected) in [
        (&[][..], false, "POST /m/move", Some(0)),
        (&[1], false, "POST /m/move/", None),
        (&[0, 1], false, "POST /m/move/", Some(0)),
        (&[1], false, "POST /m/7/", Some(1)),
        (&[3], false, "POST /m/move/", None),
        (&[3], false, "POST /m/7/", None),
        (&[3], false, "POST /x/7/", Some(3)),
        (&[1], false, "POST /m/MOVE", Some(1)),
        (&[1], true, "POST /m/MOVE", Some(0)),
        (&[1], true, "POST /M/Move", Some(0)),
        (&[1], true, "POST /M/7", Some(1)),
        (&[1], true, "POST /M/Move/", None),
        (&[0, 1], true, "POST /M/Move/", Some(0)),
        // some fold more letters than others
        (&[1], true, "POST /m/mov%C3%89", Some(1)),
    ] {
        let trie = open(&device, any_slash, folds);
        let (method, target) = request.split_once(' ').unwrap();
        assert_eq!(find(&trie, method, target), expected, "{request} {any_slash:?} {folds}");
    }
    let trie = open(&["GET /List", "GET /{id}"], &[], true);
    assert_eq!((find(&trie, "GET", "/list"), find(&trie, "GET", "/List")), (Some(0), Some(0)));
    assert_eq!(find(&trie, "GET", "/l%C4%B1%C5%BFt"), None, "`ı` and `ſ` fold to `i` and `s`");
    assert_eq!(find(&trie, "GET", "/l%C4%B1%C5%BFtx"), Some(1));
}

#[test]
fn a_path_has_the_methods_of_both_its_forms() {
    let trie =
        trie(&["GET /a", "POST /b/", "DELETE /b", "POST /c/{id}", "POST /c/{id}/", "PUT /c/own", "GET /d/{rest*}"]);
    for (target, method, expected) in [
        ("/a", "GET", false),
        ("/a", "POST", true),
        ("/b/", "POST", true),
        ("/b", "DELETE", true),
        ("/c/7", "POST", false),
        ("/c/7/", "POST", false),
        ("/c/own", "POST", true),
        ("/d/e/f", "POST", true),
        ("/none", "POST", false),
    ] {
        let parsed = Target::parse(target.as_bytes()).unwrap();
        assert_eq!(trie.methods(&parsed).iter().any(|found| *found != method), expected, "{method} {target}");
    }
}

#[test]
fn a_suffix_makes_no_other_path() {
    let patterns = [
        "GET /r/secret",      // 0
        "GET /r/{name}",      // 1
        "GET /r/v1.2",        // 2
        "GET /r/{name}/log",  // 3
        "GET /r/secret/keys", // 4
        "GET /f/own",         // 5
        "GET /f/{path*}",     // 6
        "GET /o/{k:on|off}",  // 7
        "GET /o/{k}",         // 8
        "GET /n/{id:int}",    // 9
    ];
    let open = |folds: bool, suffixes: Option<Suffixes>| {
        let mut trie = Trie::new(folds, suffixes);
        for (id, pattern) in patterns.iter().enumerate() {
            trie.insert(&Pattern::parse(pattern, "").unwrap(), true, id, &mut |_, _| panic!("{pattern} clashes"));
        }
        trie
    };
    let (unknown, exact) = (open(false, None), open(false, Some(Suffixes::Exact)));
    let (format, folds) = (open(false, Some(Suffixes::Format)), open(true, None));
    for (path, expected) in [
        // not known, exact, format
        ("/r/secret", [Some(0), Some(0), Some(0)]),
        ("/r/x", [Some(1), Some(1), Some(1)]),
        ("/r/secret.json", [None, Some(1), Some(0)]),
        ("/r/secret.json/", [None, Some(1), Some(0)]),
        ("/r/secret.a.b", [None, Some(1), None]),
        ("/r/secret.", [None, Some(1), None]),
        ("/r/secret..", [None, Some(1), None]),
        ("/r/secret%20", [None, Some(1), None]),
        ("/r/%20secret", [None, Some(1), None]),
        // more blanks and dots than any name has letters
        (
            "/r/secret%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20%20.",
            [None, Some(1), None],
        ),
        ("/r/secret.%20.%20.%20.%20.%20.%20.%20.%20.%20.%20.%20.%20.%20.%20.", [None, Some(1), None]),
        (
            "/r/secret%E3%80%80%E3%80%80%E3%80%80%E3%80%80%E3%80%80%E3%80%80%E3%80%80%E3%80%80%E3%80%80.json",
            [None, Some(1), Some(0)],
        ),
        ("/r/%20secret%20.", [None, Some(1), None]),
        ("/r/secret%20x", [Some(1), Some(1), Some(1)]),
        ("/r/secret%20.json", [None, Some(1), Some(0)]),
        ("/r/secret;x", [None, Some(1), None]),
        ("/r/secret;x.json", [None, Some(1), None]),
        ("/r/secret%2ejson", [None, Some(1), Some(0)]),
        ("/r/secrets.json", [Some(1), Some(1), None]),
        ("/r/.json", [Some(1), Some(1), None]),
        ("/r/x.json", [Some(1), Some(1), None]),
        ("/r/v1.2", [Some(2), Some(2), Some(2)]),
        ("/r/v1.2.json", [None, Some(1), None]),
        ("/r/secret.json/keys", [None, None, None]),
        ("/r/secret.json/log", [Some(3), Some(3), Some(3)]),
        ("/r/x.y/log", [Some(3), Some(3), Some(3)]),
        ("/r/x/log.json", [None, None, Some(3)]),
        ("/f/own.txt", [None, Some(6), Some(5)]),
        ("/f/a/b", [Some(6), Some(6), Some(6)]),
        ("/f/a.b/c", [Some(6), Some(6), Some(6)]),
        ("/f/a/b.txt", [Some(6), Some(6), None]),
        ("/o/on.json", [None, Some(8), Some(7)]),
        ("/n/7.json", [None, None, None]),
    ] {
        let found = [&unknown, &exact, &format].map(|trie| find(trie, "GET", path));
        assert_eq!(found, expected, "{path}");
    }
    for path in ["/r/SECRET.json", "/r/%C5%BFecret.json", "/r/Secret%20"] {
        assert_eq!(find(&folds, "GET", path), None, "{path}");
    }
    assert!(unknown.bars(&Target::parse(b"/r/secret.json").unwrap()));
    assert!(!unknown.bars(&Target::parse(b"/x/secret.json").unwrap()));
    let long = format!("/r/{}", "a.".repeat(4_000));
    assert_eq!(find(&unknown, "GET", &long), Some(1));
}

#[test]
fn an_optional_slash_is_two_paths() {
    let mut trie = Trie::new(false, None);
    trie.insert(&Pattern::parse("GET /a/", "").unwrap(), true, 0, &mut |_, _| panic!());
    assert_eq!((find(&trie, "GET", "/a"), find(&trie, "GET", "/a/")), (Some(0), Some(0)));
    let mut clashes = Vec::new();
    trie.insert(&Pattern::parse("GET /a", "").unwrap(), false, 1, &mut |other, _| clashes.push(other));
    assert_eq!(clashes, [0]);
}

#[test]
fn routes_for_the_same_requests_clash() {
    for (a, b, expected) in [
        ("GET /a/{x}", "GET /a/{y}", true),
        ("GET /a/{x}", "POST /a/{y}", false),
        ("GET,PUT /a", "PUT,POST /a", true),
        ("GET /a/{x:int}", "GET /a/{x}", false),
        ("GET /a/{x}", "GET /a/b", false),
        ("GET /a/{x:b|c}", "GET /a/c", true),
        ("GET /a/{x*}", "GET /a/{y*}", true),
        ("GET /a/{x*}", "GET /a/{y}", false),
        ("GET /a/", "GET /a", false),
    ] {
        let mut trie = Trie::new(false, None);
        trie.insert(&Pattern::parse(a, "").unwrap(), false, 0, &mut |_, _| panic!());
        let mut clashed = false;
        trie.insert(&Pattern::parse(b, "").unwrap(), false, 1, &mut |_, _| clashed = true);
        assert_eq!(clashed, expected, "{a} and {b}");
    }
}

/// What a list of templates, tried one after the other, would say: the segments all fit.
fn fits(pattern: &Pattern, target: &Target<'_>) -> bool {
    let mut texts = target.segments.iter().map(|s| s.text.as_ref());
    if target.trailing_slash != pattern.trailing_slash {
        return false;
    }
    for part in &pattern.parts {
        let Some(text) = texts.next() else { return false };
        let fits = match part {
            Part::Literal(literal) => text == literal,
            Part::OneOf(_, words) => words.iter().any(|word| word == text),
            Part::Capture(_, form) => form.takes(text),
            Part::Rest(_) => return true,
        };
        if !fits {
            return false;
        }
    }
    texts.next().is_none()
}

proptest! {
    #[test]
    fn finds_exactly_what_a_list_of_templates_finds(
        patterns in prop::collection::vec("GET(/(a|b|\\{x\\}|\\{x:int\\}|\\{x:a\\|c\\})){1,2}(/\\{y\\*\\})?/?", 1..8),
        target in "(/(a|b|c|7|%61)){0,5}/?",
    ) {
        prop_assume!(target.starts_with('/'));
        let mut trie = Trie::new(false, None);
        // names of captures must differ inside one template
        let patterns: Vec<Pattern> = patterns.iter().filter_map(|text| Pattern::parse(&text.replace("GET/", "GET /"), "").ok()).collect();
        for (id, pattern) in patterns.iter().enumerate() {
            trie.insert(pattern, false, id, &mut |_, _| {});
        }
        let read = Target::parse(target.as_bytes()).unwrap();
        let found = trie.find(&read).map(|leaf| leaf.routes("GET").to_vec());
        let fitting: Vec<usize> = (0..patterns.len()).filter(|id| fits(&patterns[*id], &read)).collect();
        match found {
            // what is mapped but for the final slash bars the captures
            None => {
                let other = if target.len() > 1 && target.ends_with('/') { target[..target.len() - 1].to_owned() } else { format!("{target}/") };
                let other = Target::parse(other.as_bytes()).unwrap();
                let barred = patterns.iter().any(|pattern| fits(pattern, &other));
                prop_assert!(fitting.is_empty() || barred, "{} should find {:?}", target, fitting);
            }
            Some(routes) => prop_assert!(routes.iter().all(|id| fitting.contains(id)), "{}: {:?} {:?}", target, routes, fitting),
        }
    }
}
