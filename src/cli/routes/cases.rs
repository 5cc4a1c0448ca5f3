//! Files of tests of routes: each a request and what must become of it, with the line of every mistake.

use std::net::IpAddr;

use serde_json::{Map, Number, Value as Json};

use crate::cli::test::{Fault, Kind, Member, Node, node};
use palisade_engine::model::{Uid, hint_of_text};
use palisade_routes::{Body, Peer};

const FILE_KEYS: &str = "`namespace`, `defaults` and `tests`";
const TEST_KEYS: &str = "`request`, `host`, `principal`, `headers`, `body`, `forwarded`, `claims`, `peer` and `expect`";
const PEER_KEYS: &str = "`ip` and `name`";

/// What a test may expect, for messages.
const EXPECT: &str = "`public`, `refuse CODE`, a check such as `Read Doc::d`, or a list of checks";

/// One request and what it must become.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Case {
    /// The line of the test.
    pub(super) line: usize,
    /// Method and target.
    pub(super) request: Option<String>,
    /// The host that the client named.
    pub(super) host: Option<String>,
    /// Who asks.
    pub(super) principal: Option<Uid<'static>>,
    /// The headers.
    pub(super) headers: Vec<(String, String)>,
    /// What was sent.
    pub(super) body: Option<String>,
    /// How much of it the gateway passed on.
    pub(super) forwarded: Forwarded,
    /// Verified claims, an object as text.
    pub(super) claims: Option<String>,
    /// The client's address.
    pub(super) ip: Option<IpAddr>,
    /// The name in its certificate.
    pub(super) name: Option<String>,
    /// What must become of it; nothing only in `defaults`.
    pub(super) expect: Option<Vec<String>>,
}

/// How much of the body the gateway passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Forwarded {
    /// All of it.
    #[default]
    Whole,
    /// Less than all.
    Partial,
    /// Nothing.
    None,
}

// === impl Case ===

impl Case {
    /// The body as the gateway passed it on.
    pub(super) fn forwarded(&self) -> Body<'_> {
        match self.forwarded {
            Forwarded::None => Body::NotForwarded,
            Forwarded::Partial => Body::Partial,
            Forwarded::Whole => Body::Whole(self.body.as_ref().map_or(b"", |body| body.as_bytes())),
        }
    }

    /// Who is at the other end of the connection.
    pub(super) fn peer(&self) -> Peer<'_> {
        Peer { ip: self.ip, name: self.name.as_deref() }
    }

    /// What the test is called.
    pub(super) fn title(&self) -> String {
        self.request.clone().unwrap_or_else(|| format!("(test at line {})", self.line))
    }

    fn set(&mut self, Member { key, line, value }: &Member, namespace: &str) -> Result<(), Fault> {
        let text = || Ok::<_, Fault>(Some(value.text(&format!("`{key}`"))?.to_owned()));
        match key.as_str() {
            "request" => self.request = text()?,
            "host" => self.host = text()?,
            "principal" => {
                let named = value.text("`principal`")?;
                self.principal = Some(uid(named, namespace).map_err(|message| Fault::at(value.line, message))?);
            }
            "headers" => self.headers = headers(value)?,
            "body" => {
                self.body = match &value.kind {
                    Kind::Null => None,
                    Kind::Text(text) => Some(text.clone()),
                    _ => Some(json(value)?.to_string()),
                }
            }
            "forwarded" => {
                self.forwarded = match value.text("`forwarded`")? {
                    "whole" => Forwarded::Whole,
                    "partial" => Forwarded::Partial,
                    "none" => Forwarded::None,
                    other => {
                        let message = format!("`forwarded` is `whole`, `partial` or `none`, not `{other}`");
                        return Err(Fault::at(value.line, message));
                    }
                }
            }
            "claims" => {
                value.map("`claims`")?;
                self.claims = Some(json(value)?.to_string());
            }
            "peer" => self.set_peer(value)?,
            "expect" => self.expect = Some(expect(value)?),
            _ => return Err(Fault::at(*line, unknown(key, "a test", TEST_KEYS))),
        }
        Ok(())
    }

    fn set_peer(&mut self, node: &Node) -> Result<(), Fault> {
        for Member { key, line, value } in node.map("`peer`")? {
            match key.as_str() {
                "ip" => {
                    let text = value.text("`ip`")?;
                    let wrong = |_| Fault::at(value.line, format!("`{text}` is not an address such as `10.0.0.7`"));
                    self.ip = Some(text.parse().map_err(wrong)?);
                }
                "name" => self.name = Some(value.text("`name`")?.to_owned()),
                _ => return Err(Fault::at(*line, unknown(key, "`peer`", PEER_KEYS))),
            }
        }
        Ok(())
    }
}

fn unknown(key: &str, what: &str, keys: &str) -> String {
    format!("unknown key `{key}`; {what} has {keys}{}", hint_of_text(key, keys))
}

/// Reads a file: its tests, each with what keeps it from being one.
///
/// # Errors
/// If the file holds no tests.
pub(super) fn parse(text: &str) -> Result<Vec<(Case, Option<Fault>)>, Fault> {
    let root = node::parse(text)?;
    let members = root.map("the file")?;
    let find = |key: &str| members.iter().find(|member| member.key == key).map(|member| &member.value);
    if let Some(member) = members.iter().find(|member| !FILE_KEYS.contains(&format!("`{}`", member.key))) {
        return Err(Fault::at(member.line, unknown(&member.key, "a file of tests of routes", FILE_KEYS)));
    }
    let namespace = match find("namespace") {
        Some(node) => format!("{}::", node.text("`namespace`")?),
        None => String::new(),
    };
    let mut defaults = Case::default();
    for member in find("defaults").map_or(Ok(&[][..]), |node| node.map("`defaults`"))? {
        defaults.set(member, &namespace)?;
    }
    let tests =
        find("tests").ok_or_else(|| Fault::at(1, format!("there is no `tests` here; a file has {FILE_KEYS}")))?;
    let cases = tests.list("`tests`")?.iter().map(|node| {
        let mut case = Case { line: node.line, ..defaults.clone() };
        let fault = read(node, &namespace, &mut case).err();
        (case, fault)
    });
    Ok(cases.collect())
}

fn read(node: &Node, namespace: &str, case: &mut Case) -> Result<(), Fault> {
    let mut first = None;
    for member in node.map("a test")? {
        // the others are read too: a test is named by its request
        first = first.or(case.set(member, namespace).err());
    }
    let lacks = |what: &str, is: &str| Fault::at(node.line, format!("the test lacks `{what}`: {is}"));
    match (first, &case.request, &case.expect) {
        (Some(fault), ..) => Err(fault),
        (None, None, _) => Err(lacks("request", "a method and a target, such as `GET /a`")),
        (None, _, None) => Err(lacks("expect", EXPECT)),
        _ => Ok(()),
    }
}

fn headers(node: &Node) -> Result<Vec<(String, String)>, Fault> {
    let wrong = |node: &Node| Fault::at(node.line, "`headers` is a list of pairs, such as `[[accept, text/html]]`");
    let pairs = node.list("`headers`")?.iter().map(|pair| match &pair.kind {
        Kind::List(parts) => match parts.as_slice() {
            [name, value] => Ok((name.text("a header's name")?.to_owned(), value.text("a header's value")?.to_owned())),
            _ => Err(wrong(pair)),
        },
        _ => Err(wrong(pair)),
    });
    pairs.collect()
}

fn expect(node: &Node) -> Result<Vec<String>, Fault> {
    let text = |node: &Node| match &node.kind {
        Kind::Text(text) => Ok(text.clone()),
        _ => Err(Fault::at(node.line, format!("`expect` is {EXPECT}, and not {}", node.kind()))),
    };
    match &node.kind {
        Kind::List(all) => all.iter().map(text).collect(),
        _ => Ok(vec![text(node)?]),
    }
}

/// A value as JSON has it.
fn json(node: &Node) -> Result<Json, Fault> {
    Ok(match &node.kind {
        Kind::Null => Json::Null,
        Kind::Bool(is) => (*is).into(),
        Kind::Long(n) => (*n).into(),
        Kind::Float(n) => {
            let number = Number::from_f64(*n);
            Json::Number(number.ok_or_else(|| Fault::at(node.line, "JSON has no such number"))?)
        }
        Kind::Text(text) => text.as_str().into(),
        Kind::List(items) => items.iter().map(json).collect::<Result<_, _>>()?,
        Kind::Map(members) => {
            let members = members.iter().map(|member| Ok((member.key.clone(), json(&member.value)?)));
            Json::Object(members.collect::<Result<Map<_, _>, Fault>>()?)
        }
    })
}

fn uid(text: &str, namespace: &str) -> Result<Uid<'static>, String> {
    if text.contains("::\"") {
        return Uid::parse(text).map(Uid::into_owned).map_err(|error| error.to_string());
    }
    let (type_name, id) = text.rsplit_once("::").ok_or_else(|| {
        format!("`{text}` is not an entity: write `Type::id`, or in full `Name::Space::Type::\"id\"`")
    })?;
    let type_name = if type_name.contains("::") { type_name.to_owned() } else { format!("{namespace}{type_name}") };
    Uid::new(type_name, id.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_in_full_over_the_defaults() {
        let cases = parse(
            "namespace: N\ndefaults: {host: a.example, principal: U::a, claims: {n: 1}, expect: public}\ntests:\n  \
             - {request: GET /a}\n  - request: PUT /b\n    host: b.example\n    headers: [[x-a, b]]\n    body: {c: [1, 2.5, null]}\n    \
             forwarded: partial\n    peer: {ip: '::1', name: spiffe://x}\n    principal: 'M::U::\"b\"'\n    expect: [a U::a, b U::b]\n",
        )
        .unwrap();
        assert!(cases.iter().all(|(_, fault)| fault.is_none()), "{cases:?}");
        let (first, second) = (&cases[0].0, &cases[1].0);
        assert_eq!(first.principal.as_ref().unwrap().to_string(), r#"N::U::"a""#);
        assert_eq!((first.host.as_deref(), first.claims.as_deref()), (Some("a.example"), Some(r#"{"n":1}"#)));
        assert_eq!((first.line, first.expect.as_deref()), (4, Some(&["public".to_owned()][..])));
        assert_eq!(second.principal.as_ref().unwrap().to_string(), r#"M::U::"b""#);
        assert_eq!(
            (second.host.as_deref(), second.body.as_deref()),
            (Some("b.example"), Some(r#"{"c":[1,2.5,null]}"#))
        );
        assert_eq!(second.headers, [("x-a".to_owned(), "b".to_owned())]);
        assert_eq!(second.forwarded(), Body::Partial);
        assert_eq!(second.peer(), Peer { ip: "::1".parse().ok(), name: Some("spiffe://x") });
        assert_eq!(second.expect.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_has_a_line_and_our_words() {
        for (members, line, message) in [
            (
                "expect: {action: Read}",
                4,
                "`expect` is `public`, `refuse CODE`, a check such as `Read Doc::d`, or a list of checks, and not a mapping",
            ),
            ("expect: [{action: Read}]", 4, "and not a mapping"),
            ("expect: 7", 4, "and not a number"),
            ("", 3, "the test lacks `expect`: `public`"),
            ("expekt: public", 4, "unknown key `expekt`; a test has"),
            ("expekt: public", 4, "did you mean `expect`?"),
            ("headers: {a: b}", 4, "`headers` must be a list"),
            ("headers: [a]", 4, "`headers` is a list of pairs"),
            ("headers: [[a, 1]]", 4, "a header's value must be a text, not a number"),
            ("forwarded: all", 4, "`forwarded` is `whole`, `partial` or `none`, not `all`"),
            ("claims: 1", 4, "`claims` must be a mapping"),
            ("principal: a", 4, "`a` is not an entity"),
            ("peer: {ip: here}", 4, "`here` is not an address"),
            ("peer: {adress: a}", 4, "unknown key `adress`; `peer` has `ip` and `name`"),
        ] {
            let cases = parse(&format!("namespace: N\ntests:\n  - request: GET /a\n    {members}\n")).unwrap();
            let fault = cases[0].1.as_ref().unwrap();
            assert!(fault.message.contains(message) && fault.line == Some(line), "{members}: {fault:?}");
            assert_eq!(cases[0].0.title(), "GET /a");
        }
        for (text, message) in
            [("tests:\n- {expect: public}\n", "the test lacks `request`"), ("tests: [1]\n", "a test must be a mapping")]
        {
            let fault = parse(text).unwrap().remove(0).1.unwrap();
            assert!(fault.message.contains(message), "{text}: {fault:?}");
        }
        for (text, message) in [
            ("test: []\n", "unknown key `test`; a file of tests of routes has"),
            ("namespace: N\n", "there is no `tests` here"),
            ("tests: {a: b}\n", "`tests` must be a list"),
            ("defaults: {hots: a}\ntests: []\n", "did you mean `host`?"),
            ("tests: [\n", "not valid YAML"),
            ("a: 1\na: 2\n", "not valid YAML: duplicate mapping key: a (column"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.message.contains(message) && fault.line.is_some(), "{text}: {fault:?}");
        }
    }
}
