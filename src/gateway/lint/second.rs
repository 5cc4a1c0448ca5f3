//! Second ways into one service: a wide public route may take them for pages of its own.

use crate::domain::Diagnostic;
use crate::gateway::lint::questions::meet;
use crate::gateway::pattern::Part;
use crate::gateway::read::Kind;
use crate::gateway::route::{Effect, Route};
use crate::gateway::table::RouteTable;

/// Beginnings of paths behind which some services find the same pages again.
const WAYS: &[&[&str]] = &[&["index.php"], &["app.php"], &["app_dev.php"], &["cgi-bin"], &["_next", "data"]];

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
        let Some(hidden) = routes().filter(below).find(|route| checked(route)) else { continue };
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
            let mut one = Diagnostic::error(&public.origin, message).warning().rule("route-second-way").help(help);
            one.line = public.line;
            asked.push(one);
        }
    }
    asked
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
    use crate::gateway::compile;

    #[test]
    fn a_wide_public_route_beside_checked_ones_is_asked_about() {
        let names = |way: &[&str]| way.join("/");
        let deny = |before: &str, ways: &[&[&str]], methods: &str| {
            let one = |way: &&[&str]| format!("'{methods} {before}/{}/{{rest*}}'", names(way));
            format!("  - match: [{}]\n    deny: no\n", ways.iter().map(one).collect::<Vec<_>>().join(", "))
        };
        let check = "  - {match: GET /admin/7, action: V, resource: 'D::7'}\n".to_owned();
        let open = "  - match: GET /{path*}\n    public: true\n";
        for (routes, expected) in [
            (format!("{open}{check}"), &["/index.php/", "/app.php/", "/cgi-bin/", "/_next/data/"][..]),
            (format!("{open}{check}{}", deny("", &WAYS[..4], "GET")), &["`/_next/data/`"]),
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
}
