//! What every source must do, written against the trait. A source's tests call [`run`] with a fixture.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::source::{Digest, Source, Watch};

/// A place that a source reads, as its tests change it.
pub(crate) trait Fixture {
    /// A source that reads this place; it holds one policy named `base` at first.
    fn source(&self) -> Box<dyn Source>;
    /// Adds or replaces the policies of one name.
    fn put(&self, name: &str, text: &str);
    /// Removes the policies of one name.
    fn remove(&self, name: &str);
    /// Makes the place unusable in at least two ways.
    fn break_twice(&self);
    /// Makes it usable again.
    fn mend(&self);
}

/// Counts wakes.
pub(crate) struct Wakes {
    count: Arc<AtomicUsize>,
    watch: Watch,
}

impl Wakes {
    pub(crate) fn of(source: &dyn Source) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let watch = source.watch(Box::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        Self { count, watch }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Waits until there are more than `before`, and then until `source` loads what `expected` accepts.
    ///
    /// Loads only after wakes, as the sidecar does: a change without a wake is found out.
    #[track_caller]
    pub(crate) fn until(&self, source: &dyn Source, mut before: usize, expected: impl Fn(&dyn Source) -> bool) {
        loop {
            eventually("a wake", || self.count() > before);
            before = self.count();
            if expected(source) {
                return;
            }
        }
    }
}

#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs the suite, each part on a fixture of its own.
pub(crate) fn run<F: Fixture>(make: impl Fn() -> F) {
    equal_content_has_equal_digests(&make());
    different_content_has_different_digests(&make());
    what_is_unusable_is_refused_whole(&make());
    changes_wake(&make());
    what_changed_between_load_and_watch_wakes(&make());
    every_watch_is_woken(&make());
    nothing_wakes_after_the_watch(&make());
    loads_may_run_at_once(&make());
}

#[track_caller]
fn digest(source: &dyn Source) -> Digest {
    source.load().unwrap_or_else(|problems| panic!("{problems:?}")).digest
}

fn equal_content_has_equal_digests(fixture: &impl Fixture) {
    let source = fixture.source();
    let first = source.load().unwrap();
    assert_eq!(first, source.load().unwrap());
    assert_eq!(first.digest, Digest::of(&first.bundle));
    fixture.put("extra", "// extra");
    assert_ne!(digest(&*source), first.digest);
    fixture.remove("extra");
    assert_eq!(fixture.source().load().unwrap(), first);
    assert!(!source.name().is_empty());
}

fn different_content_has_different_digests(fixture: &impl Fixture) {
    let source = fixture.source();
    let mut digests = vec![digest(&*source)];
    for (name, text) in [("a", "// 1"), ("a", "// 2"), ("b", "// 1"), ("b", "// 2"), ("b", "// 22")] {
        fixture.put(name, text);
        let digest = digest(&*source);
        assert!(!digests.contains(&digest), "{name} {text}");
        digests.push(digest);
    }
}

fn what_is_unusable_is_refused_whole(fixture: &impl Fixture) {
    let source = fixture.source();
    let good = digest(&*source);
    fixture.break_twice();
    let problems = source.load().unwrap_err();
    assert!(problems.len() >= 2, "every problem is told: {problems:?}");
    for problem in &problems {
        assert!(!problem.origin.is_empty() && !problem.message.is_empty() && problem.help.is_some(), "{problem}");
    }
    assert_eq!(source.load().unwrap_err(), problems, "and every time the same");
    fixture.mend();
    assert_eq!(digest(&*source), good);
}

fn changes_wake(fixture: &impl Fixture) {
    let source = fixture.source();
    let wakes = Wakes::of(&*source);
    let mut last = digest(&*source);
    let good = last;
    for step in ["put", "change", "remove", "break", "mend"] {
        let before = wakes.count();
        match step {
            "put" => fixture.put("a", "// 1"),
            "change" => fixture.put("a", "// 2"),
            "remove" => fixture.remove("a"),
            "break" => fixture.break_twice(),
            _ => fixture.mend(),
        }
        if step == "break" {
            wakes.until(&*source, before, |source| source.load().is_err());
        } else {
            wakes.until(&*source, before, |source| {
                source.load().is_ok_and(|loaded| step == "mend" || loaded.digest != last)
            });
            last = digest(&*source);
        }
    }
    assert_eq!(last, good);
    assert_eq!(wakes.watch().degraded(), None);
}

fn what_changed_between_load_and_watch_wakes(fixture: &impl Fixture) {
    let source = fixture.source();
    let first = digest(&*source);
    fixture.put("a", "// 1");
    let wakes = Wakes::of(&*source);
    wakes.until(&*source, 0, |source| digest(source) != first);
}

fn every_watch_is_woken(fixture: &impl Fixture) {
    let source = fixture.source();
    let wakes = [Wakes::of(&*source), Wakes::of(&*source)];
    fixture.put("a", "// 1");
    for wakes in &wakes {
        eventually("both wakes", || wakes.count() > 0);
    }
}

fn nothing_wakes_after_the_watch(fixture: &impl Fixture) {
    let source = fixture.source();
    let wakes = Wakes::of(&*source);
    let count = Arc::clone(&wakes.count);
    fixture.put("a", "// 1");
    let start = Instant::now();
    drop(wakes);
    assert!(start.elapsed() < Duration::from_secs(5), "the watch ends soon");
    let before = count.load(Ordering::SeqCst);
    fixture.put("a", "// 2");
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(count.load(Ordering::SeqCst), before);
}

fn loads_may_run_at_once(fixture: &impl Fixture) {
    let source = fixture.source();
    let expected = digest(&*source);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(digest(&*source), expected));
        }
    });
}
