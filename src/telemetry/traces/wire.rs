//! Spans as OTLP's protobuf messages (`opentelemetry/proto/trace/v1`), written field by field.
//!
//! A span is written once, on the thread of its request, as the bytes that go over the wire: what waits to be sent is
//! known to the byte, and the sender only puts a frame around it.

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'v> {
    /// Text.
    Text(&'v str),
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
}

/// A span that has ended.
pub(super) struct SpanRecord<'s> {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) parent: Option<u64>,
    /// What the caller wants passed on.
    pub(super) state: &'s str,
    pub(super) flags: u8,
    pub(super) name: &'s str,
    /// Nanoseconds since 1970.
    pub(super) began: u64,
    pub(super) ended: u64,
    /// The server failed.
    pub(super) failed: bool,
    pub(super) attributes: &'s [(&'s str, Value<'s>)],
}

/// The kind of all our spans: we serve.
const SERVER: u64 = 2;
/// The status of a span that failed; else it has none.
const ERROR: u64 = 2;
/// In a span's flags: it is known whether the parent is in another process, and it is.
const PARENT_KNOWN: u32 = 0x100;
const PARENT_REMOTE: u32 = 0x200;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`varint`] writes.
const fn varint_len(value: u64) -> usize {
    // 7 bits a byte, and one byte for zero
    (70 - (value | 1).leading_zeros() as usize) / 7
}

fn tag(out: &mut Vec<u8>, field: u64, kind: u64) {
    varint(out, field << 3 | kind);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    tag(out, field, BYTES);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

/// How many bytes a field of that many bytes takes. Fields from 16 on would take more, and have no bytes here.
const fn field_len(bytes: usize) -> usize {
    1 + varint_len(bytes as u64) + bytes
}

/// A `KeyValue` as the field of a message.
fn attribute(out: &mut Vec<u8>, field: u64, name: &str, value: Value<'_>) {
    let any = match value {
        Value::Text(text) => field_len(text.len()),
        Value::Bool(_) => 2,
        Value::Int(n) => 1 + varint_len(n as u64),
    };
    tag(out, field, BYTES);
    varint(out, (field_len(name.len()) + field_len(any)) as u64);
    bytes(out, 1, name.as_bytes());
    tag(out, 2, BYTES);
    varint(out, any as u64);
    match value {
        Value::Text(text) => bytes(out, 1, text.as_bytes()),
        Value::Bool(yes) => number(out, 2, yes.into()),
        Value::Int(n) => number(out, 3, n as u64),
    }
}

/// A `Span`.
pub(super) fn span(record: &SpanRecord<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(768);
    bytes(&mut out, 1, &record.trace.to_be_bytes());
    bytes(&mut out, 2, &record.span.to_be_bytes());
    if !record.state.is_empty() {
        bytes(&mut out, 3, record.state.as_bytes());
    }
    let mut flags = u32::from(record.flags) | PARENT_KNOWN;
    if let Some(parent) = record.parent {
        bytes(&mut out, 4, &parent.to_be_bytes());
        flags |= PARENT_REMOTE;
    }
    bytes(&mut out, 5, record.name.as_bytes());
    number(&mut out, 6, SERVER);
    for (field, time) in [(7, record.began), (8, record.ended)] {
        tag(&mut out, field, FIXED64);
        out.extend_from_slice(&time.to_le_bytes());
    }
    for (name, value) in record.attributes {
        attribute(&mut out, 9, name, *value);
    }
    if record.failed {
        // the message `Status`, which has a code alone
        bytes(&mut out, 15, &[3 << 3, ERROR as u8]);
    }
    tag(&mut out, 16, FIXED32);
    out.extend_from_slice(&flags.to_le_bytes());
    out
}

/// A `Resource` and an `InstrumentationScope`: the frame around spans.
pub(super) struct Frame {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Frame {
    pub(super) fn new(attributes: &[(String, String)]) -> Self {
        let (mut resource, mut scope) = (Vec::new(), Vec::new());
        for (name, value) in attributes {
            attribute(&mut resource, 1, name, Value::Text(value));
        }
        bytes(&mut scope, 1, b"palisade");
        bytes(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
        Self { resource, scope }
    }

    /// An `ExportTraceServiceRequest` with these spans.
    pub(super) fn request(&self, spans: &[Vec<u8>]) -> Vec<u8> {
        let in_scope = field_len(self.scope.len()) + spans.iter().map(|span| field_len(span.len())).sum::<usize>();
        let in_resource = field_len(self.resource.len()) + field_len(in_scope);
        let mut out = Vec::with_capacity(field_len(in_resource));
        tag(&mut out, 1, BYTES);
        varint(&mut out, in_resource as u64);
        bytes(&mut out, 1, &self.resource);
        tag(&mut out, 2, BYTES);
        varint(&mut out, in_scope as u64);
        bytes(&mut out, 1, &self.scope);
        for span in spans {
            bytes(&mut out, 2, span);
        }
        out
    }
}

/// How many spans an `ExportTraceServiceResponse` says were rejected, and why. What cannot be read says nothing.
pub(super) fn rejected(response: &[u8]) -> (u64, String) {
    let Some((_, Field::Bytes(partial))) = fields(response).find(|(number, _)| *number == 1) else {
        return (0, String::new());
    };
    let (mut spans, mut message) = (0, String::new());
    for field in fields(partial) {
        match field {
            // a negative count counts as 0
            (1, Field::Number(n)) => spans = u64::try_from(n as i64).unwrap_or(0),
            (2, Field::Bytes(text)) => message = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    (spans, message)
}

enum Field<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

/// The fields of a message up to where it cannot be read.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        loop {
            let tag = read_varint(&mut rest)?;
            let field = match tag & 7 {
                VARINT => Field::Number(read_varint(&mut rest)?),
                BYTES => {
                    let length = usize::try_from(read_varint(&mut rest)?).ok()?;
                    let (value, after) = rest.split_at_checked(length)?;
                    rest = after;
                    Field::Bytes(value)
                }
                FIXED64 => {
                    rest = rest.get(8..)?;
                    continue;
                }
                FIXED32 => {
                    rest = rest.get(4..)?;
                    continue;
                }
                _ => return None,
            };
            return Some((tag >> 3, field));
        }
    })
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// The messages as their project publishes them, for a second reader: only what is written here.
    #[derive(Clone, PartialEq, Message)]
    struct Request {
        #[prost(message, repeated, tag = "1")]
        resource_spans: Vec<ResourceSpans>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        scope_spans: Vec<ScopeSpans>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Resource {
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct ScopeSpans {
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        spans: Vec<Span>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Scope {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        version: String,
    }
    #[derive(Clone, PartialEq, Message)]
    struct KeyValue {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct AnyValue {
        #[prost(oneof = "Any", tags = "1, 2, 3")]
        value: Option<Any>,
    }
    #[derive(Clone, PartialEq, prost::Oneof)]
    enum Any {
        #[prost(string, tag = "1")]
        Text(String),
        #[prost(bool, tag = "2")]
        Bool(bool),
        #[prost(int64, tag = "3")]
        Int(i64),
    }
    #[derive(Clone, PartialEq, Message)]
    struct Span {
        #[prost(bytes, tag = "1")]
        trace_id: Vec<u8>,
        #[prost(bytes, tag = "2")]
        span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        trace_state: String,
        #[prost(bytes, tag = "4")]
        parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        name: String,
        #[prost(int32, tag = "6")]
        kind: i32,
        #[prost(fixed64, tag = "7")]
        start: u64,
        #[prost(fixed64, tag = "8")]
        end: u64,
        #[prost(message, repeated, tag = "9")]
        attributes: Vec<KeyValue>,
        #[prost(message, optional, tag = "15")]
        status: Option<Status>,
        #[prost(fixed32, tag = "16")]
        flags: u32,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Status {
        #[prost(string, tag = "2")]
        message: String,
        #[prost(int32, tag = "3")]
        code: i32,
    }

    fn pair(key: &str, value: Any) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
    }

    #[test]
    fn another_reader_reads_what_was_written() {
        let long = "x".repeat(70_000);
        let attributes = [
            ("text", Value::Text("caf\u{e9}")),
            ("empty", Value::Text("")),
            ("long", Value::Text(&long)),
            ("no", Value::Bool(false)),
            ("yes", Value::Bool(true)),
            ("zero", Value::Int(0)),
            ("most", Value::Int(i64::MAX)),
            ("least", Value::Int(i64::MIN)),
        ];
        let mut record = SpanRecord {
            trace: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
            span: 0xa1,
            parent: Some(0xb2),
            state: "a=1,b=2",
            flags: 1,
            name: "POST /v1/is_authorized",
            began: 1_790_000_000_000_000_001,
            ended: u64::MAX,
            failed: true,
            attributes: &attributes,
        };
        let first = span(&record);
        (record.parent, record.state, record.failed, record.attributes) = (None, "", false, &[]);
        let second = span(&record);
        let resource = [("service.name".to_owned(), "p".repeat(200)), ("b".to_owned(), String::new())];
        let request = Frame::new(&resource).request(&[first, second]);
        let read = Request::decode(request.as_slice()).unwrap();
        // nothing was left out, and nothing added
        assert_eq!(read.encoded_len(), request.len());
        let [resource_spans] = read.resource_spans.as_slice() else { panic!("{read:?}") };
        let text = |text: &str| Any::Text(text.to_owned());
        assert_eq!(
            resource_spans.resource.as_ref().unwrap().attributes,
            [pair("service.name", text(&"p".repeat(200))), pair("b", text(""))]
        );
        let [scope_spans] = resource_spans.scope_spans.as_slice() else { panic!("{read:?}") };
        assert_eq!(scope_spans.scope.as_ref().unwrap().name, "palisade");
        let [first, second] = scope_spans.spans.as_slice() else { panic!("{read:?}") };
        let expected = Span {
            trace_id: (1..=16).collect(),
            span_id: vec![0, 0, 0, 0, 0, 0, 0, 0xa1],
            trace_state: "a=1,b=2".to_owned(),
            parent_span_id: vec![0, 0, 0, 0, 0, 0, 0, 0xb2],
            name: "POST /v1/is_authorized".to_owned(),
            kind: 2,
            start: 1_790_000_000_000_000_001,
            end: u64::MAX,
            attributes: vec![
                pair("text", text("caf\u{e9}")),
                pair("empty", text("")),
                pair("long", text(&long)),
                pair("no", Any::Bool(false)),
                pair("yes", Any::Bool(true)),
                pair("zero", Any::Int(0)),
                pair("most", Any::Int(i64::MAX)),
                pair("least", Any::Int(i64::MIN)),
            ],
            status: Some(Status { message: String::new(), code: 2 }),
            flags: 0x301,
        };
        assert_eq!(*first, expected);
        let expected = Span {
            trace_state: String::new(),
            parent_span_id: Vec::new(),
            attributes: Vec::new(),
            status: None,
            flags: 0x101,
            ..expected
        };
        assert_eq!(*second, expected);
    }

    #[test]
    fn numbers_are_as_long_as_they_are_said_to_be() {
        for value in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1]).chain([u64::MAX]) {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(read_varint(&mut out.as_slice()), Some(value));
        }
    }

    #[test]
    fn a_collectors_answer_is_read_or_says_nothing() {
        let partial = |inner: &[u8]| {
            let mut out = Vec::new();
            bytes(&mut out, 1, inner);
            out
        };
        let mut full = Vec::new();
        number(&mut full, 1, 7);
        bytes(&mut full, 2, b"too old");
        for (response, expected) in [
            (vec![], (0, "")),
            (partial(&[]), (0, "")),
            (partial(&full), (7, "too old")),
            // a field of another kind before
            ([&[0x19, 0, 0, 0, 0, 0, 0, 0, 0, 0x25, 0, 0, 0, 0][..], &partial(&full)].concat(), (7, "too old")),
            (partial(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), (0, "")),
            (partial(&[18, 2, 0xff, 0xfe]), (0, "\u{fffd}\u{fffd}")),
            (partial(&full)[..4].to_vec(), (0, "")),
            (vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], (0, "")),
            (vec![0xff; 20], (0, "")),
            (b"<html>".to_vec(), (0, "")),
        ] {
            let (spans, message) = rejected(&response);
            assert_eq!((spans, message.as_str()), expected, "{response:?}");
        }
    }
}
