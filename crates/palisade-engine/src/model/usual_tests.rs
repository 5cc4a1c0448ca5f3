//! The reader of usual bodies beside the one that knows everything: it says the same, or nothing.

use proptest::prelude::*;

use super::*;
use crate::model::RequestError;

/// What the other reader makes of a body.
fn in_full(body: &[u8]) -> Result<AccessRequest<'_>, String> {
    let value = Value::parse(body).map_err(|error| error.to_string())?;
    AccessRequest::from_value(value).map_err(|error: RequestError| format!("{error:?}"))
}

/// What the other reader makes of a batch, if each of its requests is one.
fn batch_in_full(body: &[u8]) -> Option<Vec<AccessRequest<'_>>> {
    let Value::Object(members) = Value::parse(body).ok()? else { return None };
    let [(name, Value::Array(elements))] = <[_; 1]>::try_from(members).ok()? else { return None };
    (name == "requests").then_some(())?;
    elements.into_iter().map(|element| AccessRequest::from_value(element).ok()).collect()
}

fn batch_in_usual_form(body: &[u8]) -> Option<Vec<AccessRequest<'_>>> {
    let mut batch = Batch::in_usual_form(body)?;
    let count = batch.len();
    let mut all = Vec::new();
    // a request that was given back is lent again
    for place in (0..count).chain(0..count) {
        let request = batch.lend(place)?;
        batch.give_back(place, request.clone());
        all.push(request);
    }
    let again = all.split_off(count);
    assert_eq!(all, again);
    Some(all)
}

/// Fails where a reader says something else. Says whether it says anything.
fn says_the_same(body: &[u8]) -> bool {
    let request = AccessRequest::in_usual_form(body);
    if let Some(request) = &request {
        assert_eq!(in_full(body).as_ref(), Ok(request), "{}", String::from_utf8_lossy(body));
    }
    let said = |read: Result<Value<'static>, serde_json::Error>| read.map_err(|error| error.to_string());
    let [usual, full] = [Value::parse_usual(body), Value::parse(body)].map(|read| said(read.map(Value::into_owned)));
    assert_eq!(usual, full, "{}", String::from_utf8_lossy(body));
    let batch = batch_in_usual_form(body);
    if batch.is_some() {
        assert_eq!(batch, batch_in_full(body), "{}", String::from_utf8_lossy(body));
    }
    request.is_some() || batch.is_some()
}

const UID_MEMBERS: &str = r#""principal":"A::B::\"p\"","action":{"type":"Action","id":"a"},"resource":"C::\"\"""#;

#[test]
fn what_is_usual_is_read() {
    let members = |more: &str| format!("{{{UID_MEMBERS}{more}}}");
    let wide: Vec<String> = (0..MOST_MEMBERS).map(|i| format!("\"k{i}\":{i}")).collect();
    for body in [
        members(""),
        members(",\"context\":{}"),
        members(",\"context\":{\"a\":1,\"b\":[true,false,\"x\",-7,0,[],[1],{}],\"c\":{\"__extn\":{\"fn\":\"ip\",\"arg\":\"::\"}}}"),
        members(&format!(",\"context\":{{{}}}", wide.join(","))),
        members(",\"context\":{\"a\":999999999999999999,\"b\":-999999999999999999}"),
        members(",\"context\":{\"é\":\"日本語 \u{7f}\",\"\":\"\"}"),
        members("").replace(',', " ,\n\t").replace(':', " : ").replace(" :  : ", "::"),
        format!(" {} \r\n", members("")),
        r#"{"resource":{"id":"r","type":"R"},"action":"A::\"long enough to be read in steps of eight\"","principal":"U::\"u\""}"#.to_owned(),
    ] {
        assert!(says_the_same(body.as_bytes()), "{body}");
        for batch in [
            format!("{{\"requests\":[{body}]}}"),
            format!("{{ \"requests\" : [ {body} , {body},{},{body} ] }}", members("")),
        ] {
            assert!(says_the_same(batch.as_bytes()), "{batch}");
        }
    }
    assert!(says_the_same(b"{\"requests\":[]}"));
}

#[test]
fn what_is_not_usual_is_left_to_the_other_reader() {
    let members = |more: &str| format!("{{{UID_MEMBERS}{more}}}");
    let context = |inner: &str| members(&format!(",\"context\":{{\"a\":{inner}}}"));
    let nested = |depth: usize| context(&("[".repeat(depth) + &"]".repeat(depth)));
    let wide: Vec<String> = (0..=MOST_MEMBERS).map(|i| format!("\"k{i}\":{i}")).collect();
    for body in [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        members("}"),
        members(","),
        members(",\"context\":null"),
        members(",\"context\":[]"),
        members(",\"context\":{},\"context\":{}"),
        members(",\"explain\":true"),
        members(",\"entities\":[]"),
        members(",\"additional_entities\":[]"),
        members(",\"principal\":\"A::\\\"q\\\"\""),
        members(&format!(",\"context\":{{{}}}", wide.join(","))),
        context("null"),
        context("1.5"),
        context("1e3"),
        context("-0"),
        context("01"),
        context("+1"),
        context("-"),
        context("1000000000000000000"),
        context("truely"),
        context("tru"),
        context("\"a\\nb\""),
        context("\"a\u{1}b\""),
        context("{\"x\":1,\"x\":2}"),
        context("{\"ax\":1,\"ab\":1,\"ax\":2}"),
        context("[1,]"),
        context("[1 2]"),
        context("{\"x\":1,}"),
        context("{\"x\" 1}"),
        context("'x'"),
        nested(DEEPEST + 1),
        nested(130),
        members("").replace("A::B", "A B"),
        members("").replace("A::B", "A::in"),
        members("").replace("A::B::", "A::B:"),
        members("").replace("\\\"p\\\"", "\\\"p\\n\\\""),
        members("").replace("\\\"p\\\"", "\\\"p"),
        members("").replace("\\\"p\\\"", "p\\\""),
        members("").replace("\"id\":\"a\"", "\"id\":\"a\",\"id\":\"a\""),
        members("").replace("\"id\":\"a\"", "\"id\":\"a\",\"x\":\"a\""),
        members("").replace("\"id\":\"a\"", "\"id\":7"),
        members("").replace(",\"id\":\"a\"", ""),
        members("").replace("\"action\"", "\"\\u0061ction\""),
        members("").replace("\"resource\"", "\"action\""),
        format!("{}x", members("")),
        format!("{}{}", members(""), members("")),
        format!("\u{feff}{}", members("")),
        format!("{{\"requests\":[{}],\"requests\":[]}}", members("")),
        format!("{{\"requests\":[{}],\"more\":1}}", members("")),
        format!("{{\"requests\":{}}}", members("")),
        format!("{{\"requests\":[{},{{}}]}}", members("")),
        format!("{{\"requests\":[{0},{0}]", members("")),
    ] {
        assert!(!says_the_same(body.as_bytes()), "{body}");
    }
    let mut bytes = context("\"x\"").into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'x').unwrap();
    bytes[at] = 0xff;
    assert!(!says_the_same(&bytes));
}

#[test]
fn the_length_of_plain_text_is_found_in_every_place() {
    for length in 0..40 {
        for end in ["\"", "\\", "\n", "\u{1f}", ""] {
            for filler in ["a", "\u{7f}", "é", " ", "!", "#", "]", "["] {
                let text = filler.repeat(length) + end + "\"\\ and more";
                let first = text.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20).unwrap();
                assert_eq!(plain_length(text.as_bytes()), first, "{text:?}");
                for text in [&text[..first], &text[..first + 1]] {
                    let written = serde_json::to_string(text).unwrap();
                    assert_eq!(is_plain(text), written == format!("\"{text}\""), "{text:?}");
                }
            }
        }
    }
}

/// Values as contexts have them, some of them unusual.
fn a_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        (-50_i64..50).prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        "[a-z \"\\\\é]{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#"{"__entity":{"type":"U","id":"u"}}"#.to_owned()),
        Just(r#"{"__extn":{"fn":"datetime","arg":"2026-11-21T12:00:00Z"}}"#.to_owned()),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(("[abc]{0,2}", inner), 0..5).prop_map(|all| {
                let members: Vec<String> = all.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

fn a_uid() -> impl Strategy<Value = String> {
    ("(A|A::B|Action|in|A B|)", "[a-z\"\\\\ ]{0,10}", any::<bool>()).prop_map(|(ty, id, object)| {
        let id = serde_json::to_string(&id).unwrap();
        if object {
            format!("{{\"type\":\"{ty}\",\"id\":{id}}}")
        } else {
            serde_json::to_string(&format!("{ty}::{id}")).unwrap()
        }
    })
}

/// Requests, most of them usual, with a member that is there twice, missing or another at times.
fn a_request() -> impl Strategy<Value = String> {
    let name = prop_oneof![12 => Just("context"), 1 => Just("entities"), 1 => Just("explain"), 1 => Just("principal")];
    (a_uid(), a_uid(), a_uid(), prop::option::of((name, a_value())), 0_usize..8).prop_map(|(p, a, r, more, order)| {
        let mut members = vec![format!("\"principal\":{p}"), format!("\"action\" :{a}"), format!("\"resource\": {r}")];
        members.extend(more.map(|(name, value)| format!("\"{name}\":{value}")));
        let by = order % members.len();
        members.rotate_left(by);
        if order == 7 {
            members.pop();
        }
        format!("{{{}}}", members.join(","))
    })
}

/// Changes one place of a text: takes bytes out, puts some in, or both.
fn changed(text: &str, at: usize, out: usize, put: &[u8]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % (bytes.len() + 1);
    let end = (at + out).min(bytes.len());
    bytes.splice(at..end, put.iter().copied());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_read_alike(requests in prop::collection::vec(a_request(), 1..4), again in 0_usize..3) {
        let mut list = requests.clone();
        list.extend(requests.iter().take(again).cloned());
        says_the_same(requests[0].as_bytes());
        says_the_same(format!("{{\"requests\":[{}]}}", list.join(",")).as_bytes());
    }

    #[test]
    fn whatever_is_changed_is_read_alike(
        requests in prop::collection::vec(a_request(), 1..3),
        at in any::<usize>(),
        out in 0_usize..3,
        put in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3),
            prop::sample::select(vec!["\"", "\\", ",", ":", "{", "}", "[", "]", "0", "-", ".", "e", "null", " ", "\\u0061", "true"])
                .prop_map(|text| text.as_bytes().to_vec()),
        ],
    ) {
        says_the_same(&changed(&requests[0], at, out, &put));
        says_the_same(&changed(&format!("{{\"requests\":[{}]}}", requests.join(",")), at, out, &put));
    }
}
