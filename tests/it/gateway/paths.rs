//! Targets that programs read differently, through each endpoint.

use serde_json::json;

use crate::support::Server;
use crate::support::gate::{DIALECTS, Dialect, Gate, code, get, send};

pub(super) fn nasty() -> Vec<String> {
    let text = std::fs::read_to_string(Server::project("tests/it/gateway/nasty_targets.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The nasty targets that every reader reads alike.
pub(super) const PLAIN: [&str; 8] =
    ["/admin.", "/%61dmin", "/ADMIN", "/admin?x=1&x=2;y=3", "/admin%20", "/caf%c3%a9", "/admin??x", "/admin/"];

/// Lets every path pass that is not ambiguous.
pub(super) const OPEN: &str = "
routes:
  - {match: 'GET /{path*}', public: true}
  - {match: 'GET /{path*}/', public: true}
";

#[test]
fn what_can_be_read_in_two_ways_never_passes() {
    let gate = Gate::with(OPEN, "permit (principal, action, resource);", json!({}));
    let targets = nasty();
    assert_eq!(targets.len(), 37);
    for dialect in DIALECTS {
        for target in &targets {
            // what cannot stand in a request line never gets as far as Envoy's upstream
            if dialect == Dialect::Envoy && (target.contains([' ', '\t']) || !target.starts_with('/')) {
                let bytes = format!("GET /gateway/envoy{target} HTTP/1.1\r\nhost: a.test\r\n\r\n");
                assert_ne!(send(gate.addr(), bytes.as_bytes(), false).status, 200, "{target}");
                continue;
            }
            let answer = get("a.test", target, &[]).send(gate.addr(), dialect);
            // Envoy refuses a `#` itself; the HTTP library cuts it off before the sidecar sees it
            let cut = dialect == Dialect::Envoy && target.contains('#');
            let passes = PLAIN.contains(&target.as_str()) || (cut && target == "/admin#frag");
            assert_eq!(
                answer.status == 200,
                passes || (cut && !target.starts_with("/pub")),
                "{dialect:?} {target}: {answer:?}"
            );
            if answer.status != 200 {
                assert_eq!((answer.status, code(&answer)), (403, "ambiguous_path".to_owned()), "{dialect:?} {target}");
            }
        }
    }
}

#[test]
fn the_route_is_that_of_the_raw_path() {
    let routes = "
routes:
  - {match: GET /admin, deny: closed}
  - {match: 'GET /pub/{path*}', public: true}
  - {match: GET /, public: true}
";
    let gate = Gate::with(routes, "permit (principal, action, resource);", json!({}));
    for dialect in DIALECTS {
        for (target, expected) in [
            ("/pub/x", "200"),
            ("/", "200"),
            ("/admin", "denied_by_route"),
            ("/%61dmin", "denied_by_route"),
            ("/ADMIN", "no_route"),
            ("/admin/", "no_route"),
            ("/pub/../admin", "ambiguous_path"),
            ("/pub/%2e%2e/admin", "ambiguous_path"),
            ("/pub/%252e%252e/admin", "ambiguous_path"),
            ("/pub/..;/admin", "ambiguous_path"),
            ("/pub/%5c../admin", "ambiguous_path"),
            ("/pub\\..\\admin", "ambiguous_path"),
            ("/pub//admin", "ambiguous_path"),
            ("/pub/a%2fb", "ambiguous_path"),
        ] {
            let answer = get("a.test", target, &[]).send(gate.addr(), dialect);
            let got = if answer.status == 200 { "200".to_owned() } else { code(&answer) };
            assert_eq!(got, expected, "{dialect:?} {target}");
        }
    }
}
