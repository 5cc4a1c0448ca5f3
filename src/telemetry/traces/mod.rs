//! Traces: a span for each request that asks for decisions, exported over OTLP/HTTP.
//!
//! [`Trace`] is what one request has of it: the ids that log lines carry, and, where it is recorded, what its span will
//! say. A span is written as bytes on the thread of its request and put into a bounded queue; a thread of its own sends
//! them (`export`). Nothing here makes a request wait, and a request has no `Trace` where none is wanted.

mod context;
mod export;
mod ids;
mod sampler;
mod settings;
mod wire;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime};

pub use context::{Caller, Ids};
pub use export::Tracer;
pub use settings::TraceSettings;
pub use wire::Value;

use context::{RANDOM, SAMPLED};
use wire::SpanRecord;

/// What one request has to do with traces.
#[derive(Debug)]
pub struct Trace {
    ids: Ids,
    recorded: Option<Recorded>,
    /// What happens to the request.
    pub notes: Notes,
}

/// What is known of a span when it begins.
#[derive(Debug)]
struct Recorded {
    parent: Option<u64>,
    state: String,
    flags: u8,
    time: SystemTime,
    began: Instant,
}

/// What happens to a request, noted wherever that is known.
#[derive(Debug, Default)]
pub struct Notes {
    allowed: AtomicU32,
    denied: AtomicU32,
    failed: AtomicU32,
    asked: AtomicU32,
    cached: AtomicU32,
    code: OnceLock<&'static str>,
    route: OnceLock<Box<str>>,
}

impl Trace {
    /// What a request that begins now has. `tracer` is there if traces are exported, `caller` if the request belongs to a
    /// trace, and `state` are its `tracestate` headers. `None` if there is no trace.
    pub fn begin<'v>(
        tracer: Option<&Tracer>,
        caller: Option<Caller>,
        state: impl Iterator<Item = &'v [u8]>,
    ) -> Option<Self> {
        let caller = caller.filter(|_| tracer.is_none_or(Tracer::joins));
        let trace = match (caller, tracer) {
            (Some(caller), _) => caller.ids.trace,
            (None, Some(_)) => ids::trace(),
            (None, None) => return None,
        };
        if !tracer.is_some_and(|tracer| tracer.samples(trace, caller)) {
            return caller.map(|caller| Self { ids: caller.ids, recorded: None, notes: Notes::default() });
        }
        let recorded = Recorded {
            parent: caller.map(|caller| caller.ids.span),
            state: if caller.is_some() { context::state(state) } else { String::new() },
            flags: SAMPLED | caller.map_or(RANDOM, |caller| caller.flags),
            time: SystemTime::now(),
            began: Instant::now(),
        };
        Some(Self { ids: Ids { trace, span: ids::span() }, recorded: Some(recorded), notes: Notes::default() })
    }

    /// The same request, known to have begun when `self` did. For requests that say late which trace they belong to.
    #[must_use]
    pub fn begun_with(mut self, earlier: Option<&Self>) -> Self {
        if let (Some(recorded), Some(earlier)) = (&mut self.recorded, earlier.and_then(|it| it.recorded.as_ref())) {
            (recorded.time, recorded.began) = (earlier.time, earlier.began);
        }
        self
    }

    /// The ids for log lines: its own where it is recorded, else those of its caller.
    #[must_use]
    pub fn ids(&self) -> Ids {
        self.ids
    }

    /// Whether the request belongs to a trace of its caller's.
    #[must_use]
    pub fn has_caller(&self) -> bool {
        self.recorded.as_ref().is_none_or(|recorded| recorded.parent.is_some())
    }

    /// Whether it becomes a span.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Ends it, and hands its span on to be exported. `failed` says that the server failed.
    pub fn end(&self, tracer: &Tracer, name: &str, failed: bool, attributes: &[(&str, Value<'_>)]) {
        let Some(recorded) = &self.recorded else { return };
        let nanos = |since: std::time::Duration| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        // a clock that is set back makes no span end before it began
        let began = nanos(recorded.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        tracer.send(wire::span(&SpanRecord {
            trace: self.ids.trace,
            span: self.ids.span,
            parent: recorded.parent,
            state: &recorded.state,
            flags: recorded.flags,
            name,
            began,
            ended: began.saturating_add(nanos(recorded.began.elapsed())),
            failed,
            attributes,
        }));
    }
}

impl Notes {
    /// A decision was answered.
    pub fn decided(&self, allow: bool) {
        let count = if allow { &self.allowed } else { &self.denied };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// There is no decision, for the reason that `code` names.
    pub fn failed(&self, code: &'static str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.reason(code);
    }

    /// The code that the answer names. The first one counts.
    pub fn reason(&self, code: &'static str) {
        self.code.get_or_init(|| code);
    }

    /// Policies were asked, or the cache knew what they say.
    pub fn asked(&self, cached: bool) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.cached.fetch_add(cached.into(), Ordering::Relaxed);
    }

    /// A gateway's request matched this route.
    pub fn route(&self, place: &str) {
        self.route.get_or_init(|| place.into());
    }

    /// Adds what was noted to the attributes: of one decision, or of `many`.
    pub fn attributes<'n>(&'n self, many: bool, mut add: impl FnMut(&'static str, Value<'n>)) {
        let count = |count: &AtomicU32| count.load(Ordering::Relaxed);
        let (allowed, denied, failed) = (count(&self.allowed), count(&self.denied), count(&self.failed));
        let (asked, cached) = (count(&self.asked), count(&self.cached));
        if many {
            for (name, count) in [
                ("palisade.batch.allowed", allowed),
                ("palisade.batch.denied", denied),
                ("palisade.batch.failed", failed),
                ("palisade.batch.cached", cached),
            ] {
                add(name, Value::Int(count.into()));
            }
        } else if allowed + denied + failed > 0 {
            let allow = allowed > 0 && denied + failed == 0;
            add("palisade.decision", Value::Text(if allow { "Allow" } else { "Deny" }));
            if asked > 0 {
                // a gateway's request may need several
                add("palisade.cached", Value::Bool(cached == asked));
            }
        }
        if let Some(code) = self.code.get() {
            add("palisade.code", Value::Text(code));
        }
        if let Some(route) = self.route.get() {
            add("palisade.route", Value::Text(route));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether there are many, what is noted, and what the span says then.
    type Case = (bool, fn(&Notes), &'static str);

    #[test]
    fn notes_become_attributes() {
        let attributes = |many: bool, note: fn(&Notes)| {
            let notes = Notes::default();
            note(&notes);
            let mut all = Vec::new();
            notes.attributes(many, |name, value| all.push(format!("{name}={value:?}")));
            all.join(" ")
        };
        let cases: [Case; 7] = [
            (false, |_| {}, ""),
            (
                false,
                |notes| {
                    notes.asked(false);
                    notes.decided(true);
                },
                "palisade.decision=Text(\"Allow\") palisade.cached=Bool(false)",
            ),
            (
                false,
                |notes| {
                    notes.asked(true);
                    notes.asked(true);
                    notes.decided(false);
                },
                "palisade.decision=Text(\"Deny\") palisade.cached=Bool(true)",
            ),
            (
                false,
                |notes| {
                    notes.asked(true);
                    notes.asked(false);
                    notes.decided(true);
                    notes.failed("late");
                },
                "palisade.decision=Text(\"Deny\") palisade.cached=Bool(false) palisade.code=Text(\"late\")",
            ),
            (
                false,
                |notes| {
                    notes.failed("a");
                    notes.failed("b");
                    notes.route("r.yaml:1");
                },
                "palisade.decision=Text(\"Deny\") palisade.code=Text(\"a\") palisade.route=Text(\"r.yaml:1\")",
            ),
            (false, |notes| notes.reason("too_large"), "palisade.code=Text(\"too_large\")"),
            (
                true,
                |notes| {
                    notes.decided(true);
                    notes.decided(false);
                    notes.asked(true);
                },
                "palisade.batch.allowed=Int(1) palisade.batch.denied=Int(1) palisade.batch.failed=Int(0) \
                 palisade.batch.cached=Int(1)",
            ),
        ];
        for (many, note, expected) in cases {
            assert_eq!(attributes(many, note), expected);
        }
    }

    #[test]
    fn without_an_exporter_the_callers_ids_are_kept() {
        let caller = Caller::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let trace = Trace::begin(None, caller, std::iter::empty()).unwrap();
        assert_eq!((Some(trace.ids()), trace.is_recorded()), (caller.map(|caller| caller.ids), false));
        assert!(Trace::begin(None, None, std::iter::empty()).is_none());
    }
}
