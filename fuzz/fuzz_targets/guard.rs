//! Whatever passes the guard can be parsed, validated, evaluated by both engines, written out and freed on the stacks
//! that there are. A stack that is too small ends the process, which the fuzzer reports.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use palisade_engine::model::{
    AccessRequest, Bundle, Document, PolicyNaming, PolicyText, Revision, SchemaText, Value,
};
use palisade_engine::{EVALUATION_STACK_BYTES, EngineKind, EngineSettings, Snapshot, Validation, on_big_stack};

// The parts of one input, split where a line says `----`: policies, schema, entities, a request, routes.
fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.split("\n----\n").map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let (policies, schema, entities, request, routes) = (next(), next(), next(), next(), next());
    let bundle = Arc::new(Bundle {
        policies: vec![PolicyText { origin: "policies".to_owned(), text: policies, naming: PolicyNaming::Ordinal }],
        schema: (!schema.is_empty()).then(|| SchemaText { fragments: vec![("schema".to_owned(), schema)] }),
        entities: vec![Document::held("entities", entities)],
        routes: if routes.is_empty() { Vec::new() } else { vec![("routes".to_owned(), routes)] },
        ..Bundle::default()
    });
    for kind in [EngineKind::Compiled, EngineKind::Reference] {
        let settings = EngineSettings { kind, validation: Validation::Warn, ..EngineSettings::default() };
        let revision = Revision { incarnation: 1, counter: 1 };
        let given = bundle.clone();
        let built = on_big_stack(move || {
            let _ = palisade_routes::compile_bundle(&given, &settings.limits);
            Snapshot::build(given, &settings, revision)
        });
        let Ok(Ok((snapshot, _))) = built else { continue };
        let snapshot = Arc::new(snapshot);
        let (decided, request) = (snapshot.clone(), request.clone());
        let evaluated = std::thread::Builder::new().stack_size(EVALUATION_STACK_BYTES).spawn(move || {
            let Ok(value) = Value::parse(request.as_bytes()) else { return };
            let Ok(request) = AccessRequest::from_value(value) else { return };
            let (one, other) = (decided.decide(&request, 0), decided.decide_by_reference(&request, 0));
            assert_eq!(one.is_ok_and(|d| d.outcome.is_allow()), other.is_ok_and(|d| d.outcome.is_allow()));
        });
        evaluated.expect("a thread").join().expect("no panic");
        assert!(snapshot.policy_texts().iter().all(|(_, text)| !text.is_empty()));
        // the last one that holds a snapshot may be a thread that serves requests
        let freed = std::thread::Builder::new().stack_size(2 << 20).spawn(move || drop(snapshot));
        freed.expect("a thread").join().expect("no panic");
    }
});
