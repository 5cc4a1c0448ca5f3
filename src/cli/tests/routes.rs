//! `palisade routes`, and the page about it.

use super::*;

#[test]
fn the_page_about_routes_is_true() {
    let page = fs::read_to_string(format!("{}/docs/routes.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 4);
    for (at, example) in examples.into_iter().enumerate() {
        let file = dir.path().join(format!("{at}.yaml"));
        fs::write(&file, example).unwrap();
        let ran = palisade(&["routes", "lint", "--deny-warnings", "--routes", file.to_str().unwrap()]);
        assert_eq!(ran.exit, Exit::Success, "{example}\n{}{}", ran.out, ran.err);
    }
    let denied = palisade(&["routes", "list", "--denied", "--format", "json"]);
    let denied: serde_json::Value = serde_json::from_str(&denied.out).unwrap();
    assert!(denied.as_array().unwrap().len() > 20);
    for route in denied.as_array().unwrap() {
        let (pattern, becomes) = (route["match"].as_str().unwrap(), route["becomes"].as_str().unwrap());
        let reason = becomes.strip_prefix("deny: ").unwrap();
        let told = page.lines().any(|line| line.contains(&pattern.replace(" /tok/", " /")) && line.contains(reason));
        assert!(told, "docs/routes.md does not list `{pattern}`: {reason}");
    }
}

#[test]
fn what_a_route_takes_of_the_connection_can_be_explained_and_tested() {
    let routes = "routes:\n  - match: GET /mine\n    action: view\n    resource: Doc::{peer.ip}\n  - match: GET /named\n    action: view\n    resource: Doc::{peer.name}\n";
    let tests = "defaults: {principal: 'User::a', peer: {name: svc}}\ntests:\n  - {request: GET /mine, peer: {ip: 10.0.0.7}, expect: 'view Doc::10.0.0.7'}\n  - {request: GET /named, expect: view Doc::svc}\n  - {request: GET /mine, expect: refuse missing_value}\n";
    let dir = bundle(&[("routes/r.yaml", routes), ("routes/tests/t.yaml", tests)]);
    let root = at(&dir);
    let ran = palisade(&["routes", "test", "-p", &root]);
    assert!(ran.exit == Exit::Success && ran.out.ends_with("3 passed, 0 failed\n"), "{}{}", ran.out, ran.err);
    for (words, shown) in [
        (&["GET /mine", "--peer-ip", "10.0.0.7"][..], "check    view Doc::10.0.0.7"),
        (&["GET /named", "--peer-name", "svc"], "check    view Doc::svc"),
        (&["GET /mine"], "missing_value"),
    ] {
        let ran = palisade(&[&["routes", "explain", "-p", &root], words].concat());
        assert!(ran.out.contains(shown), "{words:?}: {}", ran.out);
    }
}

#[test]
fn what_is_wrong_with_tests_of_routes_is_said_with_its_line() {
    let good = "defaults: {principal: 'User::a'}\ntests:\n  - {request: GET /docs/d, expect: view Doc::d}\n";
    let routes = "routes:\n  - match: GET /docs/{id}\n    action: view\n    resource: Doc::{path.id}\n";
    for (name, text, exit, said) in [
        (
            "u.yaml",
            "tests:\n  - {request: GET /a, expect: {a: b}}\n",
            Exit::TestsFailed,
            "u.yaml:2: GET /a\n  `expect` is",
        ),
        (
            "u.yaml",
            "tests:\n  - {request: GET /a, expekt: public}\n",
            Exit::TestsFailed,
            "u.yaml:2: GET /a\n  unknown key",
        ),
        ("u.yaml", "tests:\n", Exit::TestsFailed, "u.yaml: (file)\n  there is no test in this file"),
        ("u.yaml", "testz: []\n", Exit::TestsFailed, "u.yaml:1: (file)\n  unknown key `testz`"),
        (
            "u.json",
            "{\"tests\": [{\"request\": \"GET /a\", \"expect\": \"public\"}]}",
            Exit::TestsFailed,
            "expected public",
        ),
        ("deep/u.yaml", "tests: [{request: GET /a, expect: public}]", Exit::TestsFailed, "expected public"),
        ("u.YAML", "", Exit::Success, "rename it to `u.yaml`"),
    ] {
        let file = format!("routes/tests/{name}");
        let dir = bundle(&[("routes/r.yaml", routes), ("routes/tests/t.yaml", good), (&file, text)]);
        let ran = palisade(&["routes", "test", "-p", &at(&dir)]);
        assert_eq!(ran.exit, exit, "{name} {text}: {}{}", ran.out, ran.err);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{name} {text}: {}{}", ran.out, ran.err);
    }
    let dir = bundle(&[("routes/r.yaml", routes)]);
    let ran = palisade(&["routes", "test", "-p", &at(&dir), "--tests", "/nowhere"]);
    assert!(ran.exit == Exit::Failure && ran.err.contains("no such file"), "{}", ran.err);
    // routes of which none could be read
    let dir = bundle(&[("routes/r.yaml", "routes: [")]);
    let ran = palisade(&["routes", "lint", "-p", &at(&dir)]);
    assert!(ran.out.ends_with("\nnot usable, with 1 error\n"), "{}", ran.out);
}

#[test]
fn the_shipped_routes_pass_their_tests() {
    let ran = palisade(&["routes", "test"]);
    assert_eq!(ran.exit, Exit::Success, "{}{}", ran.out, ran.err);
}

#[test]
fn routes_are_explained_linted_and_tested() {
    let routes = "routes:\n  - match: GET /docs/{id}\n    action: view\n    resource: Doc::{path.id}\n";
    let test = |expect: &str| {
        format!("defaults: {{principal: 'User::a'}}\ntests:\n  - {{request: GET /docs/d, expect: '{expect}'}}\n")
    };
    let dir =
        bundle(&[("routes/r.yaml", routes), ("routes/tests/t.yaml", &test("view Doc::d")), ("nginx.conf", "http {}")]);
    let root = at(&dir);
    let verb = |words: &[&str]| palisade(&[&["routes"], words, &["-p", &root]].concat());
    let ran = verb(&["explain", "GET /docs/7"]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert!(ran.out.contains("check    view Doc::7") && ran.out.contains("r.yaml:2"), "{}", ran.out);
    // with a principal, the decision too
    for (words, exit, out) in [
        (&["GET /docs/d"][..], Exit::Success, "answer   name a principal"),
        (&["GET /docs/d", "-l", "User::a"], Exit::Success, "answer   ALLOW, determined by ok\n"),
        (&["GET /docs/d", "-l", r#"User::"b""#], Exit::Deny, "answer   DENY: no policy determined this\n"),
        (&["GET /docs/d", "-l", "User::z"], Exit::Deny, "answer   DENY: `User::\"z\"` is not in the store"),
        (&["GET /docs/d", "-l", "Doc::d"], Exit::Undecided, "answer   none: "),
        (&["GET /docs/d", "-l", "User::a", "--format", "json"], Exit::Success, "\"decision\": \"Allow\""),
        (&["GET /docs/d", "--format", "json"], Exit::Success, "\"answers\": null"),
        (&["GET /docs/d", "-l", "a"], Exit::Usage, ""),
    ] {
        let ran = verb(&[&["explain"], words].concat());
        assert_eq!(ran.exit, exit, "{words:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(out), "{words:?}: {}", ran.out);
    }
    let ran = verb(&["explain", "GET /docs/%2e%2e", "--format", "json"]);
    assert_eq!(ran.exit, Exit::Deny);
    assert!(ran.out.contains("\"ambiguous_path\""), "{}", ran.out);
    assert_eq!(verb(&["explain", "GET"]).exit, Exit::Usage);
    // a principal is taken for the one type of that name that the routes know
    let named = palisade(&["routes", "explain", "GET /dongle/devices/d-dk/", "-l", "User::\"u-dk-fda-dm\""]);
    assert_eq!(named.exit, Exit::Success, "{}{}", named.out, named.err);
    // of what the route does, only what concerns the request, in lines that can be read
    let (of_route, why) = named.out.split_once("  permitted by\n").unwrap();
    assert!(why.contains("permit autopi.") && why.contains("when "), "an allow says why too: {why}");
    let long: Vec<&str> = of_route.lines().filter(|line| line.chars().count() > 120).collect();
    assert!(long.is_empty() && !named.out.contains("query.customer"), "{long:#?}");
    assert!(named.out.contains("more rules do not apply to this request)"), "{}", named.out);
    let asked = palisade(&["routes", "explain", "GET /dongle/devices/d-dk/?customer_id=1"]);
    assert!(asked.out.contains("if query.customer_id given") && !asked.out.contains("customer_pk"), "{}", asked.out);
    assert!(verb(&["list"]).out.starts_with("GET /docs/{id}  view Doc::{path.id}"));
    assert_eq!(verb(&["test"]).exit, Exit::Success);
    fs::write(dir.path().join("routes/tests/t.yaml"), test("edit Doc::d")).unwrap();
    let ran = verb(&["test"]);
    assert_eq!(ran.exit, Exit::TestsFailed);
    assert!(ran.out.contains("expected edit Doc::d\n  got      view Doc::d"), "{}", ran.out);
    // entities that cannot be read are reported, not treated as missing
    fs::create_dir_all(dir.path().join("entities")).unwrap();
    let entities = dir.path().join("entities/broken.ndjson");
    fs::write(&entities, "{\"uid\": {\"type\": \"Doc\", \"id\": \"d\"}}\n{nonsense\n").unwrap();
    for words in [&["explain", "GET /docs/7"][..], &["test"]] {
        let ran = verb(words);
        assert_eq!(ran.exit, Exit::Invalid, "{words:?}");
        assert!(ran.err.contains("broken.ndjson:2") && ran.err.contains("not JSON"), "{}", ran.err);
    }
    fs::remove_file(&entities).unwrap();
    let conf = format!("{root}/nginx.conf");
    let ran = verb(&["lint", "--nginx", &conf]);
    assert_eq!(ran.exit, Exit::Success);
    assert!(ran.out.contains("nothing asks the sidecar"), "{}", ran.out);
    assert!(ran.out.ends_with("usable, with 1 warning: 1 route, 1 gateway\n"), "{}", ran.out);
    fs::create_dir(dir.path().join("sites")).unwrap();
    fs::write(dir.path().join("sites/a.conf"), "server { location / { auth_request /a; proxy_pass http://b/; } }")
        .unwrap();
    fs::write(&conf, "http { include sites/*.conf; }").unwrap();
    let ran = verb(&["lint", "--nginx", &conf]);
    assert!(ran.out.contains("sites/a.conf:1:") && ran.out.contains("is `/a`"), "{}", ran.out);
    fs::write(&conf, "http {").unwrap();
    let ran = verb(&["lint", "--nginx", &conf, "--nginx", &conf]);
    assert_eq!(ran.exit, Exit::Invalid);
    assert!(ran.out.ends_with("not usable, with 2 errors: 1 route, 2 gateways\n"), "{}", ran.out);
    fs::write(&conf, "http {}").unwrap();
    assert_eq!(verb(&["lint", "--nginx", &conf, "--deny-warnings"]).exit, Exit::Invalid);
    fs::write(dir.path().join("routes/r.yaml"), routes.replace("view", "vieww")).unwrap();
    for words in [&["lint"][..], &["list"], &["explain", "GET /"], &["test"]] {
        let ran = verb(words);
        assert_eq!(ran.exit, Exit::Invalid, "{words:?}");
        assert!((ran.out + &ran.err).contains("routes/r.yaml:3"), "{words:?}");
    }
}
