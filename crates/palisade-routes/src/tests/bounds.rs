//! Texts of routes that are short, or are as long as a body may be, and stand for more than any service has.

use crate::compile;

#[test]
fn what_multiplies_is_bounded() {
    let list = |n: usize, what: &dyn Fn(usize) -> String| (0..n).map(what).collect::<Vec<_>>().join(",");
    let routes = |n: usize, what: &dyn Fn(usize) -> String| (0..n).map(what).collect::<String>();
    let public = |path: &str| format!("- {{match: 'GET {path}', public: true}}\n");
    let words = |n: usize| (0..n).map(|at| format!("/{{w{at}:a|b|c|d}}")).collect::<String>();
    let when = |n: usize| {
        format!("- {{match: GET /a, when: [{}], public: true}}\n", list(n, &|n| format!("query.q{n} present")))
    };
    let same = |n: usize| routes(n, &|n| format!("- {{match: GET /a, when: query.q is v{n}, public: true}}\n"));
    let hosts = |hosts: usize, n: usize| {
        format!(
            "hosts: [{}]\nroutes:\n{}",
            list(hosts, &|n| format!("h{n}.test")),
            routes(n, &|n| public(&format!("/p{n}")))
        )
    };
    let crossed = |n: usize| {
        let matches = list(n, &|n| format!("GET /m{n}"));
        format!("prefix: [{}]\nroutes:\n- {{match: [{matches}], public: true}}\n", list(n, &|n| format!("/p{n}")))
    };
    let defaults = |size: usize| {
        let also = format!("{{deny: {}, when: query.a present}}", "x".repeat(size));
        let route = |n: usize| format!("- {{match: GET /{n}, action: a, resource: 'D::{{query.d}}'}}\n");
        format!("defaults: {{also: [{also}]}}\nroutes:\n{}", routes(2_000, &route))
    };
    let long = |segments: usize| format!("routes:\n{}", public(&"/s".repeat(segments)));
    let of = |routes: String| format!("routes:\n{routes}");
    for (text, refused) in [
        (crossed(50), None),
        (crossed(300), Some("more than 50000 routes")),
        (of("- {}\n".repeat(50_001)), Some("more than 50000 routes")),
        (hosts(30, 10), None),
        (hosts(1_001, 1), Some("more than 1000 hosts")),
        (hosts(500, 500), Some("routes of all hosts together are more than 200000")),
        (defaults(10), None),
        (defaults(100_000), Some("more than 134217728 bytes")),
        (of(public(&words(4))), None),
        (of(public(&words(5))), Some("stand for 1024 paths, more than 1000")),
        (of(public(&words(40))), Some("more than 1000")),
        (long(128), None),
        (long(129), Some("129 segments")),
        (of(when(64)), None),
        (of(when(65)), Some("65 conditions, more than 64")),
        (of(same(256)), None),
        (of(same(257)), Some("mapped more than 256 times")),
        (format!("# {}\n{}", "x".repeat(32 << 20), of(public("/a"))), Some("more than 33554432 bytes")),
        (format!("{{\"x\": [{}]}}", vec!["1"; 2_000_001].join(",")), Some("more than 2000000 values")),
    ] {
        let found = compile(&[("routes.yaml".to_owned(), text.clone())], None);
        let told = found.err().map(|problems| problems[0].to_string());
        let start = &text[..text.len().min(60)];
        match refused {
            None => assert_eq!(told, None, "{start}"),
            Some(words) => assert!(told.as_ref().is_some_and(|told| told.contains(words)), "{start}: {told:?}"),
        }
    }
}

#[test]
fn findings_are_bounded_and_a_clash_is_reported_once() {
    let routes = |route: &str, n: usize| format!("routes:\n{}", route.repeat(n));
    for (text, listed, last) in [
        // each of these routes has two faults
        (routes("- {match: nonsense}\n", 5_000), 101, "9900 more findings"),
        (routes("- {match: GET /a, public: true}\n", 20), 19, "GET /a"),
        (routes("- {match: GET /a, public: true}\n", 3_000), 101, "2899 more findings"),
    ] {
        let problems = compile(&[("routes.yaml".to_owned(), text)], None).unwrap_err();
        assert_eq!(problems.len(), listed);
        assert!(problems[listed - 1].message.contains(last), "{}", problems[listed - 1]);
    }
}
