//! What some service may take a body for, by what its headers say.
//!
//! Servers read `Content-Type` in their own ways: some cut it at a blank, some look for a word in it, and some take a
//! body without one for a form. What one of them does counts.

use crate::facts::{Body, Field, RequestFacts};
use crate::watched::Group;

/// Encodings of text in which the letters of ASCII are themselves.
const CHARSETS: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];

/// Families of them.
const CHARSET_FAMILIES: [&str; 2] = ["iso-8859-", "windows-125"];

/// Families of types that no service reads as text.
const BINARY_FAMILIES: [&str; 4] = ["image/", "audio/", "video/", "font/"];

/// Words in other such types.
const BINARY: [&str; 8] = ["protobuf", "grpc", "msgpack", "thrift", "avro", "cbor", "/pdf", "zip"];

/// What a body may be read as. It may be several of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Media {
    /// A form, `a=1&b=2`.
    pub(super) form: bool,
    /// A form in parts, `multipart/form-data` and its like.
    pub(super) parts: bool,
    /// There is no type, so that most readers take it for no form.
    pub(super) typeless: bool,
    /// JSON.
    pub(super) json: Json,
    /// Its bytes cannot be looked into as they are: they are compressed, or in an encoding that hides ASCII.
    pub(super) hidden: bool,
    /// Its type is one of pictures and the like, that are compressed for good reason and are no JSON.
    binary: bool,
}

/// Whether a body is JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Json {
    /// It is not.
    #[default]
    No,
    /// To those that look for the word alone. Lines of JSON are among it.
    Like,
    /// It is.
    Yes,
}

impl Media {
    /// What the headers make of the body.
    pub(super) fn of(facts: &RequestFacts<'_>) -> Self {
        if !facts.headers.watched().any(Group::Media) && !matches!(facts.body, Body::Whole(_)) {
            return Self::typeless(facts.method);
        }
        let encoded = match facts.headers.field("content-encoding") {
            Field::Absent => false,
            Field::One(value) => {
                !value.trim_ascii().is_empty() && !value.trim_ascii().eq_ignore_ascii_case(b"identity")
            }
            Field::Repeated => true,
        };
        let all = Self { form: true, parts: true, json: Json::Like, ..Self::default() };
        let media = match facts.headers.field("content-type") {
            Field::Absent => Self::typeless(facts.method),
            Field::Repeated => all,
            Field::One(value) => match std::str::from_utf8(value) {
                Ok(text) if !text.contains(|c: char| c.is_control() && c != '\t') => Self::named(text, facts.method),
                _ => all,
            },
        };
        let json = match (media.json, facts.body) {
            (Json::No, Body::Whole(bytes)) if may_be_object(bytes) || (encoded && !media.binary) => Json::Like,
            (json, _) => json,
        };
        Self { json, hidden: media.hidden || encoded, ..media }
    }

    /// CGI and Rack take the body of a `POST` without a type for a form.
    fn typeless(method: &str) -> Self {
        Self { form: method == "POST", typeless: true, ..Self::default() }
    }

    fn named(text: &str, method: &str) -> Self {
        let text = text.to_lowercase();
        let text = text.trim();
        // PHP ends the type at a blank, others at a semicolon or a comma
        let media = text.split([';', ',', ' ', '\t']).next().unwrap_or_default();
        let json = if media.ends_with("/json") || media.ends_with("+json") {
            Json::Yes
        } else if text.contains("json") {
            Json::Like
        } else {
            Json::No
        };
        Self {
            // text that is not a type counts as no type; `application/x-url-encoded` is an old name
            form: (!media.contains('/') && Self::typeless(method).form)
                || text.contains("urlencoded")
                || text.contains("url-encoded"),
            parts: text.contains("multipart"),
            typeless: media.is_empty(),
            binary: BINARY_FAMILIES.iter().any(|family| media.starts_with(family))
                || BINARY.iter().any(|word| media.contains(word)),
            json,
            hidden: text.match_indices("charset").any(|(at, word)| !is_plain_charset(&text[at + word.len()..])),
        }
    }
}

/// Whether it begins as a JSON object does, in whatever encoding: some services read every body as JSON, whatever its type.
pub(super) fn may_be_object(bytes: &[u8]) -> bool {
    // blanks, the NULs of UTF-16 and marks of the order of bytes
    let before = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff);
    bytes.iter().find(|byte| !before(byte)) == Some(&b'{')
}

/// Whether what follows `charset` names an encoding in which ASCII is itself.
fn is_plain_charset(rest: &str) -> bool {
    let Some(value) = rest.trim_start().strip_prefix('=') else { return false };
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    let name = value.split([';', ',', '"', '\'', ' ', '\t']).next().unwrap_or_default();
    CHARSETS.contains(&name) || CHARSET_FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Peer;

    fn of(method: &str, headers: &[(&str, &[u8])]) -> String {
        let headers = headers.to_vec();
        let (host, peer, body) = (Some("api.test"), Peer::default(), Body::NotForwarded);
        let media = Media::of(&RequestFacts { method, target: b"/", host, headers: &headers, body, peer });
        let json = match media.json {
            Json::No => "",
            Json::Like => "json? ",
            Json::Yes => "json ",
        };
        let word = |there: bool, word: &'static str| if there { word } else { "" };
        let all = [word(media.form, "form "), word(media.parts, "parts "), json, word(media.hidden, "hidden")];
        all.concat().trim().to_owned()
    }

    #[test]
    fn a_body_is_what_any_reader_takes_it_for() {
        for (kind, expected) in [
            (&b"application/x-www-form-urlencoded"[..], "form"),
            (b"Application/X-WWW-Form-URLEncoded; charset=UTF-8", "form"),
            (b"application/x-www-form-urlencoded charset=utf-8", "form"),
            (b"application/x-www-form-urlencoded\t;v=1", "form"),
            (b"application/x-www-form-urlencodedx", "form"),
            (b"application/x-url-encoded", "form"),
            (b"text/plain; urlencoded", "form"),
            (b"", "form"),
            (b"  ", "form"),
            (b";charset=utf-8", "form"),
            (b"nonsense", "form"),
            (b"\xff/\xff", "form parts json?"),
            (b"text/\x01plain", "form parts json?"),
            (b"multipart/form-data; boundary=x", "parts"),
            (b"Multipart/Mixed", "parts"),
            (b"application/json", "json"),
            (b"application/merge-patch+json ; v=1", "json"),
            (b"text/json,text/html", "json"),
            (b"application/jsonrequest", "json?"),
            (b"application/x-ndjson", "json?"),
            (b"text/plain; a=/json", "json?"),
            (b"multipart/form-data; boundary=/json", "parts json?"),
            (b"text/plain", ""),
            (b"application/octet-stream", ""),
            (b"application/json; charset=utf-16", "json hidden"),
            (b"application/json; charset=\"utf-8\"", "json"),
            (b"application/x-www-form-urlencoded; charset=ibm037", "form hidden"),
            (b"application/x-www-form-urlencoded; charset=utf-8; Charset = 'utf-7'", "form hidden"),
            (b"application/x-www-form-urlencoded; charset", "form hidden"),
            (b"text/html; charset=windows-1252", ""),
        ] {
            assert_eq!(of("POST", &[("Content-Type", kind)]), expected, "{}", String::from_utf8_lossy(kind));
        }
        for (method, headers, expected) in [
            ("POST", &[][..], "form"),
            ("PUT", &[], ""),
            ("PUT", &[("Content-Type", &b""[..])], ""),
            ("POST", &[("Content-Type", b"text/plain"), ("Content-Type", b"text/plain")], "form parts json?"),
            ("POST", &[("Content_Type", b"text/plain")], "form parts json?"),
            ("POST", &[("Content-Encoding", b"gzip")], "form hidden"),
            ("POST", &[("Content-Encoding", b" Identity")], "form"),
            ("POST", &[("Content-Encoding", b"")], "form"),
        ] {
            assert_eq!(of(method, headers), expected, "{method} {headers:?}");
        }
    }
}
