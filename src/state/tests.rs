//! Changes that wait for the writer.

mod beside;
mod links;

use std::sync::Mutex;

use super::*;
use crate::telemetry::ReloadResult;
use palisade_engine::Validation;
use palisade_engine::model::{Document, PolicyNaming, PolicyText, Transaction};

fn bundle(id: &str) -> Bundle {
    let text = "permit (principal, action, resource);".to_owned();
    let naming = PolicyNaming::Exactly(id.to_owned());
    Bundle { policies: vec![PolicyText { origin: id.to_owned(), text, naming }], ..Bundle::default() }
}

/// A state whose writer says when it has begun to build, and goes on when it is released.
struct Held {
    state: Arc<State>,
    metrics: Arc<Metrics>,
    begun: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
}

impl Held {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
        let ((begin, begun), (go, told)) = (mpsc::channel(), mpsc::channel::<()>());
        let (begin, told) = (Mutex::new(begin), Mutex::new(told));
        let loading = Arc::new(move |_| {
            let _ = begin.lock().unwrap().send(());
            let _ = told.lock().unwrap().recv();
        });
        let observers = Observers { loading: Some(loading), ..Observers::default() };
        let state = State::start_observed(settings, LoadRules::default(), observers, metrics.clone()).unwrap();
        Self { state, metrics, begun, go }
    }

    fn abandoned(&self) -> u64 {
        self.metrics.reloads(Origin::Bundle, ReloadResult::Abandoned).get()
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

#[test]
fn a_change_whose_sender_left_is_not_built() {
    let held = Held::new();
    run(async {
        let apply = |id| {
            let state = held.state.clone();
            tokio::spawn(async move { state.apply(Change::Replace(bundle(id)), Origin::Bundle).await })
        };
        let first = apply("first");
        tokio::task::yield_now().await;
        held.begun.recv().unwrap();
        let (left, last) = (apply("left"), apply("last"));
        tokio::task::yield_now().await;
        left.abort();
        assert!(left.await.is_err());
        held.go.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap().revision.counter, 1);
        held.begun.recv().unwrap();
        held.go.send(()).unwrap();
        assert_eq!(last.await.unwrap().unwrap().revision.counter, 2);
        assert_eq!(held.abandoned(), 1);
        // nor is one published whose sender leaves while it is built
        let begun = apply("begun");
        tokio::task::yield_now().await;
        held.begun.recv().unwrap();
        begun.abort();
        assert!(begun.await.is_err());
        held.go.send(()).unwrap();
        let next = apply("next");
        tokio::task::yield_now().await;
        held.begun.recv().unwrap();
        held.go.send(()).unwrap();
        assert_eq!(next.await.unwrap().unwrap().revision.counter, 3);
        assert_eq!(held.abandoned(), 2);
        // and what waits at the end is refused
        held.state.stop();
        assert_eq!(apply("late").await.unwrap(), Err(Rejected::Abandoned));
    });
}

#[test]
fn changes_that_wait_are_bounded_in_bytes() {
    let held = Held::new();
    run(async {
        // never touched, so no memory of the machine's
        let large = || {
            let entities = vec![Document::held("entities", vec![0; 150 << 20])];
            Change::Replace(Bundle { entities, ..bundle("large") })
        };
        let apply = |change| {
            let state = held.state.clone();
            tokio::spawn(async move { state.apply(change, Origin::Bundle).await })
        };
        let first = apply(Change::Replace(bundle("first")));
        tokio::task::yield_now().await;
        held.begun.recv().unwrap();
        let waits = apply(large());
        tokio::task::yield_now().await;
        assert_eq!(apply(large()).await.unwrap(), Err(Rejected::Busy));
        // it counts until it is dropped, though its sender has left
        waits.abort();
        assert!(waits.await.is_err());
        assert_eq!(apply(large()).await.unwrap(), Err(Rejected::Busy));
        held.go.send(()).unwrap();
        assert!(first.await.unwrap().is_ok());
    });
}

fn entity(id: &str) -> String {
    format!(r#"[{{"uid": {{"type": "U", "id": "{id}"}}, "attrs": {{}}, "parents": []}}]"#)
}

/// Files that lost all their entities: the refusal names them, and shows what was not read instead.
#[test]
fn files_without_their_entities_are_refused_by_name() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
    let state = State::start(settings, metrics).unwrap();
    let with = |documents: &[(&str, &str)]| {
        let entities = documents.iter().map(|(name, text)| Document::held(*name, *text)).collect();
        Bundle { entities, ..bundle("files") }
    };
    let (a, b) = (entity("a"), entity("b"));
    state.apply_load(with(&[("e/a.json", &a), ("e/b.json", &b)]), Vec::new(), 0).unwrap();
    let unread = Diagnostic::error("e/a.jsn", "this file is not read").warning();
    for (documents, place, words) in [
        (&[][..], "e/a.json", "`e/a.json` and 1 more are no longer there"),
        (&[("e/b.json", "[]")], "e/a.json", "`e/a.json` is no longer there"),
        (&[("e/a.json", "[]"), ("e/b.json", "[]")], "entities", "their files are there and hold none"),
    ] {
        let refused = state.apply_load(with(documents), vec![unread.clone()], 0);
        let Err(Rejected::Invalid(problems)) = refused else { panic!("{refused:?}") };
        assert!(problems[0].message.contains("the files had 2 before and have none now"), "{problems:?}");
        assert!(problems[0].message.contains(words) && problems[0].origin == place, "{problems:?}");
        assert_eq!(&problems[1..], std::slice::from_ref(&unread));
        assert_eq!(state.status().last_attempt.unwrap().problems, problems);
    }
}

/// What files brought comes again through the API, in other pieces; and then from the files, which are another source.
#[test]
fn what_serves_is_known_whatever_it_is_cut_into() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
    let state = State::start(settings, metrics.clone()).unwrap();
    let text = "permit (principal, action, resource);";
    let from_file = |text: &str| PolicyText {
        origin: "p.cedar".to_owned(),
        text: format!("// it\n{text}"),
        naming: PolicyNaming::Stem("p".to_owned()),
    };
    let files = Bundle { policies: vec![from_file(text)], ..Bundle::default() };
    let first = state.apply_load(files.clone(), Vec::new(), 0).unwrap();
    let put = |bundle| run(state.apply(Change::Replace(bundle), Origin::Bundle)).unwrap();
    for _ in 0..2 {
        let again = put(bundle("p.0"));
        assert_eq!((again.published, again.revision), (false, first.revision));
    }
    assert_eq!(metrics.reloads(Origin::Bundle, ReloadResult::Unchanged).get(), 2);
    assert_eq!(state.status().origin, Some(Origin::Files));
    assert!(put(bundle("q")).published && !put(bundle("q")).published);
    assert_eq!(state.status().origin, Some(Origin::Bundle));
    assert!(put(bundle("p.0")).published);
    // the files are what a restart comes back to
    assert!(state.apply_load(files, Vec::new(), state.acknowledged()).unwrap().published);
    assert_eq!(state.status().origin, Some(Origin::Files));
}

/// A panic of the engine falls to the change that met it, wherever that is made, and others are made as before.
#[test]
fn a_panic_is_a_fault_of_its_change() {
    let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
    let build = |bundle: Bundle| {
        let first = Revision { incarnation: 1, counter: 1 };
        palisade_engine::on_big_stack(|| palisade_engine::Snapshot::build(Arc::new(bundle), &settings, first))
            .unwrap()
            .unwrap()
            .0
    };
    let before = build(bundle("p"));
    let upsert = |id: &str| {
        let uid = format!(r#"{{"upsert": {{"uid": {{"type": "U", "id": "{id}"}}, "attrs": {{}}, "parents": []}}}}"#);
        let value = palisade_engine::model::Value::parse(uid.as_bytes()).unwrap();
        let edit = palisade_engine::model::Edit::from_value(value, "").unwrap();
        Transaction { edits: vec![edit], ..Transaction::default() }
    };
    let (wanted, panics) = (|| false, || -> bool { panic!("seeded") });
    let make = |transaction: &Transaction, unwanted: &(dyn Fn() -> bool + Sync)| {
        group::transact(transaction, &before, before.revision().next(), LoadRules::default(), unwanted)
    };
    let (a, b) = (upsert("a"), upsert("b"));
    assert_eq!(make(&a, &panics).map(|_| ()), Err(Rejected::Broken));
    let made = make(&a, &wanted).unwrap();
    let footprint = palisade_engine::Footprint::of(&a, &made);
    let others = make(&b, &wanted).unwrap();
    let things = others.things();
    let upon = |made, unwanted: &(dyn Fn() -> bool + Sync)| {
        group::bring_upon(made, &others.snapshot, &footprint, &things, unwanted)
    };
    assert_eq!(upon(made, &panics).map(|_| ()), Err(Rejected::Broken));
    let both = upon(make(&a, &wanted).unwrap(), &wanted).unwrap().unwrap();
    assert_eq!(both.snapshot.entity_count(), 2);
}
