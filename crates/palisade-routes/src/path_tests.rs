//! The 37 nasty targets, each class on its own, and properties that hold for every target.

use proptest::prelude::*;

use super::*;

/// What happens to a target.
fn verdict(target: &[u8]) -> String {
    match Target::parse(target) {
        Err(fault) => fault.name().to_owned(),
        Ok(target) if target.classes.is_empty() => {
            let path: Vec<&str> = target.segments.iter().map(|s| s.text.as_ref()).collect();
            let slash = if target.trailing_slash { "/" } else { "" };
            format!("accepted {path:?}{slash}")
        }
        Ok(target) => target.classes.to_string(),
    }
}

/// Targets that gateways and services were seen to read differently, and the class of each.
const NASTY: &[(&str, &str, &str)] = &[
    ("/a%2fb", "encoded_slash", "nginx with a URI in proxy_pass passes /a/b on"),
    ("/a%2Fb", "encoded_slash", "the case of the digits changes nothing"),
    ("//admin//x", "empty_segment", "Traefik, Apache and a hardened Envoy merge slashes"),
    ("/pub/../admin", "dot_segment", "most resolve it to /admin"),
    ("/pub/%2e%2e/admin", "dot_segment", "encoded dots are resolved too"),
    ("/pub/%2E%2E%2fadmin", "dot_segment", "in one segment with the slash that follows"),
    ("/pub/..;/admin", "dot_segment", "a hardened Envoy and Java containers cut at `;` and resolve"),
    ("/admin;v=1/x", "parameter", "Java containers cut parameters"),
    ("/admin/", r#"accepted ["admin"]/"#, "another path than /admin: routes say which they mean"),
    ("/admin/.", "dot_segment", "resolved to /admin/ or /admin"),
    ("/admin.", r#"accepted ["admin."]"#, "everybody passes it on; it is not /admin"),
    ("/%61dmin", r#"accepted ["admin"]"#, "literals match decoded text, so it is the same route as /admin"),
    ("/ADMIN", r#"accepted ["ADMIN"]"#, "paths are case-sensitive: it is not /admin"),
    ("/admin%00.png", "control", "readers in C end at NUL"),
    ("/admin?x=1&x=2;y=3", r#"accepted ["admin"]"#, "the query matters only to routes that read it, and they refuse"),
    ("/admin%3fx=1", "encoded_question", "nginx decodes and encodes it again"),
    ("/pub\\..\\admin", "dot_segment", "a hardened Envoy makes slashes of it and resolves"),
    ("/admin%20", r#"accepted ["admin "]"#, "everybody passes it on; it is not /admin"),
    ("/pub/%252e%252e/admin", "dot_segment", "decoding twice makes .. of it"),
    ("http://other.test/admin", "not_origin_form", "Apache shows the whole, the service sees /admin"),
    ("/admin#frag", "fragment", "nginx cuts there, Caddy and Traefik encode it"),
    ("/cafÃ©", "non_ascii", "Caddy and Traefik encode it"),
    ("/caf%c3%a9", r#"accepted ["café"]"#, "UTF-8, decoded once"),
    ("/pub/%c0%ae%c0%ae/admin", "invalid_utf8", "an overlong form of dots"),
    ("//evil.test/admin", "empty_segment", "URL parsers take a host from it"),
    ("/a%0d%0ab", "control", "a line end, for logs and headers further on"),
    ("*", "not_origin_form", "HAProxy's script shows nothing at all for it"),
    ("/a%zzb", "invalid_percent", "half of the gateways pass it on"),
    ("/pub/./admin", "dot_segment", "most resolve it to /pub/admin"),
    ("/pub/%5c../admin", "dot_segment", "a slash to whoever reads backslashes so"),
    ("/admin?q=/../x#f", "fragment", "a `#` in the query too"),
    ("admin", "not_origin_form", "a path without a slash matches no template"),
    ("/admin??x", r#"accepted ["admin"]"#, "the path ends at the first `?`"),
    ("/a b", "control", "white space ends a request line"),
    ("/a\tb", "control", "and so does a tab, to some"),
    ("/admin%2f..%2fpub", "dot_segment", "decoded before it is split, it is /pub"),
    ("/%2fadmin", "encoded_slash", "decoded before it is split, it is //admin"),
];

#[test]
fn the_nasty_targets() {
    assert_eq!(NASTY.len(), 37);
    for (target, expected, why) in NASTY {
        assert_eq!(verdict(target.as_bytes()), *expected, "{target}: {why}");
    }
}

#[test]
fn each_class_on_its_own() {
    for (target, expected) in [
        ("/", "accepted []/"),
        ("/a/b", r#"accepted ["a", "b"]"#),
        ("/a:b@c!$&'()*+,=-._~", r#"accepted ["a:b@c!$&'()*+,=-._~"]"#),
        ("/...", r#"accepted ["..."]"#),
        ("/.well-known/x", r#"accepted [".well-known", "x"]"#),
        ("/a?b|c", r#"accepted ["a"]"#),
        ("", "not_origin_form"),
        ("?x", "not_origin_form"),
        ("host:443", "not_origin_form"),
        ("//", "empty_segment"),
        ("/a//", "empty_segment"),
        ("/a\\b", "backslash"),
        ("/a%5Cb", "encoded_backslash"),
        ("/a;b", "parameter"),
        ("/a%3Bb", "encoded_semicolon"),
        ("/a|b", "raw_character"),
        ("/a[0]", "raw_character"),
        ("/a%2Eb", "encoded_dot"),
        ("/a%25b", "encoded_percent"),
        ("/a%23b", "encoded_hash"),
        ("/a%3Fb", "encoded_question"),
        ("/a%2f%5c;", "parameter, encoded_slash, encoded_backslash"),
        ("/a?é", "non_ascii"),
        ("/..%20/a", "dot_segment"),
        ("/%2e/a", "dot_segment"),
        ("/a/..", "dot_segment"),
        ("/a;..", "dot_segment"),
        ("/%25252e%25252e/a", "dot_segment"),
        ("/a%C2%85b", "control"),
        ("/a\u{85}b", "control"),
        ("/a%7fb", "control"),
        ("/a\u{7f}", "control"),
        ("/a?b\rc", "control"),
        ("/a?b\u{7f}c", "control"),
        ("/a%00b", "control"),
        ("/a%1fb", "control"),
        ("/a%", "invalid_percent"),
        ("/a%4", "invalid_percent"),
        ("/a%+1", "invalid_percent"),
        ("/%ff", "invalid_utf8"),
        ("/a?#", "fragment"),
    ] {
        assert_eq!(verdict(target.as_bytes()), expected, "{target:?}");
    }
    assert_eq!(verdict(b"/\xff"), "invalid_utf8");
    assert_eq!(verdict(&[b"/", &[b'a'; MAX_TARGET][..]].concat()), "overlong");
    assert_eq!(verdict("/a".repeat(MAX_SEGMENTS).as_bytes()).split(' ').next(), Some("accepted"));
    assert_eq!(verdict("/a".repeat(MAX_SEGMENTS + 1).as_bytes()), "overlong");
}

#[test]
fn every_class_has_its_own_bit_and_name() {
    let mut seen = std::collections::HashSet::new();
    for class in PathClass::ALL {
        assert!(Classes::default().with(class).contains(class));
        assert_eq!(PathClass::ALL.into_iter().filter(|c| Classes::default().with(class).contains(*c)).count(), 1);
        assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        assert!(seen.insert(class.name()));
    }
}

#[test]
fn a_rest_distinguishes_encoded_slashes_from_real_ones() {
    let rest = |target: &str| Target::parse(target.as_bytes()).unwrap().rest(1).into_owned();
    assert_eq!(rest("/f/a/b"), "a/b");
    assert_eq!(rest("/f/a%2Fb"), "a%2Fb");
    assert_eq!(rest("/f/a%252Fb"), "a%252Fb");
    assert_eq!(rest("/f/a//b"), "a//b");
    assert_eq!(rest("/f/caf%c3%a9"), "café");
    assert_eq!(rest("/f"), "");
}

/// Encodes what must be encoded, and nothing else.
fn encode(target: &Target<'_>) -> String {
    let mut out = String::new();
    for segment in &target.segments {
        out.push('/');
        for byte in segment.text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    if target.trailing_slash {
        out.push('/');
    }
    if let Some(query) = target.query {
        out.push('?');
        out.push_str(query);
    }
    out
}

/// RFC 3986's equivalence: upper-case digits, and no encoding of what needs none.
fn canonical(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let byte = u8::from_str_radix(&rest[at + 1..at + 3], 16).unwrap();
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        rest = &rest[at + 3..];
    }
    out + rest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn parsing_is_total(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Target::parse(&bytes);
        let _ = Target::parse(&[b"/", &bytes[..]].concat());
    }

    #[test]
    fn what_is_accepted_means_one_thing(target in "/([a-c./%;\\\\?é| -]|%2[0-9a-fA-F]|%[3-7][0-9a-f]|%c3%a9|\\.\\.){0,12}") {
        let Ok(read) = Target::parse(target.as_bytes()) else { return Ok(()) };
        if read.classes.is_empty() {
            let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(p, q)| (p, Some(q)));
            let expected = canonical(path) + &query.map(|q| format!("?{q}")).unwrap_or_default();
            let encoded = encode(&read);
            prop_assert_eq!(&encoded, &expected);
            // reading it again gives the same segments
            let again = Target::parse(encoded.as_bytes()).unwrap();
            let texts = |t: &Target<'_>| t.segments.iter().map(|s| s.text.to_string()).collect::<Vec<_>>();
            prop_assert_eq!((texts(&again), again.trailing_slash), (texts(&read), read.trailing_slash));
            // decoding before splitting gives the same segments: nothing hides a slash
            let whole = lenient_decode(path);
            if !whole.contains('%') {
                let mut split: Vec<&str> = whole.split('/').skip(1).collect();
                if read.trailing_slash { split.pop(); }
                prop_assert_eq!(split, texts(&read));
            }
        }
        // no reading, however patient, finds a dot segment
        let mut text = target.split('?').next().unwrap_or_default().to_owned();
        for _ in 0..4 {
            prop_assert!(!text.split(['/', '\\']).any(|part| part == "." || part == ".."), "{}", text);
            text = lenient_decode(&text);
        }
    }
}
