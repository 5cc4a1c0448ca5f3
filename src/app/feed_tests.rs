//! When files are read again, and which change is the later one.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender};

use super::*;
use crate::domain::{Bundle, Change, PolicyNaming, PolicyText};
use crate::engine::{EngineSettings, Validation};
use crate::source::Wake;
use crate::telemetry::{Metrics, ReloadResult};

type Outcome = Result<Loaded, Vec<Diagnostic>>;

/// Says when a load has begun, and ends it as it is told.
struct Scripted {
    begun: Sender<()>,
    outcomes: Mutex<Receiver<Outcome>>,
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
    wake: Arc<Mutex<Option<Wake>>>,
}

fn bundle(id: &str) -> Bundle {
    let text = "permit (principal, action, resource);".to_owned();
    let naming = PolicyNaming::Exactly(id.to_owned());
    Bundle { policies: vec![PolicyText { origin: id.to_owned(), text, naming }], ..Bundle::default() }
}

/// Files that hold this policy, of which nothing was watched.
fn files(id: &str) -> Outcome {
    Ok(Loaded { files: held(&[("p", id)]), ..Loaded::new(bundle(id)) })
}

fn held(files: &[(&str, &str)]) -> BTreeMap<String, [u8; 32]> {
    let content = |text: &str| std::array::from_fn(|at| text.as_bytes().get(at).copied().unwrap_or_default());
    files.iter().map(|(origin, text)| ((*origin).to_owned(), content(text))).collect()
}

/// Files that together hold this policy; each with what it holds and when it was last touched.
fn touched(id: &str, files: &[(&str, &str, Option<Instant>)], all: Option<Instant>) -> Outcome {
    let ages = files.iter().filter_map(|(origin, _, at)| Some(((*origin).to_owned(), (*at)?))).collect();
    let held: Vec<_> =
        files.iter().map(|(origin, text, _)| (*origin, *text)).filter(|(_, text)| !text.is_empty()).collect();
    let ages = Some(Ages { all, files: ages });
    Ok(Loaded { at_once: false, files: self::held(&held), ages, ..Loaded::new(bundle(id)) })
}

impl Stage {
    fn new() -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let settings = EngineSettings { validation: Validation::Off, ..EngineSettings::default() };
        let state = State::start(settings, metrics.clone()).unwrap();
        let ((begin, begun), (outcomes, told)) = (mpsc::channel(), mpsc::channel());
        let wake = Arc::default();
        let script = Scripted { begun: begin, outcomes: told.into(), wake: Arc::clone(&wake) };
        let feed = Feed::start(script, state.clone(), true, metrics.clone()).unwrap();
        Self { state, metrics, feed, begun, outcomes, wake }
    }

    /// The watch says that a change is over; gives what is read.
    fn settled(&self, outcome: Outcome) {
        self.wake.lock().unwrap().as_ref().unwrap()();
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

    /// A change by the API, acknowledged.
    fn put(&self, id: &str) {
        let state = self.state.clone();
        let change = Change::Replace(bundle(id));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(state.apply(change, Origin::Bundle)).unwrap();
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

fn failing() -> Outcome {
    Err(vec![Diagnostic::error("a", "the disk is gone").passing()])
}

#[test]
fn a_load_that_began_before_an_acknowledged_change_never_undoes_it() {
    let stage = Stage::new();
    // at the start
    stage.begins();
    stage.put("put");
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
    stage.feed.wishes.send(Wish::Load(Instant::now())).unwrap();
    stage.begins();
    stage.put("new");
    stage.outcomes.send(files("old")).unwrap();
    stage.until("skipped", |stage| stage.superseded() == 2);
    assert!(stage.serves("new"));
    // what is tried again keeps the time of its first attempt
    stage.load(failing());
    stage.begins();
    stage.put("later");
    stage.outcomes.send(failing()).unwrap();
    stage.begins();
    stage.outcomes.send(files("newer")).unwrap();
    stage.until("skipped", |stage| stage.superseded() == 3);
    assert!(stage.serves("later"));
}

#[test]
fn changes_count_in_the_order_in_which_they_were_made() {
    let stage = Stage::new();
    stage.begins();
    stage.outcomes.send(touched("first", &[("a", "1", None), ("b", "1", None)], None)).unwrap();
    stage.until("loaded", |stage| stage.serves("first"));
    let now = || Some(Instant::now());
    let mut skipped = 0;
    let skips = |what: &str, skipped: &mut u64| {
        *skipped += 1;
        stage.until(what, |stage| stage.superseded() == *skipped);
        assert!(stage.serves(&format!("put {what}")), "{what}");
    };
    let put = |what: &str| stage.put(&format!("put {what}"));

    // changed before the change of the API, and settled after it; though both changed while they were read
    let before = now();
    put("older");
    stage.settled(touched("older", &[("a", "2", before), ("b", "2", before)], None));
    skips("older", &mut skipped);
    // nothing more of it, though every file is touched
    stage.settled(touched("older", &[("a", "2", now()), ("b", "2", now())], now()));
    stage.until("unchanged", |stage| stage.metrics.reloads(Origin::Files, ReloadResult::Unchanged).get() == 1);
    assert!(stage.serves("put older"));
    // the next change counts
    stage.settled(touched("newer", &[("a", "3", now()), ("b", "2", now())], None));
    stage.until("loaded", |stage| stage.serves("newer"));
    // another file that is only touched afterwards makes it no later
    let before = now();
    put("touch");
    stage.settled(touched("touched", &[("a", "4", before), ("b", "2", now())], None));
    skips("touch", &mut skipped);
    // a file that is changed does, and so does one that comes or goes, or a directory
    for (id, files, all) in [
        ("both", [("a", "5", before), ("b", "5", now())], None),
        ("gone", [("a", "6", before), ("b", "", now())], None),
        ("come", [("a", "7", before), ("b", "7", now())], None),
        ("all", [("a", "8", before), ("b", "8", before)], now()),
    ] {
        put(id);
        let later = now();
        let files = files.map(|(origin, text, at)| (origin, text, if at == before { before } else { later }));
        stage.settled(touched(id, &files, all.and(later)));
        stage.until(id, |stage| stage.serves(id));
    }
    // what is known of a file is kept while the files cannot be built
    let before = now();
    put("broken");
    let unbuilt = |outcome: Outcome| {
        let broken = |loaded: Loaded| {
            let mut bundle = bundle("broken");
            bundle.policies[0].text = "permit".to_owned();
            Loaded { digest: Digest::of(&bundle), bundle, ..loaded }
        };
        outcome.map(broken)
    };
    stage.settled(unbuilt(touched("x", &[("a", "9", now()), ("b", "8", before)], None)));
    stage.until("refused", |stage| !stage.state.status().last_attempt.unwrap().problems.is_empty());
    stage.settled(touched("mended", &[("a", "9", None), ("b", "8", before)], None));
    stage.until("loaded", |stage| stage.serves("mended"));
}

#[test]
fn a_load_that_is_asked_for_counts_from_when_it_was() {
    let stage = Stage::new();
    stage.begins();
    // asked for while another load runs, and before a change of the API
    stage.feed.wishes.send(Wish::Load(Instant::now())).unwrap();
    stage.put("put");
    stage.outcomes.send(touched("first", &[("a", "1", None)], None)).unwrap();
    stage.begins();
    stage.outcomes.send(touched("second", &[("a", "2", None)], None)).unwrap();
    stage.until("skipped", |stage| stage.superseded() == 2);
    assert!(stage.serves("put"));
    stage.load(touched("third", &[("a", "3", None)], None));
    stage.until("loaded", |stage| stage.serves("third"));
}

#[test]
fn files_that_changed_while_they_were_read_are_read_again() {
    let stage = Stage::new();
    stage.begins();
    stage.put("put");
    stage.outcomes.send(files("mixed").map(|loaded| Loaded { at_once: false, ..loaded })).unwrap();
    stage.begins();
    stage.outcomes.send(files("mixed")).unwrap();
    stage.until("loaded", |stage| stage.serves("mixed"));
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
