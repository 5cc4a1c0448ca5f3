//! Operations of documents keep their requests from every wider or crossing route, whichever file it is from.

use super::*;

const HEAD: &str = "openapi: 3.1.0\nx-palisade: {hosts: \"*\"}\n";

/// A document with these operations of `GET` or, with a word before the path, of another method. With `more` members.
fn document(operations: &[(&str, &str)]) -> String {
    let mut text = format!("{HEAD}paths:\n");
    for (path, more) in operations {
        let (method, path) = path.split_once(' ').unwrap_or(("get", path));
        let names = path.split('{').skip(1).filter_map(|piece| piece.split_once('}')).map(|(name, _)| {
            let name = name.trim_end_matches('*');
            format!("{{name: {name}, in: path, required: true, schema: {{type: string}}}}")
        });
        let names = names.collect::<Vec<_>>().join(", ");
        text.push_str(&format!("  {path}:\n    {method}: {{parameters: [{names}]{more}}}\n"));
    }
    text
}

/// A file of routes with a public route for each match.
fn by_hand(matches: &[&str]) -> String {
    let routes = matches.iter().map(|text| format!("  - match: {text}\n    public: true\n"));
    format!("routes:\n{}", routes.collect::<String>())
}

fn build(files: &[String]) -> RouteTable {
    let named = files.iter().enumerate().map(|(at, text)| (format!("{at}.yaml"), text.clone()));
    let table = compile(&named.collect::<Vec<_>>(), None);
    table.unwrap_or_else(|errors| panic!("{errors:?}\n{}", files.join("\n"))).0
}

const OURS: &str = ", x-palisade: {public: true}";

const DENIED: &str = ", x-palisade: {deny: no}";
const AT_A: &str = ", servers: [{url: 'https://a.test'}]";
const AT_B: &str = ", servers: [{url: 'https://b.test'}]";
const AT_A_OURS: &str = ", servers: [{url: 'https://a.test'}], x-palisade: {public: true}";
const AT_V2: &str = ", servers: [{url: /v2}]";
const ANY_SLASH: &str = ", x-palisade: {public: true, allow_paths: [trailing_slash]}";
const ANY_EMPTY: &str = ", x-palisade: {public: true, allow_paths: [empty_segment]}";

#[test]
fn what_is_not_mapped_is_kept_from_wider_and_crossing_routes() {
    for (unmapped, more, wider, of_wider, refused, passed) in [
        ("/f/{n}.json", "", "/f/{rest*}", OURS, &["/f/x.json", "/f/X.JSON", "/f/x.json/"][..], &["/f/x"][..]),
        ("/f/{n}.json", DENIED, "/f/{rest*}", OURS, &["/f/x.json"], &["/f/x", "/f/a/x.json"]),
        ("/f/{n}.json", OURS, "/{rest*}", OURS, &["/f/x.json", "/F/x.json"], &["/f/x", "/g/x.json"]),
        ("/r/{r}/c/{a}...{b}", "", "/r/{rest*}", OURS, &["/r/r/c/a...b", "/r/r/c/a...b.c"], &["/r/r/c/a..b"]),
        ("/d/{x}/secret", "", "/d/b/{rest*}", OURS, &["/d/b/secret", "/d/b/secret.json"], &["/d/b/x/secret"]),
        ("/d/{x}/secret", "", "/d/b/{y}", OURS, &["/d/b/secret"], &["/d/b/x", "/d/b/secrets"]),
        ("/d/{x}/secret", DENIED, "/d/b/{y}", OURS, &["/d/b/secret"], &["/d/b/x"]),
        ("/d/{x}/secret", DENIED, "/d/b/{rest*}", OURS, &["/d/b/secret"], &["/d/b/x"]),
        ("/p/{n}.json/", "", "/p/{id}", ANY_SLASH, &["/p/x.json/", "/p/x.json"], &["/p/x/", "/p/x"]),
        ("/x/{n}:wipe", AT_V2, "/v2/x/{id}", OURS, &["/v2/x/7:wipe", "/v2/x/7:wipe.json"], &["/v2/x/7"]),
        ("/x/{n}:wipe", AT_V2, "/x/{id}", OURS, &[], &["/x/7:wipe"]),
        ("/h/{n}:wipe", AT_A, "/h/{id}", OURS, &["/h/7:wipe"], &["/h/7"]),
        ("/h/{n}:wipe", AT_B, "/h/{id}", OURS, &[], &["/h/7:wipe"]),
        ("/c/{x}/me", AT_A_OURS, "/c/books/{id}", OURS, &["/c/books/me"], &["/c/books/7", "/c/x/me"]),
        ("/a//b", "", "/{rest*}", ANY_EMPTY, &["/a//b"], &["/a//c"]),
        ("/a%20b/x", "", "/{rest*}", OURS, &["/a%20b/x"], &["/a/x"]),
        // its path counts before its method, where it is the more particular one
        ("post /m/{n}.json", "", "/m/{id}", OURS, &["/m/x.json"], &["/m/x"]),
        ("post /m/{x}/secret", "", "/m/b/{id}", OURS, &[], &["/m/b/secret"]),
        // in another document or a file of routes, all of the operation's requests or fewer are mapped by hand
        ("/e/{n}.json", "", "/e/a.json", OURS, &["/e/b.json"], &["/e/a.json"]),
        ("/e/{x}/{y}", "", "/e/a/{id}", OURS, &["/e/b/x"], &["/e/a/x"]),
    ] {
        let (own, other) = ((unmapped, more), (wider, of_wider));
        let alone = [document(&[own]), document(&[other])];
        let plain = of_wider == OURS && !more.contains(OURS);
        let mut ways = vec![vec![document(&[own, other])], alone.to_vec()];
        if plain {
            ways.push(vec![document(&[own]), by_hand(&[&format!("GET {wider}")])]);
            ways.push(vec![by_hand(&[&format!("GET {wider}")]), document(&[own])]);
        }
        for files in ways {
            let table = build(&files);
            for target in refused {
                assert_eq!(get(&table, target), "refuse no_route", "{target}\n{}", files.join("\n"));
                let head = ask(&table, &format!("HEAD {target}"), &[], Body::NotForwarded);
                assert_eq!(head, "refuse no_route", "{target}");
            }
            for target in passed {
                assert_eq!(get(&table, target), "public", "{target}\n{}", files.join("\n"));
            }
        }
    }
}

#[test]
fn what_is_mapped_by_hand_is_for_its_own_requests() {
    let documents = [("/u/{id}", ""), ("/u/me", ""), ("/dev/{id}:wipe", ""), ("/c/{x}/me", OURS)];
    let files = [document(&documents), by_hand(&["GET /u/{n:name}", "GET /dev/{id}", "GET /c/books/{id}"])];
    let table = build(&files);
    for (target, expected) in [
        ("/u/7", "public"),
        ("/u/a%20b", "refuse no_route"),
        ("/u/me", "refuse no_route"),
        ("/dev/7", "public"),
        ("/dev/7:wipe", "refuse no_route"),
        // between a file of routes and a document the tree says which is tried first
        ("/c/books/me", "public"),
        ("/c/x/me", "public"),
    ] {
        assert_eq!(get(&table, target), expected, "{target}");
    }
    // the service is known to distinguish suffixes
    let exact = document(&[("/r/{r}/{a}:wipe", ""), ("/r/{rest*}", OURS)])
        .replace("\"*\"", "\"*\", service: {suffixes: exact}");
    let table = build(&[exact]);
    assert_eq!(get(&table, "/r/r/7:wipe"), "refuse no_route");
    assert_eq!(get(&table, "/r/r/7:wipe.json"), "public");
    // and here it takes them off
    let format =
        document(&[("/r/{a}.json", ""), ("/r/move", OURS)]).replace("\"*\"", "\"*\", service: {suffixes: format}");
    let table = build(&[format]);
    assert_eq!(get(&table, "/r/move"), "public");
    assert_eq!(get(&table, "/r/move.json"), "refuse no_route");
}

#[test]
fn an_operation_without_routes_is_a_mistake() {
    let files = [("d.yaml".to_owned(), document(&[("/u/me", ", x-palisade: []"), ("/u/{id}", OURS)]))];
    let errors = compile(&files, None).unwrap_err();
    assert!(errors.iter().any(|error| error.message.contains("the list has no routes")), "{errors:?}");
}
