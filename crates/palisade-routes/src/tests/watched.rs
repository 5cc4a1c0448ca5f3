//! Heads of which it is known what they have are taken as those of which it is not.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Headers that were classified, as those of a gateway's request are.
pub(super) struct Classified<'h> {
    list: &'h [(String, String)],
    watched: Watched,
}

impl<'h> Classified<'h> {
    pub(super) fn of(list: &'h [(String, String)]) -> Self {
        let mut watched = Watched::default();
        list.iter().for_each(|(name, _)| watched.note(name));
        Self { list, watched }
    }
}

impl Headers for Classified<'_> {
    fn field(&self, name: &str) -> Field<'_> {
        self.list.field(name)
    }

    fn list(&self, name: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
        Headers::list(self.list, name)
    }

    fn watched(&self) -> Watched {
        self.watched
    }
}

/// Names: ordinary ones, those that are looked for, and some that are nearly those.
const NAMES: [&str; 33] = [
    "accept",
    "accept-language",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "daphne-root-path",
    "forwarded",
    "forwarder",
    "front-end-https",
    "host",
    "http2-settings",
    "path-info",
    "trailer",
    "upgrade",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-http-method",
    "x-http-method-override",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "next-action",
    "x-traversal-path",
    "x-forwarded-uri",
];

const VALUES: [&str; 18] = [
    "",
    "a.test",
    "A.test:80",
    "b.test",
    "machine-7",
    "https",
    "http, https",
    "http://a.test/x?",
    "443",
    "4430000",
    "on",
    "/d",
    "/other",
    "host=a.test;proto=https",
    "host=b.test",
    "websocket",
    "keep-alive, upgrade",
    "application/x-www-form-urlencoded",
];

/// A name in some writing.
fn written() -> impl Strategy<Value = String> {
    (proptest::sample::select(&NAMES[..]), 0..8_u8).prop_map(|(name, how)| match how {
        0 => name.to_ascii_uppercase(),
        1 => name.replace('-', "_"),
        2 => name.replacen('-', ".", 1),
        3 => format!("{name}s"),
        _ => name.to_owned(),
    })
}

const IGNORES: [&str; 6] = [
    "",
    "method_override",
    "path_override",
    "action_override",
    "host_override",
    "method_override, host_override, path_override, action_override",
];

/// For services that ignore one thing or another.
static TABLES: LazyLock<Vec<RouteTable>> = LazyLock::new(|| {
    let table = |ignores: &&str| {
        load(&format!(
            "namespace: N\nservice: {{ignores: [{ignores}]}}\nroutes:\n  - {{match: 'GET,POST /open', public: true}}\n  - {{match: \
             GET /ws, public: true, upgrade: websocket}}\n  - match: GET,POST /d/{{id}}\n    action: edit\n    resource: \
             Device::{{path.id}}\n"
        ))
        .unwrap()
    };
    IGNORES.iter().map(table).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_is_known_of_a_head_changes_no_answer(
        head in proptest::collection::vec((written(), proptest::sample::select(&VALUES[..])), 0..6),
        request in proptest::sample::select(
            &["GET /open", "POST /open", "GET /d/7", "POST /d/7", "GET /ws", "DELETE /d/7", "GET /none", "GET /d/7?_method=x"][..]
        ),
        body in proptest::sample::select(&[Body::NotForwarded, Body::Partial, Body::Whole(b""), Body::Whole(b"_method=DELETE")][..]),
        ignores in 0..IGNORES.len(),
    ) {
        let table = &TABLES[ignores];
        let head: Vec<(String, String)> = head.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        let (method, target) = request.split_once(' ').unwrap();
        let peer = Peer::default();
        let facts = RequestFacts { method, target: target.as_bytes(), host: Some("a.test"), headers: &head, body, peer };
        let classified = Classified::of(&head);
        let known = RequestFacts { headers: &classified, ..facts };
        prop_assert_eq!(found(table, facts), found(table, known));
    }
}

/// The route of a request, or all that a refusal says.
fn found(table: &RouteTable, facts: RequestFacts<'_>) -> String {
    match table.find(facts) {
        Ok(found) => found.route().map(|route| route.place.clone()).unwrap_or_default(),
        Err(refusal) => format!("{refusal:?}"),
    }
}
