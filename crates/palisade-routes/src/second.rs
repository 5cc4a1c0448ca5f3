//! Second ways into one service: a wide public route may take them for pages of its own.

use crate::pattern::{Form, Part};
use crate::questions::meet;
use crate::read::Kind;
use crate::route::{Effect, Route};
use crate::service::Suffixes;
use crate::table::RouteTable;
use palisade_engine::model::Diagnostic;

/// Beginnings of paths behind which some services find the same pages again.
const WAYS: &[&[&str]] = &[
    &["index.php"],
    &["public", "index.php"],
    &["app.php"],
    &["app_dev.php"],
    &["cgi-bin"],
    &["_next", "data"],
    &["page-data"],
    &["VirtualHostBase"],
    &["++api++"],
    // functions of pages: SvelteKit, Astro, SolidStart, TanStack Start; and a part of a page in Nuxt
    &["_app", "remote"],
    &["_actions"],
    &["_server"],
    &["_serverFn"],
    &["__nuxt_island"],
];

/// What stands behind the path of a page where some services give its data.
const LEAVES: &[&str] = &["__data.json", "q-data.json", "_payload.json"];

/// What stands behind the last segment of a page where others give its data: React Router and Remix, and Next.js.
const ENDINGS: &[&str] = &[".data", ".rsc", ".txt"];

/// How React Router calls the page `/` there.
const ROOT: &str = "_root";

/// How many pairs of routes are compared.
const MOST_PAIRS: usize = 5_000_000;

/// Asks of each public route that takes everything below a path, beside routes that are checked there, whether its service
/// has a second way to these.
pub(super) fn ways(table: &RouteTable) -> Vec<Diagnostic> {
    let routes = || table.routes().iter().filter(|route| route.kind == Kind::Mapped);
    let wide = |route: &&Route| {
        matches!(route.effect, Effect::Public) && matches!(route.pattern.parts.last(), Some(Part::Rest(_)))
    };
    let mut left = MOST_PAIRS;
    let mut asked: Vec<Diagnostic> = Vec::new();
    for public in routes().filter(wide) {
        // the first of a file is enough to ask
        let known = asked.iter().any(|one| one.origin == public.origin);
        left = left.saturating_sub(table.routes().len());
        if known || left == 0 {
            continue;
        }
        let before = &public.pattern.parts[..public.pattern.parts.len() - 1];
        let below = |route: &&Route| meet(&public.hosts, &route.hosts) && route.pattern.parts.starts_with(before);
        let checked = |route: &Route| matches!(route.effect, Effect::Checks { .. });
        // such a way may begin as the route does, as `/_app/remote/` below `/_app/{path*}`
        let begins = |way: &&&[&str]| {
            let literal = |(part, word): (&Part, &&str)| matches!(part, Part::Literal(text) if text == word);
            !before.is_empty() && before.len() < way.len() && before.iter().zip(way.iter()).all(literal)
        };
        let guarded = |way: &&&[&str]| routes().any(|route| takes(route, 0, way, &public.pattern.methods));
        let inside: Vec<String> = WAYS
            .iter()
            .filter(begins)
            .filter(|way| !guarded(way))
            .map(|way| format!("`/{}/`", way.join("/")))
            .collect();
        if !inside.is_empty() && routes().any(|route| checked(route) && meet(&public.hosts, &route.hosts)) {
            let message = format!(
                "everything below `{}` is public, and some services answer for their other pages at {} too: does this one?",
                public.pattern,
                inside.join(", ")
            );
            asked.push(ask(
                public,
                message,
                "map it with `{rest*}` behind it and `deny`, or make what is public narrower",
            ));
            continue;
        }
        let Some(hidden) = routes().filter(below).find(|route| checked(route)) else { continue };
        let others: Vec<&Route> =
            routes().filter(below).filter(|route| !matches!(route.effect, Effect::Public)).collect();
        let data = others.iter().filter(|route| checked(route)).find_map(|route| {
            left = left.saturating_sub(others.len());
            let open = |leaf: &&&str| {
                let parts: Vec<Part> =
                    route.pattern.parts.iter().cloned().chain([Part::Literal((**leaf).to_owned())]).collect();
                left > 0 && !others.iter().any(|other| takes_page(other, &parts, &public.pattern.methods))
            };
            let open: Vec<String> =
                LEAVES.iter().filter(open).map(|leaf| format!("`{}/{leaf}`", prefix(&route.pattern.parts))).collect();
            (!open.is_empty()).then_some((*route, open))
        });
        let open: Vec<String> = WAYS
            .iter()
            .filter(|way| !routes().filter(below).any(|route| takes(route, before.len(), way, &public.pattern.methods)))
            .map(|way| format!("`{}/{}/`", prefix(before), way.join("/")))
            .collect();
        if !open.is_empty() {
            let message = format!(
                "everything below `{}` is public, and some services answer `{}` below {} too: does this one?",
                public.pattern,
                hidden.pattern,
                open.join(", ")
            );
            let help = "map each with `{rest*}` behind it and `deny`; that is a guard against what a later version of the service \
                        does, too";
            asked.push(ask(public, message, help));
        }
        if let Some((route, open)) = data {
            let message = format!(
                "everything below `{}` is public, and some services give the data of {} at {} too: does this one?",
                public.pattern,
                route.pattern,
                open.join(", ")
            );
            let below = format!("`{} {}/{{rest*}}`", route.pattern.methods.join(","), prefix(&route.pattern.parts));
            let help = format!("map what is below each checked path with `deny`, as {below}");
            asked.push(ask(public, message, &help));
        }
        // elsewhere such a path is refused, or is that of the page
        if public.service.suffixes == Some(Suffixes::Exact)
            && let Some((route, open)) = others.iter().filter(|route| checked(route)).find_map(|route| {
                left = left.saturating_sub(others.len());
                let open = endings(route, |parts| {
                    left > 0 && !others.iter().any(|other| takes_page(other, parts, &public.pattern.methods))
                });
                (!open.is_empty()).then_some((*route, open))
            })
        {
            let message = format!(
                "everything below `{}` is public, the file says `suffixes: exact`, and some services give the data of {} at {}: \
                 does this one?",
                public.pattern,
                route.pattern,
                open.join(", ")
            );
            asked.push(ask(public, message, SUFFIXES));
        }
    }
    fixed(&routes().collect::<Vec<_>>(), &mut left, &mut asked);
    asked
}

/// What helps where an ending makes another page.
const SUFFIXES: &str = "say `service: {suffixes: format}` if it does, by which `/admin.data` is `/admin`, and deny `/_root.data`; \
    or map each with `deny`";

/// Asks the same of public routes with captures, which take such a path where it has as many segments.
fn fixed(routes: &[&Route], left: &mut usize, asked: &mut Vec<Diagnostic>) {
    let capture = |part: &Part| matches!(part, Part::Capture(_, Form::Any | Form::Name));
    let wide = |route: &&&Route| {
        let parts = &route.pattern.parts;
        matches!(route.effect, Effect::Public)
            && parts.iter().any(capture)
            && !matches!(parts.last(), Some(Part::Rest(_)))
    };
    for public in routes.iter().filter(wide) {
        // the first of a file is enough to ask
        *left = left.saturating_sub(routes.len());
        if *left == 0 || asked.iter().any(|one| one.origin == public.origin) {
            continue;
        }
        let others: Vec<&&Route> = routes
            .iter()
            .filter(|other| !matches!(other.effect, Effect::Public) && meet(&public.hosts, &other.hosts))
            .collect();
        for route in others.iter().filter(|other| matches!(other.effect, Effect::Checks { .. })) {
            let mut common = route.pattern.methods.iter().filter(|method| public.pattern.methods.contains(method));
            let Some(method) = common.next().cloned().map(|method| [method]) else { continue };
            let is_open = |parts: &[Part]| {
                parts.len() == public.pattern.parts.len()
                    && takes_page(public, parts, &method)
                    && !others.iter().any(|other| takes_page(other, parts, &method))
            };
            *left = left.saturating_sub(others.len());
            if *left == 0 {
                break;
            }
            let page = &route.pattern.parts;
            let literal = |word: &&str| Part::Literal((*word).to_owned());
            let before = WAYS.iter().map(|way| way.iter().map(literal).chain(page.iter().cloned()).collect::<Vec<_>>());
            let behind = LEAVES.iter().map(|leaf| page.iter().cloned().chain([literal(leaf)]).collect());
            let mut open: Vec<String> = before
                .chain(behind)
                .filter(|parts| is_open(parts))
                .map(|parts| format!("`{}`", prefix(&parts)))
                .collect();
            let endings =
                if public.service.suffixes == Some(Suffixes::Exact) { endings(route, is_open) } else { Vec::new() };
            if open.is_empty() && endings.is_empty() {
                continue;
            }
            let help =
                if open.is_empty() { SUFFIXES } else { "map each with `deny`, so that it is not the public page" };
            open.extend(endings);
            let message = format!(
                "`{}` is public, and some services give {} at {} too: does this one?",
                public.pattern,
                route.pattern,
                open.join(", ")
            );
            asked.push(ask(public, message, help));
            break;
        }
    }
}

fn ask(public: &Route, message: String, help: &str) -> Diagnostic {
    let mut one = Diagnostic::error(&public.origin, message).warning().rule("route-second-way").help(help);
    one.line = public.line;
    one
}

/// The paths of a page with an ending that no other route takes. A capture that takes endings, too, is the route's own.
fn endings(route: &Route, is_open: impl Fn(&[Part]) -> bool) -> Vec<String> {
    let (before, last) = match route.pattern.parts.split_last() {
        Some((Part::Capture(_, Form::Any | Form::Name) | Part::Rest(_), _)) => return Vec::new(),
        Some((last, before)) => (before, Some(last)),
        None => (&[][..], None),
    };
    let mut open = Vec::new();
    for ending in ENDINGS {
        let page = match last {
            None if *ending != ".data" => continue,
            None => Part::Literal(format!("{ROOT}{ending}")),
            Some(Part::Literal(text)) => Part::Literal(format!("{text}{ending}")),
            Some(Part::OneOf(name, words)) => {
                Part::OneOf(name.clone(), words.iter().map(|word| format!("{word}{ending}")).collect())
            }
            // whatever it takes, and the ending
            Some(Part::Capture(name, _) | Part::Rest(name)) => Part::Capture(name.clone(), Form::Any),
        };
        let parts: Vec<Part> = before.iter().cloned().chain([page.clone()]).collect();
        if is_open(&parts) {
            let text = match page {
                Part::Literal(text) => format!("`{}/{text}`", prefix(before)),
                Part::OneOf(name, _) | Part::Capture(name, _) | Part::Rest(name) => {
                    format!("`{}/{{{name}}}{ending}`", prefix(before))
                }
            };
            open.push(text);
        }
    }
    open
}

/// Whether `other` takes every path of these parts, by these methods.
fn takes_page(other: &Route, wanted: &[Part], methods: &[String]) -> bool {
    let parts = &other.pattern.parts;
    let whole = |one: &Part, part: &Part| match (one, part) {
        (Part::Literal(a), Part::Literal(b)) => a == b,
        (_, Part::Capture(name, form)) if other.guards.shapes().all(|(of, _)| of != name) => match one {
            Part::Literal(text) => form.takes(text),
            Part::OneOf(_, words) => words.iter().all(|word| form.takes(word)),
            Part::Capture(_, own) => *form == Form::Any || form == own,
            Part::Rest(_) => false,
        },
        (Part::Literal(text), Part::OneOf(_, words)) => words.contains(text),
        (Part::OneOf(_, own), Part::OneOf(_, words)) => own.iter().all(|word| words.contains(word)),
        _ => false,
    };
    let by_these = methods.iter().all(|method| other.pattern.methods.contains(method));
    for (at, one) in wanted.iter().enumerate() {
        match (one, parts.get(at)) {
            (_, Some(Part::Rest(_))) => return by_these,
            // a route for everything below has the leaf in it
            (Part::Rest(_), _) => return false,
            (one, Some(part)) if whole(one, part) => {}
            _ => return false,
        }
    }
    by_these && parts.len() == wanted.len()
}

/// Whether a route is for requests of these methods that go the way, and for those alone.
fn takes(route: &Route, at: usize, way: &[&str], methods: &[String]) -> bool {
    let words = route.pattern.parts.get(at..).unwrap_or_default();
    let literal = |(part, word): (&Part, &&str)| matches!(part, Part::Literal(text) if text == word);
    words.len() > way.len()
        && words.iter().zip(way).all(literal)
        && matches!(words.get(way.len()), Some(Part::Rest(_)))
        && methods.iter().all(|method| route.pattern.methods.contains(method))
}

fn prefix(parts: &[Part]) -> String {
    let text = |part: &Part| match part {
        Part::Literal(text) => format!("/{text}"),
        Part::OneOf(name, _) | Part::Capture(name, _) | Part::Rest(name) => format!("/{{{name}}}"),
    };
    parts.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
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
            (
                format!("{open}{check}{}", deny("", &WAYS[..5], "GET")),
                &["`/_next/data/`", "`/page-data/`", "/++api++/"],
            ),
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
            (
                check("/admin/{id}") + &deny("/admin/{id}/{rest*}") + &check("/users/{id}"),
                &["`/users/{id}/__data.json`"],
            ),
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
                let found: Vec<String> =
                    ways_of(&text).into_iter().filter(|one| one.contains("suffixes: exact")).collect();
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
            (
                open("/{page}") + &check("/admin") + &deny("/admin.data") + &deny("/admin.rsc") + &deny("/admin.txt"),
                &[],
            ),
            (open("/{a}/{b}") + &check("/admin"), &["`/index.php/admin`", "`/admin/__data.json`"]),
            (open("/{a}/{b}") + &check("/admin") + &deny("/{a:index.php|app.php}/{b}"), &["`/app_dev.php/admin`"]),
            (open("/{a}/{b}") + &check("/admin/{id:int}"), &["`/admin/{id}.data`"]),
            (open("/{a:int}/{b}") + &check("/admin"), &[]),
            (open("/pages/{page}") + &check("/admin"), &[]),
            (open("/{a}/{b}/{c}") + &check("/admin"), &["`/public/index.php/admin`"]),
            ("  - {match: 'POST /{page}', public: true}\n".to_owned() + &check("/admin"), &[]),
            (open("/{page}"), &[]),
        ] {
            let text = format!(
                "namespace: F\ndefaults: {{principal: User}}\nservice: {{path_case: exact, suffixes: exact}}\nroutes:\n{routes}"
            );
            let found = ways_of(&text);
            assert_eq!(found.len(), usize::from(!expected.is_empty()), "{routes}: {found:?}");
            assert!(found.iter().all(|one| expected.iter().all(|word| one.contains(word))), "{routes}: {found:?}");
        }
        // as long, and not taken for another page there
        let text =
            format!("namespace: F\ndefaults: {{principal: User}}\nroutes:\n{}{}", open("/{page}"), check("/admin"));
        assert_eq!(ways_of(&text), [""; 0]);
    }

    fn ways_of(text: &str) -> Vec<String> {
        let table = compile(&[("r.yaml".to_owned(), text.to_owned())], None).unwrap().0;
        ways(&table).into_iter().map(|one| one.message).collect()
    }
}
