//! Records as lines of JSON, each written once, on the thread of its request.
//!
//! Most of a line is the same in every one, or needs no escapes: that is copied. Only the rest goes through the
//! serializer. A line that outgrows its room is given up, so that no thread holds more than the queue could take.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::config::MaskPath;
use crate::decide::Call;
use crate::decide::log::mask::{Masked, without_hidden_entity, without_messages};
use crate::decide::unasked::UnaskedRecord;
use crate::telemetry::fresh_id;
use crate::telemetry::traces::Trace;
use palisade_engine::model::usual::is_plain;
use palisade_engine::model::{AccessRequest, Decision, Outcome, Uid, Value};

/// One decision, as it was made.
#[derive(Debug, Clone, Copy)]
pub(in crate::decide) struct DecisionRecord<'a> {
    pub(in crate::decide) request: &'a AccessRequest<'a>,
    pub(in crate::decide) decision: &'a Arc<Decision>,
    pub(in crate::decide) cached: bool,
    pub(in crate::decide) took: Duration,
    /// An explanation as JSON.
    pub(in crate::decide) why: Option<&'a str>,
    pub(in crate::decide) call: Call<'a>,
}

/// What becomes a line.
#[derive(Debug, Clone, Copy)]
pub(in crate::decide) enum Record<'a> {
    Decision(DecisionRecord<'a>),
    /// A request that no policy was asked about.
    Unasked(&'a UnaskedRecord<'a>),
}

/// A buffer that takes so many bytes and no more.
struct Limited<'b> {
    out: &'b mut Vec<u8>,
    most: usize,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.most - self.out.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a record and the end of its line to `out`, which is empty.
///
/// # Errors
/// If that takes more than `most` bytes.
pub(super) fn write(out: &mut Vec<u8>, most: usize, record: &Record<'_>, mask: &[MaskPath]) -> io::Result<()> {
    let mut line = Limited { out, most };
    let now = SystemTime::now();
    line.write_all(b"{\"decision_id\":\"")?;
    line.write_all(record_id(now).hyphenated().encode_lower(&mut [0; 36]).as_bytes())?;
    line.write_all(b"\",\"time\":\"")?;
    line.time(now)?;
    match record {
        Record::Decision(record) => line.decision(record, mask)?,
        Record::Unasked(record) => line.unasked(record)?,
    }
    line.write_all(b"}\n")
}

impl Limited<'_> {
    fn decision(&mut self, record: &DecisionRecord<'_>, mask: &[MaskPath]) -> io::Result<()> {
        let DecisionRecord { request, decision, cached, took, why, call } = *record;
        self.write_all(b"\",\"revision\":\"")?;
        self.write_all(decision.revision.text().as_str().as_bytes())?;
        self.call(call)?;
        for (name, uid) in [
            (&b",\"principal\":"[..], &request.principal),
            (b",\"action\":", &request.action),
            (b",\"resource\":", &request.resource),
        ] {
            self.write_all(name)?;
            self.uid(uid)?;
        }
        self.write_all(b",\"context\":")?;
        let masked = (!mask.is_empty()).then(|| Masked::new(&request.context, mask));
        match &masked {
            Some(masked) => self.json(masked)?,
            None => self.value(&request.context)?,
        }
        let carried = [&request.entities, &request.additional_entities];
        let carried = carried.iter().filter_map(|v| v.as_ref()?.as_array()).map(<[_]>::len).reduce(|a, b| a + b);
        if let Some(carried) = carried {
            write!(self, ",\"carried_entities\":{carried}")?;
        }
        self.write_all(match decision.outcome {
            Outcome::Allow => b",\"decision\":\"Allow\",\"reason\":",
            Outcome::Deny => b",\"decision\":\"Deny\",\"reason\":",
        })?;
        self.listed(decision.reasons.iter(), |line, id| line.text(id))?;
        let hides = masked.is_some_and(|masked| masked.hides());
        self.write_all(b",\"errors\":")?;
        if hides && !decision.errors.is_empty() {
            self.json(&without_messages(&decision.errors))?;
        } else {
            self.json(&decision.errors)?;
        }
        if let Some(rule) = &decision.denied_by {
            self.write_all(b",\"denied_by\":")?;
            if hides {
                let named = [&request.principal, &request.action, &request.resource];
                self.json(&without_hidden_entity(rule, named))?;
            } else {
                self.json(rule)?;
            }
        }
        self.write_all(if cached { b",\"cached\":true" } else { b",\"cached\":false" })?;
        self.write_all(b",\"duration_us\":")?;
        self.micros(took)?;
        if let Some(why) = why {
            self.write_all(b",\"explanation\":")?;
            self.write_all(why.as_bytes())?;
        }
        Ok(())
    }

    fn unasked(&mut self, record: &UnaskedRecord<'_>) -> io::Result<()> {
        if let Some(revision) = record.revision {
            self.write_all(b"\",\"revision\":\"")?;
            self.write_all(revision.text().as_str().as_bytes())?;
        }
        self.call(record.call)?;
        for (name, value) in [
            (&b",\"method\":"[..], record.target.as_ref().map(|target| &*target.method)),
            (b",\"host\":", record.target.as_ref().and_then(|target| target.host.as_deref())),
            (b",\"path\":", record.target.as_ref().map(|target| &*target.path)),
        ] {
            self.text_if_any(name, value)?;
        }
        if let Some(principal) = record.principal {
            self.write_all(b",\"principal\":")?;
            self.uid(principal)?;
        }
        match record.refused {
            Some((code, message)) => {
                self.write_all(b",\"decision\":\"Deny\"")?;
                self.text_if_any(b",\"refused\":", Some(code))?;
                self.text_if_any(b",\"message\":", Some(message))?;
            }
            None => self.write_all(b",\"decision\":\"Allow\",\"public\":true")?,
        }
        self.text_if_any(b",\"route\":", record.route)
    }

    fn call(&mut self, call: Call<'_>) -> io::Result<()> {
        self.write_all(b"\",\"transport\":\"")?;
        self.write_all(call.transport.as_str().as_bytes())?;
        self.write_all(b"\",\"request_id\":")?;
        self.text(call.request_id)?;
        match call.trace.map(Trace::ids) {
            Some(ids) => write!(self, ",\"trace_id\":\"{}\",\"span_id\":\"{}\"", ids.trace_id(), ids.span_id()),
            None => Ok(()),
        }
    }

    fn text_if_any(&mut self, name: &[u8], value: Option<&str>) -> io::Result<()> {
        let Some(value) = value else { return Ok(()) };
        self.write_all(name)?;
        self.text(value)
    }

    /// A string.
    fn text(&mut self, text: &str) -> io::Result<()> {
        if !is_plain(text) {
            return self.json(text);
        }
        self.write_all(b"\"")?;
        self.write_all(text.as_bytes())?;
        self.write_all(b"\"")
    }

    /// An array.
    fn listed<T>(
        &mut self,
        elements: impl Iterator<Item = T>,
        write: impl Fn(&mut Self, T) -> io::Result<()>,
    ) -> io::Result<()> {
        self.write_all(b"[")?;
        for (i, element) in elements.enumerate() {
            if i > 0 {
                self.write_all(b",")?;
            }
            write(self, element)?;
        }
        self.write_all(b"]")
    }

    /// A value, as the serializer writes it. Recurses with its nesting, which its reader bounds.
    fn value(&mut self, value: &Value<'_>) -> io::Result<()> {
        match value {
            Value::Bool(true) => self.write_all(b"true"),
            Value::Bool(false) => self.write_all(b"false"),
            Value::String(text) => self.text(text),
            Value::Array(elements) => self.listed(elements.iter(), Self::value),
            Value::Object(members) => {
                self.write_all(b"{")?;
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        self.write_all(b",")?;
                    }
                    self.text(name)?;
                    self.write_all(b":")?;
                    self.value(value)?;
                }
                self.write_all(b"}")
            }
            Value::Null | Value::Long(_) | Value::Number(_) => self.json(value),
        }
    }

    /// Microseconds, to the nanosecond.
    fn micros(&mut self, time: Duration) -> io::Result<()> {
        let nanos = time.as_nanos();
        // from its end: three digits, a point, and at least one before it
        let (mut digits, mut at, mut rest) = ([b'0'; 44], 44, nanos);
        while at > 39 || rest > 0 {
            at -= 1;
            if at == 40 {
                digits[at] = b'.';
                continue;
            }
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.write_all(digits.get(at..).unwrap_or_default())
    }

    fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        serde_json::to_writer(self, value).map_err(io::Error::from)
    }

    /// As `Type::"id"`, within a JSON string.
    fn uid(&mut self, uid: &Uid<'_>) -> io::Result<()> {
        let plain = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && !b"\"'\\".contains(&byte);
        // a type's name needs no escapes, and most ids need none
        if !uid.id.bytes().all(plain) {
            return self.json(&uid.to_string());
        }
        for part in [b"\"", uid.type_name.as_bytes(), b"::\\\"", uid.id.as_bytes(), b"\\\"\""] {
            self.write_all(part)?;
        }
        Ok(())
    }

    /// In UTC, to the microsecond.
    fn time(&mut self, now: SystemTime) -> io::Result<()> {
        thread_local! {
            /// The last second that was written, as text up to its fraction.
            static SECOND: Cell<(i64, [u8; SECOND_LENGTH])> = const { Cell::new((i64::MIN, [0; SECOND_LENGTH])) };
        }
        const SECOND_LENGTH: usize = "2026-01-01T00:00:00".len();
        let stamp = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let (second, nanos) = (stamp.as_second(), stamp.subsec_nanosecond());
        // before 1970 fractions count down
        if second < 0 || nanos < 0 {
            return write!(self, "{stamp:.6}");
        }
        let (known, mut text) = SECOND.get();
        if known != second {
            let written = format!("{stamp:.0}");
            let Some(first) = written.as_bytes().first_chunk() else { return write!(self, "{stamp:.6}") };
            text = *first;
            SECOND.set((second, text));
        }
        self.write_all(&text)?;
        write!(self, ".{:06}Z", nanos / 1_000)
    }
}

/// An id of a record: a UUID that sorts by time, to a quarter of a microsecond. Random bytes of the system would cost
/// more than the rest of the line; ids are not secret, so each thread counts on from a random number of its own.
fn record_id(now: SystemTime) -> uuid::Uuid {
    thread_local! {
        static NEXT: Cell<u64> = Cell::new(fresh_id().as_u128() as u64);
    }
    let next = NEXT.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    NEXT.set(next);
    // no two numbers become the same
    let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let random = mixed ^ (mixed >> 31);
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (millis, rest) = (since.as_millis() as u64, u64::from(since.subsec_nanos() % 1_000_000));
    let fraction = rest * 4_096 / 1_000_000;
    let high = (millis << 16) | 0x7000 | fraction;
    let low = (random >> 2) | (1 << 63);
    uuid::Uuid::from_u64_pair(high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ() {
        let at = |micros: u64| SystemTime::UNIX_EPOCH + Duration::from_micros(1_790_000_000_000_000 + micros);
        let ids: Vec<_> = (0..5_000).map(|micros| record_id(at(micros))).collect();
        assert!(ids.is_sorted());
        let same: std::collections::HashSet<_> = (0..10_000).map(|_| record_id(at(0))).collect();
        assert_eq!(same.len(), 10_000);
        for id in ids {
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_ne!(record_id(before), record_id(before));
    }

    #[test]
    fn times_are_as_the_clock_says() {
        let epoch = SystemTime::UNIX_EPOCH;
        let nanos = Duration::from_nanos;
        for (time, expected) in [
            (epoch, "1970-01-01T00:00:00.000000Z"),
            (epoch + nanos(1_999), "1970-01-01T00:00:00.000001Z"),
            (epoch + nanos(999_999_999), "1970-01-01T00:00:00.999999Z"),
            (epoch + nanos(1_790_000_000_123_456_789), "2026-09-21T14:13:20.123456Z"),
            (epoch + nanos(1_790_000_000_000_000_000), "2026-09-21T14:13:20.000000Z"),
            (epoch - nanos(500_000_000), "1969-12-31T23:59:59.500000Z"),
        ] {
            let mut out = Vec::new();
            Limited { out: &mut out, most: 100 }.time(time).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn uids_are_written_as_they_are_shown() {
        for (ty, id) in [("User", "ann"), ("A::B", ""), ("A", "a \"b\" \\ 'c'"), ("A", "\u{e9}\n\0")] {
            let uid = Uid::new(ty, id).unwrap();
            let mut out = Vec::new();
            Limited { out: &mut out, most: 100 }.uid(&uid).unwrap();
            let read: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(read, uid.to_string());
        }
    }

    #[test]
    fn values_and_times_are_written_as_others_write_them() {
        for text in [
            "{}",
            r#"{"a":1,"b":[true,false,null,-7,1.5,1e300,"x","q\"\\\n\u0001","é\u007f"],"":{"c\"":{}},"d":[]}"#,
            r#"[[],[[1,2]],{"a":{"b":{"c":"d"}}}]"#,
        ] {
            let value = Value::parse(text.as_bytes()).unwrap();
            let mut out = Vec::new();
            Limited { out: &mut out, most: 1_000 }.value(&value).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&value).unwrap());
        }
        for nanos in [0, 5, 999, 1_000, 1_002, 12_345, 1_000_000, u64::MAX] {
            let mut out = Vec::new();
            Limited { out: &mut out, most: 100 }.micros(Duration::from_nanos(nanos)).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{}.{:03}", nanos / 1_000, nanos % 1_000));
        }
        let mut out = Vec::new();
        Limited { out: &mut out, most: 100 }.micros(Duration::MAX).unwrap();
        let nanos = Duration::MAX.as_nanos();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{}.{:03}", nanos / 1_000, nanos % 1_000));
    }

    #[test]
    fn a_line_takes_no_more_than_its_room() {
        let uid = |text| Uid::parse(text).unwrap();
        let mut request = AccessRequest::new(uid("U::\"a\""), uid("Action::\"b\""), uid("R::\"c\""));
        request.context = palisade_engine::model::Value::String("x".repeat(100_000).into());
        let decision = Arc::new(Decision {
            outcome: Outcome::Deny,
            reasons: vec![],
            errors: vec![],
            forbid_errors: 0,
            denied_by: None,
            revision: palisade_engine::model::Revision { incarnation: 1, counter: 1 },
            time_dependent: false,
        });
        let call = Call { transport: crate::telemetry::Transport::Native, request_id: "i", trace: None };
        let (cached, took) = (false, Duration::from_nanos(1_002));
        let record =
            Record::Decision(DecisionRecord { request: &request, decision: &decision, cached, took, why: None, call });
        let mut out = Vec::new();
        write(&mut out, usize::MAX, &record, &[]).unwrap();
        let whole = out.len();
        assert!(out.ends_with(b",\"cached\":false,\"duration_us\":1.002}\n"));
        for (most, fits) in [(whole, true), (whole - 1, false), (1_000, false), (0, false)] {
            let mut out = Vec::new();
            assert_eq!(write(&mut out, most, &record, &[]).is_ok(), fits, "{most}");
            assert!(out.len() <= most);
        }
    }
}
