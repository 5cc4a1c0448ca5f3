//! Second ways: what is asked about, and what is not.

use super::*;
use crate::compile;

#[test]
fn a_wide_public_route_beside_checked_ones_is_asked_about() {
    let names = |way: &[&str]| way.join("/");
    let deny = |before: &str, ways: &[&[&str]], methods: &str| {
        let one = |way: &&[&str]| format!("'{methods} {before}/{}/{{rest*}}'", names(way));
        format!("  - match: [{}]\n    deny: no\n", ways.iter().map(one).collect::<Vec<_>>().join(", "))
    };
    let check = "  - {match: GET /admin/7, action: V, resource: 'D::7'}\n".to_owned();
    let check = check + "  - {match: 'GET /admin/7/{rest*}', deny: no}\n";
    let open = "  - match: GET /{path*}\n    public: true\n";
    for (routes, expected) in [
        (format!("{open}{check}"), &["/index.php/", "/app.php/", "/cgi-bin/", "/_next/data/"][..]),
        (format!("{open}{check}{}", deny("", &WAYS[..5], "GET")), &["`/_next/data/`", "`/page-data/`", "/++api++/"]),
        (format!("{open}{check}{}", deny("", &WAYS[2..], "GET")), &["`/public/index.php/`"]),
        (format!("{open}{check}{}", deny("", WAYS, "GET")), &[]),
        (format!("{open}{check}{}", deny("", WAYS, "POST")), &["/index.php/"]),
        (open.to_owned(), &[]),
        (check.clone(), &[]),
        (format!("  - match: GET /files/{{path*}}\n    public: true\n{check}"), &[]),
        (format!("  - match: GET /admin/{{path*}}\n    public: true\n{check}"), &["`/admin/index.php/`"]),
        (format!("{}{check}", open.replace("public: true", "deny: no")), &[]),
    ] {
        let text = format!("namespace: F\ndefaults: {{principal: User}}\nroutes:\n{routes}");
        let found = ways(&compile(&[("r.yaml".to_owned(), text)], None).unwrap().0);
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{routes}: {found:?}");
        let told = found.iter().all(|one| expected.iter().all(|word| one.message.contains(word)));
        assert!(told, "{routes}: {found:?}");
    }
}

#[test]
fn a_way_that_begins_as_a_public_route_is_asked_about() {
    let check = "  - {match: GET /admin/7, action: V, resource: 'D::7'}\n";
    let open = |path: &str| format!("  - {{match: 'GET {path}', public: true}}\n");
    let deny = |path: &str| format!("  - {{match: 'GET {path}', deny: no}}\n");
    for (routes, expected) in [
        (open("/_app/{path*}") + check, "`/_app/remote/`"),
        (open("/_next/{path*}") + check, "`/_next/data/`"),
        (open("/_app/{path*}") + check + &deny("/_app/remote/{rest*}"), ""),
        (open("/_app/immutable/{path*}") + check, ""),
        (open("/_app/{path*}"), ""),
        (open("/assets/{path*}") + check, ""),
    ] {
        let found = ways_of(&format!("namespace: F\ndefaults: {{principal: User}}\nroutes:\n{routes}"));
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{routes}: {found:?}");
        assert!(found.iter().all(|one| one.contains(expected)), "{routes}: {found:?}");
    }
}

/// The page shows how each is mapped.
#[test]
fn each_way_stands_on_the_page() {
    let page = include_str!("../../../docs/routes.md");
    for way in WAYS {
        let line = format!("      - GET /{}/{{path*}}\n", way.join("/"));
        assert!(page.contains(&line), "docs/routes.md lacks {line}");
    }
    for leaf in LEAVES.iter().chain(ENDINGS) {
        assert!(page.contains(leaf), "docs/routes.md lacks {leaf}");
    }
}

#[test]
fn data_behind_the_path_of_a_page_is_asked_about() {
    let check = |path: &str| format!("  - {{match: 'GET {path}', action: V, resource: 'D::7'}}\n");
    let deny = |path: &str| format!("  - {{match: 'GET {path}', deny: no}}\n");
    let ways: String = WAYS.iter().map(|way| deny(&format!("/{}/{{rest*}}", way.join("/")))).collect();
    let all = &["/__data.json`", "/q-data.json`", "/_payload.json`"][..];
    for (routes, expected) in [
        (check("/admin/{id}"), all),
        (check("/admin/{id}") + &deny("/admin/{id}/{rest*}"), &[]),
        (check("/admin/{id}") + &deny("/admin/{rest*}"), &[]),
        (check("/admin/{id}") + &deny("/admin/{id}/{leaf}"), &[]),
        (check("/admin/{id}") + &deny("/admin/{id}/__data.json"), &all[1..]),
        (check("/admin/{id}") + &deny("/admin/{id:int}/{rest*}"), all),
        (check("/admin/{id:int}") + &deny("/admin/{id:int}/{rest*}"), &[]),
        (check("/admin/{id}") + &deny("/users/{id}/{rest*}"), all),
        (check("/admin/{id}") + &deny("/admin/{id}/{rest*}") + &check("/users/{id}"), &["`/users/{id}/__data.json`"]),
        (check("/admin/{rest*}"), &[]),
        (check("/admin/{id}") + &check("/admin/{id}/{rest*}"), &[]),
        (check("/admin/{id:a|b}") + &deny("/admin/{id:a|b|c}/{rest*}"), &[]),
        (check("/admin/{id:a|b}") + &deny("/admin/{id:a|c}/{rest*}"), all),
        (check("/admin/{id}") + "  - {match: 'GET /admin/{id}/{rest*}', public: true}\n", all),
    ] {
        let open = "  - {match: 'GET /{path*}', public: true}\n";
        let text = format!("namespace: F\ndefaults: {{principal: User}}\nroutes:\n{open}{ways}{routes}");
        let found = ways_of(&text);
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{routes}: {found:?}");
        assert!(found.iter().all(|one| expected.iter().all(|word| one.contains(word))), "{routes}: {found:?}");
    }
}

#[test]
fn data_at_an_ending_of_a_page_is_asked_about() {
    let check = |path: &str| format!("  - {{match: 'GET {path}', action: V, resource: 'D::7'}}\n");
    let deny = |path: &str| format!("  - {{match: 'GET {path}', deny: no}}\n");
    let ways: String = WAYS.iter().map(|way| deny(&format!("/{}/{{rest*}}", way.join("/")))).collect();
    let below = deny("/admin/{rest*}");
    let all = &["`/admin.data`", "`/admin.rsc`", "`/admin.txt`"][..];
    for (routes, expected) in [
        (check("/admin") + &below, all),
        (check("/admin") + &below + &deny("/admin.data"), &all[1..]),
        (check("/admin") + &below + &deny("/admin.data") + &deny("/admin.rsc") + &deny("/admin.txt"), &[]),
        (check("/admin") + &below + &deny("/{page}"), &[]),
        (check("/admin/{id}") + &deny("/admin/{id}/{rest*}"), &[]),
        (check("/admin/{id:int}") + &deny("/admin/{id:int}/{rest*}"), &["`/admin/{id}.data`"]),
        (check("/admin/{id:int}") + &below, &[]),
        (check("/") + &deny("/{a}"), &[]),
    ] {
        let open = "  - {match: 'GET /{path*}', public: true}\n";
        for (suffixes, expected) in [("exact", expected), ("format", &[][..])] {
            let text = format!(
                "namespace: F\ndefaults: {{principal: User}}\nservice: {{path_case: exact, suffixes: {suffixes}}}\n\
                 routes:\n{open}{ways}{routes}"
            );
            let found: Vec<String> = ways_of(&text).into_iter().filter(|one| one.contains("suffixes: exact")).collect();
            assert_eq!(found.len(), usize::from(!expected.is_empty()), "{routes}: {found:?}");
            assert!(found.iter().all(|one| expected.iter().all(|word| one.contains(word))), "{routes}: {found:?}");
        }
    }
}

#[test]
fn a_public_route_with_captures_is_asked_about_where_a_second_way_is_as_long() {
    let check = |path: &str| format!("  - {{match: 'GET {path}', action: V, resource: 'D::7'}}\n");
    let open = |path: &str| format!("  - {{match: 'GET {path}', public: true}}\n");
    let deny = |path: &str| format!("  - {{match: 'GET {path}', deny: no}}\n");
    for (routes, expected) in [
        (open("/{page}") + &check("/admin"), &["`/admin.data`", "`/admin.rsc`"][..]),
        (open("/{page}") + &check("/admin") + &deny("/admin.data") + &deny("/admin.rsc") + &deny("/admin.txt"), &[]),
        (open("/{a}/{b}") + &check("/admin"), &["`/index.php/admin`", "`/admin/__data.json`"]),
        (open("/{a}/{b}") + &check("/admin") + &deny("/{a:index.php|app.php}/{b}"), &["`/app_dev.php/admin`"]),
        (open("/{a}/{b}") + &check("/admin/{id:int}"), &["`/admin/{id}.data`"]),
        (open("/{a:int}/{b}") + &check("/admin"), &[]),
        (open("/pages/{page}") + &check("/admin"), &[]),
        (open("/{a}/{b}/{c}") + &check("/admin"), &["`/public/index.php/admin`"]),
        ("  - {match: 'POST /{page}', public: true}\n".to_owned() + &check("/admin"), &[]),
        (open("/{page}"), &[]),
        (open("/{a}/{c*}") + &check("/users/{x}/y"), &["`/index.php/users/{x}/y`", "`/users/{x}/y/__data.json`"]),
        (open("/{a}/{b}/{c*}") + &check("/users/{x}/y"), &["`/_next/data/users/{x}/y`"]),
        (open("/{a}/users/{c*}") + &check("/users/{x}/y"), &["`/index.php/users/{x}/y`"]),
        (open("/{a:int}/{c*}") + &check("/users/{x}/y"), &[]),
    ] {
        let text = format!(
            "namespace: F\ndefaults: {{principal: User}}\nservice: {{path_case: exact, suffixes: exact}}\nroutes:\n{routes}"
        );
        let found = pages_of(&text);
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{routes}: {found:?}");
        assert!(found.iter().all(|one| expected.iter().all(|word| one.contains(word))), "{routes}: {found:?}");
    }
    // as long, and not taken for another page there
    let text = format!("namespace: F\ndefaults: {{principal: User}}\nroutes:\n{}{}", open("/{page}"), check("/admin"));
    assert_eq!(pages_of(&text), [""; 0]);
}

/// What is asked about pages alone.
fn pages_of(text: &str) -> Vec<String> {
    ways_of(text).into_iter().filter(|one| !one.contains("functions")).collect()
}

fn ways_of(text: &str) -> Vec<String> {
    let table = compile(&[("r.yaml".to_owned(), text.to_owned())], None).unwrap().0;
    ways(&table).into_iter().map(|one| one.message).collect()
}

#[test]
fn functions_of_any_page_are_asked_about_where_a_capture_takes_their_ids() {
    let open = |method: &str, path: &str| format!("  - {{match: '{method} {path}', public: true}}\n");
    let check = |path: &str| format!("  - {{match: 'GET {path}', action: V, resource: 'D::7'}}\n");
    let deny = |method: &str, path: &str| format!("  - {{match: '{method} {path}', deny: no}}\n");
    for (routes, expected, not) in [
        (
            open("GET", "/{a}/{b}") + &check("/users/{x}/y"),
            &["`/_actions/{id}`", "`/_serverFn/{id}`", "`/_server/{id}`", "`/__nuxt_island/{id}`"][..],
            "admin",
        ),
        (open("POST", "/{a}/{b}") + &check("/users/{x}/y"), &["`/_actions/{id}`"], "users"),
        (open("GET", "/{page}") + &check("/users/{x}/y"), &["`/_server`"], "`/_actions"),
        (open("GET", "/{a}/{b}/{c}") + &check("/users"), &["`/_app/remote/{id}`"], "`/_actions"),
        (open("GET", "/{a}/{b}/{c}/{d}") + &check("/users"), &["`/_app/remote/{id}/{name}`"], "`/_actions"),
        (open("GET", "/_actions/{b:name}") + &check("/users"), &["`/_actions/{id}`"], "_serverFn"),
        (
            open("GET", "/{a}/{b}")
                + &check("/users/{x}/y")
                + &deny("GET", "/{a:_actions|_server|_serverFn|__nuxt_island}/{b}"),
            &[],
            "",
        ),
        (
            open("GET", "/{a}/{b}") + &check("/users/{x}/y") + &deny("GET", "/_actions/{rest*}"),
            &["`/_serverFn/{id}`"],
            "_actions",
        ),
        (open("GET", "/{a:int}/{b}") + &check("/users"), &[], ""),
        (open("GET", "/{a}/{b}"), &[], ""),
        (open("GET", "/posts/{b}") + &check("/users"), &[], ""),
    ] {
        let text = format!("namespace: F\ndefaults: {{principal: User}}\nroutes:\n{routes}");
        let found: Vec<String> = ways_of(&text).into_iter().filter(|one| one.contains("functions")).collect();
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{routes}: {found:?}");
        for one in found {
            assert!(expected.iter().all(|word| one.contains(word)), "{routes}: {one}");
            assert!(not.is_empty() || !one.contains(not), "{routes}: {one}");
        }
        // no page of that path is made up
        let made =
            ways_of(&text).into_iter().any(|one| one.contains("/_app/remote/users") || one.contains("/_actions/users"));
        assert!(!made, "{routes}");
    }
}
