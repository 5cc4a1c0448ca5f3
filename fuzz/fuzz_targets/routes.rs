//! Requests as hostile clients write them, against the routes of the four products.
//!
//! The first lines of the input are the method, the host and the target, then come headers, an empty line and the
//! body. Whatever is found must fit its template in a reading of the target that shares nothing with the table's:
//! split first, each segment decoded once.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use palisade_engine::model::{Uid, Value};
use palisade_routes::{Body, Identity, Part, Pattern, Peer, RequestFacts, Route, RouteTable, compile, normal_host};

static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../routes");
    let file = |name: &str| (name.to_owned(), std::fs::read_to_string(directory.join(name)).unwrap());
    let files = ["autopi.yaml", "edgeiq.yaml", "ioto.yaml", "thingsboard.yaml"].map(file);
    compile(&files, None).unwrap().0
});

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (method, host, target, rest) = (line(), line(), line(), line());
    let (Ok(method), Ok(host)) = (std::str::from_utf8(method), std::str::from_utf8(host)) else { return };
    let end = rest.windows(2).position(|two| two == b"\n\n");
    let (head, body) = end.map_or((rest, None), |end| (&rest[..end], Some(&rest[end + 2..])));
    let headers: Vec<(&str, &[u8])> = head
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
        })
        .collect();
    let facts = RequestFacts {
        method,
        target,
        host: Some(host),
        headers: &headers,
        body: body.map_or(Body::NotForwarded, Body::Whole),
        peer: Peer::default(),
    };
    let Ok(found) = TABLE.find(facts) else { return };
    let route = found.route().expect("what is found has a route");
    assert!(fits(route, method, host, target), "{method} {} is no {}", target.escape_ascii(), route.pattern);
    let claims = Value::empty_object();
    let identity = Identity {
        principal: Uid::new("Fleet::User", "u").unwrap(),
        auth: None,
        token: None,
        claims: Some(&claims),
    };
    let entities = |_: &Uid<'_>, _: &str| Some(Uid::new("Fleet::Customer", "c").unwrap());
    let _ = found.resolve(Some(&identity), &entities);
});

/// Whether a request is one of those that the route was written for.
fn fits(route: &Route, method: &str, host: &str, target: &[u8]) -> bool {
    let host = normal_host(host).unwrap_or_default();
    let hosts = route.hosts.is_empty()
        || route.hosts.iter().any(|own| own.strip_prefix('*').map_or(*own == *host, |ending| host.ends_with(ending)));
    let methods = route.pattern.methods.iter().any(|own| own == method || (method == "HEAD" && own == "GET"));
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut segments: Vec<Vec<u8>> = path.split(|byte| *byte == b'/').skip(1).map(decode).collect();
    let slash = segments.pop_if(|last| last.is_empty()).is_some();
    // the products allow no class but this, and not everywhere
    let slashes = slash == route.pattern.trailing_slash || route.allowed != palisade_routes::Classes::default();
    hosts && methods && slashes && path.starts_with(b"/") && matches(&route.pattern, &segments)
}

fn matches(pattern: &Pattern, segments: &[Vec<u8>]) -> bool {
    let mut segments = segments.iter();
    for part in &pattern.parts {
        let Some(text) = segments.next().and_then(|segment| std::str::from_utf8(segment).ok()) else { return false };
        let fits = match part {
            Part::Literal(literal) => text == literal,
            Part::OneOf(_, words) => words.iter().any(|word| word == text),
            Part::Capture(_, form) => form.takes(text),
            Part::Rest(_) => return true,
        };
        // no reader takes it for another path
        if !fits || text.is_empty() || matches!(text, "." | "..") || text.contains(['/', '\\', ';', '#', '?', '%', '\0']) {
            return false;
        }
    }
    segments.next().is_none()
}

fn decode(segment: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = segment;
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => (out.push(byte), rest = &after[2..]).1,
            None => (out.push(*first), rest = after).1,
        }
    }
    out
}
