//! What in a request may make a service take it for another one than its request line says.
//!
//! Frameworks obey such words to help clients that can only send `GET` and `POST`, or to learn what a proxy rewrote.
//! The sidecar checks the request line, so it refuses them unless a file of routes says that its service ignores them.

use crate::domain::Value;
use crate::gateway::facts::{Body, Field, RequestFacts};
use crate::gateway::host::normal_host;
use crate::gateway::names::{fold, same_name};
use crate::gateway::query;
use crate::gateway::refusal::Refusal;
use crate::gateway::service::Ignored;

/// Headers by which some services take another method than that of the request line.
const METHODS: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Fields of a query, a form or JSON that do the same, as [`fold`] writes them.
const METHOD_FIELDS: [&str; 6] =
    ["_method", "_httpmethod", "$httpmethod", "x_http_method_override", "x_http_method", "x_method_override"];

/// Headers by which some services take another path.
const PATHS: [&str; 6] = [
    "x-original-url",
    "x-rewrite-url",
    "x-override-url",
    "x-http-path-override",
    "x-envoy-original-path",
    "x-http-destinationurl",
];

/// Headers by which some services take another host. A gateway may write them too, and then they name the same.
const HOSTS: [&str; 4] = ["x-forwarded-host", "x-original-host", "x-host", "x-http-host-override"];

/// Every header by which some service takes another method, path or host.
pub(in crate::gateway) fn headers() -> impl Iterator<Item = &'static str> {
    METHODS.iter().chain(&PATHS).chain(&HOSTS).copied()
}

/// Whether some service takes another method by a header.
pub(in crate::gateway) fn is_method_header(header: &str) -> bool {
    METHODS.iter().any(|name| same_name(header, name))
}

/// Refuses what asks for another method, path or host, unless `ignores` says that the service does not obey it.
/// Where the route `reads_body`, a body that cannot be read is refused for that.
pub(super) fn check(
    facts: &RequestFacts<'_>,
    query: Option<&str>,
    reads_body: bool,
    ignores: &dyn Fn(Ignored) -> bool,
) -> Result<(), Refusal> {
    let refuse = |code, message: &str| Err(Refusal::bad_request(code, message));
    let there = |names: &[&str]| names.iter().any(|name| facts.headers.field(name) != Field::Absent);
    if !ignores(Ignored::MethodOverride) {
        if there(&METHODS) {
            return refuse("method_override", "a header asks for another method");
        }
        if query.is_some_and(|query| may_name_one(query.as_bytes()) && query::names(query).any(|it| is_method(&it))) {
            return refuse("method_override", "the query asks for another method");
        }
        body(facts, reads_body)?;
    }
    if !ignores(Ignored::PathOverride) && there(&PATHS) {
        return refuse("path_override", "a header asks for another path");
    }
    if !ignores(Ignored::HostOverride) && !same_host(facts) {
        return refuse("host_override", "a header names another host than the request");
    }
    Ok(())
}

/// Whether a field of that name, with an index or without, asks for another method.
fn is_method(name: &str) -> bool {
    let name = fold(name);
    METHOD_FIELDS
        .iter()
        .any(|field| name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('[')))
}

/// Whether a look at each name is worth it: they all have a word in them, unless it is encoded.
fn may_name_one(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'%' | b'\\'))
        || text.windows(6).any(|six| six.eq_ignore_ascii_case(b"method"))
}

/// Refuses a form or a JSON object that asks for another method, and a form that nobody can look into.
fn body(facts: &RequestFacts<'_>, reads_body: bool) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::bad_request("method_override", message));
    let kind = match facts.headers.field("content-type") {
        Field::Absent => return Ok(()),
        Field::One(value) => Kind::of(value),
        Field::Repeated => Kind::Form,
    };
    let bytes = match (facts.body, kind) {
        (_, Kind::Other) => return Ok(()),
        (Body::Whole(bytes), _) => bytes,
        // forms count for a POST alone, and where no bodies come JSON is the service's own matter
        (Body::NotForwarded | Body::Partial, Kind::Form | Kind::Parts) if facts.method == "POST" => {
            return refuse(
                "the form may ask for another method (`_method`), and not all of it was passed on; \
                 say `ignores: [method_override]` under `service` if the service does not obey it",
            );
        }
        _ => return Ok(()),
    };
    if !may_name_one(bytes) {
        return Ok(());
    }
    let asks = match kind {
        Kind::Form => query::names(&String::from_utf8_lossy(bytes)).any(|name| is_method(&name)),
        Kind::Parts => parts(bytes),
        Kind::Json => match Value::parse(bytes) {
            Ok(value) => value.as_object().is_some_and(|members| members.iter().any(|(name, _)| is_method(name))),
            // whoever reads it all the same may find anything
            Err(_) => !reads_body,
        },
        Kind::Other => false,
    };
    if asks { refuse("the body asks for another method") } else { Ok(()) }
}

/// Whether a part of a form has such a name. Names are quoted or not, so the whole line is looked at.
fn parts(bytes: &[u8]) -> bool {
    let lines = bytes.split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
    lines
        .filter(|line| line.trim_start().to_ascii_lowercase().starts_with("content-disposition"))
        .any(|line| line.split(['=', ';', '"', '\'']).map(|word| word.trim()).any(is_method))
}

/// What a body is said to be.
#[derive(Clone, Copy)]
enum Kind {
    Form,
    Parts,
    Json,
    Other,
}

impl Kind {
    fn of(value: &[u8]) -> Self {
        let media = value.split(|byte| matches!(byte, b';' | b',')).next().unwrap_or_default().trim_ascii();
        let media = media.to_ascii_lowercase();
        if media == b"application/x-www-form-urlencoded" {
            Self::Form
        } else if media.starts_with(b"multipart/") {
            Self::Parts
        } else if media.ends_with(b"/json") || media.ends_with(b"+json") {
            Self::Json
        } else {
            Self::Other
        }
    }
}

/// Whether every header that names a host names that of the request.
fn same_host(facts: &RequestFacts<'_>) -> bool {
    let own = facts.host.and_then(normal_host);
    let same = |value: &[u8]| {
        let host = std::str::from_utf8(value).ok().map(str::trim).and_then(normal_host);
        host.is_some() && host == own
    };
    let named = HOSTS.iter().all(|name| match facts.headers.field(name) {
        Field::Absent => true,
        Field::One(value) => value.trim_ascii().is_empty() || same(value),
        Field::Repeated => false,
    });
    named
        && match facts.headers.field("forwarded") {
            Field::Absent => true,
            Field::One(value) => hosts(value).into_iter().all(same),
            Field::Repeated => false,
        }
}

/// The hosts that `Forwarded` (RFC 7239) names.
fn hosts(value: &[u8]) -> Vec<&[u8]> {
    let pairs = value.split(|byte| matches!(byte, b';' | b','));
    let named = pairs.filter_map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=')?;
        pair[..end].trim_ascii().eq_ignore_ascii_case(b"host").then(|| pair[end + 1..].trim_ascii())
    });
    named.map(|host| host.strip_prefix(b"\"").and_then(|host| host.strip_suffix(b"\"")).unwrap_or(host)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Peer;

    fn asked(method: &str, query: Option<&str>, headers: &[(&str, &str)], body: Body<'_>) -> String {
        let headers = headers.to_vec();
        let (host, peer) = (Some("api.test"), Peer::default());
        let facts = RequestFacts { method, target: b"/", host, headers: &headers, body, peer };
        check(&facts, query, false, &|_| false).err().map_or("passes".to_owned(), |refusal| refusal.code.to_owned())
    }

    #[test]
    fn what_asks_for_another_request_is_refused() {
        for (header, expected) in [
            (("X-HTTP-Method-Override", "DELETE"), "method_override"),
            (("X.HTTP.Method.Override", "DELETE"), "method_override"),
            (("X_Http_Method", "DELETE"), "method_override"),
            (("X-Method-Override", "GET"), "method_override"),
            (("X-Original-URL", "/admin"), "path_override"),
            (("X.Original.URL", "/admin"), "path_override"),
            (("X-Rewrite-Url", "/admin"), "path_override"),
            (("X-Envoy-Original-Path", "/admin"), "path_override"),
            (("X-Forwarded-Host", "other.test"), "host_override"),
            (("X-Forwarded-Host", "api.test, other.test"), "host_override"),
            (("X-Forwarded-Host", "API.test.:443"), "passes"),
            (("X_Forwarded_Host", "api.test"), "host_override"),
            (("X-Forwarded-Host", ""), "passes"),
            (("Forwarded", "for=10.0.0.1;host=other.test"), "host_override"),
            (("Forwarded", "for=10.0.0.1; Host = \"api.test:80\";proto=https"), "passes"),
            (("Forwarded", "host=api.test, host=other.test"), "host_override"),
            (("Forwarded", "for=10.0.0.1"), "passes"),
            (("X-Method", "x"), "passes"),
        ] {
            assert_eq!(asked("GET", None, &[header], Body::NotForwarded), expected, "{header:?}");
        }
        for (query, expected) in [
            ("_method=DELETE", "method_override"),
            ("a=1&_METHOD=DELETE", "method_override"),
            ("a=1;_method=DELETE", "method_override"),
            ("%5fmethod=DELETE", "method_override"),
            (".method=DELETE", "method_override"),
            ("a&+_method=DELETE", "method_override"),
            ("_method%00x=DELETE", "method_override"),
            ("_method[]=DELETE", "method_override"),
            ("_HttpMethod=PATCH", "method_override"),
            ("x-http-method-override=PATCH", "method_override"),
            ("$httpMethod=PATCH", "method_override"),
            ("method=x&payment_method=card&q=_method&my_method=1", "passes"),
            ("a=%zz", "passes"),
        ] {
            assert_eq!(asked("GET", Some(query), &[], Body::NotForwarded), expected, "{query}");
        }
    }

    #[test]
    fn bodies_that_ask_for_another_method_are_refused() {
        let (form, json) = ("application/x-www-form-urlencoded", "application/json");
        let parts = "multipart/form-data; boundary=x";
        for (kind, body, expected) in [
            (form, "_method=DELETE", "method_override"),
            (form, "a=1&%5Fmethod=DELETE", "method_override"),
            ("Application/X-WWW-Form-Urlencoded;charset=x", "_method=DELETE", "method_override"),
            (form, "a=_method", "passes"),
            (parts, "--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nPUT\r\n--x--", "method_override"),
            (parts, "--x\ncontent-disposition:form-data;name=_method\n\nPUT\n--x--", "method_override"),
            (parts, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n_method\r\n--x--", "passes"),
            (json, r#"{"_method": "DELETE"}"#, "method_override"),
            (json, r#"{"\u005fmethod": "DELETE"}"#, "method_override"),
            (json, r#"{"a": {"_method": "x"}, "method": 1}"#, "passes"),
            (json, r#"{"_method": "DELETE""#, "method_override"),
            ("text/plain", "_method=DELETE", "passes"),
        ] {
            let body = Body::Whole(body.as_bytes());
            assert_eq!(asked("POST", None, &[("Content-Type", kind)], body), expected, "{kind} {body:?}");
        }
        for (method, kind, expected) in [
            ("POST", form, "method_override"),
            ("POST", parts, "method_override"),
            ("POST", json, "passes"),
            ("PUT", form, "passes"),
        ] {
            for body in [Body::NotForwarded, Body::Partial] {
                assert_eq!(asked(method, None, &[("Content-Type", kind)], body), expected, "{method} {kind}");
            }
        }
    }
}
