//! What asks for another method, path, host or function is refused, in every writing, and nothing else is.

use super::*;
use crate::{Body, Peer};

fn asked(method: &str, query: Option<&str>, headers: &[(&str, &str)], body: Body<'_>) -> String {
    asked_at(
        At {
            reads_body: false,
            other_methods: &|| true,
            is_mapped: &|word| word.eq_ignore_ascii_case("REBOOT"),
            knows_of_query: &|_| false,
            knows_of_header: &|_| false,
            knows_of_body: &|| false,
            is_host: &|host| ["admin", "other.test"].contains(&host),
        },
        method,
        query,
        headers,
        body,
    )
}

fn asked_at(at: At<'_>, method: &str, query: Option<&str>, headers: &[(&str, &str)], body: Body<'_>) -> String {
    asked_of(at, (method, "/"), query, headers, body, None)
}

fn asked_of(
    at: At<'_>,
    (method, target): (&str, &str),
    query: Option<&str>,
    headers: &[(&str, &str)],
    body: Body<'_>,
    ignored: Option<Ignored>,
) -> String {
    let headers = headers.to_vec();
    let (host, peer) = (Some("api.test"), Peer::default());
    let facts = RequestFacts { method, target: target.as_bytes(), host, headers: &headers, body, peer };
    let refused = check(&facts, query, at, &|what| Some(what) == ignored).err();
    refused.map_or("passes".to_owned(), |refusal| refusal.code.to_owned())
}

/// Routes that know of nothing.
const NOTHING: At<'static> = At {
    reads_body: false,
    other_methods: &|| false,
    is_mapped: &|_| false,
    knows_of_query: &|_| false,
    knows_of_header: &|_| false,
    knows_of_body: &|| false,
    is_host: &|_| false,
};

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
        let at = At {
            reads_body,
            other_methods: &|| other_methods,
            is_mapped: &|_| false,
            knows_of_query: &|_| false,
            knows_of_header: &|_| false,
            knows_of_body: &|| false,
            is_host: &|_| false,
        };
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
        (("X-Traversal-Path", "/pub"), "path_override"),
        (("X-Forwarded-Script-Name", "/a"), "path_override"),
        (("X-SvelteKit-Pathname", "/admin/7"), "path_override"),
        (("X.SvelteKit.Search", "?a"), "path_override"),
        (("X-Vercel-Matched-Path", "/admin/7"), "path_override"),
        (("Daphne-Root-Path", "/files"), "path_override"),
        (("Daphne.Root.Path", "/files"), "path_override"),
        (("X-Vhm-Root", "/files"), "path_override"),
        (("Path-Info", "/files"), "path_override"),
        (("X-Invoke-Path", "/files"), "path_override"),
        (("X-Astro-Path", "/admin"), "path_override"),
        (("X_Astro_Path", "/admin"), "path_override"),
        (("X-Now-Route-Matches", "__isr_route=%2Fadmin"), "path_override"),
        (("X-MS-Original-URL", "https://api.test/admin"), "path_override"),
        (("X.Ms.Original.Url", "https://api.test/admin"), "path_override"),
        (("X-Astro-Locals", "{}"), "passes"),
        (("X-Forwarded-Proto", "http://api.test/admin?"), "path_override"),
        (("X-Forwarded-Proto", "https"), "passes"),
        (("X-Forwarded-Port", "80/admin?"), "path_override"),
        (("Forwarded", "proto=\"http://api.test/admin?\""), "path_override"),
        (("X-Forwarded-Host", "other.test"), "host_override"),
        (("X-Forwarded-Host", "api.test, other.test"), "host_override"),
        (("X-Forwarded-Host", "API.test.:443"), "passes"),
        (("X_Forwarded_Host", "api.test"), "host_override"),
        (("X-Forwarded-Host", ""), "passes"),
        (("X-Forwarded-Server", "other.test"), "host_override"),
        (("X-Forwarded-Server", "web-1, other.test"), "host_override"),
        (("X-Forwarded-Server", "a.test/d/closed?"), "host_override"),
        (("X-Forwarded-Server", "localhost"), "host_override"),
        (("X-Forwarded-Server", "web:80"), "host_override"),
        (("X-Forwarded-Server", "10"), "host_override"),
        (("X-Forwarded-Server", "10.0.0.1"), "host_override"),
        (("X-Forwarded-Server", "[::1]"), "host_override"),
        (("X-Forwarded-Server", "Admin"), "host_override"),
        (("X.Forwarded.Server", "api.test"), "host_override"),
        (("X-Forwarded-Server", ""), "passes"),
        (("X-Forwarded-Server", "api.test:443"), "passes"),
        (("X-Forwarded-Server", "5f0c9d1e2b3a"), "passes"),
        (("X-Forwarded-Server", "ip-10-0-0-1.ec2.internal"), "passes"),
        (("X-Forwarded-Server", "web-1, api.test"), "passes"),
        (("Forwarded", "for=10.0.0.1;host=other.test"), "host_override"),
        (("Forwarded", "for=10.0.0.1; Host=\"api.test:80\";proto=https"), "passes"),
        (("Forwarded", "for=10.0.0.1; Host = \"api.test:80\";proto=https"), "host_override"),
        (("Forwarded", "host=api.test, host=other.test"), "host_override"),
        // Spring and others look for the words wherever they stand
        (("Forwarded", "for=1;xhost=other.test"), "host_override"),
        (("Forwarded", "for=10.0.0.1 host=other.test"), "host_override"),
        (("Forwarded", "for=\"host=other.test\""), "host_override"),
        (("Forwarded", "\"host=other.test\""), "host_override"),
        (("Forwarded", "xhost=other.test;host=api.test"), "host_override"),
        (("Forwarded", "xproto=http://api.test/admin?"), "host_override"),
        (("Forwarded", "proto=a/b"), "path_override"),
        // Jetty takes it for the host where it takes the name of a proxy
        (("Forwarded", "by=other.test"), "host_override"),
        (("Forwarded", "by=machine"), "host_override"),
        (("Forwarded", "by=api.test"), "passes"),
        (("Forwarded", "by=10.0.0.1;for=_x;secret=abc"), "passes"),
        (("Forwarded", "by=_proxy;for=unknown"), "passes"),
        (("Forwarded", "by=\"[2001:db8::1]:443\""), "passes"),
        (("X-Forwarded-Server", "other.test."), "host_override"),
        (("X-Forwarded-Server", "OTHER.test."), "host_override"),
        (("X-Forwarded-Server", "localhost."), "host_override"),
        (("X-Forwarded-Server", "a..test"), "host_override"),
        (("X-Forwarded-Server", ".other.test"), "host_override"),
        (("X-Forwarded-Server", "other.test.."), "host_override"),
        (("X-Forwarded-Server", "0x7f000001"), "host_override"),
        (("X-Forwarded-Server", "web-1.lan."), "passes"),
        (("X-Frappe-Site-Name", "other.test"), "host_override"),
        (("X-Frappe-Site-Name", "api.test"), "passes"),
        (("X-Sendfile-Type", "X-Accel-Redirect"), "path_override"),
        (("X-Accel-Mapping", "/app/files/report=/d/closed"), "path_override"),
        (("X.Accel.Mapping", "/app/files/report=/d/closed"), "path_override"),
        (("X-Tunneled-Method", "DELETE"), "method_override"),
        (("ATG-REST-HTTP-Method", "DELETE"), "method_override"),
        (("Forwarded", "for=10.0.0.1"), "passes"),
        (("X-Method", "x"), "passes"),
    ] {
        assert_eq!(asked("GET", None, &[header], Body::NotForwarded), expected, "{header:?}");
    }
    for (first, second, expected) in [
        ("for=10.0.0.1", "for=10.0.0.2", "passes"),
        ("for=10.0.0.1;host=api.test", "for=10.0.0.2;proto=http;host=\"api.test:80\"", "passes"),
        ("for=10.0.0.1;proto=https", "", "passes"),
        ("for=_x", "by=api.test;for=unknown", "passes"),
        ("for=10.0.0.1;host=api.test", "for=10.0.0.2;host=other.test", "host_override"),
        ("for=10.0.0.1;host=other.test", "for=10.0.0.2;host=api.test", "host_override"),
        ("for=10.0.0.1", "by=machine", "host_override"),
        ("for=10.0.0.1", "proto=a/b", "path_override"),
        // a text in quotes that ends in the other line, and what is of no RFC in either
        ("for=\"10.0.0.1", "10.0.0.2\"", "host_override"),
        ("for=\"_a", "host=other.test\"", "host_override"),
        ("for=10.0.0.1", "xhost=other.test", "host_override"),
        ("for=10.0.0.1 host=other.test", "for=10.0.0.2", "host_override"),
    ] {
        let both = [("Forwarded", first), ("X-Other", "1"), ("forwarded", second)];
        assert_eq!(asked("GET", None, &both, Body::NotForwarded), expected, "{first:?} {second:?}");
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
        ("x+http+method+override=PATCH", "method_override"),
        ("_method%09=DELETE", "method_override"),
        ("_method%E3%80%80=DELETE", "method_override"),
        ("x%20http.method=PATCH", "method_override"),
        ("$httpMethod=PATCH", "method_override"),
        ("__method=DELETE", "method_override"),
        ("____method___=DELETE", "method_override"),
        ("[__method][]=DELETE", "method_override"),
        ("_.method=DELETE", "method_override"),
        ("%1F_method=DELETE", "method_override"),
        ("%EF%BB%BF_method=DELETE", "method_override"),
        ("%00_method=DELETE", "method_override"),
        ("__HttpMethod=DELETE", "method_override"),
        ("_x_http_method_override=DELETE", "method_override"),
        ("atg-rest-http-method=DELETE", "method_override"),
        ("alf_method=DELETE", "method_override"),
        ("method=DELETE", "method_override"),
        ("a=1&Method=delete", "method_override"),
        ("m%65thod=%44ELETE", "method_override"),
        ("method[]=DELETE", "method_override"),
        ("a;method=DELETE", "method_override"),
        ("a=?method=DELETE", "method_override"),
        ("method=MOVE", "method_override"),
        ("method=unlock", "passes"),
        ("method=MERGE", "method_override"),
        ("method=REPORT", "method_override"),
        ("method=SUBSCRIBE", "method_override"),
        ("method=LINK", "method_override"),
        ("method=VERSION-CONTROL", "method_override"),
        ("method=mkcalendar", "method_override"),
        ("method=%20PROPFIND%0a", "method_override"),
        ("method[]=UPDATE", "method_override"),
        // the path is mapped for it
        ("method=REBOOT", "method_override"),
        ("method=reboot", "method_override"),
        ("method=report", "passes"),
        ("method=subscribe", "passes"),
        ("method=checkout", "passes"),
        ("method=SHUTDOWN", "passes"),
        ("method=Link", "passes"),
        ("method=%20", "passes"),
        ("method=GET", "passes"),
        ("method=get", "passes"),
        ("method=card", "passes"),
        ("method", "passes"),
        ("methods=DELETE", "passes"),
        ("method_id=DELETE", "passes"),
        ("payment_method=DELETE", "passes"),
        ("method=x&payment_method=card&q=_method&my_method=1", "passes"),
        ("a=%zz", "passes"),
        ("x_astro_path=/admin", "path_override"),
        ("a=1&x%5fastro_path=/admin", "path_override"),
        ("a=1;x_astro_path", "path_override"),
        ("X.Astro-Path=/admin", "path_override"),
        ("__isr_route=%2Fadmin", "path_override"),
        ("__pathname=/admin", "path_override"),
        ("a=__pathname&pathname=/a&isr_route=1&astro_path=1", "passes"),
        // pages are read without running an action
        ("_action=wipe", "passes"),
    ] {
        assert_eq!(asked("GET", Some(query), &[], Body::NotForwarded), expected, "{query}");
    }
}

#[test]
fn functions_of_other_pages_are_refused() {
    let json = ("Content-Type", "application/json");
    for (method, query, header, expected) in [
        ("POST", None, ("Next-Action", "40ab"), "action_override"),
        ("POST", None, ("next_action", ""), "action_override"),
        ("GET", None, ("NEXT.ACTION", "x"), "action_override"),
        ("POST", Some("qfunc=h"), ("X-QRL", "h"), "action_override"),
        ("POST", None, ("RSC-Action-Id", "h"), "action_override"),
        ("POST", None, ("X.RSC.Action", "h"), "action_override"),
        ("POST", Some("__rsc_action_id=h"), ("Accept", "h"), "action_override"),
        ("POST", Some("qaction=h"), ("Accept", "h"), "action_override"),
        ("POST", None, ("RSC-Action", "m#f"), "action_override"),
        ("PUT", None, ("React_Server.Action", "x"), "action_override"),
        ("POST", Some("_rsc_action=h"), ("Accept", "h"), "action_override"),
        ("GET", Some("_rsc_action=h"), ("RSC", "1"), "passes"),
        ("POST", Some("qfunc=h"), ("X-Other", "h"), "passes"),
        ("POST", Some("_action=wipe"), json, "action_override"),
        ("POST", Some("a=1&%5FastroAction=wipe"), json, "action_override"),
        ("PUT", Some("a;_Action"), json, "action_override"),
        ("HEAD", Some("_action=wipe"), json, "passes"),
        ("POST", Some("action=wipe&my_action=1"), json, "passes"),
    ] {
        assert_eq!(
            asked(method, query, &[header, json], Body::Whole(b"{}")),
            expected,
            "{method} {query:?} {header:?}"
        );
    }
    let parts = [("Content-Type", "multipart/form-data; boundary=x")];
    for (name, expected) in
        [("$ACTION_ID_40ab", "action_override"), ("$ACTION_REF_1", "action_override"), ("action", "passes")]
    {
        let body = format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n\r\n--x--");
        assert_eq!(asked("POST", None, &parts, Body::Whole(body.as_bytes())), expected, "{name}");
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for (body, expected) in [
        ("$ACTION_ID_40ab=", "action_override"),
        ("a=1&%24ACTION_ID_40ab=", "action_override"),
        ("$action_ref_1=&$ACTION_1:0={}", "action_override"),
        ("action=1&price=$5", "passes"),
        ("a=%24ACTION_ID", "passes"),
    ] {
        assert_eq!(asked("POST", None, &form, Body::Whole(body.as_bytes())), expected, "{body}");
    }
    // a route that knows of it, and a service that has none
    let headers = [("Next-Action", "40ab"), json];
    let ask = |at, ignored| asked_of(at, ("POST", "/"), Some("_action=wipe"), &headers, Body::Whole(b"{}"), ignored);
    let knows =
        At { knows_of_query: &|name| name == "_action", knows_of_header: &|name| name == "next-action", ..NOTHING };
    assert_eq!(ask(knows, None), "passes");
    assert_eq!(ask(At { knows_of_query: &|_| false, ..knows }, None), "action_override");
    assert_eq!(ask(At { knows_of_header: &|_| false, ..knows }, None), "action_override");
    assert_eq!(ask(NOTHING, Some(Ignored::ActionOverride)), "passes");
}

#[test]
fn a_header_that_says_the_target_says_the_same() {
    for name in ["X-Forwarded-Uri", "X-Original-URI", "x-request-uri"] {
        for (value, expected) in
            [("/d/7", "passes"), ("/admin/7", "path_override"), ("", "path_override"), ("/d/7?a", "path_override")]
        {
            let found = asked_of(NOTHING, ("GET", "/d/7"), None, &[(name, value)], Body::NotForwarded, None);
            assert_eq!(found, expected, "{name}: {value}");
        }
        let twice = [(name, "/d/7"), (name, "/d/7")];
        let found = asked_of(NOTHING, ("GET", "/d/7"), None, &twice, Body::NotForwarded, None);
        assert_eq!(found, "path_override", "{name}");
    }
}

#[test]
fn bodies_that_ask_for_another_method_are_refused() {
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    let (parts, lines) = ("multipart/form-data; boundary=x", "application/x-ndjson");
    for (kind, body, expected) in [
        (form, "_method=DELETE", "method_override"),
        (form, "a=1&%5Fmethod=DELETE", "method_override"),
        ("Application/X-WWW-Form-Urlencoded;charset=x", "_method=DELETE", "method_override"),
        (form, "a=_method", "passes"),
        (form, "__method=DELETE", "method_override"),
        (json, r#"{"__method": "DELETE"}"#, "method_override"),
        (parts, "--x\r\nContent-Disposition: form-data; name=\"__method\"\r\n\r\nPUT\r\n--x--", "method_override"),
        (form, "method=DELETE", "method_override"),
        (form, "method=POST", "passes"),
        (form, "method=MERGE", "method_override"),
        (form, "method=Reboot", "method_override"),
        (form, "method=merge", "passes"),
        (json, r#"{"method": "SUBSCRIBE"}"#, "method_override"),
        (json, r#"{"method": "subscribe"}"#, "passes"),
        (json, r#"{"method": ["card", "reboot"]}"#, "method_override"),
        (json, r#"{"method": ""}"#, "passes"),
        (parts, "--x\r\nContent-Disposition: form-data; name=\"method\"\r\n\r\nLINK\r\n--x--", "method_override"),
        (parts, "--x\r\nContent-Disposition: form-data; name=\"method\"\r\n\r\nreboot\r\n--x--", "method_override"),
        (parts, "--x\r\nContent-Disposition: form-data; name=\"method\"\r\n\r\nlink\r\n--x--", "passes"),
        (form, "method=card", "passes"),
        (parts, "--x\r\nContent-Disposition: form-data; name=\"method\"\r\n\r\nPUT\r\n--x--", "method_override"),
        (parts, "--x\r\nContent-Disposition: form-data; name=\"method\"\r\n\r\ncard\r\n--x--", "passes"),
        (parts, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nPUT\r\n--x--", "passes"),
        (json, r#"{"method": "DELETE"}"#, "method_override"),
        (json, r#"{"m\u0065thod": "patch"}"#, "method_override"),
        (json, r#"{"method": ["DELETE"]}"#, "method_override"),
        (json, r#"{"method": "POST"}"#, "passes"),
        (json, r#"{"method": "card"}"#, "passes"),
        (json, r#"{"jsonrpc": "2.0", "method": "devices.list"}"#, "passes"),
        (json, r#"{"rules": [{"method": "DELETE"}]}"#, "passes"),
        ("text/plain", r#"{"method": "DELETE"}"#, "method_override"),
        ("application/x-ndjson", "{\"method\": \"DELETE\"}\n{\"a\": 2}", "method_override"),
        (parts, "--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nPUT\r\n--x--", "method_override"),
        (parts, "--x\ncontent-disposition:form-data;name=_method\n\nPUT\n--x--", "method_override"),
        (parts, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n_method\r\n--x--", "passes"),
        (parts, "--x\r\nContent-ID: _method\r\n\r\nPUT\r\n--x--", "method_override"),
        (parts, "--x\r\nContent-Disposition: form-data;\r\n name=\"_m\\ethod\"\r\n\r\nPUT\r\n--x--", "method_override"),
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
        // each line is a document, of which the members at the top count
        (lines, "{\"index\":{}}\n{\"http\":{\"request\":{\"method\":\"GET\"}}}", "passes"),
        (lines, "{\"index\":{}}\n{\"http\":{\"request\":{\"_method\":\"GET\"}}}\n", "passes"),
        (lines, "{\"index\":{}}\r\n\r\n{\"name\":\"caf\\u00e9\"}\r\n", "passes"),
        (lines, "{\"name\":\"caf\\u00e9\"}\n[\"_method\", \"method\", \"GET\"]\n7", "passes"),
        (lines, "{\"a\":\"method\"}\n{\"b\":\"GET\"}", "passes"),
        (lines, "{\"a\":1}\n{\"method\":\"GET\"}", "method_override"),
        (lines, "{\"a\":1}\n{\"m\\u0065thod\":\"G\\u0045T\"}", "method_override"),
        (lines, "{\"a\":1}\n{\"\\u005fmethod\":1}\n{}", "method_override"),
        (lines, "{\"_method\":1}\n{\"a\":1}", "method_override"),
        (lines, "{\"method\":\"card\"}\n{\"method\":\"POST\"}", "passes"),
        // more than a document in a line, or less than one: any text counts
        (lines, "{\"a\":1}{\"http\":{\"_method\":\"GET\"}}", "method_override"),
        (lines, "{\"a\":1}\n{\"http\":{\"_method\":\"GET\"}", "method_override"),
        (lines, "{\"a\":1}\r{\"_method\":\"GET\"}", "method_override"),
        (lines, "{\"a\":1}\n{\"b\":\"caf\\u00e9\"", "method_override"),
        ("text/plain", "{\"index\":{}}\n{\"http\":{\"request\":{\"method\":\"GET\"}}}", "passes"),
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
