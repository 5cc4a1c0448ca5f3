//! When files are read again, and which change is the later one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender};

use super::*;
use crate::source::{Held, Picture, Wake};
use crate::state::{LoadRules, StoreSettings, open_store};
use crate::telemetry::{Metrics, ReloadResult};
use palisade_engine::model::{Bundle, Change, PolicyNaming, PolicyText};
use palisade_engine::{EngineSettings, Observers, Validation};
use palisade_journal::Durability;

type Outcome = Result<Loaded, Vec<Diagnostic>>;

/// Reports when a load has begun, and ends it with the outcome that it is given.
struct Scripted {
    begun: Sender<()>,
    outcomes: Mutex<Receiver<Outcome>>,
    /// What the files hold when they are looked at.
    there: Arc<Mutex<BTreeMap<String, Held>>>,
    /// Where to put what a change calls.
    wake: Arc<Mutex<Option<Wake>>>,
}

impl Source for Scripted {
    fn name(&self) -> &str {
        "a script"
    }

    fn load(&self) -> Outcome {
        let _ = self.begun.send(());
        self.outcomes.lock().unwrap().recv().unwrap_or_else(|_| Err(Vec::new()))
    }

    fn picture(&self) -> Picture {
        Picture::of(&self.there.lock().unwrap())
    }

    fn watch(&self, wake: Wake) -> Watch {
        *self.wake.lock().unwrap() = Some(wake);
        let (stop, stopped) = mpsc::channel::<()>();
        let stop = Mutex::new(Some(stop));
        Watch::spawn(
            "script",
            Arc::default(),
            move || drop(stop.lock().unwrap().take()),
            move || {
                let _ = stopped.recv();
            },
        )
    }
}

struct Stage {
    state: Arc<State>,
    metrics: Arc<Metrics>,
    feed: Feed,
    begun: Receiver<()>,
    outcomes: Sender<Outcome>,
    there: Arc<Mutex<BTreeMap<String, Held>>>,
    wake: Arc<Mutex<Option<Wake>>>,
}

fn bundle(id: &str) -> Bundle {
    let text = "permit (principal, action, resource);".to_owned();
    let naming = PolicyNaming::Exactly(id.to_owned());
    Bundle { policies: vec![PolicyText { origin: id.to_owned(), text, naming }], ..Bundle::default() }
}

/// Files that hold this policy.
fn files(id: &str) -> Outcome {
    hold(id, &[("p", id)])
}

/// Files that hold this and together give this policy.
fn hold(id: &str, files: &[(&str, &str)]) -> Outcome {
    Ok(Loaded { files: held(files), ..Loaded::new(bundle(id)) })
}

fn held(files: &[(&str, &str)]) -> BTreeMap<String, Held> {
    let content = |text: &str| std::array::from_fn(|at| text.as_bytes().get(at).copied().unwrap_or_default());
    files.iter().map(|(origin, text)| ((*origin).to_owned(), Held::new(content(text)))).collect()
}

impl Stage {
    fn new() -> Self {
        Self::of(true)
    }

    fn of(watching: bool) -> Self {
        Self::stored(watching, None)
    }

    /// With a store at this path.
    fn stored(watching: bool, store: Option<&Path>) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
        let kept = |path: &Path| StoreSettings { path: path.into(), durability: Durability::Fsync, max_answers: 1 };
        let opened = store.map(|path| open_store(&kept(path), 7).unwrap());
        let (rules, observers) = (LoadRules::default(), Observers::default());
        let state = State::start_stored(settings, rules, observers, metrics.clone(), opened).unwrap();
        let ((begin, begun), (outcomes, told)) = (mpsc::channel(), mpsc::channel());
        let (wake, there) = (Arc::default(), Arc::default());
        let (outcome, at) = (Mutex::new(told), Arc::clone(&there));
        let script = Scripted { begun: begin, outcomes: outcome, there: at, wake: Arc::clone(&wake) };
        let feed = Feed::start(script, state.clone(), watching, metrics.clone()).unwrap();
        Self { state, metrics, feed, begun, outcomes, there, wake }
    }

    /// The watch says that a change is over.
    fn wake(&self) {
        self.wake.lock().unwrap().as_ref().unwrap()();
    }

    /// The watch says that a change is over; gives what is read.
    fn settled(&self, outcome: Outcome) {
        self.wake();
        self.begins();
        self.outcomes.send(outcome).unwrap();
    }

    fn begins(&self) {
        self.begun.recv_timeout(Duration::from_secs(20)).expect("a load begins");
    }

    fn load(&self, outcome: Outcome) {
        self.feed.wishes.send(Wish::Load(Instant::now())).unwrap();
        self.begins();
        self.outcomes.send(outcome).unwrap();
    }

    /// A change by the API, acknowledged while the files hold this.
    fn put(&self, id: &str, there: &[(&str, &str)]) {
        *self.there.lock().unwrap() = held(there);
        let state = self.state.clone();
        let change = Change::Replace(bundle(id));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(state.apply(change, Origin::Bundle)).unwrap();
    }

    /// Ends it, and begins again with the same store and files of this outcome.
    fn again(self, watching: bool, store: &Path, outcome: Outcome) -> Self {
        // what waits to be read is not read any more
        drop(self.outcomes);
        drop(self.feed);
        self.state.close(Duration::from_secs(20));
        let stage = Self::stored(watching, Some(store));
        stage.begins();
        stage.outcomes.send(outcome).unwrap();
        stage.until("started", |stage| stage.state.snapshot().is_some());
        stage
    }

    #[track_caller]
    fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "not {what}: {:?}", self.state.status());
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn serves(&self, id: &str) -> bool {
        self.state.snapshot().is_some_and(|snapshot| snapshot.policy_texts().iter().any(|(known, _)| *known == id))
    }

    fn superseded(&self) -> u64 {
        self.metrics.reloads(Origin::Files, ReloadResult::Superseded).get()
    }
}

/// A source whose watch ends by a panic each time.
struct Blind;

impl Source for Blind {
    fn name(&self) -> &str {
        "blind"
    }

    fn load(&self) -> Outcome {
        files("a")
    }

    fn picture(&self) -> Picture {
        Picture::default()
    }

    fn watch(&self, _: Wake) -> Watch {
        Watch::spawn("blind", Arc::default(), || (), || panic!("a fault of the watch"))
    }
}

#[test]
fn a_watch_that_fails_again_and_again_makes_the_sidecar_unready() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
    let state = State::start(settings, metrics.clone()).unwrap();
    let feed = Feed::start(Blind, state.clone(), true, metrics.clone()).unwrap();
    let start = Instant::now();
    let mut told = false;
    while metrics.threads.failing() != Some("watch-files") {
        told |= state.status().degraded.is_some_and(|why| why.contains("it begins again"));
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", state.status());
        thread::sleep(Duration::from_millis(20));
    }
    assert!(told, "it failed in silence");
    drop(feed);
}

#[test]
fn warnings_beside_a_problem_that_may_pass_do_not_end_the_attempts() {
    let stage = Stage::new();
    stage.begins();
    let gone = Diagnostic::error("a.json", "it is no longer there").passing();
    let unread = Diagnostic::error("a.jsn", "it is not read").warning();
    stage.outcomes.send(Err(vec![gone, unread])).unwrap();
    // no caller asked for this one
    stage.begins();
    let problems = stage.state.status().last_attempt.unwrap().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    stage.outcomes.send(files("a")).unwrap();
    stage.until("loaded", |stage| stage.serves("a"));
}

fn failing() -> Outcome {
    Err(vec![Diagnostic::error("a", "the disk is gone").passing()])
}

#[test]
fn a_load_that_began_before_an_acknowledged_change_never_undoes_it() {
    let stage = Stage::new();
    // at the start
    stage.begins();
    stage.put("put", &[("p", "old")]);
    stage.outcomes.send(files("old")).unwrap();
    stage.until("skipped", |stage| stage.superseded() == 1);
    assert!(stage.serves("put") && stage.state.status().last_attempt.unwrap().superseded);
    // the same files again, by signal: they were there before
    stage.load(files("old"));
    stage.until("unchanged", |stage| stage.metrics.reloads(Origin::Files, ReloadResult::Unchanged).get() == 1);
    assert!(stage.serves("put"));
    // they change: they count
    stage.load(files("new"));
    stage.until("loaded", |stage| stage.serves("new"));
    // a change that changes nothing is acknowledged as well
    stage.wake();
    stage.begins();
    stage.put("new", &[("p", "old")]);
    stage.outcomes.send(files("old")).unwrap();
    stage.until("skipped", |stage| stage.superseded() == 2);
    assert!(stage.serves("new"));
    // what was read before it, and was not there any more: what is there is read
    stage.wake();
    stage.begins();
    stage.put("put", &[("p", "3")]);
    stage.outcomes.send(files("2")).unwrap();
    stage.begins();
    stage.outcomes.send(files("3")).unwrap();
    stage.until("skipped", |stage| stage.superseded() == 3);
    assert!(stage.serves("put"));
    // what is tried again keeps the time of its first attempt
    stage.load(failing());
    stage.begins();
    stage.put("later", &[("p", "newer")]);
    stage.outcomes.send(failing()).unwrap();
    stage.begins();
    stage.outcomes.send(files("newer")).unwrap();
    stage.until("skipped", |stage| stage.superseded() == 4);
    assert!(stage.serves("later"));
}

type Files<'f> = &'f [(&'f str, &'f str)];

/// What was loaded before, what was there when the API changed something, what is loaded then, and whether it counts.
fn rounds() -> [(&'static str, [Files<'static>; 3], bool); 9] {
    [
        ("nothing new", [&[("a", "1")], &[("a", "1")], &[("a", "1")]], false),
        ("changed before", [&[("a", "1")], &[("a", "2")], &[("a", "2")]], false),
        ("changed afterwards", [&[("a", "1")], &[("a", "1")], &[("a", "2")]], true),
        ("changed again", [&[("a", "1")], &[("a", "2")], &[("a", "3")]], true),
        ("changed back", [&[("a", "1")], &[("a", "2")], &[("a", "1")]], true),
        ("another changed", [&[("a", "1"), ("b", "1")], &[("a", "2"), ("b", "1")], &[("a", "2"), ("b", "2")]], true),
        ("come", [&[("a", "1")], &[("a", "2")], &[("a", "2"), ("b", "1")]], true),
        ("gone before", [&[("a", "1"), ("b", "1")], &[("a", "1")], &[("a", "1")]], false),
        ("gone afterwards", [&[("a", "1"), ("b", "1")], &[("a", "1"), ("b", "1")], &[("a", "1")]], true),
    ]
}

#[test]
fn changes_count_in_the_order_in_which_they_were_made() {
    for (what, [before, there, after], counts) in rounds() {
        let (stage, put) = (Stage::new(), "put");
        stage.begins();
        stage.outcomes.send(hold(&format!("{before:?}"), before)).unwrap();
        stage.until("loaded", |stage| stage.serves(&format!("{before:?}")));
        stage.put(put, there);
        for (round, loaded) in [after, after].into_iter().enumerate() {
            let id = format!("{loaded:?}");
            let looked = |stage: &Stage| {
                [ReloadResult::Good, ReloadResult::Unchanged, ReloadResult::Superseded]
                    .map(|result| stage.metrics.reloads(Origin::Files, result).get())
                    .iter()
                    .sum::<u64>()
            };
            let so_far = looked(&stage);
            stage.settled(hold(&id, loaded));
            stage.until("looked at", |stage| looked(stage) > so_far);
            assert_eq!((stage.serves(&id), stage.serves(put)), (counts, !counts), "{what}, {round}");
        }
        // the next change counts in any case
        stage.settled(files("next"));
        stage.until(what, |stage| stage.serves("next"));
    }
}

/// A start finds the same change to be the later one as a load does, whatever was not read before the end.
#[test]
fn a_start_counts_changes_in_the_order_in_which_they_were_made() {
    let dir = tempfile::tempdir().unwrap();
    for (n, (what, [before, there, after], counts)) in rounds().into_iter().enumerate() {
        let [of_before, of_after] = [before, after].map(|files| format!("{files:?}"));
        // what is put, one after the other: what serves already too
        for (way, puts) in [&["put"][..], &[&of_before], &["put", "put"], &["other", "put"]].into_iter().enumerate() {
            for watching in [true, false] {
                let path = dir.path().join(format!("{n} {way} {watching}.store"));
                let stage = Stage::stored(watching, Some(&path));
                stage.begins();
                stage.outcomes.send(hold(&of_before, before)).unwrap();
                stage.until("loaded", |stage| stage.serves(&of_before));
                // the files change only before the last
                for (left, put) in puts.iter().enumerate().map(|(n, put)| (puts.len() - n - 1, put)) {
                    stage.put(put, if left == 0 { there } else { before });
                }
                let put = puts.last().unwrap();
                let serves = if counts { &of_after } else { *put };
                let stage = stage.again(watching, &path, hold(&of_after, after));
                assert!(stage.serves(serves), "{what}, {puts:?}, {watching}: {:?}", stage.state.status());
                // and the next start finds nothing new
                let stage = stage.again(watching, &path, hold(&of_after, after));
                assert!(stage.serves(serves), "{what}, {puts:?}, {watching}, again");
                // while it runs as well
                stage.load(files("next"));
                stage.until(what, |stage| stage.serves("next"));
            }
        }
    }
}

/// Files that cannot be read at a start, and then can: as they were when the bundle was put they do not replace it.
#[test]
fn files_that_come_after_the_start_are_compared_too() {
    let dir = tempfile::tempdir().unwrap();
    for (n, (come, serves)) in [("there", "put"), ("before", "before"), ("later", "later")].into_iter().enumerate() {
        let path = dir.path().join(format!("{n}.store"));
        let stage = Stage::stored(true, Some(&path));
        stage.begins();
        stage.outcomes.send(files("before")).unwrap();
        stage.until("loaded", |stage| stage.serves("before"));
        stage.put("put", &[("p", "there")]);
        let stage = stage.again(true, &path, failing());
        assert!(stage.serves("put"));
        stage.begins();
        stage.outcomes.send(files(come)).unwrap();
        stage.until("taken", |stage| {
            stage.state.status().last_attempt.is_some_and(|attempt| attempt.problems.is_empty())
        });
        assert!(stage.serves(serves), "{come}: {:?}", stage.state.status());
    }
}

#[test]
fn a_load_that_is_asked_for_after_a_change_of_the_api_takes_what_is_there() {
    let stage = Stage::new();
    stage.begins();
    // asked for while another load runs, and before a change of the API
    stage.feed.wishes.send(Wish::Load(Instant::now())).unwrap();
    stage.put("put", &[("a", "2")]);
    stage.outcomes.send(hold("first", &[("a", "1")])).unwrap();
    stage.begins();
    stage.outcomes.send(hold("second", &[("a", "2")])).unwrap();
    stage.until("skipped", |stage| stage.superseded() == 1);
    assert!(stage.serves("put"));
    stage.put("put", &[("a", "3")]);
    stage.load(hold("third", &[("a", "3")]));
    stage.until("loaded", |stage| stage.serves("third"));
    // it fails, and a change is noticed before it is tried again
    for failure in [failing(), Err(vec![Diagnostic::error("a", "no policy")])] {
        stage.put("put", &[("a", "4")]);
        stage.load(failure);
        stage.until("told", |stage| !stage.state.status().last_attempt.unwrap().problems.is_empty());
        stage.settled(hold("fourth", &[("a", "4")]));
        stage.until("loaded", |stage| stage.serves("fourth"));
        // it is done with that
        stage.put("put", &[("a", "5")]);
        stage.settled(hold("fifth", &[("a", "5")]));
        stage.until("skipped", |stage| stage.superseded() >= 2);
        assert!(stage.serves("put"));
    }
}

#[test]
fn a_change_of_the_api_does_not_wait_for_files_that_hang() {
    let stage = Stage::new();
    stage.begins();
    stage.outcomes.send(files("a")).unwrap();
    stage.until("loaded", |stage| stage.serves("a"));
    let there = Arc::clone(&stage.there);
    let hangs = there.lock().unwrap();
    let state = stage.state.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for id in ["1", "2", "3"] {
        runtime.block_on(state.apply(Change::Replace(bundle(id)), Origin::Bundle)).unwrap();
        assert!(stage.serves(id));
    }
    drop(hangs);
    // what was loaded before stays skipped, and what changed counts
    stage.settled(files("a"));
    stage.until("unchanged", |stage| stage.metrics.reloads(Origin::Files, ReloadResult::Unchanged).get() == 1);
    assert!(stage.serves("3"));
    stage.settled(files("b"));
    stage.until("loaded", |stage| stage.serves("b"));
}

#[test]
fn what_fails_for_a_passing_reason_is_tried_again_until_it_is_loaded() {
    let mut stage = Stage::new();
    let mut first = stage.feed.first().unwrap();
    stage.begins();
    stage.outcomes.send(failing()).unwrap();
    stage.until("told", |stage| stage.state.status().degraded.is_some_and(|why| why.contains("the disk is gone")));
    assert!(first.try_recv().unwrap().is_err());
    for _ in 0..2 {
        stage.begins();
        stage.outcomes.send(failing()).unwrap();
    }
    stage.begins();
    stage.outcomes.send(files("a")).unwrap();
    stage.until("loaded", |stage| stage.serves("a"));
    stage.until("well", |stage| stage.state.status().degraded.is_none());
    // what does not pass waits for a change
    stage.load(Err(vec![Diagnostic::error("a", "no policy")]));
    stage.until("refused", |stage| !stage.state.status().last_attempt.unwrap().problems.is_empty());
    assert!(stage.begun.recv_timeout(FIRST_PAUSE * 3).is_err());
    assert_eq!(stage.state.status().degraded, None);
    stage.load(files("b"));
    stage.until("loaded", |stage| stage.serves("b"));
}

/// Without a watch: what was there when a bundle was put is noted as older, and nothing is loaded unless someone asks.
#[test]
fn files_that_nobody_watches_are_compared_when_a_bundle_is_put() {
    let stage = Stage::of(false);
    stage.begins();
    stage.outcomes.send(files("one")).unwrap();
    stage.until("loaded", |stage| stage.serves("one"));
    stage.put("put", &[("p", "two")]);
    stage.begins();
    stage.outcomes.send(files("two")).unwrap();
    stage.until("noted", |stage| stage.superseded() == 1);
    assert!(stage.serves("put"));
    // these were changed after it
    stage.put("again", &[("p", "two")]);
    stage.begins();
    stage.outcomes.send(files("three")).unwrap();
    stage.load(files("three"));
    stage.until("loaded", |stage| stage.serves("three"));
    assert_eq!(stage.superseded(), 1);
    // and what is as it was loaded needs no note
    stage.put("last", &[("p", "three")]);
    stage.begins();
    stage.outcomes.send(files("three")).unwrap();
    stage.load(files("four"));
    stage.until("loaded", |stage| stage.serves("four"));
    assert_eq!(stage.superseded(), 1);
}
