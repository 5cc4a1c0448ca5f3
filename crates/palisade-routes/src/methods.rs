//! Words by which a service takes another method than that of the request line: in headers, the query, and bodies.

use crate::facts::{Body, Field, RequestFacts};
use crate::media::{Json, Media};
use crate::names::fold;
use crate::overrides::At;
use crate::parts;
use crate::query;
use crate::refusal::Refusal;
use crate::watched::Group;
use palisade_engine::model::{Value, closest};

/// Headers by which some services take another method than that of the request line; the last is one of Oracle's ATG.
pub(super) const HEADERS: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-tunneled-method", "atg-rest-http-method"];

/// Fields of a query, a form or JSON that do the same, as [`fold`] writes them, without what stands around.
const METHOD_FIELDS: [&str; 7] = [
    "$httpmethod",
    "x_http_method_override",
    "x_http_method",
    "x_method_override",
    "x_tunneled_method",
    "atg_rest_http_method",
    "alf_method",
];

/// Those that do with `_` before them, however many: `_method` of Rails and Laravel, `__method` of Neos Flow.
const MARKED_FIELDS: [&str; 2] = ["method", "httpmethod"];

/// A field that some take for the method (Restlet does), and most for something else. So what it says counts.
pub(super) const PLAIN_FIELD: &str = "method";

/// What it may say, in any case: methods that are no words of anything else.
const WORDS: [&str; 21] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "BASELINE-CONTROL",
    "M-SEARCH",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// What it may say too: the other methods that IANA lists, and those that caches and devices obey. In small letters most
/// are words of a service's own: `unlock` of a door, `checkout` of a basket.
const CAPITALS: [&str; 24] = [
    "ACL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "PURGE",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SUBSCRIBE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
    "UPDATE",
];

/// Why a form is refused that the sidecar does not see.
const UNSEEN: &str = "the body may be a form that asks for another method (`_method`), as that of a `POST` without \
    `Content-Type` may, and not all of it was passed on; say `ignores: [method_override]` under `service` if the service \
    does not obey it";

/// Why a body is refused that is compressed, or in an encoding in which ASCII is not itself.
const HIDDEN: &str = "the body may ask for another method (`_method`), and is compressed or in a `charset` that hides it; \
    say `ignores: [method_override]` under `service` if the service does not obey it";

/// Why a query is refused that says `method=DELETE`.
const PLAIN_OF_QUERY: &str = "`method` in the query is another method than the request's, and some services obey it; list it \
    under `parameters`, or say `ignores: [method_override]` under `service`, if the service does not";

/// Why a body is refused that says so.
const PLAIN_OF_BODY: &str = "`method` in the body is another method than the request's, and some services obey it; list it under \
    `fields`, or say `ignores: [method_override]` under `service`, if the service does not";

/// The method that was probably meant by one that no standard has, if one is near.
pub(super) fn meant(method: &str) -> Option<&'static str> {
    let known = || WORDS.into_iter().chain(CAPITALS);
    if known().any(|known| known == method) { None } else { closest(method, known()) }
}

/// Refuses what asks for another method.
pub(super) fn check(facts: &RequestFacts<'_>, query: Option<&str>, at: At<'_>) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::bad_request("method_override", message));
    if facts.headers.watched().names(Group::Methods).any(|name| facts.headers.field(name) != Field::Absent) {
        return refuse("a header asks for another method");
    }
    if let Some(query) = query.filter(|query| may_name_one(query.as_bytes())) {
        if query::names(query).any(|it| is_method(&it)) {
            return refuse("the query asks for another method");
        }
        if says_another(query, facts.method, at) && !(at.knows_of_query)(PLAIN_FIELD) {
            return refuse(PLAIN_OF_QUERY);
        }
    }
    body(facts, at)
}

/// Whether a field of that name, with an index or without, asks for another method.
fn is_method(name: &str) -> bool {
    let name = fold(name);
    let (marks, bare) = without_marks(&name);
    let is_one = |field: &str| bare.strip_prefix(field).is_some_and(ends_a_name);
    METHOD_FIELDS.into_iter().any(is_one) || (marks.contains('_') && MARKED_FIELDS.into_iter().any(is_one))
}

/// Whether a field is called [`PLAIN_FIELD`] to some reader, and nothing that [`is_method`] knows.
fn is_plain_method(name: &str) -> bool {
    let name = fold(name);
    let (marks, bare) = without_marks(&name);
    !marks.contains('_') && bare.strip_prefix(PLAIN_FIELD).is_some_and(ends_a_name)
}

/// What stands before a folded name, and the name. Rack and qs, which Express uses, read `[_method]` as `_method`, and some
/// look for `?_method=` anywhere.
fn without_marks(name: &str) -> (&str, &str) {
    let bare = name.trim_start_matches(['[', ']', '?', '_']);
    (&name[..name.len() - bare.len()], bare)
}

/// Whether what follows a name is no more of it.
fn ends_a_name(rest: &str) -> bool {
    let rest = rest.trim_start_matches('_');
    rest.is_empty() || rest.starts_with(['[', ']'])
}

/// Whether it is a method, and not `own`. One that the path is mapped for is one in any case: a service that has `MERGE`
/// may take it in small letters.
fn is_another(word: &str, own: &str, at: At<'_>) -> bool {
    let word = word.trim_matches(|c: char| c.is_whitespace() || c.is_control() || c == '"');
    let known = || {
        WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)) || CAPITALS.contains(&word) || (at.is_mapped)(word)
    };
    !word.is_empty() && !word.eq_ignore_ascii_case(own) && known()
}

/// Whether a query or a form says by [`PLAIN_FIELD`] that another method is meant.
fn says_another(text: &str, own: &str, at: At<'_>) -> bool {
    text.split(['&', ';', '?']).any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        is_plain_method(&query::lenient(name)) && is_another(&query::lenient(value), own, at)
    })
}

/// The same of parts of a form: one has the name, and a line is a method.
fn part_says_another(content_type: &[u8], bytes: &[u8], own: &str, at: At<'_>) -> bool {
    let line = |line: &[u8]| is_another(&String::from_utf8_lossy(line), own, at);
    parts::names_one(content_type, bytes, &is_plain_method)
        && bytes.split(|byte| matches!(byte, b'\r' | b'\n')).any(line)
}

/// Whether a look at each name is worth it: they all have a word in them, unless it is encoded.
fn may_name_one(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'%' | b'\\'))
        || text.windows(6).any(|six| six.eq_ignore_ascii_case(b"method"))
}

/// Refuses a form or a JSON object that asks for another method, and a form that cannot be read here.
fn body(facts: &RequestFacts<'_>, at: At<'_>) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::bad_request("method_override", message));
    let post = facts.method == "POST";
    // forms count for a POST alone
    if !post && !matches!(facts.body, Body::Whole(_)) {
        return Ok(());
    }
    let media = Media::of(facts);
    let is_form = media.form || media.parts;
    let bytes = match facts.body {
        Body::Whole(bytes) => bytes,
        // A `POST` without a type is a form to some, but most have no body at all. Where the gateway does not say so, it
        // is refused only where the path has another method to turn it into.
        Body::NotForwarded if media.typeless && !(at.other_methods)() => return Ok(()),
        // and the route that reads the body refuses it for that
        Body::NotForwarded | Body::Partial if media.typeless && at.reads_body => return Ok(()),
        // where no bodies come JSON is the service's own matter
        Body::NotForwarded | Body::Partial if is_form => return refuse(UNSEEN),
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
            Json::Like => like_json_asks(bytes, &asks_by_name).unwrap_or_else(|()| quotes_one(bytes, &is_method)),
            // a service that reads it all the same may find anything
            Json::Yes => json_asks(bytes, &asks_by_name).unwrap_or(!read_later),
        };
    if asks {
        return refuse("the body asks for another method");
    }
    let own = facts.method;
    let member = |name: &str, value: &Value<'_>| {
        is_plain_method(name)
            && match value {
                Value::Array(elements) => {
                    elements.iter().any(|it| it.as_str().is_some_and(|word| is_another(word, own, at)))
                }
                value => value.as_str().is_some_and(|word| is_another(word, own, at)),
            }
    };
    let quotes = || quotes_one(bytes, &is_plain_method) && quotes_one(bytes, &|word| is_another(word, own, at));
    let says = (media.form && may_name_one(bytes) && says_another(&String::from_utf8_lossy(bytes), own, at))
        || (media.parts && part_says_another(kind, bytes, own, at))
        || match media.json {
            Json::No => false,
            Json::Like => like_json_asks(bytes, &member).unwrap_or_else(|()| quotes()),
            // broken: it was refused above, or is by the route that reads it
            Json::Yes => json_asks(bytes, &member).unwrap_or(false),
        };
    if says && !(at.knows_of_body)() { refuse(PLAIN_OF_BODY) } else { Ok(()) }
}

fn asks_by_name(name: &str, _: &Value<'_>) -> bool {
    is_method(name)
}

/// Whether a JSON object has a member that asks for another method. Fails if some reader would not take it for JSON.
fn json_asks(bytes: &[u8], asks: &dyn Fn(&str, &Value<'_>) -> bool) -> Result<bool, ()> {
    // UTF-16 and UTF-32 have NULs between the letters of ASCII
    let spread = || bytes.iter().copied().filter(|byte| *byte != 0).collect::<Vec<u8>>();
    let hides = has_overlong(bytes) || (bytes.contains(&0) && may_name_one(&spread()));
    if !hides && !may_name_one(bytes) {
        return Ok(false);
    }
    document_asks(bytes, asks)
}

/// The same of one document.
fn document_asks(bytes: &[u8], asks: &dyn Fn(&str, &Value<'_>) -> bool) -> Result<bool, ()> {
    let value = Value::parse(bytes).map_err(|_| ())?;
    Ok(value.as_object().is_some_and(|members| members.iter().any(|(name, value)| asks(name, value))))
}

/// Whether a document asks for another method, or one of several where each line is one, as in bulks of Elasticsearch. All
/// lines are read: a service may take the first for the whole body, or any.
fn like_json_asks(bytes: &[u8], asks: &dyn Fn(&str, &Value<'_>) -> bool) -> Result<bool, ()> {
    json_asks(bytes, asks).or_else(|()| {
        let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.try_fold(false, |found, line| Ok(document_asks(line, asks)? || found))
    })
}

/// Whether some letters of ASCII may be written with more bytes than UTF-8 gives them, which lax readers take.
fn has_overlong(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| matches!(two, [0xc0 | 0xc1, _] | [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f]))
}

/// Whether a text in quotes may be one that is looked for, in something like JSON.
fn quotes_one(bytes: &[u8], is_one: &dyn Fn(&str) -> bool) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return true };
    text.contains('\0') || text.split('"').any(|word| is_one(word) || word.contains("\\u00"))
}
