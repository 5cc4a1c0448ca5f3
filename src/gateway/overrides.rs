//! What in a request may make a service take it for another one than its request line says.
//!
//! Frameworks obey such words to help clients that can only send `GET` and `POST`, or to learn what a proxy rewrote.
//! The sidecar checks the request line, so it refuses them unless a file of routes says that its service ignores them.

use crate::domain::Value;
use crate::gateway::facts::{Body, Field, RequestFacts};
use crate::gateway::forwarded;
use crate::gateway::host::normal_host;
use crate::gateway::media::{Json, Media};
use crate::gateway::names::{fold, same_name};
use crate::gateway::parts;
use crate::gateway::query;
use crate::gateway::refusal::Refusal;
use crate::gateway::service::Ignored;

/// Headers by which some services take another method than that of the request line.
const METHODS: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Fields of a query, a form or JSON that do the same, as [`fold`] writes them.
const METHOD_FIELDS: [&str; 7] = [
    "_method",
    "_httpmethod",
    "$httpmethod",
    "x_http_method_override",
    "x_http_method",
    "x_method_override",
    "x_tunneled_method",
];

/// Why a form is refused that the sidecar does not see.
const UNSEEN: &str = "the body may be a form that asks for another method (`_method`), as that of a `POST` without \
    `Content-Type` may, and not all of it was passed on; say `ignores: [method_override]` under `service` if the service \
    does not obey it";

/// Why a body is refused that is compressed, or in an encoding in which ASCII is not itself.
const HIDDEN: &str = "the body may ask for another method (`_method`), and is compressed or in a `charset` that hides it; \
    say `ignores: [method_override]` under `service` if the service does not obey it";

/// Headers by which some services take another path, or take something off it or put something before it.
const PATHS: [&str; 14] = [
    "x-original-url",
    "x-rewrite-url",
    "x-override-url",
    "x-http-path-override",
    "x-envoy-original-path",
    "x-http-destinationurl",
    // gunicorn takes it off the path, and so do some of Flask's middlewares with the second
    "script-name",
    "x-script-name",
    "path-info",
    // Django behind Daphne takes it off
    "daphne-root-path",
    // Pyramid puts it before the path
    "x-vhm-root",
    // Next.js renders the page that they name
    "x-matched-path",
    "x-invoke-path",
    "x-middleware-rewrite",
];

/// Headers by which some services take another host. A gateway may write them too, and then they name the same.
const HOSTS: [&str; 4] = ["x-forwarded-host", "x-original-host", "x-host", "x-http-host-override"];

/// Every header by which some service takes another method, path or host.
pub fn headers() -> impl Iterator<Item = &'static str> {
    METHODS.iter().chain(&PATHS).chain(&HOSTS).copied()
}

/// Whether some service takes another method by a header.
#[must_use]
pub fn is_method_header(header: &str) -> bool {
    METHODS.iter().any(|name| same_name(header, name))
}

/// What the routes for a path say.
#[derive(Clone, Copy)]
pub(super) struct At<'x> {
    /// A body that cannot be read is refused for that.
    pub(super) reads_body: bool,
    /// The path is mapped for more than one method.
    pub(super) other_methods: &'x dyn Fn() -> bool,
}

/// Refuses what asks for another method, path or host, unless `ignores` says that the service does not obey it.
pub(super) fn check(
    facts: &RequestFacts<'_>,
    query: Option<&str>,
    at: At<'_>,
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
        body(facts, at)?;
    }
    if !ignores(Ignored::PathOverride) && there(&PATHS) {
        return refuse("path_override", "a header asks for another path");
    }
    if !ignores(Ignored::PathOverride) && !forwarded::is_plain(facts) {
        let message = "a header names a scheme, a port or a prefix of the path that makes another URL of the request";
        return refuse("path_override", message);
    }
    if !ignores(Ignored::HostOverride) && !same_host(facts) {
        return refuse("host_override", "a header names another host than the request");
    }
    Ok(())
}

/// Whether a field of that name, with an index or without, asks for another method.
fn is_method(name: &str) -> bool {
    let name = fold(name);
    // Rack and qs, which Express uses, read `[_method]` as `_method`, and some look for `?_method=` anywhere
    let name = name.trim_start_matches(['[', ']', '?']);
    METHOD_FIELDS
        .iter()
        .any(|field| name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', ']'])))
}

/// Whether a look at each name is worth it: they all have a word in them, unless it is encoded.
fn may_name_one(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'%' | b'\\'))
        || text.windows(6).any(|six| six.eq_ignore_ascii_case(b"method"))
}

/// Refuses a form or a JSON object that asks for another method, and a form that nobody can look into.
fn body(facts: &RequestFacts<'_>, at: At<'_>) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::bad_request("method_override", message));
    let media = Media::of(facts);
    let is_form = media.form || media.parts;
    let post = facts.method == "POST";
    let bytes = match facts.body {
        Body::Whole(bytes) => bytes,
        // A `POST` without a type is a form to some, but most have no body at all, and no gateway here says so. Where the
        // path has no other method there is nothing to turn it into.
        Body::NotForwarded if media.typeless && !(at.other_methods)() => return Ok(()),
        // and the route that reads the body refuses it for that
        Body::NotForwarded | Body::Partial if media.typeless && at.reads_body => return Ok(()),
        // forms count for a POST alone, and where no bodies come JSON is the service's own matter
        Body::NotForwarded | Body::Partial if is_form && post => return refuse(UNSEEN),
        Body::NotForwarded | Body::Partial => return Ok(()),
    };
    // the route that reads it as JSON refuses it for that
    let read_later = at.reads_body && media.json == Json::Yes;
    if media.hidden && post && !bytes.is_empty() && (is_form || (media.json != Json::No && !read_later)) {
        return refuse(HIDDEN);
    }
    let form = |bytes| may_name_one(bytes) && query::names(&String::from_utf8_lossy(bytes)).any(|it| is_method(&it));
    let kind = match facts.headers.field("content-type") {
        Field::One(kind) => kind,
        Field::Absent | Field::Repeated => b"",
    };
    let asks = (media.form && form(bytes))
        || (media.parts && parts::names_one(kind, bytes, &is_method))
        || match media.json {
            Json::No => false,
            Json::Like => json_asks(bytes).unwrap_or_else(|()| quotes_one(bytes)),
            // whoever reads it all the same may find anything
            Json::Yes => json_asks(bytes).unwrap_or(!read_later),
        };
    if asks { refuse("the body asks for another method") } else { Ok(()) }
}

/// Whether a JSON object asks for another method. Fails if it is not JSON to everybody.
fn json_asks(bytes: &[u8]) -> Result<bool, ()> {
    // UTF-16 and UTF-32 have NULs between the letters of ASCII
    let spread = || bytes.iter().copied().filter(|byte| *byte != 0).collect::<Vec<u8>>();
    let hides = has_overlong(bytes) || (bytes.contains(&0) && may_name_one(&spread()));
    if !hides && !may_name_one(bytes) {
        return Ok(false);
    }
    let value = Value::parse(bytes).map_err(|_| ())?;
    Ok(value.as_object().is_some_and(|members| members.iter().any(|(name, _)| is_method(name))))
}

/// Whether some letters of ASCII may be written with more bytes than UTF-8 gives them, which lax readers take.
fn has_overlong(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| matches!(two, [0xc0 | 0xc1, _] | [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f]))
}

/// Whether a text in quotes may be such a name, in something like JSON.
fn quotes_one(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return true };
    text.contains('\0') || text.split('"').any(|word| is_method(word) || word.contains("\\u00"))
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
            Field::One(value) => forwarded::pairs(value, b"host").all(same),
            Field::Repeated => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Peer;

    fn asked(method: &str, query: Option<&str>, headers: &[(&str, &str)], body: Body<'_>) -> String {
        asked_at(At { reads_body: false, other_methods: &|| true }, method, query, headers, body)
    }

    fn asked_at(at: At<'_>, method: &str, query: Option<&str>, headers: &[(&str, &str)], body: Body<'_>) -> String {
        let headers = headers.to_vec();
        let (host, peer) = (Some("api.test"), Peer::default());
        let facts = RequestFacts { method, target: b"/", host, headers: &headers, body, peer };
        check(&facts, query, at, &|_| false).err().map_or("passes".to_owned(), |refusal| refusal.code.to_owned())
    }

    #[test]
    fn a_body_without_a_type_is_refused_where_it_could_ask_for_another_method() {
        let form = "application/x-www-form-urlencoded";
        for (kind, reads_body, other_methods, body, expected) in [
            (None, false, false, Body::NotForwarded, "passes"),
            (Some(" "), false, false, Body::NotForwarded, "passes"),
            (None, false, true, Body::NotForwarded, "method_override"),
            (None, false, false, Body::Partial, "method_override"),
            (None, false, false, Body::Whole(b"_method=DELETE"), "method_override"),
            // the route refuses it
            (None, true, true, Body::NotForwarded, "passes"),
            (None, true, false, Body::Partial, "passes"),
            (Some("nonsense"), true, false, Body::Partial, "method_override"),
            (Some(form), false, false, Body::NotForwarded, "method_override"),
            (Some(form), true, false, Body::NotForwarded, "method_override"),
        ] {
            let headers: Vec<(&str, &str)> = kind.map(|kind| ("Content-Type", kind)).into_iter().collect();
            let at = At { reads_body, other_methods: &|| other_methods };
            let found = asked_at(at, "POST", None, &headers, body);
            assert_eq!(found, expected, "{kind:?} {reads_body} {other_methods} {body:?}");
        }
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
            (("SCRIPT_NAME", "/files"), "path_override"),
            (("Script-Name", "/files"), "path_override"),
            (("X-Script-Name", "/files"), "path_override"),
            (("Daphne-Root-Path", "/files"), "path_override"),
            (("Daphne.Root.Path", "/files"), "path_override"),
            (("X-Vhm-Root", "/files"), "path_override"),
            (("Path-Info", "/files"), "path_override"),
            (("X-Invoke-Path", "/files"), "path_override"),
            (("X-Forwarded-Proto", "http://api.test/admin?"), "path_override"),
            (("X-Forwarded-Proto", "https"), "passes"),
            (("X-Forwarded-Port", "80/admin?"), "path_override"),
            (("Forwarded", "proto=\"http://api.test/admin?\""), "path_override"),
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
            ("?_method=DELETE", "method_override"),
            ("a=?_method=DELETE", "method_override"),
            ("%3f_method=DELETE", "method_override"),
            ("%5fmethod=DELETE", "method_override"),
            (".method=DELETE", "method_override"),
            ("a&+_method=DELETE", "method_override"),
            ("_method%00x=DELETE", "method_override"),
            ("_method[]=DELETE", "method_override"),
            ("[_method]=DELETE", "method_override"),
            ("%5B%5B_method=DELETE", "method_override"),
            ("_method]=DELETE", "method_override"),
            ("x-tunneled-method=DELETE", "method_override"),
            ("%u005fmethod=DELETE", "method_override"),
            ("X%U002dHTTP-Method-Override=DELETE", "method_override"),
            ("%u00zzmethod=DELETE", "passes"),
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
            (parts, "--x\r\nContent-ID: _method\r\n\r\nPUT\r\n--x--", "method_override"),
            (
                parts,
                "--x\r\nContent-Disposition: form-data;\r\n name=\"_m\\ethod\"\r\n\r\nPUT\r\n--x--",
                "method_override",
            ),
            ("multipart/related; boundary=x", "--x\r\nContent-ID: _method\r\n\r\nPUT\r\n--x--", "method_override"),
            ("", "_method=DELETE", "method_override"),
            ("nonsense", "_method=DELETE", "method_override"),
            ("application/x-www-form-urlencoded charset=utf-8", "_method=DELETE", "method_override"),
            ("application/x-www-form-urlencoded; charset=ibm037", "%6D%94", "method_override"),
            ("application/x-www-form-urlencoded; charset=ibm037", "", "passes"),
            ("", "{\"a\": 1}", "passes"),
            ("application/jsonrequest", r#"{"_method": "DELETE"}"#, "method_override"),
            ("text/plain; a=/json", r#"{"_method": "DELETE"} {"a": 2}"#, "method_override"),
            ("text/plain; a=/json", r#"{"\u005fmethod": "DELETE"} {"a": 2}"#, "method_override"),
            ("application/x-ndjson", "{\"method\": 1}\n{\"payment_method\": 2}", "passes"),
            ("application/json; charset=utf-16", "{}", "method_override"),
            (json, r#"{"_method": "DELETE"}"#, "method_override"),
            (json, r#"{"\u005fmethod": "DELETE"}"#, "method_override"),
            (json, r#"{"a": {"_method": "x"}, "method": 1}"#, "passes"),
            (json, r#"{"_method": "DELETE""#, "method_override"),
            ("text/plain", "_method=DELETE", "passes"),
            // some services read every body as JSON that may be an object
            ("text/plain", r#"{"_method": "DELETE"}"#, "method_override"),
            ("text/plain", " \r\n\t{\"_method\": \"DELETE\"}", "method_override"),
            ("text/plain", "\u{feff}{\"_method\": \"DELETE\"}", "method_override"),
            ("application/octet-stream", r#"{"_method": "DELETE"}"#, "method_override"),
            ("application/csp-report", r#"{"\u005fmethod": "DELETE"}"#, "method_override"),
            ("application/xml", r#"{"_method": "DELETE"}"#, "method_override"),
            ("image/png", r#"{"_method": "DELETE"}"#, "method_override"),
            ("text/plain", r#"{"a": {"_method": 1}, "payment_method": 2}"#, "passes"),
            ("text/plain", r#"["_method"]"#, "passes"),
            ("text/plain; charset=utf-16", "{\0\"\0a\0\"", "method_override"),
            ("text/plain; charset=utf-16", "a\0", "passes"),
        ] {
            let body = Body::Whole(body.as_bytes());
            assert_eq!(asked("POST", None, &[("Content-Type", kind)], body), expected, "{kind} {body:?}");
        }
        for (body, expected) in [
            (&b"{\0\"\0_\0m\0e\0t\0h\0o\0d\0\"\0:\0"[..], "method_override"),
            (b"\xfe\xff\0{\0\"\0_\0m\0E\0t\0h\0o\0d\0\"", "method_override"),
            (b"{\0\0\0\"\0\0\0\\\0\0\0u\0\0\0", "method_override"),
            (b"{\"_meth\xc1\xafd\": 1}", "method_override"),
            (b"{\"_meth\xe0\x81\xafd\": 1}", "method_override"),
            (b"{\"_method\": \"\xff\"}", "method_override"),
            (b"\x00\xff not JSON", "passes"),
            (b"{\"name\": \"Jos\xe9\"}", "passes"),
        ] {
            let found = asked("POST", None, &[("Content-Type", json)], Body::Whole(body));
            assert_eq!(found, expected, "{}", body.escape_ascii());
        }
        let zipped = [("Content-Type", json), ("Content-Encoding", "gzip")];
        assert_eq!(asked("POST", None, &zipped, Body::Whole(b"\x1f\x8b")), "method_override");
        assert_eq!(asked("PUT", None, &zipped[1..], Body::Whole(b"\x1f\x8b")), "passes");
        for (kind, expected) in [
            ("text/plain", "method_override"),
            ("application/octet-stream", "method_override"),
            ("image/svg+xml", "passes"),
            ("application/x-protobuf", "passes"),
        ] {
            let zipped = [("Content-Type", kind), ("Content-Encoding", "gzip")];
            assert_eq!(asked("POST", None, &zipped, Body::Whole(b"\x1f\x8b")), expected, "{kind}");
        }
        assert_eq!(asked("POST", None, &[], Body::Whole(b"_method=DELETE")), "method_override");
        assert_eq!(asked("POST", None, &[], Body::Whole(b"")), "passes");
        assert_eq!(asked("POST", None, &[], Body::NotForwarded), "method_override");
        assert_eq!(asked("PUT", None, &[], Body::NotForwarded), "passes");
        let twice = [("Content-Type", json), ("Content-Type", json)];
        assert_eq!(asked("POST", None, &twice, Body::NotForwarded), "method_override");
        assert_eq!(asked("POST", None, &twice, Body::Whole(br#"{"_method": "PUT"}"#)), "method_override");
        for (method, kind, expected) in [
            ("POST", "", "method_override"),
            ("POST", "multipart/mixed", "method_override"),
            ("POST", "text/plain", "passes"),
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
