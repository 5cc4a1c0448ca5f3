//! One state in both engines, and requests put to both.

use std::sync::Arc;

use crate::model::{
    AccessRequest, Bundle, Decision, Document, PolicyNaming, PolicyText, RequestError, Revision, SchemaText, Value,
};
use crate::{EngineKind, EngineSettings, KeptTrees, Semantics, Snapshot, Validation, on_big_stack};

/// The sidecar's clock in tests.
pub(super) const NOW: i64 = 1_790_000_000_123;

/// A state in both engines.
#[derive(Debug)]
pub(super) struct Both {
    pub compiled: Snapshot,
    pub reference: Snapshot,
}

/// A bundle of one text each.
pub(super) fn bundle(policies: &str, schema: Option<&str>, entities: &str) -> Bundle {
    Bundle {
        policies: vec![PolicyText {
            origin: "policies".to_owned(),
            text: policies.to_owned(),
            naming: PolicyNaming::Ordinal,
        }],
        schema: schema.map(|text| SchemaText { fragments: vec![("schema".to_owned(), text.to_owned())] }),
        entities: vec![Document::held("entities", entities)],
        ..Bundle::default()
    }
}

/// Settings that load anything.
pub(super) fn lenient(semantics: Semantics) -> EngineSettings {
    EngineSettings { validation: Validation::Warn, semantics, ..EngineSettings::default() }
}

/// Builds `bundle` in both engines; both must take it or refuse it.
#[track_caller]
pub(super) fn build(bundle: Bundle, settings: &EngineSettings) -> Option<Both> {
    let bundle = Arc::new(bundle);
    let revision = Revision { incarnation: 1, counter: 1 };
    let make = |kind| {
        // the other one has Cedar's trees at hand; this one makes those that it needs
        let settings = EngineSettings { kind, kept: KeptTrees(0), ..settings.clone() };
        on_big_stack(|| Snapshot::build(bundle.clone(), &settings, revision)).unwrap().map(|(snapshot, _)| snapshot)
    };
    match (make(EngineKind::Compiled), make(EngineKind::Reference)) {
        (Ok(compiled), Ok(reference)) => Some(Both { compiled, reference }),
        (Err(_), Err(_)) => None,
        (compiled, reference) => panic!("compiled: {:?}\nreference: {:?}", compiled.err(), reference.err()),
    }
}

impl Both {
    /// From policies without a schema.
    #[track_caller]
    pub(super) fn plain(policies: &str, entities: &str) -> Self {
        build(bundle(policies, None, entities), &lenient(Semantics::Cedar)).expect("a bundle that loads")
    }

    /// Decides in three ways and compares; returns the one answer.
    #[track_caller]
    pub(super) fn decide(&self, request: &AccessRequest<'_>) -> Result<Decision, RequestError> {
        let answer = self.compiled.decide(request, NOW);
        let strip = |answer: Result<Decision, RequestError>| {
            answer.map(|decision| Decision { time_dependent: false, ..decision })
        };
        let reference = self.reference.decide(request, NOW);
        if let (Ok(ours), Ok(theirs)) = (&answer, &reference) {
            assert!(!ours.time_dependent || theirs.time_dependent, "{request:?}");
        }
        assert_eq!(strip(answer.clone()), strip(reference.clone()), "{request:?}");
        let slice = self.compiled.decide_by_reference(request, NOW);
        assert_eq!(strip(slice), strip(reference), "over a slice: {request:?}");
        answer
    }

    /// The same for a request as JSON.
    #[track_caller]
    pub(super) fn ask(&self, request: &str) -> Result<Decision, RequestError> {
        self.decide(&AccessRequest::from_value(Value::parse(request.as_bytes()).unwrap()).unwrap())
    }
}
